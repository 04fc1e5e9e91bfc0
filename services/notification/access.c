/*
 * Tokens that were taken back, and streams that are to be closed.
 */
#include "notification/stream.h"

#include "admin/admin.h"
#include "auth/revocations.h"
#include "fanout/msg.h"

struct dropping {
        int64_t before_ms;
        int reason; /* enum es_close_reason */
};

static void drop(void *arg, struct subscription *sn)
{
        const struct dropping *d = arg;
        struct stream *st = container_of(sn->sub, struct stream, sub);
        if (st->issued_ms < d->before_ms)
                stream_close(st, d->reason);
}

static void drop_user(struct gateway *gw, const char *user, int64_t before_ms, int reason)
{
        struct dropping d = {before_ms, reason};
        fanout_room_each(gw->fanout, TOPIC_NOTIFICATIONS, slice_str(user), drop, &d);
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
                drop_user(gw, e.user_id, e.before_ms, ES_CLOSE_TOKEN);
        }
        event_done(&e);
}

struct showing {
        const char *user;
        struct msg *msg;
};

static void show(void *arg, struct subscription *sn)
{
        const struct showing *sh = arg;
        struct stream *st = container_of(sn->sub, struct stream, sub);
        if (strcmp(st->user, sh->user) == 0 && es_push(st->es, sh->msg, false) == 0)
                es_flush(st->es);
}

/* A record that an operator shows again: marked, and without an id, so that the client's place stays where it is. */
static void show_again(struct gateway *gw, const struct event *replay, struct slice key)
{
        struct event e;
        struct event_error err;
        struct buf user = BUF_EMPTY, json = BUF_EMPTY;
        if (!event_user_id_valid(key) ||
                event_parse(slice_str(replay->topic), slice_str(replay->kind),
                        slice_str(replay->notification_id), slice_str(replay->record_key),
                        slice_str(replay->data_json), &e, &err) < 0)
                return;
        buf_add_slice(&user, key);
        bool own = e.type == EVENT_NOTIFICATION_CREATED && slice_is(key, e.user_id);
        if (own || e.type == EVENT_BROADCAST) {
                event_client_json(&e, replay->seq, replay->before_ms, &json);
                json.n--;
                buf_add_str(&json, ",\"replayed\":true}");
                struct showing sh = {
                        buf_cstr(&user), es_frame(SLICE_NONE, SLICE_NONE, buf_slice(&json))};
                fanout_room_each(gw->fanout, own ? TOPIC_NOTIFICATIONS : TOPIC_BROADCASTS,
                        own ? key : slice_str(e.audience), show, &sh);
                msg_unref(sh.msg);
        }
        buf_done(&user);
        buf_done(&json);
        event_done(&e);
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
        if (e.type == EVENT_KICK && event_key_fits(&e, record_key(r)))
                drop_user(gw, e.user_id, INT64_MAX, ES_CLOSE_KICK);
        else if (e.type == EVENT_GATEWAY && gw->index == 0 && event_key_fits(&e, record_key(r)))
                fleet_hear(gw->app->fleet, &e, gateway_now(gw));
        else if (e.type == EVENT_REPLAY)
                show_again(gw, &e, record_key(r));
        event_done(&e);
}
