/*
 * From the log to the streams: the callbacks of the fan-out core.
 */
#include "notification/stream.h"

#include "base/trace.h"

#include <stdio.h>

static const char *topic_name(const struct record *r)
{
        return r->topic == TOPIC_BROADCASTS ? "broadcasts" : "notifications";
}

static void forget_current(struct gateway *gw)
{
        if (gw->current_ok)
                event_done(&gw->current);
        gw->current_ok = false;
}

static void skip(struct gateway *gw, const char *why, bool own)
{
        if (!own)
                metrics_add(gw->app->metrics, M_records_skipped,
                        (unsigned)metrics_label(M_records_skipped, why), 1);
}

static void on_room_record(void *app, const struct record *r, bool own)
{
        struct gateway *gw = app;
        struct event_error err;
        forget_current(gw);
        gw->current_of = r;
        if (event_parse(slice_str(topic_name(r)), record_type(r), record_id(r), record_key(r),
                    record_value(r), &gw->current, &err) < 0) {
                skip(gw, "invalid", own);
                return;
        }
        if (!event_key_fits(&gw->current, record_key(r))) {
                event_done(&gw->current);
                skip(gw, "key", own);
                return;
        }
        gw->current_ok = true;
        if (!own && record_trace(r).n)
                log_debug(gw->app->log, "delivering", F_STR("topic", topic_name(r)),
                        F_SLICE("id", record_id(r)), F_INT("seq", record_seq(r)),
                        F_SLICE("trace_id", trace_id(record_trace(r))));
}

static struct slice event_name(const struct event *e)
{
        if (e->type == EVENT_NOTIFICATION_READ)
                return SLICE_LIT("notification_read");
        if (e->type == EVENT_NOTIFICATION_READ_ALL)
                return SLICE_LIT("notification_read_all");
        return SLICE_NONE; /* a default message event */
}

static struct msg *on_frame(
        void *app, const struct record *r, unsigned variant, struct slice cursor, bool own)
{
        UNUSED(own);
        struct gateway *gw = app;
        if (!gw->current_ok || gw->current_of != r)
                return NULL;
        char id[SSE_ID_TEXT];
        size_t id_n = gateway_sse_id(gw, (uint16_t)variant, cursor, id);
        struct buf json = BUF_EMPTY;
        event_client_json(&gw->current, record_seq(r), r->timestamp_ms, &json);
        struct msg *m = es_frame(event_name(&gw->current), slice_of(id, id_n), buf_slice(&json));
        buf_done(&json);
        return m;
}

static size_t on_cursor(void *app, const struct subscriber *sub, const uint32_t *epochs,
        const int64_t *offsets, char *dst)
{
        UNUSED(sub);
        struct gateway *gw = app;
        size_t n = fanout_slot_count(gw->fanout) * sizeof(*offsets);
        CHECK(sizeof(struct raw_cursor) + n <= FANOUT_CURSOR_MAX);
        struct raw_cursor head = {.epoch = {epochs[fanout_slot(gw->fanout, TOPIC_NOTIFICATIONS, 0)],
                                          epochs[fanout_slot(gw->fanout, TOPIC_BROADCASTS, 0)]}};
        memcpy(dst, &head, sizeof(head));
        memcpy(dst + sizeof(head), offsets, n);
        return sizeof(head) + n;
}

static enum fanout_verdict on_verdict(void *app, struct subscription *sn, const struct record *r)
{
        UNUSED(sn);
        struct gateway *gw = app;
        return gw->current_ok && gw->current_of == r ? FANOUT_DELIVER : FANOUT_SKIP;
}

static int on_push(void *app, struct subscriber *sub, struct msg *m, bool catchup)
{
        UNUSED(app);
        struct stream *st = container_of(sub, struct stream, sub);
        return es_push(st->es, m, catchup);
}

static void on_flush(void *app, struct subscriber *sub)
{
        UNUSED(app);
        es_flush(container_of(sub, struct stream, sub)->es);
}

static void on_record(void *app, const struct record *r)
{
        if (r->topic == TOPIC_ACCESS)
                access_record(app, r);
        else if (r->topic == TOPIC_CONTROL)
                control_record(app, r);
}

static void on_live(void *app, struct subscriber *sub, enum fanout_tier tier, int64_t took_ms)
{
        struct gateway *gw = app;
        metrics_add(gw->app->metrics, M_catchups, (unsigned)tier, 1);
        metrics_observe(gw->app->metrics, M_catchup_time, (unsigned)tier, took_ms * 1000000);
        /* A stream that began at a time has no place of its own before its first notification. */
        stream_send_id(container_of(sub, struct stream, sub));
}

static void on_gap(
        void *app, struct subscriber *sub, int32_t slot, int64_t from_seq, int64_t to_seq)
{
        struct gateway *gw = app;
        struct stream *st = container_of(sub, struct stream, sub);
        metrics_add(gw->app->metrics, M_resumes, (unsigned)metrics_label(M_resumes, "gap"), 1);
        bool broadcast = slot == fanout_slot(gw->fanout, TOPIC_BROADCASTS, 0);
        stream_gap(st, broadcast ? "broadcasts" : "notifications", from_seq, to_seq);
}

/* No gap is known of: the client comes back with what it has. */
static void on_unreadable(void *app, struct subscriber *sub)
{
        struct gateway *gw = app;
        metrics_add(gw->app->metrics, M_resumes,
                (unsigned)metrics_label(M_resumes, "unavailable"), 1);
        stream_close(container_of(sub, struct stream, sub), ES_CLOSE_APP);
}

const struct fanout_ops egress_ops = {
        .frame = on_frame,
        .cursor = on_cursor,
        .room_record = on_room_record,
        .verdict = on_verdict,
        .push = on_push,
        .flush = on_flush,
        .record = on_record,
        .live = on_live,
        .gap = on_gap,
        .unreadable = on_unreadable,
};
