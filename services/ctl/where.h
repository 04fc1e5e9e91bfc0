/*
 * where - places in a topic as people write them: an offset, a time, an age, beginning or end, for all partitions or for each.
 *
 *     1200                        an offset
 *     2026-01-31T12:00:00Z        the first record that is as young
 *     -10m                        the same, by age
 *     0:100,3:250,-1h             partition 0 at 100, partition 3 at 250, the others an hour ago
 *
 * A topic's range is worked out once, before anything is read: what comes later is not in it.
 */
#ifndef TERN_CTL_WHERE_H
#define TERN_CTL_WHERE_H

#include "bus/consumer.h"
#include "ctl/ctl.h"

/* Fills part->offset: a place, CONSUMER_BEGINNING or CONSUMER_END. option: its name for what is said. An exit code. */
MUST_CHECK int where_begin(
        struct ctl *ctl, const char *option, const char *spec, struct consumer_partition *part);

struct range {
        int32_t partition;
        int64_t low, high; /* of the log, as of now */
        int64_t from, to;  /* to be read: [from, to) */
};
/* spec "" = beginning and end. The caller frees *ret. An exit code. */
MUST_CHECK int where_ranges(struct ctl *ctl, const char *topic, const char *from, const char *to,
        struct range **ret, uint32_t *ret_count);

#endif
