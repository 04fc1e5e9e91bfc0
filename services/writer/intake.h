/*
 * intake - the thread that reads the log and fills batches, one ahead of the committer.
 *
 * A member of the writers' consumer group, for the partitioning alone: where to read from stands in Postgres. Before a
 * partition is given away, what was read of it is written, if that is done within moments; else
 * it is dropped, and the next owner reads it again. While Postgres is away the partitions are paused, and the thread goes
 * on polling, so that the group keeps it.
 */
#ifndef TERN_WRITER_INTAKE_H
#define TERN_WRITER_INTAKE_H

#include "base/lifecycle.h"
#include "base/log.h"
#include "base/metrics.h"

#include <stdatomic.h>
#include <stdint.h>

struct bus;
struct intake;

struct intake_options {
        /* dsn and instance are borrowed until intake_free(); instance NULL: none */
        const char *dsn, *group, *instance;
        uint32_t timeout_ms;                /* of a question to Postgres */
        uint32_t session_timeout_ms, batch_max, batch_bytes_max, linger_ms, commit_timeout_ms,
                retry_max_ms, resume_window_days, stop_ms;
        struct bus *bus;
        struct metrics *metrics;
        struct log *log;
        struct lifecycle *lifecycle;
        void (*died)(
                void *arg); /* another process took the instance's name; on the intake's thread */
        void *arg;
};

MUST_CHECK int intake_new(const struct intake_options *o, struct intake **ret, char fault[256]);
/* Writes what was read, at most stop_ms long, and leaves the group. NULL is fine. */
void intake_stop(struct intake *in);
/* Stops it if that was not done. NULL is fine; returns NULL. */
struct intake *intake_free(struct intake *in);
/* NULL, or why it is not ready. Any thread. */
const char *intake_not_ready(struct intake *in);

#endif
