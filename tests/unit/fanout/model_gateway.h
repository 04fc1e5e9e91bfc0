/*
 * The gateways of the model test: each reads the log in an order of its own, keeps a tail, and posts
 * the same batches to two shards, which take them at different times.
 */
#ifndef MODEL_GATEWAY_H
#define MODEL_GATEWAY_H

#include "model_log.h"

#include "fanout/tailindex.h"

enum { SHARDS = 2, FLATS_MAX = 16, TAIL_MAX = 8192, JOBS_MAX = 512, READS_MAX = 256 };

struct job { /* a batch, or a restart of a topic */
        const struct record **records;
        size_t count;
        int64_t positions[FLATS_MAX], tail_start[FLATS_MAX];
        uint64_t first_pos;
        bool restart;
        uint16_t topic;
        uint32_t epoch;
        unsigned refs;
};

struct gateway;
struct shard {
        struct gateway *gw;
        struct fanout *f;
        struct job *jobs[JOBS_MAX];
        size_t job_head, job_count;
        struct attach_read *reads[READS_MAX];
        size_t read_count;
        bool again, processing;
};

struct gateway {
        struct world *w;
        void *app; /* the test's */
        struct shard shards[SHARDS];
        uint32_t epoch[TOPICS];
        int64_t positions[FLATS_MAX], tail_start[FLATS_MAX];
        struct record *tail[TAIL_MAX];           /* by pos % TAIL_MAX */
        uint64_t first_pos, last_pos, freed_pos; /* records below freed_pos are freed */
        struct tail_index index;
        size_t flat_of[TOPICS], flats;
        int64_t now_ms;
};

static inline struct part *gateway_part(struct gateway *g, uint16_t topic, uint16_t partition)
{
        return &g->w->parts[topic][g->epoch[topic]][partition];
}

static inline void job_done(struct gateway *g, struct job *j)
{
        if (--j->refs > 0)
                return;
        for (size_t i = 0; i < j->count; i++)
                record_drop_frames(g->tail[j->records[i]->pos % TAIL_MAX]);
        for (; g->freed_pos < j->first_pos; g->freed_pos++) {
                free(g->tail[g->freed_pos % TAIL_MAX]);
                g->tail[g->freed_pos % TAIL_MAX] = NULL;
        }
        free(j->records);
        free(j);
}

static inline void gateway_post(struct gateway *g, struct job *j)
{
        memcpy(j->positions, g->positions, sizeof(j->positions));
        memcpy(j->tail_start, g->tail_start, sizeof(j->tail_start));
        j->first_pos = g->first_pos;
        j->refs = SHARDS;
        for (int i = 0; i < SHARDS; i++) {
                struct shard *sh = &g->shards[i];
                assert(sh->job_count < JOBS_MAX);
                sh->jobs[(sh->job_head + sh->job_count++) % JOBS_MAX] = j;
        }
}

static inline void gateway_evict(struct gateway *g, uint64_t keep)
{
        while (g->last_pos + 1 - g->first_pos > keep) {
                const struct record *r = g->tail[g->first_pos % TAIL_MAX];
                if (r->epoch == g->epoch[r->topic])
                        g->tail_start[g->flat_of[r->topic] + r->partition] = r->offset + 1;
                g->first_pos++;
        }
}

static inline struct record *gateway_take(struct gateway *g, uint16_t topic, uint16_t partition)
{
        size_t flat = g->flat_of[topic] + partition;
        struct part *p = gateway_part(g, topic, partition);
        size_t i = 0;
        while (i < p->count && p->items[i]->offset < g->positions[flat])
                i++;
        if (i == p->count) {
                g->positions[flat] = p->end > g->positions[flat] ? p->end : g->positions[flat];
                return NULL;
        }
        struct record *r = record_make(p->items[i], fanout_slot(g->shards[0].f, topic, partition));
        g->positions[flat] = r->offset + 1;
        r->pos = ++g->last_pos;
        assert(g->last_pos - g->freed_pos < TAIL_MAX);
        g->tail[r->pos % TAIL_MAX] = r;
        if (r->flags == 0 && topic != SIGNALS && topic != RECEIPTS) {
                r->prev = tail_index_put(&g->index, r, g->first_pos);
                r->prev_pos = r->prev ? r->prev->pos : 0;
        }
        return r;
}

/* The bus thread polls up to max records, partitions in random order. */
static inline void gateway_poll(struct gateway *g, unsigned max)
{
        struct world *w = g->w;
        struct job *j = calloc(1, sizeof(*j));
        j->records = calloc(max + 1, sizeof(*j->records));
        for (unsigned i = 0; i < max; i++) {
                uint16_t topic = (uint16_t)roll(w, TOPICS);
                const struct record *r =
                        gateway_take(g, topic, (uint16_t)roll(w, model_topics[topic].partitions));
                if (r)
                        j->records[j->count++] = r;
        }
        gateway_evict(g, chance(w, 20) ? roll(w, 30) : 60 + roll(w, 400));
        gateway_post(g, j);
}

/* The log of a topic was made anew, and this gateway finds out. */
static inline void gateway_notice_epoch(struct gateway *g, uint16_t topic)
{
        if (g->epoch[topic] == g->w->epoch[topic])
                return;
        g->epoch[topic] = g->w->epoch[topic];
        for (uint16_t p = 0; p < model_topics[topic].partitions; p++) {
                const struct part *part = gateway_part(g, topic, p);
                int64_t start = part->count > 0 && chance(g->w, 50)
                                        ? part->items[roll(g->w, (uint32_t)part->count)]->offset
                                        : 0;
                g->positions[g->flat_of[topic] + p] = g->tail_start[g->flat_of[topic] + p] = start;
        }
        struct job *j = calloc(1, sizeof(*j));
        j->restart = true;
        j->topic = topic;
        j->epoch = g->epoch[topic];
        gateway_post(g, j);
}

static inline bool shard_process(struct shard *sh)
{
        if (sh->job_count == 0)
                return false;
        struct gateway *g = sh->gw;
        struct job *j = sh->jobs[sh->job_head];
        sh->job_head = (sh->job_head + 1) % JOBS_MAX;
        sh->job_count--;
        if (j->restart) {
                fanout_restart(
                        sh->f, j->topic, j->epoch, j->positions + g->flat_of[j->topic], g->now_ms);
        } else {
                struct fanout_batch b = {
                        j->records, j->count, j->positions, j->first_pos, j->tail_start};
                fanout_batch(sh->f, &b, g->now_ms);
        }
        job_done(g, j);
        return true;
}

static inline struct gateway *gateway_start(
        struct world *w, const struct fanout_ops *ops, void *app)
{
        struct gateway *g = calloc(1, sizeof(*g));
        g->w = w;
        g->app = app;
        g->first_pos = g->freed_pos = 1;
        g->now_ms = 1000;
        struct fanout_topic topics[TOPICS];
        memcpy(topics, model_topics, sizeof(topics));
        for (int t = 0; t < TOPICS; t++)
                g->epoch[t] = topics[t].epoch = w->epoch[t];
        for (int i = 0; i < SHARDS; i++) {
                g->shards[i].gw = g;
                struct fanout_ops mine = *ops;
                mine.reader = &g->shards[i];
                int err = fanout_new(topics, TOPICS, &mine, &g->shards[i], &g->shards[i].f);
                assert(err == 0);
                (void)err;
        }
        for (uint16_t t = 0; t < TOPICS; t++) {
                g->flat_of[t] = fanout_flat(g->shards[0].f, t, 0);
                for (uint16_t p = 0; p < topics[t].partitions; p++) {
                        const struct part *part = gateway_part(g, t, p);
                        int64_t start =
                                part->count > 0
                                        ? part->items[part->count - 1 -
                                                      roll(w, (uint32_t)(part->count < 20
                                                                                 ? part->count
                                                                                 : 20))]
                                                  ->offset
                                        : 0;
                        g->positions[g->flat_of[t] + p] = g->tail_start[g->flat_of[t] + p] = start;
                }
        }
        struct job *j = calloc(1, sizeof(*j));
        gateway_post(g, j);
        while (shard_process(&g->shards[0]) || shard_process(&g->shards[1]))
                continue;
        return g;
}

/* No client is connected any more. */
static inline struct gateway *gateway_stop(struct gateway *g)
{
        for (int i = 0; i < SHARDS; i++) {
                struct shard *sh = &g->shards[i];
                for (size_t k = 0; k < sh->read_count; k++)
                        attach_read_free(sh->reads[k]);
                sh->f = fanout_free(sh->f);
                while (sh->job_count > 0) {
                        struct job *j = sh->jobs[sh->job_head];
                        sh->job_head = (sh->job_head + 1) % JOBS_MAX;
                        sh->job_count--;
                        job_done(g, j);
                }
        }
        for (int i = 0; i < TAIL_MAX; i++)
                if (g->tail[i]) {
                        record_drop_frames(g->tail[i]);
                        free(g->tail[i]);
                }
        tail_index_done(&g->index);
        free(g);
        return NULL;
}

/* ---- "Postgres": answers an older read from the log itself ---- */

static inline bool read_wants(const struct attach_read *rd, const struct entry *e)
{
        char key[32];
        struct slice text = slice_of(key, key_text(e->topic, e->key, key));
        int64_t seq = entry_seq(e);
        if (e->flags != 0 || seq < rd->from_seq || seq >= rd->until_seq)
                return false;
        for (size_t i = 0; i < rd->key_count; i++)
                if (slice_eq(rd->keys[i], text))
                        return seq >= rd->key_from_seq[i];
        return false;
}

static inline void read_answer(struct shard *sh, struct attach_read *rd)
{
        struct world *w = sh->gw->w;
        struct record *found[512];
        size_t count = 0, max = 1 + roll(w, rd->records_max);
        int64_t next = rd->until_seq;
        for (uint32_t epoch = 1; epoch < EPOCHS_MAX && next == rd->until_seq; epoch++) {
                const struct part *p = &w->parts[rd->topic][epoch][rd->partition];
                for (size_t i = 0; i < p->count; i++) {
                        if (!read_wants(rd, p->items[i]))
                                continue;
                        if (count == max) {
                                next = record_seq(found[count - 1]) + 1;
                                break;
                        }
                        found[count] = record_make(p->items[i], rd->slot);
                        found[count++]->flags |= RECORD_LOOSE;
                }
        }
        enum fanout_tier tier = chance(w, 50) ? TIER_POSTGRES : TIER_KAFKA;
        fanout_read_page(
                sh->f, rd, (const struct record *const *)found, count, next, tier, sh->gw->now_ms);
        while (count > 0)
                free(found[--count]);
}

#endif
