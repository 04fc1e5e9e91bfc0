/*
 * slice - a borrowed run of bytes: a pointer and a length, never NUL-terminated by promise.
 *
 * A slice owns nothing; the comment at each use says what it borrows from and until when.
 * The empty slice may have a NULL pointer.
 */
#ifndef TERN_BASE_SLICE_H
#define TERN_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
        const char *p;
        size_t n;
};

#define SLICE_LIT(s) ((struct slice){(s), sizeof(s) - 1})
#define SLICE_NONE ((struct slice){NULL, 0})
/* For printf: "%.*s", SLICE_ARG(x). */
#define SLICE_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct slice slice_of(const char *p, size_t n)
{
        return (struct slice){p, n};
}
static inline struct slice slice_str(const char *s)
{
        return (struct slice){s, s ? strlen(s) : 0};
}
static inline bool slice_eq(struct slice a, struct slice b)
{
        return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool slice_is(struct slice a, const char *s)
{
        return slice_eq(a, slice_str(s));
}
static inline bool slice_starts(struct slice a, const char *s)
{
        size_t n = strlen(s);
        return a.n >= n && (n == 0 || memcmp(a.p, s, n) == 0);
}
static inline struct slice slice_from(struct slice a, size_t skip)
{
        if (skip > a.n)
                skip = a.n;
        return (struct slice){a.p ? a.p + skip : NULL, a.n - skip};
}
/* Index of byte c, or -1. */
static inline ptrdiff_t slice_find(struct slice a, char c)
{
        const char *at = a.n ? memchr(a.p, c, a.n) : NULL;
        return at ? at - a.p : -1;
}
/* Whole slice as an unsigned decimal. False on empty, a non-digit, or a value over max. */
bool slice_to_u64(struct slice s, uint64_t max, uint64_t *ret);
/* A heap copy, NUL-terminated; the caller frees. */
char *slice_dup(struct slice s);
/* Copies with a NUL into dst[cap]; false if it does not fit (dst is then ""). */
bool slice_copy(struct slice s, char *dst, size_t cap);

#endif
