#include "notification/publish.h"

#include "notification/gateway.h"

#include "base/clock.h"
#include "base/jsonscan.h"
#include "base/trace.h"
#include "proto/digest.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WAIT_MS 11000

struct publication;

struct one {
        struct bus_send send;
        struct publication *pub;
        char *user; /* owned; NULL for a broadcast */
        char id[256];
};

/* Shared by the worker and the delivery reports; the last one out frees it. */
struct publication {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        unsigned refs, waiting; /* under lock */
        enum bus_outcome worst; /* under lock */
        size_t count;
        struct one *ones; /* owned */
        struct buf data;  /* the members after the subject */
        char trace[TRACE_TEXT];
};

static void unref(struct publication *p)
{
        pthread_mutex_lock(&p->lock);
        unsigned left = --p->refs;
        pthread_mutex_unlock(&p->lock);
        if (left > 0)
                return;
        for (size_t i = 0; i < p->count; i++)
                free(p->ones[i].user);
        free(p->ones);
        buf_done(&p->data);
        pthread_mutex_destroy(&p->lock);
        pthread_cond_destroy(&p->changed);
        free(p);
}

static void reported(struct bus_send *send)
{
        struct one *o = container_of(send, struct one, send);
        struct publication *p = o->pub;
        pthread_mutex_lock(&p->lock);
        p->waiting--;
        if (send->outcome > p->worst)
                p->worst = send->outcome;
        pthread_cond_signal(&p->changed);
        pthread_mutex_unlock(&p->lock);
        unref(p);
}

static struct publication *publication_new(size_t count)
{
        struct publication *p = xcalloc(1, sizeof(*p));
        pthread_mutex_init(&p->lock, NULL);
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&p->changed, &attr);
        pthread_condattr_destroy(&attr);
        p->refs = 1;
        p->count = count;
        p->ones = xcalloc(count, sizeof(*p->ones));
        return p;
}

static void refuse(struct http_request *rq, enum error_code code, const char *message)
{
        http_reply_error(rq, error_code_http(code), error_code_name(code), message);
}

/* ---- whom, and under which id ---- */

static char *text_member(struct slice body, const char *name)
{
        struct slice v;
        struct buf text = BUF_EMPTY;
        if (!json_member(body, name, &v) || !json_decode_string(v, &text))
                return NULL;
        return buf_take(&text, NULL);
}

/* With an id of the caller's, each of several users gets one of his own, always the same. */
static void draw_id(const char *given, const char *user, bool several, char ret[256])
{
        if (!given) {
                uuid_v7(clock_wall_ms(), ret);
        } else if (!several) {
                snprintf(ret, 256, "%s", given);
        } else {
                struct buf b = BUF_EMPTY;
                buf_printf(&b, "%zu:%s%s", strlen(given), given, user);
                uint8_t digest[32];
                digest_sha256(buf_slice(&b), digest);
                uuid_from_digest(digest, ret);
                buf_done(&b);
        }
}

static struct publication *for_users(
        struct app *app, struct http_request *rq, struct slice list, const char *given)
{
        struct slice rest = list, v;
        size_t n = 0;
        while (json_next(&rest, &v))
                n++;
        if (n == 0 || n > app->settings.users_max) {
                char message[128];
                snprintf(message, sizeof(message),
                        "userIds has %zu entries, it has to have 1 to %u (TERN_PUBLISH_USERS_MAX)",
                        n, app->settings.users_max);
                refuse(rq, ERR_INVALID, message);
                return NULL;
        }
        struct publication *p = publication_new(n);
        rest = list;
        for (size_t i = 0; json_next(&rest, &v); i++) {
                struct buf user = BUF_EMPTY;
                bool ok = json_decode_string(v, &user) && event_user_id_valid(buf_slice(&user));
                p->ones[i].user = ok ? buf_take(&user, NULL) : NULL;
                buf_done(&user);
                if (!ok) {
                        refuse(rq, ERR_INVALID, "userIds has an entry that is no user id");
                        unref(p);
                        return NULL;
                }
                draw_id(given, p->ones[i].user, true, p->ones[i].id);
        }
        return p;
}

static struct publication *for_one(struct http_request *rq, char *user, const char *given)
{
        if (!event_user_id_valid(slice_str(user))) {
                refuse(rq, ERR_INVALID, "userId has to be 1 to 128 of [A-Za-z0-9._~@:|-]");
                free(user);
                return NULL;
        }
        struct publication *p = publication_new(1);
        p->ones[0].user = user;
        draw_id(given, user, false, p->ones[0].id);
        return p;
}

static struct publication *for_topic(const char *given)
{
        struct publication *p = publication_new(1);
        draw_id(given, NULL, false, p->ones[0].id);
        return p;
}

/* ---- the records ---- */

static void copy_member(struct buf *out, struct slice body, const char *name)
{
        struct slice v;
        if (!json_member(body, name, &v))
                return;
        buf_printf(out, ",\"%s\":", name);
        json_compact(v, out);
}

static bool valid(struct http_request *rq, const char *topic, enum event_type type,
        const struct one *o, struct slice value)
{
        struct event e;
        struct event_error err;
        if (event_parse(slice_str(topic), slice_str(event_type_name(type)), slice_str(o->id),
                    SLICE_NONE, value, &e, &err) == 0) {
                event_done(&e);
                return true;
        }
        refuse(rq, ERR_INVALID, err.message);
        return false;
}

static int produce_one(struct app *app, struct publication *p, struct one *o, const char *audience)
{
        struct buf value = BUF_EMPTY;
        buf_printf(&value, "{\"%s\":\"%s\"", o->user ? "userId" : "audience",
                o->user ? o->user : audience);
        buf_add_slice(&value, buf_slice(&p->data));
        buf_add_char(&value, '}');
        o->pub = p;
        o->send = (struct bus_send){.reply = NULL, .done = reported};
        pthread_mutex_lock(&p->lock);
        p->refs++;
        p->waiting++;
        pthread_mutex_unlock(&p->lock);
        int r = o->user ? gateway_produce(app, "notifications", EVENT_NOTIFICATION_CREATED,
                                  slice_str(o->id), slice_str(o->user), buf_slice(&value),
                                  slice_str(p->trace), &o->send)
                        : gateway_produce(app, "broadcasts", EVENT_BROADCAST, slice_str(o->id),
                                  slice_str(audience), buf_slice(&value), slice_str(p->trace),
                                  &o->send);
        buf_done(&value);
        if (r < 0) {
                o->send.outcome = BUS_BUSY;
                reported(&o->send);
        }
        return r;
}

static bool wait_for_reports(struct publication *p)
{
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += WAIT_MS / 1000;
        pthread_mutex_lock(&p->lock);
        int r = 0;
        while (p->waiting > 0 && r == 0)
                r = pthread_cond_timedwait(&p->changed, &p->lock, &until);
        bool all = p->waiting == 0;
        pthread_mutex_unlock(&p->lock);
        return all;
}

static void reply(struct http_request *rq, const struct publication *p)
{
        struct buf json = BUF_EMPTY;
        buf_add_str(&json, "{\"id\":");
        buf_add_json_str(&json, slice_str(p->ones[0].id));
        buf_add_str(&json, ",\"ids\":[");
        for (size_t i = 0; i < p->count; i++) {
                if (i)
                        buf_add_char(&json, ',');
                buf_add_json_str(&json, slice_str(p->ones[i].id));
        }
        buf_add_str(&json, "]}");
        http_reply_json(rq, 201, buf_slice(&json));
        buf_done(&json);
}

static void send_all(struct app *app, struct http_request *rq, struct publication *p,
        struct slice body, const char *audience)
{
        trace_copy(http_header(rq, "traceparent"), p->trace);
        copy_member(&p->data, body, "type");
        copy_member(&p->data, body, "title");
        copy_member(&p->data, body, "body");
        copy_member(&p->data, body, "data");
        struct buf first = BUF_EMPTY;
        buf_printf(&first, "{\"%s\":\"%s\"", audience ? "audience" : "userId",
                audience ? audience : p->ones[0].user);
        buf_add_slice(&first, buf_slice(&p->data));
        buf_add_char(&first, '}');
        bool ok = valid(rq, audience ? "broadcasts" : "notifications",
                audience ? EVENT_BROADCAST : EVENT_NOTIFICATION_CREATED, &p->ones[0],
                buf_slice(&first));
        buf_done(&first);
        if (!ok)
                return;
        for (size_t i = 0; i < p->count; i++)
                if (produce_one(app, p, &p->ones[i], audience) < 0)
                        break;
        if (!wait_for_reports(p) || p->worst == BUS_UNKNOWN)
                refuse(rq, ERR_UNKNOWN,
                        "it is not known whether Kafka persisted it, try again with the same id");
        else if (p->worst == BUS_BUSY)
                refuse(rq, ERR_BUSY, "the queue to Kafka is full, try again with the same id");
        else if (p->worst == BUS_FAILED)
                refuse(rq, ERR_FAILED, "Kafka did not persist it, try again with the same id");
        else
                reply(rq, p);
}

void publish(struct app *app, struct http_request *rq, struct slice body)
{
        struct slice list;
        char *user = text_member(body, "userId"), *topic = text_member(body, "topic"),
             *given = text_member(body, "id");
        bool many = json_member(body, "userIds", &list) && json_is_array(list);
        char audience[192];
        struct publication *p = NULL;
        struct slice raw;
        if ((user != NULL) + (topic != NULL) + many != 1)
                refuse(rq, ERR_INVALID, "exactly one of userId, userIds and topic has to be given");
        else if (json_member(body, "id", &raw) && (!given || !given[0] || strlen(given) > 255))
                refuse(rq, ERR_INVALID, "id has to be a string of 1 to 255 bytes");
        else if (many)
                p = for_users(app, rq, list, given);
        else if (user) {
                p = for_one(rq, user, given);
                user = NULL;
        } else if (!event_conversation_id_valid(slice_str(topic)))
                refuse(rq, ERR_INVALID, "topic has to be 1 to 128 of [A-Za-z0-9._~-]");
        else
                p = for_topic(given);
        if (p) {
                snprintf(audience, sizeof(audience),
                        topic && strcmp(topic, "all") == 0 ? "%s" : "topic:%s", topic ? topic : "");
                send_all(app, rq, p, body, topic ? audience : NULL);
                unref(p);
        }
        free(user);
        free(topic);
        free(given);
}
