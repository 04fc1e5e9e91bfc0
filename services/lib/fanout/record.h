/*
 * record - one record of the log as a gateway keeps it: frozen bytes in a slab of the tail, linked
 * to the previous record of its key.
 *
 * Made by the bus thread (feed/tail.h) or from a Postgres row or a seek reader (then loose: no
 * links). Shards read it and never change it, but for the shared frame, which whoever needs it
 * first makes and publishes with a compare-and-swap.
 */
#ifndef TERN_FANOUT_RECORD_H
#define TERN_FANOUT_RECORD_H

#include "base/slice.h"
#include "fanout/msg.h"
#include <stdatomic.h>

#define SEQ_EPOCH_SHIFT 40 /* seq = epoch * 2^40 + offset: increasing, and exact in JavaScript */
#define RECORD_FRAMES 2    /* shared variants; which is which is the application's */

enum {
        RECORD_DUPLICATE =
                1, /* its id stood earlier in the partition: shown to nobody; original_offset says where */
        RECORD_FOREIGN =
                2, /* wrong partition for its key: shown to nobody, the writer publishes it again */
        RECORD_LOOSE = 4, /* from Postgres or a seek reader; not in the tail */
};

struct record {
        uint64_t pos;              /* place in the bus's order, from 1; 0 if loose */
        uint64_t prev_pos;         /* of the previous record with this topic and key; 0 = none */
        const struct record *prev; /* valid while prev_pos >= the tail's first pos */
        uint64_t key_hash;         /* hash_key(key) */
        int64_t offset, original_offset;
        int64_t timestamp_ms;
        uint32_t epoch;
        int32_t slot;   /* cursor slot, -1 if the topic bears no cursor */
        uint16_t topic; /* index into the feed's topic table */
        uint16_t partition;
        uint32_t flags;
        uint32_t key_n, id_n, type_n, trace_n, value_n;
        _Atomic(struct msg *) frames[RECORD_FRAMES]; /* one reference each */
        /* key, id, type, traceparent, value; in that order. Other headers are not kept: there may be a
         * million records, and nothing asks for them. */
        char bytes[];
};

static inline struct slice record_key(const struct record *r)
{
        return slice_of(r->bytes, r->key_n);
}
static inline struct slice record_id(const struct record *r)
{
        return slice_of(r->bytes + r->key_n, r->id_n);
}
static inline struct slice record_type(const struct record *r)
{
        return slice_of(r->bytes + r->key_n + r->id_n, r->type_n);
}
/* The traceparent header (W3C Trace Context); n 0 if there was none. */
static inline struct slice record_trace(const struct record *r)
{
        return slice_of(r->bytes + r->key_n + r->id_n + r->type_n, r->trace_n);
}
static inline struct slice record_value(const struct record *r)
{
        return slice_of(r->bytes + r->key_n + r->id_n + r->type_n + r->trace_n, r->value_n);
}
/* Releases the shared frames: the record's owner calls it when every shard has delivered the record. */
void record_drop_frames(struct record *r);
static inline int64_t record_seq(const struct record *r)
{
        return ((int64_t)r->epoch << SEQ_EPOCH_SHIFT) + r->offset;
}

#endif
