#include "http/internal.h"

#include <strings.h>

struct http_block {
        struct http_block *next;
        char bytes[];
};

char *request_alloc(struct http_request *rq, size_t n)
{
        struct http_block *b = xmalloc(sizeof(*b) + n + 1);
        b->next = rq->blocks;
        rq->blocks = b;
        b->bytes[n] = '\0';
        return b->bytes;
}

void request_done(struct http_request *rq)
{
        while (rq->blocks) {
                struct http_block *b = rq->blocks;
                rq->blocks = b->next;
                free(b);
        }
        buf_done(&rq->body);
}

static int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
                return (c | 0x20) - 'a' + 10;
        return -1;
}

struct slice request_decode(struct http_request *rq, struct slice s, bool plus)
{
        char *out = request_alloc(rq, s.n);
        size_t n = 0;
        for (size_t i = 0; i < s.n; i++) {
                char c = s.p[i];
                int hi = -1, lo = -1;
                if (c == '%' && i + 2 < s.n) {
                        hi = hex_value(s.p[i + 1]);
                        lo = hex_value(s.p[i + 2]);
                }
                if (hi >= 0 && lo >= 0) {
                        c = (char)(hi * 16 + lo);
                        i += 2;
                } else if (c == '+' && plus) {
                        c = ' ';
                }
                out[n++] = c;
        }
        out[n] = '\0';
        return slice_of(out, n);
}

struct slice http_method(const struct http_request *rq)
{
        return rq->head->method;
}

struct slice http_path(const struct http_request *rq)
{
        return rq->path;
}

struct slice http_query(const struct http_request *rq)
{
        return rq->head->query;
}

struct slice http_param(const struct http_request *rq, const char *name)
{
        for (unsigned i = 0; i < rq->params_n; i++)
                if (slice_is(rq->params[i].name, name))
                        return rq->params[i].value;
        return SLICE_NONE;
}

struct slice http_header(const struct http_request *rq, const char *name)
{
        return head_get(rq->head, name);
}

struct slice http_client_addr(const struct http_request *rq)
{
        return rq->client;
}

bool http_query_get(struct http_request *rq, const char *name, struct slice *ret)
{
        struct slice rest = rq->head->query;
        while (rest.n) {
                ptrdiff_t amp = slice_find(rest, '&');
                struct slice pair = slice_of(rest.p, amp < 0 ? rest.n : (size_t)amp);
                rest = amp < 0 ? SLICE_NONE : slice_from(rest, (size_t)amp + 1);
                ptrdiff_t eq = slice_find(pair, '=');
                struct slice key = slice_of(pair.p, eq < 0 ? pair.n : (size_t)eq);
                if (memchr(key.p, '%', key.n) || memchr(key.p, '+', key.n))
                        key = request_decode(rq, key, true);
                if (!slice_is(key, name))
                        continue;
                *ret = request_decode(
                        rq, eq < 0 ? SLICE_NONE : slice_from(pair, (size_t)eq + 1), true);
                return true;
        }
        return false;
}

static bool cookie_in(struct slice header, const char *name, struct slice *ret)
{
        while (header.n) {
                ptrdiff_t semi = slice_find(header, ';');
                struct slice pair = slice_of(header.p, semi < 0 ? header.n : (size_t)semi);
                header = semi < 0 ? SLICE_NONE : slice_from(header, (size_t)semi + 1);
                while (pair.n && pair.p[0] == ' ')
                        pair = slice_from(pair, 1);
                ptrdiff_t eq = slice_find(pair, '=');
                if (eq < 0 || !slice_is(slice_of(pair.p, (size_t)eq), name))
                        continue;
                struct slice value = slice_from(pair, (size_t)eq + 1);
                while (value.n && value.p[value.n - 1] == ' ')
                        value.n--;
                if (value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"')
                        value = slice_of(value.p + 1, value.n - 2);
                *ret = value;
                return true;
        }
        return false;
}

bool http_cookie_get(struct http_request *rq, const char *name, struct slice *ret)
{
        for (unsigned i = 0; i < rq->head->fields_n; i++) {
                const struct head_field *f = &rq->head->fields[i];
                if (f->name.n == 6 && strncasecmp(f->name.p, "Cookie", 6) == 0 &&
                        cookie_in(f->value, name, ret)) {
                        *ret = request_decode(rq, *ret, false);
                        return true;
                }
        }
        return false;
}

void http_handover_take(struct http_request *rq, struct http_handover *ret)
{
        struct http_conn *hc = rq->hc;
        CHECK(hc->fd >= 0 && !rq->no_handover && (rq->websocket || !hc->answered));
        *ret = (struct http_handover){
                .fd = hc->fd,
                .keep_alive = !rq->websocket && rq->head->keep_alive && hc->body_done,
                .websocket = rq->websocket,
                .accepted_mono_ms = hc->began_mono_ms,
        };
        CHECK(slice_copy(slice_str(hc->addr), ret->client_addr, sizeof(ret->client_addr)));
        hc->fd = -1;
}
