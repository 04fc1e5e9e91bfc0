/*
 * topics - Tern's topics as one table (proto/topics.def), and how they come into being.
 *
 * What every topic is made with: LogAppendTime (the dedupe window is broker time), no unclean leader election, and with
 * more than one replica at least two in sync. topics_faults() says which of these a cluster's topic lacks.
 *
 * Blocking; for programs that run to an end.
 */
#ifndef TERN_TOPICS_TOPICS_H
#define TERN_TOPICS_TOPICS_H

#include "base/config.h"
#include "bus/admin.h"

struct topics_settings {
#define CONFIG(type, field, ...) CONFIG_FIELD_##type(field)
#include "topics/settings.def"
};
extern const struct config_row topics_settings_rows[];
extern const size_t topics_settings_count;

struct topic_row {
        const char *name;
        uint32_t partitions; /* 0: the setting */
        const char *cleanup;
        int64_t retention_ms; /* -1: for ever */
        const char *text;
};
extern const struct topic_row topic_rows[];
extern const size_t topic_row_count;

uint32_t topic_row_partitions(const struct topic_row *row, const struct topics_settings *s);
/* Dead letters have no life of their own: nobody reads on from a cursor there. */
bool topic_row_has_epoch(const struct topic_row *row);

/* Creates what is missing; results (topic_row_count of them) say -EEXIST for what was there. 0, or -errno when the
 * cluster did not answer. */
MUST_CHECK int topics_create(struct bus *b, const struct topics_settings *s, int timeout_ms,
        struct admin_result *results);

/* Creates one of them; 0 with the topic's own result, or -errno. */
MUST_CHECK int topics_create_one(struct bus *b, const struct topics_settings *s, const char *name,
        int timeout_ms, struct admin_result *result);

/* Appends one line for each thing wrong with an existing topic; returns how many, or -errno if its settings cannot be asked for. */
int topics_faults(struct bus *b, const struct topic_row *row, const struct admin_topic *found,
        const struct topics_settings *s, int timeout_ms, struct buf *out);

#endif
