/*
 * janitor - a thread that makes the days' tables ahead of time and drops what has left the resume window, once an hour.
 */
#ifndef TERN_WRITER_JANITOR_H
#define TERN_WRITER_JANITOR_H

#include "base/check.h"
#include "base/log.h"

#include <stdint.h>

struct janitor;

/* dsn is borrowed until janitor_free(). */
MUST_CHECK int janitor_new(const char *dsn, uint32_t connect_ms, uint32_t window_days,
        struct log *log, struct janitor **ret);
/* Gives up what is under way. NULL is fine; returns NULL. */
struct janitor *janitor_free(struct janitor *j);

#endif
