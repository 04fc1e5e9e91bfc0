/*
 * Tokens that were taken back, and connections that are to be closed.
 */
#include "messaging/session.h"

#include <stdlib.h>

struct revocation {
        int64_t before_ms; /* tokens issued before it are void */
        uint32_t id_n;
        char id[];
};

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

static void revoke(struct gateway *gw, const char *user, int64_t before_ms)
{
        struct revocation *r = map_get(&gw->revoked, slice_str(user));
        if (!r) {
                size_t n = strlen(user);
                r = xcalloc(1, sizeof(*r) + n + 1);
                r->id_n = (uint32_t)n;
                memcpy(r->id, user, n);
                map_put(&gw->revoked, slice_of(r->id, n), r);
        }
        r->before_ms = before_ms;
        drop_user(gw, slice_str(user), before_ms, SIO_CLOSE_TOKEN);
}

void access_record(struct gateway *gw, const struct record *r)
{
        struct event e;
        struct event_error err;
        if (event_parse(SLICE_LIT("access"), record_type(r), record_id(r), record_key(r),
                    record_value(r), &e, &err) < 0)
                return;
        if (e.type == EVENT_REVOKED && event_key_fits(&e, record_key(r)))
                revoke(gw, e.user_id, e.before_ms);
        event_done(&e);
}

bool access_revoked(const struct gateway *gw, struct slice user, int64_t issued_ms)
{
        const struct revocation *r = map_get(&gw->revoked, user);
        return r && issued_ms < r->before_ms;
}

void access_done(struct gateway *gw)
{
        size_t it = 0;
        struct revocation *r;
        while ((r = map_next(&gw->revoked, &it)))
                free(r);
        map_done(&gw->revoked);
}

static void send_notice(void *arg, struct subscription *sn)
{
        const struct event *e = arg;
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
        if (event_parse(SLICE_LIT("control"), record_type(r), record_id(r), record_key(r),
                    record_value(r), &e, &err) < 0)
                return;
        struct slice key = record_key(r);
        if (e.type == EVENT_KICK && event_key_fits(&e, key))
                drop_user(gw, slice_str(e.user_id), INT64_MAX, SIO_CLOSE_KICK);
        else if (e.type == EVENT_NOTICE && slice_starts(key, "conversation:"))
                fanout_room_each(gw->fanout, TOPIC_EVENTS, slice_from(key, 13), send_notice, &e);
        else if (e.type == EVENT_NOTICE && event_user_id_valid(key)) {
                struct buf room = BUF_EMPTY;
                buf_printf(&room, "user:%.*s", SLICE_ARG(key));
                fanout_room_each(gw->fanout, TOPIC_EVENTS, buf_slice(&room), send_notice, &e);
                buf_done(&room);
        }
        event_done(&e);
}
