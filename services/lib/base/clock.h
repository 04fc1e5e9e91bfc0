/*
 * clock - the only readers of time. Cores never call these: now_ms is handed to them.
 */
#ifndef TERN_BASE_CLOCK_H
#define TERN_BASE_CLOCK_H

#include <stdint.h>
#include <stddef.h>

/* Monotonic; for deadlines. */
int64_t clock_mono_ms(void);
int64_t clock_mono_ns(void);
/* Milliseconds since 1970, UTC; for what people and records see. */
int64_t clock_wall_ms(void);

/* "2026-01-31T23:59:59.123Z" is 24 characters and a NUL. */
#define CLOCK_ISO_TEXT 25
void clock_iso(int64_t wall_ms, char ret[CLOCK_ISO_TEXT]);
/* RFC 3339 with any fraction and offset, or date only. 0 or -EINVAL. */
int clock_parse_iso(const char *p, size_t n, int64_t *ret_wall_ms);

#endif
