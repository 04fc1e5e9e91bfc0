/*
 * bus - records, offsets and delivery reports; the only library that sees librdkafka.
 *
 * A struct bus holds the settings and the two producers: durable (acks=all, idempotent) and volatile
 * (acks=1, drops when full). Delivery reports come on the bus's own report thread, which posts them to the
 * mailbox of who asked. Consumers (consumer.h), seek readers (seek.h) and admin (admin.h) stand beside it.
 * Partitioner: murmur2_random. isolation.level=read_committed, auto.offset.reset=error.
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
        struct slice topic;   /* without prefix */
        int32_t partition;    /* -1 when producing: by key */
        int64_t offset, timestamp_ms;
        struct slice key;     /* p NULL = null key */
        struct slice value;   /* p NULL = tombstone */
        const struct bus_header *headers;
        size_t header_count;
};
struct slice bus_record_header(const struct bus_record *r, const char *name); /* last of that name; p NULL if absent */

/* props: TERN_KAFKA_* passed through. client_id e.g. "tern-messaging". */
MUST_CHECK int bus_new(const struct bus_settings *s, const struct config_passthrough *props, size_t prop_count, const char *client_id, struct metrics *metrics, struct bus **ret, char fault[256]);
/* Flushes up to flush_ms, then purges. */
struct bus *bus_free(struct bus *b, int flush_ms);

enum bus_outcome { BUS_OK, BUS_BUSY, BUS_FAILED, BUS_UNKNOWN };

/* Embedded in the sender's struct; belongs to the bus until done runs on the mailbox's owner. */
struct bus_send {
        struct mail mail;
        struct mailbox *reply;
        void (*done)(struct bus_send *s);
        enum bus_outcome outcome;
        int32_t partition;
        int64_t offset; /* when BUS_OK */
};
/* Copies the record. send may be NULL (nobody asks). 0, or -ENOBUFS (queue full: busy), -EMSGSIZE. Any thread; does not block. */
MUST_CHECK int bus_produce(struct bus *b, const struct bus_record *r, struct bus_send *send);
/* Volatile producer: acks=1, dropped when full. */
void bus_produce_volatile(struct bus *b, const struct bus_record *r);
/* What purges on a clock jump. */
void bus_purge(struct bus *b);
/* True while at least one broker connection is up; a glance. */
bool bus_up(const struct bus *b);
/* True if the cluster is librdkafka's mock (no timestamps, no admin calls). Known after the first metadata. */
bool bus_is_embedded(struct bus *b);
/* Blocking (worker threads only): partitions of a topic, or -errno. */
MUST_CHECK int bus_partitions(struct bus *b, const char *topic, int timeout_ms, uint32_t *ret);
/* Blocking: low and high watermark as of now, on a connection that carries no fetches. */
MUST_CHECK int bus_watermarks(struct bus *b, const char *topic, int32_t partition, int timeout_ms, int64_t *ret_low, int64_t *ret_high);
/* Blocking: first offset at or after time; high watermark if none. On the embedded broker: low. */
MUST_CHECK int bus_offset_for_time(struct bus *b, const char *topic, int32_t partition, int64_t time_ms, int timeout_ms, int64_t *ret);

#endif
