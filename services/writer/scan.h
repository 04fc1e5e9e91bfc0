/*
 * scan - what already stands in a range of a partition: looks for the traces of a predecessor.
 *
 * Owner: one thread. Blocking, with a bound.
 */
#ifndef TERN_WRITER_SCAN_H
#define TERN_WRITER_SCAN_H

#include "bus/bus.h"

struct scan_reader;

struct scan_reader *scan_new(struct bus *bus);
struct scan_reader *scan_free(struct scan_reader *s);

/* Calls fn for each record of [from, the partition's present end). 0, or -EIO, -ETIMEDOUT: fn may have been called for some. A
 * from that has left the log is as good as the log's start. */
MUST_CHECK int scan_from(struct scan_reader *s, const char *topic, int32_t partition, int64_t from,
        int timeout_ms, void (*fn)(void *arg, const struct bus_record *r), void *arg);
/* The same for the last count offsets. */
MUST_CHECK int scan_last(struct scan_reader *s, const char *topic, int32_t partition, int64_t count,
        int timeout_ms, void (*fn)(void *arg, const struct bus_record *r), void *arg);

#endif
