/*
 * jsontext - what the two halves of jsonscan share: a place in a text, white space, hexadecimal
 * digits. Private to base/json*.c.
 */
#ifndef TERN_BASE_JSONTEXT_H
#define TERN_BASE_JSONTEXT_H

#include "base/slice.h"

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
