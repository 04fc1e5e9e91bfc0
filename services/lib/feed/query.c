/*
 * A read that answers a client: the application's statement and how far the archive reaches, in one snapshot.
 * If the tail begins after that, there would be a hole between the two: the writer gets a moment to catch up.
 */
#include "feed/internal.h"

#include "base/clock.h"
#include "base/hash.h"
#include "feed_sql.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define AGAIN_MS 50 /* between two looks at a writer that is behind */

struct feed_query {
        struct feed_store_job stored;
        struct list link;  /* feed_shard.queries while somebody waits */
        struct feed *fd;
        unsigned shard;
        uint16_t topic, partition;
        const struct store_statement *statement;
        char *params[STORE_PARAMS_MAX]; /* owned */
        size_t param_count;
        bool with_store;   /* the shard's view */
        int64_t again_ms, until_ms; /* again_ms 0: not waiting for another look */
        void (*done)(void *arg, int err, const struct feed_rows *rows); /* NULL: nobody waits any more */
        void *arg;
};

static void query_free(struct feed_query *q)
{
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
        if (!q->with_store)
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
                log_error(q->fd->o.log, "statement_failed", F_STR("statement", q->statement->name), F_STR("reason", j->error));
        finish(q, j->err == -ETIMEDOUT ? -ETIMEDOUT : -EIO, NULL);
}

/* True if another look is to be taken later. */
static bool answered(struct feed_query *q, const struct store_job *j)
{
        const struct fanout *f = q->fd->ports[q->shard].fs->fanout;
        int64_t ingested = ingested_of(&j->step[1].result), now = clock_mono_ms();
        if (fanout_tail_start(f, q->topic, q->partition) <= ingested) {
                const struct store_result *r = &j->step[0].result;
                const struct feed_rows rows = {r->rows, r->columns, r->values, r->lengths, ingested};
                finish(q, 0, &rows);
                return false;
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

struct feed_query *feed_query(struct feed_shard *fs, uint16_t topic, struct slice key, const struct store_statement *statement, const char *const *params, size_t param_count,
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

void feed_query_cancel(struct feed_query *q)
{
        forget(q);
}

void queries_tick(struct feed_shard *fs, int64_t now_ms)
{
        list_for_each_safe(it, &fs->queries) {
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
