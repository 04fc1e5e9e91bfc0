/*
 * revocations - whose tokens are void, though their signature is good: those of a user that were issued
 * before a time.
 *
 * Filled from the log (topic access) before a gateway is ready, and asked at every door. Any thread; the
 * lock is held for one look.
 */
#ifndef TERN_AUTH_REVOCATIONS_H
#define TERN_AUTH_REVOCATIONS_H

#include "base/slice.h"

struct revocations;

struct revocations *revocations_new(void);
/* NULL is fine; returns NULL. */
struct revocations *revocations_free(struct revocations *rv);
/* Tokens of this user that were issued before before_ms (wall) are void; the latest word counts. */
void revocations_set(struct revocations *rv, struct slice user, int64_t before_ms);
bool revocations_void(struct revocations *rv, struct slice user, int64_t issued_ms);

#endif
