#include "http/head.h"

#include "base/check.h"
#include <strings.h>

#define METHOD_BYTES_MAX 16
#define LENGTH_DIGITS_MAX 15

size_t head_find(const char *p, size_t n)
{
        const char *end = n ? memmem(p, n, "\r\n\r\n", 4) : NULL;
        return end ? (size_t)(end - p) + 4 : 0;
}

static bool is_token_char(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool slice_is_nocase(struct slice s, const char *text)
{
        return s.n == strlen(text) && strncasecmp(s.p, text, s.n) == 0;
}

static struct slice trim(struct slice s)
{
        while (s.n && s.p[0] == ' ')
                s = slice_from(s, 1);
        while (s.n && s.p[s.n - 1] == ' ')
                s.n--;
        return s;
}

struct slice head_get(const struct head *h, const char *name)
{
        for (unsigned i = 0; i < h->fields_n; i++)
                if (slice_is_nocase(h->fields[i].name, name))
                        return h->fields[i].value;
        return SLICE_NONE;
}

bool head_has_token(struct slice value, const char *token)
{
        while (value.n) {
                ptrdiff_t comma = slice_find(value, ',');
                struct slice item = trim(slice_of(value.p, comma < 0 ? value.n : (size_t)comma));
                if (slice_is_nocase(item, token))
                        return true;
                value = comma < 0 ? SLICE_NONE : slice_from(value, (size_t)comma + 1);
        }
        return false;
}

/* ---- the request line ---- */

static int parse_method(struct slice method, const char **ret_why)
{
        static const char *const known[] = {
                "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
        if (method.n == 0 || method.n > METHOD_BYTES_MAX) {
                *ret_why = "malformed request line";
                return 400;
        }
        for (size_t i = 0; i < method.n; i++) {
                if (!is_token_char(method.p[i])) {
                        *ret_why = "malformed method";
                        return 400;
                }
        }
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
                if (slice_is(method, known[i]))
                        return 0;
        *ret_why = "method not implemented";
        return 501;
}

static int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Printable ASCII with sound percent-encoding, and no NUL behind it. A stray % in the query is
 * common and harmless. */
static int check_target(struct slice target, const char **ret_why)
{
        bool in_query = false;
        for (size_t i = 0; i < target.n; i++) {
                unsigned char c = (unsigned char)target.p[i];
                if (c <= 0x20 || c >= 0x7f || c == '#') {
                        *ret_why = "malformed request target";
                        return 400;
                }
                if (c == '?')
                        in_query = true;
                if (c != '%')
                        continue;
                int hi = i + 1 < target.n ? hex_value(target.p[i + 1]) : -1,
                    lo = i + 2 < target.n ? hex_value(target.p[i + 2]) : -1;
                if ((hi < 0 || lo < 0) ? !in_query : hi == 0 && lo == 0) {
                        *ret_why = "malformed percent-encoding";
                        return 400;
                }
        }
        return 0;
}

/* Where an absolute-form target's path begins: a '/', or target.n if it has none. 0 if the target
 * is not absolute. */
static size_t authority_end(struct slice target)
{
        static const char *const schemes[] = {"http://", "https://"};
        for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
                size_t n = strlen(schemes[i]);
                if (target.n <= n || strncasecmp(target.p, schemes[i], n) != 0)
                        continue;
                while (n < target.n && target.p[n] != '/' && target.p[n] != '?')
                        n++;
                return n;
        }
        return 0;
}

/* Turns absolute form and "*" into origin form by moving the rest of the head forward. Returns the
 * head's new length. */
static size_t make_origin_form(char *p, size_t n, size_t target_at, struct slice target)
{
        size_t skip = authority_end(target);
        if (skip == 0 && slice_is(target, "*"))
                skip = 1;
        if (skip == 0)
                return n;
        bool has_path = skip < target.n && target.p[skip] == '/';
        if (!has_path) {
                skip--; /* one byte of what is cut off becomes the missing slash */
                p[target_at + skip] = '/';
        }
        memmove(p + target_at, p + target_at + skip, n - target_at - skip);
        return n - skip;
}

/* Finds the line that begins at *at, moves *at past it; false on a bare CR or LF or a control
 * character. */
static bool next_line(char *p, size_t n, size_t *at, struct slice *ret)
{
        size_t i = *at;
        for (; i < n && p[i] != '\r'; i++) {
                if (p[i] == '\t')
                        p[i] = ' ';
                if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
                        return false;
        }
        if (i + 1 >= n || p[i + 1] != '\n')
                return false;
        *ret = slice_of(p + *at, i - *at);
        *at = i + 2;
        return true;
}

static int parse_request_line(char *p, size_t *n, size_t *at, struct head *h, const char **ret_why)
{
        struct slice line;
        *ret_why = "malformed request line";
        if (!next_line(p, *n, at, &line))
                return 400;
        ptrdiff_t first = slice_find(line, ' ');
        if (first <= 0)
                return 400;
        struct slice rest = slice_from(line, (size_t)first + 1);
        ptrdiff_t second = slice_find(rest, ' ');
        if (second <= 0)
                return 400;
        struct slice target = slice_of(rest.p, (size_t)second),
                     version = slice_from(rest, (size_t)second + 1);
        h->method = slice_of(line.p, (size_t)first);
        int status = parse_method(h->method, ret_why);
        if (status)
                return status;
        if (version.n != 8 || !slice_starts(version, "HTTP/"))
                return 400;
        h->http_10 = slice_is(version, "HTTP/1.0");
        if (!h->http_10 && !slice_is(version, "HTTP/1.1")) {
                *ret_why = "HTTP version not supported";
                return 505;
        }
        status = check_target(target, ret_why);
        if (status)
                return status;
        if (slice_is(target, "*") && !slice_is(h->method, "OPTIONS"))
                return 400;
        size_t before = *n, target_at = (size_t)(target.p - p);
        *n = make_origin_form(p, *n, target_at, target);
        target.n -= before - *n;
        *at -= before - *n;
        if (target.p[0] != '/') {
                *ret_why = "the request target has to be a path";
                return 400;
        }
        ptrdiff_t mark = slice_find(target, '?');
        h->path = slice_of(target.p, mark < 0 ? target.n : (size_t)mark);
        h->query = mark < 0 ? SLICE_NONE : slice_from(target, (size_t)mark + 1);
        return 0;
}

/* ---- the fields ---- */

static int parse_fields(char *p, size_t n, size_t at, struct head *h, const char **ret_why)
{
        struct slice line;
        for (;;) {
                *ret_why = "malformed header";
                if (!next_line(p, n, &at, &line))
                        return 400;
                if (line.n == 0)
                        return at == n ? 0 : 400;
                if (line.p[0] == ' ') {
                        *ret_why = "folded headers are not accepted";
                        return 400;
                }
                ptrdiff_t colon = slice_find(line, ':');
                if (colon <= 0)
                        return 400;
                for (ptrdiff_t i = 0; i < colon; i++)
                        if (!is_token_char(line.p[i]))
                                return 400;
                if (h->fields_n == HEAD_HEADERS_MAX) {
                        *ret_why = "too many headers";
                        return 431;
                }
                h->fields[h->fields_n++] = (struct head_field){
                        slice_of(line.p, (size_t)colon), trim(slice_from(line, (size_t)colon + 1))};
        }
}

static int read_length(struct head *h, struct slice value)
{
        uint64_t length;
        if (h->content_length >= 0 || value.n > LENGTH_DIGITS_MAX ||
                !slice_to_u64(value, INT64_MAX, &length))
                return 400;
        h->content_length = (int64_t)length;
        return 0;
}

static int read_framing(struct head *h, const char **ret_why)
{
        unsigned hosts = 0, encodings = 0;
        for (unsigned i = 0; i < h->fields_n; i++) {
                struct slice name = h->fields[i].name, value = h->fields[i].value;
                if (slice_is_nocase(name, "Host")) {
                        hosts++;
                } else if (slice_is_nocase(name, "Content-Length")) {
                        *ret_why = "malformed Content-Length";
                        if (read_length(h, value) != 0)
                                return 400;
                } else if (slice_is_nocase(name, "Transfer-Encoding")) {
                        encodings++;
                        h->chunked = slice_is_nocase(value, "chunked");
                }
        }
        if (hosts > 1 || (hosts == 0 && !h->http_10)) {
                *ret_why = "exactly one Host header is needed";
                return 400;
        }
        if (encodings && (encodings > 1 || h->content_length >= 0 || h->http_10)) {
                *ret_why = "ambiguous body length";
                return 400;
        }
        if (encodings && !h->chunked) {
                *ret_why = "transfer encoding not implemented";
                return 501;
        }
        return 0;
}

static int read_wishes(struct head *h, const char **ret_why)
{
        bool close = false, keep = false, upgrade = false, websocket = false;
        for (unsigned i = 0; i < h->fields_n; i++) {
                struct slice name = h->fields[i].name, value = h->fields[i].value;
                if (slice_is_nocase(name, "Connection")) {
                        close |= head_has_token(value, "close");
                        keep |= head_has_token(value, "keep-alive");
                        upgrade |= head_has_token(value, "upgrade");
                } else if (slice_is_nocase(name, "Upgrade")) {
                        websocket |= head_has_token(value, "websocket");
                } else if (slice_is_nocase(name, "Expect")) {
                        if (!slice_is_nocase(value, "100-continue")) {
                                *ret_why = "unknown expectation";
                                return 417;
                        }
                        h->expect_continue = !h->http_10;
                }
        }
        h->keep_alive = !close && (keep || !h->http_10);
        h->websocket = upgrade && websocket;
        if (h->websocket && (!slice_is(h->method, "GET") || h->http_10 || h->chunked ||
                                    h->content_length > 0)) {
                *ret_why = "a WebSocket handshake is a GET without a body";
                return 400;
        }
        return 0;
}

int head_parse(char *p, size_t *n, struct head *ret, const char **ret_why)
{
        *ret = (struct head){.content_length = -1};
        size_t at = 0;
        int status = parse_request_line(p, n, &at, ret, ret_why);
        if (status == 0)
                status = parse_fields(p, *n, at, ret, ret_why);
        if (status == 0)
                status = read_framing(ret, ret_why);
        return status ? status : read_wishes(ret, ret_why);
}
