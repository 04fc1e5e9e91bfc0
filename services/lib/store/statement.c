/*
 * Statements, COPY and transactions on one connection.
 */
#include "store/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define COPY_CHUNK 65536

/* ---- results ---- */

void db_result_done(struct db_result *r)
{
        PQclear(r->handle);
        *r = DB_RESULT_NONE;
}

const char *db_value(const struct db_result *r, size_t row, size_t column)
{
        CHECK(row < r->rows && column < r->columns);
        return PQgetisnull(r->handle, (int)row, (int)column)
                       ? NULL
                       : PQgetvalue(r->handle, (int)row, (int)column);
}

size_t db_length(const struct db_result *r, size_t row, size_t column)
{
        CHECK(row < r->rows && column < r->columns);
        return (size_t)PQgetlength(r->handle, (int)row, (int)column);
}

int64_t db_int(const struct db_result *r, size_t row, size_t column)
{
        const char *v = db_value(r, row, column);
        return v ? strtoll(v, NULL, 10) : 0;
}

static uint64_t affected(PGresult *res)
{
        return strtoull(PQcmdTuples(res), NULL, 10);
}

/* Takes res. */
static void give_result(PGresult *res, struct db_result *ret)
{
        if (!ret) {
                PQclear(res);
                return;
        }
        *ret = (struct db_result){
                .rows = (size_t)PQntuples(res),
                .columns = (size_t)PQnfields(res),
                .affected = affected(res),
                .handle = res,
        };
}

/* Reads all results of what was sent; keeps the last one that is good, unless one is bad. */
static int collect(struct db *db, struct db_result *ret)
{
        PGresult *last = NULL;
        int err = 0;
        for (;;) {
                PGresult *res = NULL;
                int r = db_next_result(db, &res);
                if (r < 0) {
                        PQclear(last);
                        return r;
                }
                if (!res)
                        break;
                ExecStatusType status = PQresultStatus(res);
                if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK ||
                        status == PGRES_EMPTY_QUERY) {
                        PQclear(last);
                        last = res;
                        continue;
                }
                if (err == 0)
                        err = db_fail_result(db, res);
                PQclear(res);
                if (!db->pg)
                        break;
        }
        if (err < 0 || !last) {
                PQclear(last);
                return err < 0 ? err : db_fail_result(db, NULL);
        }
        give_result(last, ret);
        return 0;
}

static int sent(struct db *db, int ok)
{
        return ok ? 0 : db_fail_result(db, NULL);
}

/* ---- statements ---- */

int db_exec(struct db *db, const char *sql, struct db_result *ret)
{
        if (!db->pg)
                return db_fail_result(db, NULL);
        int r = sent(db, PQsendQuery(db->pg, sql));
        return r < 0 ? r : collect(db, ret);
}

bool db_is_prepared(const struct db *db, const struct store_statement *st)
{
        for (size_t i = 0; i < db->prepared_count; i++)
                if (db->prepared[i] == st)
                        return true;
        return false;
}

void db_note_prepared(struct db *db, const struct store_statement *st)
{
        if (db->prepared_count == db->prepared_cap) {
                db->prepared_cap = db->prepared_cap ? db->prepared_cap * 2 : 32;
                db->prepared = xrealloc(db->prepared, db->prepared_cap * sizeof(*db->prepared));
        }
        db->prepared[db->prepared_count++] = st;
}

int db_prepare(struct db *db, const struct store_statement *st)
{
        if (!db->pg)
                return db_fail_result(db, NULL);
        if (db_is_prepared(db, st))
                return 0;
        int r = sent(db, PQsendPrepare(db->pg, st->name, st->text, 0, NULL));
        if (r == 0)
                r = collect(db, NULL);
        if (r == 0)
                db_note_prepared(db, st);
        return r;
}

int db_run(struct db *db, const struct store_statement *st, const char *const *params,
        size_t param_count, struct db_result *ret)
{
        int r = db_prepare(db, st);
        if (r == 0)
                r = sent(db, PQsendQueryPrepared(
                                     db->pg, st->name, (int)param_count, params, NULL, NULL, 0));
        return r < 0 ? r : collect(db, ret);
}

/* ---- COPY ---- */

static int put_chunk(struct db *db, const char *p, size_t n)
{
        for (;;) {
                int r = PQputCopyData(db->pg, p, (int)n);
                if (r < 0)
                        return db_fail_result(db, NULL);
                int f = db_flush(db);
                if (f < 0 || r > 0)
                        return f;
        }
}

static int put_all(struct db *db, struct slice data)
{
        while (data.n > 0) {
                size_t n = data.n < COPY_CHUNK ? data.n : COPY_CHUNK;
                int r = put_chunk(db, data.p, n);
                if (r < 0)
                        return r;
                data = slice_from(data, n);
        }
        while (PQputCopyEnd(db->pg, NULL) == 0) {
                int r = db_flush(db);
                if (r < 0)
                        return r;
        }
        return 0;
}

int db_copy_in(struct db *db, const char *sql, struct slice data, uint64_t *ret_rows)
{
        if (!db->pg)
                return db_fail_result(db, NULL);
        int r = sent(db, PQsendQuery(db->pg, sql));
        PGresult *res = NULL;
        if (r == 0)
                r = db_next_result(db, &res);
        if (r < 0)
                return r;
        if (!res || PQresultStatus(res) != PGRES_COPY_IN) {
                r = db_fail_result(db, res);
                PQclear(res);
                /* The rest of the statement's results. */
                res = NULL;
                while (db->pg && db_next_result(db, &res) == 0 && res) {
                        PQclear(res);
                        res = NULL;
                }
                return r;
        }
        PQclear(res);
        r = put_all(db, data);
        if (r < 0)
                return r;
        struct db_result done = DB_RESULT_NONE;
        r = collect(db, &done);
        if (r == 0 && ret_rows)
                *ret_rows = done.affected;
        if (r == 0)
                db_result_done(&done);
        return r;
}

/* ---- transactions ---- */

int db_begin(struct db *db)
{
        return db_exec(db, "BEGIN", NULL);
}

void db_rollback(struct db *db)
{
        if (!db->pg || PQtransactionStatus(db->pg) == PQTRANS_IDLE)
                return;
        struct db_error error = db->error;
        if (db_exec(db, "ROLLBACK", NULL) < 0)
                db_lose(db);
        db->error = error;
}

int db_commit(struct db *db)
{
        if (!db->pg)
                return db_fail_result(db, NULL);
        struct db_result res = DB_RESULT_NONE;
        int r = db_exec(db, "COMMIT", &res);
        if (r == -EIO || r == -ETIMEDOUT || r == -ECANCELED)
                return -EINPROGRESS;
        if (r < 0)
                return r;
        /* A transaction that had failed is answered with ROLLBACK, and no error. */
        bool committed = strcmp(PQcmdStatus(res.handle), "COMMIT") == 0;
        db_result_done(&res);
        if (committed)
                return 0;
        db->error = (struct db_error){
                .class = ERROR_FATAL, .text = "the transaction had failed before its commit"};
        return -EPROTO;
}
