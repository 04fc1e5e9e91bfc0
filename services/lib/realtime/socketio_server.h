/*
 * socketio_server - Socket.IO 5 over Engine.IO 4 for an application that knows neither.
 *
 * One server spans all shards; a connection lives on one shard and every call about it happens on
 * that shard's thread. Transports, heartbeats, upgrade, packet parsing, namespaces and acks are
 * here; who may connect, rooms and the log are the application's (sio_ops).
 *
 * ops.closed comes at the end of the loop turn, never from inside a call of the application, and
 * the socket is freed after it. Calls about a socket that is not connected, or not any more, are
 * harmless and do nothing.
 */
#ifndef TERN_REALTIME_SOCKETIO_SERVER_H
#define TERN_REALTIME_SOCKETIO_SERVER_H

#include "base/list.h"
#include "base/slice.h"
#include "fanout/msg.h"

struct departures;       /* realtime/departures.h */
struct engine_handshake; /* realtime/engine_server.h */
struct sio_server;
struct sio_socket;  /* one namespace of one connection */
struct shard;       /* net/shard.h */
struct http_server; /* http/server.h */
struct splice;      /* realtime/splice.h */
struct metrics;

/* The same values as enum engine_close_reason. */
enum sio_close_reason {
        SIO_CLOSE_CLIENT_DISCONNECT, /* "client namespace disconnect": 41 from the client */
        SIO_CLOSE_SERVER_DISCONNECT,
        SIO_CLOSE_TRANSPORT_CLOSE,
        SIO_CLOSE_TRANSPORT_ERROR,
        SIO_CLOSE_PING_TIMEOUT,
        SIO_CLOSE_PARSE_ERROR,
        SIO_CLOSE_LIMIT,
        SIO_CLOSE_STALLED,
        SIO_CLOSE_TOKEN,
        SIO_CLOSE_KICK,
        SIO_CLOSE_DRAIN,
        SIO_CLOSE_SHED,
};

struct sio_handshake { /* borrowed for the call */
        /* After the connection's first accepted CONNECT only client_addr, authorization and query
         * are kept. query: raw, without Engine.IO's own parameters. */
        struct slice client_addr, origin, authorization, cookie, query, user_agent, traceparent;
        int64_t time_ms; /* wall */
        bool websocket;
};

struct sio_event {         /* borrowed for the call */
        struct slice name; /* decoded UTF-8 */
        struct slice args; /* JSON text of the other arguments, "a,b,c"; may be empty */
        const struct slice *attachments;
        size_t attachment_count;
        int64_t ack_id; /* -1 = none asked */
};

struct sio_ops {
        /* A CONNECT to namespace nsp (known to exist). payload: JSON text or empty. Answer with
         * sio_accept() or sio_refuse(), now or later. Until then the socket's events are not
         * delivered. */
        void (*connect)(void *app, struct sio_socket *s, struct slice nsp, struct slice payload,
                const struct sio_handshake *hs);
        void (*event)(void *app, struct sio_socket *s, const struct sio_event *ev);
        /* The client answered sio_emit_ack(): ev->name is empty, ev->ack_id what that returned. Ids
         * that were never given out come here too: who asks keeps its own list. May be NULL. */
        void (*ack)(void *app, struct sio_socket *s, const struct sio_event *ev);
        /* Also called if it was refused, or never answered. After it the socket is gone. */
        void (*closed)(void *app, struct sio_socket *s, enum sio_close_reason reason);
        /* The outbox fell below half its bound after sio_push() had refused, or after -EAGAIN
         * pacing. May be NULL, as the next. */
        void (*drained)(void *app, struct sio_socket *s);
        /* sio_push dropped events at the bound (see outbox_drop_events): first is the oldest
         * dropped of this socket; NULL if there was none but volatile. The outbox is the
         * connection's: with several namespaces each of its sockets is called. */
        void (*dropped)(void *app, struct sio_socket *s, const struct msg *first);
};

struct sio_options {
        const char *path; /* "/socket.io/" */
        uint32_t ping_interval_ms, ping_timeout_ms, connect_timeout_ms, upgrade_timeout_ms,
                stall_ms;
        uint32_t max_payload, outbox_bytes_max;
        uint32_t catchup_bytes_max; /* pacing: unsent bytes while catching up */
        const char *namespaces;     /* "/,/admin" */
        const char *origins;        /* "*", "" or a list; CORS and WebSocket Origin check */
        bool cookie;
        /* As in engine_server.h. May be NULL. */
        struct tally *addresses;
        uint32_t address_max;
        struct rate *address_connects;
        /* As in engine_server.h: whether a handshake is let in. May be NULL. */
        bool (*allow)(void *arg, const struct engine_handshake *hs);
        void *allow_arg;
        uint32_t max_attachments; /* 10 */
        size_t binary_bytes_max;  /* of one packet with its attachments; 0 = 4 times max_payload */
        size_t socket_user_size;  /* bytes of application memory in each sio_socket, zeroed */
        /* A kept-alive polling socket that may carry another request: takes fd (the intake). Any
         * thread. */
        void (*rest)(void *arg, int fd, const char *client_addr);
        void *rest_arg;
        struct departures *departures; /* as in engine_server.h */
        const struct splice *splice; /* borrowed; NULL = none */
};

/* apps[i] is handed to the callbacks of shard i. */
MUST_CHECK int sio_server_new(const struct sio_options *o, const struct sio_ops *ops,
        struct shard *const *shards, void *const *apps, unsigned shard_count,
        struct metrics *metrics, struct sio_server **ret);
/* Adds the routes of options.path; before http_server_start(). */
void sio_server_mount(struct sio_server *srv, struct http_server *http);
/* Main thread, shards still running: closes every connection and returns when ops.closed has run
 * for all. */
void sio_server_stop(struct sio_server *srv);
struct sio_server *sio_server_free(struct sio_server *srv);
/* Not ready any more; closes each connection's transport ("please come back") in slices over
 * drain_ms. Any thread. */
void sio_server_drain(struct sio_server *srv, uint32_t drain_ms);
/* As engine_server_shed(). */
void sio_server_shed(struct sio_server *srv, unsigned count);
unsigned sio_server_connections(const struct sio_server *srv); /* any thread */

/* Application memory (socket_user_size bytes), and back. */
void *sio_user(struct sio_socket *s);
struct sio_socket *sio_socket_of(void *user);
struct slice sio_nsp(const struct sio_socket *s);
bool sio_connected(const struct sio_socket *s); /* accepted and not closing */

/* Whether the connection has come as far as a WebSocket by now. */
bool sio_on_websocket(const struct sio_socket *s);
/* sid: 20 characters (public, not the Engine.IO one). pid may be empty: no recovery. */
void sio_accept(struct sio_socket *s, struct slice sid, struct slice pid);
/* data_json may be empty. The connection stays. */
void sio_refuse(struct sio_socket *s, const char *message, struct slice data_json);
/* args_json: "a,b" without brackets. */
void sio_ack(struct sio_socket *s, int64_t ack_id, struct slice args_json);
void sio_emit(struct sio_socket *s, const char *event, struct slice args_json);
/* With attachments, which args_json names by placeholders: {"_placeholder":true,"num":0}. */
void sio_ack_binary(struct sio_socket *s, int64_t ack_id, struct slice args_json,
        const struct slice *attachments, size_t count);
/* Asks for an answer (ops.ack); returns the id by which it will come. */
int64_t sio_emit_ack(struct sio_socket *s, const char *event, struct slice args_json,
        const struct slice *attachments, size_t count);
/* Queues a shared frame (its own reference); MSG_VOLATILE is dropped when it could not go out at
 * once. 0; -ENOBUFS at the bound: MSG_EVENTs were dropped and ops.dropped() was called; with
 * catchup set: -EAGAIN above catchup_bytes_max, nothing queued and ops.drained() will follow.
 * Nothing is written before sio_flush(). */
MUST_CHECK int sio_push(struct sio_socket *s, struct msg *m, bool catchup);
/* The same before sio_accept(): for applications that, like the reference, replay what a restored
 * session missed before they answer its CONNECT. */
MUST_CHECK int sio_push_early(struct sio_socket *s, struct msg *m);
/* One gathered write for the connection. sio_ack, sio_emit and accept flush by themselves at the
 * end of the current read. */
void sio_flush(struct sio_socket *s);
/* 41 to the client (it does not come back by itself); close_transport closes the connection too (it
 * does come back). */
void sio_disconnect(struct sio_socket *s, enum sio_close_reason reason);
void sio_close_transport(struct sio_socket *s, enum sio_close_reason reason);

/* A shared frame: 42[name,args…(,cursor)] with nsp. args_json without brackets; cursor empty =
 * none. Attachments make a binary event. */
struct msg *sio_frame(struct slice nsp, struct slice name, struct slice args_json,
        struct slice cursor, const struct slice *attachments, size_t attachment_count);

#endif
