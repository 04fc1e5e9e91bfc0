#include "base/jsonscan.h"

#include "base/jsontext.h"
#include "base/utf8.h"

static bool is_digit(const struct scan *s)
{
        return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

static bool literal(struct scan *s, const char *word)
{
        size_t n = strlen(word);
        if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0)
                return false;
        s->at += n;
        return true;
}

static bool number(struct scan *s)
{
        if (*s->at == '-')
                s->at++;
        if (!is_digit(s))
                return false;
        if (*s->at == '0')
                s->at++;
        else
                while (is_digit(s))
                        s->at++;
        if (s->at < s->end && *s->at == '.') {
                s->at++;
                if (!is_digit(s))
                        return false;
                while (is_digit(s))
                        s->at++;
        }
        if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
                s->at++;
                if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
                        s->at++;
                if (!is_digit(s))
                        return false;
                while (is_digit(s))
                        s->at++;
        }
        return true;
}

/* s->at is behind the backslash. */
static bool escape(struct scan *s)
{
        if (s->at == s->end)
                return false;
        unsigned char c = *s->at++;
        if (c != 'u')
                return c == '"' || c == '\\' || c == '/' || c == 'b' || c == 'f' || c == 'n' ||
                       c == 'r' || c == 't';
        int v = hex4(s->at, s->end);
        if (v < 0 || (v == 0 && (s->flags & JSON_NO_NUL)))
                return false;
        s->at += 4;
        if (!(s->flags & JSON_NO_SURROGATES) || v < 0xd800 || v > 0xdfff)
                return true;
        if (v >= 0xdc00 || s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u')
                return false;
        int low = hex4(s->at + 2, s->end);
        if (low < 0xdc00 || low > 0xdfff)
                return false;
        s->at += 6;
        return true;
}

static bool utf8(struct scan *s)
{
        size_t n = utf8_length(slice_of((const char *)s->at, (size_t)(s->end - s->at)));
        s->at += n;
        return n > 0;
}

static bool string(struct scan *s)
{
        if (s->at == s->end || *s->at != '"')
                return false;
        s->at++;
        for (;;) {
                s->at = plain_run(s->at, s->end, true);
                if (s->at == s->end)
                        return false;
                unsigned char c = *s->at;
                if (c >= 0x80) {
                        if (!utf8(s))
                                return false;
                        continue;
                }
                s->at++;
                if (c == '"')
                        return true;
                if (c != '\\' || !escape(s))
                        return false;
        }
}

/* Iterative, so that depth costs a bit, not a stack frame. */
#define DEPTH_LIMIT 512

static bool scalar(struct scan *s)
{
        switch (*s->at) {
        case '"':
                return string(s);
        case 't':
                return literal(s, "true");
        case 'f':
                return literal(s, "false");
        case 'n':
                return literal(s, "null");
        default:
                return number(s);
        }
}

static bool member_name(struct scan *s)
{
        skip_space(s);
        if (!string(s))
                return false;
        skip_space(s);
        if (s->at == s->end || *s->at != ':')
                return false;
        s->at++;
        return true;
}

static bool value(struct scan *s)
{
        bool in_object[DEPTH_LIMIT];
        unsigned depth = 0, most = s->depth_max < DEPTH_LIMIT ? s->depth_max : DEPTH_LIMIT;
        for (;;) {
                skip_space(s);
                if (s->at == s->end)
                        return false;
                unsigned char c = *s->at;
                if (c == '{' || c == '[') {
                        if (depth == most)
                                return false;
                        in_object[depth++] = c == '{';
                        s->at++;
                        skip_space(s);
                        bool empty = s->at < s->end && *s->at == (c == '{' ? '}' : ']');
                        if (!empty) {
                                if (c == '{' && !member_name(s))
                                        return false;
                                continue;
                        }
                } else if (!scalar(s)) {
                        return false;
                }
                /* A value ended: commas and closing brackets follow. */
                while (depth > 0) {
                        skip_space(s);
                        if (s->at == s->end)
                                return false;
                        c = *s->at++;
                        if (c == ',') {
                                if (in_object[depth - 1] && !member_name(s))
                                        return false;
                                break;
                        }
                        if (c != (in_object[depth - 1] ? '}' : ']'))
                                return false;
                        depth--;
                }
                if (depth == 0)
                        return true;
        }
}

size_t json_check_prefix(struct slice s, unsigned depth_max, unsigned flags)
{
        struct scan sc = scan_of(s, depth_max, flags);
        const unsigned char *start = sc.at;
        return value(&sc) ? (size_t)(sc.at - start) : 0;
}

bool json_check(struct slice s, unsigned depth_max, unsigned flags)
{
        struct scan sc = scan_of(s, depth_max, flags);
        if (!value(&sc))
                return false;
        skip_space(&sc);
        return sc.at == sc.end;
}
