/*
 * intake_internal - one intake over all shards: a porch for each shard, and the sockets that rest
 * on it.
 *
 * A resting socket stands in one list by its deadline (heads: a whole head is awaited; idle:
 * nothing has come yet on a kept-alive one) and, while it is to be looked at without a new event,
 * in again: its whole head waits for a place in the workers' queue, or it dribbles and has been
 * looked at often enough for now.
 */
#ifndef TERN_NET_INTAKE_INTERNAL_H
#define TERN_NET_INTAKE_INTERNAL_H

#include "net/intake.h"
#include "net/internal.h"

#include <semaphore.h>
#include <stdatomic.h>

#define INTAKE_BUCKETS 65536

enum intake_reason {
        INTAKE_HEAD,
        INTAKE_IDLE,
        INTAKE_TOO_LARGE,
        INTAKE_PER_ADDRESS,
        INTAKE_FULL,
        INTAKE_REASONS
};

struct porch {
        struct intake *in; /* borrowed */
        struct shard *sh;  /* borrowed */
        struct watch listener;
        bool accepting;          /* the listener stands in the poller */
        bool shut;               /* nothing rests here any more */
        int spare_fd;            /* given up to answer when descriptors run out; -1 = none */
        struct list heads, idle; /* of resting, by due_ms */
        struct list again;       /* of resting.again, first come first */
        struct shard_timer heads_timer, idle_timer, again_timer, accept_timer;
};

struct intake {
        struct intake_options o; /* bind is not used after intake_new() */
        int fd;                  /* the listener; -1 once shut */
        struct porch *porches;   /* owned, one per shard */
        unsigned count;
        int labels[INTAKE_REASONS]; /* of M_intake_expired */
        atomic_uint resting;        /* on all shards */
        /* Resting sockets by a keyed hash of their address: an over-count for two addresses of
         * one bucket, never an under-count, in fixed memory and without a lock. */
        atomic_uint buckets[INTAKE_BUCKETS];
};

struct resting {
        struct grave grave;
        struct list again;
        struct porch *porch; /* borrowed */
        int64_t due_ms;
        uint32_t seen; /* bytes of the head that have been looked at */
        uint16_t bucket;
        uint8_t looks;
        bool idle : 1;     /* stands in porch->idle */
        bool whole : 1;    /* the head is there, the poller does not watch any more */
        bool lined : 1;    /* no line comes before the head, or it has been taken */
        bool returned : 1; /* is not offered to claim() again */
        uint8_t addr_n;
        uint8_t addr[16];
};

enum resting_from {
        RESTING_FRESH,
        RESTING_KEPT,     /* has been kept alive: idle until its next head begins */
        RESTING_RETURNED, /* intake_return() */
};
/* Takes fd. */
void resting_new(
        struct porch *p, int fd, const uint8_t *addr, uint8_t addr_n, enum resting_from from);
void resting_init_porch(struct porch *p);
/* Closes all that rests. */
void resting_clear(struct porch *p);
void intake_count(struct intake *in, enum intake_reason why);

#endif
