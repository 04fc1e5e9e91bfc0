#include "messaging/args.h"

#include "base/jsonscan.h"

#include <stdlib.h>

#define INT_MAX_EXACT 9007199254740991LL

struct slice arg_first(struct slice args)
{
        return json_first(args);
}

bool arg_field(struct slice json, const char *name, struct slice *ret)
{
        return json_member(json, name, ret) && !slice_is(*ret, "null");
}

char *arg_text(struct slice json)
{
        struct buf text = BUF_EMPTY;
        size_t n;
        if (!json_decode_string(json, &text))
                return NULL;
        char *s = buf_take(&text, &n);
        if (strlen(s) == n)
                return s;
        free(s);
        return NULL;
}

char *arg_field_text(struct slice json, const char *name)
{
        struct slice raw;
        return arg_field(json, name, &raw) ? arg_text(raw) : NULL;
}

bool arg_int(struct slice json, int64_t *ret)
{
        return json_int(json, 0, INT_MAX_EXACT, ret);
}

bool arg_bool(struct slice json, bool *ret)
{
        return json_bool(json, ret);
}

bool arg_next(struct slice *rest, struct slice *ret)
{
        return json_next(rest, ret);
}

static int hex_digit(char c)
{
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
}

static bool percent_decode(struct slice s, char *dst, size_t cap)
{
        size_t n = 0;
        for (size_t i = 0; i < s.n; i++) {
                char c = s.p[i];
                if (c == '%' && i + 2 < s.n && hex_digit(s.p[i + 1]) >= 0 &&
                        hex_digit(s.p[i + 2]) >= 0) {
                        c = (char)(hex_digit(s.p[i + 1]) << 4 | hex_digit(s.p[i + 2]));
                        i += 2;
                } else if (c == '+') {
                        c = ' ';
                }
                if (n + 1 >= cap || c == '\0')
                        return false;
                dst[n++] = c;
        }
        dst[n] = '\0';
        return true;
}

bool arg_query(struct slice query, const char *name, char *dst, size_t cap)
{
        while (query.n) {
                ptrdiff_t amp = slice_find(query, '&');
                struct slice pair = slice_of(query.p, amp < 0 ? query.n : (size_t)amp);
                query = amp < 0 ? SLICE_NONE : slice_from(query, (size_t)amp + 1);
                ptrdiff_t eq = slice_find(pair, '=');
                if (eq >= 0 && slice_is(slice_of(pair.p, (size_t)eq), name))
                        return percent_decode(slice_from(pair, (size_t)eq + 1), dst, cap);
        }
        return false;
}
