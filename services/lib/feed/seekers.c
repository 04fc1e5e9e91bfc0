/*
 * The pool of Kafka readers, for what Postgres does not have yet and the tail does not have any more.
 *
 * A range is read from one dedupe window before it, so that a repeated id is recognised as it was by the bus thread. A job runs
 * for a bounded time and then answers with what it has: next_offset tells how far it came.
 */
#include "feed/internal.h"

#include "base/clock.h"
#include "base/hash.h"
#include "bus/seek.h"

#include <errno.h>
#include <stdlib.h>

#define SEEK_MS 5000  /* one job */
#define FIRST_MS 2000 /* until Kafka has said anything */
#define POLL_MS 100
#define POLL_RECORDS 500
#define PAGE_BYTES_MAX (4u * 1024 * 1024)

struct seeker {
        struct seekers *pool;
        struct seek *seek; /* owned; made at first use */
        pthread_t thread;
        struct envelope envelope;
        struct dedupe dedupe;
};

struct seekers {
        struct feed *fd;
        struct mailbox *mailbox;
        struct seeker *all;
        unsigned count;
        bool stopped;
};

/* ---- loose records ---- */

struct record *loose_add(struct loose *l, size_t n)
{
        size_t size = record_size(n);
        if (l->used + size > l->size) {
                l->size = (l->used + size) * 2;
                l->block = xrealloc(l->block, l->size);
        }
        if (l->count == l->cap) {
                l->cap = l->cap ? l->cap * 2 : 32;
                l->records = xrealloc(l->records, l->cap * sizeof(*l->records));
        }
        struct record *r = (struct record *)(void *)(l->block + l->used);
        memset(r, 0, sizeof(*r));
        r->flags = RECORD_LOOSE;
        /* The block may move: the place in it stands here until loose_seal(). */
        l->records[l->count++] = (const struct record *)(uintptr_t)l->used;
        l->used += size;
        return r;
}

void loose_seal(struct loose *l)
{
        for (size_t i = 0; i < l->count; i++)
                l->records[i] =
                        (const struct record *)(const void *)(l->block + (uintptr_t)l->records[i]);
}

void loose_done(struct loose *l)
{
        free(l->records);
        free(l->block);
        *l = (struct loose){0};
}

/* ---- one job ---- */

static bool is_wanted(const struct attach_read *rd, struct slice key, int64_t seq)
{
        for (size_t i = 0; i < rd->key_count; i++)
                if (slice_eq(rd->keys[i], key))
                        return seq >= rd->key_from_seq[i];
        return false;
}

/* True if the page is full. */
static bool take(struct seeker *sk, struct seek_job *j, const struct bus_record *r)
{
        struct feed *fd = sk->pool->fd;
        const struct attach_read *rd = j->rd;
        const struct feed_topic *t = &fd->topics[rd->topic];
        j->next_offset = r->offset + 1 > j->next_offset ? r->offset + 1 : j->next_offset;
        if (r->offset >= j->until ||
                envelope_read(&sk->envelope, t, fd->partitions[rd->topic], r) < 0 ||
                sk->envelope.foreign)
                return false;
        if (t->dedupe && sk->envelope.id.n > 0) {
                int64_t at = r->timestamp_ms >= 0 ? r->timestamp_ms : 0;
                int64_t first = dedupe_seen(&sk->dedupe, sk->envelope.id, r->offset, at,
                        fd->o.settings->dedupe_window_ms);
                if (first >= 0 && !envelope_replaces(r, first))
                        return false;
        }
        if (r->offset < j->from || !is_wanted(rd, sk->envelope.key,
                                           ((int64_t)j->epoch << SEQ_EPOCH_SHIFT) + r->offset))
                return false;
        struct record *dst = loose_add(&j->page, envelope_bytes(&sk->envelope, true));
        envelope_write(&sk->envelope, r, j->epoch, true, dst);
        dst->topic = rd->topic;
        dst->slot = rd->slot;
        return j->page.count >= rd->records_max || j->page.used >= PAGE_BYTES_MAX;
}

/* Where the window before the range begins. 0, or -EAGAIN: Kafka does not say, and without it a duplicate would be shown. */
static int window_start(struct seeker *sk, const struct seek_job *j, int64_t *ret)
{
        struct feed *fd = sk->pool->fd;
        const struct feed_topic *t = &fd->topics[j->rd->topic];
        const struct bus_record *r;
        size_t n = 0;
        int64_t until = clock_mono_ms() + FIRST_MS, start = j->from;
        int more = 0;
        *ret = j->from;
        if (!t->dedupe)
                return 0;
        while (n == 0 && more == 0 && clock_mono_ms() < until)
                more = seek_poll(sk->seek, POLL_MS, 1, &r, &n);
        if (n == 0)
                return more == 0
                               ? -EAGAIN
                               : 0; /* nothing is there, or it is gone: the range itself will tell */
        int64_t at =
                r[0].timestamp_ms >= 0 ? r[0].timestamp_ms - fd->o.settings->dedupe_window_ms : 0;
        if (bus_offset_for_time(fd->o.bus, t->name, j->rd->partition, at, FIRST_MS, &start) < 0)
                return -EAGAIN;
        *ret = start < j->from ? start : j->from;
        return 0;
}

static enum seek_outcome range_gone(struct seeker *sk, struct seek_job *j)
{
        struct feed *fd = sk->pool->fd;
        int64_t low = 0;
        if (bus_watermarks(fd->o.bus, fd->topics[j->rd->topic].name, j->rd->partition, FIRST_MS,
                    &low, NULL) < 0)
                return SEEK_FAILED;
        if (low <= j->from)
                return SEEK_FAILED; /* the log went back: whoever reads it live finds out */
        j->next_offset = low;
        return SEEK_GONE;
}

static enum seek_outcome read_range(struct seeker *sk, struct seek_job *j)
{
        struct feed *fd = sk->pool->fd;
        const char *topic = fd->topics[j->rd->topic].name;
        char fault[256];
        if (!sk->seek && seek_new(fd->o.bus, &sk->seek, fault) < 0)
                return SEEK_FAILED;
        if (seek_start(sk->seek, topic, j->rd->partition, j->from, j->until) < 0)
                return SEEK_FAILED;
        int64_t start;
        if (window_start(sk, j, &start) < 0)
                return SEEK_FAILED;
        /* From the start again: the first look may have taken a record away. */
        if (seek_start(sk->seek, topic, j->rd->partition, start, j->until) < 0)
                return SEEK_FAILED;
        int64_t deadline = clock_mono_ms() + SEEK_MS;
        j->next_offset = j->from;
        for (int r = 0; r == 0;) {
                const struct bus_record *records;
                size_t n = 0;
                r = seek_poll(sk->seek, POLL_MS, POLL_RECORDS, &records, &n);
                if (r == -ERANGE)
                        return range_gone(sk, j);
                if (r < 0)
                        return SEEK_FAILED;
                for (size_t i = 0; i < n; i++)
                        if (take(sk, j, &records[i]))
                                return SEEK_PAGE;
                /* The range was in the log when it was asked for: one that ends before it is another log by now. */
                if (r == 1 && seek_end(sk->seek) >= 0 && seek_end(sk->seek) < j->until)
                        return SEEK_FAILED;
                if (r == 1)
                        j->next_offset = j->until;
                else if (clock_mono_ms() > deadline || atomic_load(&fd->stopping))
                        break;
        }
        return j->next_offset > j->from ? SEEK_PAGE : SEEK_FAILED;
}

/* ---- the pool ---- */

static void run_job(struct seeker *sk, struct seek_job *j)
{
        j->outcome = atomic_load(&sk->pool->fd->stopping) ? SEEK_FAILED : read_range(sk, j);
        if (sk->seek)
                seek_stop(sk->seek);
        dedupe_done(&sk->dedupe);
        loose_seal(&j->page);
        j->done(j);
}

static void *seeker_main(void *arg)
{
        struct seeker *sk = arg;
        struct mail *m;
        pthread_setname_np(pthread_self(), "seeker");
        while (mailbox_take_one(sk->pool->mailbox, -1, &m))
                if (m)
                        run_job(sk, container_of(m, struct seek_job, mail));
        sk->seek = seek_free(sk->seek);
        envelope_done(&sk->envelope);
        return NULL;
}

int seekers_new(struct feed *fd, struct seekers **ret)
{
        struct seekers *pool = xcalloc(1, sizeof(*pool));
        pool->fd = fd;
        pool->mailbox = mailbox_new(NULL, NULL);
        pool->all = xcalloc(fd->o.settings->seek_readers, sizeof(*pool->all));
        for (unsigned i = 0; i < fd->o.settings->seek_readers; i++) {
                pool->all[i] = (struct seeker){
                        .pool = pool, .envelope = ENVELOPE_EMPTY, .dedupe = DEDUPE_EMPTY};
                if (pthread_create(&pool->all[i].thread, NULL, seeker_main, &pool->all[i]) != 0)
                        break;
                pool->count++;
        }
        if (pool->count == 0) {
                seekers_free(pool);
                return -EAGAIN;
        }
        *ret = pool;
        return 0;
}

void seekers_stop(struct seekers *pool)
{
        if (!pool || pool->stopped)
                return;
        pool->stopped = true;
        mailbox_close(pool->mailbox);
        for (unsigned i = 0; i < pool->count; i++)
                pthread_join(pool->all[i].thread, NULL);
}

struct seekers *seekers_free(struct seekers *pool)
{
        if (!pool)
                return NULL;
        seekers_stop(pool);
        mailbox_free(pool->mailbox);
        free(pool->all);
        free(pool);
        return NULL;
}

void seekers_submit(struct seekers *pool, struct seek_job *j)
{
        list_init(&j->mail.link);
        if (mailbox_post(pool->mailbox, &j->mail))
                return;
        j->outcome = SEEK_FAILED;
        j->done(j);
}
