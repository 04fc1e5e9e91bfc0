/*
 * Tokens that were taken back, and streams that are to be closed.
 */
#include "notification/stream.h"

#include "auth/revocations.h"

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

void control_record(struct gateway *gw, const struct record *r)
{
        struct event e;
        struct event_error err;
        if (event_parse(SLICE_LIT("control"), record_type(r), record_id(r), record_key(r),
                    record_value(r), &e, &err) < 0)
                return;
        if (e.type == EVENT_KICK && event_key_fits(&e, record_key(r)))
                drop_user(gw, e.user_id, INT64_MAX, ES_CLOSE_KICK);
        event_done(&e);
}
