#include "bus/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

/*
 * The report thread polls the durable producer's queue, on which librdkafka puts whole batches of delivery
 * reports, and looks at the other handles' queues each time round.
 */
#define REPORT_POLL_MS 50
#define REPORT_CHUNK 256
#define RETIRED_GRACE_MS 5000 /* beyond the delivery timeout */
#define REPLACE_INTERVAL_MS                                                                        \
        1000 /* a cluster that refuses every producer must not cost a busy loop */

static void producer_conf(rd_kafka_conf_t *conf)
{
        rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
}

/* ---- answers ---- */

static void send_run(struct mail *m)
{
        struct bus_send *s = container_of(m, struct bus_send, mail);
        s->done(s);
}

/* After this the send is its owner's again. A closed mailbox has no owner any more. */
static void answer(struct bus_send *s, enum bus_outcome outcome)
{
        s->outcome = outcome;
        s->mail.run = send_run;
        list_init(&s->mail.link);
        if (!s->reply)
                s->done(s);
        else if (!mailbox_post(s->reply, &s->mail))
                return;
}

static void count_lost(struct bus *b, enum bus_outcome outcome, int64_t n)
{
        static const char *const names[] = {
                [BUS_BUSY] = "busy", [BUS_FAILED] = "failed", [BUS_UNKNOWN] = "unknown"};
        int label = metrics_label(M_produce_errors, names[outcome]);
        if (label >= 0)
                metrics_add(b->metrics, M_produce_errors, (unsigned)label, n);
}

static enum bus_outcome outcome_of(const rd_kafka_message_t *m)
{
        rd_kafka_msg_status_t status = rd_kafka_message_status(m);
        /* A retry that the broker knew already, too old to say where: in the log, but nobody can name its seq. */
        if (!m->err)
                return m->offset >= 0 ? BUS_OK : BUS_UNKNOWN;
        return status == RD_KAFKA_MSG_STATUS_NOT_PERSISTED ? BUS_FAILED : BUS_UNKNOWN;
}

/* What waits in a producer: keys and values, as librdkafka counts them against its bounds. */
static void count_waiting(
        struct bus *b, const struct bus_producer *p, int64_t records, int64_t bytes)
{
        bool loose = p == &b->volatile_;
        metrics_add(b->metrics, M_entries_used,
                loose ? ENTRIES_VOLATILE_PRODUCER : ENTRIES_PRODUCER, records);
        metrics_add(b->metrics, M_memory_used, loose ? MEMORY_VOLATILE_PRODUCER : MEMORY_PRODUCER,
                bytes);
}

/* Counts before anybody is answered: who has its answer finds itself in the metrics. */
static void count_batch(
        struct bus *b, const struct bus_producer *p, const rd_kafka_message_t *const *m, size_t n)
{
        const rd_kafka_topic_t *last = NULL;
        int label = -1;
        int64_t ok = 0, bytes = 0, lost[BUS_UNKNOWN + 1] = {0};
        for (size_t i = 0; i < n; i++) {
                bytes += (int64_t)(m[i]->len + m[i]->key_len);
                if (m[i]->rkt != last) {
                        if (ok && label >= 0)
                                metrics_add(b->metrics, M_records_out, (unsigned)label, ok);
                        ok = 0;
                        last = m[i]->rkt;
                        const struct bus_topic *t = bus_topic_of_full(b, rd_kafka_topic_name(last));
                        label = t ? t->label : -1;
                }
                enum bus_outcome outcome = outcome_of(m[i]);
                if (outcome == BUS_OK)
                        ok++;
                else
                        lost[outcome]++;
        }
        if (ok && label >= 0)
                metrics_add(b->metrics, M_records_out, (unsigned)label, ok);
        count_waiting(b, p, -(int64_t)n, -bytes);
        for (int i = BUS_FAILED; i <= BUS_UNKNOWN; i++)
                if (lost[i])
                        count_lost(b, (enum bus_outcome)i, lost[i]);
}

static void report_one(const rd_kafka_message_t *m, bool embedded)
{
        struct bus_send *s = m->_private;
        if (!s)
                return;
        enum bus_outcome outcome = outcome_of(m);
        rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        int64_t ts = rd_kafka_message_timestamp(m, &type);
        s->partition = m->partition;
        s->offset = outcome == BUS_OK ? m->offset : -1;
        s->timestamp_ms =
                outcome == BUS_OK && type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME && !embedded ? ts
                                                                                             : -1;
        answer(s, outcome);
}

static void report_batch(struct bus *b, const struct bus_producer *p, rd_kafka_event_t *ev)
{
        const rd_kafka_message_t *m[REPORT_CHUNK];
        bool embedded = bus_is_embedded(b);
        size_t n;
        while ((n = rd_kafka_event_message_array(ev, m, REPORT_CHUNK)) > 0) {
                count_batch(b, p, m, n);
                for (size_t i = 0; i < n; i++)
                        report_one(m[i], embedded);
        }
}

/* The query handle keeps one connection at least; its statistics say whether any is up. */
static void read_stats(struct bus *b, const char *json)
{
        bool up = json && strstr(json, "\"state\":\"UP\"");
        atomic_store_explicit(&b->up, up, memory_order_relaxed);
}

/* p: whose it is, also if that one was replaced since; NULL for the query handle. */
static void serve_event(struct bus *b, const struct bus_producer *p, rd_kafka_event_t *ev)
{
        rd_kafka_event_type_t type = rd_kafka_event_type(ev);
        if (type == RD_KAFKA_EVENT_DR) {
                report_batch(b, p, ev);
        } else if (type == RD_KAFKA_EVENT_STATS) {
                read_stats(b, rd_kafka_event_stats(ev));
        } else if (type == RD_KAFKA_EVENT_ERROR) {
                /* The event bears the cause, so the handle itself is asked whether it is the end. */
                bool fatal = p == &b->durable && rd_kafka_fatal_error(b->durable.rk, NULL, 0);
                if (fatal)
                        atomic_store(&b->broken, true);
                bus_log(b, fatal ? 3 : 4, "ERROR", rd_kafka_event_error_string(ev));
        }
        rd_kafka_event_destroy(ev);
}

static void drain(struct bus *b, const struct bus_producer *p, rd_kafka_queue_t *queue)
{
        rd_kafka_event_t *ev;
        while ((ev = rd_kafka_queue_poll(queue, 0)))
                serve_event(b, p, ev);
}

/* ---- a durable producer that failed for good ---- */

static void retire(struct bus *b, rd_kafka_t *rk, rd_kafka_queue_t *queue)
{
        struct bus_retired *r = xcalloc(1, sizeof(*r));
        r->rk = rk;
        r->queue = queue;
        r->until_ms = clock_mono_ms() + b->settings.delivery_timeout_ms + RETIRED_GRACE_MS;
        r->next = b->retired;
        b->retired = r;
        /* What was never sent is answered now; what is in flight learns its fate, or times out. */
        rd_kafka_purge(rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING);
}

static void replace(struct bus *b)
{
        int64_t now = clock_mono_ms();
        if (b->replaced_ms && now - b->replaced_ms < REPLACE_INTERVAL_MS)
                return;
        char fault[256] = "";
        rd_kafka_t *fresh =
                bus_handle_new(b, BUS_ROLE_DURABLE, NULL, 0, producer_conf, NULL, fault);
        b->replaced_ms = now;
        if (!fresh) {
                bus_log(b, 3, "PRODUCER", fault);
                return;
        }
        pthread_rwlock_wrlock(&b->durable.lock);
        rd_kafka_t *old = b->durable.rk;
        rd_kafka_queue_t *old_queue = b->durable.queue;
        b->durable.rk = fresh;
        b->durable.queue = rd_kafka_queue_get_main(fresh);
        atomic_store(&b->broken, false);
        pthread_rwlock_unlock(&b->durable.lock);
        retire(b, old, old_queue);
        bus_log(b, 4, "PRODUCER", "the durable producer failed for good and was replaced");
}

static void serve_retired(struct bus *b)
{
        int64_t now = clock_mono_ms();
        for (struct bus_retired **at = &b->retired; *at;) {
                struct bus_retired *r = *at;
                drain(b, &b->durable, r->queue);
                if (rd_kafka_outq_len(r->rk) > 0 && now < r->until_ms && !atomic_load(&b->stop)) {
                        at = &r->next;
                        continue;
                }
                /* Past its time: what is left is answered unknown by the purge. */
                rd_kafka_purge(r->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
                while (rd_kafka_outq_len(r->rk) > 0) {
                        rd_kafka_event_t *ev = rd_kafka_queue_poll(r->queue, 100);
                        if (!ev)
                                break;
                        serve_event(b, &b->durable, ev);
                }
                rd_kafka_queue_destroy(r->queue);
                bus_handle_free(r->rk, 0);
                *at = r->next;
                free(r);
        }
}

static void *report_main(void *arg)
{
        struct bus *b = arg;
        while (!atomic_load(&b->stop) || b->retired) {
                rd_kafka_event_t *ev = rd_kafka_queue_poll(b->durable.queue, REPORT_POLL_MS);
                for (int n = 0; ev && n < 256; n++) {
                        serve_event(b, &b->durable, ev);
                        ev = rd_kafka_queue_poll(b->durable.queue, 0);
                }
                if (ev)
                        serve_event(b, &b->durable, ev);
                drain(b, &b->volatile_, b->volatile_.queue);
                drain(b, NULL, b->query_queue);
                if (atomic_load(&b->broken))
                        replace(b);
                if (b->retired)
                        serve_retired(b);
        }
        return NULL;
}

/* ---- life ---- */

static rd_kafka_t *producer_open(
        struct bus *b, struct bus_producer *p, enum bus_role role, char fault[256])
{
        p->rk = bus_handle_new(b, role, NULL, 0, producer_conf, NULL, fault);
        if (p->rk)
                p->queue = rd_kafka_queue_get_main(p->rk);
        return p->rk;
}

static void producer_close(struct bus_producer *p)
{
        if (p->queue)
                rd_kafka_queue_destroy(p->queue);
        bus_handle_free(p->rk, 0);
        p->queue = NULL;
        p->rk = NULL;
}

int producers_start(struct bus *b, char fault[256])
{
        if (!producer_open(b, &b->durable, BUS_ROLE_DURABLE, fault) ||
                !producer_open(b, &b->volatile_, BUS_ROLE_VOLATILE, fault))
                goto fail;
        if (pthread_create(&b->reporter, NULL, report_main, b) != 0) {
                snprintf(fault, 256, "the delivery report thread cannot be started");
                goto fail;
        }
        b->reporter_runs = true;
        return 0;
fail:
        producer_close(&b->durable);
        producer_close(&b->volatile_);
        return -EINVAL;
}

/* Waits until nothing is queued or in flight; the report thread serves the reports meanwhile. */
static void wait_empty(struct bus *b, int64_t until_ms)
{
        const struct timespec nap = {0, 5000000};
        for (;;) {
                pthread_rwlock_rdlock(&b->durable.lock);
                int left = rd_kafka_outq_len(b->durable.rk);
                pthread_rwlock_unlock(&b->durable.lock);
                if (left == 0 || clock_mono_ms() >= until_ms)
                        return;
                nanosleep(&nap, NULL);
        }
}

void producers_stop(struct bus *b, int flush_ms)
{
        if (!b->reporter_runs)
                return;
        wait_empty(b, clock_mono_ms() + flush_ms);
        bus_purge(b);
        wait_empty(b, clock_mono_ms() + 2000);
        atomic_store(&b->stop, true);
        pthread_join(b->reporter, NULL);
        producer_close(&b->durable);
        producer_close(&b->volatile_);
}

void bus_purge(struct bus *b)
{
        const int flags =
                RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING;
        pthread_rwlock_rdlock(&b->durable.lock);
        rd_kafka_purge(b->durable.rk, flags);
        pthread_rwlock_unlock(&b->durable.lock);
        rd_kafka_purge(b->volatile_.rk, flags);
}

/* ---- produce ---- */

rd_kafka_headers_t *bus_headers_of(const struct bus_record *r)
{
        rd_kafka_headers_t *h = rd_kafka_headers_new(r->header_count);
        for (size_t i = 0; i < r->header_count; i++) {
                const struct bus_header *x = &r->headers[i];
                rd_kafka_header_add(h, x->name.p, (ssize_t)x->name.n, x->value.p,
                        x->value.p ? (ssize_t)x->value.n : 0);
        }
        return h;
}

void *bus_unconst(const char *p)
{
        union {
                const char *c;
                void *v;
        } u = {.c = p};
        return u.v;
}

/* produceva takes nothing on failure, so the headers are freed here. */
static rd_kafka_resp_err_t produce(struct bus *b, const struct bus_producer *p, const char *topic,
        const struct bus_record *r, struct bus_send *send)
{
        int64_t bytes = (int64_t)(r->value.n + r->key.n);
        rd_kafka_headers_t *headers = r->header_count ? bus_headers_of(r) : NULL;
        rd_kafka_vu_t vu[7] = {
                {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
                {.vtype = RD_KAFKA_VTYPE_PARTITION,
                        .u.i32 = r->partition < 0 ? RD_KAFKA_PARTITION_UA : r->partition},
                {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {bus_unconst(r->value.p), r->value.n}},
                {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {bus_unconst(r->key.p), r->key.n}},
                {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
                {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = send},
                {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
        };
        count_waiting(b, p, 1, bytes); /* its report may come before produceva returns */
        rd_kafka_error_t *error = rd_kafka_produceva(p->rk, vu, headers ? 7 : 6);
        if (!error)
                return RD_KAFKA_RESP_ERR_NO_ERROR;
        count_waiting(b, p, -1, -bytes);
        rd_kafka_resp_err_t err = rd_kafka_error_code(error);
        rd_kafka_error_destroy(error);
        if (headers)
                rd_kafka_headers_destroy(headers);
        return err;
}

int bus_produce(struct bus *b, const struct bus_record *r, struct bus_send *send)
{
        const struct bus_topic *t = bus_topic_get(b, r->topic);
        rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
        if (t) {
                pthread_rwlock_rdlock(&b->durable.lock);
                err = produce(b, &b->durable, t->name, r, send);
                pthread_rwlock_unlock(&b->durable.lock);
        }
        if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
                return 0;
        if (err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
                return -EMSGSIZE;
        if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
                count_lost(b, BUS_BUSY, 1);
                return -ENOBUFS;
        }
        /* No such topic, or a producer about to be replaced: certainly not written. */
        count_lost(b, BUS_FAILED, 1);
        if (send) {
                send->partition = -1;
                send->offset = send->timestamp_ms = -1;
                answer(send, BUS_FAILED);
        }
        return 0;
}

void bus_produce_volatile(struct bus *b, const struct bus_record *r)
{
        const struct bus_topic *t = bus_topic_get(b, r->topic);
        rd_kafka_resp_err_t err =
                t ? produce(b, &b->volatile_, t->name, r, NULL) : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
        if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
                count_lost(b, err == RD_KAFKA_RESP_ERR__QUEUE_FULL ? BUS_BUSY : BUS_FAILED, 1);
}
