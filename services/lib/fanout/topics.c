#include "fanout/core.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>

/* ---- making ---- */

static int check_topics(const struct fanout_topic *topics, size_t count)
{
        int cursor_topics[FANOUT_CLASSES_MAX] = {0};
        for (size_t i = 0; i < count; i++) {
                const struct fanout_topic *t = &topics[i];
                if (t->room_class >= FANOUT_CLASSES_MAX)
                        return -EINVAL;
                /* A held or resumed room has one slot; its records are found by the room's key. */
                if (t->cursor && t->rooms && (t->room_until || ++cursor_topics[t->room_class] > 1))
                        return -EINVAL;
        }
        return count > 0 && count < UINT16_MAX ? 0 : -EINVAL;
}

static int check_layout(const struct fanout *f, const uint16_t *partitions, const uint32_t *epochs)
{
        size_t slots = 0;
        for (size_t i = 0; i < f->topic_count; i++) {
                if (partitions[i] == 0 || epochs[i] >= EPOCH_LIMIT)
                        return -EINVAL;
                slots += f->topics[i].cursor ? partitions[i] : 0;
        }
        return slots <= FANOUT_SLOTS_MAX ? 0 : -EINVAL;
}

static void lay_out_topics(struct fanout *f)
{
        for (size_t i = 0; i < f->topic_count; i++) {
                const struct fanout_topic *t = &f->topics[i];
                struct topic_state *st = &f->states[i];
                st->flat = f->flat_count;
                st->slot = t->cursor ? (int32_t)f->slot_count : -1;
                st->epoch = t->epoch;
                f->flat_count += t->partitions;
                f->slot_count += t->cursor ? t->partitions : 0;
        }
}

static void lay_out_slots(struct fanout *f)
{
        for (size_t i = 0; i < f->topic_count; i++) {
                const struct topic_state *st = &f->states[i];
                for (uint16_t p = 0; st->slot >= 0 && p < f->topics[i].partitions; p++) {
                        f->epochs[st->slot + p] = st->epoch;
                        f->slot_topic[st->slot + p] = (uint16_t)i;
                        f->slot_flat[st->slot + p] = st->flat + p;
                }
        }
}

int fanout_lay_out(struct fanout *f, const uint16_t *partitions, const uint32_t *epochs)
{
        CHECK(f->flat_count == 0);
        int err = check_layout(f, partitions, epochs);
        if (err < 0)
                return err;
        for (size_t i = 0; i < f->topic_count; i++) {
                f->topics[i].partitions = partitions[i];
                f->topics[i].epoch = epochs[i];
        }
        lay_out_topics(f);
        f->positions = xcalloc(f->flat_count, sizeof(int64_t));
        f->tail_start = xcalloc(f->flat_count, sizeof(int64_t));
        f->waits = xcalloc(f->flat_count, sizeof(struct list));
        f->duplicates = xcalloc(f->flat_count, sizeof(struct duplicates));
        for (size_t i = 0; i < f->flat_count; i++)
                list_init(&f->waits[i]);
        size_t slots = f->slot_count + 1; /* never zero bytes */
        f->epochs = xcalloc(slots, sizeof(uint32_t));
        f->vector = xcalloc(slots, sizeof(int64_t));
        f->slot_topic = xcalloc(slots, sizeof(uint16_t));
        f->slot_flat = xcalloc(slots, sizeof(size_t));
        f->scratch_seqs = xcalloc(slots, sizeof(int64_t));
        f->scratch_offsets = xcalloc(slots, sizeof(int64_t));
        f->scratch_epochs = xcalloc(slots, sizeof(uint32_t));
        lay_out_slots(f);
        return 0;
}

static void note_classes(struct fanout *f)
{
        for (size_t i = 0; i < FANOUT_CLASSES_MAX; i++)
                f->classes[i] = (struct room_class){MAP_EMPTY, -1, -1};
        for (size_t i = 0; i < f->topic_count; i++) {
                const struct fanout_topic *t = &f->topics[i];
                struct room_class *c = &f->classes[t->room_class];
                if (t->rooms && c->first_topic < 0)
                        c->first_topic = (int32_t)i;
                if (t->rooms && t->cursor)
                        c->cursor_topic = (int32_t)i;
        }
}

int fanout_new(const struct fanout_topic *topics, size_t count, const struct fanout_ops *ops,
        void *app, struct fanout **ret)
{
        int err = check_topics(topics, count);
        if (err < 0)
                return err;
        struct fanout *f = xcalloc(1, sizeof(*f));
        f->topics = xcalloc(count, sizeof(*f->topics));
        memcpy(f->topics, topics, count * sizeof(*topics));
        f->states = xcalloc(count, sizeof(*f->states));
        f->topic_count = count;
        f->ops = *ops;
        f->app = app;
        f->collected = xcalloc(COLLECT_MAX, sizeof(struct wanted));
        f->first_pos = 1;
        f->age_step_ms = 1000;
        list_init(&f->runnable);
        list_init(&f->ahead);
        list_init(&f->touched);
        note_classes(f);
        uint16_t *partitions = xcalloc(count, sizeof(*partitions));
        uint32_t *epochs = xcalloc(count, sizeof(*epochs));
        bool known = true;
        for (size_t i = 0; i < count; i++) {
                partitions[i] = topics[i].partitions;
                epochs[i] = topics[i].epoch;
                known = known && partitions[i] > 0;
        }
        err = known ? fanout_lay_out(f, partitions, epochs) : 0;
        free(partitions);
        free(epochs);
        if (err < 0) {
                fanout_free(f);
                return err;
        }
        *ret = f;
        return 0;
}

struct fanout *fanout_free(struct fanout *f)
{
        if (!f)
                return NULL;
        CHECK(f->depth == 0);
        for (size_t i = 0; i < FANOUT_CLASSES_MAX; i++) {
                CHECK(f->classes[i].rooms.count == 0);
                map_done(&f->classes[i].rooms);
        }
        for (size_t i = 0; i < f->flat_count; i++)
                free(f->duplicates[i].items);
        tail_index_done(&f->index);
        free(f->collected);
        free(f->delivered);
        free(f->scratch_epochs);
        free(f->scratch_offsets);
        free(f->scratch_seqs);
        free(f->slot_flat);
        free(f->slot_topic);
        free(f->vector);
        free(f->epochs);
        free(f->duplicates);
        free(f->waits);
        free(f->tail_start);
        free(f->positions);
        free(f->states);
        free(f->topics);
        free(f);
        return NULL;
}

/* ---- looking ---- */

size_t fanout_flat(const struct fanout *f, uint16_t topic, uint16_t partition)
{
        CHECK(topic < f->topic_count && partition < f->topics[topic].partitions);
        return f->states[topic].flat + partition;
}

int32_t fanout_slot(const struct fanout *f, uint16_t topic, uint16_t partition)
{
        CHECK(topic < f->topic_count && partition < f->topics[topic].partitions);
        return f->states[topic].slot < 0 ? -1 : f->states[topic].slot + partition;
}

size_t fanout_slot_count(const struct fanout *f)
{
        return f->slot_count;
}

int64_t fanout_position(const struct fanout *f, uint16_t topic, uint16_t partition)
{
        return f->positions[fanout_flat(f, topic, partition)];
}

int64_t fanout_tail_start(const struct fanout *f, uint16_t topic, uint16_t partition)
{
        return f->tail_start[fanout_flat(f, topic, partition)];
}

const int64_t *fanout_vector(const struct fanout *f)
{
        return f->vector;
}

uint32_t fanout_epoch(const struct fanout *f, uint16_t topic)
{
        CHECK(topic < f->topic_count);
        return f->states[topic].epoch;
}

uint32_t fanout_subscribers(const struct fanout *f, enum subscriber_state state)
{
        return f->in_state[state];
}

const int64_t *fanout_delivered(const struct fanout *f, size_t *ret_n)
{
        *ret_n = f->delivered_n;
        return f->delivered;
}

struct fanout_stats *fanout_stats(struct fanout *f)
{
        return &f->stats;
}

struct slice fanout_cursor(struct fanout *f)
{
        if (!f->cursor_known) {
                f->cursor_n = f->ops.cursor(f->app, NULL, f->epochs, f->vector, f->cursor);
                CHECK(f->cursor_n <= sizeof(f->cursor));
                f->cursor_known = true;
        }
        return slice_of(f->cursor, f->cursor_n);
}

static const struct record *of_epoch(const struct fanout *f, const struct record *r)
{
        return r && r->epoch == f->states[r->topic].epoch ? r : NULL;
}

const struct record *fanout_newest(const struct fanout *f, uint16_t topic, struct slice key)
{
        return of_epoch(f, tail_index_get(&f->index, topic, key, hash_key(key), f->first_pos));
}

const struct record *fanout_prev(const struct fanout *f, const struct record *r)
{
        return r->prev_pos >= f->first_pos ? of_epoch(f, r->prev) : NULL;
}

/* ---- moving ---- */

void fanout_moved(struct fanout *f)
{
        f->cursor_known = false;
        f->moves++;
}

/* Few samples tell well enough how many milliseconds the tail reaches back. */
void ages_note(struct fanout *f)
{
        size_t gone = 0;
        while (gone < f->age_count && f->ages[gone].pos < f->first_pos)
                gone++;
        if (gone > 0) {
                f->age_count -= gone;
                memmove(f->ages, f->ages + gone, f->age_count * sizeof(f->ages[0]));
        }
        if (f->age_count > 0 && f->now_ms - f->ages[f->age_count - 1].ms < f->age_step_ms)
                return;
        if (f->age_count == AGES_MAX) {
                for (size_t i = 0; i < AGES_MAX / 2; i++)
                        f->ages[i] = f->ages[i * 2];
                f->age_count = AGES_MAX / 2;
                f->age_step_ms *= 2;
        }
        f->ages[f->age_count].pos = f->last_pos;
        f->ages[f->age_count++].ms = f->now_ms;
}

bool subscriber_stale(
        const struct fanout *f, const struct subscriber *s, int64_t tail_ms, int64_t now_ms)
{
        if (s->state != SUB_LIVE || s->cursor_moves == f->moves)
                return false;
        if (s->cursor_moves < 0)
                return true;
        int64_t span = tail_ms;
        if (f->first_pos > 1 && f->age_count > 0 && now_ms - f->ages[0].ms < span)
                span = now_ms - f->ages[0].ms;
        return now_ms - s->cursor_ms > span / 3;
}

struct slice subscriber_cursor(struct fanout *f, struct subscriber *s, int64_t now_ms)
{
        if (s->state != SUB_LIVE)
                return SLICE_NONE;
        s->cursor_ms = now_ms;
        s->cursor_moves = f->moves;
        if (!s->own)
                return fanout_cursor(f);
        for (size_t i = 0; i < f->slot_count; i++)
                f->scratch_seqs[i] = place_next(f, s, (int32_t)i);
        return place_text(f, s, f->scratch_seqs);
}

void fanout_restart(
        struct fanout *f, uint16_t topic, uint32_t epoch, const int64_t *starts, int64_t now_ms)
{
        CHECK(topic < f->topic_count && epoch >= f->states[topic].epoch);
        fanout_enter(f);
        f->now_ms = now_ms;
        const struct fanout_topic *t = &f->topics[topic];
        struct topic_state *st = &f->states[topic];
        size_t it = 0;
        struct room *room;
        /* Their places are written down before the position moves from under them. */
        while (t->cursor && t->rooms && (room = map_next(&f->classes[t->room_class].rooms, &it)))
                list_for_each(node, &room->subs)
                {
                        struct subscriber *s = list_entry(node, struct subscription, in_room)->sub;
                        if (s->state != SUB_LIVE)
                                continue;
                        place_own(f, s);
                        subscriber_set_state(f, s, SUB_CATCHUP);
                        s->announce = true;
                        s->worst_tier = TIER_TAIL;
                        s->attach_started_ms = now_ms;
                        subscriber_make_runnable(f, s);
                }
        st->epoch = epoch;
        for (uint16_t p = 0; p < t->partitions; p++) {
                f->positions[st->flat + p] = f->tail_start[st->flat + p] = starts[p];
                if (st->slot >= 0) {
                        f->vector[st->slot + p] = starts[p];
                        f->epochs[st->slot + p] = epoch;
                }
        }
        fanout_moved(f);
        wait_fail(f, topic);
        fanout_leave(f);
}

void fanout_run(struct fanout *f, int64_t now_ms)
{
        fanout_enter(f);
        f->now_ms = now_ms;
        fanout_leave(f);
}

void fanout_enter(struct fanout *f)
{
        f->depth++;
}

static void flush_touched(struct fanout *f)
{
        struct list *node;
        while ((node = list_take(&f->touched)))
                f->ops.flush(f->app, list_entry(node, struct subscriber, touched));
}

void fanout_leave(struct fanout *f)
{
        CHECK(f->depth > 0);
        if (f->depth > 1) {
                f->depth--;
                return;
        }
        /* Live events leave before anybody is served who is behind. */
        flush_touched(f);
        size_t spent = 0;
        struct list *node;
        while (spent < RUN_BUDGET && (node = list_take(&f->runnable))) {
                spent += catchup_step(f, list_entry(node, struct subscriber, active));
                flush_touched(f);
        }
        f->depth--;
        if (!list_empty(&f->runnable) && f->ops.again)
                f->ops.again(f->ops.reader);
}
