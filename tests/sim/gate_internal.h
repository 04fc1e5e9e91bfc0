/*
 * gate_internal - what the two halves of a simulated gateway share: gate.c runs the shards, conn.c is one client's
 * connection on a shard. One shard's fiber owns each of these.
 */
#ifndef TERN_SIM_GATE_INTERNAL_H
#define TERN_SIM_GATE_INTERNAL_H

#include "world.h"

#include "fanout/outbox.h"

#define OUTBOX_MAX 1200 /* bytes, in most worlds */

struct shard_sim {
        struct gate *gate;
        unsigned index;
        struct mailbox *box;
        struct feed_shard *feed;
        struct fanout *fanout;
        struct list conns;
        int64_t stale_ms;
        bool over;
};

struct gate {
        struct world *w;
        char name[8];
        struct process process;
        struct bus *bus;
        struct store *store;
        struct feed *feed;
        struct shard_sim shards[SHARDS_MAX_SIM];
        bool stop, gone;
};

struct conn {
        struct subscriber sub;
        struct list in_shard;
        struct shard_sim *shard;
        struct client *client; /* the world's */
        uint64_t visit;
        struct outbox outbox;
        bool want_drain, close;
        struct subscription *holding[ROOMS_MAX];
        int64_t release_ms[ROOMS_MAX];
};

/* What fan-out asks of a gateway; its app is the struct shard_sim. */
extern const struct fanout_ops gate_ops;

/* A frame: its bytes are a struct packet. One reference, the caller's. */
struct msg *packet_new(const struct packet *p);
/* Tells fan-out that a connection which was full has room again. */
void drain_if_low(struct conn *c);
/* Writes what the pipe takes; at times only a part of a frame. */
void conn_write(struct conn *c);
/* The client's end sees the close, and c is gone. */
void conn_close(struct conn *c);
/* Queues a frame that is no event of the log. */
void conn_say(struct conn *c, const struct packet *p);

#endif
