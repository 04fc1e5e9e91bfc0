#include "kafka_internal.h"

#include "bus/admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct write {
        struct list link;
        struct bus_send *send; /* NULL: nobody asks */
        struct topic *topic;
        int32_t partition;
        int64_t due_ms;
        struct bus_record record; /* owned bytes */
        enum bus_outcome outcome;
        int64_t offset, timestamp_ms;
};

struct slice bus_record_header(const struct bus_record *r, const char *name)
{
        for (size_t i = r->header_count; i > 0; i--)
                if (slice_is(r->headers[i - 1].name, name))
                        return r->headers[i - 1].value;
        return SLICE_NONE;
}

/* ---- the world's side ---- */

struct kafka *kafka_new(void)
{
        struct kafka *k = xcalloc(1, sizeof(*k));
        list_init(&k->buses);
        list_init(&k->groups);
        return k;
}

struct kafka *kafka_free(struct kafka *k)
{
        log_model_done(&k->log);
        groups_done(k);
        free(k);
        return NULL;
}

void kafka_appended(struct kafka *k)
{
        list_for_each(it, &k->buses)
        {
                struct bus *b = list_entry(it, struct bus, in_kafka);
                list_for_each(at, &b->consumers)
                        fiber_wake(list_entry(at, struct consumer, in_bus));
        }
}

/* ---- writes ---- */

static struct slice own(struct slice s)
{
        return slice_of(slice_dup(s), s.n);
}

static void record_own(const struct bus_record *r, struct bus_record *ret)
{
        struct bus_header *h = xcalloc(r->header_count + 1, sizeof(*h));
        for (size_t i = 0; i < r->header_count; i++)
                h[i] = (struct bus_header){own(r->headers[i].name), own(r->headers[i].value)};
        *ret = *r;
        ret->key = own(r->key);
        ret->value = own(r->value);
        ret->headers = h;
}

static void write_free(struct write *w)
{
        free((char *)(uintptr_t)w->record.key.p);
        free((char *)(uintptr_t)w->record.value.p);
        headers_free((struct bus_header *)(uintptr_t)w->record.headers, w->record.header_count);
        free(w);
}

static struct entry *append(struct kafka *k, struct write *w)
{
        w->record.partition = w->partition;
        struct entry *e = log_append_record(&k->log, w->topic, &w->record);
        kafka_appended(k);
        return e;
}

struct late { /* a write that reaches the log though its producer has given it up; none of the producer's overtakes it */
        struct kafka *kafka;
        struct write *write; /* owned */
        int64_t at_ms;
};

static void come_late(void *arg)
{
        struct late *l = arg;
        fiber_wait(NULL, l->at_ms);
        append(l->kafka, l->write);
        write_free(l->write);
        free(l);
}

static struct write *write_copy(const struct write *w)
{
        struct write *c = xcalloc(1, sizeof(*c));
        *c = *w;
        list_init(&c->link);
        record_own(&w->record, &c->record);
        return c;
}

static void happen(struct bus *b, struct write *w)
{
        const struct kafka_faults *f = &b->kafka->faults;
        w->outcome = BUS_OK;
        if (chance(f->write_refused)) {
                w->outcome = BUS_FAILED;
                return;
        }
        if (chance(f->write_lost)) {
                w->outcome = BUS_UNKNOWN;
                return;
        }
        if (chance(f->write_late)) {
                struct late *l = xcalloc(1, sizeof(*l));
                *l = (struct late){b->kafka, write_copy(w), machine_now_ms() + draw_below(3000)};
                fiber_start(NULL, "late", come_late, l);
                b->late_until_ms = l->at_ms + 1;
                w->outcome = BUS_UNKNOWN;
                return;
        }
        const struct entry *e = append(b->kafka, w);
        w->partition = e->partition;
        w->offset = e->offset;
        w->timestamp_ms = e->timestamp_ms;
        if (chance(f->ack_lost))
                w->outcome = BUS_UNKNOWN;
}

/* Writes of one process reach the log in their order, while it is there. */
static void sender(void *arg)
{
        struct bus *b = arg;
        for (;;) {
                struct list *first = list_first(&b->writes);
                if (!first) {
                        fiber_wait(&b->writes, NEVER);
                        continue;
                }
                struct write *w = list_entry(first, struct write, link);
                if (bus_unreachable(b)) {
                        if (machine_now_ms() < w->due_ms + 10000) {
                                fiber_wait(NULL, machine_now_ms() + 100);
                                continue;
                        }
                        w->outcome = chance(50) ? BUS_FAILED : BUS_UNKNOWN;
                } else if (machine_now_ms() < w->due_ms || machine_now_ms() < b->late_until_ms) {
                        fiber_wait(NULL, w->due_ms > b->late_until_ms ? w->due_ms : b->late_until_ms);
                        continue;
                } else {
                        happen(b, w);
                }
                list_remove(&w->link);
                list_push_back(&b->reports, &w->link);
                fiber_wake(&b->reports);
        }
}

static void reporter(void *arg)
{
        struct bus *b = arg;
        for (;;) {
                struct list *first = list_first(&b->reports);
                if (!first) {
                        fiber_wait(&b->reports, NEVER);
                        continue;
                }
                struct write *w = list_entry(first, struct write, link);
                fiber_wait(NULL, machine_now_ms() + draw_below(5));
                list_remove(&w->link);
                struct bus_send *s = w->send;
                if (s) {
                        s->outcome = w->outcome;
                        s->partition = w->partition;
                        s->offset = w->offset;
                        s->timestamp_ms = w->timestamp_ms;
                        if (!s->reply)
                                s->done(s);
                        else
                                (void)!mailbox_post(s->reply, &s->mail);
                }
                write_free(w);
        }
}

struct bus *kafka_bus(struct kafka *k, struct process *p)
{
        struct bus *b = xcalloc(1, sizeof(*b));
        b->kafka = k;
        b->process = p;
        list_init(&b->consumers);
        list_init(&b->writes);
        list_init(&b->reports);
        list_push_back(&k->buses, &b->in_kafka);
        fiber_start(p, "sender", sender, b);
        fiber_start(p, "reporter", reporter, b);
        return b;
}

static void run_send(struct mail *m)
{
        struct bus_send *s = container_of(m, struct bus_send, mail);
        s->done(s);
}

int bus_produce(struct bus *b, const struct bus_record *r, struct bus_send *send)
{
        struct write *w = xcalloc(1, sizeof(*w));
        w->send = send;
        w->topic = log_topic(&b->kafka->log, r->topic);
        CHECK(w->topic);
        w->partition = r->partition;
        record_own(r, &w->record);
        w->due_ms = machine_now_ms() + draw_between(0, b->kafka->faults.write_ms);
        if (b->kafka->produced)
                b->kafka->produced(b->kafka->log.arg, b->process, w->topic, &w->record);
        if (send) {
                list_init(&send->mail.link);
                send->mail.run = run_send;
        }
        list_push_back(&b->writes, &w->link);
        fiber_wake(&b->writes);
        return 0;
}

void bus_produce_volatile(struct bus *b, const struct bus_record *r)
{
        if (!bus_unreachable(b))
                (void)!bus_produce(b, r, NULL);
}

void bus_purge(struct bus *b)
{
        list_for_each_safe(it, &b->writes)
        {
                struct write *w = list_entry(it, struct write, link);
                list_remove(&w->link);
                w->outcome = BUS_FAILED;
                list_push_back(&b->reports, &w->link);
        }
        fiber_wake(&b->reports);
}

bool bus_up(const struct bus *b)
{
        return !bus_unreachable(b);
}

bool bus_is_embedded(struct bus *b)
{
        UNUSED(b);
        return false;
}

void bus_warm(struct bus *b, const char *topic)
{
        UNUSED(b);
        UNUSED(topic);
}

/* ---- questions ---- */

/* Takes its time. 0, or -ETIMEDOUT. */
static int ask(struct bus *b, int timeout_ms)
{
        int64_t until = machine_now_ms() + timeout_ms;
        fiber_wait(NULL, machine_now_ms() + draw_below(4));
        if (!bus_unreachable(b) && !chance(b->kafka->faults.answer_lost))
                return 0;
        if (until > machine_now_ms())
                fiber_wait(NULL, until);
        return -ETIMEDOUT;
}

int bus_partitions(struct bus *b, const char *topic, int timeout_ms, uint32_t *ret)
{
        int err = ask(b, timeout_ms);
        const struct topic *t = log_topic(&b->kafka->log, slice_str(topic));
        if (err == 0 && !t)
                err = -ENOENT;
        if (err == 0)
                *ret = t->lives[t->epoch].partitions;
        return err;
}

int bus_watermarks(struct bus *b, const char *topic, int32_t partition, int timeout_ms,
        int64_t *ret_low, int64_t *ret_high)
{
        int err = ask(b, timeout_ms);
        struct topic *t = log_topic(&b->kafka->log, slice_str(topic));
        const struct partition *p = t ? log_partition(t, partition) : NULL;
        if (err == 0 && !p)
                err = -ENOENT;
        if (err == 0 && ret_low)
                *ret_low = p->low;
        if (err == 0 && ret_high)
                *ret_high = p->end;
        return err;
}

int bus_highs(struct bus *b, const char *topic, uint32_t count, int timeout_ms, int64_t *ret_highs)
{
        int err = ask(b, timeout_ms);
        struct topic *t = log_topic(&b->kafka->log, slice_str(topic));
        for (uint32_t i = 0; err == 0 && i < count; i++) {
                const struct partition *p = t ? log_partition(t, (int32_t)i) : NULL;
                if (!p)
                        return -ENOENT;
                ret_highs[i] = p->end;
        }
        return err;
}

int bus_offset_for_time(struct bus *b, const char *topic, int32_t partition, int64_t time_ms,
        int timeout_ms, int64_t *ret)
{
        int err = ask(b, timeout_ms);
        struct topic *t = log_topic(&b->kafka->log, slice_str(topic));
        const struct partition *p = t ? log_partition(t, partition) : NULL;
        if (err == 0 && !p)
                err = -ENOENT;
        if (err < 0)
                return err;
        for (size_t i = log_find(p, p->low); i < p->count; i++)
                if (p->entries[i]->timestamp_ms >= time_ms) {
                        *ret = p->entries[i]->offset;
                        return 0;
                }
        *ret = p->end;
        return 0;
}

int admin_cluster(struct bus *b, int timeout_ms, struct admin_cluster *ret)
{
        int err = ask(b, timeout_ms);
        if (err == 0)
                *ret = (struct admin_cluster){.id = "simulated", .brokers = 1};
        return err;
}
