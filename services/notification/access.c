/*
 * Tokens that were taken back, and streams that are to be closed.
 */
#include "notification/stream.h"

#include <stdlib.h>

struct revocation {
        int64_t before_ms; /* tokens issued before it are void */
        uint32_t id_n;
        char id[];
};

struct dropping {
        int64_t before_ms;
};

static void drop(void *arg, struct subscription *sn)
{
        const struct dropping *d = arg;
        struct stream *st = container_of(sn->sub, struct stream, sub);
        if (st->issued_ms < d->before_ms)
                stream_close(st);
}

static void drop_user(struct gateway *gw, const char *user, int64_t before_ms)
{
        struct dropping d = {before_ms};
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
                struct revocation *v = map_get(&gw->revoked, slice_str(e.user_id));
                if (!v) {
                        size_t n = strlen(e.user_id);
                        v = xcalloc(1, sizeof(*v) + n + 1);
                        v->id_n = (uint32_t)n;
                        memcpy(v->id, e.user_id, n);
                        map_put(&gw->revoked, slice_of(v->id, n), v);
                }
                v->before_ms = e.before_ms;
                drop_user(gw, e.user_id, e.before_ms);
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
                drop_user(gw, e.user_id, INT64_MAX);
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
