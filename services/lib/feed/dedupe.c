#include "feed/dedupe.h"

#include "base/hash.h"

#include <stdlib.h>

#define DEDUPE_CAP_FIRST 64 /* always a power of two */

static struct dedupe_entry *entry(const struct dedupe *d, uint32_t number)
{
        return &d->ring[number & (d->cap - 1)];
}

static uint32_t table_mask(const struct dedupe *d)
{
        return d->cap * 2 - 1;
}

static uint32_t home(const struct dedupe *d, uint64_t hash)
{
        return (uint32_t)(hash >> 16) & table_mask(d);
}

void dedupe_done(struct dedupe *d)
{
        free(d->ring);
        free(d->table);
        *d = DEDUPE_EMPTY;
}

/* Slot of the id, or of the hole where it belongs. */
static uint32_t find(const struct dedupe *d, uint64_t hash, uint32_t check)
{
        uint32_t i = home(d, hash);
        for (; d->table[i]; i = (i + 1) & table_mask(d)) {
                const struct dedupe_entry *e = entry(d, d->table[i] - 1);
                if (e->hash == hash && e->check == check)
                        break;
        }
        return i;
}

/* Closes the hole at i: later entries of its chain move up. */
static void unlink_slot(struct dedupe *d, uint32_t i)
{
        uint32_t mask = table_mask(d);
        for (uint32_t j = (i + 1) & mask; d->table[j]; j = (j + 1) & mask) {
                uint32_t at = home(d, entry(d, d->table[j] - 1)->hash);
                if (((j - at) & mask) >= ((j - i) & mask)) {
                        d->table[i] = d->table[j];
                        i = j;
                }
        }
        d->table[i] = 0;
}

void dedupe_forget_oldest(struct dedupe *d)
{
        if (d->first == d->next)
                return;
        const struct dedupe_entry *e = entry(d, d->first);
        uint32_t i = find(d, e->hash, e->check);
        /* A later occurrence may stand in the table instead. */
        if (d->table[i] == d->first + 1)
                unlink_slot(d, i);
        d->first++;
}

static void grow(struct dedupe *d)
{
        uint32_t cap = d->cap ? d->cap * 2 : DEDUPE_CAP_FIRST;
        CHECK(cap > d->cap);
        struct dedupe bigger = {xmalloc(cap * sizeof(*bigger.ring)),
                xcalloc((size_t)cap * 2, sizeof(*bigger.table)), d->first, d->next, cap};
        for (uint32_t n = d->first; n != d->next; n++) {
                const struct dedupe_entry *e = entry(d, n);
                *entry(&bigger, n) = *e;
                bigger.table[find(&bigger, e->hash, e->check)] = n + 1;
        }
        dedupe_done(d);
        *d = bigger;
}

int64_t dedupe_seen(
        struct dedupe *d, struct slice id, int64_t offset, int64_t timestamp_ms, int64_t window_ms)
{
        while (d->first != d->next && entry(d, d->first)->timestamp_ms < timestamp_ms - window_ms)
                dedupe_forget_oldest(d);
        if (d->next - d->first == d->cap)
                grow(d);
        /* Entry numbers are kept plus one in the table, so the last one is skipped. */
        if (d->next == UINT32_MAX) {
                dedupe_done(d);
                grow(d);
        }
        uint64_t hash = hash_key(id);
        uint32_t check = hash_murmur2(id);
        uint32_t i = find(d, hash, check);
        const struct dedupe_entry *before = d->table[i] ? entry(d, d->table[i] - 1) : NULL;
        int64_t first =
                before && before->timestamp_ms >= timestamp_ms - window_ms ? before->offset : -1;
        *entry(d, d->next) =
                (struct dedupe_entry){hash, first >= 0 ? first : offset, timestamp_ms, check};
        d->table[i] = ++d->next;
        return first;
}
