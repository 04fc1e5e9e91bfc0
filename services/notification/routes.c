/*
 * The notification gateway's HTTP: streams, publishing, lists and marks.
 */
#include "notification/ask.h"
#include "notification/publish.h"
#include "notification/stream.h"

#include "auth/revocations.h"
#include "base/clock.h"
#include "base/jsonscan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BODY_MAX_BYTES 1000000
#define LIST_LIMIT_MAX 200

static void refuse(struct http_request *rq, enum error_code code, const char *message)
{
        http_reply_error(rq, error_code_http(code), error_code_name(code), message);
}

/* ---- who asks ---- */

/* The token may stand in the header, in a cookie (then the Origin has to be an allowed one), or, for streams,
 * in the query. */
static struct slice find_token(struct http_request *rq, bool stream)
{
        struct slice token = auth_bearer(http_header(rq, "Authorization"));
        if (token.n)
                return token;
        if (stream && http_query_get(rq, "token", &token))
                return token;
        if (http_cookie_get(rq, "tern_token", &token) && http_origin_admitted(rq))
                return token;
        return SLICE_NONE;
}

static bool identify(struct app *app, struct http_request *rq, bool stream, struct identity *ret)
{
        if (auth_off(app->auth)) {
                struct slice user = SLICE_NONE;
                if (stream)
                        user = http_param(rq, "userId");
                else
                        http_query_get(rq, "user", &user);
                auth_guest(app->auth, user, ret);
                return true;
        }
        enum auth_failure why;
        int r = auth_verify(app->auth, find_token(rq, stream), clock_wall_ms(), ret, &why);
        if (r == 0 && ret->stream_only && !stream) {
                identity_done(ret);
                why = AUTH_AUDIENCE;
                r = -EACCES;
        }
        if (r == 0 && revocations_void(app->revocations, slice_str(ret->sub), ret->issued_ms)) {
                identity_done(ret);
                why = AUTH_REVOKED;
                r = -EACCES;
        }
        if (r == 0)
                return true;
        metrics_add(app->metrics, M_auth_failures, (unsigned)why, 1);
        http_reply_error(rq, 401, "forbidden", auth_failure_text(why));
        return false;
}

/* ---- GET /notifications/stream/:userId ---- */

static bool has_word(const char *words, struct slice word)
{
        for (const char *at = words; *at;) {
                const char *end = strchr(at, ' ');
                size_t n = end ? (size_t)(end - at) : strlen(at);
                if (n == word.n && memcmp(at, word.p, n) == 0)
                        return true;
                at += n + (end != NULL);
        }
        return false;
}

/* The token's topics, cut by ?topics=; without authentication what the query asks for. */
static bool choose_topics(
        struct app *app, struct http_request *rq, const struct identity *id, struct buf *out)
{
        struct slice asked = SLICE_NONE, name;
        bool cut = http_query_get(rq, "topics", &asked);
        bool any = auth_off(app->auth);
        uint32_t n = 0;
        struct buf own = BUF_EMPTY;
        for (const char *c = id->topics; *c; c++)
                buf_add_char(&own, *c == ' ' ? ',' : *c);
        struct slice rest = cut ? asked : buf_slice(&own);
        while (config_list_next(&rest, &name)) {
                if (!event_conversation_id_valid(name) || (!any && !has_word(id->topics, name)))
                        continue;
                if (n++)
                        buf_add_char(out, ',');
                buf_add_slice(out, name);
        }
        buf_done(&own);
        if (n <= app->settings.topics_max)
                return true;
        char message[96];
        snprintf(message, sizeof(message),
                "a stream may follow %u topics (TERN_TOPICS_MAX), these are %u",
                app->settings.topics_max, n);
        refuse(rq, ERR_RATE_LIMITED, message);
        return false;
}

static bool choose_start(struct http_request *rq, struct stream *st)
{
        struct slice text = http_header(rq, "Last-Event-ID");
        if (!text.n && !http_query_get(rq, "lastEventId", &text))
                http_query_get(rq, "last_event_id", &text);
        if (text.n) {
                stream_set_cursor(st, text);
                return true;
        }
        if (!http_query_get(rq, "since", &text))
                return true;
        uint64_t ms;
        if (slice_to_u64(text, 253402300799999ULL, &ms))
                st->since_ms = (int64_t)ms;
        else if (clock_parse_iso(text.p, text.n, &st->since_ms) < 0) {
                refuse(rq, ERR_INVALID,
                        "since is neither an RFC 3339 time nor milliseconds since 1970");
                return false;
        }
        st->start = START_SINCE;
        return true;
}

/* The status is 200, or the browser would never come back; so the metric is where a full gateway shows. */
static void turn_away(struct app *app, struct http_request *rq, const char *why, struct slice last)
{
        metrics_add(app->metrics, M_handshakes_refused,
                (unsigned)metrics_label(M_handshakes_refused, why), 1);
        es_come_back(app->es, rq, last);
}

static void open_stream(
        struct app *app, struct http_request *rq, const struct identity *id, struct slice topics)
{
        struct slice user = slice_str(id->sub);
        unsigned shard = gateway_shard_of(app, user);
        struct stream *st = stream_new(app->gateways[shard], user, topics);
        st->issued_ms = id->issued_ms;
        st->expires_ms = id->expires_ms;
        if (!choose_start(rq, st)) {
                stream_free(st);
                return;
        }
        struct buf cors = BUF_EMPTY;
        http_cors_headers(rq, &cors);
        if (atomic_load(&app->lifecycle.draining)) {
                turn_away(app, rq, "draining", SLICE_NONE);
                stream_free(st);
        } else if (es_server_connections(app->es) >= app->settings.connections_max) {
                turn_away(app, rq, "limit", SLICE_NONE);
                stream_free(st);
        } else if (!stream_count(st, http_client_addr(rq))) {
                turn_away(app, rq, "limit",
                        SLICE_LIT(
                                "event: rate_limited\ndata: {\"code\":\"rate_limited\",\"message\":"
                                "\"too many streams of this user or address\"}\n\n"));
                stream_free(st);
        } else {
                struct http_handover ho;
                http_handover_take(rq, &ho);
                if (es_open(app->es, &ho, shard, buf_slice(&cors), st) < 0)
                        stream_free(st);
                http_handover_done(&ho);
        }
        buf_done(&cors);
}

static void get_stream(void *arg, struct http_request *rq)
{
        struct app *app = arg;
        struct identity id;
        struct slice path_user = http_param(rq, "userId");
        if (!event_user_id_valid(path_user)) {
                refuse(rq, ERR_INVALID,
                        "the path's userId has to be 1 to 128 of [A-Za-z0-9._~@:|-]");
                return;
        }
        if (!identify(app, rq, true, &id))
                return;
        struct buf topics = BUF_EMPTY;
        if (!slice_is(path_user, id.sub))
                refuse(rq, ERR_FORBIDDEN, "the path's userId is not the token's sub");
        else if (choose_topics(app, rq, &id, &topics))
                open_stream(app, rq, &id, buf_slice(&topics));
        buf_done(&topics);
        identity_done(&id);
}

/* ---- REST ---- */

static bool body_object(struct http_request *rq, bool may_be_empty, struct slice *ret)
{
        if (!http_body_or_reply(rq, BODY_MAX_BYTES, ret))
                return false;
        if (ret->n == 0 && may_be_empty)
                return true;
        if (event_json_valid(*ret, 32) && json_is_object(json_first(*ret)))
                return true;
        refuse(rq, ERR_INVALID, "the body is not a JSON object");
        return false;
}

static void post_notification(void *arg, struct http_request *rq)
{
        struct app *app = arg;
        struct identity id;
        struct slice body;
        if (!identify(app, rq, false, &id))
                return;
        if (!auth_off(app->auth) && !identity_has_scope(&id, "notifications:publish")) {
                metrics_add(app->metrics, M_auth_failures, AUTH_SCOPE, 1);
                refuse(rq, ERR_FORBIDDEN, "the token lacks the scope notifications:publish");
        } else if (body_object(rq, false, &body)) {
                publish(app, rq, body);
        }
        identity_done(&id);
}

static bool query_number(
        struct http_request *rq, const char *name, uint64_t min, uint64_t max, uint64_t *ret)
{
        struct slice text;
        if (!http_query_get(rq, name, &text))
                return true;
        uint64_t v;
        if (slice_to_u64(text, max, &v) && v >= min) {
                *ret = v;
                return true;
        }
        char message[128];
        snprintf(message, sizeof(message), "%s has to be a whole number from %llu to %llu", name,
                (unsigned long long)min, (unsigned long long)max);
        refuse(rq, ERR_INVALID, message);
        return false;
}

static void get_list(void *arg, struct http_request *rq)
{
        struct app *app = arg;
        struct identity id;
        if (!identify(app, rq, false, &id))
                return;
        uint64_t before = UINT64_MAX, limit = 50;
        if (query_number(rq, "before", 0, 9007199254740991ULL, &before) &&
                query_number(rq, "limit", 1, LIST_LIMIT_MAX, &limit)) {
                struct ask *a = ask_new(app, slice_str(id.sub), op_list);
                struct slice unread;
                a->before = before == UINT64_MAX ? -1 : (int64_t)before;
                a->limit = (uint32_t)limit;
                a->unread_only = http_query_get(rq, "unread", &unread) && slice_is(unread, "true");
                ask_run(a, rq);
        }
        identity_done(&id);
}

static void get_count(void *arg, struct http_request *rq)
{
        struct app *app = arg;
        struct identity id;
        if (!identify(app, rq, false, &id))
                return;
        ask_run(ask_new(app, slice_str(id.sub), op_count), rq);
        identity_done(&id);
}

static void post_read(void *arg, struct http_request *rq)
{
        struct app *app = arg;
        struct identity id;
        struct slice body;
        if (!identify(app, rq, false, &id))
                return;
        struct slice nid = http_param(rq, "id");
        if (nid.n == 0 || nid.n > 255 || memchr(nid.p, '\0', nid.n)) {
                refuse(rq, ERR_INVALID, "the notification id has to be 1 to 255 bytes");
        } else if (body_object(rq, true, &body)) {
                struct ask *a = ask_new(app, slice_str(id.sub), op_mark_read);
                a->id = slice_dup(nid);
                ask_run(a, rq);
        }
        identity_done(&id);
}

static void post_read_all(void *arg, struct http_request *rq)
{
        struct app *app = arg;
        struct identity id;
        struct slice body, raw;
        if (!identify(app, rq, false, &id))
                return;
        int64_t seq = -1;
        if (body_object(rq, true, &body)) {
                if (body.n && json_member(body, "seq", &raw) &&
                        !json_int(raw, 0, 9007199254740991LL, &seq)) {
                        refuse(rq, ERR_INVALID, "seq is not an integer from 0 to 9007199254740991");
                } else {
                        struct ask *a = ask_new(app, slice_str(id.sub), op_mark_all);
                        a->seq = seq;
                        ask_run(a, rq);
                }
        }
        identity_done(&id);
}

void routes_add(struct app *app)
{
        struct http_server *srv = app->http;
        http_route(srv, "GET", "/notifications/stream/:userId", get_stream, app);
        http_route(srv, "GET", "/notifications/unread-count", get_count, app);
        http_route(srv, "GET", "/notifications", get_list, app);
        http_route(srv, "POST", "/notifications", post_notification, app);
        http_route(srv, "POST", "/notifications/read-all", post_read_all, app);
        http_route(srv, "POST", "/notifications/:id/read", post_read, app);
}
