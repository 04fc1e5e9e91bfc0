/*
 * pace - one after the other, so far apart.
 *
 * Several threads take from one pace, without a lock: an atomic says when the next may go. What was not taken is not saved up beyond
 * PACE_BEHIND_MS, so that who looks in at intervals gets what fell due meanwhile, and never a burst.
 */
#ifndef TERN_BASE_PACE_H
#define TERN_BASE_PACE_H

#include "base/check.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PACE_BEHIND_MS 100

struct pace {
        int64_t gap_us;          /* between two; 0 = no bound */
        _Atomic int64_t next_us; /* monotonic */
};

void pace_init(struct pace *p, int64_t gap_us);
/* How many of want may go now. Any thread; now_ms monotonic. */
unsigned pace_take(struct pace *p, unsigned want, int64_t now_ms);

#endif
