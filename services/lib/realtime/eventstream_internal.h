/*
 * eventstream_internal - a server over all shards, a lane for each shard, the streams of a lane.
 */
#ifndef TERN_REALTIME_EVENTSTREAM_INTERNAL_H
#define TERN_REALTIME_EVENTSTREAM_INTERNAL_H

#include "realtime/eventstream_server.h"

#include "base/metrics.h"
#include "fanout/outbox.h"
#include "net/conn.h"
#include "net/shard.h"

#include <semaphore.h>
#include <stdatomic.h>

enum es_state {
        ES_NEW, /* on its way to the shard */
        ES_OPEN,
        ES_ENDING, /* closes when what is partly written is out */
        ES_CLOSED, /* conn is closing: closed() is due */
};

struct es_lane {               /* one shard's; everything but srv and drain_ms is its thread's */
        struct es_server *srv; /* borrowed */
        struct shard *sh;      /* borrowed */
        void *app;             /* borrowed */
        struct list streams;   /* of es_stream, oldest first */
        unsigned count;
        bool draining, stopping;
        int64_t drain_until_ms;
        struct shard_timer drain_timer, tick;
        int64_t outbox_bytes, outbox_shown; /* of all streams: as it is, as the gauge shows it */
        bool ticking;
        sem_t *stopped; /* posted when the last stream is gone */
};

struct es_server {
        struct es_options o;
        struct es_ops ops;
        struct metrics *metrics; /* borrowed */
        struct es_lane *lanes;   /* owned */
        unsigned lanes_n;
        atomic_uint connections;
        atomic_bool stopped;
        unsigned opened_label, reason_labels[ES_CLOSE_REASONS];
        unsigned shown_labels[2]; /* of connections: joined, closing */
        struct msg *heartbeat; /* one reference */
};

struct es_stream {
        struct conn conn;
        struct es_lane *lane; /* borrowed */
        struct list link;     /* in lane->streams */
        void *user;           /* the application's */
        struct outbox out;
        struct shard_later turn; /* flush and drained() at the end of the turn */
        /* heartbeat while nothing is queued, stall while something is, the last wait while
         * ending */
        struct shard_timer timer;
        int64_t wrote_ms;  /* newest progress */
        uint8_t state;     /* enum es_state */
        uint8_t reason;    /* enum es_close_reason */
        bool ending : 1;   /* counts as closing in the metric */
        bool refused : 1;  /* drained() is owed: events were dropped */
        bool paced : 1;    /* drained() is owed: catch-up came to its bound */
        bool stalling : 1; /* the timer watches for a stall */
};

/* The head is the first thing that is written. Takes fd. */
void es_stream_start(struct es_stream *s, int fd, const char *client_addr, struct msg *head);
/* Ends it without ado if it has to; see es_close(). */
void es_stream_end(struct es_stream *s, enum es_close_reason reason);
/* It counts as closing from now on. */
void es_stream_show_ending(struct es_stream *s);
/* Out of the lane, closed(), freed. */
void es_stream_gone(struct es_stream *s);
/* The lane's sum changed by so much. */
void es_lane_bytes(struct es_lane *lane, int64_t change);
struct msg *es_msg(struct slice bytes);

#endif
