/*
 * router - which handler a request is for.
 *
 * Patterns are matched segment by segment on the raw path, and a segment is decoded only
 * afterwards: an encoded slash in an id stays part of the id. A GET route answers HEAD, too; the
 * reply leaves the body away.
 */
#include "http/internal.h"

static bool next_segment(struct slice *rest, struct slice *ret)
{
        if (rest->n == 0 || rest->p[0] != '/')
                return false;
        *rest = slice_from(*rest, 1);
        ptrdiff_t slash = slice_find(*rest, '/');
        *ret = slice_of(rest->p, slash < 0 ? rest->n : (size_t)slash);
        *rest = slice_from(*rest, ret->n);
        return true;
}

static void add_param(struct http_request *rq, struct slice name, struct slice raw)
{
        CHECK(rq->params_n < HTTP_PARAMS_MAX);
        rq->params[rq->params_n++] = (struct http_param){name, request_decode(rq, raw, false)};
}

static bool segment_is(struct http_request *rq, struct slice want, struct slice raw)
{
        if (memchr(raw.p, '%', raw.n))
                raw = request_decode(rq, raw, false);
        return slice_eq(want, raw);
}

bool router_match(struct http_request *rq, const char *pattern, struct slice path)
{
        struct slice want_rest = slice_str(pattern), rest = path, want, have;
        rq->params_n = 0;
        for (;;) {
                struct slice before = rest;
                bool more = next_segment(&want_rest, &want);
                bool got = next_segment(&rest, &have);
                if (!more || !got)
                        return !more && !got;
                if (want.n && want.p[want.n - 1] == '*' && want_rest.n == 0) {
                        size_t fixed = want.n - 1;
                        struct slice tail = slice_from(before, 1);
                        if (tail.n < fixed || memcmp(tail.p, want.p, fixed) != 0)
                                return false;
                        add_param(rq, SLICE_LIT("*"), slice_from(tail, fixed));
                        return true;
                }
                if (want.n > 1 && want.p[0] == ':') {
                        if (have.n == 0)
                                return false;
                        add_param(rq, slice_from(want, 1), have);
                } else if (!segment_is(rq, want, have)) {
                        return false;
                }
        }
}

static bool method_fits(const struct route *r, struct slice method)
{
        return !r->method || slice_is(method, r->method) ||
               (slice_is(method, "HEAD") && strcmp(r->method, "GET") == 0);
}

static void add_allowed(struct buf *allow, const char *method)
{
        buf_add_str(allow, allow->n ? ", " : "Allow: ");
        buf_add_str(allow, method);
        if (strcmp(method, "GET") == 0)
                buf_add_str(allow, ", HEAD");
}

static void route_request(struct http_request *rq)
{
        const struct http_server *srv = rq->hc->srv;
        struct buf allow = BUF_EMPTY;
        const struct route *found = NULL;
        for (size_t i = 0; i < srv->routes_n && !found; i++) {
                const struct route *r = &srv->routes[i];
                if (!router_match(rq, r->pattern, rq->head->path))
                        continue;
                if (method_fits(r, rq->head->method))
                        found = r;
                else
                        add_allowed(&allow, r->method);
        }
        if (found) {
                found->fn(found->arg, rq);
                if (!rq->hc->answered && rq->hc->fd >= 0 && !rq->hc->broken)
                        http_reply_error(rq, 500, "failed", "the request could not be handled");
        } else if (allow.n) {
                buf_add_str(&allow, "\r\n");
                reply_error(rq->hc, 405, reply_code(405), "this path does not take this method",
                        buf_slice(&allow));
        } else {
                reply_error(rq->hc, 404, reply_code(404), "nothing here", SLICE_NONE);
        }
        buf_done(&allow);
}

void router_run(void *fed)
{
        struct http_conn *hc = fed;
        struct http_request rq = {.hc = hc, .head = &hc->head};
        rq.path = request_decode(&rq, hc->head.path, false);
        rq.client = address_behind(hc->srv->proxies, slice_str(hc->addr),
                head_get(&hc->head, "X-Forwarded-For"));
        const char *origins = hc->srv->settings->origins;
        if (hc->head.websocket)
                websocket_run(&rq);
        else if (slice_is(hc->head.method, "OPTIONS") && origins && origins[0])
                cors_preflight(&rq);
        else
                route_request(&rq);
        request_done(&rq);
}
