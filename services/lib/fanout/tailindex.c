#include "fanout/tailindex.h"

#include <stdlib.h>

#define TAIL_INDEX_CAP_FIRST 64 /* always a power of two */

static uint64_t mix(uint64_t hash, uint16_t topic)
{
        return hash ^ ((uint64_t)topic + 1) * 0x9e3779b97f4a7c15u;
}

static bool holds(const struct tail_entry *e, uint64_t hash, uint16_t topic, struct slice key)
{
        return e->hash == hash && e->newest->topic == topic && slice_eq(record_key(e->newest), key);
}

void tail_index_done(struct tail_index *ix)
{
        free(ix->entries);
        *ix = TAIL_INDEX_EMPTY;
}

static struct tail_entry *vacant(struct tail_entry *entries, size_t cap, uint64_t hash)
{
        size_t i = hash & (cap - 1);
        while (entries[i].pos != 0)
                i = (i + 1) & (cap - 1);
        return &entries[i];
}

/* Rebuilds without the dead, at most half full. */
static void rebuild(struct tail_index *ix, uint64_t first_pos)
{
        size_t live = 0;
        for (size_t i = 0; i < ix->cap; i++)
                live += ix->entries[i].pos >= first_pos && ix->entries[i].pos != 0;
        size_t cap = TAIL_INDEX_CAP_FIRST;
        while (cap < (live + 1) * 2)
                cap *= 2;
        struct tail_entry *entries = xcalloc(cap, sizeof(*entries));
        for (size_t i = 0; i < ix->cap; i++) {
                const struct tail_entry *e = &ix->entries[i];
                if (e->pos >= first_pos && e->pos != 0)
                        *vacant(entries, cap, e->hash) = *e;
        }
        free(ix->entries);
        ix->entries = entries;
        ix->used = live;
        ix->cap = cap;
}

const struct record *tail_index_get(const struct tail_index *ix, uint16_t topic, struct slice key,
        uint64_t hash, uint64_t first_pos)
{
        if (!ix->entries)
                return NULL;
        hash = mix(hash, topic);
        for (size_t i = hash & (ix->cap - 1); ix->entries[i].pos != 0;
                i = (i + 1) & (ix->cap - 1)) {
                const struct tail_entry *e = &ix->entries[i];
                if (e->pos >= first_pos && holds(e, hash, topic, key))
                        return e->newest;
        }
        return NULL;
}

const struct record *tail_index_put(
        struct tail_index *ix, const struct record *r, uint64_t first_pos)
{
        CHECK(r->pos > 0);
        if ((ix->used + 1) * 4 > ix->cap * 3)
                rebuild(ix, first_pos);
        uint64_t hash = mix(r->key_hash, r->topic);
        struct tail_entry *dead = NULL;
        size_t i = hash & (ix->cap - 1);
        for (; ix->entries[i].pos != 0; i = (i + 1) & (ix->cap - 1)) {
                struct tail_entry *e = &ix->entries[i];
                if (e->pos < first_pos) {
                        dead = dead ? dead : e;
                } else if (holds(e, hash, r->topic, record_key(r))) {
                        const struct record *before = e->newest;
                        e->newest = r;
                        e->pos = r->pos;
                        return before;
                }
        }
        struct tail_entry *e = dead ? dead : &ix->entries[i];
        ix->used += !dead;
        *e = (struct tail_entry){hash, r->pos, r};
        return NULL;
}
