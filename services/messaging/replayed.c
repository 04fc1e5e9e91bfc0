/*
 * Records that an operator shows again (tern.replay in `control`): the event as it was, marked, to live clients only.
 *
 * No cursor goes with it, and its last argument is an object, so that a stock client's place in the log stays where it is and a
 * resume does not repeat it. Rights are those of the room: only who is in it gets it.
 */
#include "messaging/session.h"

#include "messaging/emit.h"

struct showing {
        const char *user;        /* NULL: everybody in the room */
        const struct emit *emit; /* NULL: no emit */
        struct msg *msg;
};

static void show(void *arg, struct subscription *sn)
{
        const struct showing *sh = arg;
        struct session *s = container_of(sn->sub, struct session, sub);
        if (sn->muted || (sh->user && !slice_is(session_user(s), sh->user)) ||
                (sh->emit ? !emit_is_for(sh->emit, s) : session_nsp(s) != 0))
                return;
        if (sio_push(session_socket(s), sh->msg, false) == 0)
                sio_flush(session_socket(s));
}

static void mark(struct buf *args)
{
        if (args->n)
                buf_add_char(args, ',');
        buf_add_str(args, "{\"replayed\":true}");
}

/* {…} becomes {…,"replayed":true}. */
static void mark_object(struct buf *json)
{
        json->n--;
        if (json->n > 1)
                buf_add_char(json, ',');
        buf_add_str(json, "\"replayed\":true}");
}

static struct slice room_of(const struct event *e, struct slice record_key)
{
        return e->type == EVENT_EMIT ? record_key : slice_str(e->conversation_id);
}

static void show_in(
        struct gateway *gw, struct showing *sh, const struct event *e, const struct event *replay)
{
        const char *name = egress_event_name(e);
        struct emit emit = {.attachment_count = 0};
        struct buf args = BUF_EMPTY;
        if (!name)
                return;
        if (e->type == EVENT_EMIT) {
                emit_load(&emit, e);
                buf_add_str(&args, e->args_json ? e->args_json : "");
                mark(&args);
                sh->emit = &emit;
                sh->msg = sio_frame(emit.nsp, slice_str(name), buf_slice(&args), SLICE_NONE,
                        emit.attachments, emit.attachment_count);
        } else {
                event_client_json(e, replay->seq, replay->before_ms, &args);
                mark_object(&args);
                sh->msg = sio_frame(
                        SLICE_LIT("/"), slice_str(name), buf_slice(&args), SLICE_NONE, NULL, 0);
        }
        struct slice room = room_of(e, slice_str(replay->record_key));
        if (room.n)
                fanout_room_each(gw->fanout, TOPIC_EVENTS, room, show, sh);
        msg_unref(sh->msg);
        emit_done(&emit);
        buf_done(&args);
}

void replayed_record(struct gateway *gw, const struct event *replay, struct slice key)
{
        struct event e;
        struct event_error err;
        struct showing sh = {.user = NULL};
        struct buf user = BUF_EMPTY;
        if (event_parse(slice_str(replay->topic), slice_str(replay->kind),
                    slice_str(replay->notification_id), slice_str(replay->record_key),
                    slice_str(replay->data_json), &e, &err) < 0)
                return;
        bool to_room = slice_starts(key, "conversation:");
        if (!to_room && event_user_id_valid(key)) {
                buf_add_slice(&user, key);
                sh.user = buf_cstr(&user);
        }
        if (sh.user || (to_room && slice_eq(slice_from(key, 13),
                                           room_of(&e, slice_str(replay->record_key)))))
                show_in(gw, &sh, &e, replay);
        buf_done(&user);
        event_done(&e);
}
