/*
 * seek - reads one range of one partition, [from, to), once: the tier between Postgres and the tail.
 *
 * A reader owns a consumer handle of its own, with a connection and two threads, so readers are few, kept, and
 * started again and again; the pool and its bound are the caller's. The end of the range is a record at or
 * beyond to - 1, or the partition's end: control records leave holes, so offsets alone do not tell.
 *
 * Owner: one thread at a time. Records are borrowed until the next call.
 */
#ifndef TERN_BUS_SEEK_H
#define TERN_BUS_SEEK_H

#include "bus/bus.h"

struct seek;

MUST_CHECK int seek_new(struct bus *b, struct seek **ret, char fault[256]);
/* NULL is fine; returns NULL. */
struct seek *seek_free(struct seek *sk);
/* Begins a range; one that is being read is forgotten. 0, or -EINVAL. */
MUST_CHECK int seek_start(
        struct seek *sk, const char *topic, int32_t partition, int64_t from, int64_t to);
/* Waits up to timeout_ms. 0: there may be more (also after a timeout); 1: the range is complete with these records; -ERANGE: from is
 * no longer in the log; -EIO: Kafka said no (and *ret_count is 0 then). */
MUST_CHECK int seek_poll(struct seek *sk, int timeout_ms, size_t max, const struct bus_record **ret,
        size_t *ret_count);
/* Once a range is complete: the partition's end, if that was met; else -1. */
int64_t seek_end(const struct seek *sk);
/* Ends the range early; the reader may be started again. */
void seek_stop(struct seek *sk);
/* Wakes a poll from another thread. */
void seek_wake(struct seek *sk);

#endif
