#include "fanout/core.h"

#include "base/hash.h"

#include <errno.h>

/* ---- frames of the record at hand ---- */

/* Shards share the frames of a frozen record: the one thing in it that changes. */
static struct record *shared(const struct record *r)
{
        return (struct record *)(uintptr_t)r;
}

static struct msg *make_frame(struct fanout *f, const struct record *r, unsigned variant)
{
        struct msg *m = NULL;
        bool share = variant < RECORD_FRAMES && !(r->flags & RECORD_LOOSE);
        if (share)
                m = atomic_load_explicit(&shared(r)->frames[variant], memory_order_acquire);
        if (m)
                return msg_ref(m);
        m = f->ops.frame(f->app, r, variant, fanout_cursor(f), false);
        if (!m)
                return NULL;
        place_stamp(f, m, r, place_shared(f));
        if (!share)
                return m;
        struct msg *theirs = NULL;
        msg_ref(m);
        if (atomic_compare_exchange_strong_explicit(&shared(r)->frames[variant], &theirs, m,
                    memory_order_acq_rel, memory_order_acquire))
                return m;
        /* Another shard was quicker; its frame says the same. */
        msg_unref(m);
        msg_unref(m);
        return msg_ref(theirs);
}

/* Lends the frame until frames_forget(); NULL if the record shows nothing. */
static struct msg *shared_frame(struct fanout *f, const struct record *r, uint8_t variant)
{
        if (f->frame_state[variant] == FRAME_UNKNOWN) {
                f->frames[variant] = make_frame(f, r, variant);
                f->frame_state[variant] = FRAME_MADE;
                f->frame_used[f->frame_count++] = variant;
        }
        return f->frames[variant];
}

static void frames_forget(struct fanout *f)
{
        while (f->frame_count > 0) {
                uint8_t variant = f->frame_used[--f->frame_count];
                f->frames[variant] = msg_unref(f->frames[variant]);
                f->frame_state[variant] = FRAME_UNKNOWN;
        }
}

/* One reference. */
static struct msg *own_frame(struct fanout *f, const struct subscriber *s, const struct record *r)
{
        for (size_t i = 0; i < f->slot_count; i++)
                f->scratch_seqs[i] = place_next(f, s, (int32_t)i);
        struct msg *m =
                f->ops.frame(f->app, r, s->variant, place_text(f, s, f->scratch_seqs), true);
        if (m)
                place_stamp(f, m, r, f->scratch_seqs);
        return m;
}

/* ---- live ---- */

static bool wants(const struct subscription *sn, const struct record *r)
{
        const struct subscriber *s = sn->sub;
        if (s->state != SUB_LIVE)
                return false;
        if (r->slot < 0)
                return !sn->hold;
        int64_t seq = record_seq(r);
        if (seq < sn->from_seq)
                return false;
        return !s->own || (seq >= s->own->next[r->slot] && seq < place_cap(s, r->slot));
}

static void pushed(struct fanout *f, struct subscriber *s, struct subscription *sn,
        const struct record *r, enum fanout_verdict v)
{
        s->cursor_ms = f->now_ms;
        s->cursor_moves = f->moves;
        if (r->slot < 0) {
                f->stats.volatiles++;
                return;
        }
        f->stats.live++;
        subscription_turn(sn, v, record_seq(r));
}

static void deliver_to(struct fanout *f, struct room_iter *it, const struct record *r)
{
        struct subscription *sn = it->cur;
        struct subscriber *s = sn->sub;
        if (!wants(sn, r))
                return;
        enum fanout_verdict v = f->ops.verdict ? f->ops.verdict(f->app, sn, r) : FANOUT_DELIVER;
        if (!it->cur || s->state != SUB_LIVE || v == FANOUT_SKIP ||
                (sn->muted && v != FANOUT_DELIVER_AND_UNMUTE))
                return;
        bool own = s->own != NULL;
        struct msg *m = own ? own_frame(f, s, r) : shared_frame(f, r, s->variant);
        if (!m)
                return;
        subscriber_touched(f, s);
        int err = f->ops.push(f->app, s, m, false);
        if (own)
                msg_unref(m);
        if (!it->cur)
                return;
        if (err == 0)
                pushed(f, s, sn, r, v);
        else if (r->slot >= 0 && s->state == SUB_LIVE) {
                subscriber_lag_at(f, s, r->slot, record_seq(r));
                f->stats.drops++;
        }
}

static struct room *room_of(const struct fanout *f, const struct record *r)
{
        const struct fanout_topic *t = &f->topics[r->topic];
        if (f->classes[t->room_class].rooms.count == 0)
                return NULL;
        struct slice key = record_key(r);
        uint64_t hash = r->key_hash;
        ptrdiff_t until = t->room_until ? slice_find(key, t->room_until) : -1;
        if (until >= 0) {
                key.n = (size_t)until;
                hash = hash_key(key);
        }
        return room_find(f, t->room_class, key, hash);
}

/* Each record once, however many got it. */
static void note_delivered(struct fanout *f, const struct record *r)
{
        if (r->timestamp_ms <= 0)
                return;
        if (f->delivered_n == f->delivered_cap) {
                f->delivered_cap = f->delivered_cap ? f->delivered_cap * 2 : 64;
                f->delivered = xrealloc(f->delivered, f->delivered_cap * sizeof(*f->delivered));
        }
        f->delivered[f->delivered_n++] = r->timestamp_ms;
}

static void deliver(struct fanout *f, const struct record *r)
{
        struct room *room = room_of(f, r);
        /* A key has one slot. A record in another one is foreign though nobody has said so. */
        if (!room || (r->slot >= 0 && r->slot != room->slot))
                return;
        struct room_iter it;
        uint64_t before = f->stats.live + f->stats.volatiles;
        room_iter_begin(&it, room);
        if (f->ops.room_record)
                f->ops.room_record(f->app, r, false);
        while (room_iter_next(&it))
                deliver_to(f, &it, r);
        room_iter_end(&it);
        frames_forget(f);
        if (f->stats.live + f->stats.volatiles != before)
                note_delivered(f, r);
}

/* ---- a batch ---- */

static void take_record(struct fanout *f, const struct record *r)
{
        CHECK(r->topic < f->topic_count && r->partition < f->topics[r->topic].partitions);
        const struct fanout_topic *t = &f->topics[r->topic];
        size_t flat = f->states[r->topic].flat + r->partition;
        f->last_pos = r->pos;
        if (r->offset < f->positions[flat] || r->epoch != f->states[r->topic].epoch)
                return; /* read again after a seek */
        f->positions[flat] = r->offset + 1;
        if (r->slot >= 0) {
                CHECK(r->slot == f->states[r->topic].slot + r->partition);
                f->vector[r->slot] = r->offset + 1;
                fanout_moved(f);
        }
        if (r->flags & RECORD_DUPLICATE)
                wait_note_duplicate(f, r);
        if (r->flags & (RECORD_DUPLICATE | RECORD_FOREIGN))
                return;
        if (t->by_key || (t->cursor && t->rooms))
                tail_index_put(&f->index, r, f->first_pos);
        if (t->all && f->ops.record)
                f->ops.record(f->app, r);
        if (t->rooms)
                deliver(f, r);
}

static void take_positions(struct fanout *f, const int64_t *positions)
{
        for (size_t i = 0; i < f->flat_count; i++)
                if (f->positions[i] < positions[i])
                        f->positions[i] = positions[i];
        for (size_t i = 0; i < f->slot_count; i++) {
                int64_t position = f->positions[f->slot_flat[i]];
                if (f->vector[i] < position) {
                        f->vector[i] = position;
                        fanout_moved(f);
                }
        }
}

void fanout_batch(struct fanout *f, const struct fanout_batch *b, int64_t now_ms)
{
        CHECK(f->depth == 0);
        fanout_enter(f);
        f->now_ms = now_ms;
        f->delivered_n = 0;
        for (size_t i = 0; i < b->count; i++)
                take_record(f, b->records[i]);
        take_positions(f, b->positions);
        f->first_pos = b->first_pos;
        memcpy(f->tail_start, b->tail_start, f->flat_count * sizeof(int64_t));
        wait_evict(f);
        ages_note(f);
        wait_fire(f);
        subscribers_retire_ahead(f);
        fanout_leave(f);
}
