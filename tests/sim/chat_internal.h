/*
 * chat_internal - the inside of a simulated chat gateway: chat_gate.c runs its shards, chat_shard.c their timers, chat_socket.c the
 * connections.
 */
#ifndef TERN_SIM_CHAT_INTERNAL_H
#define TERN_SIM_CHAT_INTERNAL_H

#include "chat.h"

#include "fanout/outbox.h"
#include "messaging/session.h"

struct shard {
        unsigned index;
        struct chat_gate *gate;
        struct mailbox *box;
        struct gateway *gw;
        struct shard_timer **timers; /* owned array */
        size_t timer_count, timer_cap;
        struct list sockets; /* struct sio_socket.in_shard */
        bool over;
};

struct chat_gate {
        struct chat_world *w;
        char name[12];
        struct process process;
        struct app app;
        struct shard shards[SHARDS_MAX_SIM];
        bool stop, gone;
};

enum socket_state { SOCKET_NEW, SOCKET_CONNECTED, SOCKET_ENDING };

struct sio_socket {
        struct list in_shard;
        struct shard *shard;
        struct wire *wire;
        enum socket_state state;
        enum sio_close_reason reason; /* when ENDING */
        struct outbox outbox;
        bool want_drain;
        struct session session;
};

/* Runs what is due; how long to wait for the next, max_ms at most. */
int shard_run_timers(struct shard *sh, int max_ms);

struct sio_socket *socket_new(struct shard *sh, struct wire *wire);
/* ops.closed, and frees it. */
void socket_end(struct sio_socket *so);
/* Writes what the wire takes, and tells who waits for room. */
void socket_go_on(struct sio_socket *so);

#endif
