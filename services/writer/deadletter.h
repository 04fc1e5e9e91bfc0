/*
 * deadletter - how a record that could not be handled stands in <topic>.dlq: its own key, value and headers, and beside them
 *
 *     tern-reason     bad_json, invalid, unknown_type, too_large, key_mismatch, tombstone, refused
 *     tern-field      the field it is about, if any
 *     tern-message    a sentence
 *     tern-topic tern-partition tern-offset tern-timestamp tern-epoch    where and when it stood
 *     tern-truncated  1: the value was too long for the log
 *
 * (topic, partition, epoch, offset) name it: whoever finds two alike may drop one. Pure.
 */
#ifndef TERN_WRITER_DEADLETTER_H
#define TERN_WRITER_DEADLETTER_H

#include "writer/batch.h"

/* The reason's name: EVENT_OK stands for "refused" (by Postgres). */
const char *deadletter_reason(const struct event_error *err);
/* The record to be sent; its parts lie in a and in the item. partition: of the .dlq. */
void deadletter_make(struct arena *a, const struct part *p, const struct item *it,
        int32_t partition, bool truncated, struct bus_record *ret);
/* True if r is the dead letter of a record of this partition; *ret_offset is where that one stood. */
bool deadletter_is_of(const struct bus_record *r, const struct part *p, int64_t *ret_offset);

#endif
