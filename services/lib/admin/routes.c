/*
 * routes - requests below /admin.
 *
 * The page's own files hold no secret and are open; everything below /admin/api/ wants a token of scope `admin` in the
 * Authorization header, never in the URL. What changes something is a POST of JSON from this very origin. With TERN_AUTH=off,
 * where listeners are on loopback, the Host has to be a loopback name, so that a foreign page cannot come in by a name
 * of its own that points here.
 */
#include "admin/internal.h"

#include "auth/auth.h"
#include "auth/revocations.h"
#include "base/clock.h"
#include "base/jsonscan.h"
#include "base/metrics.h"
#include "http/ops.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define PREFIX "/admin"
#define BODY_MAX_BYTES 16384
#define LIMIT_DEFAULT 50

/* What the browser may do with an answer. */
#define HEADERS                                                                                    \
        "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"                      \
        "Cross-Origin-Resource-Policy: same-origin\r\nCross-Origin-Opener-Policy: same-origin\r\n" \
        "X-Frame-Options: DENY\r\nContent-Security-Policy: default-src 'none'; script-src "        \
        "'self'; "                                                                                 \
        "style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action "      \
        "'none'; frame-ancestors 'none'\r\n"
#define JSON_TYPE "application/json; charset=utf-8"

static void reply_json(struct ops_request *rq, int status, struct slice json)
{
        ops_reply(rq, status, JSON_TYPE,
                status == 401 ? "WWW-Authenticate: Bearer\r\n" HEADERS : HEADERS, json);
}

static void refuse(struct ops_request *rq, int status, const char *code, const char *message)
{
        struct buf json = BUF_EMPTY;
        buf_printf(&json, "{\"error\":{\"code\":\"%s\",\"message\":", code);
        buf_add_json_str(&json, slice_str(message));
        buf_add_str(&json, "}}");
        reply_json(rq, status, buf_slice(&json));
        buf_done(&json);
}

/* ---- who asks ---- */

/* "localhost:9306", "127.0.0.1:9306", "[::1]:9306" */
static bool is_loopback_host(struct slice host)
{
        static const char *const names[] = {"localhost", "[::1]", "127."};
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                size_t n = strlen(names[i]);
                if (!slice_starts(host, names[i]))
                        continue;
                if (names[i][n - 1] != '.')
                        return host.n == n || host.p[n] == ':';
                for (n = 0; n < host.n && host.p[n] != ':'; n++)
                        if (host.p[n] != '.' && (host.p[n] < '0' || host.p[n] > '9'))
                                return false;
                return true;
        }
        return false;
}

/* The operator's name as it goes into the audit; false after the refusal. */
static bool identify(struct admin *a, struct ops_request *rq, char operator[OPERATOR_TEXT])
{
        struct identity id;
        enum auth_failure why;
        if (auth_off(a->o.auth)) {
                snprintf(operator, OPERATOR_TEXT, "anybody via %s", a->o.instance);
                if (is_loopback_host(ops_header(rq, "Host")))
                        return true;
                refuse(rq, 403, "forbidden",
                        "with TERN_AUTH=off the Host has to be localhost or 127.0.0.1");
                return false;
        }
        if (auth_verify(a->o.auth, auth_bearer(ops_header(rq, "Authorization")), clock_wall_ms(),
                    &id, &why) != 0) {
                metrics_add(a->o.metrics, M_auth_failures, (unsigned)why, 1);
                refuse(rq, 401, "forbidden", auth_failure_text(why));
                return false;
        }
        int status = 200;
        if (id.stream_only) {
                why = AUTH_AUDIENCE;
                status = 401;
        } else if (revocations_void(a->o.revocations, slice_str(id.sub), id.issued_ms)) {
                why = AUTH_REVOKED;
                status = 401;
        } else if (!identity_has_scope(&id, "admin")) {
                why = AUTH_SCOPE;
                status = 403;
        }
        snprintf(operator, OPERATOR_TEXT, "%.128s via %.64s", id.sub, a->o.instance);
        identity_done(&id);
        if (status == 200)
                return true;
        metrics_add(a->o.metrics, M_auth_failures, (unsigned)why, 1);
        refuse(rq, status, "forbidden",
                why == AUTH_SCOPE ? "the token lacks the scope admin" : auth_failure_text(why));
        return false;
}

/* A POST of JSON that no foreign page can have sent; false after the refusal. */
static bool body_of(struct ops_request *rq, struct buf *body)
{
        struct slice origin = ops_header(rq, "Origin"), site = ops_header(rq, "Sec-Fetch-Site");
        if ((origin.n && !http_origin_is(origin, ops_header(rq, "Host"))) ||
                (site.n && !slice_is(site, "same-origin"))) {
                refuse(rq, 403, "forbidden", "this comes from a page of another origin");
                return false;
        }
        if (!slice_starts(ops_header(rq, "Content-Type"), "application/json")) {
                refuse(rq, 415, "invalid", "the body has to be application/json");
                return false;
        }
        int r = ops_body(rq, BODY_MAX_BYTES, body);
        if (r == -EMSGSIZE)
                refuse(rq, 413, "invalid", "the body is too large");
        else if (r < 0 || !event_json_valid(buf_slice(body), 8) ||
                 !json_is_object(json_first(buf_slice(body))))
                refuse(rq, 400, "invalid", "the body is not a JSON object");
        else
                return true;
        return false;
}

/* ---- questions to the admin thread ---- */

static void question_release(struct rest_call *rest)
{
        struct question *q = container_of(rest, struct question, rest);
        job_order_done(&q->order);
        free(q);
}

static struct question *question_new(
        struct admin *a, const char *operator, void (*run)(struct admin *a, struct question *q))
{
        struct question *q = xcalloc(1, sizeof(*q));
        rest_init(&q->rest, question_release);
        q->admin = a;
        q->run = run;
        snprintf(q->operator, sizeof(q->operator), "%s", operator);
        return q;
}

static void arrive(struct mail *m)
{
        struct question *q = container_of(m, struct question, rest.mail);
        if (atomic_load(&q->admin->closing))
                question_refuse(q, 503, "unavailable", "the gateway is stopping");
        else
                q->run(q->admin, q);
}

static void ask(struct question *q, struct ops_request *rq)
{
        q->rest.mail.run = arrive;
        if (!mailbox_post(q->admin->mailbox, &q->rest.mail)) {
                rest_discard(&q->rest);
                refuse(rq, 503, "unavailable", "the gateway is stopping");
                return;
        }
        if (rest_wait(&q->rest, ANSWER_MS))
                reply_json(rq, q->rest.status, buf_slice(&q->rest.json));
        else
                refuse(rq, 504, "unknown", "no answer in time");
        rest_leave(&q->rest);
}

/* ---- reads ---- */

/* Decoded query parameter that is UTF-8; false after the refusal. */
static bool parameter(struct ops_request *rq, const char *name, char *dst, size_t cap)
{
        struct buf json = BUF_EMPTY;
        bool given = ops_query(rq, name, dst, cap);
        buf_add_char(&json, '"');
        buf_add_str(&json, dst);
        buf_add_char(&json, '"');
        /* A quote or a backslash would end the text here: ids and places have none. */
        bool good = !given || json_check(buf_slice(&json), 1, 0);
        buf_done(&json);
        if (!good)
                refuse(rq, 400, "invalid", "a parameter holds what no name holds");
        return good;
}

static bool limit_of(struct ops_request *rq, uint32_t *ret)
{
        char text[16];
        uint64_t v = LIMIT_DEFAULT;
        if (ops_query(rq, "limit", text, sizeof(text)) &&
                (!slice_to_u64(slice_str(text), LISTING_ROWS_MAX, &v) || v == 0)) {
                refuse(rq, 400, "invalid", "limit has to be 1 to 100");
                return false;
        }
        *ret = (uint32_t)v;
        return true;
}

static void get_list(
        struct admin *a, struct ops_request *rq, const char *operator, enum admin_list what)
{
        char prefix[LISTING_KEY_MAX], after[LISTING_KEY_MAX], gateway[INSTANCE_TEXT];
        uint32_t limit;
        if (!parameter(rq, "prefix", prefix, sizeof(prefix)) ||
                !parameter(rq, "after", after, sizeof(after)) ||
                !parameter(rq, "gateway", gateway, sizeof(gateway)) || !limit_of(rq, &limit))
                return;
        struct question *q = question_new(a, operator, survey_ask);
        q->what = what;
        memcpy(q->gateway, gateway, sizeof(gateway));
        CHECK(listing_init(&q->page, slice_str(prefix), slice_str(after), limit));
        ask(q, rq);
}

static void get_connections(struct admin *a, struct ops_request *rq, const char *operator)
{
        get_list(a, rq, operator, ADMIN_CONNECTIONS);
}

static void get_conversations(struct admin *a, struct ops_request *rq, const char *operator)
{
        get_list(a, rq, operator, ADMIN_CONVERSATIONS);
}

static void get_audiences(struct admin *a, struct ops_request *rq, const char *operator)
{
        get_list(a, rq, operator, ADMIN_AUDIENCES);
}

static void add_member(
        const struct admin *a, const struct fleet_member *m, int64_t now_ms, struct buf *json)
{
        buf_add_str(json, json->p[json->n - 1] == '[' ? "{\"instance\":" : ",{\"instance\":");
        buf_add_json_str(json, slice_str(m->instance));
        buf_add_str(json, ",\"service\":");
        buf_add_json_str(json, slice_str(m->service));
        buf_add_str(json, ",\"version\":");
        buf_add_json_str(json, slice_str(m->version));
        buf_add_str(json, ",\"ops\":");
        buf_add_json_str(json, slice_str(m->ops));
        buf_printf(json,
                ",\"connections\":%" PRId64 ",\"connectionsMax\":%" PRId64 ",\"startedAt\":%" PRId64
                ",\"heardMs\":%" PRId64 ",\"leaving\":%s,\"self\":%s}",
                m->connections, m->connections_max, m->started_ms, now_ms - m->heard_ms,
                m->leaving ? "true" : "false",
                strcmp(m->instance, a->o.instance) == 0 ? "true" : "false");
}

/* On the worker: the list is frozen. */
static void get_fleet(struct admin *a, struct ops_request *rq, const char *operator)
{
        struct buf json = BUF_EMPTY;
        struct fleet_list *fleet = fleet_list(a->o.fleet);
        buf_add_str(&json, "{\"instance\":");
        buf_add_json_str(&json, slice_str(a->o.instance));
        buf_printf(&json, ",\"auth\":%s,\"operator\":", auth_off(a->o.auth) ? "false" : "true");
        buf_add_json_str(&json, slice_str(operator));
        buf_add_str(&json, ",\"gateways\":[");
        for (size_t i = 0; i < fleet->count; i++)
                add_member(a, &fleet->members[i], clock_mono_ms(), &json);
        buf_add_str(&json, "]}");
        fleet_list_unref(fleet);
        reply_json(rq, 200, buf_slice(&json));
        buf_done(&json);
}

static void get_jobs(struct admin *a, struct ops_request *rq, const char *operator)
{
        ask(question_new(a, operator, jobs_list), rq);
}

static void get_lag(struct admin *a, struct ops_request *rq, const char *operator)
{
        struct question *q = question_new(a, operator, job_start);
        q->order.kind = "lag";
        job_order_add(&q->order, "lag");
        job_order_add(&q->order, "--json");
        ask(q, rq);
}

static void get_letters(struct admin *a, struct ops_request *rq, const char *operator)
{
        char topic[256], reason[64], key[256], after[320], all[8];
        uint32_t limit;
        if (!parameter(rq, "topic", topic, sizeof(topic)) ||
                !parameter(rq, "reason", reason, sizeof(reason)) ||
                !parameter(rq, "key", key, sizeof(key)) ||
                !parameter(rq, "after", after, sizeof(after)) || !limit_of(rq, &limit))
                return;
        if ((topic[0] && !act_topic_valid(slice_str(topic))) ||
                (after[0] && !act_place_valid(slice_str(after)))) {
                refuse(rq, 400, "invalid", "topic or after is none");
                return;
        }
        struct question *q = question_new(a, operator, job_start);
        struct job_order *o = &q->order;
        o->kind = "letters";
        job_order_add(o, "dlq");
        job_order_add(o, "list");
        /* One more than is shown tells whether there is a next page. */
        job_order_add(o, "--count=%u", limit + 1);
        if (after[0])
                job_order_add(o, "--after=%s", after);
        if (reason[0])
                job_order_add(o, "--reason=%s", reason);
        if (key[0])
                job_order_add(o, "--key=%s", key);
        if (ops_query(rq, "all", all, sizeof(all)) && strcmp(all, "true") == 0)
                job_order_add(o, "--all");
        job_order_add(o, "--json");
        if (topic[0])
                job_order_add(o, "%s", topic);
        ask(q, rq);
}

static void get_letter(struct admin *a, struct ops_request *rq, const char *operator)
{
        char place[320];
        if (!ops_query(rq, "place", place, sizeof(place)) || !act_place_valid(slice_str(place))) {
                refuse(rq, 400, "invalid", "place has to be TOPIC/PARTITION/OFFSET/EPOCH");
                return;
        }
        struct question *q = question_new(a, operator, job_start);
        q->order.kind = "letter";
        job_order_add(&q->order, "dlq");
        job_order_add(&q->order, "show");
        job_order_add(&q->order, "--json");
        job_order_add(&q->order, "%s", place);
        ask(q, rq);
}

/* ---- acts ---- */

static void act(struct admin *a, struct ops_request *rq, const char *operator,
        int (*make)(struct slice body, struct job_order *o, char fault[160]))
{
        struct buf body = BUF_EMPTY;
        char fault[160] = "";
        if (body_of(rq, &body)) {
                struct question *q = question_new(a, operator, job_start);
                if (make(json_first(buf_slice(&body)), &q->order, fault) == 0) {
                        ask(q, rq);
                } else {
                        rest_discard(&q->rest);
                        refuse(rq, 400, "invalid", fault);
                }
        }
        buf_done(&body);
}

static void post_kick(struct admin *a, struct ops_request *rq, const char *operator)
{
        act(a, rq, operator, act_kick);
}

static void post_redrive(struct admin *a, struct ops_request *rq, const char *operator)
{
        act(a, rq, operator, act_redrive);
}

static void post_replay(struct admin *a, struct ops_request *rq, const char *operator)
{
        act(a, rq, operator, act_replay);
}

static void post_stop(struct admin *a, struct ops_request *rq, const char *operator)
{
        struct buf body = BUF_EMPTY, id = BUF_EMPTY;
        struct slice raw;
        if (body_of(rq, &body)) {
                struct question *q = question_new(a, operator, job_stop);
                if (json_member(json_first(buf_slice(&body)), "job", &raw) &&
                        json_decode_string(raw, &id) && uuid_valid(buf_slice(&id)) &&
                        slice_copy(buf_slice(&id), q->job, sizeof(q->job))) {
                        ask(q, rq);
                } else {
                        rest_discard(&q->rest);
                        refuse(rq, 400, "invalid", "job has to be the id of one");
                }
        }
        buf_done(&id);
        buf_done(&body);
}

/* ---- the page ---- */

static void get_file(struct ops_request *rq, struct slice name)
{
        if (name.n == 0)
                name = SLICE_LIT("index.html");
        for (size_t i = 0; i < admin_file_count; i++) {
                const struct admin_file *f = &admin_files[i];
                if (!slice_is(name, f->name))
                        continue;
                ops_reply(rq, 200, f->type, HEADERS,
                        slice_of((const char *)(const void *)f->bytes, f->n));
                return;
        }
        refuse(rq, 404, "not_found", "nothing here");
}

static const struct {
        const char *method, *path;
        void (*answer)(struct admin *a, struct ops_request *rq, const char *operator);
} routes[] = {
        {"GET", "fleet", get_fleet},
        {"GET", "connections", get_connections},
        {"GET", "conversations", get_conversations},
        {"GET", "audiences", get_audiences},
        {"GET", "lag", get_lag},
        {"GET", "letters", get_letters},
        {"GET", "letter", get_letter},
        {"GET", "jobs", get_jobs},
        {"POST", "kick", post_kick},
        {"POST", "redrive", post_redrive},
        {"POST", "replay", post_replay},
        {"POST", "stop", post_stop},
};

static void serve_api(struct admin *a, struct ops_request *rq, struct slice name)
{
        char operator[OPERATOR_TEXT];
        if (!identify(a, rq, operator))
                return;
        for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
                if (!slice_is(name, routes[i].path))
                        continue;
                if (slice_is(ops_method(rq), routes[i].method))
                        routes[i].answer(a, rq, operator);
                else
                        refuse(rq, 405, "invalid", "this path does not take this method");
                return;
        }
        refuse(rq, 404, "not_found", "nothing here");
}

void admin_serve(void *arg, struct ops_request *rq)
{
        struct admin *a = arg;
        struct slice path = slice_from(ops_path(rq), strlen(PREFIX)), method = ops_method(rq);
        atomic_fetch_add(&a->serving, 1);
        if (atomic_load(&a->closing))
                refuse(rq, 503, "unavailable", "the gateway is stopping");
        else if (path.n == 0)
                ops_reply(rq, 302, "text/plain", "Location: " PREFIX "/\r\n" HEADERS, SLICE_NONE);
        else if (slice_starts(path, "/api/"))
                serve_api(a, rq, slice_from(path, 5));
        else if (slice_is(method, "GET") || slice_is(method, "HEAD"))
                get_file(rq, slice_from(path, 1));
        else
                refuse(rq, 405, "invalid", "GET and HEAD only");
        atomic_fetch_sub(&a->serving, 1);
}
