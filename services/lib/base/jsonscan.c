#include "base/jsonscan.h"

#include "base/jsontext.h"

#include <errno.h>
#include <stdlib.h>

/* ---- looking into validated text ---- */

static void skip_string(struct scan *s)
{
        s->at = plain_run(s->at + 1, s->end, false);
        while (s->at < s->end && *s->at != '"') {
                s->at += *s->at == '\\' && s->end - s->at > 1 ? 2 : 1;
                s->at = plain_run(s->at, s->end, false);
        }
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
                        while (s->at < s->end && !is_space(*s->at) && *s->at != ',' &&
                                *s->at != ']' && *s->at != '}')
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

bool json_key_is(struct slice key, const char *name)
{
        if (!json_is_string(key))
                return false;
        struct slice inside = slice_of(key.p + 1, key.n - 2);
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
                if (json_key_is(key, name)) {
                        *ret_value = v;
                        found = true;
                }
        }
        return found;
}

/* s stands at a string. True if it was a member's name: then s stands at the value. */
static bool walk_key(struct scan *s, struct slice *ret_key)
{
        struct scan ahead = *s;
        skip_string(&ahead);
        struct slice text = slice_of((const char *)s->at, (size_t)(ahead.at - s->at));
        skip_space(&ahead);
        if (ahead.at == ahead.end || *ahead.at != ':')
                return false;
        ahead.at++;
        skip_space(&ahead);
        *ret_key = text;
        *s = ahead;
        return true;
}

bool json_walk_next(struct json_walk *w, struct json_step *ret)
{
        struct scan s = scan_of(w->rest, 0, 0);
        *ret = (struct json_step){0};
        while (s.at < s.end && (is_space(*s.at) || *s.at == ','))
                s.at++;
        if (s.at < s.end && *s.at == '"')
                walk_key(&s, &ret->key);
        const unsigned char *from = s.at;
        unsigned char c = s.at < s.end ? *s.at : 0;
        if (c == '{' || c == '[' || c == '}' || c == ']') {
                ret->kind = c == '{' || c == '[' ? JSON_STEP_OPEN : JSON_STEP_CLOSE;
                s.at++;
        } else {
                skip_value(&s);
        }
        ret->value = slice_of((const char *)from, (size_t)(s.at - from));
        advance(&w->rest, &s);
        return ret->value.n > 0;
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
        const unsigned char *at = (const unsigned char *)v.p + 1,
                            *end = (const unsigned char *)v.p + v.n - 1;
        buf_reserve(out, v.n);
        while (at < end) {
                const unsigned char *from = at;
                const unsigned char *escape = memchr(at, '\\', (size_t)(end - at));
                at = escape ? escape : end;
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
        if (v.n == 0 || !(v.p[0] == '-' || (v.p[0] >= '0' && v.p[0] <= '9')) ||
                !slice_copy(v, text, sizeof(text)))
                return false;
        int64_t n;
        if (strpbrk(text, ".eE")) {
                double d = strtod(text, NULL);
                if (!(d >= -9007199254740992.0 && d <= 9007199254740992.0) ||
                        d != (double)(int64_t)d)
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
