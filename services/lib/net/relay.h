/*
 * relay - a client's socket and one to another server, bytes copied both ways untouched.
 *
 * relay_start() connects without blocking and sends a preface of the caller's; only when the other
 * server has taken the connection is the first byte of the client's read. Until then the request
 * lies in the kernel, and a server that is not there costs the client nothing but the deadline: its
 * socket is handed back as it came.
 *
 * Back-pressure goes both ways: bytes that one side does not take at once (at most CONN_RELAY_BYTES
 * for each direction) are kept, and the other side is not read before they are gone. An idle relay
 * keeps no buffer. The client's end of its direction is passed on, the server's end (or an error of
 * either) ends both; a reset is passed on as one. If the server ends without having said anything,
 * the client gets ops.silent_answer.
 *
 * A hub is one shard's relays and belongs to its thread.
 */
#ifndef TERN_NET_RELAY_H
#define TERN_NET_RELAY_H

#include "net/shard.h"

#include "base/slice.h"

struct relay;
struct relay_hub;

enum relay_end {
        RELAY_DONE,        /* the server ended it, or the client did */
        RELAY_UNREACHABLE, /* no connection: ops.unreachable() has the client */
        RELAY_SILENT,      /* the server ended without a byte */
        RELAY_BROKEN,      /* a reset, or a write that failed */
        RELAY_IDLE,
        RELAY_STOPPED, /* relay_hub_close_some(), relay_hub_stop() */
        RELAY_ENDS
};

struct relay_ops {
        /* Takes fd, whose bytes are all still in the kernel. */
        void (*unreachable)(void *arg, struct shard *sh, int fd, const char *client_addr);
        /* Once for each relay that was started. */
        void (*ended)(void *arg, enum relay_end how);
        struct slice silent_answer; /* a whole HTTP answer; static */
};

struct relay_limits {
        uint32_t connect_ms, idle_ms;
};

struct relay_target {
        const uint8_t *addr; /* 4 or 16 bytes */
        uint8_t addr_n;
        uint16_t port;
};

struct relay_hub *relay_hub_new(struct shard *sh, const struct relay_limits *limits,
        const struct relay_ops *ops, void *arg);
/* After the shard has ended. NULL is fine; returns NULL. */
struct relay_hub *relay_hub_free(struct relay_hub *hub);
/* Takes fd; from here on ops are called, but never from inside. preface (copied) goes first.
 * long_lived: relay_hub_close_some() is about these. False: nothing was begun (no descriptor, or the
 * network refused at once); fd is the caller's. */
MUST_CHECK bool relay_start(struct relay_hub *hub, int fd, const char *client_addr,
        const struct relay_target *target, struct slice preface, bool long_lived);
/* Ends so many of the long-lived ones, in order, the oldest first. */
void relay_hub_close_some(struct relay_hub *hub, size_t count);
size_t relay_hub_long_lived(const struct relay_hub *hub);
/* Ends all; nothing can be started any more. */
void relay_hub_stop(struct relay_hub *hub);

#endif
