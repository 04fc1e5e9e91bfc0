/*
 * Tokens that were taken back, connections that are to be closed, and words from the operators.
 */
#include "messaging/session.h"

#include "admin/admin.h"
#include "auth/revocations.h"

static void drop_user(struct gateway *gw, struct slice user, int64_t issued_before_ms,
        enum sio_close_reason reason)
{
        struct user *u = map_get(&gw->users, user);
        if (!u)
                return;
        list_for_each_safe(it, &u->sessions)
        {
                struct session *s = list_entry(it, struct session, in_user);
                if (s->issued_ms >= issued_before_ms)
                        continue;
                if (reason == SIO_CLOSE_KICK)
                        sio_disconnect(session_socket(s), reason);
                else
                        session_drop(s, reason);
        }
}

void access_record(struct gateway *gw, const struct record *r)
{
        struct event e;
        struct event_error err;
        if (event_parse(SLICE_LIT("access"), record_type(r), record_id(r), record_key(r),
                    record_value(r), &e, &err) < 0)
                return;
        if (e.type == EVENT_REVOKED && event_key_fits(&e, record_key(r))) {
                revocations_set(gw->app->revocations, slice_str(e.user_id), e.before_ms);
                drop_user(gw, slice_str(e.user_id), e.before_ms, SIO_CLOSE_TOKEN);
        }
        event_done(&e);
}

static void send_notice(void *arg, struct subscription *sn)
{
        const struct event *e = arg;
        if (sn->muted)
                return;
        struct session *s = container_of(sn->sub, struct session, sub);
        struct buf text = BUF_EMPTY;
        buf_add_str(&text, "{\"text\":");
        buf_add_json_str(&text, slice_str(e->reason));
        buf_add_char(&text, '}');
        sio_emit(session_socket(s), "notice", buf_slice(&text));
        buf_done(&text);
}

void control_record(struct gateway *gw, const struct record *r)
{
        struct event e;
        struct event_error err;
        if (admin_is_for(record_type(r))) {
                if (gw->index == 0)
                        admin_heard(gw->app->admin, record_key(r), record_type(r), record_id(r),
                                record_value(r));
                return;
        }
        if (event_parse(SLICE_LIT("control"), record_type(r), record_id(r), record_key(r),
                    record_value(r), &e, &err) < 0)
                return;
        struct slice key = record_key(r);
        if (e.type == EVENT_KICK && event_key_fits(&e, key)) {
                drop_user(gw, slice_str(e.user_id), INT64_MAX, SIO_CLOSE_KICK);
        } else if (e.type == EVENT_GATEWAY && gw->index == 0 && event_key_fits(&e, key)) {
                fleet_hear(gw->app->fleet, &e, gateway_now(gw));
        } else if (e.type == EVENT_REPLAY) {
                replayed_record(gw, &e, key);
        } else if (e.type == EVENT_NOTICE && slice_starts(key, "conversation:")) {
                fanout_room_each(gw->fanout, TOPIC_EVENTS, slice_from(key, 13), send_notice, &e);
        } else if (e.type == EVENT_NOTICE && event_user_id_valid(key)) {
                struct buf room = BUF_EMPTY;
                buf_printf(&room, "user:%.*s", SLICE_ARG(key));
                fanout_room_each(gw->fanout, TOPIC_EVENTS, buf_slice(&room), send_notice, &e);
                buf_done(&room);
        }
        event_done(&e);
}
