/*
 * tail - the slabs that hold the newest part of the log.
 *
 * The bus thread appends records, one after the other; whole slabs leave at the old end, by bytes and age. A slab
 * that has left still stands in memory until each shard has heard of it (it travels with the batch that says so).
 * Records of which nobody will ask again (typing, duplicates) live in a chain of their own for the time of one batch.
 */
#ifndef TERN_FEED_TAIL_H
#define TERN_FEED_TAIL_H

#include "fanout/record.h"

struct slab {
        struct slab *next;          /* owned: newer ones of the tail, or the rest of a chain */
        size_t cap, used;           /* bytes */
        uint64_t last_pos;          /* of its newest record */
        int64_t born_ms, newest_ms; /* arrival of its first and its newest record; monotonic */
        char data[];
};

struct tail {
        struct slab *oldest, *newest; /* owned */
        size_t bytes;                 /* of the slabs' memory */
};

#define TAIL_EMPTY ((struct tail){NULL, NULL, 0})

/* Bytes of a record whose variable part is n bytes. */
size_t record_size(size_t n);
/* Room for a record, zeroed head. slab_age_ms: a slab takes records for that long. */
struct record *tail_add(
        struct tail *t, size_t n, uint64_t pos, int64_t now_ms, int64_t slab_age_ms);
/* The same for a chain that lives as long as one batch. */
struct record *slab_add(struct slab **chain, size_t n);
/* Takes the oldest slab out if the tail is over bytes_max or the slab's newest record came before oldest_ms; NULL if neither. */
struct slab *tail_evict(struct tail *t, size_t bytes_max, int64_t oldest_ms);
/* Iterates over a slab's records: *at starts as 0; NULL at the end. */
struct record *slab_next(struct slab *s, size_t *at);
/* Frees a chain; NULL is fine; returns NULL. */
struct slab *slab_free(struct slab *s);
void tail_done(struct tail *t);

#endif
