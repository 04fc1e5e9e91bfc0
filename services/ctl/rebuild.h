/*
 * rebuild - Postgres's rows are made anew from the log, by the writers, and compared with what they were.
 *
 * In one transaction, with the writers held up: the hashes of all rows are summed, what the log brings again is deleted, and the places are
 * set back to where the log (and the archive's own proof, complete_from) begins. The writers notice, and read on from there; the
 * gateways see the archive behind the log, and answer from Kafka meanwhile, or `unavailable`. When the writers have come to where
 * they were, the sums are made again. Keys that got records meanwhile are compared up to the first of these, or left out.
 *
 * Owner: one thread; one connection, which holds the first sums.
 */
#ifndef TERN_CTL_REBUILD_H
#define TERN_CTL_REBUILD_H

#include "base/lifecycle.h"
#include "ctl/ctl.h"

struct rebuild_part {
        char topic[32];
        int32_t partition;
        int64_t epoch, partitions;   /* of the topic */
        int64_t next, complete_from; /* of ingest_offset */
        int64_t start;               /* from where it is made anew */
        int64_t since_ms; /* time of the record there; INT64_MIN: all there ever was; INT64_MAX: nothing is made anew */
};

struct rebuild {
        struct ctl *ctl;
        struct lifecycle *lifecycle;
        struct rebuild_part *parts; /* owned */
        size_t count;
        uint64_t touched,
                redriven; /* keys with new records meanwhile; records that were redriven meanwhile */
};

/* From where each partition is made anew. All of these return an exit code after having said why. */
MUST_CHECK int rebuild_plan(struct rebuild *rb);
/* The first sums, the deletion, the places. */
MUST_CHECK int rebuild_set_back(struct rebuild *rb);
/* Until the writers are where they were; EXIT_PARTLY: stopped by a signal. */
MUST_CHECK int rebuild_wait(struct rebuild *rb);
/* The second sums. *ret: rebuild_compare.sql's answer; release with db_result_done(). */
MUST_CHECK int rebuild_prove(struct rebuild *rb, struct db_result *ret);
void rebuild_done(struct rebuild *rb);

#endif
