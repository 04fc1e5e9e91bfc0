/*
 * tailindex - the newest record of each (topic, key) in the tail, for one thread's view of the log.
 *
 * Each shard has one, and so has the bus thread, which links a new record to the one found here. Records
 * vanish from the tail in the bus's order; an entry whose record is gone (pos < first_pos) counts as absent
 * without its memory being looked at, and its room is reclaimed when the table is rebuilt.
 */
#ifndef TERN_FANOUT_TAILINDEX_H
#define TERN_FANOUT_TAILINDEX_H

#include "fanout/record.h"

struct tail_entry {
        uint64_t hash, pos;          /* pos 0 = empty */
        const struct record *newest; /* valid while pos >= first_pos */
};

struct tail_index {
        struct tail_entry *entries; /* owned; NULL while empty */
        size_t used, cap;           /* used counts dead entries too */
};

#define TAIL_INDEX_EMPTY ((struct tail_index){NULL, 0, 0})

void tail_index_done(struct tail_index *ix);
/* hash is hash_key(key). NULL if there is none. */
const struct record *tail_index_get(const struct tail_index *ix, uint16_t topic, struct slice key,
        uint64_t hash, uint64_t first_pos);
/* r (pos > 0) is its key's newest from now on; returns the one before it, or NULL. */
const struct record *tail_index_put(
        struct tail_index *ix, const struct record *r, uint64_t first_pos);

#endif
