/*
 * migrate - brings a database to the schema that this build knows, and says whether it is there.
 *
 * A migration is one file of migrations/, embedded at build. Each runs in a transaction together with its row in
 * schema_migration, so a death half-way leaves nothing behind; an advisory lock makes several runs at once take turns.
 * A file that changed after it was applied is refused: its checksum stands in its row.
 *
 * Services do not migrate. They compare the newest version applied with the newest embedded, and refuse to start on
 * any other.
 */
#ifndef TERN_STORE_MIGRATE_H
#define TERN_STORE_MIGRATE_H

#include "base/check.h"

#include <stdbool.h>
#include <stddef.h>

struct db;
struct store_settings;

struct migration {
        int version;          /* 1, 2, … from the file's name */
        const char *name;     /* "create_log_positions" */
        const char *checksum; /* SHA-256 of the file, hex */
        const char *sql;
};
/* By version, ascending. */
extern const struct migration migrations_embedded[];
extern const size_t migrations_embedded_count;

/* Told of each migration after it was applied (fresh) or found applied. */
typedef void (*migrate_progress)(void *arg, const struct migration *m, bool fresh);

/* 0, or a code of db.h, or -EINVAL with a sentence in fault: a file changed after it was applied, the database is newer than
 * this build, a migration fails. What was applied before the failure stays. */
MUST_CHECK int store_migrate(struct db *db, const struct migration *m, size_t count,
        migrate_progress progress, void *arg, char fault[256]);

/* 0: the schema is this build's. -EINVAL: too old, too new or changed, with a sentence in fault. Else a code of db.h. */
MUST_CHECK int db_schema_check(struct db *db, char fault[256]);
/* The same on a connection of its own, for a service that starts also while Postgres is away: then 0. Waits at most
 * timeout_ms of the settings. */
MUST_CHECK int schema_check(const struct store_settings *s, char fault[256]);

#endif
