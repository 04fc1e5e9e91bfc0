#include "realtime/engine_internal.h"

#include "realtime/frames.h"

#include "base/address.h"
#include "base/quota.h"

#include <stdlib.h>

/* Label values of the connection metrics; those of `connections` are pairs of transport and state. */
enum { TRANSPORT_WEBSOCKET, TRANSPORT_POLLING };
enum { SHOWN_CONNECTING, SHOWN_JOINED, SHOWN_CLOSING, SHOWN_STATES };

static struct slice sid_key(const uint8_t sid[ENGINE_SID_BYTES])
{
        return slice_of((const char *)sid, ENGINE_SID_BYTES);
}

static void reap(struct engine_session *s);

/* ---- deadlines ---- */

static void sooner(int64_t *due, int64_t at)
{
        if (at && (!*due || at < *due))
                *due = at;
}

void engine_arm(struct engine_session *s)
{
        if (s->state == ENGINE_CLOSED)
                return;
        int64_t due = 0;
        sooner(&due, s->stall_ms);
        if (s->state == ENGINE_OPEN) {
                sooner(&due, s->beat_ms);
                sooner(&due, s->app_ms);
        } else {
                sooner(&due, s->linger_ms);
        }
        if (!due) {
                shard_timer_stop(s->es->shard, &s->timer);
                return;
        }
        if (s->timer.due_ms == due)
                return;
        int64_t left = due - engine_now(s);
        shard_timer_set(s->es->shard, &s->timer, left > 0 ? left : 0);
}

/* The session's end counts from when the ping was due, so that lateness of the loop does not add
 * up; if it was held up for a good part of the client's time, the client gets its whole time. */
static void ping(struct engine_session *s, int64_t now)
{
        uint32_t timeout_ms = s->es->srv->o.ping_timeout_ms;
        int64_t due = now - s->beat_ms <= timeout_ms / 4 ? s->beat_ms : now;
        s->awaits_pong = true;
        s->beat_ms = due + timeout_ms;
        engine_queue(s, s->es->ping);
        engine_flush(s);
}

/* Ends the session if one of its deadlines has passed. Also asked on requests: a sweep alone would
 * be late. */
static bool expire(struct engine_session *s, int64_t now)
{
        if (s->stall_ms && now >= s->stall_ms)
                engine_end(s, ENGINE_CLOSE_STALLED, FAREWELL_CLOSE);
        else if (s->state == ENGINE_CLOSING && now >= s->linger_ms)
                engine_end(s, s->reason, FAREWELL_CLOSE);
        else if (s->state == ENGINE_OPEN && s->awaits_pong && now >= s->beat_ms)
                engine_end(s, ENGINE_CLOSE_PING_TIMEOUT, FAREWELL_CLOSE);
        return s->state == ENGINE_CLOSED;
}

static void on_timer(struct shard *sh, struct shard_timer *t)
{
        struct engine_session *s = container_of(t, struct engine_session, timer);
        int64_t now = shard_now_ms(sh);
        if (expire(s, now))
                return;
        if (s->state == ENGINE_OPEN && now >= s->beat_ms)
                ping(s, now);
        if (s->state == ENGINE_OPEN && s->app_ms && now >= s->app_ms) {
                s->app_ms = 0;
                s->es->srv->ops.due(s->es->app, s);
        }
        engine_arm(s);
}

/* The client's timer starts anew with each of our pings, so ours starts anew with each of its
 * pongs. */
void engine_pong(struct engine_session *s)
{
        s->awaits_pong = false;
        s->beat_ms = engine_now(s) + s->es->srv->o.ping_interval_ms;
        engine_arm(s);
}

void engine_restart_pong(struct engine_session *s)
{
        if (s->awaits_pong)
                s->beat_ms = engine_now(s) + s->es->srv->o.ping_timeout_ms;
        engine_arm(s);
}

void engine_deadline(struct engine_session *s, uint32_t delay_ms)
{
        s->app_ms = delay_ms ? engine_now(s) + delay_ms : 0;
        engine_arm(s);
}

/* ---- beginning ---- */

static void end_of_turn(struct shard *sh, struct shard_later *l)
{
        UNUSED(sh);
        reap(container_of(l, struct engine_session, later));
}

size_t engine_session_sid(const struct engine_session *s, char ret[ENGINE_SID_TEXT_MAX])
{
        const struct splice *sp = s->es->srv->o.splice;
        return engine_sid_text(
                s->sid, sp ? splice_keys(sp) : NULL, sp ? splice_place(sp) : NULL, ret);
}

/* The handshake's address stays the same from the first to the last call. */
static void count_address(struct engine_session *s, int by)
{
        struct engine_handshake hs;
        uint8_t bytes[16];
        if (!s->es->srv->o.addresses)
                return;
        engine_handshake_get(s, &hs);
        size_t n = address_key(hs.client_addr, bytes);
        (void)tally_add(s->es->srv->o.addresses, slice_of((const char *)bytes, n), by);
}

static void queue_handshake(struct engine_session *s)
{
        const struct engine_options *o = &s->es->srv->o;
        char sid[ENGINE_SID_TEXT_MAX];
        size_t sid_n = engine_session_sid(s, sid);
        struct buf text = BUF_EMPTY;
        buf_add_char(&text, '0');
        eio_handshake(&text, slice_of(sid, sid_n), !s->ws, o->ping_interval_ms, o->ping_timeout_ms,
                o->max_payload);
        struct msg *m = frame_packet(buf_slice(&text), NULL, 0);
        buf_done(&text);
        engine_queue(s, m);
        msg_unref(m);
}

void engine_show(struct engine_session *s)
{
        struct metrics *metrics = s->es->srv->metrics;
        unsigned state = s->state != ENGINE_OPEN ? SHOWN_CLOSING
                         : s->joined             ? SHOWN_JOINED
                                                 : SHOWN_CONNECTING;
        unsigned transport = s->ws ? TRANSPORT_WEBSOCKET : TRANSPORT_POLLING;
        unsigned label = transport * SHOWN_STATES + state;
        if (s->state == ENGINE_CLOSED || s->shown == label + 1)
                return;
        if (s->shown)
                metrics_add(metrics, M_connections, s->shown - 1u, -1);
        metrics_add(metrics, M_connections, label, 1);
        s->shown = (uint8_t)(label + 1);
}

struct engine_session *engine_session_new(
        struct engine_shard *es, struct hello *hello, struct ws_link *ws)
{
        struct engine_server *srv = es->srv;
        struct engine_session *s = xcalloc(1, sizeof(*s) + srv->o.session_user_size);
        engine_sid_draw(s->sid, es->index, srv->instance);
        s->es = es;
        s->hello = hello;
        s->ws = ws;
        s->first_poll = !ws;
        s->later.run = end_of_turn;
        shard_timer_init(&s->timer, on_timer);
        void *twin = map_put(&es->by_sid, sid_key(s->sid), s);
        CHECK(!twin);
        list_push_back(&es->sessions, &s->link);
        if (ws)
                ws->session = s;
        atomic_fetch_add_explicit(&es->open, 1, memory_order_relaxed);
        count_address(s, 1);
        unsigned label = ws ? TRANSPORT_WEBSOCKET : TRANSPORT_POLLING;
        engine_show(s);
        metrics_add(srv->metrics, M_entries_used, ENTRIES_CONNECTIONS, 1);
        metrics_add(srv->metrics, M_connections_opened, label, 1);
        s->beat_ms = engine_now(s) + srv->o.ping_interval_ms;
        queue_handshake(s);
        engine_arm(s);
        srv->ops.opened(es->app, s);
        return s;
}

struct engine_session *engine_session_find(
        struct engine_shard *es, const uint8_t sid[ENGINE_SID_BYTES])
{
        struct engine_session *s = map_get(&es->by_sid, sid_key(sid));
        return s && !expire(s, engine_now(s)) ? s : NULL;
}

/* ---- end ---- */

static void count_end(struct engine_session *s)
{
        static const char *const labels[] = {
                [ENGINE_CLOSE_CLIENT_DISCONNECT] = "client",
                [ENGINE_CLOSE_SERVER_DISCONNECT] = "other",
                [ENGINE_CLOSE_TRANSPORT_CLOSE] = "client",
                [ENGINE_CLOSE_TRANSPORT_ERROR] = "transport_error",
                [ENGINE_CLOSE_PING_TIMEOUT] = "ping_timeout",
                [ENGINE_CLOSE_PARSE_ERROR] = "parse_error",
                [ENGINE_CLOSE_LIMIT] = "limit",
                [ENGINE_CLOSE_STALLED] = "stalled",
                [ENGINE_CLOSE_TOKEN] = "token",
                [ENGINE_CLOSE_KICK] = "kick",
                [ENGINE_CLOSE_DRAIN] = "drain",
                [ENGINE_CLOSE_SHED] = "shed",
        };
        struct metrics *metrics = s->es->srv->metrics;
        int label = metrics_label(M_connections_closed, labels[s->reason]);
        metrics_add(metrics, M_connections_closed, label < 0 ? 0 : (unsigned)label, 1);
        metrics_add(metrics, M_connections, s->shown - 1u, -1);
        metrics_add(metrics, M_entries_used, ENTRIES_CONNECTIONS, -1);
}

static void end_transport(struct engine_session *s, enum engine_farewell how)
{
        if (s->upgrade)
                upgrade_abort(s->upgrade, false);
        if (s->ws) {
                s->ws->session = NULL;
                websocket_close(s->ws, s->out.front_off > 0);
                s->ws = NULL;
        }
        if (s->get && how != FAREWELL_NONE)
                polling_release(s, how == FAREWELL_NOOP ? s->es->noop : s->es->close);
        polling_detach(s);
}

void engine_end(struct engine_session *s, enum engine_close_reason reason, enum engine_farewell how)
{
        if (s->state == ENGINE_CLOSED)
                return;
        if (s->state == ENGINE_OPEN)
                s->reason = (uint8_t)reason;
        count_end(s);
        s->state = ENGINE_CLOSED;
        void *was = map_remove(&s->es->by_sid, sid_key(s->sid));
        CHECK(was == s);
        end_transport(s, how);
        engine_drop_all(s);
        shard_timer_stop(s->es->shard, &s->timer);
        shard_later(s->es->shard, &s->later);
}

void engine_abort(struct engine_session *s, enum engine_close_reason reason)
{
        if (s->state == ENGINE_OPEN)
                engine_end(s, reason, FAREWELL_CLOSE);
}

/* What is queued for the client's own requests still goes out; a poll that comes in time is told
 * the end by a `1`. */
void engine_close(struct engine_session *s, enum engine_close_reason reason)
{
        if (s->state != ENGINE_OPEN)
                return;
        s->reason = (uint8_t)reason;
        s->owe_drained = false;
        msg_unref(engine_drop_events(s));
        if (!s->ws)
                engine_queue(s, s->es->close);
        if (s->state != ENGINE_OPEN)
                return;
        s->state = ENGINE_CLOSING;
        engine_show(s);
        s->linger_ms = engine_now(s) + ENGINE_LINGER_MS;
        shard_later(s->es->shard, &s->later);
        engine_flush(s);
        if (s->state == ENGINE_CLOSING && engine_idle(s))
                engine_end(s, reason, FAREWELL_CLOSE);
        engine_arm(s);
}

static void destroy(struct engine_session *s)
{
        CHECK(s->state == ENGINE_CLOSED && s->told);
        shard_later_cancel(&s->later);
        list_remove(&s->link);
        outbox_done(&s->out);
        free(s->hello);
        free(s);
}

static void tell(struct engine_session *s)
{
        if (s->told)
                return;
        s->told = true;
        s->es->srv->ops.closed(s->es->app, s, s->reason);
        atomic_fetch_sub_explicit(&s->es->open, 1, memory_order_relaxed);
        count_address(s, -1);
}

/* The end of a turn in which something happened to the session. */
static void reap(struct engine_session *s)
{
        const struct engine_ops *ops = &s->es->srv->ops;
        if (s->state == ENGINE_OPEN && s->wants_turn) {
                s->wants_turn = false;
                ops->turn(s->es->app, s);
        }
        if (s->state != ENGINE_CLOSED)
                engine_flush(s);
        if (s->state == ENGINE_OPEN && s->owe_drained && engine_queued(s) <= s->drained_level) {
                s->owe_drained = false;
                ops->drained(s->es->app, s);
        }
        if (s->state != ENGINE_OPEN)
                tell(s);
        if (s->state == ENGINE_CLOSED)
                destroy(s);
}

void engine_close_some(struct engine_shard *es, size_t count, enum engine_close_reason reason)
{
        list_for_each_safe(it, &es->sessions)
        {
                struct engine_session *s = list_entry(it, struct engine_session, link);
                if (count == 0)
                        return;
                if (s->state != ENGINE_OPEN)
                        continue;
                /* Behind the open ones it is in nobody's way. */
                list_remove(&s->link);
                list_push_back(&es->sessions, &s->link);
                engine_close(s, reason);
                count--;
        }
}

void engine_close_all_now(struct engine_shard *es)
{
        while (!list_empty(&es->sessions)) {
                struct engine_session *s =
                        list_entry(list_first(&es->sessions), struct engine_session, link);
                engine_end(s, ENGINE_CLOSE_DRAIN, FAREWELL_CLOSE);
                reap(s);
        }
}

/* ---- looks ---- */

void engine_joined(struct engine_session *s)
{
        s->joined = true;
        engine_show(s);
}

void *engine_user(struct engine_session *s)
{
        return s->user;
}

struct engine_session *engine_session_of(void *user)
{
        return container_of(user, struct engine_session, user);
}

bool engine_is_open(const struct engine_session *s)
{
        return s->state == ENGINE_OPEN;
}

bool engine_on_websocket(const struct engine_session *s)
{
        return s->ws != NULL;
}

void engine_turn(struct engine_session *s)
{
        s->wants_turn = true;
        shard_later(s->es->shard, &s->later);
}
