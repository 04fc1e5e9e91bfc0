/*
 * epoch - counts the lives of the log, so that seq = epoch * 2^40 + offset never comes twice.
 *
 * A topic that was deleted and made again, or that moved to another cluster, starts at offset 0 once more. So each
 * topic's epoch stands in Postgres (log_epoch) and, for gateways that come up while Postgres is away, in
 * the topic `access`. It rises when the cluster's id or the partition count is another one, when the archive has read
 * further than the log reaches, when the last record that it read is not the one that stands there now, and for a
 * missing topic before it is made again: a death in between then costs a number, not a collision.
 *
 * Without Postgres the known lives are those in `access` alone. Blocking; for programs that run to an end.
 */
#ifndef TERN_TOPICS_EPOCH_H
#define TERN_TOPICS_EPOCH_H

#include "base/check.h"
#include <stdbool.h>
#include <stdint.h>

struct bus;
struct db;
struct topics_settings;

struct epoch_options {
        struct bus *bus;
        struct db *db; /* NULL: no Postgres */
        bool force; /* each topic begins a new life: the embedded broker, which forgets everything */
        /* Not NULL: only the topics that are missing, which are about to be made with these settings; those that were
         * known begin a new life. */
        const struct topics_settings *missing;
        int timeout_ms;
};

enum epoch_change {
        EPOCH_KEPT,
        EPOCH_FIRST, /* nothing was known of this topic */
        EPOCH_RAISED,
};

struct epoch {
        const char *topic; /* from topic_rows */
        int64_t epoch;
        uint32_t partitions;
        enum epoch_change change;
        bool grown;    /* EPOCH_RAISED: the same log goes on with more partitions */
        char why[240]; /* EPOCH_RAISED */
};

/* Finds the life of each existing topic that has one (or of each missing one), and makes the change known to Postgres first and then to `access`. With
 * check_only nothing is written: *ret says what would be. The caller frees *ret. 0; -EIO, -ETIMEDOUT (Kafka or
 * Postgres), -EINVAL (the schema is missing) with a sentence in fault. */
MUST_CHECK int epoch_register(const struct epoch_options *o, bool check_only, struct epoch **ret,
        size_t *ret_count, char fault[256]);

#endif
