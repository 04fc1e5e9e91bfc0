/*
 * bus - records, offsets and delivery reports; the only library that sees librdkafka.
 *
 * A struct bus holds the settings, the two producers and a handle for questions: durable (acks=all, idempotent),
 * volatile (acks=1, drops when full). Delivery reports come on the bus's own report thread, which posts them to
 * the mailbox of who asked. Every send is answered, Kafka or no Kafka: within TERN_DELIVERY_TIMEOUT_MS and the
 * 2 s that librdkafka takes to notice. A durable producer that failed for good (lost sequence, say) is
 * replaced; what it held is answered as what is known of it.
 *
 * Consumers (consumer.h), seek readers (seek.h) and admin (admin.h) stand beside it.
 * Partitioner: murmur2_random. isolation.level=read_committed, auto.offset.reset=error. Nothing here logs:
 * what librdkafka has to say goes to bus_set_log()'s function.
 */
#ifndef TERN_BUS_BUS_H
#define TERN_BUS_BUS_H

#include "base/config.h"
#include "base/error.h"
#include "base/mailbox.h"
#include "base/metrics.h"
#include "base/slice.h"

struct bus;

struct bus_settings {
#define CONFIG(type, field, ...) CONFIG_FIELD_##type(field)
#include "bus/settings.def"
};
extern const struct config_row bus_settings_rows[];
extern const size_t bus_settings_count;

struct bus_header {
        struct slice name, value;
};

/* A record as read or to be written; slices are borrowed. */
struct bus_record {
        struct slice topic; /* without prefix */
        int32_t partition;  /* -1 when producing: by key */
        int64_t offset, timestamp_ms;
        struct slice key;   /* p NULL = null key */
        struct slice value; /* p NULL = tombstone */
        const struct bus_header *headers;
        size_t header_count;
};
struct slice bus_record_header(
        const struct bus_record *r, const char *name); /* last of that name; p NULL if absent */

/* props: TERN_KAFKA_* passed through to every handle they fit. client_id e.g. "tern-messaging". Does not need Kafka to be
 * up. 0, or -EINVAL with a sentence in fault: no brokers named, a property that does not exist, or one that Tern
 * depends on (acks, partitioner, isolation.level, …) and that may not be set. */
MUST_CHECK int bus_new(const struct bus_settings *s, const struct config_passthrough *props,
        size_t prop_count, const char *client_id, struct metrics *metrics, struct bus **ret,
        char fault[256]);
/* Flushes up to flush_ms, then purges; every send has been answered when it returns, so the mailboxes must still
 * stand (a closed one is passed over). Consumers and readers are freed before. NULL is fine; returns NULL. */
struct bus *bus_free(struct bus *b, int flush_ms);
/* Receives librdkafka's messages: level as in syslog (3 error, 4 warning), on any thread. text is borrowed. */
void bus_set_log(struct bus *b,
        void (*fn)(void *arg, int level, const char *facility, const char *text), void *arg);

enum bus_outcome {
        BUS_OK,      /* Kafka has confirmed it: partition and offset are true */
        BUS_BUSY,    /* bus_produce() said -ENOBUFS; never comes by mail */
        BUS_FAILED,  /* it is not in the log and will not be */
        BUS_UNKNOWN, /* it was sent, and nobody can say; also "confirmed, but not where" */
};

/* Embedded in the sender's struct; belongs to the bus until done runs on the mailbox's owner. */
struct bus_send {
        struct mail mail;
        struct mailbox *reply; /* NULL: done runs on the report thread, or inside bus_produce() */
        void (*done)(struct bus_send *s);
        enum bus_outcome outcome;
        int32_t partition;
        int64_t offset;       /* when BUS_OK */
        int64_t timestamp_ms; /* the log's append time if the broker told it, else -1 */
};
/* Copies the record. send may be NULL (nobody asks). 0, or -ENOBUFS (queue full: busy), -EMSGSIZE. Any thread; does not block. */
MUST_CHECK int bus_produce(struct bus *b, const struct bus_record *r, struct bus_send *send);
/* Volatile producer: acks=1, dropped when full or not sent within 2 s. */
void bus_produce_volatile(struct bus *b, const struct bus_record *r);
/* Drops what is queued and forgets what is in flight (answered failed and unknown): for a clock that jumped. */
void bus_purge(struct bus *b);
/* True while at least one broker connection is up; a glance. */
bool bus_up(const struct bus *b);
/* True if the cluster is librdkafka's mock (no timestamps, no admin calls). Known after the first metadata. */
bool bus_is_embedded(struct bus *b);
/* The full name of a topic, prefix included. False if it does not fit. */
bool bus_topic_name(const struct bus *b, struct slice topic, char *dst, size_t cap);
/* Makes the producers look for a topic's leaders ahead of its first write, which would otherwise wait for them up to a second.
 * Any thread; does not block. */
void bus_warm(struct bus *b, const char *topic);
/* Blocking (worker threads only): partitions of a topic, which is warm then; -ENOENT no such topic, -ETIMEDOUT, -EIO. */
MUST_CHECK int bus_partitions(struct bus *b, const char *topic, int timeout_ms, uint32_t *ret);
/* Blocking: low and high watermark as of now, on a connection that carries no fetches. Either may be NULL: it is not asked for
 * then. High is the end of what read_committed shows. -ENOENT, -ETIMEDOUT, -EIO. */
MUST_CHECK int bus_watermarks(struct bus *b, const char *topic, int32_t partition, int timeout_ms,
        int64_t *ret_low, int64_t *ret_high);
/* Blocking: high watermarks of partitions 0 to count - 1, one request for each broker. */
MUST_CHECK int bus_highs(
        struct bus *b, const char *topic, uint32_t count, int timeout_ms, int64_t *ret_highs);
/* Blocking: first offset at or after time; high watermark if none. On the embedded broker: low. */
MUST_CHECK int bus_offset_for_time(struct bus *b, const char *topic, int32_t partition,
        int64_t time_ms, int timeout_ms, int64_t *ret);

#endif
