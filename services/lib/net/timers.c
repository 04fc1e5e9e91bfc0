/*
 * timers - a binary heap of embedded deadlines behind one timer of the loop.
 *
 * A deadline is counted from the real clock, rounded up to the next millisecond, and compared with
 * the loop's time, rounded down: so none fires early, neither by the wall nor by shard_now_ms().
 * The loop's timer is only ever moved to an earlier time; a deadline that was taken back costs at
 * most one idle wake-up.
 */
#include "net/internal.h"

#include "base/clock.h"
#include <stdlib.h>

static void put(struct shard *sh, size_t at, struct shard_timer *t)
{
        sh->heap[at] = t;
        t->heap_at = (uint32_t)at;
}

static void sift_up(struct shard *sh, size_t at, struct shard_timer *t)
{
        while (at > 0) {
                size_t up = (at - 1) / 2;
                if (sh->heap[up]->due_ms <= t->due_ms)
                        break;
                put(sh, at, sh->heap[up]);
                at = up;
        }
        put(sh, at, t);
}

static void sift_down(struct shard *sh, size_t at, struct shard_timer *t)
{
        for (;;) {
                size_t down = 2 * at + 1;
                if (down >= sh->heap_n)
                        break;
                if (down + 1 < sh->heap_n && sh->heap[down + 1]->due_ms < sh->heap[down]->due_ms)
                        down++;
                if (t->due_ms <= sh->heap[down]->due_ms)
                        break;
                put(sh, at, sh->heap[down]);
                at = down;
        }
        put(sh, at, t);
}

static void take_out(struct shard *sh, struct shard_timer *t)
{
        size_t at = t->heap_at;
        CHECK(at < sh->heap_n && sh->heap[at] == t);
        struct shard_timer *last = sh->heap[--sh->heap_n];
        t->due_ms = 0;
        if (last == t)
                return;
        if (at > 0 && last->due_ms < sh->heap[(at - 1) / 2]->due_ms)
                sift_up(sh, at, last);
        else
                sift_down(sh, at, last);
}

static void on_timer(uv_timer_t *h)
{
        struct shard *sh = container_of(h, struct shard, timer);
        sh->armed_ms = 0;
        timers_run(sh);
}

static void arm(struct shard *sh)
{
        if (sh->heap_n == 0)
                return;
        int64_t due = sh->heap[0]->due_ms;
        if (sh->armed_ms != 0 && sh->armed_ms <= due)
                return;
        int64_t now = (int64_t)uv_now(&sh->loop);
        sh->armed_ms = due;
        int r = uv_timer_start(&sh->timer, on_timer, due > now ? (uint64_t)(due - now) : 0, 0);
        CHECK(r == 0);
}

void shard_timer_init(struct shard_timer *t, void (*fire)(struct shard *, struct shard_timer *))
{
        *t = (struct shard_timer){.fire = fire};
}

void shard_timer_set(struct shard *sh, struct shard_timer *t, int64_t delay_ms)
{
        CHECK(t->fire);
        int64_t now_up_ms = (clock_mono_ns() + 999999) / 1000000;
        int64_t due = now_up_ms + (delay_ms > 0 ? delay_ms : 0);
        if (t->due_ms != 0) {
                /* Already in the heap: moved in place. */
                int64_t was = t->due_ms;
                t->due_ms = due;
                if (due < was)
                        sift_up(sh, t->heap_at, t);
                else
                        sift_down(sh, t->heap_at, t);
        } else {
                if (sh->heap_n == sh->heap_cap) {
                        sh->heap_cap = sh->heap_cap ? sh->heap_cap * 2 : 64;
                        sh->heap = xrealloc(sh->heap, sh->heap_cap * sizeof(struct shard_timer *));
                }
                t->due_ms = due;
                sift_up(sh, sh->heap_n++, t);
        }
        arm(sh);
}

void shard_timer_stop(struct shard *sh, struct shard_timer *t)
{
        if (t->due_ms != 0)
                take_out(sh, t);
}

void timers_run(struct shard *sh)
{
        int64_t now = (int64_t)uv_now(&sh->loop);
        while (sh->heap_n > 0 && sh->heap[0]->due_ms <= now) {
                struct shard_timer *t = sh->heap[0];
                take_out(sh, t);
                t->fire(sh, t);
        }
        arm(sh);
}

void timers_done(struct shard *sh)
{
        while (sh->heap_n > 0)
                sh->heap[--sh->heap_n]->due_ms = 0;
        free(sh->heap);
        sh->heap = NULL;
        sh->heap_cap = 0;
}
