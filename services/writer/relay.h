/*
 * relay - the thread that publishes what other backends have put into the table tern_outbox.
 *
 * A row becomes one record, with the row's id as ce_id, and is deleted when Kafka has confirmed it. Of all writers one relays:
 * it holds an advisory lock, which the server takes back when its connection is lost or silent. Against a death
 * between the send and the delete it does what re-keying does (outbound.h): where a batch's records may come to stand is
 * committed first, and who finds such an intent reads the log from there and deletes the rows whose records it finds. So a crash
 * repeats nothing; and what a writer that was frozen for long still sends is a known id to gateways and archive.
 *
 * A row that is no valid record is not sent: it keeps the reason in its column error.
 */
#ifndef TERN_WRITER_RELAY_H
#define TERN_WRITER_RELAY_H

#include "base/check.h"
#include "base/log.h"
#include "base/metrics.h"

#include <stdint.h>

struct bus;
struct relay;

struct relay_options {
        const char *dsn;    /* borrowed until relay_free() */
        uint32_t poll_ms;   /* between two looks at an empty table */
        uint32_t silent_ms; /* a connection silent for so long loses the lock */
        uint32_t batch_max;
        struct bus *bus;
        struct metrics *metrics;
        struct log *log;
};

MUST_CHECK int relay_new(const struct relay_options *o, struct relay **ret);
/* Ends with the batch under way, which takes as long as Kafka's delivery timeout at most. NULL is fine; returns NULL. */
struct relay *relay_free(struct relay *r);

#endif
