/*
 * postgres - the simulated database: its tables, and what goes wrong with it.
 *
 *   pg_table.c   tables, rows, and rows in COPY format
 *   pg_result.c  answers as text
 *   pg_select.c  the statements of the gateways, found by their names
 *   store.c      store/store.h on it: one job is one snapshot
 *   db.c         store/db.h on it: connections, transactions, locks, and a COMMIT of which nobody hears
 *   db_write.c   the statements of the writer
 *
 * A job takes its time, and fails while the database is away.
 */
#ifndef TERN_SIM_POSTGRES_H
#define TERN_SIM_POSTGRES_H

#include "kafka_log.h"
#include "pg_result.h"
#include "pg_table.h"

#include "base/list.h"

struct store;
struct transaction; /* db.c */

struct place_row { /* ingest_offset */
        char topic[32];
        int32_t partition;
        uint32_t epoch;
        int64_t next_offset, complete_from;
        struct transaction *locked; /* by whom; NULL: nobody */
};

struct life_row { /* log_epoch */
        char topic[32];
        uint32_t epoch, partitions;
};

struct intent_row { /* rekey */
        char topic[32];
        int32_t partition, target;
        uint32_t epoch;
        int64_t offset, target_offset;
        bool done;
};

struct postgres_faults {      /* in percent */
        double slow;          /* of what is asked: takes long */
        double lost;          /* connections, at each statement */
        double deadlock;      /* the server asks to try again */
        double commit_lost;   /* COMMITs that never reach the server, and nobody says so */
        double commit_unheard; /* COMMITs that happen, sooner or later, and nobody says so */
};

struct postgres {
        bool away;
        struct postgres_faults faults;
        struct table tables[PG_TABLES];
        struct place_row *places; /* owned, as are the next */
        size_t place_count, place_cap;
        struct life_row *lives;
        size_t life_count, life_cap;
        struct intent_row *intents;
        size_t intent_count, intent_cap;
        struct list open; /* struct transaction.in_postgres */
        /* A place was moved by a transaction that has just happened; NULL: nobody wants to know. */
        void (*moved)(void *arg, const struct place_row *place, int64_t before);
        void *arg;
};

/* The world's one: what db_connect() connects to. */
struct postgres *postgres_new(void);
struct postgres *postgres_free(struct postgres *pg);
struct postgres *postgres_here(void);
struct store *postgres_store(struct postgres *pg, struct process *p);
/* What was not committed is undone, and every connection is lost. */
void postgres_crash(struct postgres *pg);
bool postgres_is_away(const struct postgres *pg, const struct process *p);

/* The writer's place; made if there is none. */
struct place_row *postgres_place(
        struct postgres *pg, const char *topic, int32_t partition, uint32_t epoch);
/* NULL if there is none. */
const struct place_row *postgres_find_place(
        const struct postgres *pg, const char *topic, int32_t partition, uint32_t epoch);
void postgres_add_life(struct postgres *pg, const char *topic, uint32_t epoch, uint32_t partitions);
/* The newest life of a topic; epoch 0 if there is none. */
struct life_row postgres_life(const struct postgres *pg, const char *topic);
struct intent_row *postgres_add_intent(struct postgres *pg);
/* What a writer does that never errs: the records below until are stored, each id once, and the place moves. */
void postgres_ingest(struct postgres *pg, struct topic *t, int32_t partition, int64_t until);

/* pg_select.c: answers a gateway's statement. */
void postgres_select(
        const struct postgres *pg, const char *name, char *const *params, struct cells *ret);

#endif
