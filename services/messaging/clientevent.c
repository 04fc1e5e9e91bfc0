#include "messaging/clientevent.h"

#include "messaging/args.h"

#include "base/clock.h"

#include <stdlib.h>

/* Rooms of the socket that a record names: a backend that needs more knows them itself. */
#define ROOMS_NAMED_MAX 100

bool clientevent_allowed(const char *list, struct slice name)
{
        struct slice rest = slice_str(list), item;
        while (config_list_next(&rest, &item)) {
                if (item.p[item.n - 1] == '*') {
                        struct slice head = slice_of(item.p, item.n - 1);
                        if (name.n >= head.n && slice_eq(slice_of(name.p, head.n), head))
                                return true;
                } else if (slice_eq(item, name)) {
                        return true;
                }
        }
        return false;
}

static void count(struct gateway *gw, const char *result)
{
        metrics_add(gw->app->metrics, M_client_events,
                (unsigned)metrics_label(M_client_events, result), 1);
}

/* ---- the record ---- */

static void rooms_json(const struct session *s, struct buf *out)
{
        unsigned named = 0;
        buf_add_char(out, '[');
        list_for_each(it, &s->sub.rooms)
        {
                struct slice key = subscription_key(list_entry(it, struct subscription, in_sub));
                if (slice_starts(key, "user:") || named == ROOMS_NAMED_MAX)
                        continue;
                if (named++)
                        buf_add_char(out, ',');
                buf_add_json_str(out, key);
        }
        buf_add_char(out, ']');
}

/* Text that the event borrows for as long as it is encoded. */
struct parts {
        char *name, *args, *nsp;
        struct buf rooms, attachments;
};

static void encode(const struct call *c, const struct sio_event *ev, struct buf *out)
{
        struct session *s = c->session;
        struct slice nsp = sio_nsp(session_socket(s));
        struct parts p = {.name = slice_dup(ev->name), .args = slice_dup(ev->args)};
        if (!slice_is(nsp, "/"))
                p.nsp = slice_dup(nsp);
        rooms_json(s, &p.rooms);
        struct event e = {.type = EVENT_CLIENT_EVENT,
                .user_id = c->user,
                .event_name = p.name,
                .args_json = p.args,
                .nsp = p.nsp,
                .sid = s->sid,
                .rooms_json = (char *)(uintptr_t)buf_cstr(&p.rooms)};
        if (ev->ack_id >= 0)
                e.ack_token = (char *)(uintptr_t)c->message_id;
        if (ev->attachment_count) {
                event_attachments_json(ev->attachments, ev->attachment_count, &p.attachments);
                e.attachments_json = (char *)(uintptr_t)buf_cstr(&p.attachments);
        }
        event_encode(&e, out);
        free(p.name);
        free(p.args);
        free(p.nsp);
        buf_done(&p.rooms);
        buf_done(&p.attachments);
}

/* As compact as the log wants it, once the validator has seen it. False after an answer. */
static bool make_data(struct call *c, const struct sio_event *ev)
{
        struct buf *data = &c->ask.data;
        struct event e;
        struct event_error err;
        /* A NUL in the name would end it where the client did not. */
        if (ev->name.n == 0 || memchr(ev->name.p, '\0', ev->name.n)) {
                call_fail(c, ERR_INVALID, "the event's name is empty or has a NUL");
                return false;
        }
        encode(c, ev, data);
        if (event_parse(SLICE_LIT("client.events"), SLICE_LIT("tern.client.event"),
                    slice_str(c->message_id), slice_str(c->user), buf_slice(data), &e, &err) < 0) {
                call_fail_event(c, &err);
                return false;
        }
        buf_reset(data);
        event_encode(&e, data);
        event_done(&e);
        return true;
}

/* ---- the call ---- */

static void wait_for_answer(struct call *c)
{
        struct gateway *gw = c->gw;
        c->asked = true;
        c->deadline_ms = gateway_now(gw) + gw->app->settings.client_events_answer_ms;
        list_remove(&c->in_gateway);
        list_push_back(&gw->asks, &c->in_gateway);
        map_put(&gw->asks_by_token, slice_str(c->message_id), c);
        metrics_add(gw->app->metrics, M_client_waiting, 0, 1);
        metrics_add(gw->app->metrics, M_entries_used, ENTRIES_CLIENT_EVENTS, 1);
}

static void passed_on(struct call *c, enum bus_outcome outcome)
{
        count(c->gw, outcome == BUS_OK ? "passed" : "failed");
        if (outcome != BUS_OK)
                call_fail_outcome(c, outcome);
        else if (!c->asked)
                call_ok(c, SLICE_NONE);
}

void clientevent_pass_on(struct session *s, const struct sio_event *ev)
{
        struct gateway *gw = s->gw;
        size_t bytes = ev->args.n;
        for (size_t i = 0; i < ev->attachment_count; i++)
                bytes += ev->attachments[i].n;
        struct call *c = call_new(gw, s, session_user(s), SLICE_NONE, ev->ack_id);
        call_trace(c, arg_first(ev->args));
        call_charge(c, bytes);
        call_ref(c);
        /* Both the record's id and the token. */
        uuid_v7(clock_wall_ms(), c->message_id);
        if (ev->ack_id >= 0 &&
                gw->asks_by_token.count >= gw->app->settings.client_events_waiting_max) {
                count(gw, "busy");
                call_fail(c, ERR_BUSY,
                        "too many events wait for a backend's answer "
                        "(TERN_CLIENT_EVENTS_WAITING_MAX)");
        } else if (!make_data(c, ev)) {
                count(gw, "invalid");
        } else {
                /* A backend may be quicker than Kafka's report. */
                if (ev->ack_id >= 0)
                        wait_for_answer(c);
                if (!call_produce(c, "client.events", EVENT_CLIENT_EVENT, slice_str(c->message_id),
                            slice_str(c->user), passed_on))
                        count(gw, "busy");
        }
        call_unref(c);
}

/* ---- the answer ---- */

void clientevent_answer(struct gateway *gw, const struct event *e, struct slice key)
{
        struct call *c = map_get(&gw->asks_by_token, slice_str(e->ack_token));
        if (!c || !slice_starts(key, "user:") || !slice_is(slice_from(key, 5), c->user))
                return;
        struct buf bytes = BUF_EMPTY;
        struct slice attachments[EVENT_ATTACHMENTS_MAX];
        size_t n = e->attachments_json ? event_attachments(e, &bytes, attachments) : 0;
        metrics_add(gw->app->metrics, M_client_answers, 0, 1);
        call_answer(c, slice_str(e->args_json ? e->args_json : ""), attachments, n);
        buf_done(&bytes);
}
