/*
 * copy - rows in Postgres's binary COPY format, built in memory.
 *
 *     copy_begin(&b);
 *     copy_row(&b, 2); copy_i64(&b, seq); copy_text(&b, id);
 *     copy_end(&b);
 *     db_copy_in(db, "COPY t (seq, id) FROM STDIN (FORMAT binary)", buf_slice(&b), &rows);
 *
 * Pure. The order and types of the fields are the caller's promise.
 */
#ifndef TERN_STORE_COPY_H
#define TERN_STORE_COPY_H

#include "base/buf.h"

#include <stdint.h>

/* Empties b and writes the header. */
void copy_begin(struct buf *b);
/* Starts a row of that many fields. */
void copy_row(struct buf *b, uint16_t fields);
void copy_null(struct buf *b);
void copy_bool(struct buf *b, bool v);
void copy_i32(struct buf *b, int32_t v);
void copy_i64(struct buf *b, int64_t v);
/* timestamptz from milliseconds since 1970. */
void copy_time_ms(struct buf *b, int64_t wall_ms);
/* text, json. p NULL = SQL NULL. */
void copy_slice(struct buf *b, struct slice s);
/* NULL = SQL NULL. */
void copy_text(struct buf *b, const char *s);
void copy_end(struct buf *b);

#endif
