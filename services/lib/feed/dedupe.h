/*
 * dedupe - the ids of one partition's records within a window of broker time.
 *
 * An id is kept as 96 bits of hashes with the offset of its first occurrence. A repetition extends the
 * memory of it. Used by the bus thread, and by a seek reader for the range that it reads.
 */
#ifndef TERN_FEED_DEDUPE_H
#define TERN_FEED_DEDUPE_H

#include "base/check.h"
#include "base/slice.h"

struct dedupe_entry {
        uint64_t hash;
        int64_t offset; /* of the first occurrence */
        int64_t timestamp_ms;
        uint32_t check;
};

struct dedupe {
        struct dedupe_entry *ring; /* owned; entry number n stands at n & (cap - 1) */
        uint32_t *table;           /* owned; entry number + 1, or 0; twice as large as the ring */
        uint32_t first, next, cap; /* entry numbers [first, next) are remembered */
};

#define DEDUPE_EMPTY ((struct dedupe){NULL, NULL, 0, 0, 0})

void dedupe_done(struct dedupe *d);
/* Offset of the id's first occurrence within window_ms before timestamp_ms, or -1: this is the first. Remembers it either way. */
int64_t dedupe_seen(
        struct dedupe *d, struct slice id, int64_t offset, int64_t timestamp_ms, int64_t window_ms);
static inline size_t dedupe_count(const struct dedupe *d)
{
        return d->next - d->first;
}
void dedupe_forget_oldest(struct dedupe *d);

#endif
