/*
 * Requests on civetweb's workers: verified in the reference's order as far as that needs no
 * session, then handed to the shard.
 *
 * transport known, Origin's characters, sid known, transport fits the session; without a sid: GET,
 * no plain GET for WebSocket, version 4. A poll's socket leaves at once, and its shard answers; a
 * POST's body is read here, after the shard was asked.
 */
#include "realtime/engine_internal.h"

#include "base/address.h"
#include "base/clock.h"
#include "base/quota.h"
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#define NO_STORE SLICE_LIT("Cache-Control: no-store\r\n")

static void count_refusal(struct engine_server *srv, enum eio_refusal why)
{
        metrics_add(srv->metrics, M_handshakes_refused, (unsigned)why, 1);
}

static void refuse(struct engine_server *srv, struct http_request *rq, enum eio_refusal why)
{
        struct buf json = BUF_EMPTY;
        eio_refusal_json(why, &json);
        http_reply(rq, eio_refusal_status(why), "application/json", NO_STORE, buf_slice(&json));
        buf_done(&json);
        count_refusal(srv, why);
}

/* Before the 101: the reference says it in a line of text, but for a refused Origin, whose status
 * counts. */
static void refuse_websocket(
        struct engine_server *srv, struct http_request *rq, enum eio_refusal why)
{
        if (why == EIO_FORBIDDEN) {
                refuse(srv, rq, why);
                return;
        }
        http_reply(rq, 400, "text/html", SLICE_NONE, slice_str(eio_refusal_text(why)));
        count_refusal(srv, why);
}

static bool refuse_if_draining(struct engine_server *srv, struct http_request *rq)
{
        enum { LABEL_DRAINING = 7 };
        if (!atomic_load_explicit(&srv->draining, memory_order_relaxed))
                return false;
        http_reply(rq, 503, "application/json", NO_STORE,
                SLICE_LIT("{\"code\":3,\"message\":\"Draining\"}"));
        metrics_add(srv->metrics, M_handshakes_refused, LABEL_DRAINING, 1);
        return true;
}

static bool origin_has_bad_bytes(const struct http_request *rq)
{
        struct slice origin = http_header(rq, "Origin");
        for (size_t i = 0; i < origin.n; i++) {
                unsigned char c = (unsigned char)origin.p[i];
                if ((c < 0x20 && c != '\t') || c == 0x7f)
                        return true;
        }
        return false;
}

/* ---- to the shard ---- */

static bool is_own_parameter(struct slice pair)
{
        static const char *const own[] = {"EIO", "transport", "sid", "t", "b64", "j"};
        ptrdiff_t eq = slice_find(pair, '=');
        struct slice name = slice_of(pair.p, eq < 0 ? pair.n : (size_t)eq);
        for (size_t i = 0; i < ARRAY_LEN(own); i++)
                if (slice_is(name, own[i]))
                        return true;
        return false;
}

static void application_query(struct slice query, struct buf *out)
{
        while (query.n) {
                ptrdiff_t amp = slice_find(query, '&');
                struct slice pair = slice_of(query.p, amp < 0 ? query.n : (size_t)amp);
                query = amp < 0 ? SLICE_NONE : slice_from(query, (size_t)amp + 1);
                if (pair.n == 0 || is_own_parameter(pair))
                        continue;
                if (out->n)
                        buf_add_char(out, '&');
                buf_add_slice(out, pair);
        }
}

static struct hello *read_hello(struct http_request *rq, bool websocket)
{
        struct buf query = BUF_EMPTY;
        application_query(http_query(rq), &query);
        struct engine_handshake hs = {
                .client_addr = http_client_addr(rq),
                .origin = http_header(rq, "Origin"),
                .authorization = http_header(rq, "Authorization"),
                .cookie = http_header(rq, "Cookie"),
                .user_agent = http_header(rq, "User-Agent"),
                .traceparent = http_header(rq, "traceparent"),
                .query = buf_slice(&query),
                .time_ms = clock_wall_ms(),
                .websocket = websocket,
        };
        struct hello *h = hello_new(&hs);
        buf_done(&query);
        return h;
}

/* The shard with the fewest sessions; among equals, each in its turn. */
static struct engine_shard *choose_shard(struct engine_server *srv)
{
        unsigned start =
                atomic_fetch_add_explicit(&srv->next, 1, memory_order_relaxed) % srv->shard_count;
        struct engine_shard *best = NULL;
        unsigned least = 0;
        for (unsigned i = 0; i < srv->shard_count; i++) {
                struct engine_shard *es = &srv->shards[(start + i) % srv->shard_count];
                unsigned open = atomic_load_explicit(&es->open, memory_order_relaxed);
                if (!best || open < least) {
                        best = es;
                        least = open;
                }
        }
        return best;
}

static struct arrival *arrival_new(struct engine_shard *es, enum arrival_kind kind)
{
        struct arrival *a = xcalloc(1, sizeof(*a));
        a->es = es;
        a->kind = kind;
        a->ho.fd = -1;
        return a;
}

static char *cors_text(const struct http_request *rq)
{
        struct buf b = BUF_EMPTY;
        http_cors_headers(rq, &b);
        if (b.n == 0)
                return NULL;
        return buf_take(&b, NULL);
}

/* ---- plain requests ---- */

static void hand_over_poll(struct engine_server *srv, struct http_request *rq, const uint8_t *sid,
        bool websocket_query)
{
        struct engine_shard *es = sid ? &srv->shards[engine_sid_shard(sid)] : choose_shard(srv);
        struct arrival *a = arrival_new(es, sid ? ARRIVAL_POLL : ARRIVAL_POLL_HANDSHAKE);
        if (sid)
                memcpy(a->sid, sid, ENGINE_SID_BYTES);
        else
                a->hello = read_hello(rq, false);
        a->websocket_query = websocket_query;
        a->cors = cors_text(rq);
        http_handover_take(rq, &a->ho);
        arrival_post(a);
}

/* A client that comes too often waits longer each time: to it any status but 200 is a failure. */
static bool refuse_if_limited(struct engine_server *srv, struct http_request *rq)
{
        enum { LABEL_LIMIT = 6 };
        const struct engine_options *o = &srv->o;
        uint8_t bytes[16];
        struct slice key = slice_of((const char *)bytes, address_key(http_client_addr(rq), bytes));
        bool full = o->addresses && o->address_max && tally_get(o->addresses, key) >= o->address_max;
        if (!full && (!o->address_connects || rate_take(o->address_connects, key, 1, clock_mono_ms())))
                return false;
        http_reply(rq, 429, "application/json", NO_STORE,
                SLICE_LIT("{\"code\":4,\"message\":\"rate_limited\"}"));
        metrics_add(srv->metrics, M_handshakes_refused, LABEL_LIMIT, 1);
        metrics_add(srv->metrics, M_limited, full ? LIMITED_ADDRESS_CONNECTIONS : LIMITED_ADDRESS_CONNECTS, 1);
        return true;
}

/* Asked for handshakes only, as by the reference. */
static bool allowed(struct engine_server *srv, struct http_request *rq, bool websocket)
{
        if (!srv->o.allow)
                return true;
        struct engine_handshake hs = {
                .client_addr = http_client_addr(rq),
                .origin = http_header(rq, "Origin"),
                .authorization = http_header(rq, "Authorization"),
                .cookie = http_header(rq, "Cookie"),
                .user_agent = http_header(rq, "User-Agent"),
                .traceparent = http_header(rq, "traceparent"),
                .query = http_query(rq),
                .time_ms = clock_wall_ms(),
                .websocket = websocket,
        };
        return srv->o.allow(srv->o.allow_arg, &hs);
}

static void handshake(struct engine_server *srv, struct http_request *rq, const struct eio_query *q)
{
        if (!slice_is(http_method(rq), "GET"))
                refuse(srv, rq, EIO_BAD_METHOD);
        else if (q->transport == EIO_TRANSPORT_WEBSOCKET)
                refuse(srv, rq, EIO_BAD_REQUEST);
        else if (!allowed(srv, rq, false))
                refuse(srv, rq, EIO_FORBIDDEN);
        else if (!q->version_4)
                refuse(srv, rq, EIO_BAD_VERSION);
        else if (!refuse_if_draining(srv, rq) && !refuse_if_limited(srv, rq))
                hand_over_poll(srv, rq, NULL, false);
}

static void fail_post(struct engine_server *srv, struct http_request *rq,
        const uint8_t sid[ENGINE_SID_BYTES], int why)
{
        bool goes_on = why == -EMSGSIZE || why == -EBUSY;
        (void)arrival_ask(srv, sid, goes_on ? ASK_POST_FORGET : ASK_POST_FAIL);
        int status = why == -EMSGSIZE ? 413 : why == -EBUSY ? 503 : why == -ETIMEDOUT ? 408 : 400;
        if (why != -ECONNRESET)
                http_reply(rq, status, NULL, NO_STORE, SLICE_NONE);
}

static void post(
        struct engine_server *srv, struct http_request *rq, const uint8_t sid[ENGINE_SID_BYTES])
{
        struct slice type = http_header(rq, "Content-Type"), body;
        static const char octets[] = "application/octet-stream";
        if (type.n >= sizeof(octets) - 1 && strncasecmp(type.p, octets, sizeof(octets) - 1) == 0) {
                fail_post(srv, rq, sid, -EINVAL);
                return;
        }
        int r = http_body(rq, srv->o.max_payload, &body);
        if (r < 0) {
                fail_post(srv, rq, sid, r);
                return;
        }
        struct arrival *a = arrival_new(&srv->shards[engine_sid_shard(sid)], ARRIVAL_POST);
        memcpy(a->sid, sid, ENGINE_SID_BYTES);
        a->body = slice_dup(body);
        a->body_n = body.n;
        if (srv->o.post_cookies)
                a->cookie = slice_dup(http_header(rq, "Cookie"));
        a->cors = cors_text(rq);
        http_handover_take(rq, &a->ho);
        arrival_post(a);
}

static void request_of_session(
        struct engine_server *srv, struct http_request *rq, const struct eio_query *q)
{
        uint8_t sid[ENGINE_SID_BYTES];
        if (!engine_sid_parse(slice_str(q->sid), srv->instance, srv->shard_count, sid)) {
                refuse(srv, rq, EIO_SESSION_UNKNOWN);
                return;
        }
        bool websocket_query = q->transport == EIO_TRANSPORT_WEBSOCKET;
        if (slice_is(http_method(rq), "GET")) {
                hand_over_poll(srv, rq, sid, websocket_query);
                return;
        }
        bool is_post = slice_is(http_method(rq), "POST") && !websocket_query;
        switch (arrival_ask(srv, sid, is_post ? ASK_POST_BEGIN : ASK_KNOWN)) {
        case ANSWER_UNKNOWN:
                refuse(srv, rq, EIO_SESSION_UNKNOWN);
                return;
        case ANSWER_OVERLAP:
                http_reply(rq, 400, NULL, NO_STORE, SLICE_NONE);
                return;
        case ANSWER_WEBSOCKET:
                refuse(srv, rq, EIO_BAD_REQUEST);
                return;
        case ANSWER_POLLING:
                if (is_post)
                        post(srv, rq, sid);
                else
                        refuse(srv, rq, EIO_BAD_REQUEST);
                return;
        }
}

void engine_request(void *arg, struct http_request *rq)
{
        struct engine_server *srv = arg;
        struct eio_query q;
        eio_query_parse(http_query(rq), &q);
        /* A preflight has no query; it comes here only while no origin is let in. */
        if (slice_is(http_method(rq), "OPTIONS"))
                refuse(srv, rq, EIO_BAD_METHOD);
        else if (q.transport == EIO_TRANSPORT_NONE)
                refuse(srv, rq, EIO_TRANSPORT_UNKNOWN);
        else if (origin_has_bad_bytes(rq) || q.jsonp)
                refuse(srv, rq, EIO_BAD_REQUEST);
        else if (q.sid[0])
                request_of_session(srv, rq, &q);
        else
                handshake(srv, rq, &q);
}

/* ---- WebSockets ---- */

static bool path_served(const struct engine_server *srv, struct slice path)
{
        return slice_is(path, srv->path_bare) || slice_starts(path, srv->o.path);
}

bool engine_websocket_check(void *arg, struct http_request *rq)
{
        struct engine_server *srv = arg;
        struct eio_query q;
        uint8_t sid[ENGINE_SID_BYTES];
        if (!path_served(srv, http_path(rq))) {
                http_reply(rq, 404, NULL, NO_STORE, SLICE_NONE);
                return false;
        }
        eio_query_parse(http_query(rq), &q);
        if (q.transport == EIO_TRANSPORT_NONE) {
                refuse_websocket(srv, rq, EIO_TRANSPORT_UNKNOWN);
        } else if (q.transport != EIO_TRANSPORT_WEBSOCKET || origin_has_bad_bytes(rq)) {
                refuse_websocket(srv, rq, EIO_BAD_REQUEST);
        } else if (!http_origin_allowed(srv->o.origins, http_header(rq, "Origin")) &&
                   !http_same_origin(rq)) {
                refuse_websocket(srv, rq, EIO_FORBIDDEN);
        } else if (q.sid[0]) {
                if (engine_sid_parse(slice_str(q.sid), srv->instance, srv->shard_count, sid) &&
                        arrival_ask(srv, sid, ASK_KNOWN) != ANSWER_UNKNOWN)
                        return true;
                refuse_websocket(srv, rq, EIO_SESSION_UNKNOWN);
        } else if (!allowed(srv, rq, true)) {
                refuse_websocket(srv, rq, EIO_FORBIDDEN);
        } else if (!q.version_4) {
                refuse_websocket(srv, rq, EIO_BAD_VERSION);
        } else {
                return !refuse_if_draining(srv, rq) && !refuse_if_limited(srv, rq);
        }
        return false;
}

/* The 101 is out. */
void engine_websocket_ready(void *arg, struct http_request *rq)
{
        struct engine_server *srv = arg;
        struct eio_query q;
        eio_query_parse(http_query(rq), &q);
        struct arrival *a;
        if (q.sid[0]) {
                uint8_t sid[ENGINE_SID_BYTES];
                bool own = engine_sid_parse(slice_str(q.sid), srv->instance, srv->shard_count, sid);
                CHECK(own);
                a = arrival_new(&srv->shards[engine_sid_shard(sid)], ARRIVAL_WS);
                memcpy(a->sid, sid, ENGINE_SID_BYTES);
        } else {
                a = arrival_new(choose_shard(srv), ARRIVAL_WS_HANDSHAKE);
                a->hello = read_hello(rq, true);
        }
        http_handover_take(rq, &a->ho);
        arrival_post(a);
}
