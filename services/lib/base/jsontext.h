/*
 * jsontext - what the readers and the writer of JSON text share: a place in a text, white space,
 * hexadecimal digits, and the run of characters in a string that need no look, eight at a time.
 * Private to base.
 */
#ifndef TERN_BASE_JSONTEXT_H
#define TERN_BASE_JSONTEXT_H

#include "base/slice.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

struct scan {
        const unsigned char *at, *end;
        unsigned depth_max, flags; /* of the validator */
};

static inline struct scan scan_of(struct slice s, unsigned depth_max, unsigned flags)
{
        const unsigned char *p = (const unsigned char *)(s.p ? s.p : "");
        return (struct scan){p, p + s.n, depth_max, flags};
}

static inline bool is_space(unsigned char c)
{
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline void skip_space(struct scan *s)
{
        while (s->at < s->end && is_space(*s->at))
                s->at++;
}

/* One bit, the highest, in each byte of w that is c; above the lowest such byte there may be more. */
static inline uint64_t bytes_equal(uint64_t w, unsigned char c)
{
        uint64_t x = w ^ c * UINT64_C(0x0101010101010101);
        return (x - UINT64_C(0x0101010101010101)) & ~x;
}

/*
 * Where the first character that a string cannot hold as it is stands: a quote, a backslash, a control
 * character, and with stop_at_high any byte of a longer UTF-8 sequence. end if there is none.
 */
static inline const unsigned char *plain_run(
        const unsigned char *at, const unsigned char *end, bool stop_at_high)
{
        const uint64_t top = UINT64_C(0x8080808080808080);
        for (; end - at >= 8; at += 8) {
                uint64_t w;
                memcpy(&w, at, sizeof(w));
                w = le64toh(w);
                uint64_t control = (w - UINT64_C(0x2020202020202020)) & ~w;
                uint64_t hit = bytes_equal(w, '"') | bytes_equal(w, '\\') | control;
                hit = (stop_at_high ? hit | w : hit) & top;
                if (hit)
                        return at + __builtin_ctzll(hit) / 8;
        }
        while (at < end && *at >= 0x20 && *at != '"' && *at != '\\' &&
                !(stop_at_high && *at >= 0x80))
                at++;
        return at;
}

/* The value of four hexadecimal digits, or -1. */
static inline int hex4(const unsigned char *p, const unsigned char *end)
{
        int v = 0;
        if (end - p < 4)
                return -1;
        for (int i = 0; i < 4; i++) {
                unsigned char c = p[i];
                int d = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
                if (d < 0)
                        return -1;
                v = v << 4 | d;
        }
        return v;
}

#endif
