#include "proto/arena.h"

#include "base/check.h"

#include <stdlib.h>

#define BLOCK_BYTES 1024

struct block {
        struct block *next;
        size_t used, cap;
        char bytes[];
};

char *arena_copy(void **arena, struct slice s)
{
        struct block *b = *arena;
        if (!b || b->cap - b->used < s.n + 1) {
                size_t cap = s.n + 1 > BLOCK_BYTES ? s.n + 1 : BLOCK_BYTES;
                b = xmalloc(sizeof(*b) + cap);
                b->next = *arena;
                b->used = 0;
                b->cap = cap;
                *arena = b;
        }
        char *at = b->bytes + b->used;
        if (s.n)
                memcpy(at, s.p, s.n);
        at[s.n] = '\0';
        b->used += s.n + 1;
        return at;
}

void arena_free(void *arena)
{
        struct block *b = arena;
        while (b) {
                struct block *next = b->next;
                free(b);
                b = next;
        }
}
