#include "base/map.h"

#include "base/hash.h"

#include <stdlib.h>

/* Linear probing; a removed slot stays marked until the table is rebuilt. */
struct map_slot {
        uint64_t hash;
        struct slice key;
        void *value; /* NULL = empty, TOMB = removed */
};

static char tomb_place;
#define TOMB ((void *)&tomb_place)

void map_done(struct map *m)
{
        free(m->slots);
        *m = MAP_EMPTY;
}

static struct map_slot *find(const struct map *m, struct slice key, uint64_t hash)
{
        if (!m->slots)
                return NULL;
        for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
                struct map_slot *s = &m->slots[i];
                if (!s->value)
                        return NULL;
                if (s->value != TOMB && s->hash == hash && slice_eq(s->key, key))
                        return s;
        }
}

void *map_get_hashed(const struct map *m, struct slice key, uint64_t hash)
{
        struct map_slot *s = find(m, key, hash);
        return s ? s->value : NULL;
}

void *map_get(const struct map *m, struct slice key)
{
        return m->count ? map_get_hashed(m, key, hash_key(key)) : NULL;
}

static void insert(struct map *m, struct slice key, uint64_t hash, void *value)
{
        size_t i = hash & (m->cap - 1);
        while (m->slots[i].value)
                i = (i + 1) & (m->cap - 1);
        m->slots[i] = (struct map_slot){hash, key, value};
        m->used++;
        m->count++;
}

/* Keeps the table at most three quarters full of live and removed slots. */
static void make_room(struct map *m)
{
        if (m->slots && (m->used + 1) * 4 <= m->cap * 3)
                return;
        size_t cap = 8;
        while ((m->count + 1) * 2 > cap)
                cap *= 2;
        struct map old = *m;
        m->slots = xcalloc(cap, sizeof(*m->slots));
        m->cap = cap;
        m->count = m->used = 0;
        for (size_t i = 0; i < old.cap; i++)
                if (old.slots[i].value && old.slots[i].value != TOMB)
                        insert(m, old.slots[i].key, old.slots[i].hash, old.slots[i].value);
        free(old.slots);
}

void *map_put_hashed(struct map *m, struct slice key, uint64_t hash, void *value)
{
        CHECK(value);
        struct map_slot *s = find(m, key, hash);
        if (s) {
                void *old = s->value;
                s->key = key;
                s->value = value;
                return old;
        }
        make_room(m);
        insert(m, key, hash, value);
        return NULL;
}

void *map_put(struct map *m, struct slice key, void *value)
{
        return map_put_hashed(m, key, hash_key(key), value);
}

void *map_remove(struct map *m, struct slice key)
{
        struct map_slot *s = m->count ? find(m, key, hash_key(key)) : NULL;
        if (!s)
                return NULL;
        void *old = s->value;
        s->value = TOMB;
        s->key = SLICE_NONE;
        if (--m->count == 0) {
                free(m->slots);
                *m = MAP_EMPTY;
        }
        return old;
}

void *map_next(const struct map *m, size_t *it)
{
        while (*it < m->cap) {
                void *v = m->slots[(*it)++].value;
                if (v && v != TOMB)
                        return v;
        }
        return NULL;
}
