/*
 * outbound - what the writer itself writes to the log: dead letters, and copies of records that stood under a wrong key.
 *
 * Both go out before the transaction that moves the place past their record, and only when Kafka has confirmed
 * them does that transaction run. So none is lost; a death in between may repeat one. Against that:
 *
 * - Dead letters of a partition stand in one partition of the .dlq in the order of their offsets, so on the first one after an
 *   assignment the .dlq's end is read for what a predecessor has written already.
 *   (What a writer gave to Kafka before it was stopped or cut off, and Kafka takes after its successor looked, comes twice all the same:
 *   nothing fences it.)
 * - Of a copy, the intent and the target's end are committed to Postgres first. Whoever finds an intent reads the target from
 *   there, and sends only what is not there.
 *
 * Owner: the committer's thread.
 */
#ifndef TERN_WRITER_OUTBOUND_H
#define TERN_WRITER_OUTBOUND_H

#include "base/log.h"
#include "base/metrics.h"
#include "writer/batch.h"

struct db;
struct outbound;

struct outbound *outbound_new(
        struct bus *bus, struct metrics *metrics, struct log *log, uint32_t scan_max);
/* NULL is fine; returns NULL. */
struct outbound *outbound_free(struct outbound *o);

/* Sends the dead letters and copies of items [from, to) whose partitions are not fenced and that are not marked sent yet. 0: all stand in the
 * log. -EIO: Kafka is away, -EAGAIN or another code of db.h: Postgres; to be called again after a pause: what
 * was confirmed is marked and not sent again. why: one line. */
MUST_CHECK int outbound_send(
        struct outbound *o, struct db *db, struct batch *b, size_t from, size_t to, char why[256]);

/* A record whose value is longer goes to the .dlq without it if Kafka does not take it whole. */
#define DEAD_LETTER_WHOLE_MAX 900000

#endif
