/*
 * departures - clients that a draining gateway sends elsewhere: when, and how many at a time.
 *
 * They go in small slices: at the pace, if one is set, else evenly over a span that ends so long before the drain time does that the
 * last one is back elsewhere in time. departures_check() sees to it that a pace keeps to that span, too.
 * All who send clients away (each shard's sessions or streams, the splices) draw from one of these, so the pace is the process's. A
 * client comes back after a random pause of its own, so that a second may see more returns than departures; hence only three quarters
 * of the pace are sent away.
 *
 * Any thread: all is atomic, or frozen.
 */
#ifndef TERN_REALTIME_DEPARTURES_H
#define TERN_REALTIME_DEPARTURES_H

#include "base/buf.h"
#include "base/pace.h"

/* How long a stock Socket.IO client takes to be back at most: it waits up to 1.5 s, and one that polls hears of it with its next poll. */
#define DEPARTURES_SOCKETIO_BACK_MS 5000

struct metrics;

struct departures {
        struct pace pace;
        struct metrics *metrics; /* borrowed */
        /* The second that is being counted, and how many went in it: second << 32 | count. */
        _Atomic uint64_t counted;
        atomic_uint most; /* within one second */
};

/* per_second: clients that may come back elsewhere; 0 = no bound. metrics may be NULL. */
void departures_init(struct departures *d, uint32_t per_second, struct metrics *metrics);
/* The part of the drain time in which all have to be sent off, if they take back_ms to be elsewhere: at least half of it. */
int64_t departures_span_ms(uint32_t drain_ms, uint32_t back_ms);
/* Whether clients_max are gone in time at this pace; else it appends a sentence. */
void departures_check(uint32_t per_second, uint32_t drain_ms, uint32_t back_ms,
        uint32_t clients_max, struct buf *faults);
/* How many of the open ones go in this slice of slice_ms, with left_ms to the end of the span. d may be NULL: no pace. */
unsigned departures_take(
        struct departures *d, size_t open, int64_t left_ms, int64_t slice_ms, int64_t now_ms);

#endif
