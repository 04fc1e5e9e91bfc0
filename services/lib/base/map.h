/*
 * map - a hash table from byte strings to pointers, open addressing, keyed hash.
 *
 * The table borrows its keys: each key's bytes must live in the element it maps to (or longer)
 * until it is removed. Values are borrowed and never NULL. One owner thread; no iteration while
 * changing, except map_remove() of the element under the iterator.
 */
#ifndef TERN_BASE_MAP_H
#define TERN_BASE_MAP_H

#include "base/check.h"
#include "base/slice.h"

struct map_slot; /* private */

struct map {
        struct map_slot *slots; /* owned; NULL while empty */
        size_t count, used, cap;
};

#define MAP_EMPTY ((struct map){NULL, 0, 0, 0})

void map_done(struct map *m);
/* The value, or NULL. */
void *map_get(const struct map *m, struct slice key);
/* As map_get() with hash_key(key) computed by the caller once for many tables. */
void *map_get_hashed(const struct map *m, struct slice key, uint64_t hash);
/* Adds or replaces; returns the replaced value or NULL. The new key's bytes are borrowed. */
void *map_put(struct map *m, struct slice key, void *value);
void *map_put_hashed(struct map *m, struct slice key, uint64_t hash, void *value);
/* Returns the removed value, or NULL. */
void *map_remove(struct map *m, struct slice key);
/* Iteration: size_t it = 0; while ((v = map_next(&m, &it))) … */
void *map_next(const struct map *m, size_t *it);

#endif
