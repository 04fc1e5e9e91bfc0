/*
 * A read that answers a client: the application's statement and how far the archive reaches, in one snapshot.
 * If the tail begins after that, there would be a hole between the two: the writer gets a moment to catch up. Or the
 * key's records are read from Kafka, if the asker said that it can lay them over the rows (a bridge); then the
 * statement runs once more, because the archive may have grown meanwhile.
 */
#include "feed/internal.h"

#include "base/clock.h"
#include "base/hash.h"
#include "feed_sql.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define AGAIN_MS 50         /* between two looks at a writer that is behind */
#define BRIDGE_PAGE 512     /* records of the key */
#define BRIDGE_PAGES_MAX 16 /* whoever needs more is refused */
#define BRIDGE_BYTES_MAX (8u * 1024 * 1024)

struct bridge {
        struct attach_read rd; /* what a seeker reads by */
        struct slice key;      /* owned bytes */
        int64_t key_from_seq;
        struct seek_job seek;
        struct mail mail; /* back from the seeker */
        bool with_seeker;
        struct loose pages[BRIDGE_PAGES_MAX];
        size_t page_count, bytes;
        uint32_t epoch;
        int64_t from, until; /* what the pages cover */
};

struct feed_query {
        struct feed_store_job stored;
        struct list link; /* feed_shard.queries while somebody waits */
        struct feed *fd;
        unsigned shard;
        uint16_t topic, partition;
        const struct store_statement *statement;
        char *params[STORE_PARAMS_MAX]; /* owned */
        size_t param_count;
        struct bridge *bridge;      /* owned; NULL: none is wanted */
        bool with_store;            /* the shard's view */
        int64_t again_ms, until_ms; /* again_ms 0: not waiting for another look */
        void (*done)(
                void *arg, int err, const struct feed_rows *rows); /* NULL: nobody waits any more */
        void *arg;
};

static void bridge_clear(struct bridge *b)
{
        for (size_t i = 0; i < b->page_count; i++)
                loose_done(&b->pages[i]);
        b->page_count = b->bytes = 0;
        b->from = b->until = 0;
}

static void query_free(struct feed_query *q)
{
        if (q->bridge) {
                bridge_clear(q->bridge);
                loose_done(&q->bridge->seek.page);
                free((char *)(uintptr_t)q->bridge->key.p);
                free(q->bridge);
        }
        for (size_t i = 0; i < q->param_count; i++)
                free(q->params[i]);
        free(q);
}

static void set_waiting(struct feed_query *q, int64_t again_ms)
{
        atomic_uint *timed = &q->fd->ports[q->shard].timed;
        if (again_ms && !q->again_ms)
                atomic_fetch_add(timed, 1);
        else if (!again_ms && q->again_ms)
                atomic_fetch_sub(timed, 1);
        q->again_ms = again_ms;
}

static void forget(struct feed_query *q)
{
        list_remove(&q->link);
        set_waiting(q, 0);
        q->done = NULL;
        if (!q->with_store && !(q->bridge && q->bridge->with_seeker))
                query_free(q);
}

static void finish(struct feed_query *q, int err, const struct feed_rows *rows)
{
        void (*done)(void *arg, int err, const struct feed_rows *rows) = q->done;
        void *arg = q->arg;
        q->done = NULL;
        list_remove(&q->link);
        set_waiting(q, 0);
        done(arg, err, rows);
}

static int64_t ingested_of(const struct store_result *r)
{
        return r->rows > 0 && r->values[0] ? strtoll(r->values[0], NULL, 10) : 0;
}

static void failed(struct feed_query *q, const struct store_job *j)
{
        if (j->err == -EINVAL)
                log_error(q->fd->o.log, "statement_failed", F_STR("statement", q->statement->name),
                        F_STR("reason", j->error));
        finish(q, j->err == -ETIMEDOUT ? -ETIMEDOUT : -EIO, NULL);
}

/* ---- from Kafka ---- */

static void submit(struct feed_query *q);

static void run_bridged(struct mail *m)
{
        struct bridge *b = container_of(m, struct bridge, mail);
        struct feed_query *q = b->rd.reader;
        b->with_seeker = false;
        if (!q->done) {
                query_free(q);
                return;
        }
        b->bytes += b->seek.page.size;
        if (b->seek.outcome == SEEK_PAGE && b->bytes <= BRIDGE_BYTES_MAX) {
                b->pages[b->page_count++] = b->seek.page;
                b->seek.page = (struct loose){0};
                b->until = b->seek.next_offset;
                submit(q);
                return;
        }
        loose_done(&b->seek.page);
        int64_t now = clock_mono_ms();
        if (b->seek.outcome == SEEK_FAILED && now + AGAIN_MS < q->until_ms) {
                set_waiting(q, now + AGAIN_MS);
                return;
        }
        finish(q, -EAGAIN, NULL);
        query_free(q);
}

/* On a seeker's thread. */
static void on_sought(struct seek_job *j)
{
        struct bridge *b = container_of(j, struct bridge, seek);
        struct feed_query *q = b->rd.reader;
        struct feed *fd = q->fd;
        list_init(&b->mail.link);
        b->mail.run = run_bridged;
        if (!feed_post(fd, q->shard, &b->mail))
                query_free(q);
        atomic_fetch_sub(&fd->outstanding, 1);
}

/* Reads on from what is there towards the tail. */
static void bridge_extend(
        struct feed_query *q, uint32_t epoch, int64_t ingested, int64_t tail_start)
{
        struct bridge *b = q->bridge;
        if (b->epoch != epoch || ingested < b->from || ingested > b->until)
                bridge_clear(b);
        if (b->page_count == 0) {
                b->epoch = epoch;
                b->from = b->until = ingested;
        }
        b->key_from_seq = ((int64_t)epoch << SEQ_EPOCH_SHIFT) + b->until;
        b->rd = (struct attach_read){.topic = q->topic,
                .partition = q->partition,
                .slot = -1,
                .epoch = epoch,
                .records_max = BRIDGE_PAGE,
                .keys = &b->key,
                .key_from_seq = &b->key_from_seq,
                .key_count = 1,
                .reader = q};
        b->seek = (struct seek_job){.rd = &b->rd,
                .done = on_sought,
                .epoch = epoch,
                .from = b->until,
                .until = tail_start};
        b->with_seeker = true;
        atomic_fetch_add(&q->fd->outstanding, 1);
        seekers_submit(q->fd->seekers, &b->seek);
}

static const struct record **bridge_records(const struct bridge *b, int64_t from, size_t *ret_count)
{
        size_t n = 0, all = 0;
        for (size_t i = 0; i < b->page_count; i++)
                all += b->pages[i].count;
        const struct record **records = xcalloc(all + 1, sizeof(struct record *));
        for (size_t i = 0; i < b->page_count; i++)
                for (size_t k = 0; k < b->pages[i].count; k++)
                        if (b->pages[i].records[k]->offset >= from)
                                records[n++] = b->pages[i].records[k];
        *ret_count = n;
        return records;
}

/* ---- the answer ---- */

static void finish_bridged(struct feed_query *q, struct feed_rows *rows)
{
        const struct record **records =
                bridge_records(q->bridge, rows->ingested, &rows->bridge_count);
        rows->bridge = records;
        finish(q, 0, rows);
        free(records);
}

/* True if another look is to be taken later. */
static bool answered(struct feed_query *q, const struct store_job *j)
{
        const struct fanout *f = q->fd->ports[q->shard].fs->fanout;
        const struct store_result *r = &j->step[0].result;
        int64_t ingested = ingested_of(&j->step[1].result), now = clock_mono_ms();
        int64_t tail_start = fanout_tail_start(f, q->topic, q->partition);
        uint32_t epoch = fanout_epoch(f, q->topic);
        struct feed_rows rows = {r->rows, r->columns, r->values, r->lengths, ingested, NULL, 0};
        const struct bridge *b = q->bridge;
        if (tail_start <= ingested) {
                finish(q, 0, &rows);
                return false;
        }
        if (b && b->page_count > 0 && b->epoch == epoch && b->from <= ingested &&
                tail_start <= b->until) {
                finish_bridged(q, &rows);
                return false;
        }
        if (b && b->page_count < BRIDGE_PAGES_MAX) {
                bridge_extend(q, epoch, ingested, tail_start);
                return true;
        }
        if (now + AGAIN_MS < q->until_ms) {
                set_waiting(q, now + AGAIN_MS);
                return true;
        }
        finish(q, -EAGAIN, NULL);
        return false;
}

static void on_stored(struct store_job *j)
{
        struct feed_query *q = container_of(j, struct feed_query, stored.job);
        q->with_store = false;
        if (q->done && j->err < 0)
                failed(q, j);
        else if (q->done && answered(q, j))
                return;
        query_free(q);
}

static void on_gone(struct feed_store_job *j)
{
        query_free(container_of(j, struct feed_query, stored));
}

static void submit(struct feed_query *q)
{
        const struct fanout *f = q->fd->ports[q->shard].fs->fanout;
        char partition[16], epoch[16];
        snprintf(partition, sizeof(partition), "%u", q->partition);
        snprintf(epoch, sizeof(epoch), "%u", fanout_epoch(f, q->topic));
        const char *const place[] = {q->fd->topics[q->topic].name, partition, epoch};
        struct store_job *j = &q->stored.job;
        store_job_init(j, NULL, on_stored);
        store_job_step(j, q->statement, (const char *const *)q->params, q->param_count);
        store_job_step(j, &feed_sql[FEED_SQL_INGESTED], place, ARRAY_LEN(place));
        q->with_store = true;
        feed_store_submit(q->fd, q->shard, &q->stored, on_gone);
}

struct feed_query *feed_query(struct feed_shard *fs, uint16_t topic, struct slice key,
        const struct store_statement *statement, const char *const *params, size_t param_count,
        void (*done)(void *arg, int err, const struct feed_rows *rows), void *arg)
{
        CHECK(fs->fd->o.store && param_count <= STORE_PARAMS_MAX);
        struct feed_query *q = xcalloc(1, sizeof(*q));
        q->fd = fs->fd;
        q->shard = fs->index;
        q->topic = topic;
        q->partition = (uint16_t)partition_of(key, feed_partitions(fs->fd, topic));
        q->statement = statement;
        q->param_count = param_count;
        for (size_t i = 0; i < param_count; i++)
                q->params[i] = params[i] ? xstrdup(params[i]) : NULL;
        q->until_ms = clock_mono_ms() + (int64_t)fs->fd->o.settings->read_wait_ms;
        q->done = done;
        q->arg = arg;
        list_push_back(&fs->queries, &q->link);
        submit(q);
        return q;
}

void feed_query_bridge(struct feed_query *q, struct slice key)
{
        CHECK(!q->bridge);
        q->bridge = xcalloc(1, sizeof(*q->bridge));
        q->bridge->key = slice_of(slice_dup(key), key.n);
        /* Kafka takes its time; the asker has a deadline of its own. */
        q->until_ms += (int64_t)q->fd->o.settings->read_give_up_ms;
}

void feed_query_cancel(struct feed_query *q)
{
        forget(q);
}

void queries_tick(struct feed_shard *fs, int64_t now_ms)
{
        list_for_each_safe(it, &fs->queries)
        {
                struct feed_query *q = list_entry(it, struct feed_query, link);
                if (!q->again_ms || now_ms < q->again_ms)
                        continue;
                set_waiting(q, 0);
                submit(q);
        }
}

void queries_done(struct feed_shard *fs)
{
        struct list *node;
        while ((node = list_first(&fs->queries)))
                forget(list_entry(node, struct feed_query, link));
}

/* ---- what the rows do not have ---- */

struct feed_over feed_over(const struct feed_shard *fs, uint16_t topic, struct slice key,
        const struct feed_rows *rows)
{
        uint16_t partition = (uint16_t)partition_of(key, feed_partitions(fs->fd, topic));
        return (struct feed_over){.fanout = fs->fanout,
                .in_tail = fanout_newest(fs->fanout, topic, key),
                .from_offset = rows ? rows->ingested : 0,
                .tail_start = fanout_tail_start(fs->fanout, topic, partition),
                .bridge = rows ? rows->bridge : NULL,
                .bridge_left = rows ? rows->bridge_count : 0};
}

const struct record *feed_over_next(struct feed_over *o)
{
        const struct record *r = o->in_tail;
        if (r && r->offset >= o->from_offset) {
                o->in_tail = fanout_prev(o->fanout, r);
                return r;
        }
        o->in_tail = NULL;
        /* The bridge was built towards a tail that may have had more then. */
        while (o->bridge_left > 0) {
                r = o->bridge[--o->bridge_left];
                if (r->offset < o->tail_start)
                        return r;
        }
        return NULL;
}
