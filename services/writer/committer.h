/*
 * committer - the thread that writes batches to Postgres, while the intake reads the next one.
 *
 * It holds one batch at a time and gives it back when every item is in Postgres, or was let go: because another writer owns
 * its partition, or because the intake said committer_abandon(). While Postgres or Kafka is away it tries again
 * and again, with growing pauses. A valid record that Postgres refuses is found by halving the batch, logged as an
 * error, and becomes a dead letter, so that the rest goes on.
 *
 * committer_new/free, submit, take and abandon belong to the intake's thread.
 */
#ifndef TERN_WRITER_COMMITTER_H
#define TERN_WRITER_COMMITTER_H

#include "base/log.h"
#include "base/metrics.h"
#include "writer/batch.h"

#include <stdatomic.h>

struct committer;

struct committer_options {
        const char *dsn;
        uint32_t connect_ms, commit_ms, retry_max_ms, batch_max, window_days;
        struct bus *bus;
        struct metrics *metrics;
        struct log *log;
        atomic_bool *postgres_up; /* set as it comes and goes */
        void (*wake)(void *arg);  /* a batch is ready to be taken; on the committer's thread */
        void *wake_arg;
};

MUST_CHECK int committer_new(const struct committer_options *o, struct committer **ret);
/* Gives up what is under way. NULL is fine; returns NULL. */
struct committer *committer_free(struct committer *c);
/* True if it has a batch, done or not. */
bool committer_busy(struct committer *c);
/* Hands over; not while it is busy. */
void committer_submit(struct committer *c, struct batch *b);
/* The batch that is done, or NULL; waits for it up to timeout_ms. */
struct batch *committer_take(struct committer *c, int timeout_ms);
/* What is under way comes back soon, done or not (batch.abandoned). */
void committer_abandon(struct committer *c);

#endif
