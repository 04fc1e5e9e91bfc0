#include "fanout/core.h"

#include <stdlib.h>

#define AHEAD_LOOKS 32 /* subscribers with a place of their own that are looked at after a batch */

void subscriber_init(struct subscriber *s, uint8_t variant)
{
        *s = (struct subscriber){.variant = variant, .page_max = PAGE_FIRST};
        list_init(&s->rooms);
        list_init(&s->active);
        list_init(&s->touched);
}

/* The legal edges. */
static bool may_become(enum subscriber_state from, enum subscriber_state to)
{
        switch (from) {
        case SUB_DETACHED:
                return to == SUB_LIVE || to == SUB_CATCHUP;
        case SUB_LIVE:
                return to == SUB_CATCHUP || to == SUB_LAGGED;
        case SUB_CATCHUP:
                return to == SUB_LIVE || to == SUB_READING || to == SUB_LAGGED;
        case SUB_READING:
                return to == SUB_CATCHUP || to == SUB_LAGGED;
        case SUB_LAGGED:
                return to == SUB_CATCHUP || to == SUB_LAGGED;
        }
        return false;
}

void subscriber_set_state(struct fanout *f, struct subscriber *s, enum subscriber_state state)
{
        CHECK(may_become(s->state, state));
        CHECK(state == SUB_LIVE || s->own);
        if (s->state != SUB_DETACHED)
                f->in_state[s->state]--;
        f->in_state[state]++;
        s->state = state;
        list_remove(&s->active);
        if (state == SUB_LIVE && s->own)
                list_push_back(&f->ahead, &s->active);
}

void subscriber_make_runnable(struct fanout *f, struct subscriber *s)
{
        CHECK(s->state == SUB_CATCHUP);
        list_remove(&s->active);
        list_push_back(&f->runnable, &s->active);
}

void subscriber_touched(struct fanout *f, struct subscriber *s)
{
        if (!list_linked(&s->touched))
                list_push_back(&f->touched, &s->touched);
}

static void cancel_read(struct fanout *f, struct subscriber *s)
{
        struct attach_read *rd = s->read;
        if (!rd)
                return;
        s->read = NULL;
        rd->sub = NULL;
        f->ops.read_cancel(f->ops.reader, rd);
}

void subscriber_done(struct fanout *f, struct subscriber *s)
{
        fanout_enter(f);
        cancel_read(f, s);
        struct list *node;
        while ((node = list_first(&s->rooms)))
                subscription_free(f, list_entry(node, struct subscription, in_sub));
        list_remove(&s->active);
        list_remove(&s->touched);
        place_free(s);
        if (s->state != SUB_DETACHED)
                f->in_state[s->state]--;
        if (f->current == s)
                f->current = NULL;
        subscriber_init(s, s->variant);
        fanout_leave(f);
}

/* ---- attach ---- */

void subscriber_attach_now(struct fanout *f, struct subscriber *s)
{
        CHECK(s->state == SUB_DETACHED);
        if (s->holds > 0) {
                place_own(f, s);
                place_update_caps(f, s);
        }
        s->cursor_moves = -1;
        subscriber_set_state(f, s, SUB_LIVE);
}

static void begin(struct fanout *f, struct subscriber *s, int64_t now_ms)
{
        if (s->holds > 0)
                place_update_caps(f, s);
        s->announce = true;
        s->worst_tier = TIER_TAIL;
        s->attach_started_ms = now_ms;
        s->cursor_ms = now_ms;
        s->cursor_moves = 0;
        subscriber_set_state(f, s, SUB_CATCHUP);
        subscriber_make_runnable(f, s);
}

void subscriber_attach_seqs(
        struct fanout *f, struct subscriber *s, const int64_t *seqs, int64_t now_ms)
{
        CHECK(s->state == SUB_DETACHED);
        fanout_enter(f);
        f->now_ms = now_ms;
        place_own(f, s);
        for (size_t i = 0; i < f->slot_count; i++) {
                int64_t seq = seqs[i] < 0 ? 0 : seqs[i];
                /* "Had that epoch to its end": see split_epochs(). */
                s->own->next[i] = (seq & SEQ_OFFSET_MASK) == SEQ_OFFSET_MASK ? seq + 1 : seq;
        }
        begin(f, s, now_ms);
        fanout_leave(f);
}

static void attach_in_epochs(struct fanout *f, struct subscriber *s, const uint32_t *epochs,
        uint32_t epoch, const int64_t *vector, int64_t now_ms)
{
        int64_t seqs[FANOUT_SLOTS_MAX];
        for (size_t i = 0; i < f->slot_count; i++) {
                int64_t offset = vector[i] < 0 ? 0 : vector[i];
                seqs[i] = seq_make(epochs ? epochs[i] : epoch,
                        offset < SEQ_OFFSET_MASK ? offset : SEQ_OFFSET_MASK);
        }
        subscriber_attach_seqs(f, s, seqs, now_ms);
}

void subscriber_attach(
        struct fanout *f, struct subscriber *s, const int64_t *vector, int64_t now_ms)
{
        attach_in_epochs(f, s, f->epochs, 0, vector, now_ms);
}

void subscriber_attach_old_epoch(struct fanout *f, struct subscriber *s, uint32_t epoch,
        const int64_t *vector, int64_t now_ms)
{
        attach_in_epochs(f, s, NULL, epoch, vector, now_ms);
}

/* ---- a slow client ---- */

void subscriber_lag_at(struct fanout *f, struct subscriber *s, int32_t slot, int64_t seq)
{
        place_own(f, s);
        s->own->next[slot] = seq;
        subscriber_set_state(f, s, SUB_LAGGED);
}

void subscriber_lagged(struct fanout *f, struct subscriber *s, const struct msg *first)
{
        if (s->state == SUB_DETACHED || !first || first->slot < 0)
                return;
        CHECK((size_t)first->slot < f->slot_count);
        fanout_enter(f);
        cancel_read(f, s);
        place_own(f, s);
        if (first->place) {
                memcpy(s->own->next, first->place, f->slot_count * sizeof(int64_t));
                s->own->next[first->slot]--; /* the vector names what comes after the message */
        } else {
                int64_t seq = seq_make(f->epochs[first->slot], first->offset);
                if (s->own->next[first->slot] > seq)
                        s->own->next[first->slot] = seq;
        }
        list_for_each(it, &s->rooms)
        {
                struct subscription *sn = list_entry(it, struct subscription, in_sub);
                if (sn->room->slot >= 0)
                        subscription_rewind(sn, s->own->next[sn->room->slot]);
        }
        subscriber_set_state(f, s, SUB_LAGGED);
        f->stats.drops++;
        fanout_leave(f);
}

void subscriber_drained(struct fanout *f, struct subscriber *s, int64_t now_ms)
{
        if (s->state != SUB_LAGGED && s->state != SUB_CATCHUP)
                return;
        fanout_enter(f);
        f->now_ms = now_ms;
        if (s->state == SUB_LAGGED) {
                s->announce = true;
                s->worst_tier = TIER_TAIL;
                s->attach_started_ms = now_ms;
                subscriber_set_state(f, s, SUB_CATCHUP);
        }
        if (f->current == s)
                s->drained_early = true;
        else
                subscriber_make_runnable(f, s);
        fanout_leave(f);
}

void subscribers_retire_ahead(struct fanout *f)
{
        struct list *last = f->ahead.prev;
        for (int i = 0; i < AHEAD_LOOKS && !list_empty(&f->ahead); i++) {
                struct list *node = list_take(&f->ahead);
                if (!place_drop_if_passed(f, list_entry(node, struct subscriber, active)))
                        list_push_back(&f->ahead, node);
                if (node == last)
                        break;
        }
}
