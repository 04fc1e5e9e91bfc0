/*
 * log - one JSON object per line on stderr: {"ts","level","svc","event",…fields}.
 *
 * error = someone must act; warn = handled, and what we did; info = lifecycle; debug = per message.
 * Libraries do not log, they return; services do. Fields stand under the same key everywhere.
 * Any thread; one write(2) a line. Secrets never reach a field.
 *
 *     log_info(lg, "listening", F_STR("addr", addr), F_INT("port", port));
 */
#ifndef TERN_BASE_LOG_H
#define TERN_BASE_LOG_H

#include "base/slice.h"
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

struct log_field {
        const char *key; /* NULL ends the list */
        enum { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_DBL } kind;
        struct slice s;
        int64_t i;
        double d;
};
#define F_STR(k, v) ((struct log_field){(k), LOG_FIELD_STR, slice_str(v), 0, 0})
#define F_SLICE(k, v) ((struct log_field){(k), LOG_FIELD_STR, (v), 0, 0})
#define F_INT(k, v) ((struct log_field){(k), LOG_FIELD_INT, {NULL, 0}, (int64_t)(v), 0})
#define F_DBL(k, v) ((struct log_field){(k), LOG_FIELD_DBL, {NULL, 0}, 0, (v)})

struct log; /* opaque */

/* svc is borrowed for ever ("messaging"); instance may be NULL. fd is usually 2. */
struct log *log_new(const char *svc, const char *instance, enum log_level level, int fd);
struct log *log_free(struct log *lg);
bool log_on(const struct log *lg, enum log_level level);
/* fields ends with a key of NULL. Invalid UTF-8 in a value is escaped. lg may be NULL (silent). */
void log_write(
        struct log *lg, enum log_level level, const char *event, const struct log_field *fields);

/* The empty field that ends the list is added before the event is told from the fields, so that none of these is ever given
 * an empty list of arguments. */
#define LOG_AT(lg, level, event, ...)                                                              \
        log_write((lg), (level), (event), (const struct log_field[]){__VA_ARGS__})
#define LOG_END ((struct log_field){0})
#define log_error(lg, ...) LOG_AT(lg, LOG_LEVEL_ERROR, __VA_ARGS__, LOG_END)
#define log_warn(lg, ...) LOG_AT(lg, LOG_LEVEL_WARN, __VA_ARGS__, LOG_END)
#define log_info(lg, ...) LOG_AT(lg, LOG_LEVEL_INFO, __VA_ARGS__, LOG_END)
/* Arguments are not evaluated when debug is off. */
#define log_debug(lg, ...)                                                                         \
        do {                                                                                       \
                if (log_on((lg), LOG_LEVEL_DEBUG))                                                 \
                        LOG_AT(lg, LOG_LEVEL_DEBUG, __VA_ARGS__, LOG_END);                         \
        } while (0)

#endif
