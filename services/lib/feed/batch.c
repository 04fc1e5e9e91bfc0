#include "feed/internal.h"

#include "base/clock.h"

#include <stdlib.h>

#define BATCH_BYTES 1024 /* what an empty one counts */

static void run_batch(struct mail *m);

struct feed_batch *feed_batch_new(struct feed *fd, enum feed_batch_kind kind)
{
        struct feed_batch *b = xcalloc(1, sizeof(*b) + fd->shard_count * sizeof(b->mails[0]));
        b->kind = kind;
        b->fd = fd;
        b->bytes = BATCH_BYTES;
        b->positions = xcalloc(fd->flat_count + 1, 2 * sizeof(int64_t));
        b->tail_start = b->positions + fd->flat_count;
        for (unsigned i = 0; i < fd->shard_count; i++) {
                b->mails[i].mail.run = run_batch;
                b->mails[i].batch = b;
                b->mails[i].shard = i;
        }
        return b;
}

void feed_batch_add(struct feed_batch *b, const struct record *r, size_t bytes)
{
        if (b->count == b->cap) {
                b->cap = b->cap ? b->cap * 2 : 16;
                b->records = xrealloc(b->records, b->cap * sizeof(*b->records));
        }
        b->records[b->count++] = r;
        b->bytes += bytes;
}

/* Every shard has delivered it: its frames live on in outboxes only. */
void feed_batch_unref(struct feed_batch *b)
{
        if (atomic_fetch_sub(&b->refs, 1) > 1)
                return;
        for (size_t i = 0; i < b->count; i++)
                record_drop_frames((struct record *)(uintptr_t)b->records[i]);
        slab_free(b->evicted);
        slab_free(b->passing);
        free(b->records);
        free(b->positions);
        free(b->epochs);
        free(b);
}

static void give_credit(struct feed *fd, unsigned shard, int64_t bytes)
{
        int64_t before = atomic_fetch_sub(&fd->ports[shard].behind, bytes);
        int64_t credit = (int64_t)fd->o.settings->shard_credit_bytes;
        if (before < credit || before - bytes >= credit)
                return;
        pthread_mutex_lock(&fd->credit_lock);
        pthread_cond_signal(&fd->credit_given);
        pthread_mutex_unlock(&fd->credit_lock);
}

static void run_batch(struct mail *m)
{
        struct batch_mail *bm = container_of(m, struct batch_mail, mail);
        struct feed_batch *b = bm->batch;
        struct feed *fd = b->fd;
        if (fd->ports[bm->shard].fs)
                shard_batch(fd->ports[bm->shard].fs, b);
        give_credit(fd, bm->shard, (int64_t)b->bytes);
        feed_batch_unref(b);
}

static bool has_credit(struct feed *fd)
{
        for (unsigned i = 0; i < fd->shard_count; i++)
                if (atomic_load(&fd->ports[i].behind) >=
                        (int64_t)fd->o.settings->shard_credit_bytes)
                        return false;
        return true;
}

/* A slow shard slows the bus, so that what is posted to it stays bounded. */
static void wait_for_credit(struct feed_intake *in)
{
        struct feed *fd = in->fd;
        while (!has_credit(fd) && !atomic_load(&fd->stopping)) {
                struct timespec until;
                clock_gettime(CLOCK_MONOTONIC, &until);
                until.tv_nsec += TICK_MS * 1000000;
                if (until.tv_nsec >= 1000000000) {
                        until.tv_sec++;
                        until.tv_nsec -= 1000000000;
                }
                pthread_mutex_lock(&fd->credit_lock);
                if (!has_credit(fd))
                        pthread_cond_timedwait(&fd->credit_given, &fd->credit_lock, &until);
                pthread_mutex_unlock(&fd->credit_lock);
                feed_intake_tick(in);
        }
}

void feed_batch_post(struct feed_intake *in, struct feed_batch *b)
{
        struct feed *fd = in->fd;
        wait_for_credit(in);
        b->first_pos = in->first_pos;
        for (size_t i = 0; i < fd->flat_count; i++) {
                b->positions[i] = in->parts[i].position;
                b->tail_start[i] = in->parts[i].tail_start;
        }
        int64_t bytes = (int64_t)b->bytes;
        atomic_store(&b->refs, fd->shard_count + 1);
        for (unsigned i = 0; i < fd->shard_count; i++) {
                atomic_fetch_add(&fd->ports[i].behind, bytes);
                if (!feed_post(fd, i, &b->mails[i].mail)) {
                        atomic_fetch_sub(&fd->ports[i].behind, bytes);
                        feed_batch_unref(b);
                }
        }
        feed_batch_unref(b);
}
