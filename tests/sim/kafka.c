#include "kafka.h"

#include "bus/admin.h"
#include "bus/consumer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADERS 4

struct bus {
        struct list in_kafka;
        struct kafka *kafka;
        struct process *process;
        struct list consumers; /* struct consumer.in_bus */
        struct list writes;    /* struct write, as they were made */
        struct list reports;   /* struct write: done, to be told */
        struct fiber *reporter;
};

struct write {
        struct list link;
        struct bus_send *send; /* NULL: nobody asks */
        struct topic *topic;
        int32_t partition;
        int64_t due_ms;
        struct slice key, id, type, value; /* owned */
        enum bus_outcome outcome;
        int64_t offset, timestamp_ms;
};

struct followed { /* a partition that a consumer reads */
        struct topic *topic;
        int32_t partition;
        uint32_t epoch; /* life that it was assigned in */
        int64_t position, stalled_until_ms;
        int64_t eof_at; /* the end was told there; -1 */
        bool out_of_range, paused;
};

struct consumer {
        struct list in_bus;
        struct bus *bus;
        struct followed *parts; /* owned */
        size_t count, cap;
        struct consumer_event *events; /* owned, of cap events_max */
        struct bus_header (*headers)[HEADERS];
        size_t events_max;
        bool woken;
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
        return k;
}

struct kafka *kafka_free(struct kafka *k)
{
        log_model_done(&k->log);
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

static bool unreachable(const struct bus *b)
{
        return b->kafka->away || b->process->kafka_away;
}

/* ---- writes ---- */

static void write_free(struct write *w)
{
        free((char *)(uintptr_t)w->key.p);
        free((char *)(uintptr_t)w->id.p);
        free((char *)(uintptr_t)w->type.p);
        free((char *)(uintptr_t)w->value.p);
        free(w);
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
        struct entry *e = log_append(
                &b->kafka->log, w->topic, w->partition, w->key, w->id, w->type, w->value);
        w->partition = e->partition;
        w->offset = e->offset;
        w->timestamp_ms = e->timestamp_ms;
        if (chance(f->ack_lost))
                w->outcome = BUS_UNKNOWN;
        kafka_appended(b->kafka);
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
                if (unreachable(b)) {
                        if (machine_now_ms() < w->due_ms + 10000) {
                                fiber_wait(NULL, machine_now_ms() + 100);
                                continue;
                        }
                        w->outcome = chance(50) ? BUS_FAILED : BUS_UNKNOWN;
                } else if (machine_now_ms() < w->due_ms) {
                        fiber_wait(NULL, w->due_ms);
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

static struct slice own(struct slice s)
{
        return slice_of(slice_dup(s), s.n);
}

int bus_produce(struct bus *b, const struct bus_record *r, struct bus_send *send)
{
        struct write *w = xcalloc(1, sizeof(*w));
        w->send = send;
        w->topic = log_topic(&b->kafka->log, r->topic);
        CHECK(w->topic);
        w->partition = r->partition;
        w->key = own(r->key);
        w->id = own(bus_record_header(r, "ce_id"));
        w->type = own(bus_record_header(r, "ce_type"));
        w->value = own(r->value);
        w->due_ms = machine_now_ms() + draw_between(0, b->kafka->faults.write_ms);
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
        if (!unreachable(b))
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
        return !unreachable(b);
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
        if (!unreachable(b) && !chance(b->kafka->faults.answer_lost))
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

/* ---- consumers ---- */

int consumer_new(
        struct bus *b, const struct consumer_options *o, struct consumer **ret, char fault[256])
{
        UNUSED(o);
        UNUSED(fault);
        struct consumer *c = xcalloc(1, sizeof(*c));
        c->bus = b;
        list_push_back(&b->consumers, &c->in_bus);
        *ret = c;
        return 0;
}

struct consumer *consumer_free(struct consumer *c)
{
        if (!c)
                return NULL;
        list_remove(&c->in_bus);
        free(c->parts);
        free(c->events);
        free(c->headers);
        free(c);
        return NULL;
}

static struct followed *follow_of(struct consumer *c, const struct topic *t, int32_t partition)
{
        for (size_t i = 0; i < c->count; i++)
                if (c->parts[i].topic == t && c->parts[i].partition == partition)
                        return &c->parts[i];
        return NULL;
}

int consumer_assign(struct consumer *c, const struct consumer_partition *parts, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                struct topic *t = log_topic(&c->bus->kafka->log, slice_str(parts[i].topic));
                CHECK(t);
                struct followed *f = follow_of(c, t, parts[i].partition);
                if (!f) {
                        if (c->count == c->cap) {
                                c->cap = c->cap ? c->cap * 2 : 8;
                                c->parts = xrealloc(c->parts, c->cap * sizeof(*c->parts));
                        }
                        f = &c->parts[c->count++];
                }
                int64_t offset = parts[i].offset;
                const struct partition *p = log_partition(t, parts[i].partition);
                if (p && offset == CONSUMER_BEGINNING)
                        offset = p->low;
                if (p && offset == CONSUMER_END)
                        offset = p->end;
                *f = (struct followed){
                        t, parts[i].partition, t->epoch, offset, 0, -1, false, false};
        }
        return 0;
}

void consumer_unassign(struct consumer *c, const struct consumer_partition *parts, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                const struct topic *t = log_topic(&c->bus->kafka->log, slice_str(parts[i].topic));
                struct followed *f = follow_of(c, t, parts[i].partition);
                if (f)
                        *f = c->parts[--c->count];
        }
}

int consumer_seek(struct consumer *c, const struct consumer_partition *part)
{
        return consumer_assign(c, part, 1);
}

static int set_paused(
        struct consumer *c, const struct consumer_partition *parts, size_t count, bool paused)
{
        for (size_t i = 0; i < count; i++) {
                const struct topic *t = log_topic(&c->bus->kafka->log, slice_str(parts[i].topic));
                struct followed *f = follow_of(c, t, parts[i].partition);
                if (f)
                        f->paused = paused;
        }
        return 0;
}

int consumer_pause(struct consumer *c, const struct consumer_partition *parts, size_t count)
{
        return set_paused(c, parts, count, true);
}

int consumer_resume(struct consumer *c, const struct consumer_partition *parts, size_t count)
{
        return set_paused(c, parts, count, false);
}

void consumer_wake(struct consumer *c)
{
        c->woken = true;
        fiber_wake(c);
}

void consumer_commit(struct consumer *c, const struct consumer_partition *parts, size_t count)
{
        UNUSED(c);
        UNUSED(parts);
        UNUSED(count);
}

int64_t consumer_high(struct consumer *c, const char *topic, int32_t partition)
{
        struct topic *t = log_topic(&c->bus->kafka->log, slice_str(topic));
        const struct partition *p = t ? log_partition(t, partition) : NULL;
        return p ? p->end : -1;
}

/* ---- poll ---- */

static void reserve(struct consumer *c, size_t max)
{
        if (max <= c->events_max)
                return;
        c->events_max = max;
        c->events = xrealloc(c->events, max * sizeof(*c->events));
        c->headers = xrealloc(c->headers, max * sizeof(*c->headers));
}

static void put_record(
        struct consumer *c, size_t at, const struct followed *f, const struct entry *e)
{
        struct bus_header *h = c->headers[at];
        h[0] = (struct bus_header){SLICE_LIT("ce_id"), e->id};
        h[1] = (struct bus_header){SLICE_LIT("ce_type"), e->type};
        h[2] = (struct bus_header){SLICE_LIT("ce_source"), SLICE_LIT("sim")};
        h[3] = (struct bus_header){SLICE_LIT("ce_specversion"), SLICE_LIT("1.0")};
        c->events[at] = (struct consumer_event){.kind = CONSUMER_RECORD,
                .record = {.topic = slice_str(f->topic->name),
                        .partition = f->partition,
                        .offset = e->offset,
                        .timestamp_ms = e->timestamp_ms,
                        .key = e->key,
                        .value = e->value,
                        .headers = h,
                        .header_count = HEADERS}};
}

static void put_other(struct consumer *c, size_t at, const struct followed *f,
        enum consumer_event_kind kind, int64_t offset)
{
        c->events[at] = (struct consumer_event){.kind = kind,
                .record = {.topic = slice_str(f->topic->name),
                        .partition = f->partition,
                        .offset = offset,
                        .timestamp_ms = -1}};
}

/* What one partition has, up to max events. */
static size_t take(struct consumer *c, struct followed *f, size_t at, size_t max)
{
        const struct partition *p = log_partition(f->topic, f->partition);
        size_t n = 0;
        if (!p || f->paused || f->out_of_range || machine_now_ms() < f->stalled_until_ms)
                return 0;
        if (f->position < p->low || f->position > p->end) {
                f->out_of_range = true;
                put_other(c, at, f, CONSUMER_RANGE, f->position);
                return 1;
        }
        bool something = f->position < p->end || f->eof_at != p->end;
        if (something && chance(c->bus->kafka->faults.stall)) {
                f->stalled_until_ms =
                        machine_now_ms() + draw_between(1, c->bus->kafka->faults.stall_ms);
                return 0;
        }
        size_t some = max > 1 && chance(30) ? 1 + draw_below((uint32_t)max - 1) : max;
        while (n < some && f->position < p->end) {
                const struct entry *e = p->entries[log_find(p, f->position)];
                f->position = e->offset + 1;
                if (e->kind != ENTRY_HIDDEN)
                        put_record(c, at + n++, f, e);
        }
        if (n < some && f->position == p->end && f->eof_at != p->end) {
                f->eof_at = p->end;
                put_other(c, at + n++, f, CONSUMER_EOF, p->end);
        }
        return n;
}

static size_t take_all(struct consumer *c, size_t max)
{
        size_t n = 0;
        if (unreachable(c->bus) || c->count == 0)
                return 0;
        size_t first = draw_below((uint32_t)c->count);
        for (size_t i = 0; i < c->count && n < max; i++)
                n += take(c, &c->parts[(first + i) % c->count], n, max - n);
        return n;
}

/* When the first of the partitions that are stalled goes on. */
static int64_t next_ms(const struct consumer *c)
{
        int64_t next = NEVER;
        for (size_t i = 0; i < c->count; i++)
                if (c->parts[i].stalled_until_ms > machine_now_ms() &&
                        c->parts[i].stalled_until_ms < next)
                        next = c->parts[i].stalled_until_ms;
        return next;
}

size_t consumer_poll(
        struct consumer *c, int timeout_ms, size_t max, const struct consumer_event **ret)
{
        int64_t until = machine_now_ms() + timeout_ms;
        reserve(c, max);
        *ret = c->events;
        if (chance(30))
                fiber_yield();
        for (;;) {
                size_t n = take_all(c, max);
                if (n > 0 || c->woken || machine_now_ms() >= until) {
                        c->woken = false;
                        return n;
                }
                int64_t next = next_ms(c);
                fiber_wait(c, next < until ? next : until);
        }
}
