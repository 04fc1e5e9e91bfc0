/*
 * kafka_log - the simulated Kafka's topics: what was ever written to them, and what is left of it.
 *
 * It is the model as well: every record keeps what Tern's rules make of it (the first of its id, a duplicate, in the wrong
 * partition), told when it is written and from the log alone. A topic that is made anew keeps its former
 * lives, so that what a client has had can still be looked up. Owner: the world; the services see it by way of kafka.c.
 */
#ifndef TERN_SIM_KAFKA_LOG_H
#define TERN_SIM_KAFKA_LOG_H

#include "fiber.h"

#include "base/map.h"
#include "bus/bus.h"

#define LIVES_MAX 8
#define ENTRY_HEADERS_MAX 20
#define SEQ_SHIFT 40

enum entry_kind {
        ENTRY_FIRST,     /* counts */
        ENTRY_DUPLICATE, /* its id stood in this partition within the window before it */
        ENTRY_LATE, /* its id stood there longer ago: a gateway may show it, the archive keeps the first */
        ENTRY_FOREIGN, /* in the wrong partition for its key */
        ENTRY_HIDDEN,  /* of a transaction that was aborted, or a mark: only its offset is seen */
};

enum entry_plan { /* what the writer is to do with it; told by who writes the record */
        PLAN_STORE,   /* the first of its id: a row */
        PLAN_DEAD,    /* no valid record: a dead letter */
        PLAN_REFUSED, /* valid, and Postgres does not take it: a dead letter */
        PLAN_REKEY,   /* it stands in the wrong place: a copy in the right one */
};

struct entry {
        enum entry_kind kind;
        enum entry_plan plan;
        uint32_t epoch;
        int32_t partition;
        int64_t offset, timestamp_ms, first_offset;
        struct slice key, id, type, value; /* owned; NUL-terminated */
        struct bus_header *headers;        /* owned: the others */
        size_t header_count;
        bool lost; /* neither the log nor the archive will ever have it again: nobody is owed it */
};

struct id_seen { /* of one partition */
        int64_t first_offset, timestamp_ms;
};

struct partition {
        struct entry **entries; /* owned */
        size_t count, cap;
        int64_t low, end;
        struct map ids; /* id -> struct id_seen */
};

struct life {
        uint32_t partitions; /* 0: there was no such life */
        struct partition *of;
        bool gone; /* the topic was made anew: nothing of it can be read from Kafka */
};

struct topic {
        const char *name;
        bool dedupe, foreign_check;
        uint32_t epoch; /* the present life; from 1 */
        struct life lives[LIVES_MAX];
};

#define LOG_TOPICS_MAX 16

struct log_model {
        struct topic topics[LOG_TOPICS_MAX];
        size_t count;
        int64_t dedupe_window_ms;
        /* Told of each entry that is not hidden. */
        void (*appended)(void *arg, const struct topic *t, struct entry *e);
        void *arg;
};

/* Owned copies of a record's headers, without its id and type. */
struct bus_header *headers_own(const struct bus_record *r, size_t *ret_count);
void headers_free(struct bus_header *h, size_t count);

void log_model_done(struct log_model *lm);
struct topic *log_topic(struct log_model *lm, struct slice name); /* NULL if there is none */
struct topic *log_make(struct log_model *lm, const char *name, uint32_t partitions, bool dedupe,
        bool foreign_check);
struct partition *log_partition(struct topic *t, int32_t partition);
/* The topic is made anew. */
void log_make_anew(struct topic *t, uint32_t partitions);
/* partition -1: the key's. The entry is the log's. */
struct entry *log_append(struct log_model *lm, struct topic *t, int32_t partition, struct slice key,
        struct slice id, struct slice type, struct slice value);
/* With its headers; r->partition as above. */
struct entry *log_append_record(struct log_model *lm, struct topic *t, const struct bus_record *r);
/* n offsets without a record. */
void log_skip(struct topic *t, int32_t partition, int64_t n);
/* The oldest records leave. */
void log_cut(struct topic *t, int32_t partition, int64_t low);
/* Index of the first entry at or after the offset. */
size_t log_find(const struct partition *p, int64_t offset);

static inline int64_t entry_seq(const struct entry *e)
{
        return ((int64_t)e->epoch << SEQ_SHIFT) + e->offset;
}

#endif
