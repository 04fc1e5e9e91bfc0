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

struct bus;      /* bus/bus.h */
struct store;    /* store/store.h */
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
        const char *name;      /* without prefix */
        int metric_label;      /* of records_in; -1 none */
        bool cursor, rooms, all, by_key; /* see struct fanout_topic */
        uint8_t room_class; char room_until; /* see struct fanout_topic */
        bool dedupe;           /* first id in its partition counts */
        bool foreign_check;    /* partition must be murmur2(key) mod n */
        bool from_start;       /* compacted state (access): read whole before ready */
        bool fill;             /* read tail_fill_ms + dedupe window before ready; else from the end */
        const char *event_table_topic; /* tier 2 reads chat_event ("chat.events") or notification_event; NULL none */
};

/* Decides on the bus thread whether a record counts at all (shape of headers, structured mode, bare JSON, key matches subject):
 * may rewrite key, id, type, value. 0, or -EINVAL with a metric label of records_skipped. See proto/event.h. */
struct bus_record;
typedef int (*feed_normalize_fn)(void *arg, uint16_t topic, struct bus_record *r, const char **ret_reason);

struct feed_options {
        const struct feed_settings *settings;
        const struct feed_topic *topics;
        size_t topic_count;
        feed_normalize_fn normalize;
        void *normalize_arg;
        struct bus *bus;       /* borrowed */
        struct store *store;   /* borrowed */
        struct metrics *metrics;
        struct lifecycle *lifecycle;
        struct log *log;
};

MUST_CHECK int feed_new(const struct feed_options *o, unsigned shard_count, struct feed **ret);
/* Each shard, on its own thread, before feed_start: ops and app are the application's fanout callbacks, except
 * read_old and read_cancel, which feed fills. mailbox is the shard's. */
MUST_CHECK int feed_shard_new(struct feed *fd, unsigned index, struct mailbox *mailbox, const struct fanout_ops *ops, void *app, struct feed_shard **ret);
struct fanout *feed_fanout(struct feed_shard *fs);
/* Starts the bus thread: resolves epochs (Postgres log_epoch, or the access topic), partitions, start offsets. Retries for ever while
 * Kafka is away. */
MUST_CHECK int feed_start(struct feed *fd);
/* True once every partition's fill has been read to its end. Any thread. */
bool feed_ready(const struct feed *fd);
void feed_stop(struct feed *fd); /* joins the bus thread; shards get no more batches */
/* Called on the shard's thread with no subscriber attached. */
struct feed_shard *feed_shard_free(struct feed_shard *fs);
struct feed *feed_free(struct feed *fd);
uint16_t feed_topic_index(const struct feed *fd, const char *name);
uint16_t feed_partitions(const struct feed *fd, uint16_t topic);

/* ---- never say no from stale state ---- */

/* Asks for the partition's end as of now, waits until this shard has passed it, then calls done(arg, 0); done(arg, -ETIMEDOUT) after
 * timeout_ms (Kafka away). On the shard's thread. Requests for one partition share one question. */
struct feed_barrier;
struct feed_barrier *feed_barrier(struct feed_shard *fs, uint16_t topic, struct slice key, int timeout_ms, void (*done)(void *arg, int err), void *arg);
void feed_barrier_cancel(struct feed_barrier *b);

/* ---- a read is a snapshot plus the tail ---- */

/* Runs the named statement in Postgres; params are text (NULL = SQL NULL), copied. The statement's FIRST result column of each row is data; the
 * snapshot's ingest_offset of (topic, partition of key) is read in the same snapshot. done gets rows as text and
 * the offset from which the caller lays the key's tail records over them (fanout_newest/prev, offset >= ingested).
 * If the tail starts after ingested, feed waits read_wait_ms for the writer and tries again, then fails with -EAGAIN ("unavailable").
 * err: 0, -EAGAIN (stale), -EIO (Postgres away, within store timeout), -ETIMEDOUT. */
struct feed_rows {
        size_t rows, columns;
        const char *const *values; /* rows * columns, NULL = SQL NULL; borrowed for the call */
        const size_t *lengths;
        int64_t ingested; /* next_offset of the partition in the snapshot */
};
struct feed_query;
struct feed_query *feed_query(struct feed_shard *fs, uint16_t topic, struct slice key, const struct store_statement *statement, const char *const *params, size_t param_count,
        void (*done)(void *arg, int err, const struct feed_rows *rows), void *arg);
void feed_query_cancel(struct feed_query *q);

#endif
