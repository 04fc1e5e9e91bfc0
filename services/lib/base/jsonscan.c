#include "base/jsonscan.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdlib.h>

struct scan {
        const unsigned char *at, *end;
        unsigned depth_max, flags;
};

static bool is_space(unsigned char c)
{
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct scan *s)
{
        while (s->at < s->end && is_space(*s->at))
                s->at++;
}

static bool is_digit(const struct scan *s)
{
        return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

/* ---- validation ---- */

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

static int hex4(const unsigned char *p, const unsigned char *end)
{
        int v = 0;
        if (end - p < 4)
                return -1;
        for (int i = 0; i < 4; i++) {
                unsigned char c = p[i];
                int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
                if (d < 0)
                        return -1;
                v = v << 4 | d;
        }
        return v;
}

/* s->at is behind the backslash. */
static bool escape(struct scan *s)
{
        if (s->at == s->end)
                return false;
        unsigned char c = *s->at++;
        if (c != 'u')
                return c == '"' || c == '\\' || c == '/' || c == 'b' || c == 'f' || c == 'n' || c == 'r' || c == 't';
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
        while (s->at < s->end) {
                unsigned char c = *s->at;
                if (c == '"') {
                        s->at++;
                        return true;
                }
                if (c < 0x20)
                        return false;
                if (c == '\\') {
                        s->at++;
                        if (!escape(s))
                                return false;
                } else if (c >= 0x80) {
                        if (!utf8(s))
                                return false;
                } else {
                        s->at++;
                }
        }
        return false;
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

static struct scan scan_of(struct slice s, unsigned depth_max, unsigned flags)
{
        const unsigned char *p = (const unsigned char *)(s.p ? s.p : "");
        return (struct scan){p, p + s.n, depth_max, flags};
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

/* ---- looking into validated text ---- */

static void skip_string(struct scan *s)
{
        s->at++;
        while (s->at < s->end && *s->at != '"')
                s->at += *s->at == '\\' && s->end - s->at > 1 ? 2 : 1;
        if (s->at < s->end)
                s->at++;
}

/* The value at s->at, brackets matched. */
static void skip_value(struct scan *s)
{
        unsigned depth = 0;
        while (s->at < s->end) {
                unsigned char c = *s->at;
                if (c == '"') {
                        skip_string(s);
                } else if (c == '{' || c == '[') {
                        depth++;
                        s->at++;
                } else if (c == '}' || c == ']') {
                        if (depth == 0)
                                return;
                        depth--;
                        s->at++;
                } else if (depth == 0 && (c == ',' || is_space(c))) {
                        return;
                } else {
                        s->at++;
                        if (depth > 0)
                                continue;
                        while (s->at < s->end && !is_space(*s->at) && *s->at != ',' && *s->at != ']' && *s->at != '}')
                                s->at++;
                        return;
                }
                if (depth == 0)
                        return;
        }
}

static struct slice take_value(struct scan *s)
{
        skip_space(s);
        const unsigned char *from = s->at;
        skip_value(s);
        return slice_of((const char *)from, (size_t)(s->at - from));
}

struct slice json_first(struct slice v)
{
        struct scan s = scan_of(v, 0, 0);
        return take_value(&s);
}

/* *rest after the scan; keeps the bracket out of later calls. */
static void advance(struct slice *rest, const struct scan *s)
{
        *rest = slice_of((const char *)s->at, (size_t)(s->end - s->at));
}

/* Steps over the opening bracket or the comma; false at the closing bracket. */
static bool step_in(struct scan *s, unsigned char open, unsigned char close)
{
        skip_space(s);
        if (s->at == s->end || (*s->at != open && *s->at != ','))
                return false;
        s->at++;
        skip_space(s);
        return s->at < s->end && *s->at != close;
}

bool json_next(struct slice *rest, struct slice *ret_value)
{
        struct scan s = scan_of(*rest, 0, 0);
        bool more = step_in(&s, '[', ']');
        if (more)
                *ret_value = take_value(&s);
        advance(rest, &s);
        return more && ret_value->n > 0;
}

bool json_next_member(struct slice *rest, struct slice *ret_key, struct slice *ret_value)
{
        struct scan s = scan_of(*rest, 0, 0);
        bool more = step_in(&s, '{', '}') && *s.at == '"';
        if (more) {
                const unsigned char *from = s.at;
                skip_string(&s);
                *ret_key = slice_of((const char *)from, (size_t)(s.at - from));
                skip_space(&s);
                if (s.at < s.end && *s.at == ':')
                        s.at++;
                *ret_value = take_value(&s);
        }
        advance(rest, &s);
        return more && ret_value->n > 0;
}

static bool key_is(struct slice key, const char *name)
{
        struct slice inside = slice_of(key.p + 1, key.n >= 2 ? key.n - 2 : 0);
        if (slice_find(inside, '\\') < 0)
                return slice_is(inside, name);
        struct buf text = BUF_EMPTY;
        bool same = json_decode_string(key, &text) && slice_is(buf_slice(&text), name);
        buf_done(&text);
        return same;
}

bool json_member(struct slice object, const char *name, struct slice *ret_value)
{
        struct slice rest = json_first(object), key, v;
        bool found = false;
        if (!json_is_object(rest))
                return false;
        while (json_next_member(&rest, &key, &v)) {
                if (key_is(key, name)) {
                        *ret_value = v;
                        found = true;
                }
        }
        return found;
}

/* ---- values ---- */

static void add_code_point(struct buf *out, unsigned c)
{
        char b[4];
        size_t n;
        if (c < 0x80) {
                b[0] = (char)c;
                n = 1;
        } else if (c < 0x800) {
                b[0] = (char)(0xc0 | c >> 6);
                b[1] = (char)(0x80 | (c & 63));
                n = 2;
        } else if (c < 0x10000) {
                b[0] = (char)(0xe0 | c >> 12);
                b[1] = (char)(0x80 | (c >> 6 & 63));
                b[2] = (char)(0x80 | (c & 63));
                n = 3;
        } else {
                b[0] = (char)(0xf0 | c >> 18);
                b[1] = (char)(0x80 | (c >> 12 & 63));
                b[2] = (char)(0x80 | (c >> 6 & 63));
                b[3] = (char)(0x80 | (c & 63));
                n = 4;
        }
        buf_add(out, b, n);
}

static void decode_u(const unsigned char **at, const unsigned char *end, struct buf *out)
{
        int v = hex4(*at, end);
        if (v < 0)
                return;
        *at += 4;
        unsigned c = (unsigned)v;
        if (c >= 0xd800 && c <= 0xdbff && end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u') {
                int low = hex4(*at + 2, end);
                if (low >= 0xdc00 && low <= 0xdfff) {
                        c = 0x10000 + ((c - 0xd800) << 10) + ((unsigned)low - 0xdc00);
                        *at += 6;
                }
        }
        add_code_point(out, c >= 0xd800 && c <= 0xdfff ? 0xfffd : c);
}

bool json_decode_string(struct slice v, struct buf *out)
{
        if (!json_is_string(v))
                return false;
        const unsigned char *at = (const unsigned char *)v.p + 1, *end = (const unsigned char *)v.p + v.n - 1;
        buf_reserve(out, v.n);
        while (at < end) {
                const unsigned char *from = at;
                while (at < end && *at != '\\')
                        at++;
                buf_add(out, from, (size_t)(at - from));
                if (end - at < 2)
                        break;
                unsigned char c = at[1];
                at += 2;
                static const char escapes[] = "b\bf\fn\nr\rt\t";
                const char *e = c != 'u' ? strchr(escapes, c) : NULL;
                if (c == 'u')
                        decode_u(&at, end, out);
                else
                        buf_add_char(out, e && c ? e[1] : (char)c);
        }
        return true;
}

bool json_int(struct slice v, int64_t min, int64_t max, int64_t *ret)
{
        char text[64];
        if (v.n == 0 || !(v.p[0] == '-' || (v.p[0] >= '0' && v.p[0] <= '9')) || !slice_copy(v, text, sizeof(text)))
                return false;
        int64_t n;
        if (strpbrk(text, ".eE")) {
                double d = strtod(text, NULL);
                if (!(d >= -9007199254740992.0 && d <= 9007199254740992.0) || d != (double)(int64_t)d)
                        return false;
                n = (int64_t)d;
        } else {
                if (v.n > 20)
                        return false;
                char *end;
                errno = 0;
                n = strtoll(text, &end, 10);
                if (errno || *end)
                        return false;
        }
        if (n < min || n > max)
                return false;
        *ret = n;
        return true;
}

bool json_bool(struct slice v, bool *ret)
{
        if (!slice_is(v, "true") && !slice_is(v, "false"))
                return false;
        *ret = v.p[0] == 't';
        return true;
}

void json_compact(struct slice v, struct buf *out)
{
        struct scan s = scan_of(v, 0, 0);
        while (s.at < s.end) {
                const unsigned char *from = s.at;
                if (*s.at == '"')
                        skip_string(&s);
                else if (is_space(*s.at)) {
                        s.at++;
                        continue;
                } else
                        s.at++;
                buf_add(out, from, (size_t)(s.at - from));
        }
}
