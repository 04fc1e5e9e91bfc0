/*
 * lifecycle - how a program starts, is told to stop, and proves that it is alive.
 *
 * lifecycle_init() blocks SIGTERM and SIGINT in every thread (call it first in main) and ignores
 * SIGPIPE. The main thread then waits in lifecycle_wait(). Heartbeats: each loop ticks its own
 * counter; the ops thread asks whether all ticked within a bound.
 */
#ifndef TERN_BASE_LIFECYCLE_H
#define TERN_BASE_LIFECYCLE_H

#include "base/check.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LIFECYCLE_LOOPS_MAX 80

struct lifecycle {
        int signal_fd;
        atomic_bool ready, draining;
        atomic_uint loops;
        _Atomic int64_t ticked_ms[LIFECYCLE_LOOPS_MAX]; /* monotonic; 0 = retired */
        const char *loop_names[LIFECYCLE_LOOPS_MAX];
};

void lifecycle_init(struct lifecycle *lc);
void lifecycle_done(struct lifecycle *lc);
/* Registers a loop and returns its number. name is borrowed for ever. */
unsigned lifecycle_loop(struct lifecycle *lc, const char *name);
void lifecycle_tick(struct lifecycle *lc, unsigned loop, int64_t mono_ms);
void lifecycle_retire(struct lifecycle *lc, unsigned loop);
/* NULL if every loop ticked within bound_ms, else the name of one that did not. */
const char *lifecycle_stuck(struct lifecycle *lc, int64_t now_mono_ms, int64_t bound_ms);
/* Main thread: waits for a signal up to timeout_ms (-1 for ever): its number, or 0. */
int lifecycle_wait(struct lifecycle *lc, int timeout_ms);
/* From now on a signal ends the process at once, with 0: for a stop that is under way. Nobody calls lifecycle_wait() after it. */
void lifecycle_end_at_signal(struct lifecycle *lc);
/* Raises the descriptor limit to its hard bound; returns what is in force. */
uint64_t lifecycle_raise_nofile(void);

#endif
