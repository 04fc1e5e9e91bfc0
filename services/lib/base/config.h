/*
 * config - settings from the environment, by table.
 *
 * A library or service writes its rows once in a settings.def:
 *
 *     CONFIG(U32, outbox_bytes_max, "TERN_OUTBOX_BYTES_MAX", "262144", 4096, 16777216, "bytes",
 *            "Unsent bytes one client may queue before it reads on from its cursor.")
 *
 * Fields and rows are made from the same file (CONFIG_FIELD_*, CONFIG_ROW below). Types:
 *
 *   U32, U64   decimal, min..max; field uint32_t, uint64_t
 *   BOOL       on|off (true false yes no 1 0); field bool
 *   STR        min..max bytes; a unit like "a|b|c" lists the values; field char *, owned by the struct
 *   LIST       comma-separated, min..max bytes in all, kept as text; field char *
 *   SECRET     path of a file, whose content without the last newline is the value; never printed;
 *              field char *, "" = not set
 *
 * A default is text that is read by the same parser as a user's value.
 *
 * config_load() reports every fault at once, each line naming the setting, the value and the range.
 * Environment variables that start with TERN_ and stand in no table are reported as warnings (a
 * platform may inject some), not as faults; the addresses of services that Kubernetes injects are
 * passed over. TERN_KAFKA_* pass through to librdkafka and are collected: TERN_KAFKA_A_B is the
 * property a.b.
 */
#ifndef TERN_BASE_CONFIG_H
#define TERN_BASE_CONFIG_H

#include "base/buf.h"
#include "base/check.h"
#include <stdbool.h>
#include <stdint.h>

enum config_type {
        CONFIG_U32,
        CONFIG_U64,
        CONFIG_BOOL,
        CONFIG_STR,
        CONFIG_LIST,
        CONFIG_SECRET,
};

struct config_row {
        enum config_type type;
        size_t offset; /* of the field in the group's struct */
        const char *env, *def;
        uint64_t min, max;
        const char *unit, *text;
};

/* One table and the struct that it fills. */
struct config_group {
        const char *title; /* heading in --help and in the manual, e.g. "Kafka" */
        const struct config_row *rows;
        size_t count;
        void *base; /* the struct; borrowed */
};

#define CONFIG_FIELD_U32(f) uint32_t f;
#define CONFIG_FIELD_U64(f) uint64_t f;
#define CONFIG_FIELD_BOOL(f) bool f;
#define CONFIG_FIELD_STR(f) char *f;
#define CONFIG_FIELD_LIST(f) char *f;
#define CONFIG_FIELD_SECRET(f) char *f;
/* struct x_settings {
 * #define CONFIG(type, field, ...) CONFIG_FIELD_##type(field)
 * #include "x/settings.def"     (each .def ends with #undef CONFIG)
 * };
 * static const struct config_row rows[] = {
 * #define CONFIG(type, field, ...) CONFIG_ROW(struct x_settings, type, field, __VA_ARGS__)
 * #include "x/settings.def"
 * };                                                                                             */
#define CONFIG_ROW(st, type_, field, env_, def_, min_, max_, unit_, text_)                         \
        {CONFIG_##type_, offsetof(st, field), env_, def_, min_, max_, unit_, text_},

struct log;

struct config_passthrough {
        char *name, *value; /* owned: "sasl.mechanism", "PLAIN" */
};

struct config_result {
        struct buf faults;   /* one line each; empty if all is well */
        struct buf warnings; /* one line each */
        struct config_passthrough *kafka;
        size_t kafka_count;
};

/* Reads environ into the groups' structs (defaults first). 0, or -EINVAL with faults filled. Even
 * then every field holds something valid to free. config_result_done() and config_free() release. */
MUST_CHECK int config_load(
        const struct config_group *groups, size_t count, char **env, struct config_result *ret);
void config_result_done(struct config_result *r);
/* A log line for each warning. */
void config_log_warnings(const struct config_result *r, struct log *log);
/* Frees the owned strings of each group. */
void config_free(const struct config_group *groups, size_t count);
/* The text of --help: every setting with default, range, unit and text. */
void config_help(const struct config_group *groups, size_t count, struct buf *out);
/* name=value lines of what is in force, secrets shown as "(set)"; for --print-settings. */
void config_print(const struct config_group *groups, size_t count, struct buf *out);

/* True if text is one of "a|b|c". A STR row whose unit has a '|' is checked against it. */
bool config_is_choice(const char *choices, const char *text);
/* Iterates over a comma-separated list: *rest starts as the whole. False at its end. Blanks around
 * items are cut; empty items are skipped. */
bool config_list_next(struct slice *rest, struct slice *ret_item);

#endif
