/*
 * arena - the strings of one event, freed at once.
 */
#ifndef TERN_PROTO_ARENA_H
#define TERN_PROTO_ARENA_H

#include "base/slice.h"

/* A NUL-terminated copy that lives until arena_free(); *arena starts as NULL. */
char *arena_copy(void **arena, struct slice s);
void arena_free(void *arena);

#endif
