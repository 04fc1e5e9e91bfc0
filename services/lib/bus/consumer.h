/*
 * consumer - reads assigned partitions in batches, without a consumer group, or as a group's member.
 *
 * Gateways assign by hand (no rebalances, no groups left behind); the writer subscribes, with static membership
 * if it names an instance. Group members use the eager range protocol, the simplest there is: a writer's place is
 * in Postgres, so giving all partitions back and taking some again costs it one query. Nothing is read of an
 * assigned partition until the callee has said from where.
 *
 * Owner: one thread, which polls. Records are borrowed from librdkafka until the next poll: copy what is kept.
 */
#ifndef TERN_BUS_CONSUMER_H
#define TERN_BUS_CONSUMER_H

#include "bus/bus.h"

struct consumer;

enum consumer_event_kind {
        CONSUMER_RECORD,
        CONSUMER_EOF,   /* the partition's end was reached: record.topic/partition/offset (next) */
        CONSUMER_RANGE, /* the position is outside the log (auto.offset.reset=error) */
        CONSUMER_ERROR, /* text in error; the library goes on by itself */
        CONSUMER_DEAD,  /* another member took the instance id: nothing more will come; free it */
};
struct consumer_event {
        enum consumer_event_kind kind;
        struct bus_record record;
        const char *error;
};

#define CONSUMER_BEGINNING (-2)
#define CONSUMER_END (-1)

struct consumer_partition {
        const char *topic; /* without prefix */
        int32_t partition;
        int64_t offset; /* next to read, or one of the two above */
};

struct consumer_options {
        const char *group;         /* NULL: no group, assign by hand */
        const char *instance_id;   /* static membership, or NULL */
        const char *const *topics; /* with a group */
        size_t topic_count;
        uint32_t session_timeout_ms; /* group; 0: 6000 */
        /* Group: partitions came or went. On the polling thread, inside consumer_poll() and consumer_free(). On assign the callee fills in
         * offsets (next to read) and returns 0; anything else means "not now" (Postgres is away), and it is asked again every
         * 500 ms while nothing is read. revoked() is called only for what was taken with 0. Inside them only
         * consumer_commit() may be called. */
        int (*assigned)(void *arg, struct consumer_partition *parts, size_t count);
        void (*revoked)(void *arg, const struct consumer_partition *parts, size_t count, bool lost);
        void *arg;
};
MUST_CHECK int consumer_new(
        struct bus *b, const struct consumer_options *o, struct consumer **ret, char fault[256]);
/* Leaves the group if it is in one. */
struct consumer *consumer_free(struct consumer *c);
/* By hand: adds partitions; one that is assigned already moves to the new offset. 0 or -EINVAL. */
MUST_CHECK int consumer_assign(
        struct consumer *c, const struct consumer_partition *parts, size_t count);
/* By hand: these deliver nothing more. */
void consumer_unassign(struct consumer *c, const struct consumer_partition *parts, size_t count);
/* Moves an assigned partition, also after CONSUMER_RANGE (there by hand only). 0, -EINVAL, -ETIMEDOUT. */
MUST_CHECK int consumer_seek(struct consumer *c, const struct consumer_partition *part);
/* A paused partition keeps its place and delivers nothing; what librdkafka had read ahead of it is read again. */
int consumer_pause(struct consumer *c, const struct consumer_partition *parts, size_t count);
int consumer_resume(struct consumer *c, const struct consumer_partition *parts, size_t count);
/* Waits up to timeout_ms for the first, then takes what is there, up to max. Returns the count; *ret borrowed until the next poll. */
size_t consumer_poll(
        struct consumer *c, int timeout_ms, size_t max, const struct consumer_event **ret);
/* Wakes a poll from another thread. */
void consumer_wake(struct consumer *c);
/* Group: remembers offsets for lag tools; asynchronous. */
void consumer_commit(struct consumer *c, const struct consumer_partition *parts, size_t count);
/* Last known high watermark of a partition from fetches; -1 unknown. */
int64_t consumer_high(struct consumer *c, const char *topic, int32_t partition);

#endif
