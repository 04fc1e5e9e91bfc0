#include "peer/seen.h"

#include "base/hash.h"
#include <stdatomic.h>

#define WAYS 16
#define TIME_BITS 24 /* of a tenth of a second: 19 days, and what is older is long over */
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)
#define TICK_MS 100
#define AHEAD_TICKS 100

struct peer_seen {
        uint64_t secret[2];
        uint64_t sets; /* power of two */
        uint64_t keep; /* ticks */
        _Atomic uint64_t slots[];
};

struct peer_seen *peer_seen_new(uint32_t count, uint32_t window_ms)
{
        uint64_t sets = 1;
        while (sets * WAYS < count)
                sets *= 2;
        /* Nonces are random, so sets fill unevenly: with four times the room, one in a million is
         * full when count nonces are there. */
        sets *= 4;
        struct peer_seen *s = xcalloc(1, sizeof(*s) + (size_t)sets * WAYS * sizeof(s->slots[0]));
        random_bytes(s->secret, sizeof(s->secret));
        s->sets = sets;
        s->keep = (2 * (uint64_t)window_ms) / TICK_MS + 2;
        return s;
}

struct peer_seen *peer_seen_free(struct peer_seen *s)
{
        free(s);
        return NULL;
}

/* Shards read their clocks once a turn: another's may be a little ahead, which is no age. */
static bool over(const struct peer_seen *s, uint64_t slot, uint64_t tick)
{
        uint64_t age = (tick - slot) & TIME_MASK;
        return slot == 0 || (age > s->keep && age < TIME_MASK - AHEAD_TICKS);
}

/* How many slots of the set hold the fingerprint; *ret_free is one that may be taken, or WAYS. */
static unsigned look(const struct peer_seen *s, const _Atomic uint64_t *set, uint64_t print,
        uint64_t tick, unsigned *ret_free, uint64_t *ret_was)
{
        unsigned found = 0;
        *ret_free = WAYS;
        for (unsigned i = 0; i < WAYS; i++) {
                uint64_t slot = atomic_load(&set[i]);
                if (over(s, slot, tick)) {
                        if (*ret_free == WAYS) {
                                *ret_free = i;
                                *ret_was = slot;
                        }
                } else if ((slot & ~TIME_MASK) == print) {
                        found++;
                }
        }
        return found;
}

enum peer_seen_answer peer_seen_add(struct peer_seen *s, struct slice nonce, int64_t now_ms)
{
        uint64_t h = hash_siphash13(s->secret, nonce);
        uint64_t tick = (uint64_t)(now_ms / TICK_MS) & TIME_MASK;
        /* The set by the low bits, the fingerprint by the high ones. Zero would be an empty slot. */
        uint64_t print = h & ~TIME_MASK;
        if (print == 0)
                print = TIME_MASK + 1;
        _Atomic uint64_t *set = &s->slots[(h % s->sets) * WAYS];
        unsigned i;
        uint64_t was = 0;
        do {
                if (look(s, set, print, tick, &i, &was) > 0)
                        return PEER_SEEN_BEFORE;
                if (i == WAYS)
                        return PEER_SEEN_FULL;
        } while (!atomic_compare_exchange_strong(&set[i], &was, print | tick));
        /* Somebody else may have taken another slot for the same one meanwhile: then both see two. */
        return look(s, set, print, tick, &i, &was) == 1 ? PEER_SEEN_NEW : PEER_SEEN_BEFORE;
}
