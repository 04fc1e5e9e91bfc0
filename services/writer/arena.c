#include "writer/arena.h"

#include <stdlib.h>

#define BLOCK_BYTES ((size_t)256 * 1024)
#define ALIGN _Alignof(max_align_t)

struct arena_block {
        struct arena_block *next;
        size_t used, cap;
        _Alignas(max_align_t) char bytes[];
};

void *arena_take(struct arena *a, size_t n)
{
        size_t size = (n + ALIGN - 1) / ALIGN * ALIGN;
        struct arena_block *b = a->blocks;
        if (!b || b->cap - b->used < size) {
                size_t cap = size > BLOCK_BYTES ? size : BLOCK_BYTES;
                b = xmalloc(sizeof(*b) + cap);
                b->used = 0;
                b->cap = cap;
                b->next = a->blocks;
                a->blocks = b;
        }
        void *p = b->bytes + b->used;
        b->used += size;
        a->bytes += size;
        return p;
}

struct slice arena_slice(struct arena *a, struct slice s)
{
        if (!s.p)
                return s;
        char *p = arena_take(a, s.n ? s.n : 1);
        memcpy(p, s.p, s.n);
        return slice_of(p, s.n);
}

char *arena_text(struct arena *a, struct slice s)
{
        char *p = arena_take(a, s.n + 1);
        if (s.n)
                memcpy(p, s.p, s.n);
        p[s.n] = '\0';
        return p;
}

void arena_reset(struct arena *a)
{
        while (a->blocks) {
                struct arena_block *next = a->blocks->next;
                free(a->blocks);
                a->blocks = next;
        }
        a->bytes = 0;
}
