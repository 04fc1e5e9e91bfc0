#include "feed/tail.h"

#include <stdlib.h>

#define SLAB_BYTES (256u * 1024)

size_t record_size(size_t n)
{
        return (sizeof(struct record) + n + 7) & ~(size_t)7;
}

static struct slab *slab_new(size_t first)
{
        size_t cap = first > SLAB_BYTES ? first : SLAB_BYTES;
        /* Large blocks come from mmap: what is not written to costs nothing. */
        struct slab *s = xmalloc(sizeof(*s) + cap);
        *s = (struct slab){.cap = cap};
        return s;
}

static struct record *slab_take(struct slab *s, size_t size)
{
        struct record *r = (struct record *)(void *)(s->data + s->used);
        s->used += size;
        memset(r, 0, sizeof(*r));
        return r;
}

struct record *tail_add(struct tail *t, size_t n, uint64_t pos, int64_t now_ms, int64_t slab_age_ms)
{
        size_t size = record_size(n);
        struct slab *s = t->newest;
        if (!s || s->cap - s->used < size || now_ms - s->born_ms > slab_age_ms) {
                s = slab_new(size);
                s->born_ms = now_ms;
                t->bytes += sizeof(*s) + s->cap;
                if (t->newest)
                        t->newest->next = s;
                else
                        t->oldest = s;
                t->newest = s;
        }
        s->last_pos = pos;
        s->newest_ms = now_ms;
        return slab_take(s, size);
}

struct record *slab_add(struct slab **chain, size_t n)
{
        size_t size = record_size(n);
        if (!*chain || (*chain)->cap - (*chain)->used < size) {
                struct slab *s = slab_new(size);
                s->next = *chain;
                *chain = s;
        }
        return slab_take(*chain, size);
}

struct slab *tail_evict(struct tail *t, size_t bytes_max, int64_t oldest_ms)
{
        struct slab *s = t->oldest;
        if (!s || (t->bytes <= bytes_max && s->newest_ms >= oldest_ms))
                return NULL;
        t->oldest = s->next;
        if (!t->oldest)
                t->newest = NULL;
        t->bytes -= sizeof(*s) + s->cap;
        s->next = NULL;
        return s;
}

struct record *slab_next(struct slab *s, size_t *at)
{
        if (*at >= s->used)
                return NULL;
        struct record *r = (struct record *)(void *)(s->data + *at);
        *at += record_size((size_t)r->key_n + r->id_n + r->type_n + r->trace_n + r->value_n);
        return r;
}

struct slab *slab_free(struct slab *s)
{
        while (s) {
                struct slab *next = s->next;
                free(s);
                s = next;
        }
        return NULL;
}

void tail_done(struct tail *t)
{
        slab_free(t->oldest);
        *t = TAIL_EMPTY;
}
