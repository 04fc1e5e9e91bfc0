#include "realtime/departures.h"

#include "base/metrics.h"

void departures_init(struct departures *d, uint32_t per_second, struct metrics *metrics)
{
        pace_init(&d->pace, per_second ? 4000000 / (3 * (int64_t)per_second) : 0);
        d->metrics = metrics;
        atomic_init(&d->counted, 0);
        atomic_init(&d->most, 0);
        metrics_set(metrics, M_drain_pace, 0, per_second);
}

int64_t departures_span_ms(uint32_t drain_ms, uint32_t back_ms)
{
        return drain_ms - (back_ms < drain_ms / 2 ? back_ms : drain_ms / 2);
}

void departures_check(uint32_t per_second, uint32_t drain_ms, uint32_t back_ms,
        uint32_t clients_max, struct buf *faults)
{
        uint64_t span_ms = (uint64_t)departures_span_ms(drain_ms, back_ms);
        if (per_second == 0 || per_second * span_ms * 3 / 4000 >= clients_max)
                return;
        buf_printf(faults,
                "TERN_DRAIN_PER_SECOND is %u: TERN_CONNECTIONS_MAX (%u) clients would not be gone "
                "within TERN_DRAIN_MS (%u)",
                per_second, clients_max, drain_ms);
        if (span_ms)
                buf_printf(faults, ", it has to be %llu or more, or 0",
                        (unsigned long long)((clients_max * 4000ULL + 3 * span_ms - 1) /
                                             (3 * span_ms)));
        buf_add_char(faults, '\n');
}

static void count(struct departures *d, unsigned n, int64_t now_ms)
{
        uint64_t second = (uint64_t)now_ms / 1000, next;
        uint64_t seen = atomic_load_explicit(&d->counted, memory_order_relaxed);
        do {
                next = seen >> 32 == (second & UINT32_MAX) ? seen + n
                                                           : (second & UINT32_MAX) << 32 | n;
        } while (!atomic_compare_exchange_weak_explicit(
                &d->counted, &seen, next, memory_order_relaxed, memory_order_relaxed));
        unsigned sum = (unsigned)(next & UINT32_MAX);
        unsigned most = atomic_load_explicit(&d->most, memory_order_relaxed);
        while (sum > most && !atomic_compare_exchange_weak_explicit(&d->most, &most, sum,
                                     memory_order_relaxed, memory_order_relaxed)) {
        }
        metrics_set(
                d->metrics, M_drain_peak, 0, atomic_load_explicit(&d->most, memory_order_relaxed));
}

unsigned departures_take(
        struct departures *d, size_t open, int64_t left_ms, int64_t slice_ms, int64_t now_ms)
{
        bool paced = d && d->pace.gap_us;
        size_t slices = left_ms > slice_ms && !paced ? (size_t)(left_ms / slice_ms) : 1;
        unsigned want = (unsigned)((open + slices - 1) / slices);
        unsigned taken = paced ? pace_take(&d->pace, want, now_ms) : want;
        if (d && taken)
                count(d, taken, now_ms);
        return taken;
}
