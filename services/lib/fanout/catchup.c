#include "fanout/core.h"

#include <errno.h>
#include <stdlib.h>

#define STEP_COST 16 /* of a step that hands nothing over, in records */

/* ---- one record ---- */

enum handed {
        HANDED,
        PASSED,    /* nothing to show, or not this client's to see */
        DISTURBED, /* somebody left a room in a callback: what was found so far may be gone */
        STOPPED,   /* the client takes no more now, or is not being served any more */
};

static void advance(struct subscriber *s, int32_t slot, int64_t next_seq)
{
        if (s->own->next[slot] < next_seq)
                s->own->next[slot] = next_seq;
}

static int64_t wanted_from(const struct subscriber *s, const struct subscription *sn)
{
        int64_t next = s->own->next[sn->room->slot];
        return next > sn->from_seq ? next : sn->from_seq;
}

/* One reference, or NULL. The cursor is the client's place once it has this record. */
static struct msg *frame_for(
        struct fanout *f, const struct subscriber *s, const struct record *r, int64_t seq)
{
        memcpy(f->scratch_seqs, s->own->next, f->slot_count * sizeof(int64_t));
        f->scratch_seqs[r->slot] = seq + 1;
        struct msg *m =
                f->ops.frame(f->app, r, s->variant, place_text(f, s, f->scratch_seqs), true);
        if (m)
                place_stamp(f, m, r, f->scratch_seqs);
        return m;
}

static bool still_served(const struct fanout *f, const struct subscriber *s)
{
        return f->current == s && s->state == SUB_CATCHUP;
}

/* NULL if it does not follow the record's room. */
static struct subscription *follows(
        const struct fanout *f, const struct subscriber *s, const struct record *r)
{
        const struct room *room =
                room_find(f, f->topics[r->topic].room_class, record_key(r), r->key_hash);
        return room ? subscription_in(s, room) : NULL;
}

static enum handed hand(
        struct fanout *f, struct subscriber *s, struct subscription *sn, const struct record *r)
{
        int64_t seq = record_seq(r);
        int32_t slot = r->slot;
        uint64_t leaves = f->leaves;
        if (seq < wanted_from(s, sn) || seq >= place_cap(s, slot))
                return PASSED;
        if (f->ops.room_record)
                f->ops.room_record(f->app, r, true);
        if (!still_served(f, s) || f->leaves != leaves)
                return still_served(f, s) ? DISTURBED : STOPPED;
        enum fanout_verdict v = f->ops.verdict ? f->ops.verdict(f->app, sn, r) : FANOUT_DELIVER;
        if (!still_served(f, s) || f->leaves != leaves)
                return still_served(f, s) ? DISTURBED : STOPPED;
        struct msg *m = NULL;
        if (v != FANOUT_SKIP && (!sn->muted || v == FANOUT_DELIVER_AND_UNMUTE))
                m = frame_for(f, s, r, seq);
        if (!m) {
                advance(s, slot, seq + 1);
                return PASSED;
        }
        subscriber_touched(f, s);
        int err = f->ops.push(f->app, s, m, true);
        msg_unref(m);
        if (!still_served(f, s))
                return STOPPED;
        if (err == 0) {
                advance(s, slot, seq + 1);
                s->cursor_ms = f->now_ms;
                s->cursor_moves = f->moves;
                f->stats.catchup++;
                if (f->leaves != leaves)
                        sn = follows(f, s, r);
                if (sn)
                        subscription_turn(sn, v, seq);
                return HANDED;
        }
        if (err != -EAGAIN) {
                subscriber_set_state(f, s, SUB_LAGGED);
                f->stats.drops++;
        }
        return STOPPED;
}

/* ---- older than the tail ---- */

void attach_read_free(struct attach_read *rd)
{
        free(rd);
}

/* The subscriber's keys on the slot of which something below until is wanted; NULL if there is none. */
static struct attach_read *read_make(
        struct fanout *f, struct subscriber *s, int32_t slot, int64_t until)
{
        int64_t from = SEQ_NEVER;
        size_t keys = 0, bytes = 0;
        if (until > place_cap(s, slot))
                until = place_cap(s, slot);
        list_for_each(it, &s->rooms)
        {
                const struct subscription *sn = list_entry(it, struct subscription, in_sub);
                if (sn->room->slot != slot || wanted_from(s, sn) >= until)
                        continue;
                if (wanted_from(s, sn) < from)
                        from = wanted_from(s, sn);
                keys++;
                bytes += sn->room->key_n;
        }
        if (keys == 0)
                return NULL;
        struct attach_read *rd =
                xmalloc(sizeof(*rd) + keys * (sizeof(struct slice) + sizeof(int64_t)) + bytes);
        struct slice *key = (struct slice *)(rd + 1);
        int64_t *key_from = (int64_t *)(key + keys);
        char *at = (char *)(key_from + keys);
        uint16_t topic = f->slot_topic[slot];
        *rd = (struct attach_read){.sub = s,
                .topic = topic,
                .slot = slot,
                .partition = (uint16_t)(slot - f->states[topic].slot),
                .epoch = f->states[topic].epoch,
                .records_max = s->page_max,
                .from_seq = from,
                .until_seq = until,
                .keys = key,
                .key_from_seq = key_from,
                .key_count = keys};
        list_init(&rd->link);
        list_for_each(it, &s->rooms)
        {
                const struct subscription *sn = list_entry(it, struct subscription, in_sub);
                if (sn->room->slot != slot || wanted_from(s, sn) >= until)
                        continue;
                memcpy(at, sn->room->key, sn->room->key_n);
                *key++ = slice_of(at, sn->room->key_n);
                *key_from++ = wanted_from(s, sn);
                at += sn->room->key_n;
        }
        return rd;
}

static void read_start(struct fanout *f, struct subscriber *s, struct attach_read *rd)
{
        s->read = rd;
        subscriber_set_state(f, s, SUB_READING);
        f->ops.read_old(f->ops.reader, rd);
}

/*
 * Older epochs of a topic are passed one after the other, all its slots together: a cursor can name one
 * epoch only. True if there is something to wait for.
 */
static bool topic_in_old_epoch(struct fanout *f, struct subscriber *s, uint16_t topic)
{
        int32_t first = f->states[topic].slot;
        int32_t end = first + f->topics[topic].partitions;
        for (;;) {
                uint32_t epoch = UINT32_MAX;
                for (int32_t i = first; i < end; i++)
                        if (seq_epoch(s->own->next[i]) < epoch)
                                epoch = seq_epoch(s->own->next[i]);
                if (epoch >= f->states[topic].epoch)
                        return false;
                int64_t until = seq_make(epoch + 1, 0);
                bool bounded = false;
                for (int32_t i = first; i < end; i++) {
                        struct attach_read *rd = seq_epoch(s->own->next[i]) == epoch
                                                         ? read_make(f, s, i, until)
                                                         : NULL;
                        if (rd) {
                                read_start(f, s, rd);
                                return true;
                        }
                        bounded = bounded || place_cap(s, i) < until;
                }
                if (bounded)
                        return true; /* a join that began in that epoch is still pending */
                for (int32_t i = first; i < end; i++)
                        advance(s, i, until);
        }
}

static bool wait_for_older(struct fanout *f, struct subscriber *s)
{
        for (uint16_t t = 0; t < f->topic_count; t++)
                if (f->topics[t].cursor && topic_in_old_epoch(f, s, t))
                        return true;
        list_for_each(it, &s->rooms)
        {
                const struct subscription *sn = list_entry(it, struct subscription, in_sub);
                int32_t slot = sn->room->slot;
                if (slot < 0)
                        continue;
                int64_t until = seq_make(f->epochs[slot], f->tail_start[f->slot_flat[slot]]);
                if (wanted_from(s, sn) >= until)
                        continue;
                struct attach_read *rd = read_make(f, s, slot, until);
                if (rd) {
                        read_start(f, s, rd);
                        return true;
                }
        }
        return false;
}

/* ---- what the tail has ---- */

static void sift_down(struct wanted *heap, size_t n, size_t i)
{
        for (size_t child; (child = 2 * i + 1) < n; i = child) {
                if (child + 1 < n && heap[child + 1].r->pos > heap[child].r->pos)
                        child++;
                if (heap[i].r->pos >= heap[child].r->pos)
                        return;
                struct wanted t = heap[i];
                heap[i] = heap[child];
                heap[child] = t;
        }
}

static void sift_up(struct wanted *heap, size_t i)
{
        while (i > 0 && heap[(i - 1) / 2].r->pos < heap[i].r->pos) {
                struct wanted t = heap[i];
                heap[i] = heap[(i - 1) / 2];
                heap[(i - 1) / 2] = t;
                i = (i - 1) / 2;
        }
}

struct collection {
        size_t count;
        size_t walked;
        bool more; /* than COLLECT_MAX: the oldest are here */
};

static void collect(
        struct fanout *f, const struct record *r, struct subscription *sn, struct collection *c)
{
        struct wanted *heap = f->collected;
        if (c->count < COLLECT_MAX) {
                heap[c->count] = (struct wanted){r, sn};
                sift_up(heap, c->count++);
                return;
        }
        c->more = true;
        if (r->pos < heap[0].r->pos) {
                heap[0] = (struct wanted){r, sn};
                sift_down(heap, c->count, 0);
        }
}

static int by_pos(const void *a, const void *b)
{
        uint64_t x = ((const struct wanted *)a)->r->pos, y = ((const struct wanted *)b)->r->pos;
        return x < y ? -1 : x > y;
}

/* The oldest wanted records of the tail in the bus's order. The links lead from new to old, hence the heap. */
static struct collection collect_tail(struct fanout *f, struct subscriber *s)
{
        struct collection c = {0};
        list_for_each(it, &s->rooms)
        {
                struct subscription *sn = list_entry(it, struct subscription, in_sub);
                const struct room *room = sn->room;
                if (room->slot < 0)
                        continue;
                int64_t from = wanted_from(s, sn), cap = place_cap(s, room->slot);
                uint16_t topic = (uint16_t)f->classes[room->class_].cursor_topic;
                const struct record *r =
                        tail_index_get(&f->index, topic, room_key(room), room->hash, f->first_pos);
                for (; r && r->epoch == f->states[topic].epoch && record_seq(r) >= from;
                        r = fanout_prev(f, r)) {
                        c.walked++;
                        if (r->slot == room->slot && record_seq(r) < cap)
                                collect(f, r, sn, &c);
                }
        }
        qsort(f->collected, c.count, sizeof(struct wanted), by_pos);
        return c;
}

static void become_live(struct fanout *f, struct subscriber *s)
{
        place_drop_if_passed(f, s);
        subscriber_set_state(f, s, SUB_LIVE);
        if (!s->announce)
                return;
        s->announce = false;
        s->cursor_moves =
                -1; /* what it was told names old places of quiet rooms: it is due a fresh one */
        f->stats.tier[s->worst_tier]++;
        if (f->ops.live)
                f->ops.live(f->app, s, s->worst_tier, f->now_ms - s->attach_started_ms);
}

static size_t hand_tail(struct fanout *f, struct subscriber *s)
{
        uint64_t leaves = f->leaves;
        struct collection c = collect_tail(f, s);
        size_t cost = c.walked / STEP_COST;
        for (size_t i = 0; i < c.count; i++) {
                enum handed h = hand(f, s, f->collected[i].sn, f->collected[i].r);
                cost++;
                if (!still_served(f, s))
                        return cost;
                if (f->leaves != leaves) {
                        subscriber_make_runnable(f, s); /* what was collected may be gone */
                        return cost;
                }
                if (h == STOPPED) {
                        if (s->drained_early)
                                subscriber_make_runnable(f, s);
                        return cost;
                }
        }
        if (c.more)
                subscriber_make_runnable(f, s);
        else
                become_live(f, s);
        return cost;
}

size_t catchup_step(struct fanout *f, struct subscriber *s)
{
        CHECK(s->state == SUB_CATCHUP && s->own);
        size_t cost = STEP_COST;
        f->current = s;
        s->drained_early = false;
        if (!wait_for_older(f, s))
                cost += hand_tail(f, s);
        f->current = NULL;
        return cost;
}

/* ---- answers ---- */

/* NULL if nobody waits for it. Otherwise the subscriber, being served from here on. */
static struct subscriber *answered(
        struct fanout *f, struct attach_read *rd, enum fanout_tier tier, int64_t now_ms)
{
        f->now_ms = now_ms;
        struct subscriber *s = rd->sub;
        if (!s)
                return NULL;
        CHECK(s->read == rd && s->state == SUB_READING);
        s->read = NULL;
        s->drained_early = false;
        if (s->worst_tier < tier)
                s->worst_tier = (uint8_t)tier;
        subscriber_set_state(f, s, SUB_CATCHUP);
        return s;
}

static void adapt_page(struct subscriber *s, size_t handed, bool took_all)
{
        size_t max = took_all ? (size_t)s->page_max * 2 : handed;
        s->page_max = (uint16_t)(max < PAGE_MIN ? PAGE_MIN : max > PAGE_MAX ? PAGE_MAX : max);
}

void fanout_read_page(struct fanout *f, struct attach_read *rd, const struct record *const *records,
        size_t count, int64_t next_seq, enum fanout_tier tier, int64_t now_ms)
{
        fanout_enter(f);
        struct subscriber *outer = f->current;
        struct subscriber *s = answered(f, rd, tier, now_ms);
        enum handed h = PASSED;
        size_t handed = 0;
        f->current = s;
        for (size_t i = 0; s && i < count; i++) {
                bool of_slot = records[i]->slot == rd->slot && records[i]->topic == rd->topic;
                struct subscription *sn = of_slot ? follows(f, s, records[i]) : NULL;
                h = sn ? hand(f, s, sn, records[i]) : PASSED;
                handed += h == HANDED;
                if (h == STOPPED || h == DISTURBED)
                        break;
        }
        if (s && still_served(f, s)) {
                bool all = h == HANDED || h == PASSED;
                adapt_page(s, handed, all);
                CHECK(!all || next_seq > rd->from_seq);
                if (all)
                        advance(s, rd->slot, next_seq < rd->until_seq ? next_seq : rd->until_seq);
                if (h != STOPPED || s->drained_early)
                        subscriber_make_runnable(f, s);
        }
        f->current = outer == s ? f->current : outer;
        attach_read_free(rd);
        fanout_leave(f);
}

void fanout_read_gap(struct fanout *f, struct attach_read *rd, int64_t to_seq, int64_t now_ms)
{
        fanout_enter(f);
        struct subscriber *outer = f->current;
        struct subscriber *s = answered(f, rd, TIER_GAP, now_ms);
        f->current = s;
        if (s) {
                CHECK(to_seq > rd->from_seq);
                int64_t to = to_seq < rd->until_seq ? to_seq : rd->until_seq;
                advance(s, rd->slot, to);
                subscriber_make_runnable(f, s);
                f->ops.gap(f->app, s, rd->slot, rd->from_seq, to);
        }
        f->current = outer == s ? f->current : outer;
        attach_read_free(rd);
        fanout_leave(f);
}

void fanout_read_failed(struct fanout *f, struct attach_read *rd, int64_t now_ms)
{
        fanout_enter(f);
        struct subscriber *outer = f->current;
        struct subscriber *s = answered(f, rd, TIER_TAIL, now_ms);
        f->current = s;
        if (s) {
                subscriber_make_runnable(f, s);
                if (f->ops.unreadable)
                        f->ops.unreadable(f->app, s);
        }
        f->current = outer == s ? f->current : outer;
        attach_read_free(rd);
        fanout_leave(f);
}
