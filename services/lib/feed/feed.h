/*
 * feed - the log as clients see it: bus and store come in, fanout gets it.
 *
 * One intake (the bus thread: poll in batches, dedupe, copy into the tail's slabs, link by key,
 * judge the partition) posts the same refcounted batch to every shard. feed_shard is a shard's end of it:
 * it owns the shard's struct fanout, turns mail into fanout_batch(), answers fanout's read_old from
 * Postgres (per partition, all keys of the client on it, in seq order) and, where Postgres is behind
 * the tail, from Kafka through a small pool of seek readers.
 *
 * Threads: feed_new/start/stop on main; feed_shard_* on its shard only.
 */
#ifndef TERN_FEED_FEED_H
#define TERN_FEED_FEED_H

#include "base/config.h"
#include "base/lifecycle.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "base/metrics.h"
#include "fanout/fanout.h"

struct bus;   /* bus/bus.h */
struct store; /* store/store.h */
struct store_statement;
struct feed;
struct feed_shard;

struct feed_settings {
#define CONFIG(type, field, ...) CONFIG_FIELD_##type(field)
#include "feed/settings.def"
};
extern const struct config_row feed_settings_rows[];
extern const size_t feed_settings_count;

/* What the two gateways differ in. */
struct feed_topic {
        const char *name;                /* without prefix */
        bool cursor, rooms, all, by_key; /* see struct fanout_topic */
        uint8_t room_class;              /* see struct fanout_topic */
        char room_until;                 /* see struct fanout_topic */
        bool dedupe;                     /* first id in its partition counts */
        bool foreign_check;              /* partition must be murmur2(key) mod n */
        bool from_start;                 /* compacted state (access): read whole before ready */
        bool fill; /* read tail_fill_ms + dedupe window before ready; else from the end */
        const char *
                event_table_topic; /* tier 2 reads chat_event ("chat.events") or notification_event; NULL none */
};

struct feed_options {
        const struct feed_settings *settings;
        const struct feed_topic *topics;
        size_t topic_count;
        struct bus *bus;     /* borrowed */
        struct store *store; /* borrowed; its statement sets must hold feed_sql. NULL: no archive */
        /* This process stood still for ms (SIGSTOP, a sleeping host), longer than pause_max_ms: runs on the bus thread before any
         * further record is taken. Purge producers, close transports unread. May be NULL. */
        void (*on_pause)(void *arg, int64_t ms);
        void *pause_arg;
        struct metrics *metrics;
        struct lifecycle *lifecycle;
        struct log *log;
};

MUST_CHECK int feed_new(const struct feed_options *o, unsigned shard_count, struct feed **ret);
/* Each shard, on its own thread, before feed_start: ops and app are the application's fanout callbacks, except
 * read_old and read_cancel, which feed fills. mailbox is the shard's. */
MUST_CHECK int feed_shard_new(struct feed *fd, unsigned index, struct mailbox *mailbox,
        const struct fanout_ops *ops, void *app, struct feed_shard **ret);
struct fanout *feed_fanout(struct feed_shard *fs);
/* Starts the bus thread, which resolves partitions, epochs (Postgres's log_epoch, or the access topic) and start offsets, for ever
 * while Kafka is away. Returns at once. 0 or -EAGAIN (no thread). */
MUST_CHECK int feed_start(struct feed *fd);
/* True once every partition's fill has been read to its end by every shard. Nothing of fanout but rooms' look-ups, and neither
 * feed_partitions() nor feed_barrier() nor feed_query(), may be used before. Any thread. */
bool feed_ready(const struct feed *fd);
void feed_stop(struct feed *fd); /* joins the bus thread; shards get no more batches */
/* Called on the shard's thread with no subscriber attached. */
struct feed_shard *feed_shard_free(struct feed_shard *fs);
/* Brings the metrics up to date with what happened since the last batch. */
void feed_shard_count(struct feed_shard *fs);
struct feed *feed_free(struct feed *fd);
uint16_t feed_topic_index(const struct feed *fd, const char *name);
uint16_t feed_partitions(const struct feed *fd, uint16_t topic);

/* ---- never say no from stale state ---- */

/* Asks for the end of the key's partition as of now, waits until this shard has passed it, then calls done(arg, 0); done(arg, -ETIMEDOUT)
 * after timeout_ms (Kafka away). On the shard's thread; done never runs inside the call. Requests of one topic share one question. The
 * barrier is gone when done is called. */
struct feed_barrier;
struct feed_barrier *feed_barrier(struct feed_shard *fs, uint16_t topic, struct slice key,
        int timeout_ms, void (*done)(void *arg, int err), void *arg);
void feed_barrier_cancel(struct feed_barrier *b);

/* ---- a read is a snapshot plus the tail ---- */

/* Runs the statement in Postgres; params are text (NULL = SQL NULL), copied, STORE_PARAMS_MAX at most. ingest_offset of (topic, partition
 * of key) is read in the same snapshot, and done gets the rows as text with the offset from which the caller lays the
 * key's tail records over them (fanout_newest/prev, offset >= ingested).
 * If the tail starts after ingested, feed asks again until the writer has caught up, read_wait_ms at most, and then fails.
 * err: 0, -EAGAIN (stale: "unavailable"), -EIO (Postgres away or the statement failed), -ETIMEDOUT. done never runs inside the call; the
 * query is gone when it is called. */
struct feed_rows {
        size_t rows, columns;
        const char *const *values; /* rows * columns, NULL = SQL NULL; borrowed for the call */
        const size_t *lengths;
        int64_t ingested; /* next_offset of the partition in the snapshot */
        /* The key's records between ingested and the tail, oldest first; none without feed_query_bridge(). Borrowed. */
        const struct record *const *bridge;
        size_t bridge_count;
};
struct feed_query;
struct feed_query *feed_query(struct feed_shard *fs, uint16_t topic, struct slice key,
        const struct store_statement *statement, const char *const *params, size_t param_count,
        void (*done)(void *arg, int err, const struct feed_rows *rows), void *arg);
/* Right after feed_query(): if the tail starts after ingested, the key's records that lie between are read from Kafka, and done()
 * gets them: for who lays them over the rows, before those of the tail (feed_over()). Then done() may come later than read_wait_ms, by
 * read_give_up_ms at most. key is copied. */
void feed_query_bridge(struct feed_query *q, struct slice key);
void feed_query_cancel(struct feed_query *q);

/* What the rows do not have of the key, newest first: its records of the tail, then those of the bridge. With rows NULL (Postgres
 * could not be asked) all that the tail has. For use within done(); topic and key are the query's. */
struct feed_over {
        const struct fanout *fanout;
        const struct record *in_tail; /* next of the tail; NULL: the bridge's turn */
        int64_t from_offset, tail_start;
        const struct record *const *bridge;
        size_t bridge_left;
};
struct feed_over feed_over(const struct feed_shard *fs, uint16_t topic, struct slice key,
        const struct feed_rows *rows);
const struct record *feed_over_next(struct feed_over *o); /* borrowed; NULL at the end */

#endif
