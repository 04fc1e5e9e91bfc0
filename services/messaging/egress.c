/*
 * From the log to the clients: the callbacks of the fan-out core.
 *
 * A record that somebody here wants is parsed once (room_record) and framed once; the other callbacks
 * use what room_record left in gateway.current.
 */
#include "messaging/call.h"
#include "messaging/clientevent.h"
#include "messaging/restore.h"

#include "wire/cursor.h"

#include <stdio.h>

static const char *topic_name(const struct record *r)
{
        switch (r->topic) {
        case TOPIC_EVENTS:
                return "chat.events";
        case TOPIC_RECEIPTS:
                return "chat.receipts";
        case TOPIC_SIGNALS:
                return "chat.signals";
        default:
                return "";
        }
}

static void forget_current(struct gateway *gw)
{
        if (gw->current_ok)
                event_done(&gw->current);
        gw->current_ok = false;
        emit_reset(&gw->emit);
}

static void on_room_record(void *app, const struct record *r, bool own)
{
        struct gateway *gw = app;
        struct event_error err;
        forget_current(gw);
        gw->current_of = r;
        if (event_parse(slice_str(topic_name(r)), record_type(r), record_id(r), record_key(r),
                    record_value(r), &gw->current, &err) < 0) {
                if (!own)
                        metrics_add(gw->app->metrics, M_records_skipped,
                                (unsigned)metrics_label(M_records_skipped, "invalid"), 1);
                return;
        }
        gw->current_ok = true;
        if (!event_key_fits(&gw->current, record_key(r))) {
                forget_current(gw);
                if (!own)
                        metrics_add(gw->app->metrics, M_records_skipped,
                                (unsigned)metrics_label(M_records_skipped, "key"), 1);
                return;
        }
        if (!own && record_trace(r).n)
                log_debug(gw->app->log, "delivering", F_STR("topic", topic_name(r)),
                        F_SLICE("id", record_id(r)), F_INT("seq", record_seq(r)),
                        F_SLICE("trace_id", trace_id(record_trace(r))));
        if (gw->current.type == EVENT_EMIT)
                emit_load(&gw->emit, &gw->current);
        if (gw->current.type == EVENT_ACK && !own)
                clientevent_answer(gw, &gw->current, record_key(r));
        if (!own && gw->current.conversation_id)
                room_apply(gw, slice_str(gw->current.conversation_id), &gw->current, record_seq(r),
                        r->timestamp_ms);
}

/* ---- frames ---- */

static struct msg *emit_frame(const struct gateway *gw, struct slice cursor)
{
        const struct event *e = &gw->current;
        const struct emit *m = &gw->emit;
        return sio_frame(m->nsp, slice_str(e->event_name),
                slice_str(e->args_json ? e->args_json : ""), cursor, m->attachments,
                m->attachment_count);
}

const char *egress_event_name(const struct event *e)
{
        static const char *const names[EVENT_TYPE_COUNT] = {
                [EVENT_MESSAGE_CREATED] = "new_message",
                [EVENT_TYPING] = "typing",
                [EVENT_RECEIPT_READ] = "message_read",
                [EVENT_MEMBER_ADDED] = "member_added",
                [EVENT_MEMBER_REMOVED] = "member_removed",
        };
        if (e->type == EVENT_EMIT)
                return e->event_name;
        /* Who enters an open conversation is told to nobody: a crowd that joins a room of n would be
         * n times n messages. Who was added by somebody is. */
        if (e->type == EVENT_MEMBER_ADDED && !e->sender_id)
                return NULL;
        return names[e->type];
}

static struct msg *on_frame(
        void *app, const struct record *r, unsigned variant, struct slice cursor, bool own)
{
        UNUSED(own);
        struct gateway *gw = app;
        if (!gw->current_ok || gw->current_of != r)
                return NULL;
        const struct event *e = &gw->current;
        const char *name = egress_event_name(e);
        if (!name)
                return NULL;
        struct slice stamp = variant_has_cursor(variant) ? cursor : SLICE_NONE;
        struct msg *m;
        if (e->type == EVENT_EMIT) {
                m = emit_frame(gw, stamp);
        } else {
                struct buf json = BUF_EMPTY;
                event_client_json(e, record_seq(r), r->timestamp_ms, &json);
                m = sio_frame(gw->app->namespaces.names[variant_nsp(variant)], slice_str(name),
                        buf_slice(&json), stamp, NULL, 0);
                buf_done(&json);
        }
        return m;
}

/* All slots are chat.events', so they have one epoch. */
static size_t on_cursor(void *app, const struct subscriber *sub, const uint32_t *epochs,
        const int64_t *offsets, char *dst)
{
        UNUSED(sub);
        struct gateway *gw = app;
        return cursor_encode(epochs[0], offsets, fanout_slot_count(gw->fanout), dst);
}

/* ---- rights ---- */

static enum fanout_verdict on_verdict(void *app, struct subscription *sn, const struct record *r)
{
        struct gateway *gw = app;
        if (!gw->current_ok || gw->current_of != r)
                return FANOUT_SKIP;
        const struct event *e = &gw->current;
        struct session *s = container_of(sn->sub, struct session, sub);
        if (e->type == EVENT_EMIT && !emit_is_for(&gw->emit, s))
                return FANOUT_SKIP;
        bool membership = e->type == EVENT_MEMBER_ADDED || e->type == EVENT_MEMBER_REMOVED;
        bool self = membership && slice_is(session_user(s), e->user_id);
        /* Rooms are everywhere, chat is in / alone. */
        if (e->type != EVENT_EMIT && !membership && session_nsp(s) != 0)
                return FANOUT_SKIP;
        if (self && e->type == EVENT_MEMBER_REMOVED)
                return FANOUT_DELIVER_AND_MUTE;
        if (self)
                return FANOUT_DELIVER_AND_UNMUTE;
        return FANOUT_DELIVER;
}

/* ---- writes ---- */

static int on_push(void *app, struct subscriber *sub, struct msg *m, bool catchup)
{
        UNUSED(app);
        struct session *s = container_of(sub, struct session, sub);
        return sio_push(session_socket(s), m, catchup);
}

static void on_flush(void *app, struct subscriber *sub)
{
        UNUSED(app);
        sio_flush(session_socket(container_of(sub, struct session, sub)));
}

static void on_record(void *app, const struct record *r)
{
        struct gateway *gw = app;
        switch (r->topic) {
        case TOPIC_SESSIONS:
                session_record_seen(gw, r);
                break;
        case TOPIC_CONTROL:
                control_record(gw, r);
                break;
        case TOPIC_ACCESS:
                access_record(gw, r);
                break;
        default:
                break;
        }
}

static void on_live(void *app, struct subscriber *sub, enum fanout_tier tier, int64_t took_ms)
{
        UNUSED(sub);
        struct gateway *gw = app;
        metrics_add(gw->app->metrics, M_catchups, (unsigned)tier, 1);
        metrics_observe(gw->app->metrics, M_catchup_time, (unsigned)tier, took_ms * 1000000);
}

static void on_gap(
        void *app, struct subscriber *sub, int32_t slot, int64_t from_seq, int64_t to_seq)
{
        struct gateway *gw = app;
        struct session *s = container_of(sub, struct session, sub);
        char args[128];
        int n = snprintf(args, sizeof(args), "{\"partition\":%d,\"fromSeq\":%lld,\"toSeq\":%lld}",
                slot, (long long)from_seq, (long long)to_seq);
        metrics_add(gw->app->metrics, M_resumes, (unsigned)metrics_label(M_resumes, "gap"), 1);
        sio_emit(session_socket(s), "gap", slice_of(args, (size_t)n));
}

/* No gap is known of: the client comes back with what it has. */
static void on_unreadable(void *app, struct subscriber *sub)
{
        struct gateway *gw = app;
        metrics_add(gw->app->metrics, M_resumes, RESUME_UNAVAILABLE, 1);
        session_drop(container_of(sub, struct session, sub), SIO_CLOSE_TRANSPORT_CLOSE);
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
