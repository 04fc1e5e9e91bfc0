#include "messaging/session.h"

#include "messaging/args.h"
#include "messaging/call.h"
#include "messaging/limits.h"

#include "admin/admin.h"
#include "auth/revocations.h"
#include "base/address.h"
#include "base/clock.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

/* A session gets a fresh record once its last one is older than this part of what every gateway's tail holds. */
#define REFRESH_PARTS 2

struct slice session_user(const struct session *s)
{
        return s->user ? slice_of(s->user->id, s->user->id_n) : SLICE_NONE;
}

/* ---- users ---- */

static struct user *user_get(struct gateway *gw, struct slice id)
{
        struct user *u = map_get(&gw->users, id);
        if (u)
                return u;
        u = xcalloc(1, sizeof(*u) + id.n + 1);
        list_init(&u->sessions);
        u->id_n = (uint32_t)id.n;
        memcpy(u->id, id.p, id.n);
        map_put(&gw->users, slice_of(u->id, u->id_n), u);
        return u;
}

static void user_leave(struct session *s)
{
        struct user *u = s->user;
        if (!u)
                return;
        list_remove(&s->in_user);
        s->user = NULL;
        if (--u->count > 0)
                return;
        map_remove(&s->gw->users, slice_of(u->id, u->id_n));
        free(u);
}

int64_t session_position_seq(const struct gateway *gw, struct slice key)
{
        uint16_t p = (uint16_t)partition_of(key, feed_partitions(gw->app->feed, TOPIC_EVENTS));
        int64_t epoch = fanout_epoch(gw->fanout, TOPIC_EVENTS);
        return (epoch << SEQ_EPOCH_SHIFT) + fanout_position(gw->fanout, TOPIC_EVENTS, p);
}

int64_t session_next_seq(const struct session *s, struct slice key)
{
        const struct fanout *f = s->gw->fanout;
        uint16_t p = (uint16_t)partition_of(key, feed_partitions(s->gw->app->feed, TOPIC_EVENTS));
        return subscriber_next(f, &s->sub, fanout_slot(f, TOPIC_EVENTS, p));
}

/* Joins the user's own room and counts the session as the user's. */
static void adopt(struct session *s, struct slice user)
{
        s->user = user_get(s->gw, user);
        s->user->count++;
        list_push_back(&s->user->sessions, &s->in_user);
        char key[160];
        int n = snprintf(key, sizeof(key), "user:%.*s", SLICE_ARG(user));
        struct subscription *sn =
                subscriber_join(s->gw->fanout, &s->sub, TOPIC_EVENTS, slice_of(key, (size_t)n),
                        session_position_seq(s->gw, slice_of(key, (size_t)n)), false);
        CHECK(sn);
}

/* ---- CONNECT ---- */

static void expired(struct shard *sh, struct shard_timer *t)
{
        UNUSED(sh);
        session_drop(container_of(t, struct session, expiry), SIO_CLOSE_TOKEN);
}

static void refuse(struct sio_socket *so, enum error_code code, const char *message)
{
        char data[64];
        int n = snprintf(data, sizeof(data), "{\"code\":\"%s\"}", error_code_name(code));
        sio_refuse(so, message, slice_of(data, (size_t)n));
}

/* Who is it? 0, or -1 after the refusal was sent. */
static int identify(struct session *s, struct slice payload, const struct sio_handshake *hs,
        struct identity *ret)
{
        struct app *app = s->gw->app;
        if (auth_off(app->auth)) {
                char *user = arg_field_text(payload, "user");
                struct slice from_query = SLICE_NONE;
                char decoded[160] = "";
                if (!user && arg_query(hs->query, "user", decoded, sizeof(decoded)))
                        from_query = slice_str(decoded);
                auth_guest(app->auth, user ? slice_str(user) : from_query, ret);
                free(user);
                return 0;
        }
        char *token = arg_field_text(payload, "token");
        struct slice bearer = token ? slice_str(token) : auth_bearer(hs->authorization);
        enum auth_failure why;
        int r = auth_verify(app->auth, bearer, clock_wall_ms(), ret, &why);
        free(token);
        if (r == 0 && ret->stream_only) {
                identity_done(ret);
                why = AUTH_AUDIENCE;
                r = -1;
        }
        if (r == 0 && revocations_void(app->revocations, slice_str(ret->sub), ret->issued_ms)) {
                identity_done(ret);
                why = AUTH_REVOKED;
                r = -1;
        }
        if (r == 0)
                return 0;
        metrics_add(app->metrics, M_auth_failures, (unsigned)why, 1);
        refuse(session_socket(s), ERR_FORBIDDEN, auth_failure_text(why));
        return -1;
}

static void arm_expiry(struct session *s, const struct identity *id)
{
        shard_timer_init(&s->expiry, expired);
        if (id->expires_ms == 0)
                return;
        int64_t left = id->expires_ms - clock_wall_ms();
        /* The leeway lets a token in that is a little past its end; it gets a short stay. */
        shard_timer_set(s->gw->shard, &s->expiry, left > 1000 ? left : 1000);
}

/* False after a refusal: the user has all the sockets he may have. */
static bool count_in(struct session *s, struct slice user, struct slice address)
{
        struct app *app = s->gw->app;
        s->address_n = (uint8_t)address_key(address, s->address);
        if (limits_enter(app->limits, user)) {
                s->counted = slice_dup(user);
                return true;
        }
        metrics_add(app->metrics, M_limited, LIMITED_USER_CONNECTIONS, 1);
        refuse(session_socket(s), ERR_RATE_LIMITED,
                "too many connections of this user (TERN_USER_CONNECTIONS_MAX)");
        return false;
}

/* For clients that name no trace in an event. A browser has no header to give. */
static void keep_trace(struct session *s, struct slice payload, const struct sio_handshake *hs)
{
        char *own = arg_field_text(payload, "traceparent");
        char trace[TRACE_TEXT];
        trace_copy(own ? slice_str(own) : hs->traceparent, trace);
        s->trace = trace[0] ? xstrdup(trace) : NULL;
        free(own);
}

void session_connect(void *app, struct sio_socket *so, struct slice nsp, struct slice payload,
        const struct sio_handshake *hs)
{
        struct gateway *gw = app;
        struct session *s = sio_user(so);
        s->gw = gw;
        s->state = SESSION_NEW;
        s->since_ms = clock_wall_ms();
        subscriber_init(&s->sub,
                (uint8_t)(namespaces_index(&gw->app->namespaces, nsp) * VARIANTS_OF_NAMESPACE));
        list_init(&s->in_user);
        list_init(&s->calls);
        s->lanes = MAP_EMPTY;
        list_push_back(&gw->sessions, &s->in_gateway);
        shard_timer_init(&s->expiry, expired);

        /* The transport, not the namespace, is closed: the client comes back, to another gateway. */
        if (sio_server_connections(gw->app->sio) > gw->app->settings.connections_max) {
                session_drop(s, SIO_CLOSE_LIMIT);
                return;
        }
        struct identity id;
        if (identify(s, payload, hs, &id) < 0)
                return;
        if (!auth_off(gw->app->auth) && !namespaces_admit(&id, nsp)) {
                metrics_add(gw->app->metrics, M_auth_failures, AUTH_SCOPE, 1);
                refuse(so, ERR_FORBIDDEN, "the token gives no right to this namespace");
                identity_done(&id);
                return;
        }
        if (!count_in(s, slice_str(id.sub), hs->client_addr)) {
                identity_done(&id);
                return;
        }
        keep_trace(s, payload, hs);
        s->issued_ms = id.issued_ms;
        s->admin = identity_has_scope(&id, "admin");
        arm_expiry(s, &id);
        struct slice raw;
        bool recovery = true;
        if (arg_field(payload, "recovery", &raw))
                arg_bool(raw, &recovery);
        char *pid = arg_field_text(payload, "pid"), *offset = arg_field_text(payload, "offset");
        if (recovery && pid && pid[0]) {
                restore_start(
                        s, slice_str(id.sub), slice_str(pid), slice_str(offset ? offset : ""));
        } else {
                session_begin(s, slice_str(id.sub), recovery);
        }
        free(pid);
        free(offset);
        identity_done(&id);
}

static void draw_text(char *to, size_t chars)
{
        uint8_t bytes[32];
        size_t n = chars * 3 / 4;
        CHECK(n <= sizeof(bytes));
        random_bytes(bytes, n);
        base64url_encode(bytes, n, to);
        to[chars] = '\0';
}

/* A token may be taken back while a restore is under way. */
static bool still_admitted(struct session *s, struct slice user)
{
        if (!revocations_void(s->gw->app->revocations, user, s->issued_ms))
                return true;
        metrics_add(s->gw->app->metrics, M_auth_failures, AUTH_REVOKED, 1);
        refuse(session_socket(s), ERR_FORBIDDEN, auth_failure_text(AUTH_REVOKED));
        return false;
}

bool session_take_over(struct session *s, struct slice user, const uint8_t hash[PID_HASH_BYTES],
        const char *sid, int64_t gen, const char *owner)
{
        if (!still_admitted(s, user))
                return false;
        adopt(s, user);
        snprintf(s->sid, sizeof(s->sid), "%s", sid);
        s->log = session_log_new(s, hash, gen, owner);
        s->log->written_ms = gateway_now(s->gw);
        session_set_cursor(s, true);
        s->state = SESSION_LIVE;
        return true;
}

void session_begin(struct session *s, struct slice user, bool recovery)
{
        char pid[PID_TEXT] = "", owner[OWNER_TEXT];
        if (!still_admitted(s, user))
                return;
        adopt(s, user);
        draw_text(s->sid, SID_TEXT - 1);
        if (recovery) {
                uint8_t hash[PID_HASH_BYTES];
                draw_text(pid, PID_TEXT - 1);
                pid_hash(sio_nsp(session_socket(s)), slice_str(pid), hash);
                session_draw_owner(s->gw, owner);
                s->log = session_log_new(s, hash, 1, owner);
        }
        session_set_cursor(s, recovery);
        s->state = SESSION_LIVE;
        sio_accept(session_socket(s), slice_str(s->sid), slice_str(pid));
        subscriber_attach_now(s->gw->fanout, &s->sub);
        if (s->log)
                session_log_write(s, NULL);
}

/* ---- the end ---- */

void session_drop(struct session *s, enum sio_close_reason reason)
{
        if (s->state != SESSION_CLOSED)
                sio_close_transport(session_socket(s), reason);
}

static void leave_rooms(struct session *s)
{
        struct buf keys = BUF_EMPTY;
        list_for_each(it, &s->sub.rooms)
        {
                buf_add_slice(&keys, subscription_key(list_entry(it, struct subscription, in_sub)));
                buf_add_char(&keys, '\0');
        }
        subscriber_done(s->gw->fanout, &s->sub);
        for (size_t at = 0; at < keys.n; at += strlen(keys.p + at) + 1)
                room_unfollowed(s->gw, slice_str(keys.p + at));
        buf_done(&keys);
}

void session_closed(void *app, struct sio_socket *so, enum sio_close_reason reason)
{
        UNUSED(app);
        struct session *s = sio_user(so);
        struct gateway *gw = s->gw;
        if (!gw)
                return;
        bool fenced = s->state == SESSION_FENCED;
        s->state = SESSION_CLOSED;
        if (s->restore)
                restore_abandon(s);
        calls_orphan(s);
        events_drop_deferred(s);
        shard_timer_stop(gw->shard, &s->expiry);
        if (s->log) {
                bool goodbye = reason == SIO_CLOSE_CLIENT_DISCONNECT ||
                               reason == SIO_CLOSE_SERVER_DISCONNECT || reason == SIO_CLOSE_KICK;
                session_log_release(s->log, fenced    ? SESSION_END_FENCED
                                            : goodbye ? SESSION_END_GOODBYE
                                                      : SESSION_END_CUT);
                s->log = NULL;
        }
        leave_rooms(s);
        user_leave(s);
        if (s->counted)
                limits_leave(gw->app->limits, slice_str(s->counted));
        free(s->counted);
        free(s->trace);
        if (gw->sweep_at == &s->in_gateway)
                gw->sweep_at = s->in_gateway.next;
        admin_scans_leave(&gw->scans, &s->in_gateway);
        list_remove(&s->in_gateway);
}

/* ---- a slow client is a reader that fell behind ---- */

void session_drained(void *app, struct sio_socket *so)
{
        UNUSED(app);
        struct session *s = sio_user(so);
        if (s->state != SESSION_LIVE)
                return;
        subscriber_drained(s->gw->fanout, &s->sub, gateway_now(s->gw));
        sio_flush(so);
}

void session_dropped(void *app, struct sio_socket *so, const struct msg *first)
{
        struct gateway *gw = app;
        struct session *s = sio_user(so);
        metrics_add(gw->app->metrics, M_outbox_drops, 0, 1);
        if (first && s->state == SESSION_LIVE)
                subscriber_lagged(gw->fanout, &s->sub, first);
}

/* ---- freshness ---- */

void session_send_cursor(struct session *s)
{
        struct slice cursor = subscriber_cursor(s->gw->fanout, &s->sub, gateway_now(s->gw));
        if (cursor.n == 0)
                return;
        struct msg *m = sio_frame(
                sio_nsp(session_socket(s)), SLICE_LIT("cursor"), SLICE_NONE, cursor, NULL, 0);
        m->flags = MSG_VOLATILE;
        if (sio_push(session_socket(s), m, false) == 0)
                sio_flush(session_socket(s));
        msg_unref(m);
}

void session_refresh(struct session *s, int64_t now_ms)
{
        if (s->state != SESSION_LIVE || !s->log)
                return;
        struct gateway *gw = s->gw;
        int64_t tail_ms = gw->app->feed_settings.tail_fill_ms;
        /* Every gateway's tail, a fresh one's too, reaches back by both; each record that is sent again lies in it
         * until then. */
        int64_t reach_ms = tail_ms + gw->app->feed_settings.dedupe_window_ms;
        if (now_ms - s->log->written_ms > reach_ms / REFRESH_PARTS || s->log->unrecoverable)
                session_log_write(s, NULL);
        if (variant_has_cursor(s->sub.variant) &&
                subscriber_stale(gw->fanout, &s->sub, tail_ms, now_ms))
                session_send_cursor(s);
}
