#include "store/migrate.h"
#include "store/db.h"
#include "store/store.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Any number that nobody else locks: "tern" in ASCII. */
#define LOCK_KEY "1952805486"

static const struct store_statement insert_row = {
        "migrate_insert",
        "INSERT INTO schema_migration (version, name, checksum) VALUES ($1::int, $2, $3)",
};

static int fail(struct db *db, int err, const char *what, char fault[256])
{
        snprintf(fault, 256, "%.80s: %.170s", what, db_error(db)->text);
        return err;
}

static const struct migration *find(const struct migration *m, size_t count, int64_t version)
{
        for (size_t i = 0; i < count; i++)
                if (m[i].version == version)
                        return &m[i];
        return NULL;
}

/* Compares what is applied with what this build has. *ret_newest: the newest version applied, 0 none. */
static int compare(
        struct db *db, const struct migration *m, size_t count, int *ret_newest, char fault[256])
{
        struct db_result res = DB_RESULT_NONE;
        int r = db_exec(
                db, "SELECT version, name, checksum FROM schema_migration ORDER BY version", &res);
        if (r < 0)
                return fail(db, r, "the schema's version cannot be read", fault);
        *ret_newest = 0;
        for (size_t i = 0; r == 0 && i < res.rows; i++) {
                const struct migration *known = find(m, count, db_int(&res, i, 0));
                if (!known) {
                        snprintf(fault, 256,
                                "the schema is too new: it has migration %s (%.100s), this build "
                                "knows %zu",
                                db_value(&res, i, 0), db_value(&res, i, 1), count);
                        r = -EINVAL;
                } else if (strcmp(known->checksum, db_value(&res, i, 2)) != 0) {
                        snprintf(fault, 256,
                                "migration %04d_%s is not the one that was applied: its checksum "
                                "differs",
                                known->version, known->name);
                        r = -EINVAL;
                } else {
                        *ret_newest = known->version;
                }
        }
        db_result_done(&res);
        return r;
}

/* One transaction: the file and its row. */
static int apply(struct db *db, const struct migration *m, char fault[256])
{
        char version[16], what[80];
        snprintf(version, sizeof(version), "%d", m->version);
        snprintf(what, sizeof(what), "migration %04d_%.50s fails", m->version, m->name);
        const char *params[] = {version, m->name, m->checksum};
        int r = db_begin(db);
        if (r == 0)
                r = db_exec(db, m->sql, NULL);
        if (r == 0)
                r = db_run(db, &insert_row, params, ARRAY_LEN(params), NULL);
        if (r == 0)
                r = db_commit(db);
        if (r < 0) {
                fail(db, r, what, fault);
                db_rollback(db);
        }
        return r;
}

static int migrate_locked(struct db *db, const struct migration *m, size_t count,
        migrate_progress progress, void *arg, char fault[256])
{
        int r = db_exec(db,
                "CREATE TABLE IF NOT EXISTS schema_migration ("
                "version int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at "
                "timestamptz NOT NULL DEFAULT now())",
                NULL);
        if (r < 0)
                return fail(db, r, "the table of migrations cannot be made", fault);
        int newest = 0;
        r = compare(db, m, count, &newest, fault);
        for (size_t i = 0; r == 0 && i < count; i++) {
                bool fresh = m[i].version > newest;
                if (fresh)
                        r = apply(db, &m[i], fault);
                if (r == 0 && progress)
                        progress(arg, &m[i], fresh);
        }
        return r;
}

int store_migrate(struct db *db, const struct migration *m, size_t count, migrate_progress progress,
        void *arg, char fault[256])
{
        /* The lock is the session's: it outlives the transactions, and a death gives it back. */
        int r = db_exec(db, "SELECT pg_advisory_lock(" LOCK_KEY ")", NULL);
        if (r < 0)
                return fail(db, r, "the lock of migrations is not to be had", fault);
        r = migrate_locked(db, m, count, progress, arg, fault);
        /* Without a connection the lock is free already. */
        (void)!db_exec(db, "SELECT pg_advisory_unlock(" LOCK_KEY ")", NULL);
        return r;
}

int db_schema_check(struct db *db, char fault[256])
{
        struct db_result res = DB_RESULT_NONE;
        int r = db_exec(db, "SELECT to_regclass('schema_migration') IS NOT NULL", &res);
        if (r < 0)
                return fail(db, r, "the schema's version cannot be read", fault);
        bool exists = db_value(&res, 0, 0)[0] == 't';
        db_result_done(&res);
        int newest = 0;
        if (exists)
                r = compare(db, migrations_embedded, migrations_embedded_count, &newest, fault);
        int expected = migrations_embedded[migrations_embedded_count - 1].version;
        if (r == 0 && newest < expected) {
                snprintf(fault, 256,
                        "the schema is too old: it is at version %d, this build needs %d (run "
                        "ternctl migrate)",
                        newest, expected);
                r = -EINVAL;
        }
        return r;
}

int schema_check(const struct store_settings *s, char fault[256])
{
        struct db *db = NULL;
        const char *dsn = db_dsn(s, fault);
        if (!dsn)
                return -EINVAL;
        const struct db_options o = {.dsn = dsn,
                .application = "tern",
                .connect_ms = s->timeout_ms,
                .read_only = true,
                .stop_fd = -1};
        if (db_connect(&o, &db, fault) < 0)
                return 0;
        db_deadline(db, clock_mono_ms() + s->timeout_ms);
        int r = db_schema_check(db, fault);
        db_free(db);
        /* What is away may come; what is refused will not. */
        return r == -EINVAL || r == -EPROTO ? -EINVAL : 0;
}
