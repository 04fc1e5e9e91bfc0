/*
 * socketio_internal - what the files of the Socket.IO server share.
 *
 *     socketio_server     all shards together, and the engine's callbacks
 *     socketio_receive    packets that come in, attachments
 *     socketio_namespace  CONNECT to DISCONNECT of one socket
 *     socketio_send       frames, acks, pushes
 *
 * A connection's struct sio_conn lies in the engine session's user memory; its sockets are a chain,
 * seldom longer than one.
 */
#ifndef TERN_REALTIME_SOCKETIO_INTERNAL_H
#define TERN_REALTIME_SOCKETIO_INTERNAL_H

#include "realtime/engine_server.h"
#include "realtime/socketio_server.h"

#include "wire/attachments.h"
#include "wire/socketio.h"

#define SIO_NAMESPACES_MAX 64

struct sio_shard {
        struct sio_server *srv; /* borrowed */
        void *app;              /* the application's */
        int64_t next_ack;       /* ids of our own asks */
};

struct sio_server {
        struct engine_server *engine; /* owned */
        struct sio_ops ops;
        uint32_t connect_timeout_ms, max_attachments;
        size_t binary_bytes_max, socket_user_size;
        char *names; /* owned: text of nsps */
        struct slice nsps[SIO_NAMESPACES_MAX];
        size_t nsp_count;
        unsigned shard_count;
        struct sio_shard shards[];
};

struct sio_conn {
        struct sio_shard *ss;          /* borrowed */
        struct sio_socket *sockets;    /* owned chain */
        struct sio_assembly *assembly; /* owned; a binary packet whose attachments are coming in */
        bool accepted; /* some namespace was; the handshake has been trimmed or is about to be */
        bool trimmed;
};

enum socket_state {
        SOCKET_NEW, /* the application has its CONNECT */
        SOCKET_CONNECTED,
        SOCKET_ENDED, /* ops.closed is due */
};

struct sio_socket {
        struct sio_conn *conn; /* borrowed; outlives it */
        struct sio_socket *next;
        struct msg *first; /* one reference while events are dropped: the oldest of this namespace */
        uint8_t nsp;    /* index in srv->nsps */
        uint8_t state;  /* enum socket_state */
        uint8_t reason; /* enum sio_close_reason, once ENDED */
        _Alignas(16) char user[];
};

static inline struct engine_session *sio_session(struct sio_conn *c)
{
        return engine_session_of(c);
}

/* ---- socketio_receive.c ---- */
void sio_receive(struct sio_conn *c, struct slice data, bool binary);

/* ---- socketio_namespace.c ---- */
/* The socket of a namespace that is NEW or CONNECTED, or NULL. */
struct sio_socket *sio_find(struct sio_conn *c, struct slice nsp);
void sio_connect(struct sio_conn *c, const struct sio_packet *p);
void sio_end(struct sio_socket *s, enum sio_close_reason reason);
/* Calls ops.closed for the ENDED ones (all: for every one, with reason) and frees them. */
void sio_reap(struct sio_conn *c, bool all, enum sio_close_reason reason);

#endif
