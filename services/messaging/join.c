/*
 * Joining and leaving a conversation.
 *
 * The room goes live (held) in the turn in which the session's record is produced, so that `from` in
 * the record and the place where delivery begins are the same; the ack is queued when the record is
 * confirmed, and what came meanwhile follows it.
 */
#include "messaging/call.h"

#include <stdlib.h>

#define MISSED_MAX 500
#define MISSED_BYTES_MAX 262144

static void answer_join(struct call *c, const struct history_page *page)
{
        struct buf fields = BUF_EMPTY;
        buf_printf(&fields, "\"conversationId\":\"%s\",\"headSeq\":%lld", c->conversation_id,
                (long long)(c->from_seq - 1));
        struct room *r = room_get(c->gw, slice_str(c->conversation_id));
        if (r) {
                buf_add_char(&fields, ',');
                receipts_json(r, &fields);
        } else {
                buf_add_str(&fields, ",\"receipts\":[]");
        }
        if (page) {
                buf_add_str(&fields, ",\"missed\":[");
                buf_add_slice(&fields, buf_slice(&page->json));
                buf_printf(&fields, "],\"more\":%s", page->more ? "true" : "false");
        }
        struct subscription *joined = c->joining;
        struct gateway *gw = c->gw;
        c->joining = NULL;
        struct session *s = c->session;
        call_ok(c, buf_slice(&fields));
        buf_done(&fields);
        /* After the ack, and only if the socket is still there. */
        if (joined && s && s->state == SESSION_LIVE)
                subscriber_release(gw->fanout, joined);
}

static void missed_loaded(struct call *c, int err, struct history_page *page)
{
        if (err < 0)
                call_fail(c, ERR_UNAVAILABLE, "the missed messages cannot be read now");
        else
                answer_join(c, page);
}

static void join_live(struct call *c)
{
        if (c->ask.after < 0) {
                answer_join(c, NULL);
                return;
        }
        c->ask.before = c->from_seq;
        history_load(c, MISSED_MAX, MISSED_BYTES_MAX, missed_loaded);
}

static void record_confirmed(struct session_wait *w, bool confirmed)
{
        UNUSED(confirmed); /* if not, the session was marked unrecoverable; the room is live all the same */
        join_live(container_of(w, struct call, record_wait));
}

static void subscribe(struct call *c)
{
        struct session *s = c->session;
        if (!s || s->state != SESSION_LIVE) {
                call_fail(c, ERR_FAILED, "the connection is closing");
                return;
        }
        struct slice id = slice_str(c->conversation_id);
        struct subscription *sn = subscriber_find(&s->sub, TOPIC_EVENTS, id);
        c->from_seq = session_position_seq(c->gw, id);
        if (sn) {
                /* Followed already: it keeps its from, and whatever right was lost is back. */
                sn->muted = false;
                join_live(c);
                return;
        }
        if (s->room_count >= c->gw->app->settings.rooms_max) {
                call_fail(c, ERR_RATE_LIMITED,
                        "a socket may follow %u conversations (TERN_ROOMS_MAX)",
                        c->gw->app->settings.rooms_max);
                return;
        }
        c->joining = subscriber_join(c->gw->fanout, &s->sub, TOPIC_EVENTS, id, c->from_seq, true);
        s->room_count++;
        room_followed(c->gw, id);
        c->record_wait.done = record_confirmed;
        if (s->log)
                session_log_write(s, &c->record_wait);
        else
                join_live(c);
}

/* ---- open conversations: a join creates or enters ---- */

static void asked(struct room_ask *a, enum room_answer answer);

static void entry_passed(struct fanout_wait *w, int64_t original)
{
        UNUSED(original);
        struct call *c = container_of(w, struct call, wait);
        room_ask(c->gw, slice_str(c->conversation_id), c->user, &c->room_ask, asked);
}

static void entry_produced(struct call *c, enum bus_outcome outcome)
{
        if (outcome != BUS_OK) {
                call_fail_outcome(c, outcome);
                return;
        }
        c->wait.passed = entry_passed;
        fanout_wait_passed(
                c->gw->fanout, TOPIC_EVENTS, (uint16_t)c->send.partition, c->send.offset, &c->wait);
}

static bool create_conversation(struct call *c)
{
        /* One id for all who race: the first record counts, the others are duplicates. */
        char id[UUID_TEXT];
        event_message_id(slice_str(c->conversation_id), SLICE_LIT(""),
                SLICE_LIT("conversation.created"), 0, id);
        struct event e = {.type = EVENT_CONVERSATION_CREATED,
                .conversation_id = c->conversation_id,
                .sender_id = c->user,
                .open = true};
        struct buf value = BUF_EMPTY;
        event_encode(&e, &value);
        int r = gateway_produce(c->gw, "chat.events", EVENT_CONVERSATION_CREATED, slice_str(id),
                slice_str(c->conversation_id), buf_slice(&value), NULL);
        buf_done(&value);
        return r == 0;
}

static void enter(struct call *c, bool absent)
{
        c->entered = true;
        if (absent && !create_conversation(c)) {
                call_fail_outcome(c, BUS_BUSY);
                return;
        }
        char id[UUID_TEXT];
        uuid_v7(0, id);
        char role[] = "member";
        struct event e = {.type = EVENT_MEMBER_ADDED,
                .conversation_id = c->conversation_id,
                .user_id = c->user,
                .role = role};
        buf_reset(&c->ask.data);
        event_encode(&e, &c->ask.data);
        call_produce(c, "chat.events", EVENT_MEMBER_ADDED, slice_str(id),
                slice_str(c->conversation_id), entry_produced);
}

static void asked(struct room_ask *a, enum room_answer answer)
{
        struct call *c = container_of(a, struct call, room_ask);
        bool open = c->gw->app->settings.open_conversations && !c->entered;
        if (answer == ROOM_MEMBER)
                subscribe(c);
        else if (open)
                enter(c, answer != ROOM_NOT_MEMBER);
        else
                call_refuse_room(c, answer);
}

void op_join(struct call *c)
{
        if (call_subscription(c))
                subscribe(c);
        else
                room_ask(c->gw, slice_str(c->conversation_id), c->user, &c->room_ask, asked);
}

/* ---- leaving ---- */

static void leave_confirmed(struct session_wait *w, bool confirmed)
{
        UNUSED(confirmed);
        call_ok(container_of(w, struct call, record_wait), SLICE_NONE);
}

void op_leave(struct call *c)
{
        struct session *s = c->session;
        struct slice id = slice_str(c->conversation_id);
        struct subscription *sn = subscriber_find(&s->sub, TOPIC_EVENTS, id);
        if (!sn) {
                call_ok(c, SLICE_NONE);
                return;
        }
        subscriber_leave(c->gw->fanout, sn);
        s->room_count--;
        room_unfollowed(c->gw, id);
        c->record_wait.done = leave_confirmed;
        if (s->log)
                session_log_write(s, &c->record_wait);
        else
                call_ok(c, SLICE_NONE);
}
