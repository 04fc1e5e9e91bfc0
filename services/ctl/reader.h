/*
 * reader - reads ranges of a topic's partitions once, in each partition's order, and knows where it is.
 *
 * A range ends with its last record, with a later one, or with the partition's end: marks of transactions and compaction leave
 * holes. What retention took away meanwhile is counted as lost. Owner: one thread.
 */
#ifndef TERN_CTL_READER_H
#define TERN_CTL_READER_H

#include "bus/consumer.h"
#include "ctl/ctl.h"
#include "ctl/where.h"

struct reader_part {
        struct range range; /* [from, to) */
        int64_t next;       /* of the range, not read yet; range.to at the end */
        bool over;
};

struct reader {
        struct ctl *ctl;           /* borrowed */
        const char *topic;         /* borrowed */
        struct reader_part *parts; /* owned; as many as the ranges, in their order */
        uint32_t count;
        uint32_t open;             /* that are not over */
        uint64_t lost;             /* offsets that had left the log when they were to be read */
        int64_t heard_ms;          /* when Kafka last gave anything */
        struct consumer *consumer; /* owned */
};

/* parts[].next begins at from; move it before reader_start(). Release with reader_done(), also after a failure. */
void reader_init(struct reader *r, struct ctl *ctl, const char *topic, const struct range *ranges,
        uint32_t count);
/* Reads on from parts[].next: at the start, and after something was taken back. An exit code after having said why. */
MUST_CHECK int reader_start(struct reader *r);
/* Calls fn for what has come, up to max records. fn returns false to leave that record and all after it unread; reader_start() then reads
 * them again. EXIT_DONE, or EXIT_FAILED after having said why: nothing came for a minute. */
MUST_CHECK int reader_poll(struct reader *r, int timeout_ms, size_t max,
        bool (*fn)(void *arg, uint32_t part, const struct bus_record *r), void *arg);
/* Offsets read so far of offsets to be read. */
void reader_progress(const struct reader *r, uint64_t *ret_read, uint64_t *ret_total);
void reader_done(struct reader *r);

#endif
