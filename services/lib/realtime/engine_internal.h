/*
 * engine_internal - what the files of the Engine.IO server share.
 *
 *     engine_request    on a worker: verifies, refuses, reads bodies, asks and hands over
 *     engine_arrival    on the shard: what a worker sent: polls, posts, WebSockets, questions
 *     engine_session    life, heartbeat and end of a session
 *     engine_outgoing   queue, bounds, flush
 *     engine_incoming   one packet, a payload
 *     polling           parked GETs and HTTP answers
 *     websocket         the connection of a WebSocket
 *     upgrade           from polling to WebSocket
 *     engine_server     all shards together: new, mount, drain, stop
 */
#ifndef TERN_REALTIME_ENGINE_INTERNAL_H
#define TERN_REALTIME_ENGINE_INTERNAL_H

#include "realtime/engine_server.h"
#include "realtime/engine_sid.h"
#include "realtime/splice.h"

#include "base/list.h"
#include "base/map.h"
#include "base/metrics.h"
#include "fanout/outbox.h"
#include "http/server.h"
#include "net/conn.h"
#include "net/shard.h"
#include "net/ws.h"
#include "wire/engineio.h"

#include <stdatomic.h>

/* Values of the label of M_limited, see metrics.def. */
enum { LIMITED_ADDRESS_CONNECTIONS = 5, LIMITED_ADDRESS_CONNECTS = 6 };

#define ENGINE_LINGER_MS 5000     /* how long a closing session may still send what is queued */
#define ENGINE_NOOP_MS 100        /* while an upgrade is probed, how often a parked GET is let go */
#define ENGINE_FRAGMENTS_MAX 4096 /* frames of one WebSocket message */
#define ENGINE_HARD_FACTOR 4      /* outboxes full of answers, then the session is closed */

struct poll_get;
struct ws_link;
struct upgrade;
struct hello;

struct engine_shard {
        struct engine_server *srv; /* borrowed */
        struct shard *shard;       /* borrowed */
        void *app;                 /* the application's, for the callbacks */
        unsigned index;
        struct map by_sid;               /* sid bytes -> struct engine_session, OPEN and CLOSING */
        struct list sessions;            /* the same, and those that wait for their ops.closed */
        struct ws_pool *pool;            /* owned */
        struct msg *ping, *noop, *close; /* one reference each: always the same packets */
        struct shard_timer drain;
        int64_t drain_until_ms;
        int64_t queued; /* unsent bytes of all sessions */
        bool stopped;
        struct slice post_cookie; /* of the POST whose packets are being received */
        /* What other threads may see. */
        atomic_uint open;
        _Atomic int64_t queued_seen;
        _Atomic int64_t partial_seen; /* bytes of unfinished WebSocket messages */
};

struct engine_server {
        struct engine_options o; /* texts owned */
        struct engine_ops ops;
        struct metrics *metrics; /* borrowed; may be NULL */
        uint32_t instance;       /* in every sid */
        unsigned shard_count;
        atomic_uint next; /* round robin */
        atomic_bool draining;
        char *path_bare; /* owned: path without its last slash */
        struct engine_shard shards[];
};

enum engine_state {
        ENGINE_OPEN,
        ENGINE_CLOSING, /* ops.closed is due or done; answers still go out */
        ENGINE_CLOSED,  /* nothing is left but its memory, until the end of the turn */
};

struct engine_session {
        uint8_t sid[ENGINE_SID_BYTES]; /* key in es->by_sid */
        uint8_t state;                 /* enum engine_state */
        struct engine_shard *es;       /* borrowed */
        struct list link;              /* in es->sessions */
        struct shard_timer timer;      /* for the nearest of the deadlines below */
        struct shard_later later;
        struct outbox out;
        struct msg *one; /* the only queued message, held without a ring; NULL if out holds any */
        struct ws_link *ws;       /* the WebSocket that is the transport, or NULL: polling */
        struct upgrade *upgrade;  /* owned while under way */
        struct poll_get *get;     /* parked; polling only */
        struct poll_get *writing; /* an answer that the client has not taken in full */
        struct hello *hello;      /* owned: the handshake's headers */
        /* Deadlines, monotonic; 0 = none. */
        int64_t beat_ms;        /* next ping, or the end of waiting for its pong */
        int64_t stall_ms;       /* the transport must have made progress by then */
        int64_t app_ms;         /* engine_deadline() */
        int64_t linger_ms;      /* CLOSING ends */
        uint32_t drained_level; /* if owe_drained: so few queued bytes call ops.drained() */
        uint8_t reason;         /* enum engine_close_reason, once not OPEN */
        uint8_t shown;          /* as what it counts in the metric, plus one; 0 = not yet */
        bool awaits_pong : 1;
        bool post_open : 1; /* a worker reads a POST's body */
        bool owe_drained : 1;
        bool wants_turn : 1;
        bool paused : 1;     /* not read from: too many answers wait */
        bool told : 1;       /* ops.closed was called */
        bool first_poll : 1; /* has not been answered */
        bool joined : 1;     /* engine_joined() */
        _Alignas(16) char user[];
};

static inline int64_t engine_now(const struct engine_session *s)
{
        return shard_now_ms(s->es->shard);
}
static inline uint32_t engine_queued(const struct engine_session *s)
{
        return s->out.bytes + (s->one ? s->one->ws_n : 0);
}
static inline bool engine_idle(const struct engine_session *s)
{
        return !s->one && s->out.count == 0;
}

/* ---- engine_session.c ---- */
struct hello *hello_new(const struct engine_handshake *hs);
struct engine_session *engine_session_new(
        struct engine_shard *es, struct hello *hello /* taken */, struct ws_link *ws);
struct engine_session *engine_session_find(
        struct engine_shard *es, const uint8_t sid[ENGINE_SID_BYTES]);
/* The sid as its client has it; its length. */
size_t engine_session_sid(const struct engine_session *s, char ret[ENGINE_SID_TEXT_MAX]);
enum engine_farewell {
        FAREWELL_CLOSE, /* 1 to a parked GET, a close frame to a WebSocket */
        FAREWELL_NOOP,  /* 6 to a parked GET: the client has said 1 itself */
        FAREWELL_NONE,  /* the peer is gone */
};
/* CLOSED, from any state. */
void engine_end(
        struct engine_session *s, enum engine_close_reason reason, enum engine_farewell how);
/* The nearest deadline may have moved. */
void engine_arm(struct engine_session *s);
/* The metric of connections follows: transport or state may have changed. */
void engine_show(struct engine_session *s);
void engine_pong(struct engine_session *s);
/* The transport became a WebSocket: a pong on its way by polling may be lost. */
void engine_restart_pong(struct engine_session *s);
/* Closes so many open ones, the oldest first. */
void engine_close_some(struct engine_shard *es, size_t count, enum engine_close_reason reason);
void engine_close_all_now(struct engine_shard *es);

/* ---- engine_outgoing.c ---- */
/* For the transport that took n bytes off the front. */
void engine_wrote(struct engine_session *s, size_t n);
/* Moves the front message out (polling); NULL when empty. */
struct msg *engine_take(struct engine_session *s);
/* Keeps what is owed to the client only, see outbox_drop_events(). */
struct msg *engine_drop_events(struct engine_session *s);
void engine_drop_all(struct engine_session *s);
/* Queues a message that is no event; keeps the caller's reference. */
void engine_queue(struct engine_session *s, struct msg *m);
/* After something was written: resumes reading, owes drained, ends a CLOSING one. */
void engine_after_write(struct engine_session *s);

/* ---- engine_incoming.c ---- */
/* One packet's text (WebSocket) or raw binary. */
void engine_receive(struct engine_session *s, struct slice data, bool binary);
/* A POST's body. False if it held something that is no packet; the session is closed then. */
bool engine_receive_payload(struct engine_session *s, struct slice body);

/* ---- polling.c ---- */
/* A GET: parked, or answered at once. Takes ho's socket and cors (heap, may be NULL). */
void polling_get(struct engine_session *s, struct http_handover *ho, char *cors);
/* Answers the parked GET with what is queued. */
void polling_flush(struct engine_session *s);
/* The parked GET is answered with this packet alone and forgotten. */
void polling_release(struct engine_session *s, struct msg *m);
void polling_detach(struct engine_session *s);
/* A whole answer to a request whose socket is here; then the socket goes back to the intake or is
 * closed. */
void polling_answer(struct engine_shard *es, struct http_handover *ho, int status,
        const char *content_type, const char *cors, struct slice body);
void polling_refuse(
        struct engine_shard *es, struct http_handover *ho, enum eio_refusal why, const char *cors);

/* ---- websocket.c ---- */
struct ws_link {
        struct conn conn;
        struct ws ws;
        struct engine_shard *es;        /* borrowed */
        struct engine_session *session; /* whose transport it is, or NULL */
        struct upgrade *upgrade;        /* that it is the candidate of, or NULL */
};
/* Takes ho's socket. NULL: the connection could not be taken; everything is closed. */
struct ws_link *websocket_open(struct engine_shard *es, struct http_handover *ho);
/* Close frame, then the end; mid-frame it is a reset. */
void websocket_close(struct ws_link *l, bool mid_frame);
void websocket_flush(struct engine_session *s);

/* ---- upgrade.c ---- */
void upgrade_start(struct engine_session *s, struct ws_link *l);
void upgrade_receive(struct upgrade *u, struct slice data, bool binary);
/* The candidate failed or the session ends: polling goes on. */
void upgrade_abort(struct upgrade *u, bool peer_gone);

/* ---- engine_request.c ---- */
void engine_request(void *arg, struct http_request *rq);
bool engine_websocket_check(void *arg, struct http_request *rq);
void engine_websocket_ready(void *arg, struct http_request *rq);

/* ---- engine_arrival.c ---- */
enum arrival_kind {
        ARRIVAL_POLL,
        ARRIVAL_POLL_HANDSHAKE,
        ARRIVAL_POST,
        ARRIVAL_WS,
        ARRIVAL_WS_HANDSHAKE
};
struct arrival {
        struct mail mail;
        struct engine_shard *es;
        enum arrival_kind kind;
        uint8_t sid[ENGINE_SID_BYTES];
        bool websocket_query;    /* ?transport=websocket on a plain request */
        struct http_handover ho; /* owned */
        struct hello *hello;     /* owned; handshakes only */
        char *cors;              /* owned header lines, or NULL */
        char *body;              /* owned; POST only */
        size_t body_n;
        char *cookie; /* owned, or NULL; POST only, if options ask for it */
};
/* Takes a; if the shard has ended the socket is closed. */
void arrival_post(struct arrival *a);

enum ask_kind {
        ASK_KNOWN,
        ASK_POST_BEGIN,  /* also: a body is going to be read */
        ASK_POST_FORGET, /* it was not, and the session may go on */
        ASK_POST_FAIL,   /* it was not, and the session is closed */
};
enum ask_answer { ANSWER_UNKNOWN, ANSWER_POLLING, ANSWER_WEBSOCKET, ANSWER_OVERLAP };
/* On a worker: waits for the shard, for a bounded time. */
enum ask_answer arrival_ask(
        struct engine_server *srv, const uint8_t sid[ENGINE_SID_BYTES], enum ask_kind kind);

#endif
