/*
 * intake - the listener, and the place where sockets wait until their whole request head is there.
 *
 * A worker that reads a slow head is a thread lost. So a fresh or kept-alive socket rests here,
 * unread (MSG_PEEK, edge-triggered), until CRLFCRLF lies in the kernel's buffer; then feed() takes
 * it. Deadline head_ms for a whole head (idle_ms before the first byte on a kept-alive one), head_bytes_max, per-address cap.
 * One intake runs over all shards; each socket rests on one of them.
 */
#ifndef TERN_NET_INTAKE_H
#define TERN_NET_INTAKE_H

#include "base/metrics.h"
#include "net/shard.h"

struct intake;
struct intake_options {
        const char *bind; /* address */
        uint32_t port;    /* 0 = any free one */
        uint32_t head_ms, idle_ms, head_bytes_max, per_address_max, connections_max;
        /* Takes fd and returns true, or false: try again in a moment. Never blocks. On a shard. */
        bool (*feed)(void *arg, int fd, const char *client_addr);
        void *arg;
        struct metrics *metrics;
};
/* Binds, but does not listen yet. 0, or -errno of bind. */
MUST_CHECK int intake_new(const struct intake_options *o, struct shard *const *shards, unsigned count, struct intake **ret, uint32_t *ret_port);
MUST_CHECK int intake_open(struct intake *in); /* listen and accept */
void intake_shut(struct intake *in);           /* stop accepting; resting sockets are closed */
/* A socket that may carry another request. Any thread; takes fd. */
void intake_rest(struct intake *in, int fd, const char *client_addr);
/* After the shards have ended. */
struct intake *intake_free(struct intake *in);

#endif
