#include "base/buf.h"

#include "base/jsontext.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_done(struct buf *b)
{
        free(b->p);
        *b = BUF_EMPTY;
}

char *buf_reserve(struct buf *b, size_t extra)
{
        if (b->cap - b->n < extra) {
                CHECK(extra < SIZE_MAX / 2 - b->n);
                size_t cap = b->cap ? b->cap : 64;
                while (cap - b->n < extra)
                        cap *= 2;
                b->p = xrealloc(b->p, cap);
                b->cap = cap;
        }
        return b->p + b->n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
        if (n == 0)
                return;
        memcpy(buf_reserve(b, n), p, n);
        b->n += n;
}

void buf_add_slice(struct buf *b, struct slice s)
{
        buf_add(b, s.p, s.n);
}

void buf_add_str(struct buf *b, const char *s)
{
        buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
        *buf_reserve(b, 1) = c;
        b->n++;
}

void buf_add_u64(struct buf *b, uint64_t v)
{
        char digits[20];
        size_t at = sizeof(digits);
        do {
                digits[--at] = (char)('0' + v % 10);
                v /= 10;
        } while (v);
        buf_add(b, digits + at, sizeof(digits) - at);
}

void buf_add_i64(struct buf *b, int64_t v)
{
        if (v < 0)
                buf_add_char(b, '-');
        buf_add_u64(b, v < 0 ? (uint64_t)0 - (uint64_t)v : (uint64_t)v);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        va_list again;
        va_copy(again, ap);
        size_t room = b->cap - b->n;
        int n = vsnprintf(room ? b->p + b->n : NULL, room, fmt, ap);
        va_end(ap);
        CHECK(n >= 0);
        if ((size_t)n >= room) {
                char *at = buf_reserve(b, (size_t)n + 1);
                vsnprintf(at, (size_t)n + 1, fmt, again);
        }
        va_end(again);
        b->n += (size_t)n;
}

void buf_add_json_str(struct buf *b, struct slice s)
{
        static const char hex[] = "0123456789abcdef";
        buf_add_char(b, '"');
        struct scan at = scan_of(s, 0, 0);
        for (;;) {
                const unsigned char *from = at.at;
                at.at = plain_run(at.at, at.end, false);
                buf_add(b, from, (size_t)(at.at - from));
                if (at.at == at.end)
                        break;
                unsigned char c = *at.at++;
                switch (c) {
                case '"':
                        buf_add(b, "\\\"", 2);
                        break;
                case '\\':
                        buf_add(b, "\\\\", 2);
                        break;
                case '\n':
                        buf_add(b, "\\n", 2);
                        break;
                case '\r':
                        buf_add(b, "\\r", 2);
                        break;
                case '\t':
                        buf_add(b, "\\t", 2);
                        break;
                case '\b':
                        buf_add(b, "\\b", 2);
                        break;
                case '\f':
                        buf_add(b, "\\f", 2);
                        break;
                default: {
                        char u[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
                        buf_add(b, u, sizeof(u));
                }
                }
        }
        buf_add_char(b, '"');
}

void buf_drop(struct buf *b, size_t n)
{
        CHECK(n <= b->n);
        if (n && n < b->n)
                memmove(b->p, b->p + n, b->n - n);
        b->n -= n;
}

const char *buf_cstr(struct buf *b)
{
        *buf_reserve(b, 1) = '\0';
        return b->p;
}

char *buf_take(struct buf *b, size_t *ret_n)
{
        *buf_reserve(b, 1) = '\0';
        char *p = b->p;
        if (ret_n)
                *ret_n = b->n;
        *b = BUF_EMPTY;
        return p;
}
