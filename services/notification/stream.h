/*
 * stream - one EventSource: whose it is, which audiences it follows, and where in the log it is.
 *
 * Made by the request handler on a civetweb worker, handed to the shard with the socket, and the shard's
 * from then on. Freed in es_ops.closed.
 */
#ifndef TERN_NOTIFICATION_STREAM_H
#define TERN_NOTIFICATION_STREAM_H

#include "notification/gateway.h"

#include "realtime/eventstream_server.h"

/* Where the client wants to begin. Of START_SINCE the query finds the place. */
enum stream_start { START_NOW, START_CURSOR, START_SINCE };

struct stream {
        struct subscriber sub;
        struct gateway *gw;   /* borrowed */
        struct es_stream *es; /* borrowed from opened to closed */
        struct list in_gateway;
        struct shard_timer expiry;
        struct feed_query *query; /* of START_SINCE */
        char *user;               /* owned */
        char *topics;             /* owned: comma-separated names, "" none */
        bool unknown_cursor;      /* what the client showed is not ours: it is told of a gap */
        enum stream_start start;
        uint32_t epoch[2]; /* of START_CURSOR: notifications, broadcasts */
        int64_t offset[2];
        int64_t since_ms;
        int64_t issued_ms, expires_ms; /* wall; expires 0 = never */
        int64_t opened_ms;             /* wall */
        uint64_t number;               /* of its shard's streams, in the order of opening */
        uint8_t address_n, address[16]; /* what app->addresses counts it by */
        bool counted;                  /* in app->users and app->addresses */
        bool warned;                   /* token_expiring was sent */
};

struct stream *stream_new(struct gateway *gw, struct slice user, struct slice topics);
/* Counts it until it is freed. False: its user, or the client's address, has all it may have. Any
 * thread. */
MUST_CHECK bool stream_count(struct stream *st, struct slice client_addr);
struct stream *stream_free(struct stream *st);
/* Reads "1.e.o.e.o". If it is no cursor of ours the stream begins now, with a gap event. */
void stream_set_cursor(struct stream *st, struct slice text);

extern const struct es_ops stream_ops;
/* An id without data, so that a client that hears nothing keeps a fresh place in the log. */
void stream_send_id(struct stream *st);
/* Called now and then: a fresh id for the idle. */
void stream_refresh(struct stream *st, int64_t now_ms);
/* reason: enum es_close_reason */
void stream_close(struct stream *st, int reason);
/* {"fromSeq":…} as a named event. */
void stream_gap(struct stream *st, const char *topic, int64_t from_seq, int64_t to_seq);

#endif
