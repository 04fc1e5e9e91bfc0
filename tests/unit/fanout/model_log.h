/*
 * The world of the model test: a log of several topics, epochs and partitions, in which everything
 * that ever happened can be looked up. Gateways read it in orders of their own; "Postgres" answers from it.
 */
#ifndef MODEL_LOG_H
#define MODEL_LOG_H

#include "fanout/fanout.h"

#include "base/hash.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { EVENTS, NOTES, SIGNALS, RECEIPTS, TOPICS };
enum { EPOCHS_MAX = 6, PARTS = 4, KEYS = 9, RECORDS_MAX = 4096 };

static const struct fanout_topic model_topics[TOPICS] = {
        [EVENTS] = {"events", PARTS, .cursor = true, .rooms = true, .by_key = true, .room_class = 0,
                .epoch = 1},
        [NOTES] = {"notes", 1, .cursor = true, .rooms = true, .by_key = true, .room_class = 1,
                .epoch = 1},
        [SIGNALS] = {"signals", 2, .rooms = true, .all = true, .room_class = 0, .epoch = 1},
        [RECEIPTS] = {"receipts", 2, .rooms = true, .room_class = 0, .room_until = '/', .epoch = 1},
};

/* What a record means to the model's application. */
enum kind { PLAIN = 'p', MUTE = 'm', UNMUTE = 'u', INVALID = 'x', SKIPPED = 's' };

struct entry {
        int64_t offset, original;
        uint32_t epoch, flags;
        uint16_t topic, partition;
        int key; /* index */
        char kind;
        uint64_t id;
};

struct part {
        struct entry *items[RECORDS_MAX];
        size_t count;
        int64_t end; /* next offset */
};

struct world {
        uint64_t random;
        uint32_t epoch[TOPICS];
        struct part parts[TOPICS][EPOCHS_MAX][PARTS];
        uint64_t ids;
        size_t total;
};

static inline uint32_t roll(struct world *w, uint32_t n)
{
        w->random ^= w->random << 13;
        w->random ^= w->random >> 7;
        w->random ^= w->random << 17;
        return (uint32_t)((w->random >> 20) % n);
}
static inline bool chance(struct world *w, uint32_t percent)
{
        return roll(w, 100) < percent;
}

static inline size_t key_text(uint16_t topic, int key, char dst[32])
{
        return (size_t)snprintf(dst, 32, topic == RECEIPTS ? "key-%d/user" : "key-%d", key);
}
static inline uint16_t key_partition(uint16_t topic, int key)
{
        char text[32];
        size_t n = key_text(topic, key, text);
        return (uint16_t)partition_of(slice_of(text, n), model_topics[topic].partitions);
}

static inline struct world *world_new(uint64_t seed)
{
        struct world *w = calloc(1, sizeof(*w));
        w->random = seed * 0x9e3779b97f4a7c15u + 1;
        for (int t = 0; t < TOPICS; t++)
                w->epoch[t] = 1;
        return w;
}

static inline struct world *world_free(struct world *w)
{
        for (int t = 0; t < TOPICS; t++)
                for (int e = 0; e < EPOCHS_MAX; e++)
                        for (int p = 0; p < PARTS; p++)
                                for (size_t i = 0; i < w->parts[t][e][p].count; i++)
                                        free(w->parts[t][e][p].items[i]);
        free(w);
        return NULL;
}

static inline void world_produce(struct world *w, uint16_t topic)
{
        int key = (int)roll(w, KEYS);
        uint16_t partition = key_partition(topic, key);
        struct entry *e = calloc(1, sizeof(*e));
        if (chance(w, 3) && model_topics[topic].partitions > 1) {
                partition = (uint16_t)((partition + 1) % model_topics[topic].partitions);
                e->flags |= RECORD_FOREIGN;
        }
        struct part *p = &w->parts[topic][w->epoch[topic]][partition];
        assert(p->count < RECORDS_MAX);
        e->offset = e->original = p->end + (chance(w, 10) ? 1 + roll(w, 3) : 0);
        e->epoch = w->epoch[topic];
        e->topic = topic;
        e->partition = partition;
        e->key = key;
        e->id = ++w->ids;
        const char kinds[] = "ppppppppppppppppppppmmuuuxxss";
        e->kind = topic == EVENTS ? kinds[roll(w, sizeof(kinds) - 1)] : 'p';
        if (e->flags == 0 && p->count > 0 && chance(w, 4)) {
                const struct entry *first = p->items[roll(w, (uint32_t)p->count)];
                if (first->flags == 0) {
                        e->flags |= RECORD_DUPLICATE;
                        e->original = first->offset;
                        e->id = first->id;
                }
        }
        p->items[p->count++] = e;
        p->end = e->offset + 1 +
                 (chance(w, 5) ? 1 : 0); /* sometimes the end lies behind a control record */
        w->total++;
}

static inline int64_t entry_seq(const struct entry *e)
{
        return ((int64_t)e->epoch << SEQ_EPOCH_SHIFT) + e->offset;
}

/* The first counting entry of a key's room at or above seq, over all epochs; NULL if none. */
static inline const struct entry *world_next(
        const struct world *w, uint16_t topic, int key, int64_t seq)
{
        uint16_t partition = key_partition(topic, key);
        for (uint32_t e = 1; e < EPOCHS_MAX; e++) {
                const struct part *p = &w->parts[topic][e][partition];
                for (size_t i = 0; i < p->count; i++)
                        if (entry_seq(p->items[i]) >= seq && p->items[i]->key == key &&
                                p->items[i]->flags == 0)
                                return p->items[i];
        }
        return NULL;
}

/* Whether the key's followers have no right as of seq, having followed from from. */
static inline bool world_muted(
        const struct world *w, uint16_t topic, int key, int64_t from, int64_t seq)
{
        bool muted = false;
        const struct entry *e;
        while ((e = world_next(w, topic, key, from)) && entry_seq(e) < seq) {
                if (e->kind == MUTE || e->kind == UNMUTE)
                        muted = e->kind == MUTE;
                from = entry_seq(e) + 1;
        }
        return muted;
}

/* A heap record as the bus thread would make it. */
static inline struct record *record_make(const struct entry *e, int32_t slot)
{
        char key[32];
        size_t key_n = key_text(e->topic, e->key, key);
        struct record *r = calloc(1, sizeof(*r) + key_n + sizeof(e));
        memcpy(r->bytes, key, key_n);
        memcpy(r->bytes + key_n, &e, sizeof(e)); /* the value is the entry's address */
        r->key_n = (uint32_t)key_n;
        r->value_n = sizeof(e);
        r->key_hash = hash_key(slice_of(key, key_n));
        r->offset = e->offset;
        r->original_offset = e->original;
        r->timestamp_ms = 1;
        r->epoch = e->epoch;
        r->slot = slot;
        r->topic = e->topic;
        r->partition = e->partition;
        r->flags = e->flags;
        return r;
}

static inline const struct entry *record_entry(const struct record *r)
{
        const struct entry *e;
        memcpy(&e, record_value(r).p, sizeof(e));
        return e;
}

#endif
