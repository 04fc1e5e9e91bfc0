/*
 * UTF-8 that arrives in pieces: the state is what the next byte may be and how many are to follow,
 * so that a wrong byte is known when it is there, not at the end of the message.
 */
#include "net/ws.h"

struct expect {
        uint8_t left, lo, hi; /* continuation bytes still to come; bounds of the next one */
};

static uint32_t pack(struct expect e)
{
        return (uint32_t)e.left | (uint32_t)e.lo << 8 | (uint32_t)e.hi << 16;
}

static struct expect unpack(uint32_t state)
{
        return (struct expect){(uint8_t)state, (uint8_t)(state >> 8), (uint8_t)(state >> 16)};
}

/* After a first byte of 0x80 and more. left 0: no character begins with it. The second byte's
 * bounds tell overlong forms, surrogates and what lies beyond U+10FFFF. */
static struct expect lead(unsigned char c)
{
        if (c >= 0xc2 && c <= 0xdf)
                return (struct expect){1, 0x80, 0xbf};
        if (c == 0xe0)
                return (struct expect){2, 0xa0, 0xbf};
        if (c == 0xed)
                return (struct expect){2, 0x80, 0x9f};
        if (c >= 0xe1 && c <= 0xef)
                return (struct expect){2, 0x80, 0xbf};
        if (c == 0xf0)
                return (struct expect){3, 0x90, 0xbf};
        if (c >= 0xf1 && c <= 0xf3)
                return (struct expect){3, 0x80, 0xbf};
        if (c == 0xf4)
                return (struct expect){3, 0x80, 0x8f};
        return (struct expect){0, 0, 0};
}

/* Most text is ASCII: eight bytes at a time. */
static size_t ascii_run(const unsigned char *p, size_t n)
{
        size_t i = 0;
        while (i + 8 <= n) {
                uint64_t word;
                memcpy(&word, p + i, 8);
                if (word & 0x8080808080808080u)
                        break;
                i += 8;
        }
        while (i < n && p[i] < 0x80)
                i++;
        return i;
}

bool utf8_check_feed(struct utf8_check *u, struct slice s)
{
        const unsigned char *p = (const unsigned char *)s.p;
        struct expect e = unpack(u->state);
        size_t i = 0;
        while (i < s.n) {
                if (e.left == 0) {
                        i += ascii_run(p + i, s.n - i);
                        if (i == s.n)
                                break;
                        e = lead(p[i++]);
                        if (e.left == 0)
                                return false;
                        continue;
                }
                if (p[i] < e.lo || p[i] > e.hi)
                        return false;
                i++;
                e = e.left == 1 ? (struct expect){0, 0, 0}
                                : (struct expect){(uint8_t)(e.left - 1), 0x80, 0xbf};
        }
        u->state = pack(e);
        return true;
}
