#include "messaging/routes.h"

#include "messaging/args.h"
#include "messaging/call.h"

#include "auth/revocations.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/jsonscan.h"
#include "http/rest.h"

#include <stdio.h>
#include <stdlib.h>

#define REST_WAIT_MS 12000
#define BODY_MAX_BYTES 262144
#define HISTORY_LIMIT_MAX 200
#define ENDS_MS 1000

struct chat_call {
        struct rest_call rest;
        struct gateway *gw;
        void (*operation)(struct call *c);
        char *user, *conversation_id;                    /* owned, as the next */
        char *title, *target_user, *members_json, *role; /* NULL = absent, as the next */
        char *after_id, *ends;                           /* see call.h */
        bool admin, flag;
        char trace[TRACE_TEXT];
        int64_t before, after;
        uint32_t limit;
};

static void chat_call_free(struct rest_call *rest)
{
        struct chat_call *cc = container_of(rest, struct chat_call, rest);
        free(cc->user);
        free(cc->conversation_id);
        free(cc->title);
        free(cc->target_user);
        free(cc->members_json);
        free(cc->after_id);
        free(cc->ends);
        free(cc->role);
        free(cc);
}

static struct chat_call *chat_call_new(
        void (*operation)(struct call *c), const struct identity *id, struct slice conversation_id)
{
        struct chat_call *cc = xcalloc(1, sizeof(*cc));
        rest_init(&cc->rest, chat_call_free);
        cc->operation = operation;
        cc->user = xstrdup(id->sub);
        cc->admin = identity_has_scope(id, "admin");
        cc->conversation_id = slice_dup(conversation_id);
        cc->before = cc->after = -1;
        return cc;
}

static char *move_text(char **from)
{
        char *text = *from;
        *from = NULL;
        return text;
}

/* On the shard. */
static void start(struct mail *m)
{
        struct chat_call *cc = container_of(m, struct chat_call, rest.mail);
        struct call *c =
                call_new(cc->gw, NULL, slice_str(cc->user), slice_str(cc->conversation_id), -1);
        c->rest = &cc->rest;
        c->admin = cc->admin;
        memcpy(c->trace, cc->trace, sizeof(c->trace));
        c->ask.before = cc->before;
        c->ask.after = cc->after;
        c->ask.limit = cc->limit;
        c->ask.flag = cc->flag;
        c->ask.title = move_text(&cc->title);
        c->ask.target_user = move_text(&cc->target_user);
        c->ask.members_json = move_text(&cc->members_json);
        c->ask.after_id = move_text(&cc->after_id);
        c->ask.ends = move_text(&cc->ends);
        c->ask.role = move_text(&cc->role);
        call_ref(c);
        cc->operation(c);
        call_unref(c);
}

static void run_and_reply(struct app *app, struct http_request *rq, struct chat_call *cc)
{
        uint32_t shard =
                hash_murmur2(slice_str(cc->conversation_id[0] ? cc->conversation_id : cc->user)) %
                app->shard_count;
        cc->gw = app->gateways[shard];
        trace_copy(http_header(rq, "traceparent"), cc->trace);
        rest_ask(&cc->rest, shard_mailbox(app->shards[shard]), start, REST_WAIT_MS, rq);
}

/* ---- who asks ---- */

static bool identify(struct app *app, struct http_request *rq, struct identity *ret)
{
        if (auth_off(app->auth)) {
                struct slice user = SLICE_NONE;
                http_query_get(rq, "user", &user);
                auth_guest(app->auth, user, ret);
                return true;
        }
        enum auth_failure why;
        if (auth_verify(app->auth, auth_bearer(http_header(rq, "Authorization")), clock_wall_ms(),
                    ret, &why) == 0) {
                bool is_void =
                        revocations_void(app->revocations, slice_str(ret->sub), ret->issued_ms);
                if (!ret->stream_only && !is_void)
                        return true;
                why = is_void ? AUTH_REVOKED : AUTH_AUDIENCE;
                identity_done(ret);
        }
        metrics_add(app->metrics, M_auth_failures, (unsigned)why, 1);
        http_reply_error(rq, 401, "forbidden", auth_failure_text(why));
        return false;
}

static void refuse(struct http_request *rq, enum error_code code, const char *message)
{
        http_reply_error(rq, error_code_http(code), error_code_name(code), message);
}

/* The path's conversation id; false after the refusal. */
static bool conversation_of(struct http_request *rq, struct slice *ret)
{
        *ret = http_param(rq, "id");
        if (event_conversation_id_valid(*ret))
                return true;
        refuse(rq, ERR_INVALID, "the conversation id has to be 1 to 128 of [A-Za-z0-9._~-]");
        return false;
}

static bool query_int(struct http_request *rq, const char *name, int64_t *ret)
{
        struct slice text;
        if (!http_query_get(rq, name, &text))
                return true;
        uint64_t v;
        if (slice_to_u64(text, 9007199254740991ULL, &v)) {
                *ret = (int64_t)v;
                return true;
        }
        char message[96];
        snprintf(message, sizeof(message), "%s is not an integer from 0 to 9007199254740991", name);
        refuse(rq, ERR_INVALID, message);
        return false;
}

/* A JSON object as body; false after the refusal. */
static bool body_object(struct http_request *rq, struct slice *ret)
{
        if (!http_body_or_reply(rq, BODY_MAX_BYTES, ret))
                return false;
        if (event_json_valid(*ret, 32) && json_is_object(json_first(*ret)))
                return true;
        refuse(rq, ERR_INVALID, "the body is not a JSON object");
        return false;
}

/* ---- handlers ---- */

/* The ends of the partitions of chat.events as {1,2,…}; NULL while Kafka does not say: then nothing
 * new can have come either. */
static char *ends_now(struct app *app)
{
        uint16_t count = feed_partitions(app->feed, TOPIC_EVENTS);
        int64_t *ends = xcalloc(count, sizeof(*ends));
        struct buf text = BUF_EMPTY;
        if (bus_highs(app->bus, "chat.events", count, ENDS_MS, ends) == 0) {
                for (uint16_t i = 0; i < count; i++)
                        buf_printf(&text, "%s%lld", i ? "," : "{", (long long)ends[i]);
                buf_add_char(&text, '}');
        }
        free(ends);
        return text.n ? buf_take(&text, NULL) : NULL;
}

static void get_conversations(void *arg, struct http_request *rq)
{
        struct app *app = arg;
        struct identity id;
        if (!identify(app, rq, &id))
                return;
        struct slice after = SLICE_NONE;
        if (http_query_get(rq, "after", &after) && !event_conversation_id_valid(after)) {
                refuse(rq, ERR_INVALID, "after is no conversation id");
        } else {
                struct chat_call *cc = chat_call_new(op_conversation_list, &id, SLICE_NONE);
                cc->after_id = slice_dup(after);
                cc->ends = ends_now(app);
                run_and_reply(app, rq, cc);
        }
        identity_done(&id);
}

static bool fill_creation(struct http_request *rq, struct slice body, struct chat_call *cc)
{
        struct slice raw;
        cc->title = arg_field_text(body, "title");
        if (arg_field(body, "title", &raw) && (!cc->title || strlen(cc->title) > 512)) {
                refuse(rq, ERR_INVALID, "title is not a string of at most 512 bytes");
                return false;
        }
        if (arg_field(body, "open", &raw) && !arg_bool(raw, &cc->flag)) {
                refuse(rq, ERR_INVALID, "open is not true or false");
                return false;
        }
        if (arg_field(body, "members", &raw)) {
                if (raw.p[0] != '[') {
                        refuse(rq, ERR_INVALID, "members is not an array of user ids");
                        return false;
                }
                cc->members_json = slice_dup(raw);
        }
        return true;
}

static void post_conversation(void *arg, struct http_request *rq)
{
        struct app *app = arg;
        struct identity id;
        struct slice body, raw;
        if (!identify(app, rq, &id))
                return;
        if (!body_object(rq, &body)) {
                identity_done(&id);
                return;
        }
        char drawn[UUID_TEXT];
        uuid_v7(clock_wall_ms(), drawn);
        char *given = arg_field_text(body, "id");
        bool valid = given ? event_conversation_id_valid(slice_str(given))
                           : !arg_field(body, "id", &raw);
        if (!valid) {
                refuse(rq, ERR_INVALID, "id has to be 1 to 128 of [A-Za-z0-9._~-]");
        } else {
                struct chat_call *cc = chat_call_new(
                        op_conversation_create, &id, slice_str(given ? given : drawn));
                if (fill_creation(rq, body, cc)) {
                        run_and_reply(app, rq, cc);
                } else {
                        rest_discard(&cc->rest);
                }
        }
        free(given);
        identity_done(&id);
}

static void get_messages(void *arg, struct http_request *rq)
{
        struct app *app = arg;
        struct identity id;
        struct slice conversation;
        if (!identify(app, rq, &id))
                return;
        int64_t before = -1, after = -1, limit = 50;
        if (conversation_of(rq, &conversation) && query_int(rq, "before", &before) &&
                query_int(rq, "after", &after) && query_int(rq, "limit", &limit)) {
                if (limit < 1 || limit > HISTORY_LIMIT_MAX) {
                        refuse(rq, ERR_INVALID, "limit has to be 1 to 200");
                } else {
                        struct chat_call *cc = chat_call_new(op_fetch, &id, conversation);
                        cc->before = before;
                        cc->after = after;
                        cc->limit = (uint32_t)limit;
                        run_and_reply(app, rq, cc);
                }
        }
        identity_done(&id);
}

static void get_members(void *arg, struct http_request *rq)
{
        struct app *app = arg;
        struct identity id;
        struct slice conversation;
        if (!identify(app, rq, &id))
                return;
        if (conversation_of(rq, &conversation))
                run_and_reply(app, rq, chat_call_new(op_member_list, &id, conversation));
        identity_done(&id);
}

static void post_member(void *arg, struct http_request *rq)
{
        struct app *app = arg;
        struct identity id;
        struct slice conversation, body;
        if (!identify(app, rq, &id))
                return;
        if (conversation_of(rq, &conversation) && body_object(rq, &body)) {
                char *user = arg_field_text(body, "userId");
                if (user && event_user_id_valid(slice_str(user))) {
                        struct chat_call *cc = chat_call_new(op_member_add, &id, conversation);
                        cc->target_user = xstrdup(user);
                        cc->role = xstrdup("member");
                        run_and_reply(app, rq, cc);
                } else {
                        refuse(rq, ERR_INVALID, "userId has to be 1 to 128 of [A-Za-z0-9._~@:|-]");
                }
                free(user);
        }
        identity_done(&id);
}

static void delete_member(void *arg, struct http_request *rq)
{
        struct app *app = arg;
        struct identity id;
        struct slice conversation;
        if (!identify(app, rq, &id))
                return;
        if (conversation_of(rq, &conversation)) {
                struct slice user = http_param(rq, "userId");
                if (event_user_id_valid(user)) {
                        struct chat_call *cc = chat_call_new(op_member_remove, &id, conversation);
                        cc->target_user = slice_dup(user);
                        run_and_reply(app, rq, cc);
                } else {
                        refuse(rq, ERR_INVALID, "userId has to be 1 to 128 of [A-Za-z0-9._~@:|-]");
                }
        }
        identity_done(&id);
}

void routes_add(struct app *app)
{
        struct http_server *srv = app->http;
        http_route(srv, "GET", "/conversations", get_conversations, app);
        http_route(srv, "POST", "/conversations", post_conversation, app);
        http_route(srv, "GET", "/conversations/:id/messages", get_messages, app);
        http_route(srv, "GET", "/conversations/:id/members", get_members, app);
        http_route(srv, "POST", "/conversations/:id/members", post_member, app);
        http_route(srv, "DELETE", "/conversations/:id/members/:userId", delete_member, app);
}
