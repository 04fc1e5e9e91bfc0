/*
 * cors - which browsers' pages may call, and how that is said.
 *
 * TERN_ORIGINS "" says nothing (pages of the same origin need nothing), "*" opens all answers to
 * all pages, without credentials, and a list opens them, with credentials, to its origins only.
 * Every answer carries the headers, errors and the 101 included: without them a page sees a network
 * error instead of the error's text.
 */
#include "http/internal.h"

#include <strings.h>

#define METHODS "GET,HEAD,PUT,PATCH,POST,DELETE"

static bool same_nocase(struct slice a, struct slice b)
{
        return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

static bool in_list(const char *origins, struct slice origin)
{
        struct slice rest = slice_str(origins), item;
        while (config_list_next(&rest, &item))
                if (slice_is(item, "*") || same_nocase(item, origin))
                        return true;
        return false;
}

bool http_origin_allowed(const char *origins, struct slice origin)
{
        return origin.n == 0 || in_list(origins, origin);
}

/* Cuts the scheme's default port off an authority. */
static struct slice without_default_port(struct slice authority, bool tls)
{
        const char *port = tls ? ":443" : ":80";
        size_t n = strlen(port);
        if (authority.n > n && memcmp(authority.p + authority.n - n, port, n) == 0)
                authority.n -= n;
        return authority;
}

bool http_origin_is(struct slice origin, struct slice host)
{
        bool tls = slice_starts(origin, "https://");
        if (host.n == 0 || (!tls && !slice_starts(origin, "http://")))
                return false;
        return same_nocase(without_default_port(slice_from(origin, tls ? 8 : 7), tls),
                without_default_port(host, tls));
}

bool http_same_origin(const struct http_request *rq)
{
        return http_origin_is(http_header(rq, "Origin"), http_header(rq, "Host"));
}

bool http_origin_admitted(const struct http_request *rq)
{
        return http_origin_allowed(rq->hc->srv->settings->origins, http_header(rq, "Origin")) ||
               http_same_origin(rq);
}

void cors_headers(const struct http_conn *hc, struct buf *out)
{
        const char *origins = hc->srv->settings->origins;
        if (!origins || !origins[0])
                return;
        if (in_list(origins, SLICE_LIT("*"))) {
                buf_add_str(out, "Access-Control-Allow-Origin: *\r\n");
                return;
        }
        struct slice origin = head_get(&hc->head, "Origin");
        buf_add_str(out, "Vary: Origin\r\n");
        if (origin.n && in_list(origins, origin)) {
                buf_add_str(out, "Access-Control-Allow-Origin: ");
                buf_add_slice(out, origin);
                buf_add_str(out, "\r\nAccess-Control-Allow-Credentials: true\r\n");
        }
}

void http_cors_headers(const struct http_request *rq, struct buf *out)
{
        cors_headers(rq->hc, out);
}

void cors_preflight(struct http_request *rq)
{
        struct slice asked = http_header(rq, "Access-Control-Request-Headers");
        struct buf headers = BUF_EMPTY;
        buf_add_str(&headers,
                "Access-Control-Allow-Methods: " METHODS "\r\nAccess-Control-Max-Age: 600\r\n");
        if (asked.n) {
                buf_add_str(&headers, "Access-Control-Allow-Headers: ");
                buf_add_slice(&headers, asked);
                buf_add_str(&headers, "\r\n");
        }
        buf_add_str(&headers, "Vary: Access-Control-Request-Headers\r\n");
        http_reply(rq, 204, NULL, buf_slice(&headers), SLICE_NONE);
        buf_done(&headers);
}
