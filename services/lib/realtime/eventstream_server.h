/*
 * eventstream_server - Server-Sent Events streams for an application.
 *
 * The HTTP handler authenticates, then hands the socket to a shard with es_open(); from there on it
 * is the shard's. Heartbeat comments, jittered retry, outbox and pacing are here.
 */
#ifndef TERN_REALTIME_EVENTSTREAM_SERVER_H
#define TERN_REALTIME_EVENTSTREAM_SERVER_H

#include "base/slice.h"
#include "fanout/msg.h"

struct es_server;
struct es_stream;
struct shard;
struct http_handover; /* http/handover.h */

struct es_ops {
        /* On the shard: the head and the first block (retry:, comment) have been queued. user is what es_open() was given
         * (the application's memory, its to free in closed). */
        void (*opened)(void *app, struct es_stream *s, void *user);
        void (*closed)(void *app, struct es_stream *s, void *user, int reason);
        void (*drained)(void *app, struct es_stream *s, void *user);
        void (*dropped)(void *app, struct es_stream *s, void *user, const struct msg *first);
};

struct es_options {
        uint32_t heartbeat_ms, retry_ms, retry_jitter_ms, stall_ms;
        uint32_t outbox_bytes_max, catchup_bytes_max;
};

MUST_CHECK int es_server_new(const struct es_options *o, const struct es_ops *ops, struct shard *const *shards, void *const *apps, unsigned shard_count,
        struct metrics *metrics, struct es_server **ret);
/* Main thread, shards still running: closes every stream and returns when ops.closed has run for all. */
void es_server_stop(struct es_server *srv);
struct es_server *es_server_free(struct es_server *srv);
void es_server_drain(struct es_server *srv, uint32_t drain_ms);
unsigned es_server_connections(const struct es_server *srv);

/* From a civetweb worker: takes the socket. extra_headers: complete "Name: value\r\n" lines (CORS) or empty. shard: index.
 * 0, or -ENOBUFS (at the connection bound: the handler answers 200, retry:, end). */
MUST_CHECK int es_open(struct es_server *srv, struct http_handover *ho, unsigned shard, struct slice extra_headers, void *user);
/* 200, retry:, and end: what a full or draining gateway answers so that the browser comes back. On a civetweb worker. */
struct http_request;
void es_come_back(struct es_server *srv, struct http_request *rq, struct slice extra_headers);

MUST_CHECK int es_push(struct es_stream *s, struct msg *m, bool catchup); /* as sio_push() */
void es_flush(struct es_stream *s);
void es_close(struct es_stream *s, int reason); /* end of stream: the client comes back */
/* One block: event name (empty = message), id (empty = none), data split at line ends; data.p NULL: a block without data, which
 * only moves the id. Shared. */
struct msg *es_frame(struct slice event, struct slice id, struct slice data);

#endif
