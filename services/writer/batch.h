/*
 * batch - some records of the log, judged, on their way to one transaction.
 *
 * A record is copied into the batch's arena and gets a verdict: store it, set it aside as a dead letter, publish it again
 * under its right key, or pass over it because its id came before. Each item knows the place of its
 * partition before and after it, so that any run of items that follow each other can be committed by itself.
 *
 * Owner: the intake while it fills, then the committer, then the intake again. Never both.
 */
#ifndef TERN_WRITER_BATCH_H
#define TERN_WRITER_BATCH_H

#include "writer/arena.h"

#include "base/map.h"
#include "bus/bus.h"
#include "proto/event.h"

enum writer_topic {
        TOPIC_EVENTS,
        TOPIC_RECEIPTS,
        TOPIC_SESSIONS,
        TOPIC_NOTIFICATIONS,
        TOPIC_BROADCASTS,
        TOPIC_REDRIVE,
        TOPIC_COUNT,
};
extern const char *const writer_topics[TOPIC_COUNT];
/* TOPIC_COUNT if it is none of them. */
enum writer_topic writer_topic_of(struct slice name);

#define SEQ_EPOCH_SHIFT 40
static inline int64_t seq_of(uint32_t epoch, int64_t offset)
{
        return ((int64_t)epoch << SEQ_EPOCH_SHIFT) + offset;
}

/* A partition in one life of its topic. */
struct part {
        enum writer_topic topic;
        int32_t partition;
        uint32_t epoch;
        uint32_t partitions; /* of the topic, in this epoch */
        /* The topic has grown: what stands before grown_from may lie where the count of the epoch before put it. 0: it has not. */
        int64_t grown_from;
        uint32_t partitions_before;
        uint64_t
                assignment; /* number of the assignment that brought it: what is known of an earlier one does not count */
        int64_t after; /* place after the last item in the batch */
        int64_t sent_before; /* what stands before it was sent on already, before its place was set back */
        int64_t committed; /* place in Postgres, set by the committer; -1: nothing yet */
        bool fenced;       /* another writer moved it, or its epoch is over: set by the committer */
};

enum item_kind {
        ITEM_STORE,
        ITEM_DEAD,     /* error says why */
        ITEM_REKEY,    /* key and target say where to */
        ITEM_REPEATED, /* its id came before, in this batch or in Postgres */
        ITEM_PLACE,    /* no record: the partition's end lies beyond its last one */
        ITEM_IGNORED,  /* nothing can be done with it: a redriven record without a place */
};

/* Where the uniqueness of an event's id is kept. */
enum id_class { ID_NONE, ID_MESSAGE, ID_NOTIFICATION, ID_BROADCAST, ID_EVENT, ID_CLASS_COUNT };

struct item {
        enum item_kind kind;
        enum id_class id_class;
        uint32_t part; /* index into batch.parts: the place that it moves */
        const struct part
                *origin; /* of a redriven record: where it stood once; else NULL. In the arena */
        int32_t target;  /* ITEM_REKEY: partition */
        int64_t before, after, seq, created_ms;
        struct bus_record record; /* as it was read; in the arena */
        struct slice key, id, type, value,
                source;            /* in binary mode; ITEM_REKEY: the key that it should have */
        struct event event;        /* ITEM_STORE, ITEM_REPEATED: owned */
        struct event_error *error; /* ITEM_DEAD; in the arena */
        bool sent;                 /* its dead letter or its copy stands in the log */
        bool erased;               /* of an erased user, and nothing of it may be stored */
        bool known; /* Postgres has its id from an earlier record: of the transaction under way only */
};

struct batch {
        struct arena arena;
        struct item *items; /* owned array of cap */
        size_t count, cap;
        struct part *parts; /* owned array of part_cap */
        size_t part_count, part_cap;
        struct map ids[ID_CLASS_COUNT]; /* ids of the batch, to the item's index + 1 */
        int64_t opened_ms;              /* monotonic: when the first item came */
        size_t committed;               /* items before it are in Postgres */
        bool abandoned;                 /* the committer gave up on the rest */
};

struct batch *batch_new(void);
struct batch *batch_free(struct batch *b);
/* Where an item's record belongs: its origin, or where it was read. */
static inline const struct part *item_home(const struct batch *b, const struct item *it)
{
        return it->origin ? it->origin : &b->parts[it->part];
}
/* Empties it for the next records. */
void batch_reset(struct batch *b);

/* The index of a partition in the batch, added if it is new; of is copied. */
uint32_t batch_part(struct batch *b, const struct part *of);
/* Copies and judges a record; before: the partition's place. */
void batch_add(struct batch *b, uint32_t part, const struct bus_record *r, int64_t before,
        int64_t now_wall_ms);
/* The place moves to after, and no record is there. */
void batch_add_place(struct batch *b, uint32_t part, int64_t before, int64_t after);
static inline size_t batch_bytes(const struct batch *b)
{
        return b->arena.bytes;
}

/* Turns an item into a dead letter. */
void item_kill(struct batch *b, struct item *it, enum event_fault fault, const char *field,
        const char *message);

#endif
