/*
 * store/db.h on the simulated database. A transaction keeps what it does to itself until it is committed; the places that it moves
 * are locked until then. A COMMIT that was sent happens on the server's own time, whether or not anybody is left to hear of it.
 */
#include "db_internal.h"

#include "world.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CALL_MS 4
#define SLOW_MS 700
#define COMMIT_LATE_MS 1500
#define LOCK_LOOK_MS 10

/* ---- transactions ---- */

static void unlock_all(struct postgres *pg, const struct transaction *tx)
{
        for (size_t i = 0; i < pg->place_count; i++)
                if (pg->places[i].locked == tx)
                        pg->places[i].locked = NULL;
}

static void transaction_free(struct transaction *tx)
{
        unlock_all(tx->pg, tx);
        for (int t = 0; t < PG_TABLES; t++) {
                table_done(&tx->staged[t]);
                table_done(&tx->written[t]);
        }
        free(tx->moves);
        free(tx->done_intents);
        list_remove(&tx->in_postgres);
        free(tx);
}

static bool is_orphan(const struct transaction *tx)
{
        return !tx->commit_sent && (!tx->db || tx->process->dead);
}

void transactions_reap(struct postgres *pg)
{
        list_for_each_safe(it, &pg->open)
        {
                struct transaction *tx = list_entry(it, struct transaction, in_postgres);
                if (is_orphan(tx))
                        transaction_free(tx);
        }
}

static void write_rows(struct transaction *tx)
{
        for (int t = 0; t < PG_TABLES; t++) {
                struct table *from = tx->merges[t] ? &tx->staged[t] : &tx->written[t];
                for (size_t i = 0; i < from->count; i++)
                        table_merge((enum table_id)t, &tx->pg->tables[t], from->rows[i]);
                from->count = 0;
        }
}

/* All of it, in one instant. */
static void transaction_happens(struct transaction *tx)
{
        struct postgres *pg = tx->pg;
        trace(tx->process->name, "a transaction of %s happens", tx->process->name);
        write_rows(tx);
        for (size_t i = 0; i < tx->done_count; i++)
                pg->intents[tx->done_intents[i]].done = true;
        for (size_t i = 0; i < tx->move_count; i++)
                pg->places[tx->moves[i].place].next_offset = tx->moves[i].after;
        for (size_t i = 0; i < tx->move_count; i++)
                if (pg->moved)
                        pg->moved(pg->arg, &pg->places[tx->moves[i].place], tx->moves[i].before);
}

/* On the server. */
static void commit_main(void *arg)
{
        struct transaction *tx = arg;
        fiber_wait(NULL, tx->commit_at_ms);
        if (!tx->crashed)
                transaction_happens(tx);
        if (tx->db) {
                tx->db->commit_answered = true;
                tx->db->commit_happened = !tx->crashed;
                tx->db->tx = NULL;
                fiber_wake(tx->db);
        }
        transaction_free(tx);
}

void postgres_crash(struct postgres *pg)
{
        list_for_each_safe(it, &pg->open)
        {
                struct transaction *tx = list_entry(it, struct transaction, in_postgres);
                tx->crashed = true;
        }
}

/* ---- connections ---- */

static int fail_with(struct db *db, int err, const char *sqlstate, const char *text)
{
        db->error = (struct db_error){.class = err == -EINVAL   ? ERROR_POISON
                                              : err == -EPROTO ? ERROR_FATAL
                                                               : ERROR_RETRY};
        snprintf(db->error.sqlstate, sizeof(db->error.sqlstate), "%s", sqlstate);
        snprintf(db->error.text, sizeof(db->error.text), "%s", text);
        return err;
}

int db_refuse(struct db *db, int err, const char *sqlstate, const char *text)
{
        if (db->tx)
                db->tx->failed = true;
        return fail_with(db, err, sqlstate, text);
}

static void let_transaction_go(struct db *db)
{
        struct transaction *tx = db->tx;
        db->tx = NULL;
        if (!tx)
                return;
        tx->db = NULL;
        if (!tx->commit_sent)
                transaction_free(tx);
}

int db_lost(struct db *db, int err)
{
        let_transaction_go(db);
        db->alive = false;
        return fail_with(db, err, "", "the connection is lost");
}

int db_turn(struct db *db)
{
        const struct postgres_faults *f = &db->pg->faults;
        if (!db->alive)
                return fail_with(db, -EIO, "", "no connection");
        fiber_wait(NULL, machine_now_ms() +
                                 (chance(f->slow) ? draw_below(SLOW_MS) : draw_below(CALL_MS)));
        if (event_readable(db->stop_fd))
                return db_lost(db, -ECANCELED);
        if (postgres_is_away(db->pg, db->process) || chance(f->lost) ||
                (db->tx && db->tx->crashed))
                return db_lost(db, -EIO);
        if (db->deadline_ms && machine_now_ms() >= db->deadline_ms)
                return db_lost(db, -ETIMEDOUT);
        if (db->tx && db->tx->failed)
                return fail_with(db, -EPROTO, "25P02", "the transaction is aborted");
        if (chance(f->deadlock))
                return db_refuse(db, -EAGAIN, "40P01", "deadlock detected");
        return 0;
}

int db_look_again(struct db *db)
{
        fiber_wait(NULL, machine_now_ms() + LOCK_LOOK_MS);
        if (event_readable(db->stop_fd))
                return db_lost(db, -ECANCELED);
        if (postgres_is_away(db->pg, db->process) || (db->tx && db->tx->crashed))
                return db_lost(db, -EIO);
        return db->deadline_ms && machine_now_ms() >= db->deadline_ms ? db_lost(db, -ETIMEDOUT) : 0;
}

int db_connect(const struct db_options *o, struct db **ret, char fault[256])
{
        struct postgres *pg = postgres_here();
        struct process *p = process_here();
        CHECK(p);
        fiber_wait(NULL, machine_now_ms() + draw_below(CALL_MS * 2));
        snprintf(fault, 256, "Postgres is away");
        if (event_readable(o->stop_fd))
                return -ECANCELED;
        if (postgres_is_away(pg, p))
                return -EIO;
        struct db *db = xcalloc(1, sizeof(*db));
        *db = (struct db){.pg = pg, .process = p, .alive = true, .stop_fd = o->stop_fd};
        *ret = db;
        return 0;
}

struct db *db_free(struct db *db)
{
        if (!db)
                return NULL;
        let_transaction_go(db);
        free(db);
        return NULL;
}

bool db_alive(struct db *db)
{
        if (db->alive && (postgres_is_away(db->pg, db->process) || (db->tx && db->tx->crashed)))
                db_lost(db, -EIO);
        return db->alive;
}

void db_deadline(struct db *db, int64_t mono_ms)
{
        db->deadline_ms = mono_ms;
}

const struct db_error *db_error(const struct db *db)
{
        return &db->error;
}

/* ---- results ---- */

void db_result_done(struct db_result *r)
{
        result_free(r->handle);
        *r = DB_RESULT_NONE;
}

const char *db_value(const struct db_result *r, size_t row, size_t column)
{
        const struct result *res = r->handle;
        CHECK(res && row < res->rows && column < res->columns);
        return res->values[row * res->columns + column];
}

size_t db_length(const struct db_result *r, size_t row, size_t column)
{
        const struct result *res = r->handle;
        return res->lengths[row * res->columns + column];
}

int64_t db_int(const struct db_result *r, size_t row, size_t column)
{
        const char *v = db_value(r, row, column);
        return v ? strtoll(v, NULL, 10) : 0;
}

/* ---- statements ---- */

int db_exec(struct db *db, const char *sql, struct db_result *ret)
{
        UNUSED(sql);
        if (ret)
                *ret = DB_RESULT_NONE;
        return db_turn(db);
}

int db_run(struct db *db, const struct store_statement *st, const char *const *params,
        size_t param_count, struct db_result *ret)
{
        UNUSED(param_count);
        struct cells c = {.text = BUF_EMPTY};
        uint64_t affected = 0;
        int r = db_turn(db);
        if (r == 0)
                r = db_write_statement(db, st->name, params, &c, &affected);
        struct result *res = cells_seal(&c);
        if (r == 0 && ret)
                *ret = (struct db_result){res->rows, res->columns, affected, res};
        else
                result_free(res);
        return r;
}

int db_begin(struct db *db)
{
        int r = db_turn(db);
        if (r < 0)
                return r;
        CHECK(!db->tx);
        struct transaction *tx = xcalloc(1, sizeof(*tx));
        *tx = (struct transaction){.pg = db->pg, .db = db, .process = db->process};
        for (int t = 0; t < PG_TABLES; t++)
                tx->staged[t].by_key = tx->written[t].by_key = MAP_EMPTY;
        list_push_back(&db->pg->open, &tx->in_postgres);
        db->tx = tx;
        return 0;
}

void db_rollback(struct db *db)
{
        if (!db->tx)
                return;
        fiber_wait(NULL, machine_now_ms() + draw_below(CALL_MS));
        let_transaction_go(db);
}

int db_commit(struct db *db)
{
        const struct postgres_faults *f = &db->pg->faults;
        int r = db_turn(db);
        if (r < 0)
                return r == -EIO && chance(50) ? -EINPROGRESS : r;
        struct transaction *tx = db->tx;
        CHECK(tx);
        if (chance(f->commit_lost)) {
                db_lost(db, -EIO);
                return -EINPROGRESS;
        }
        bool unheard = chance(f->commit_unheard);
        tx->commit_sent = true;
        tx->commit_at_ms = machine_now_ms() + draw_below(unheard ? COMMIT_LATE_MS : CALL_MS);
        db->commit_answered = false;
        fiber_start(NULL, "commit", commit_main, tx);
        if (unheard) {
                fiber_wait(NULL, machine_now_ms() + draw_below(COMMIT_LATE_MS));
                if (!db->commit_answered || chance(50)) {
                        db_lost(db, -EIO);
                        return -EINPROGRESS;
                }
        }
        while (!db->commit_answered)
                fiber_wait(db, machine_now_ms() + 1000);
        if (!db->commit_happened) {
                db_lost(db, -EIO);
                return -EINPROGRESS;
        }
        return 0;
}
