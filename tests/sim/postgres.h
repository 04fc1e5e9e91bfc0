/*
 * postgres - store/store.h on a simulated database, in place of libpq's.
 *
 * What the services' statements say is done here on tables in memory, found by the statement's name. One job is one
 * snapshot. A job takes its time, and fails while the database is away.
 */
#ifndef TERN_SIM_POSTGRES_H
#define TERN_SIM_POSTGRES_H

#include "kafka_log.h"

#include "base/list.h"

struct store;

struct event_row { /* chat_event, notification_event */
        const char *topic;
        int64_t seq, created_ms;
        uint32_t epoch;
        int32_t partition;
        struct slice key, type, id,
                data; /* borrowed from the log, for as long as the world lives */
};

struct place_row { /* ingest_offset */
        const char *topic;
        int32_t partition;
        uint32_t epoch;
        int64_t next_offset, complete_from;
};

struct life_row { /* log_epoch */
        const char *topic;
        uint32_t epoch, partitions;
};

struct postgres {
        bool away;
        double slow;              /* percent of jobs that take long */
        struct event_row *events; /* owned, as are the next; in the order of their commits */
        size_t event_count, event_cap;
        struct place_row *places;
        size_t place_count, place_cap;
        struct life_row *lives;
        size_t life_count, life_cap;
        struct map ids; /* every id that was ever stored, to its event's id bytes */
};

struct postgres *postgres_new(void);
struct postgres *postgres_free(struct postgres *pg);
struct store *postgres_store(struct postgres *pg, struct process *p);

/* The writer's place; made if there is none. */
struct place_row *postgres_place(
        struct postgres *pg, const char *topic, int32_t partition, uint32_t epoch);
/* NULL if there is none. */
const struct place_row *postgres_find_place(
        const struct postgres *pg, const char *topic, int32_t partition, uint32_t epoch);
void postgres_add_life(struct postgres *pg, const char *topic, uint32_t epoch, uint32_t partitions);
/* What a writer does that never errs: the records below until are stored, each id once, and the place moves. */
void postgres_ingest(struct postgres *pg, struct log_model *lm, struct topic *t, int32_t partition,
        int64_t until);
/* True if all of [from, to) of that epoch is in the archive, and said to be. */
bool postgres_has(const struct postgres *pg, const char *topic, int32_t partition, uint32_t epoch,
        int64_t from, int64_t to);

#endif
