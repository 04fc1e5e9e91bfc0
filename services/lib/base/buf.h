/*
 * buf - a growable byte buffer that one owner writes and hands on.
 *
 * Appends never fail for the caller: sizes from outside are bounded before they get here, so a
 * failed allocation ends the process (xrealloc). buf_take() moves the bytes out.
 */
#ifndef TERN_BASE_BUF_H
#define TERN_BASE_BUF_H

#include "base/check.h"
#include "base/slice.h"

struct buf {
        char *p; /* owned; NULL until the first append */
        size_t n, cap;
};

#define BUF_EMPTY ((struct buf){NULL, 0, 0})

/* Frees the bytes and leaves an empty buffer. */
void buf_done(struct buf *b);
/* Keeps the capacity. */
static inline void buf_reset(struct buf *b)
{
        b->n = 0;
}
/* Room for at least extra more bytes; returns where they go. Follow with buf_commit(). */
char *buf_reserve(struct buf *b, size_t extra);
static inline void buf_commit(struct buf *b, size_t n)
{
        CHECK(n <= b->cap - b->n);
        b->n += n;
}
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_slice(struct buf *b, struct slice s);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_add_u64(struct buf *b, uint64_t v);
void buf_add_i64(struct buf *b, int64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Appends s as a JSON string with its quotes. s must be valid UTF-8. */
void buf_add_json_str(struct buf *b, struct slice s);
/* Drops n bytes from the front. */
void buf_drop(struct buf *b, size_t n);
/* Appends a NUL that is not counted and lends the bytes as a C string. */
const char *buf_cstr(struct buf *b);
/* Moves the bytes out (the caller frees; NUL-terminated) and leaves an empty buffer. */
char *buf_take(struct buf *b, size_t *ret_n);
static inline struct slice buf_slice(const struct buf *b)
{
        return (struct slice){b->p, b->n};
}

#endif
