/*
 * metrics - counters, gauges and histograms from one table, rendered for Prometheus.
 *
 * Every metric of every service is a row of base/metrics.def:
 *
 *     METRIC(COUNTER, dead_letters, "tern_dead_letters_total", WRITER, "reason",
 *            "invalid|too_large|key_mismatch", "Records given up on, by reason.")
 *
 * At most two labels, whose values are fixed in the row, so cardinality is bounded by construction.
 * Values are relaxed atomics: any thread may add; hot paths add once per batch, not per message.
 * Histograms have fixed buckets by unit: seconds (1 us … 60 s) or plain counts.
 */
#ifndef TERN_BASE_METRICS_H
#define TERN_BASE_METRICS_H

#include "base/buf.h"
#include <stdint.h>

/* Which programs show a metric. */
enum {
        METRICS_MESSAGING = 1,
        METRICS_NOTIFICATION = 2,
        METRICS_WRITER = 4,
        METRICS_GATEWAYS = 3,
        METRICS_ALL = 7,
};

enum metric_id {
#define METRIC(kind, id, ...) M_##id,
#include "base/metrics.def"
        METRIC_COUNT,
};

/* Values of the label `bound` of memory_used and memory_limit, and of entries_used and entries_limit. */
enum {
        MEMORY_PROCESS,
        MEMORY_TAIL,
        MEMORY_OUTBOXES,
        MEMORY_BATCHES,
        MEMORY_PARTIAL_MESSAGES,
        MEMORY_PRODUCER,
        MEMORY_VOLATILE_PRODUCER,
};
enum {
        ENTRIES_CONNECTIONS,
        ENTRIES_HEADS,
        ENTRIES_SPLICES,
        ENTRIES_READS,
        ENTRIES_CLIENT_EVENTS,
        ENTRIES_DEDUPE_IDS,
        ENTRIES_PRODUCER,
        ENTRIES_VOLATILE_PRODUCER,
};

struct metrics; /* opaque */

struct metrics *metrics_new(unsigned service_mask);
struct metrics *metrics_free(struct metrics *m);
/* label: index into the row's values, 0 when it has none. m may be NULL everywhere: nothing
 * happens. */
void metrics_add(struct metrics *m, enum metric_id id, unsigned label, int64_t n);
void metrics_set(struct metrics *m, enum metric_id id, unsigned label, int64_t v);
/* Shows the bound and, as 0, what is used of it. */
void metrics_memory_limit(struct metrics *m, unsigned bound, int64_t bytes);
void metrics_entries_limit(struct metrics *m, unsigned bound, int64_t entries);
/* Histogram of seconds: value in nanoseconds. Histogram of counts: the count. */
void metrics_observe(struct metrics *m, enum metric_id id, unsigned label, int64_t v);
int64_t metrics_get(const struct metrics *m, enum metric_id id, unsigned label);
/* Index of a label value ("a", or "a,b" of two labels) of a row, or -1. For labels known only as text at start-up. */
int metrics_label(enum metric_id id, const char *value);
/* A gauge that is computed when somebody looks. fn runs on the ops thread: it reads atomics only. With fn NULL it is over,
 * and arg is not touched after the return. */
void metrics_gauge_fn(
        struct metrics *m, enum metric_id id, unsigned label, int64_t (*fn)(void *), void *arg);
/* Prometheus text format 0.0.4, HELP and TYPE included. */
void metrics_render(struct metrics *m, struct buf *out);

#endif
