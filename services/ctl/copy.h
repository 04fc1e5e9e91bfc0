/*
 * copy - reads a range of a topic and writes what passes the filter to another topic, in transactions.
 *
 * Each transaction holds the copies and, with a checkpoint, the place to go on from: after a kill the next run begins exactly
 * there (bus/txn.h). A transaction that Kafka gives up is read and written again. Order within a partition
 * stays; memory is what librdkafka may queue, whatever the topic's size.
 *
 * Owner: one thread.
 */
#ifndef TERN_CTL_COPY_H
#define TERN_CTL_COPY_H

#include "base/lifecycle.h"
#include "ctl/checkpoint.h"
#include "ctl/filter.h"

struct copy_counts {
        uint64_t read;    /* records in the range */
        uint64_t copied;  /* of them written */
        uint64_t bytes;   /* of these: key, value, headers */
        uint64_t skipped; /* fit the filter, but cannot go there */
        uint64_t refused; /* of erased users */
};

enum copy_verdict { COPY_TAKE, COPY_SKIP, COPY_REFUSE };

struct copy_target {
        const char *topic;
        const char *verb; /* "copied" */
        /* Fills in what is to be written, borrowed until the next call. */
        enum copy_verdict (*make)(void *arg, const struct bus_record *in, struct bus_record *out);
        void *arg;
};

struct copy_options {
        struct ctl *ctl;
        struct lifecycle *lifecycle; /* tells when to stop */
        const char *topic;
        struct filter *filter;
        struct checkpoint *checkpoint; /* its ranges are read; its file may be NULL */
        struct copy_target target;
        uint32_t rate; /* copies a second; 0: as fast as it goes */
        bool as_json;  /* how far it is, too */
};

/* EXIT_DONE; EXIT_PARTLY: stopped by a signal, all that is in *ret is in the log; EXIT_FAILED after having said why. *ret counts all runs of
 * a checkpoint; ret_lost: offsets that had left the log when they were to be read. */
MUST_CHECK int copy_run(const struct copy_options *o, struct copy_counts *ret, uint64_t *ret_lost);

/* Key, value and headers. */
uint64_t copy_bytes_of(const struct bus_record *r);

#endif
