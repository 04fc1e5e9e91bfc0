#include "fanout/core.h"

#include <stdlib.h>

int64_t place_next(const struct fanout *f, const struct subscriber *s, int32_t slot)
{
        int64_t here = fanout_here(f, slot);
        if (!s->own)
                return here;
        int64_t next = s->own->next[slot];
        if (s->state != SUB_LIVE)
                return next;
        if (next < here)
                next = here;
        int64_t cap = place_cap(s, slot);
        return next < cap ? next : cap;
}

int64_t subscriber_next(const struct fanout *f, const struct subscriber *s, int32_t slot)
{
        return place_next(f, s, slot);
}

void place_own(struct fanout *f, struct subscriber *s)
{
        size_t n = f->slot_count;
        if (!s->own) {
                s->own = xmalloc(sizeof(*s->own) + n * sizeof(int64_t));
                s->own->cap = NULL;
                for (size_t i = 0; i < n; i++)
                        s->own->next[i] = fanout_here(f, (int32_t)i);
                return;
        }
        for (size_t i = 0; i < n; i++)
                s->own->next[i] = place_next(f, s, (int32_t)i);
}

void place_free(struct subscriber *s)
{
        if (s->own)
                free(s->own->cap);
        free(s->own);
        s->own = NULL;
}

bool place_drop_if_passed(struct fanout *f, struct subscriber *s)
{
        if (!s->own)
                return true;
        if (s->own->cap)
                return false;
        for (size_t i = 0; i < f->slot_count; i++)
                if (s->own->next[i] > fanout_here(f, (int32_t)i))
                        return false;
        place_free(s);
        return true;
}

void place_update_caps(struct fanout *f, struct subscriber *s)
{
        CHECK(s->own);
        if (s->holds == 0) {
                free(s->own->cap);
                s->own->cap = NULL;
                return;
        }
        if (!s->own->cap)
                s->own->cap = xmalloc(f->slot_count * sizeof(int64_t) + 1);
        for (size_t i = 0; i < f->slot_count; i++)
                s->own->cap[i] = SEQ_NEVER;
        list_for_each(it, &s->rooms)
        {
                const struct subscription *sn = list_entry(it, struct subscription, in_sub);
                int32_t slot = sn->room->slot;
                if (sn->hold && slot >= 0 && sn->from_seq < s->own->cap[slot])
                        s->own->cap[slot] = sn->from_seq;
        }
}

/*
 * All slots of a topic are told in one epoch, the oldest of theirs. A slot that has finished that epoch
 * already waits at the next one's start; it is written as the last offset there can be, which
 * subscriber_attach_seqs() reads as just that.
 */
static void split_epochs(
        const struct fanout *f, const int64_t *seqs, uint32_t *epochs, int64_t *offsets)
{
        for (size_t i = 0; i < f->slot_count;) {
                uint16_t topic = f->slot_topic[i];
                size_t end = i + f->topics[topic].partitions;
                uint32_t epoch = UINT32_MAX;
                for (size_t j = i; j < end; j++)
                        if (seq_epoch(seqs[j]) < epoch)
                                epoch = seq_epoch(seqs[j]);
                for (; i < end; i++) {
                        epochs[i] = epoch;
                        offsets[i] = seq_epoch(seqs[i]) == epoch ? seqs[i] & SEQ_OFFSET_MASK
                                                                 : SEQ_OFFSET_MASK;
                }
        }
}

struct slice place_text(struct fanout *f, const struct subscriber *s, const int64_t *seqs)
{
        split_epochs(f, seqs, f->scratch_epochs, f->scratch_offsets);
        size_t n = f->ops.cursor(f->app, s, f->scratch_epochs, f->scratch_offsets, f->own_cursor);
        CHECK(n <= sizeof(f->own_cursor));
        return slice_of(f->own_cursor, n);
}

const int64_t *place_shared(struct fanout *f)
{
        for (size_t i = 0; i < f->slot_count; i++)
                f->scratch_seqs[i] = fanout_here(f, (int32_t)i);
        return f->scratch_seqs;
}

void place_stamp(const struct fanout *f, struct msg *m, const struct record *r, const int64_t *seqs)
{
        if (m->place)
                return;
        m->slot = r->slot;
        m->offset = r->offset;
        m->flags &= ~(uint32_t)(MSG_EVENT | MSG_VOLATILE);
        if (r->slot < 0) {
                m->flags |= MSG_VOLATILE;
                return;
        }
        m->flags |= MSG_EVENT;
        size_t n = f->slot_count * sizeof(*seqs);
        m->place = xmalloc(n);
        memcpy(m->place, seqs, n);
}
