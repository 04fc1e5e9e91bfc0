/*
 * envelope - from a record as Kafka gives it to a record as gateways keep it.
 *
 * Reads the CloudEvents headers, normalizes what other backends write (structured mode, bare JSON), and judges
 * whether the record stands where its key belongs. What the value says is not looked at.
 */
#ifndef TERN_FEED_ENVELOPE_H
#define TERN_FEED_ENVELOPE_H

#include "base/buf.h"
#include "bus/bus.h"
#include "fanout/record.h"
#include "feed/feed.h"

struct envelope {
        struct slice key, id, type, trace, value;
        struct buf scratch; /* what normalizing made */
        bool foreign;
};

#define ENVELOPE_EMPTY ((struct envelope){.scratch = BUF_EMPTY})

void envelope_done(struct envelope *e);
/* Slices point into r or e until the next call. 0, or -EINVAL: the record counts for nobody. */
MUST_CHECK int envelope_read(struct envelope *e, const struct feed_topic *topic,
        uint32_t partitions, const struct bus_record *r);
/* Bytes of the record's variable part; without the value if the record is shown to nobody. */
size_t envelope_bytes(const struct envelope *e, bool with_value);
/* Fills everything but pos, links, slot and topic of a zeroed record with room for envelope_bytes(). */
void envelope_write(const struct envelope *e, const struct bus_record *r, uint32_t epoch,
        bool with_value, struct record *dst);

/* Whether r is the writer's copy of the record at that offset of the same partition, which had another's key. That one
 * was shown to nobody, so its id does not make the copy a duplicate. */
bool envelope_replaces(const struct bus_record *r, int64_t offset);

#endif
