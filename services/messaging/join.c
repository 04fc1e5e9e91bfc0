/*
 * Joining and leaving a conversation.
 *
 * The room goes live (held) in the turn in which the session's record is produced, so that `from` in
 * the record and the place where delivery begins are the same; the ack is queued when the record is
 * confirmed, and what came meanwhile follows it.
 */
#include "messaging/call.h"

#include "base/clock.h"

#define MISSED_MAX 500
#define MISSED_BYTES_MAX 262144

static void answer_join(struct call *c, const struct history_page *page)
{
        struct buf fields = BUF_EMPTY;
        buf_printf(&fields, "\"conversationId\":\"%s\",\"headSeq\":%lld,", c->conversation_id,
                (long long)(c->from_seq - 1));
        const struct room *r = room_get(c->gw, slice_str(c->conversation_id));
        if (r)
                receipts_json(r, &fields);
        else
                buf_add_str(&fields, "\"receipts\":[]");
        if (page) {
                buf_add_str(&fields, ",\"missed\":[");
                buf_add_slice(&fields, buf_slice(&page->json));
                buf_printf(&fields, "],\"more\":%s", page->more ? "true" : "false");
        }
        /* The ack, then what came meanwhile, then the next event of the lane, which may leave. */
        struct gateway *gw = c->gw;
        struct subscription *joined = c->joining;
        struct lane *lane = call_keep_lane(c);
        c->joining = NULL;
        call_ok(c, buf_slice(&fields));
        buf_done(&fields);
        if (joined)
                subscriber_release(gw->fanout, joined);
        lane_leave(lane);
}

static void missed_loaded(struct call *c, int err, struct history_page *page)
{
        if (err < 0)
                call_fail(c, ERR_UNAVAILABLE, "the missed messages cannot be read now");
        else
                answer_join(c, page);
}

static void load_missed(struct call *c)
{
        if (c->ask.after < 0) {
                answer_join(c, NULL);
                return;
        }
        c->ask.before = c->from_seq;
        history_load(c, MISSED_MAX, MISSED_BYTES_MAX, missed_loaded);
}

static void caught_up(struct fanout_wait *w, int64_t original)
{
        UNUSED(original);
        load_missed(container_of(w, struct call, wait));
}

static void join_live(struct call *c)
{
        struct slice id = slice_str(c->conversation_id);
        int64_t here = session_position_seq(c->gw, id);
        if (!c->session) {
                call_fail(c, ERR_FAILED, "the connection is gone");
        } else if (c->from_seq > here &&
                   c->from_seq >> SEQ_EPOCH_SHIFT == here >> SEQ_EPOCH_SHIFT) {
                /* The client has seen more than this gateway: what lies between belongs to history. */
                uint16_t p =
                        (uint16_t)partition_of(id, feed_partitions(c->gw->app->feed, TOPIC_EVENTS));
                int64_t last = (c->from_seq & ((INT64_C(1) << SEQ_EPOCH_SHIFT) - 1)) - 1;
                c->wait.passed = caught_up;
                fanout_wait_passed(c->gw->fanout, TOPIC_EVENTS, p, last, &c->wait);
        } else {
                load_missed(c);
        }
}

static void record_confirmed(struct session_wait *w, bool confirmed)
{
        /* If not, the session was marked unrecoverable; the room is live all the same. */
        UNUSED(confirmed);
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
        if (subscriber_find(&s->sub, TOPIC_EVENTS, id)) {
                /* Followed already: it keeps its from, and what is live begins at the client's place, which may be before this
                 * gateway's or beyond it. If it was muted, the record that gave the right back unmutes it when the
                 * client's place in the log comes to it. */
                c->from_seq = session_next_seq(s, id);
                join_live(c);
                return;
        }
        if (s->room_count >= c->gw->app->settings.rooms_max) {
                call_fail(c, ERR_RATE_LIMITED,
                        "a socket may follow %u conversations (TERN_ROOMS_MAX)",
                        c->gw->app->settings.rooms_max);
                return;
        }
        c->joining = subscriber_join(
                c->gw->fanout, &s->sub, TOPIC_EVENTS, id, session_position_seq(c->gw, id), true);
        c->from_seq = c->joining->from_seq;
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
        room_ask_whole(c->gw, slice_str(c->conversation_id), c->user, &c->room_ask, asked);
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
        int r = call_produce_beside(c, "chat.events", EVENT_CONVERSATION_CREATED, slice_str(id),
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
        uuid_v7(clock_wall_ms(), id);
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
        /* With Postgres away, who follows the room already has shown his right. */
        if (answer == ROOM_MEMBER || (answer == ROOM_UNKNOWN && call_subscription(c)))
                subscribe(c);
        else if (open)
                enter(c, answer != ROOM_NOT_MEMBER);
        else
                call_refuse_room(c, answer);
}

/* All members are asked for, because the ack tells what each has read. */
void op_join(struct call *c)
{
        room_ask_whole(c->gw, slice_str(c->conversation_id), c->user, &c->room_ask, asked);
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
