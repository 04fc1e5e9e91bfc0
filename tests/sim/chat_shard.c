/*
 * net/shard.h for a simulated process: a mailbox and timers.
 */
#include "chat_internal.h"

#include <stdlib.h>

#define TIMERS_MAX 512

unsigned shard_index(const struct shard *sh)
{
        return sh->index;
}

struct mailbox *shard_mailbox(struct shard *sh)
{
        return sh->box;
}

int64_t shard_now_ms(const struct shard *sh)
{
        UNUSED(sh);
        return machine_now_ms();
}

void shard_timer_init(struct shard_timer *t, void (*fire)(struct shard *, struct shard_timer *))
{
        *t = (struct shard_timer){.fire = fire};
}

void shard_timer_stop(struct shard *sh, struct shard_timer *t)
{
        if (t->due_ms == 0)
                return;
        t->due_ms = 0;
        for (size_t i = 0; i < sh->timer_count; i++)
                if (sh->timers[i] == t) {
                        sh->timers[i] = sh->timers[--sh->timer_count];
                        return;
                }
}

void shard_timer_set(struct shard *sh, struct shard_timer *t, int64_t delay_ms)
{
        shard_timer_stop(sh, t);
        if (sh->timer_count == sh->timer_cap) {
                sh->timer_cap = sh->timer_cap ? sh->timer_cap * 2 : 64;
                sh->timers = xrealloc(sh->timers, sh->timer_cap * sizeof(*sh->timers));
        }
        t->due_ms = machine_now_ms() + (delay_ms > 0 ? delay_ms : 0) + 1;
        sh->timers[sh->timer_count++] = t;
}

int shard_run_timers(struct shard *sh, int max_ms)
{
        for (;;) {
                struct shard_timer *first = NULL;
                for (size_t i = 0; i < sh->timer_count; i++)
                        if (!first || sh->timers[i]->due_ms < first->due_ms)
                                first = sh->timers[i];
                int64_t left = first ? first->due_ms - machine_now_ms() : max_ms;
                if (left > 0)
                        return left < max_ms ? (int)left : max_ms;
                shard_timer_stop(sh, first);
                first->fire(sh, first);
        }
}
