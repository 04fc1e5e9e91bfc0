/*
 * job - one read on one connection: the part of the pool that speaks to Postgres. Private to this library.
 */
#ifndef TERN_STORE_JOB_H
#define TERN_STORE_JOB_H

#include "store/internal.h"

#define STORE_RESULTS_NONE ((struct store_results){{NULL}})

/* What a finished job's results stand in. */
struct store_results {
        void *handle[STORE_JOB_STEPS]; /* owned */
};

/* Runs all steps in one round trip and fills j->err, j->error and the results. Returns j->err; the connection may be
 * lost afterwards (db_alive). */
int job_run(struct db *db, struct store_job *j);
void job_fail(struct store_job *j, int err, const char *text);
/* Moves the results out, so that they can be freed after the job is gone. */
struct store_results job_take_results(struct store_job *j);
void job_free_results(struct store_results *r);
void job_free_params(struct store_job *j);
/* Prepares every statement of the sets. Those that Postgres refuses are left for their first use; *ret_refused counts
 * them. 0, or the connection was lost. */
MUST_CHECK int job_prepare_all(
        struct db *db, const struct store_set *sets, size_t count, size_t *ret_refused);

#endif
