#include "store/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the asker's side ---- */

static void run_done(struct mail *m);

void store_job_init(struct store_job *j, struct mailbox *reply, void (*done)(struct store_job *))
{
        *j = (struct store_job){.mail.run = run_done, .reply = reply, .done = done};
        list_init(&j->mail.link);
}

void store_job_step(struct store_job *j, const struct store_statement *st,
        const char *const *params, size_t param_count)
{
        CHECK(j->step_count < STORE_JOB_STEPS && param_count <= STORE_PARAMS_MAX);
        size_t at = j->step_count++;
        j->step[at].statement = st;
        j->step[at].param_count = param_count;
        for (size_t i = 0; i < param_count; i++)
                j->step[at].params[i] = params[i] ? xstrdup(params[i]) : NULL;
}

/* On the asker's thread: the job may be gone when done returns. */
static void run_done(struct mail *m)
{
        struct store_job *j = container_of(m, struct store_job, mail);
        struct store_results results = job_take_results(j);
        j->done(j);
        job_free_results(&results);
}

void store_job_done(struct store_job *j)
{
        struct store_results results = job_take_results(j);
        job_free_results(&results);
        job_free_params(j);
}

/* ---- results ---- */

struct result { /* one allocation: the header, the values, the lengths */
        PGresult *res;
        const char *values[];
};

static void *result_new(PGresult *res, struct store_result *ret)
{
        size_t rows = (size_t)PQntuples(res), columns = (size_t)PQnfields(res), n = rows * columns;
        struct result *r = xmalloc(sizeof(*r) + n * (sizeof(char *) + sizeof(size_t)));
        size_t *lengths = (size_t *)(void *)(r->values + n);
        r->res = res;
        for (size_t i = 0; i < n; i++) {
                int row = (int)(i / columns), column = (int)(i % columns);
                r->values[i] = PQgetisnull(res, row, column) ? NULL : PQgetvalue(res, row, column);
                lengths[i] = (size_t)PQgetlength(res, row, column);
        }
        *ret = (struct store_result){rows, columns, r->values, lengths};
        return r;
}

struct store_results job_take_results(struct store_job *j)
{
        struct store_results r = STORE_RESULTS_NONE;
        for (size_t i = 0; i < j->step_count; i++) {
                r.handle[i] = j->step[i].handle;
                j->step[i].handle = NULL;
        }
        return r;
}

void job_free_results(struct store_results *r)
{
        for (size_t i = 0; i < STORE_JOB_STEPS; i++) {
                struct result *one = r->handle[i];
                if (one)
                        PQclear(one->res);
                free(one);
                r->handle[i] = NULL;
        }
}

void job_free_params(struct store_job *j)
{
        for (size_t i = 0; i < j->step_count; i++)
                for (size_t k = 0; k < j->step[i].param_count; k++) {
                        free(j->step[i].params[k]);
                        j->step[i].params[k] = NULL;
                }
}

void job_fail(struct store_job *j, int err, const char *text)
{
        struct store_results r = job_take_results(j);
        job_free_results(&r);
        for (size_t i = 0; i < j->step_count; i++)
                j->step[i].result = (struct store_result){0};
        j->err = err;
        snprintf(j->error, sizeof(j->error), "%s", text);
}

/* ---- running ---- */

static bool send_all(struct db *db, struct store_job *j)
{
        bool several = j->step_count > 1;
        bool ok = PQenterPipelineMode(db->pg) == 1;
        if (several)
                ok = ok &&
                     PQsendQueryParams(db->pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0,
                             NULL, NULL, NULL, NULL, 0);
        for (size_t i = 0; ok && i < j->step_count; i++)
                ok = PQsendQueryPrepared(db->pg, j->step[i].statement->name,
                             (int)j->step[i].param_count, (const char *const *)j->step[i].params,
                             NULL, NULL, 0) == 1;
        if (several)
                ok = ok && PQsendQueryParams(db->pg, "COMMIT", 0, NULL, NULL, NULL, NULL, 0);
        return ok && PQpipelineSync(db->pg) == 1;
}

/*
 * Results come as result, NULL, result, NULL, …, and at last the sync. index is that of the statement, -1 for a BEGIN. After an
 * error all that follows is "aborted".
 */
static int collect(struct db *db, struct store_job *j)
{
        long index = j->step_count > 1 ? -1 : 0;
        int err = 0;
        for (;;) {
                PGresult *res = NULL;
                int r = db_next_result(db, &res);
                if (r < 0)
                        return r;
                if (!res) {
                        index++;
                        continue;
                }
                ExecStatusType status = PQresultStatus(res);
                if (status == PGRES_PIPELINE_SYNC) {
                        PQclear(res);
                        return err;
                }
                if (status == PGRES_TUPLES_OK && index >= 0 && (size_t)index < j->step_count &&
                        !j->step[index].handle) {
                        j->step[index].handle = result_new(res, &j->step[index].result);
                        continue;
                }
                if (status == PGRES_FATAL_ERROR && err == 0)
                        err = db_fail_result(db, res);
                PQclear(res);
                if (!db->pg)
                        return err;
        }
}

static int prepare_missing(struct db *db, struct store_job *j)
{
        for (size_t i = 0; i < j->step_count; i++) {
                int r = db_prepare(db, j->step[i].statement);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int run_once(struct db *db, struct store_job *j)
{
        int r = prepare_missing(db, j);
        if (r == 0)
                r = send_all(db, j) ? collect(db, j) : db_fail_result(db, NULL);
        /* Whatever cannot be brought back to an idle, plain connection goes. */
        if (db->pg && PQpipelineStatus(db->pg) != PQ_PIPELINE_OFF &&
                PQexitPipelineMode(db->pg) != 1)
                db_lose(db);
        if (r < 0)
                db_rollback(db);
        return r;
}

/* The statements were prepared for another schema, or a pooler between us gave the session to another. */
static bool is_stale(const struct db *db)
{
        return strcmp(db->error.sqlstate, "0A000") == 0 || strcmp(db->error.sqlstate, "26000") == 0;
}

static bool forget_prepared(struct db *db)
{
        struct db_error error = db->error;
        db->prepared_count = 0;
        bool ok = db_exec(db, "DEALLOCATE ALL", NULL) == 0;
        db->error = error;
        return ok;
}

int job_run(struct db *db, struct store_job *j)
{
        j->err = 0;
        j->error[0] = '\0';
        int r = run_once(db, j);
        if (r < 0 && is_stale(db) && db->pg && forget_prepared(db)) {
                job_fail(j, r, "");
                j->err = 0;
                r = run_once(db, j);
        }
        if (r < 0) {
                const struct db_error *e = &db->error;
                /* The server's own time limit is this job's. */
                bool late = r == -ETIMEDOUT || strcmp(e->sqlstate, "57014") == 0;
                job_fail(j,
                        late                           ? -ETIMEDOUT
                        : r == -EINVAL || r == -EPROTO ? -EINVAL
                                                       : -EIO,
                        e->text);
        }
        return j->err;
}

int job_prepare_all(struct db *db, const struct store_set *sets, size_t count, size_t *ret_refused)
{
        *ret_refused = 0;
        for (size_t i = 0; i < count; i++)
                for (size_t k = 0; k < sets[i].count; k++) {
                        int r = db_prepare(db, &sets[i].statements[k]);
                        if (r < 0 && !db->pg)
                                return r;
                        if (r < 0)
                                (*ret_refused)++;
                }
        return 0;
}
