/*
 * What clients emit: the table of events, their arguments, and the lane that keeps one socket's events
 * to one conversation in order.
 */
#include "messaging/args.h"
#include "messaging/call.h"
#include "messaging/clientevent.h"
#include "messaging/limits.h"

#include <stdio.h>
#include <stdlib.h>

/* Arguments that one socket may leave waiting; a single one may be larger. */
#define PENDING_BYTES_MAX 1048576
#define FETCH_LIMIT_DEFAULT 50
#define FETCH_LIMIT_MAX 200
#define FORGIVE_MS 10000 /* so long without a refusal, and they are forgotten */

typedef bool (*parse_fn)(struct call *c, struct slice arg);

struct client_event {
        const char *name;
        void (*operation)(struct call *c);
        parse_fn parse;
        enum { EVERYWHERE, IN_ROOT } where;
};

/* An event that waits for its lane; owns a copy of its bytes. */
struct deferred_event {
        struct list link;
        const struct client_event *type;
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
        buf_add_str(out, ",\"");
        buf_add_str(out, name);
        buf_add_str(out, "\":");
        buf_add_slice(out, raw);
}

/* The record's data: the client's fields as they are; the validator judges them. */
static bool parse_send(struct call *c, struct slice arg)
{
        struct buf *out = &c->ask.data;
        buf_reserve(out, arg.n + 256);
        buf_add_str(out, "{\"conversationId\":\"");
        buf_add_str(out, c->conversation_id);
        buf_add_str(out, "\",\"senderId\":\"");
        buf_add_str(out, c->user);
        buf_add_char(out, '"');
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
#define CLIENT_EVENT(name, operation, args, where, text) {name, operation, parse_##args, where},
#include "messaging/events.def"
};

/* Other namespaces have rooms, but no chat. */
static const struct client_event *find_event(const struct session *s, struct slice name)
{
        for (size_t i = 0; i < ARRAY_LEN(client_events); i++)
                if (slice_is(name, client_events[i].name))
                        return session_nsp(s) == 0 || client_events[i].where == EVERYWHERE
                                       ? &client_events[i]
                                       : NULL;
        return NULL;
}

/* ---- lanes ---- */

/* The events of one socket that name one conversation: one has the lane, the others wait. */
struct lane {
        struct session *session;
        bool taken;
        bool running;         /* an outer call starts what waits */
        struct list deferred; /* struct deferred_event, in order */
        uint32_t id_n;
        char id[]; /* NUL-terminated; key in session.lanes */
};

static struct lane *lane_new(struct session *s, struct slice conversation_id)
{
        struct lane *l = xcalloc(1, sizeof(*l) + conversation_id.n + 1);
        l->session = s;
        list_init(&l->deferred);
        l->id_n = (uint32_t)conversation_id.n;
        memcpy(l->id, conversation_id.p, conversation_id.n);
        map_put(&s->lanes, slice_of(l->id, l->id_n), l);
        return l;
}

static void deferred_free(struct session *s, struct deferred_event *d)
{
        s->call_count--;
        s->pending_bytes -= d->arg.n;
        free(d);
}

static void lane_free(struct lane *l)
{
        struct list *it;
        while ((it = list_take(&l->deferred)))
                deferred_free(l->session, list_entry(it, struct deferred_event, link));
        map_remove(&l->session->lanes, slice_of(l->id, l->id_n));
        free(l);
}

static void run(struct session *s, struct lane *l, const struct client_event *type,
        struct slice arg, int64_t ack_id)
{
        struct call *c = call_new(s->gw, s, session_user(s), slice_of(l->id, l->id_n), ack_id);
        l->taken = true;
        c->lane = l;
        call_trace(c, arg);
        call_charge(c, arg.n);
        call_ref(c);
        if (type->parse(c, arg))
                type->operation(c);
        call_unref(c);
}

/* What waits is started, until one keeps the lane. An event may end at once and come back here: the
 * outermost call does them all. */
static void lane_go_on(struct lane *l)
{
        struct session *s = l->session;
        if (l->running)
                return;
        l->running = true;
        while (!l->taken && !list_empty(&l->deferred) && s->state == SESSION_LIVE) {
                struct list *it = list_take(&l->deferred);
                struct deferred_event *d = list_entry(it, struct deferred_event, link);
                run(s, l, d->type, d->arg, d->ack_id);
                deferred_free(s, d);
        }
        l->running = false;
        if (!l->taken)
                lane_free(l);
}

struct lane *call_keep_lane(struct call *c)
{
        struct lane *l = c->lane;
        c->lane = NULL;
        return l;
}

void lane_leave(struct lane *l)
{
        if (!l)
                return;
        l->taken = false;
        lane_go_on(l);
}

void call_leave_lane(struct call *c)
{
        lane_leave(call_keep_lane(c));
}

void events_drop_deferred(struct session *s)
{
        size_t it = 0;
        struct lane *l;
        while ((l = map_next(&s->lanes, &it)))
                lane_free(l);
        map_done(&s->lanes);
}

static void defer(struct lane *l, const struct client_event *type, struct slice arg, int64_t ack_id)
{
        struct deferred_event *d = xcalloc(1, sizeof(*d) + arg.n);
        memcpy(d->bytes, arg.p, arg.n);
        d->arg = slice_of(d->bytes, arg.n);
        d->type = type;
        d->ack_id = ack_id;
        list_push_back(&l->deferred, &d->link);
        l->session->call_count++;
        l->session->pending_bytes += arg.n;
}

/* ---- what comes in ---- */

/* Label values of the metric of events in: the rows of events.def, then these. */
enum { IN_PASSED_ON = ARRAY_LEN(client_events), IN_UNKNOWN };

static void count_in(struct app *app, const struct client_event *type, bool passed_on)
{
        unsigned label = type        ? (unsigned)(type - client_events)
                         : passed_on ? IN_PASSED_ON
                                     : IN_UNKNOWN;
        metrics_add(app->metrics, M_events_in, label, 1);
}

static void fail_at_once(
        struct session *s, int64_t ack_id, enum error_code code, const char *message)
{
        struct call *c = call_new(s->gw, s, session_user(s), SLICE_NONE, ack_id);
        call_fail(c, code, "%s", message);
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

/* An error first, the end of the connection only for who goes on all the same. */
static bool over_a_limit(struct session *s, const struct sio_event *ev)
{
        struct app *app = s->gw->app;
        int64_t now = gateway_now(s->gw);
        unsigned limit = LIMITED_USER_EVENTS;
        const char *why = within_rate(s) ? limits_judge(app->limits, s, ev, now, &limit)
                                         : "too many events a second (TERN_EVENTS_PER_SECOND)";
        if (!why)
                return false;
        metrics_add(app->metrics, M_limited, limit, 1);
        s->refusals = now - s->refused_ms > FORGIVE_MS ? 1 : s->refusals + 1;
        s->refused_ms = now;
        fail_at_once(s, ev->ack_id, ERR_RATE_LIMITED, why);
        if (s->refusals > app->settings.refusals_max) {
                metrics_add(app->metrics, M_limited, LIMITED_REFUSALS, 1);
                session_drop(s, SIO_CLOSE_LIMIT);
        }
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
        const struct client_event *type = find_event(s, ev->name);
        bool foreign = !type && clientevent_allowed(s->gw->app->settings.client_events, ev->name);
        count_in(s->gw->app, type, foreign);
        if (over_a_limit(s, ev))
                return;
        if (!type && !foreign) {
                fail_at_once(s, ev->ack_id, ERR_INVALID, "no such event");
                return;
        }
        if (s->call_count >= s->gw->app->settings.calls_max) {
                fail_at_once(s, ev->ack_id, ERR_BUSY,
                        "too many events of this socket wait for their answer (TERN_CALLS_MAX)");
                return;
        }
        struct slice arg = arg_first(ev->args);
        if (s->pending_bytes > 0 && s->pending_bytes + arg.n > PENDING_BYTES_MAX) {
                fail_at_once(s, ev->ack_id, ERR_BUSY,
                        "too many bytes of this socket's events wait for their answer");
                return;
        }
        if (foreign) {
                clientevent_pass_on(s, ev);
                return;
        }
        char *id = conversation_of(arg);
        struct slice conversation_id = slice_str(id);
        if (!id) {
                fail_at_once(s, ev->ack_id, ERR_INVALID, "conversationId is missing");
        } else if (!event_conversation_id_valid(conversation_id)) {
                fail_at_once(s, ev->ack_id, ERR_INVALID,
                        "conversationId has to be 1 to 128 of [A-Za-z0-9._~-]");
        } else {
                struct lane *l = map_get(&s->lanes, conversation_id);
                if (l)
                        defer(l, type, arg, ev->ack_id);
                else
                        run(s, lane_new(s, conversation_id), type, arg, ev->ack_id);
        }
        free(id);
}
