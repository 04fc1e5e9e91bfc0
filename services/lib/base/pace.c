#include "base/pace.h"

void pace_init(struct pace *p, int64_t gap_us)
{
        CHECK(gap_us >= 0);
        p->gap_us = gap_us;
        atomic_init(&p->next_us, 0);
}

unsigned pace_take(struct pace *p, unsigned want, int64_t now_ms)
{
        if (p->gap_us == 0)
                return want;
        int64_t now_us = now_ms * 1000, oldest = now_us - PACE_BEHIND_MS * 1000;
        int64_t seen = atomic_load_explicit(&p->next_us, memory_order_relaxed), next;
        unsigned taken;
        do {
                next = seen == 0 ? now_us : seen > oldest ? seen : oldest;
                int64_t due = next > now_us ? 0 : (now_us - next) / p->gap_us + 1;
                taken = due < want ? (unsigned)due : want;
                if (taken == 0)
                        return 0;
        } while (!atomic_compare_exchange_weak_explicit(&p->next_us, &seen,
                next + taken * p->gap_us, memory_order_relaxed, memory_order_relaxed));
        return taken;
}
