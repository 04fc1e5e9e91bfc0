/*
 * internal - what the files of feed share.
 *
 *   feed.c     life, settings, readiness
 *   setup.c    bus thread: partitions, epochs, start offsets
 *   intake.c   bus thread: its loop, records into the tail, restarts of a topic's log
 *   batch.c    what is posted to the shards, and the credit they have
 *   shard.c    a shard's end: mail into fanout
 *   tiers.c    older records for fanout: Postgres, then Kafka, then a gap
 *   seekers.c  the pool of Kafka readers
 *   barrier.c  the log's end as of now
 *   query.c    a snapshot plus where the tail takes over
 *   envelope.c, dedupe.c, tail.c  the parts of a record's way in
 *
 * Threads: bus (intake), asker (barrier.c), seekers. Each shard is reached through its port, which outlives it: work that comes
 * back after the shard has gone is freed where it is.
 */
#ifndef TERN_FEED_INTERNAL_H
#define TERN_FEED_INTERNAL_H

#include "feed/dedupe.h"
#include "feed/envelope.h"
#include "feed/feed.h"
#include "feed/tail.h"

#include "fanout/tailindex.h"

#include "bus/bus.h"
#include "bus/consumer.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

#define TICK_MS 50 /* how often shards look at what they wait for */
#define SHARDS_MAX 64
#define COMPLAINTS_MAX 8

struct feed_port {
        pthread_mutex_t lock;
        struct mailbox
                *mailbox;      /* under lock; NULL before the shard is there and once it has gone */
        struct feed_shard *fs; /* the shard's thread only */
        _Atomic int64_t behind; /* bytes of batches posted and not yet taken */
        atomic_uint timed;      /* barriers and queries that wait for time to pass */
        struct mail tick;
        atomic_bool tick_posted;
        struct feed *fd;
        unsigned index;
};

struct feed_intake;
struct seekers;
struct asker;

struct feed {
        struct feed_options o;
        struct feed_topic *topics; /* owned copy */
        size_t topic_count;
        unsigned shard_count;
        struct feed_port *ports; /* owned */
        /* Frozen when the first batch is posted. */
        uint16_t *partitions;
        size_t *flat; /* of partition 0 of each topic */
        size_t flat_count;
        /* Shared. */
        atomic_uint outstanding; /* store jobs and the like that will still look for their port */
        atomic_uint shards_ready;
        atomic_bool stopping, failed;
        _Atomic int64_t tail_bytes;
        pthread_mutex_t credit_lock;
        pthread_cond_t credit_given;
        pthread_t bus_thread;
        bool started;
        struct feed_intake *intake; /* the bus thread's */
        struct seekers *seekers;
        struct asker *asker;
};

/* ---- feed.c ---- */
/* False if the shard has gone: the mail is still the caller's. Any thread. */
MUST_CHECK bool feed_post(struct feed *fd, unsigned shard, struct mail *m);
/* A store job whose done() runs on a shard that may have gone when Postgres answers: then gone() runs instead, on whatever
 * thread, to free what it is embedded in. Made with store_job_init(&j->job, NULL, done). */
struct feed_store_job {
        struct store_job job;
        struct feed *fd;
        unsigned shard;
        void (*run)(struct mail *m); /* the store's own */
        void (*gone)(struct feed_store_job *j);
};
void feed_store_submit(struct feed *fd, unsigned shard, struct feed_store_job *j,
        void (*gone)(struct feed_store_job *j));
bool feed_topic_is_kept(const struct feed_topic *t);   /* its records stay in the tail */
bool feed_topic_is_linked(const struct feed_topic *t); /* by key */

/* ---- intake.c and setup.c ---- */
struct partition_state {
        int64_t position, tail_start;
        int64_t tail_from_ms; /* broker time: what is older was read at the start for its id only; 0: nothing was */
        int64_t high_at_start; /* reached once position is there or the end was seen */
        bool reached;
        struct dedupe dedupe;
};
struct topic_intake {
        uint32_t epoch, announced; /* announced: by a record of access; 0 = none */
        bool troubled;             /* its log went on elsewhere */
        int64_t try_ms;            /* next attempt to find out where */
        int in_label;              /* of metrics, -1 none */
        int64_t taken;             /* records of this turn */
};
struct feed_intake {
        struct feed *fd;
        struct consumer *consumer;
        struct topic_intake *topics;
        struct partition_state *parts; /* by flat index */
        struct tail tail;
        struct tail_index index;
        struct envelope envelope;
        struct feed_batch *batch; /* under construction */
        uint64_t first_pos, last_pos;
        size_t dedupe_total;
        bool ready_posted;
        int64_t ticked_ms, swept_ms, lag_ms;
        struct {
                const char *what, *topic;
                int64_t ms;
        } complaints[COMPLAINTS_MAX]; /* the last ones, so that none is repeated all the time */
        int64_t loop_mono_ms, loop_wall_ms;
        unsigned loop_no;
        int skip_duplicate, skip_partition, skip_invalid; /* metric labels */
};
/* Partitions, epochs and offsets, retried until they are known; the consumer is assigned. 0, or -ECANCELED when stopping. */
MUST_CHECK int feed_intake_setup(struct feed_intake *in);
/* Highest epoch of a topic that Postgres knows. 0, or -EIO. ret is left alone if it knows none. */
MUST_CHECK int feed_intake_stored_epoch(struct feed_intake *in, uint16_t topic, uint32_t *ret);
/* Loop number ticks, shards' clocks; called often, also while waiting. */
void feed_intake_tick(struct feed_intake *in);
void feed_intake_complain(
        struct feed_intake *in, const char *what, const char *topic, const char *why);
void *feed_intake_main(void *arg);
/* The tail, which the shards have read until now. NULL is fine. */
void feed_intake_free(struct feed_intake *in);

/* ---- batch.c ---- */
enum feed_batch_kind { BATCH_LAYOUT, BATCH_RECORDS, BATCH_RESTART };
struct batch_mail {
        struct mail mail;
        struct feed_batch *batch;
        unsigned shard;
};
struct feed_batch {
        enum feed_batch_kind kind;
        struct feed *fd;
        atomic_uint refs;
        size_t bytes;
        const struct record **records; /* owned array */
        size_t count, cap;
        uint64_t first_pos;
        int64_t *positions, *tail_start; /* by flat index; owned, one block */
        uint16_t topic;                  /* of a restart */
        uint32_t epoch;
        uint32_t *epochs; /* of a layout; owned */
        bool ready;       /* everything that was there at the start stands before this */
        struct slab *evicted, *passing; /* owned: freed when each shard has taken the batch */
        struct batch_mail mails[];      /* one for each shard */
};
struct feed_batch *feed_batch_new(struct feed *fd, enum feed_batch_kind kind);
void feed_batch_add(struct feed_batch *b, const struct record *r, size_t bytes);
/* Hands it to every shard, waiting for credit. */
void feed_batch_post(struct feed_intake *in, struct feed_batch *b);
void feed_batch_unref(struct feed_batch *b);

/* ---- shard.c ---- */
struct feed_shard {
        struct feed *fd;
        unsigned index;
        struct fanout *fanout;     /* owned */
        struct list reads_waiting; /* struct attach_read.link */
        struct list reads_retry;   /* struct feed_read.link: asked again at a tick */
        unsigned reads_out;
        struct list barriers, queries; /* live ones */
        struct mail again;
        bool again_posted;
        int64_t shown[4]; /* subscribers by state, as the metric has them */
};
void shard_batch(struct feed_shard *fs, const struct feed_batch *b);
void shard_tick(struct feed_shard *fs);

/* ---- tiers.c ---- */
struct feed_read;
void tiers_read_old(void *reader, struct attach_read *rd);
void tiers_read_cancel(void *reader, struct attach_read *rd);
void tiers_tick(struct feed_shard *fs, int64_t now_ms);
void tiers_done(struct feed_shard *fs);

/* Loose records in one block, for an answer to fanout. */
struct loose {
        const struct record **records; /* owned, as is the block */
        char *block;
        size_t count, cap, used, size;
};
/* Zeroed room for a record's n variable bytes; the pointers in records are true after loose_seal() only. */
struct record *loose_add(struct loose *l, size_t n);
void loose_seal(struct loose *l);
void loose_done(struct loose *l);

/* ---- seekers.c ---- */
enum seek_outcome { SEEK_PAGE, SEEK_GONE /* next_offset: the log begins there */, SEEK_FAILED };
struct seek_job {
        struct mail mail;
        const struct attach_read *rd;     /* frozen until done */
        void (*done)(struct seek_job *j); /* on the seeker's thread */
        uint32_t epoch;
        int64_t from, until;
        enum seek_outcome outcome;
        int64_t next_offset;
        struct loose page;
};
MUST_CHECK int seekers_new(struct feed *fd, struct seekers **ret);
void seekers_stop(struct seekers
                *sk); /* joins the threads; what is under way fails, as does what comes later */
struct seekers *seekers_free(struct seekers *sk);
void seekers_submit(struct seekers *sk, struct seek_job *j);

/* ---- barrier.c ---- */
MUST_CHECK int asker_new(struct feed *fd, struct asker **ret);
void asker_stop(struct asker *a); /* joins its thread; questions are refused from then on */
struct asker *asker_free(struct asker *a);
void barriers_tick(struct feed_shard *fs, int64_t now_ms);
void barriers_done(struct feed_shard *fs);

/* ---- query.c ---- */
void queries_tick(struct feed_shard *fs, int64_t now_ms);
void queries_done(struct feed_shard *fs);

#endif
