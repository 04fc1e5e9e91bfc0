/*
 * shard - one loop thread: it owns its connections, sessions, fan-out core and timers.
 *
 * Nothing blocks here and nothing locks; other threads speak to it through its mailbox. libuv stays
 * inside this library: others see timers and connections only.
 */
#ifndef TERN_NET_SHARD_H
#define TERN_NET_SHARD_H

#include "base/lifecycle.h"
#include "base/list.h"
#include "base/mailbox.h"

struct shard;

/* start runs first on the new thread; stop runs last, with the loop still alive: after it
 * nothing is called any more but closed() of connections that it closed. lc may be NULL. 0, or
 * -errno. */
MUST_CHECK int shard_new(unsigned index, struct lifecycle *lc,
        void (*start)(struct shard *sh, void *arg), void (*stop)(struct shard *sh, void *arg),
        void *arg, struct shard **ret);
/* Asks the loop to end (mail that has been posted is still run), joins the thread, frees. NULL
 * is fine; returns NULL. */
struct shard *shard_free(struct shard *sh);
unsigned shard_index(const struct shard *sh);
struct mailbox *shard_mailbox(struct shard *sh);
int64_t shard_now_ms(const struct shard *sh); /* monotonic, cached per loop turn */
bool shard_is_current(const struct shard *sh);

/* A deadline: small, embedded, re-armed without allocation. Precision: never early, at most 5 ms
 * late. */
struct shard_timer {
        int64_t due_ms; /* 0 = not armed */
        void (*fire)(struct shard *sh, struct shard_timer *t);
        uint32_t heap_at; /* private */
};
void shard_timer_init(struct shard_timer *t, void (*fire)(struct shard *, struct shard_timer *));
void shard_timer_set(struct shard *sh, struct shard_timer *t, int64_t delay_ms);
void shard_timer_stop(struct shard *sh, struct shard_timer *t);
/* Runs once at the end of this loop turn (after all events of it); for "flush once". Embedded
 * like a timer; zeroed or list_init'ed. What is asked for from inside run() runs in the next
 * turn. Asking twice is asking once. */
struct shard_later {
        struct list link;
        void (*run)(struct shard *sh, struct shard_later *l);
};
void shard_later(struct shard *sh, struct shard_later *l);
void shard_later_cancel(struct shard_later *l);

#endif
