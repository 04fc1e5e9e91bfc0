#include "writer/relay.h"

#include "writer/relay_batch.h"
#include "writer/scan.h"
#include "writer_sql.h"

#include "base/clock.h"
#include "base/hash.h"
#include "store/db.h"
#include "store/store.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BATCH_BYTES_MAX "4194304"
#define KAFKA_TIMEOUT_MS 5000
#define STATEMENT_MS 10000
#define SCAN_TIMEOUT_MS 20000
#define LOCK_AGAIN_MS 500
#define TROUBLE_MS 500
#define GAUGES_MS 1000
#define LOG_EVERY_MS 10000

/* Where a row may go: the same list as in the table's check. */
static const char *const relay_topics[] = {
        "chat.events", "chat.signals", "notifications", "broadcasts", "control"};

struct relay {
        struct relay_options o;
        int stop_fd;
        pthread_t thread;
        bool runs;
        /* The thread's own. */
        struct db *db;  /* owned; NULL while Postgres is away */
        bool active;    /* this connection has the lock */
        bool unsettled; /* what was intended may stand in the log, and its rows in the table */
        struct produce *produce;                      /* owned */
        struct scan_reader *scan;                     /* owned */
        uint32_t partitions[ARRAY_LEN(relay_topics)]; /* 0: not asked yet */
        int64_t gauges_ms, logged_ms;
};

/* ---- trouble ---- */

static void complain(struct relay *r, const char *what, const char *why)
{
        int64_t now = clock_mono_ms();
        if (r->logged_ms && now - r->logged_ms < LOG_EVERY_MS)
                return;
        r->logged_ms = now;
        log_warn(r->o.log, "relay_waits", F_STR("what", what), F_STR("error", why));
}

static void let_go(struct relay *r)
{
        if (r->active)
                log_info(r->o.log, "relay_lost");
        r->active = false;
        r->db = db_free(r->db);
        metrics_set(r->o.metrics, M_relay_active, 0, 0);
        /* Whoever has the lock now says how much waits. */
        metrics_set(r->o.metrics, M_relay_pending, 0, 0);
        metrics_set(r->o.metrics, M_relay_lag_seconds, 0, 0);
}

/* A statement's code, passed on; the connection is given up with the lock, whatever went wrong. */
static int judged(struct relay *r, int code)
{
        if (code < 0 && code != -ECANCELED)
                complain(r, "postgres", db_error(r->db)->text);
        return code;
}

static int run(struct relay *r, int statement, const char *const *params, size_t count,
        struct db_result *ret)
{
        db_deadline(r->db, clock_mono_ms() + STATEMENT_MS);
        return judged(r, db_run(r->db, &writer_sql[statement], params, count, ret));
}

/* ---- the lock ---- */

static int connect_db(struct relay *r)
{
        char fault[256] = "", silent[80];
        const struct db_options o = {.dsn = r->o.dsn,
                .application = "tern-writer-relay",
                .connect_ms = STATEMENT_MS,
                .statement_ms = STATEMENT_MS,
                .stop_fd = -1};
        int code = db_connect(&o, &r->db, fault);
        if (code < 0) {
                r->db = NULL;
                if (code != -ECANCELED)
                        complain(r, "postgres", fault);
                return code;
        }
        /* A writer that is stopped, or cut off, must not keep the lock. */
        snprintf(silent, sizeof(silent),
                "SET idle_session_timeout = %u; SET idle_in_transaction_session_timeout = %u",
                r->o.silent_ms, r->o.silent_ms);
        db_deadline(r->db, clock_mono_ms() + STATEMENT_MS);
        return judged(r, db_exec(r->db, silent, NULL));
}

/* 1: it is ours. 0: another writer has it. */
static int take_lock(struct relay *r)
{
        struct db_result res = DB_RESULT_NONE;
        int code = run(r, WRITER_SQL_RELAY_LOCK, NULL, 0, &res);
        if (code < 0)
                return code;
        r->active = db_value(&res, 0, 0)[0] == 't';
        db_result_done(&res);
        if (!r->active)
                return 0;
        r->unsettled = true;
        memset(r->partitions, 0, sizeof(r->partitions));
        metrics_set(r->o.metrics, M_relay_active, 0, 1);
        log_info(r->o.log, "relay_active");
        return 1;
}

/* ---- what a predecessor, or a send without an answer, has left in the log ---- */

static void collect_id(void *arg, const struct bus_record *record)
{
        struct buf *ids = arg;
        struct slice id = bus_record_header(record, "ce_id");
        if (!bus_record_header(record, HEADER_RELAYED).p || !id.n)
                return;
        buf_add_char(ids, ids->n ? ',' : '[');
        buf_add_json_str(ids, id);
}

/* 0, or a code of db.h. Between two partitions Postgres hears of us. */
static int search(
        struct relay *r, const struct db_result *intents, struct buf *ids, bool *ret_kafka_away)
{
        int code = 0;
        for (size_t i = 0; code == 0 && i < intents->rows && !*ret_kafka_away; i++) {
                struct db_result unused = DB_RESULT_NONE;
                *ret_kafka_away =
                        scan_from(r->scan, db_value(intents, i, 0), (int32_t)db_int(intents, i, 1),
                                db_int(intents, i, 2), SCAN_TIMEOUT_MS, collect_id, ids) < 0;
                if (*ret_kafka_away)
                        complain(r, "kafka", "the end of a partition cannot be read");
                else if ((code = run(r, WRITER_SQL_RELAY_INTENTS, NULL, 0, &unused)) == 0)
                        db_result_done(&unused);
        }
        return code;
}

/* In one transaction: these rows go, and with them what was intended. */
static int forget(struct relay *r, int statement, const char *which, const char *refused,
        bool clear, uint64_t *ret_rows)
{
        struct db_result res = DB_RESULT_NONE;
        db_deadline(r->db, clock_mono_ms() + STATEMENT_MS);
        int code = judged(r, db_begin(r->db));
        if (code == 0)
                code = run(r, statement, &which, 1, &res);
        if (code == 0) {
                *ret_rows = res.affected;
                db_result_done(&res);
        }
        if (code == 0 && refused)
                code = run(r, WRITER_SQL_RELAY_REFUSE, &refused, 1, NULL);
        if (code == 0 && clear)
                code = run(r, WRITER_SQL_RELAY_CLEAR, NULL, 0, NULL);
        /* Not known whether it happened: then the next look tells. */
        return code == 0 ? judged(r, db_commit(r->db)) : code;
}

/* 0, or a code that costs the connection. */
static int settle(struct relay *r, bool *ret_kafka_away)
{
        struct db_result res = DB_RESULT_NONE;
        struct buf ids = BUF_EMPTY;
        uint64_t found = 0;
        int code = run(r, WRITER_SQL_RELAY_INTENTS, NULL, 0, &res);
        if (code < 0)
                return code;
        if (res.rows > 0) {
                code = search(r, &res, &ids, ret_kafka_away);
                buf_add_str(&ids, ids.n ? "]" : "[]");
                if (code == 0 && !*ret_kafka_away)
                        code = forget(
                                r, WRITER_SQL_RELAY_FOUND, buf_cstr(&ids), NULL, true, &found);
        }
        db_result_done(&res);
        buf_done(&ids);
        if (code < 0 || *ret_kafka_away)
                return code;
        metrics_add(r->o.metrics, M_relay_found, 0, (int64_t)found);
        if (found)
                log_info(r->o.log, "relay_found", F_INT("rows", found));
        r->unsettled = false;
        return 0;
}

/* ---- a batch ---- */

static int topic_index(struct slice topic)
{
        for (size_t t = 0; t < ARRAY_LEN(relay_topics); t++)
                if (slice_is(topic, relay_topics[t]))
                        return (int)t;
        return -1;
}

struct intents { /* the columns of relay_intend.sql */
        struct buf topics, partitions, offsets;
        size_t count;
};

static void add_intent(struct intents *in, const char *topic, uint32_t partition, int64_t end)
{
        const char *before = in->count++ ? "," : "{";
        buf_printf(&in->topics, "%s%s", before, topic);
        buf_printf(&in->partitions, "%s%u", before, partition);
        buf_printf(&in->offsets, "%s%lld", before, (long long)end);
}

/* The partitions of one topic that the batch goes to, with their ends as of now. */
static int intend_topic(struct relay *r, const struct relay_batch *b, size_t t, struct intents *in)
{
        const char *topic = relay_topics[t];
        uint32_t n = r->partitions[t];
        if (n == 0 && bus_partitions(r->o.bus, topic, KAFKA_TIMEOUT_MS, &n) < 0)
                return -EIO;
        r->partitions[t] = n;
        int64_t *ends = xcalloc(n, sizeof(*ends));
        bool *used = xcalloc(n, sizeof(*used));
        int code = bus_highs(r->o.bus, topic, n, KAFKA_TIMEOUT_MS, ends) < 0 ? -EIO : 0;
        for (size_t i = 0; code == 0 && i < b->count; i++) {
                struct bus_record *record = &b->ones[i].record;
                if (!slice_is(record->topic, topic))
                        continue;
                uint32_t p = partition_of(record->key, n);
                record->partition = (int32_t)p;
                if (!used[p])
                        add_intent(in, topic, p, ends[p]);
                used[p] = true;
        }
        free(ends);
        free(used);
        return code;
}

/* Commits where the batch may come to stand. */
static int intend(struct relay *r, const struct relay_batch *b, bool *ret_kafka_away)
{
        struct intents in = {BUF_EMPTY, BUF_EMPTY, BUF_EMPTY, 0};
        bool asked[ARRAY_LEN(relay_topics)] = {false};
        int code = 0;
        for (size_t i = 0; i < b->count && !*ret_kafka_away; i++) {
                int t = topic_index(b->ones[i].record.topic);
                CHECK(t >= 0);
                *ret_kafka_away = !asked[t] && intend_topic(r, b, (size_t)t, &in) < 0;
                asked[t] = true;
        }
        if (*ret_kafka_away) {
                complain(r, "kafka", "the end of a partition is not known");
        } else {
                buf_add_char(&in.topics, '}');
                buf_add_char(&in.partitions, '}');
                buf_add_char(&in.offsets, '}');
                const char *params[] = {
                        buf_cstr(&in.topics), buf_cstr(&in.partitions), buf_cstr(&in.offsets)};
                code = run(r, WRITER_SQL_RELAY_INTEND, params, ARRAY_LEN(params), NULL);
        }
        buf_done(&in.topics);
        buf_done(&in.partitions);
        buf_done(&in.offsets);
        return code;
}

static int send_batch(struct relay *r, struct relay_batch *b, bool *ret_kafka_away)
{
        struct buf confirmed = BUF_EMPTY;
        uint64_t gone = 0;
        int code = b->count ? intend(r, b, ret_kafka_away) : 0;
        if (code < 0 || *ret_kafka_away)
                return code;
        produce_all(r->produce, b->ones, b->count);
        size_t n = relay_batch_confirmed(b, &confirmed);
        if (n < b->count) {
                /* Some of the others may stand in the log nevertheless. */
                *ret_kafka_away = r->unsettled = true;
                complain(r, "kafka", "a record is not confirmed");
        }
        code = forget(r, WRITER_SQL_RELAY_DONE, buf_cstr(&confirmed),
                b->refused_count ? buf_cstr(&b->refused) : NULL, n == b->count, &gone);
        buf_done(&confirmed);
        if (code < 0)
                return code;
        metrics_add(r->o.metrics, M_relay_records, 0, (int64_t)n);
        metrics_add(r->o.metrics, M_relay_refused, 0, (int64_t)b->refused_count);
        if (b->refused_count)
                log_warn(r->o.log, "relay_refused", F_INT("rows", b->refused_count),
                        F_SLICE("text",
                                slice_of(b->refused.p, b->refused.n < 500 ? b->refused.n : 500)));
        return 0;
}

static int round_of(struct relay *r, size_t *ret_rows, bool *ret_kafka_away)
{
        char max[16];
        snprintf(max, sizeof(max), "%u", r->o.batch_max);
        const char *params[] = {max, BATCH_BYTES_MAX};
        struct db_result res = DB_RESULT_NONE;
        int code = run(r, WRITER_SQL_RELAY_ROWS, params, ARRAY_LEN(params), &res);
        if (code < 0)
                return code;
        *ret_rows = res.rows;
        if (res.rows > 0) {
                struct relay_batch b;
                relay_batch_make(&b, &res);
                code = send_batch(r, &b, ret_kafka_away);
                relay_batch_done(&b);
        }
        db_result_done(&res);
        return code;
}

/* ---- the thread ---- */

static int gauges(struct relay *r)
{
        int64_t now = clock_mono_ms();
        if (r->gauges_ms && now - r->gauges_ms < GAUGES_MS)
                return 0;
        r->gauges_ms = now;
        struct db_result res = DB_RESULT_NONE;
        int code = run(r, WRITER_SQL_RELAY_PENDING, NULL, 0, &res);
        if (code < 0)
                return code;
        int64_t age_ms = db_int(&res, 0, 1);
        metrics_set(r->o.metrics, M_relay_pending, 0, db_int(&res, 0, 0));
        metrics_set(r->o.metrics, M_relay_lag_seconds, 0, age_ms > 0 ? age_ms : 0);
        db_result_done(&res);
        return 0;
}

/* One step; returns how long to wait before the next. */
static uint32_t step(struct relay *r)
{
        bool kafka_away = false;
        size_t rows = 0;
        int code = r->db ? 0 : connect_db(r);
        if (code == 0 && !r->active) {
                code = take_lock(r);
                if (code == 0)
                        return LOCK_AGAIN_MS;
        }
        if (code >= 0)
                code = gauges(r);
        if (code >= 0 && r->unsettled)
                code = settle(r, &kafka_away);
        if (code >= 0 && !kafka_away)
                code = round_of(r, &rows, &kafka_away);
        if (code < 0) {
                let_go(r);
                return TROUBLE_MS;
        }
        if (kafka_away)
                return TROUBLE_MS;
        r->logged_ms = 0;
        return rows > 0 ? 0 : r->o.poll_ms;
}

static void *relay_main(void *arg)
{
        struct relay *r = arg;
        struct pollfd stop = {.fd = r->stop_fd, .events = POLLIN};
        int wait = 0;
        while (poll(&stop, 1, wait) <= 0)
                wait = (int)step(r);
        let_go(r);
        return NULL;
}

int relay_new(const struct relay_options *o, struct relay **ret)
{
        struct relay *r = xcalloc(1, sizeof(*r));
        r->o = *o;
        r->produce = produce_new(o->bus);
        r->scan = scan_new(o->bus);
        r->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r->runs = r->stop_fd >= 0 && pthread_create(&r->thread, NULL, relay_main, r) == 0;
        if (!r->runs) {
                relay_free(r);
                return -EAGAIN;
        }
        *ret = r;
        return 0;
}

struct relay *relay_free(struct relay *r)
{
        if (!r)
                return NULL;
        if (r->stop_fd >= 0)
                CHECK(eventfd_write(r->stop_fd, 1) == 0);
        if (r->runs)
                pthread_join(r->thread, NULL);
        if (r->stop_fd >= 0)
                close(r->stop_fd);
        produce_free(r->produce);
        scan_free(r->scan);
        free(r);
        return NULL;
}
