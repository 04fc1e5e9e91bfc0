/*
 * arena - memory of one batch: taken piece by piece, given back at once.
 *
 * Owner: whoever holds the batch.
 */
#ifndef TERN_WRITER_ARENA_H
#define TERN_WRITER_ARENA_H

#include "base/check.h"
#include "base/slice.h"

struct arena_block; /* private */

struct arena {
        struct arena_block *blocks; /* owned; the first one is being filled */
        size_t bytes;               /* taken so far */
};

#define ARENA_EMPTY ((struct arena){NULL, 0})

/* n bytes, aligned for anything, not cleared. */
void *arena_take(struct arena *a, size_t n);
/* p NULL stays NULL; else a copy, also of an empty one. */
struct slice arena_slice(struct arena *a, struct slice s);
/* A copy with a NUL. */
char *arena_text(struct arena *a, struct slice s);
/* Gives everything back. */
void arena_reset(struct arena *a);

#endif
