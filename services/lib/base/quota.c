#include "base/quota.h"

#include "base/check.h"
#include "base/hash.h"

#include <stdatomic.h>
#include <stdlib.h>

#define SLOTS 65536
#define US_MAX 3600000000LL /* an hour's debt is as much as anybody can have */

struct tally {
        atomic_uint slots[SLOTS];
};

struct rate {
        uint32_t per_second;
        int64_t burst_us;
        _Atomic int64_t paid_us[SLOTS]; /* until when all that was taken is paid for, monotonic */
};

static size_t slot_of(struct slice key)
{
        return (size_t)(hash_key(key) % SLOTS);
}

struct tally *tally_new(void)
{
        return xcalloc(1, sizeof(struct tally));
}

struct tally *tally_free(struct tally *t)
{
        free(t);
        return NULL;
}

uint32_t tally_add(struct tally *t, struct slice key, int by)
{
        unsigned before = atomic_fetch_add_explicit(
                &t->slots[slot_of(key)], (unsigned)by, memory_order_relaxed);
        CHECK(by > 0 || before > 0);
        return before + (unsigned)by;
}

uint32_t tally_get(const struct tally *t, struct slice key)
{
        return atomic_load_explicit(&t->slots[slot_of(key)], memory_order_relaxed);
}

struct rate *rate_new(uint32_t per_second, uint32_t burst_ms)
{
        struct rate *r = xcalloc(1, sizeof(*r));
        r->per_second = per_second;
        r->burst_us = (int64_t)burst_ms * 1000;
        return r;
}

struct rate *rate_free(struct rate *r)
{
        free(r);
        return NULL;
}

bool rate_take(struct rate *r, struct slice key, uint64_t n, int64_t now_ms)
{
        if (r->per_second == 0)
                return true;
        int64_t now_us = now_ms * 1000;
        uint64_t cost = n > UINT32_MAX ? US_MAX : n * 1000000 / r->per_second;
        _Atomic int64_t *at = &r->paid_us[slot_of(key)];
        int64_t old = atomic_load_explicit(at, memory_order_relaxed), paid;
        do {
                if (old - now_us > r->burst_us)
                        return false;
                paid = (old > now_us ? old : now_us) + (int64_t)(cost < US_MAX ? cost : US_MAX);
        } while (!atomic_compare_exchange_weak_explicit(
                at, &old, paid, memory_order_relaxed, memory_order_relaxed));
        return true;
}
