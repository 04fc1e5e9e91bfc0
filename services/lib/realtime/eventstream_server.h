/*
 * eventstream_server - Server-Sent Events streams for an application.
 *
 * The HTTP handler authenticates, then hands the socket to a shard with es_open(); from there on it
 * is the shard's. Heartbeat comments, jittered retry, outbox and pacing are here.
 *
 * A stream is OPEN from opened() until es_close(), the peer's leaving or a stall; then it is
 * ENDING: what is partly written is finished, so that no block is ever cut, the rest is forgotten,
 * and closed() follows at the end of a loop turn, never from inside another call. What is pushed
 * meanwhile is thrown away. The stream may be used until closed() returns.
 */
#ifndef TERN_REALTIME_EVENTSTREAM_SERVER_H
#define TERN_REALTIME_EVENTSTREAM_SERVER_H

#include "base/slice.h"
#include "fanout/msg.h"

struct departures; /* realtime/departures.h */
struct es_server;
struct es_stream;
struct shard;
struct metrics;
struct http_handover; /* http/handover.h */

enum es_close_reason {
        ES_CLOSE_APP = 0, /* es_close() without a better word */
        ES_CLOSE_CLIENT,  /* the client left */
        ES_CLOSE_TRANSPORT_ERROR,
        ES_CLOSE_STALLED, /* it read nothing for stall_ms */
        ES_CLOSE_LIMIT,   /* more was owed to it than its outbox holds, and none may be dropped */
        ES_CLOSE_TOKEN,
        ES_CLOSE_KICK,
        ES_CLOSE_DRAIN, /* also: es_server_stop() */
        ES_CLOSE_SHED,
        ES_CLOSE_REASONS,
};

struct es_ops {
        /* On the shard: the head and the first block (retry:, comment) have been queued. user is
         * what es_open() was given (the application's memory, its to free in closed). */
        void (*opened)(void *app, struct es_stream *s, void *user);
        /* Also called for a stream that never came as far as opened(). reason: enum
         * es_close_reason. */
        void (*closed)(void *app, struct es_stream *s, void *user, int reason);
        /* The outbox fell below half its bound after es_push() had refused, or below half of
         * catchup_bytes_max after -EAGAIN. At the end of a turn, never from inside es_push() or
         * es_flush(). */
        void (*drained)(void *app, struct es_stream *s, void *user);
        /* From inside es_push(): events were dropped at the bound; first is the oldest of them. */
        void (*dropped)(void *app, struct es_stream *s, void *user, const struct msg *first);
};

struct es_options {
        /* a comment after this time of silence, or up to an eighth earlier */
        uint32_t heartbeat_ms;
        /* retry: is drawn from [retry_ms, retry_ms + retry_jitter_ms] for each stream */
        uint32_t retry_ms, retry_jitter_ms;
        uint32_t stall_ms;
        uint32_t outbox_bytes_max, catchup_bytes_max;
        struct departures *departures; /* borrowed: the pace of a drain; NULL: no bound */
};

MUST_CHECK int es_server_new(const struct es_options *o, const struct es_ops *ops,
        struct shard *const *shards, void *const *apps, unsigned shard_count,
        struct metrics *metrics, struct es_server **ret);
/* Main thread, shards still running: closes every stream and returns when ops.closed has run for
 * all. */
void es_server_stop(struct es_server *srv);
/* After the shards have ended. NULL is fine; returns NULL. */
struct es_server *es_server_free(struct es_server *srv);
/* Any thread: ends the streams in slices, so early that their clients, which wait as retry: says, are back elsewhere within drain_ms;
 * who opens one meanwhile is sent away with retry: at once. */
void es_server_drain(struct es_server *srv, uint32_t drain_ms);
/* How long a client takes to be back at most. */
uint32_t es_back_ms(const struct es_options *o);
/* Ends so many streams, the oldest of each shard. Any thread. */
void es_server_shed(struct es_server *srv, unsigned count);
unsigned es_server_connections(const struct es_server *srv); /* any thread */

/* From a civetweb worker: takes the socket. extra_headers: complete "Name: value\r\n" lines
 * (CORS) or empty. shard: index. 0: ho->fd has been taken, ops.closed() will come in any case.
 * -ECANCELED (stopped): nothing was taken. */
MUST_CHECK int es_open(struct es_server *srv, struct http_handover *ho, unsigned shard,
        struct slice extra_headers, void *user);
/* 200, retry:, and end: what a full or draining gateway answers so that the browser comes back.
 * On a civetweb worker; the reply carries the CORS headers by itself. */
struct http_request;
/* last: whole blocks that the client gets first, or nothing. */
void es_come_back(struct es_server *srv, struct http_request *rq, struct slice last);

/* Queues a shared block (its own reference). 0; -ENOBUFS at the bound: MSG_EVENTs were dropped,
 * m is not queued, ops.dropped() was called and ops.drained() will follow; with catchup set:
 * -EAGAIN above catchup_bytes_max, nothing queued and ops.drained() will follow. A slow client
 * gets no MSG_VOLATILE (0, not queued). Nothing is written before es_flush(), unless the bound
 * asks for it. */
MUST_CHECK int es_push(struct es_stream *s, struct msg *m, bool catchup);
/* One gathered write. Never calls back. */
void es_flush(struct es_stream *s);
void es_close(struct es_stream *s, int reason); /* end of stream: the client comes back */
/* One block: event name (empty = message), id (empty = none), data split at line ends; data.p
 * NULL: a block without data, which only moves the id. Shared. */
struct msg *es_frame(struct slice event, struct slice id, struct slice data);

#endif
