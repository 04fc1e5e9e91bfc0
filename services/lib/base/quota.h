/*
 * quota - how much a user or an address may have, over all shards and without a lock.
 *
 * A tally counts what is held at once, a rate allows so much a second. Both keep 65536 slots of one
 * atomic each, chosen by a hash whose secret nobody outside knows: fixed memory, no allocation, no
 * forgetting, and a call costs one atomic operation on a slot that is seldom anybody else's. The
 * price: two keys in one slot share what either may have. With limits well above what one key needs
 * that is seldom felt (one pair in 65536), and an attacker cannot choose whom to share with.
 */
#ifndef TERN_BASE_QUOTA_H
#define TERN_BASE_QUOTA_H

#include "base/slice.h"

struct tally;
struct rate;

struct tally *tally_new(void);
struct tally *tally_free(struct tally *t); /* NULL is fine; returns NULL */
/* Adds by (-1, 1) and returns the new count. Any thread. */
uint32_t tally_add(struct tally *t, struct slice key, int by);
uint32_t tally_get(const struct tally *t, struct slice key);

/* per_second 0: no bound, and rate_take() says yes. burst_ms: how much of it may come at once. */
struct rate *rate_new(uint32_t per_second, uint32_t burst_ms);
struct rate *rate_free(struct rate *r); /* NULL is fine; returns NULL */
/* Takes n if the key is not in debt by more than the burst. The last one may be larger than what is
 * left: it is paid for later. False: nothing was taken. Any thread; now_ms monotonic. */
bool rate_take(struct rate *r, struct slice key, uint64_t n, int64_t now_ms);

#endif
