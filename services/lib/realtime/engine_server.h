/*
 * engine_server - Engine.IO 4: sessions over long-polling and WebSocket, for an application that
 * sees packets only.
 *
 * One server spans all shards; a session lives on one of them, named in its sid, and every call
 * about it happens on that shard's thread. Requests are verified on civetweb's workers; then the
 * socket leaves for the shard. Transports, heartbeats, the upgrade, limits and the bounded outbox
 * are here; what a message means is the application's (socketio_server is one).
 *
 * A session goes OPEN -> (CLOSING: the application was told, what is queued still goes out) ->
 * CLOSED. ops.closed comes at the end of the loop turn, never from inside a call of the
 * application; only after it the session's memory goes. Calls about a session that is closing are
 * harmless and do nothing.
 */
#ifndef TERN_REALTIME_ENGINE_SERVER_H
#define TERN_REALTIME_ENGINE_SERVER_H

#include "base/check.h"
#include "base/slice.h"
#include "fanout/msg.h"

struct departures; /* realtime/departures.h */
struct engine_server;
struct engine_session;
struct http_server; /* http/server.h */
struct metrics;
struct rate;  /* base/quota.h */
struct tally; /* base/quota.h */
struct shard;  /* net/shard.h */
struct splice; /* realtime/splice.h */

/* The same values as enum sio_close_reason. */
enum engine_close_reason {
        ENGINE_CLOSE_CLIENT_DISCONNECT,
        ENGINE_CLOSE_SERVER_DISCONNECT,
        ENGINE_CLOSE_TRANSPORT_CLOSE,
        ENGINE_CLOSE_TRANSPORT_ERROR,
        ENGINE_CLOSE_PING_TIMEOUT,
        ENGINE_CLOSE_PARSE_ERROR,
        ENGINE_CLOSE_LIMIT,
        ENGINE_CLOSE_STALLED,
        ENGINE_CLOSE_TOKEN,
        ENGINE_CLOSE_KICK,
        ENGINE_CLOSE_DRAIN,
        ENGINE_CLOSE_SHED,
};

struct engine_handshake { /* borrowed for the call */
        struct slice client_addr, origin, authorization, cookie, user_agent, traceparent;
        struct slice query; /* raw, without Engine.IO's own parameters */
        int64_t time_ms;    /* wall */
        bool websocket;
};

struct engine_ops {
        /* The session stands; its handshake is queued. */
        void (*opened)(void *app, struct engine_session *s);
        /* Text is valid UTF-8. Borrowed for the call. */
        void (*message)(void *app, struct engine_session *s, struct slice data, bool binary);
        void (*closed)(void *app, struct engine_session *s, enum engine_close_reason reason);
        /* Asked for by engine_turn(): the end of that loop turn. May be NULL. */
        void (*turn)(void *app, struct engine_session *s);
        /* engine_deadline() passed. May be NULL. */
        void (*due)(void *app, struct engine_session *s);
        /* As in socketio_server.h. May be NULL. */
        void (*drained)(void *app, struct engine_session *s);
        void (*dropped)(void *app, struct engine_session *s, const struct msg *first);
        /* Just before: engine_droppable() tells what goes. May be NULL. */
        void (*dropping)(void *app, struct engine_session *s);
};

struct engine_options {
        const char *path; /* "/engine.io/": served as a prefix, and without its last slash */
        uint32_t ping_interval_ms, ping_timeout_ms, upgrade_timeout_ms, stall_ms;
        uint32_t max_payload;                         /* bytes of one message or of one POST */
        uint32_t outbox_bytes_max, catchup_bytes_max; /* unsent bytes of one session */
        const char *origins; /* may open WebSockets: see http_origin_allowed(); and the same one */
        bool cookie;         /* Set-Cookie: io=<sid> with the first poll */
        const char *first_headers; /* whole lines for the first poll's answer; NULL = none */
        /* Sessions of one client address, and handshakes a second; more are refused with 429 and
         * "rate_limited". Borrowed, may be NULL: no bound. */
        struct tally *addresses;
        uint32_t address_max; /* 0 = no bound */
        struct rate *address_connects;
        /* Whether a handshake is let in; false is 403 "Forbidden". Runs on a worker and may wait
         * there for a bounded time. NULL lets everybody in. */
        bool (*allow)(void *arg, const struct engine_handshake *hs);
        void *allow_arg;
        bool post_cookies;        /* engine_post_cookie() is asked for */
        size_t session_user_size; /* application memory in each session, zeroed */
        /* Takes a socket that may carry another request. Any thread. */
        void (*rest)(void *arg, int fd, const char *client_addr);
        void *rest_arg;
        struct departures *departures; /* borrowed: the pace of a drain; NULL: no bound */
        /* Borrowed; NULL: requests that belong to another gateway are not spliced. */
        const struct splice *splice;
};

/* apps[i] is handed to the callbacks of shard i. Texts of o are copied. */
MUST_CHECK int engine_server_new(const struct engine_options *o, const struct engine_ops *ops,
        struct shard *const *shards, void *const *apps, unsigned shard_count,
        struct metrics *metrics, struct engine_server **ret);
/* Adds the routes; before http_server_start(). */
void engine_server_mount(struct engine_server *srv, struct http_server *http);
/* No new sessions; closes the open ones in slices over drain_ms. Any thread. */
void engine_server_drain(struct engine_server *srv, uint32_t drain_ms);
/* Closes so many open sessions, the oldest of each shard, which come back wherever the balancer sends them. Any thread. */
void engine_server_shed(struct engine_server *srv, unsigned count);
/* Main thread, shards running, workers stopped: closes all and returns when ops.closed has run for
 * all. */
void engine_server_stop(struct engine_server *srv);
/* After the shards have ended. NULL is fine; returns NULL. */
struct engine_server *engine_server_free(struct engine_server *srv);
unsigned engine_server_sessions(const struct engine_server *srv); /* any thread */

void *engine_user(struct engine_session *s);
struct engine_session *engine_session_of(void *user);
/* OPEN: neither closing nor closed. */
bool engine_is_open(const struct engine_session *s);
/* The application has taken it in: it counts as joined, no longer as connecting. */
void engine_joined(struct engine_session *s);
/* Its transport is a WebSocket by now. */
bool engine_on_websocket(const struct engine_session *s);
/* What the client came with; after engine_handshake_trim() only client_addr, authorization, query,
 * time_ms and websocket are left. */
void engine_handshake_get(const struct engine_session *s, struct engine_handshake *ret);
void engine_handshake_trim(struct engine_session *s);

/* In ops.message(): the Cookie header of the POST that the packet came in; empty on a WebSocket. */
struct slice engine_post_cookie(const struct engine_session *s);

/* Queues m (its own reference); nothing is written before engine_flush() or the end of the loop
 * turn after engine_send(). 0; -ENOBUFS at the bound, after ops.dropped(); -EAGAIN with catchup
 * above catchup_bytes_max: ops.drained() follows both. */
MUST_CHECK int engine_push(struct engine_session *s, struct msg *m, bool catchup);
/* Of the queued events that a drop would take, the oldest for which is() says so; NULL if none. Lends. */
const struct msg *engine_droppable(struct engine_session *s,
        bool (*is)(const struct msg *m, const void *arg), const void *arg);
/* Queues an answer, takes over the caller's reference, and writes at the end of the turn. Too many
 * unread answers close the session. */
void engine_send(struct engine_session *s, struct msg *m);
void engine_flush(struct engine_session *s);
/* ops.turn() at the end of this loop turn. */
void engine_turn(struct engine_session *s);
/* ops.due() in delay_ms; 0 = no more. */
void engine_deadline(struct engine_session *s, uint32_t delay_ms);
/* Answers that are queued still go out, for a bounded time; events are dropped. */
void engine_close(struct engine_session *s, enum engine_close_reason reason);
/* At once: a client that broke the rules. */
void engine_abort(struct engine_session *s, enum engine_close_reason reason);

#endif
