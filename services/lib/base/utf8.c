#include "base/utf8.h"

size_t utf8_length(struct slice s)
{
        if (s.n == 0)
                return 0;
        const unsigned char *p = (const unsigned char *)s.p;
        unsigned char c = p[0];
        if (c < 0x80)
                return 1;
        size_t n = c >= 0xc2 && c <= 0xdf   ? 2
                   : c >= 0xe0 && c <= 0xef ? 3
                   : c >= 0xf0 && c <= 0xf4 ? 4
                                            : 0;
        if (n == 0 || s.n < n)
                return 0;
        for (size_t i = 1; i < n; i++)
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
        /* The second byte alone tells overlong forms, surrogates and what lies beyond U+10FFFF. */
        if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) ||
                (c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f))
                return 0;
        return n;
}

bool utf8_valid(struct slice s)
{
        while (s.n) {
                size_t n = utf8_length(s);
                if (n == 0)
                        return false;
                s = slice_from(s, n);
        }
        return true;
}
