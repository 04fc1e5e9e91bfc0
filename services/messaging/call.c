#include "messaging/call.h"

#include "messaging/args.h"

#include "base/clock.h"
#include "http/rest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Longer than the producer's delivery timeout, so that the report comes first in all but the worst case. */
#define CALL_DEADLINE_MS 10500

struct call *call_new(struct gateway *gw, struct session *s, struct slice user,
        struct slice conversation_id, int64_t ack_id)
{
        struct call *c = xcalloc(1, sizeof(*c));
        c->refs = 1;
        c->gw = gw;
        c->session = s;
        c->ack_id = ack_id;
        c->user = slice_dup(user);
        c->conversation_id = slice_dup(conversation_id);
        c->deadline_ms = gateway_now(gw) + CALL_DEADLINE_MS;
        c->ask.before = c->ask.after = c->ask.seq = c->ask.sent_at_ms = -1;
        list_init(&c->wait.link);
        list_init(&c->record_wait.link);
        list_push_back(&gw->calls, &c->in_gateway);
        list_init(&c->in_session);
        if (s) {
                list_push_back(&s->calls, &c->in_session);
                s->call_count++;
                c->admin = s->admin;
        }
        return c;
}

struct call *call_ref(struct call *c)
{
        c->refs++;
        return c;
}

static void call_free(struct call *c)
{
        CHECK(c->phase == CALL_ANSWERED);
        free(c->user);
        free(c->conversation_id);
        free(c->ask.client_id);
        free(c->ask.target_user);
        free(c->ask.title);
        free(c->ask.role);
        free(c->ask.members_json);
        free(c->ask.after_id);
        free(c->ask.ends);
        buf_done(&c->ask.data);
        free(c);
}

void call_unref(struct call *c)
{
        CHECK(c->refs > 0);
        if (--c->refs == 0)
                call_free(c);
}

/* Whatever the call still waits for is forgotten, but a delivery report, which holds a reference. */
static void stop_waiting(struct call *c)
{
        room_ask_cancel(&c->room_ask);
        fanout_wait_cancel(&c->wait);
        session_wait_cancel(&c->record_wait);
        if (c->query)
                feed_query_cancel(c->query);
        c->query = NULL;
        free(c->query_arg);
        c->query_arg = NULL;
        if (c->barrier)
                feed_barrier_cancel(c->barrier);
        c->barrier = NULL;
        /* A join that was not answered must not leave a held room behind. */
        if (c->joining && c->session) {
                subscriber_leave(c->gw->fanout, c->joining);
                c->session->room_count--;
                room_unfollowed(c->gw, slice_str(c->conversation_id));
        }
        c->joining = NULL;
}

void call_charge(struct call *c, size_t bytes)
{
        c->charged = bytes;
        if (c->session)
                c->session->pending_bytes += bytes;
}

static void stop_asking(struct call *c)
{
        if (!c->asked)
                return;
        c->asked = false;
        map_remove(&c->gw->asks_by_token, slice_str(c->message_id));
        metrics_add(c->gw->app->metrics, M_client_waiting, 0, -1);
        metrics_add(c->gw->app->metrics, M_entries_used, ENTRIES_CLIENT_EVENTS, -1);
}

static void call_uncharge(struct call *c)
{
        if (c->session)
                c->session->pending_bytes -= c->charged;
        c->charged = 0;
}

static void call_close(struct call *c)
{
        c->phase = CALL_ANSWERED;
        stop_waiting(c);
        stop_asking(c);
        call_uncharge(c);
        list_remove(&c->in_gateway);
        list_remove(&c->in_session);
        if (c->session)
                c->session->call_count--;
        call_leave_lane(c);
        c->session = NULL;
        call_unref(c);
}

static void answer(struct call *c, int status, struct buf *json)
{
        if (c->rest) {
                rest_answer(c->rest, status, buf_slice(json));
                c->rest = NULL;
        } else if (c->session && c->ack_id >= 0 && sio_connected(session_socket(c->session))) {
                sio_ack(session_socket(c->session), c->ack_id, buf_slice(json));
        }
        call_close(c);
}

void call_ok(struct call *c, struct slice fields)
{
        if (c->phase != CALL_OPEN)
                return;
        struct buf json = BUF_EMPTY;
        /* REST says ok by its status. */
        buf_add_str(&json, c->rest ? "{" : "{\"ok\":true");
        if (fields.n && !c->rest)
                buf_add_char(&json, ',');
        buf_add_slice(&json, fields);
        buf_add_char(&json, '}');
        answer(c, c->ok_status ? c->ok_status : 200, &json);
        buf_done(&json);
}

void call_answer(struct call *c, struct slice args, const struct slice *attachments, size_t count)
{
        if (c->phase != CALL_OPEN)
                return;
        if (c->session && c->ack_id >= 0)
                sio_ack_binary(session_socket(c->session), c->ack_id, args, attachments, count);
        call_close(c);
}

void call_fail(struct call *c, enum error_code code, const char *fmt, ...)
{
        if (c->phase != CALL_OPEN)
                return;
        char message[256];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(message, sizeof(message), fmt, ap);
        va_end(ap);
        struct buf json = BUF_EMPTY;
        buf_add_str(&json, c->rest ? "{" : "{\"ok\":false,");
        buf_printf(&json, "\"error\":{\"code\":\"%s\",\"message\":", error_code_name(code));
        buf_add_json_str(&json, slice_str(message));
        buf_add_str(&json, "}}");
        answer(c, error_code_http(code), &json);
        buf_done(&json);
}

void call_fail_event(struct call *c, const struct event_error *err)
{
        call_fail(c, ERR_INVALID, "%s", err->message);
}

void call_fail_outcome(struct call *c, enum bus_outcome outcome)
{
        switch (outcome) {
        case BUS_OK:
                break;
        case BUS_BUSY:
                call_fail(c, ERR_BUSY, "the queue to Kafka is full, try again");
                break;
        case BUS_FAILED:
                call_fail(c, ERR_FAILED, "Kafka did not persist it, try again");
                break;
        case BUS_UNKNOWN:
                call_fail(c, ERR_UNKNOWN,
                        "it is not known whether Kafka persisted it, try again with the same "
                        "clientId");
                break;
        }
}

/* ---- rights ---- */

struct subscription *call_subscription(const struct call *c)
{
        if (!c->session)
                return NULL;
        const struct subscriber *sub = &c->session->sub;
        struct subscription *sn = subscriber_find(sub, TOPIC_EVENTS, slice_str(c->conversation_id));
        /* Who lags behind has not met the latest changes of his rights yet. */
        return sn && !sn->muted && sub->state == SUB_LIVE ? sn : NULL;
}

void call_refuse_room(struct call *c, enum room_answer answer)
{
        switch (answer) {
        case ROOM_MEMBER:
                break;
        case ROOM_NOT_MEMBER:
                call_fail(c, ERR_FORBIDDEN, "%s is not a member of conversation %s", c->user,
                        c->conversation_id);
                break;
        case ROOM_ABSENT:
                call_fail(c, ERR_NOT_FOUND, "there is no conversation %s", c->conversation_id);
                break;
        case ROOM_UNKNOWN:
                call_fail(c, ERR_UNAVAILABLE,
                        "the membership of conversation %s cannot be read now", c->conversation_id);
                break;
        }
}

static void authorized(struct room_ask *a, enum room_answer answer)
{
        struct call *c = container_of(a, struct call, room_ask);
        if (answer == ROOM_MEMBER || (c->admin && answer == ROOM_NOT_MEMBER))
                c->next(c);
        else
                call_refuse_room(c, answer);
}

void call_authorize(struct call *c, void (*next)(struct call *c))
{
        c->next = next;
        if (call_subscription(c))
                next(c);
        else
                room_ask(c->gw, slice_str(c->conversation_id), c->user, &c->room_ask, authorized);
}

void calls_orphan(struct session *s)
{
        struct list *it;
        while ((it = list_take(&s->calls))) {
                struct call *c = list_entry(it, struct call, in_session);
                c->session = NULL;
                c->joining = NULL;
                c->lane = NULL;
                c->charged = 0;
        }
        s->call_count = 0;
}

static void call_expire(struct call *c)
{
        if (c->waiting) {
                call_fail(c, ERR_UNKNOWN,
                        "no answer from Kafka in time, try again with the same clientId");
        } else if (c->asked) {
                metrics_add(c->gw->app->metrics, M_client_answers, 1, 1);
                call_fail(c, ERR_NO_ANSWER,
                        "no backend answered in time; the event may have been handled");
        } else {
                call_fail(c, ERR_UNAVAILABLE, "what is needed to answer did not come in time");
        }
}

static void expire_oldest(struct list *calls, int64_t now_ms)
{
        struct list *it;
        while ((it = list_first(calls))) {
                struct call *c = list_entry(it, struct call, in_gateway);
                if (c->deadline_ms > now_ms)
                        return;
                call_expire(c);
        }
}

void calls_expire(struct gateway *gw, int64_t now_ms)
{
        expire_oldest(&gw->calls, now_ms);
        expire_oldest(&gw->asks, now_ms);
}

/* ---- producing ---- */

static void reported(struct bus_send *send)
{
        struct call *c = container_of(send, struct call, send);
        c->waiting = false;
        if (c->phase == CALL_OPEN)
                c->produced(c, send->outcome);
        call_unref(c);
}

enum { HEADERS = 6 };

static void produce_headers(struct bus_header h[HEADERS], enum event_type type, struct slice id,
        struct slice source, char iso[CLOCK_ISO_TEXT])
{
        clock_iso(clock_wall_ms(), iso);
        h[0] = (struct bus_header){SLICE_LIT("ce_specversion"), SLICE_LIT("1.0")};
        h[1] = (struct bus_header){SLICE_LIT("ce_id"), id};
        h[2] = (struct bus_header){SLICE_LIT("ce_type"), slice_str(event_type_name(type))};
        h[3] = (struct bus_header){SLICE_LIT("ce_source"), source};
        h[4] = (struct bus_header){SLICE_LIT("ce_time"), slice_str(iso)};
        h[5] = (struct bus_header){SLICE_LIT("content-type"), SLICE_LIT("application/json")};
}

static int produce(struct gateway *gw, const char *topic, enum event_type type, struct slice id,
        struct slice key, struct slice value, struct bus_send *send, struct slice trace)
{
        if (atomic_load(&gw->app->bus_closing))
                return -ENOBUFS;
        struct bus_header headers[HEADERS + 1];
        char iso[CLOCK_ISO_TEXT];
        produce_headers(headers, type, id, slice_str(gw->app->source), iso);
        headers[HEADERS] = (struct bus_header){SLICE_LIT("traceparent"), trace};
        if (trace.n)
                log_debug(gw->app->log, "produced", F_STR("topic", topic), F_SLICE("id", id),
                        F_SLICE("trace_id", trace_id(trace)));
        struct bus_record r = {
                .topic = slice_str(topic),
                .partition = -1,
                .key = key,
                .value = value,
                .headers = headers,
                .header_count = HEADERS + (trace.n > 0),
        };
        if (type == EVENT_TYPING) {
                bus_produce_volatile(gw->app->bus, &r);
                return 0;
        }
        return bus_produce(gw->app->bus, &r, send);
}

int gateway_produce(struct gateway *gw, const char *topic, enum event_type type, struct slice id,
        struct slice key, struct slice value, struct bus_send *send)
{
        return produce(gw, topic, type, id, key, value, send, SLICE_NONE);
}

void call_trace(struct call *c, struct slice arg)
{
        char *own = arg_field_text(arg, "traceparent");
        if (own)
                trace_copy(slice_str(own), c->trace);
        free(own);
        if (!c->trace[0] && c->session && c->session->trace)
                trace_copy(slice_str(c->session->trace), c->trace);
}

int call_produce_beside(struct call *c, const char *topic, enum event_type type, struct slice id,
        struct slice key, struct slice value, struct bus_send *send)
{
        return produce(c->gw, topic, type, id, key, value, send, slice_str(c->trace));
}

bool call_produce(struct call *c, const char *topic, enum event_type type, struct slice id,
        struct slice key, void (*produced)(struct call *c, enum bus_outcome outcome))
{
        c->send = (struct bus_send){.reply = shard_mailbox(c->gw->shard), .done = reported};
        c->produced = produced;
        c->waiting = true;
        call_ref(c);
        int r = call_produce_beside(c, topic, type, id, key, buf_slice(&c->ask.data), &c->send);
        if (r == 0) {
                /* Kafka's client has a copy now. */
                buf_done(&c->ask.data);
                call_uncharge(c);
                return true;
        }
        c->waiting = false;
        if (r == -EMSGSIZE)
                call_fail(c, ERR_INVALID, "the record is larger than Kafka takes");
        else
                call_fail_outcome(c, BUS_BUSY);
        call_unref(c);
        return false;
}
