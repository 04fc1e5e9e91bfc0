#include "fanout/core.h"

#include <stdlib.h>

/* ---- duplicates ---- */

void wait_note_duplicate(struct fanout *f, const struct record *r)
{
        struct duplicates *d = &f->duplicates[f->states[r->topic].flat + r->partition];
        if (d->head + d->count == d->cap) {
                if (d->head > 0) {
                        memmove(d->items, d->items + d->head, d->count * sizeof(*d->items));
                        d->head = 0;
                }
                if (d->count * 4 >= d->cap * 3) {
                        d->cap = d->cap ? d->cap * 2 : 16;
                        d->items = xrealloc(d->items, d->cap * sizeof(*d->items));
                }
        }
        d->items[d->head + d->count++] = (struct duplicate){r->offset, r->original_offset};
}

static void evict_one(struct duplicates *d, int64_t tail_start)
{
        while (d->count > 0 && d->items[d->head].offset < tail_start) {
                d->head++;
                d->count--;
        }
        if (d->count == 0 && d->cap > 0) {
                free(d->items);
                *d = (struct duplicates){0};
        }
}

void wait_evict(struct fanout *f)
{
        for (size_t i = 0; i < f->flat_count; i++)
                if (f->duplicates[i].cap > 0)
                        evict_one(&f->duplicates[i], f->tail_start[i]);
}

/* Offset of the first record with the id of the one at offset, which has been passed. */
static int64_t original_of(const struct fanout *f, size_t flat, int64_t offset)
{
        if (offset < f->tail_start[flat])
                return -1;
        const struct duplicates *d = &f->duplicates[flat];
        size_t low = d->head, high = d->head + d->count;
        while (low < high) {
                size_t mid = low + (high - low) / 2;
                if (d->items[mid].offset < offset)
                        low = mid + 1;
                else
                        high = mid;
        }
        bool found = low < d->head + d->count && d->items[low].offset == offset;
        return found ? d->items[low].original : offset;
}

/* ---- waiters ---- */

void fanout_wait_passed(
        struct fanout *f, uint16_t topic, uint16_t partition, int64_t offset, struct fanout_wait *w)
{
        size_t flat = fanout_flat(f, topic, partition);
        list_init(&w->link);
        w->offset = offset;
        if (offset < f->positions[flat]) {
                w->passed(w, original_of(f, flat, offset));
                return;
        }
        /* Most ask for something newer than all before them. */
        struct list *at = f->waits[flat].prev;
        while (at != &f->waits[flat] && list_entry(at, struct fanout_wait, link)->offset > offset)
                at = at->prev;
        list_insert_between(&w->link, at, at->next);
}

void fanout_wait_cancel(struct fanout_wait *w)
{
        if (w->link.next)
                list_remove(&w->link);
}

void wait_fire(struct fanout *f)
{
        for (size_t i = 0; i < f->flat_count; i++) {
                struct list *first;
                while ((first = list_first(&f->waits[i]))) {
                        struct fanout_wait *w = list_entry(first, struct fanout_wait, link);
                        if (w->offset >= f->positions[i])
                                break;
                        list_remove(&w->link);
                        w->passed(w, original_of(f, i, w->offset));
                }
        }
}

void wait_fail(struct fanout *f, uint16_t topic)
{
        struct list failed;
        list_init(&failed);
        for (uint16_t p = 0; p < f->topics[topic].partitions; p++) {
                size_t flat = fanout_flat(f, topic, p);
                list_splice(&failed, &f->waits[flat]);
                evict_one(&f->duplicates[flat], INT64_MAX);
        }
        struct list *first;
        while ((first = list_take(&failed))) {
                struct fanout_wait *w = list_entry(first, struct fanout_wait, link);
                w->passed(w, -1);
        }
}
