/*
 * What clients emit: the table of events, their arguments, and the lane that keeps one socket's events
 * to one conversation in order.
 */
#include "messaging/args.h"
#include "messaging/call.h"

#include <stdio.h>
#include <stdlib.h>

#define DEFERRED_MAX 256
#define FETCH_LIMIT_DEFAULT 50
#define FETCH_LIMIT_MAX 200

typedef bool (*parse_fn)(struct call *c, struct slice arg);

struct client_event {
        const char *name;
        void (*operation)(struct call *c);
        parse_fn parse;
};

/* An event that waits for its lane; owns a copy of its bytes. */
struct deferred_event {
        struct list link;
        const struct client_event *type;
        char *conversation_id;
        struct slice arg;
        int64_t ack_id;
        char bytes[];
};

/* ---- arguments: each fills c->ask, or answers and returns false ---- */

static bool need_int(struct call *c, struct slice arg, const char *name, int64_t *ret)
{
        struct slice raw;
        if (!arg_field(arg, name, &raw))
                return true;
        if (arg_int(raw, ret))
                return true;
        call_fail(c, ERR_INVALID, "%s is not an integer from 0 to 9007199254740991", name);
        return false;
}

static bool parse_join(struct call *c, struct slice arg)
{
        return need_int(c, arg, "after", &c->ask.after);
}

static bool parse_leave(struct call *c, struct slice arg)
{
        UNUSED(c);
        UNUSED(arg);
        return true;
}

static void copy_field(struct buf *out, struct slice arg, const char *name)
{
        struct slice raw;
        if (!arg_field(arg, name, &raw))
                return;
        buf_printf(out, ",\"%s\":", name);
        buf_add_slice(out, raw);
}

/* The record's data: the client's fields as they are; the validator judges them. */
static bool parse_send(struct call *c, struct slice arg)
{
        struct buf *out = &c->ask.data;
        buf_printf(
                out, "{\"conversationId\":\"%s\",\"senderId\":\"%s\"", c->conversation_id, c->user);
        copy_field(out, arg, "content");
        copy_field(out, arg, "contentType");
        copy_field(out, arg, "replyTo");
        copy_field(out, arg, "metadata");
        copy_field(out, arg, "clientId");
        buf_add_char(out, '}');
        c->ask.client_id = arg_field_text(arg, "clientId");
        return need_int(c, arg, "sentAt", &c->ask.sent_at_ms);
}

static bool parse_fetch(struct call *c, struct slice arg)
{
        int64_t limit = FETCH_LIMIT_DEFAULT;
        if (!need_int(c, arg, "before", &c->ask.before) ||
                !need_int(c, arg, "after", &c->ask.after) || !need_int(c, arg, "limit", &limit))
                return false;
        if (limit < 1 || limit > FETCH_LIMIT_MAX) {
                call_fail(c, ERR_INVALID, "limit is %lld, it has to be 1 to %d", (long long)limit,
                        FETCH_LIMIT_MAX);
                return false;
        }
        c->ask.limit = (uint32_t)limit;
        return true;
}

static bool parse_typing(struct call *c, struct slice arg)
{
        struct slice raw;
        if (arg_field(arg, "isTyping", &raw) && arg_bool(raw, &c->ask.flag))
                return true;
        call_fail(c, ERR_INVALID, "isTyping is not true or false");
        return false;
}

static bool parse_read(struct call *c, struct slice arg)
{
        struct slice raw;
        if (!arg_field(arg, "seq", &raw)) {
                call_fail(c, ERR_INVALID, "seq is missing");
                return false;
        }
        return need_int(c, arg, "seq", &c->ask.seq);
}

static const struct client_event client_events[] = {
#define CLIENT_EVENT(name, operation, args, text) {name, operation, parse_##args},
#include "messaging/events.def"
};

static const struct client_event *find_event(struct slice name)
{
        for (size_t i = 0; i < ARRAY_LEN(client_events); i++)
                if (slice_is(name, client_events[i].name))
                        return &client_events[i];
        return NULL;
}

/* ---- running ---- */

static void run(struct session *s, const struct client_event *type, struct slice conversation_id,
        struct slice arg, int64_t ack_id)
{
        struct call *c = call_new(s->gw, s, session_user(s), conversation_id, ack_id);
        call_ref(c);
        if (!event_conversation_id_valid(conversation_id))
                call_fail(c, ERR_INVALID,
                        conversation_id.n ? "conversationId has to be 1 to 128 of [A-Za-z0-9._~-]"
                                          : "conversationId is missing");
        else if (type->parse(c, arg))
                type->operation(c);
        call_unref(c);
}

static bool lane_taken(const struct session *s, struct slice conversation_id)
{
        list_for_each(it, &s->calls)
        {
                const struct call *c = list_entry(it, struct call, in_session);
                if (c->in_lane && slice_is(conversation_id, c->conversation_id))
                        return true;
        }
        list_for_each(it, &s->deferred)
        {
                const struct deferred_event *d = list_entry(it, struct deferred_event, link);
                if (slice_is(conversation_id, d->conversation_id))
                        return true;
        }
        return false;
}

static void fail_at_once(
        struct session *s, int64_t ack_id, enum error_code code, const char *message)
{
        struct call *c = call_new(s->gw, s, session_user(s), SLICE_NONE, ack_id);
        call_fail(c, code, "%s", message);
}

static void defer(struct session *s, const struct client_event *type, struct slice conversation_id,
        struct slice arg, int64_t ack_id)
{
        if (s->deferred_count >= DEFERRED_MAX) {
                fail_at_once(s, ack_id, ERR_BUSY,
                        "too many events of this socket wait for the same conversation");
                return;
        }
        struct deferred_event *d = xcalloc(1, sizeof(*d) + arg.n);
        memcpy(d->bytes, arg.p, arg.n);
        d->arg = slice_of(d->bytes, arg.n);
        d->type = type;
        d->conversation_id = slice_dup(conversation_id);
        d->ack_id = ack_id;
        list_push_back(&s->deferred, &d->link);
        s->deferred_count++;
}

static void deferred_free(struct session *s, struct deferred_event *d)
{
        list_remove(&d->link);
        s->deferred_count--;
        free(d->conversation_id);
        free(d);
}

static struct deferred_event *next_deferred(struct session *s)
{
        list_for_each(it, &s->deferred)
        {
                struct deferred_event *d = list_entry(it, struct deferred_event, link);
                bool taken = false;
                list_for_each(jt, &s->calls)
                {
                        const struct call *c = list_entry(jt, struct call, in_session);
                        if (c->in_lane && strcmp(c->conversation_id, d->conversation_id) == 0)
                                taken = true;
                }
                if (!taken)
                        return d;
        }
        return NULL;
}

void events_run_deferred(struct session *s)
{
        /* An event that runs may end at once and come back here: the outermost call does them all. */
        if (s->running_deferred)
                return;
        s->running_deferred = true;
        struct deferred_event *d;
        while (s->state == SESSION_LIVE && (d = next_deferred(s))) {
                list_remove(&d->link);
                run(s, d->type, slice_str(d->conversation_id), d->arg, d->ack_id);
                list_init(&d->link);
                deferred_free(s, d);
        }
        s->running_deferred = false;
}

void events_drop_deferred(struct session *s)
{
        while (!list_empty(&s->deferred))
                deferred_free(s, list_entry(list_first(&s->deferred), struct deferred_event, link));
}

/* A bucket of one second's events, refilled by time. */
static bool within_rate(struct session *s)
{
        uint32_t rate = s->gw->app->settings.events_per_second;
        if (rate == 0)
                return true;
        int64_t now = gateway_now(s->gw);
        if (now - s->tokens_ms >= 1000) {
                s->tokens_ms = now;
                s->tokens = rate;
        }
        if (s->tokens == 0)
                return false;
        s->tokens--;
        return true;
}

/* The conversation is the first argument itself, or its field conversationId. */
static char *conversation_of(struct slice arg)
{
        if (arg.n && arg.p[0] == '"')
                return arg_text(arg);
        return arg_field_text(arg, "conversationId");
}

void events_receive(void *app, struct sio_socket *so, const struct sio_event *ev)
{
        UNUSED(app);
        struct session *s = sio_user(so);
        if (s->state != SESSION_LIVE)
                return;
        const struct client_event *type = find_event(ev->name);
        if (!within_rate(s)) {
                fail_at_once(s, ev->ack_id, ERR_RATE_LIMITED,
                        "too many events a second (TERN_EVENTS_PER_SECOND)");
                return;
        }
        if (!type) {
                fail_at_once(s, ev->ack_id, ERR_INVALID, "no such event");
                return;
        }
        if (s->call_count >= s->gw->app->settings.calls_max) {
                fail_at_once(s, ev->ack_id, ERR_BUSY,
                        "too many events of this socket wait for their answer (TERN_CALLS_MAX)");
                return;
        }
        struct slice arg = arg_first(ev->args);
        char *id = conversation_of(arg);
        struct slice conversation_id = slice_str(id ? id : "");
        if (conversation_id.n && lane_taken(s, conversation_id))
                defer(s, type, conversation_id, arg, ev->ack_id);
        else
                run(s, type, conversation_id, arg, ev->ack_id);
        free(id);
}
