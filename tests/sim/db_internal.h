/*
 * db_internal - a connection of the simulated database and its transaction: what db.c and db_write.c share.
 */
#ifndef TERN_SIM_DB_INTERNAL_H
#define TERN_SIM_DB_INTERNAL_H

#include "postgres.h"

#include "store/db.h"
#include "store/store.h"

struct move { /* of a place */
        size_t place; /* index into postgres.places */
        int64_t before, after;
};

struct transaction {
        struct list in_postgres;
        struct postgres *pg;
        struct db *db; /* NULL: whose it was has gone */
        struct process *process;
        struct table staged[PG_TABLES];  /* COPY into stage_… */
        struct table written[PG_TABLES]; /* rows that are new */
        bool merges[PG_TABLES];          /* the staged rows are laid over those that are there */
        struct move *moves;              /* owned */
        size_t move_count;
        size_t *done_intents; /* owned: indexes into postgres.intents */
        size_t done_count;
        bool failed; /* until it is rolled back nothing goes any more */
        bool commit_sent, crashed;
        int64_t commit_at_ms;
};

struct db {
        struct postgres *pg;
        struct process *process;
        bool alive;
        int stop_fd;
        int64_t deadline_ms;
        struct db_error error;
        struct transaction *tx;
        bool commit_answered, commit_happened;
};

/* Transactions whose process has died, or whose connection is lost, are undone. */
void transactions_reap(struct postgres *pg);
/* A round trip: takes its time, and may fail with a code of db.h. */
int db_turn(struct db *db);
/* Waits a moment for somebody else's lock. 0 or a code of db.h. */
int db_look_again(struct db *db);
/* The server refuses; the transaction is aborted. Returns err. */
int db_refuse(struct db *db, int err, const char *sqlstate, const char *text);
/* Returns err. */
int db_lost(struct db *db, int err);

/* db_write.c: the writer's statements. */
int db_write_statement(struct db *db, const char *name, const char *const *params, struct cells *ret,
        uint64_t *ret_affected);

#endif
