/*
 * seen - which nonces have been used within the window, so that an overheard line is refused.
 *
 * A fixed table without locks, for all shards together: sets of 16 slots, each one atomic word of
 * fingerprint and time. A slot whose time is over is free. A set without a free slot refuses: better
 * one client that starts anew than a replay. The fingerprint has 40 bits, so that a false refusal is
 * a matter of one line in billions.
 */
#ifndef TERN_PEER_SEEN_H
#define TERN_PEER_SEEN_H

#include "base/check.h"
#include "base/slice.h"

struct peer_seen;

enum peer_seen_answer { PEER_SEEN_NEW, PEER_SEEN_BEFORE, PEER_SEEN_FULL };

/* For count nonces within window_ms before and after the sender's time. */
struct peer_seen *peer_seen_new(uint32_t count, uint32_t window_ms);
/* NULL is fine; returns NULL. */
struct peer_seen *peer_seen_free(struct peer_seen *s);
/* Any thread. now_ms: monotonic. Of several callers with one nonce at most one is told NEW. */
enum peer_seen_answer peer_seen_add(struct peer_seen *s, struct slice nonce, int64_t now_ms);

#endif
