/*
 * Sending: messages, typing marks, read marks. An ack is given when Kafka has confirmed the write; for
 * a message with a clientId, when the record came back, so that the ack names the first one's seq.
 */
#include "messaging/call.h"

#include "messaging_sql.h"

#include "base/clock.h"

#include <stdlib.h>

#define BARRIER_MS 2000
#define DELIVERY_SLACK_MS 2000 /* see bus/bus.h */

static void answer_sent(struct call *c, int64_t seq, int64_t created_ms)
{
        char iso[CLOCK_ISO_TEXT];
        clock_iso(created_ms, iso);
        struct buf fields = BUF_EMPTY;
        buf_add_str(&fields, "\"message\":{\"id\":\"");
        buf_add_str(&fields, c->message_id);
        buf_add_str(&fields, "\",\"seq\":");
        buf_add_i64(&fields, seq);
        buf_add_str(&fields, ",\"createdAt\":\"");
        buf_add_str(&fields, iso);
        buf_add_str(&fields, "\"}");
        call_ok(c, buf_slice(&fields));
        buf_done(&fields);
}

static int64_t seq_of(const struct call *c, int64_t offset)
{
        return ((int64_t)fanout_epoch(c->gw->fanout, TOPIC_EVENTS) << SEQ_EPOCH_SHIFT) + offset;
}

static void message_passed(struct fanout_wait *w, int64_t original)
{
        struct call *c = container_of(w, struct call, wait);
        if (original < 0) {
                call_fail_outcome(c, BUS_UNKNOWN); /* the log was made anew meanwhile */
                return;
        }
        int64_t created = c->send.timestamp_ms > 0 ? c->send.timestamp_ms : clock_wall_ms();
        const struct fanout *f = c->gw->fanout;
        const struct record *r = fanout_newest(f, TOPIC_EVENTS, slice_str(c->conversation_id));
        for (; r && r->offset >= original; r = fanout_prev(f, r))
                if (r->offset == original)
                        created = r->timestamp_ms;
        answer_sent(c, seq_of(c, original), created);
}

static void message_produced(struct call *c, enum bus_outcome outcome)
{
        if (outcome != BUS_OK) {
                call_fail_outcome(c, outcome);
                return;
        }
        if (!c->ask.client_id && c->send.timestamp_ms > 0) {
                answer_sent(c, seq_of(c, c->send.offset), c->send.timestamp_ms);
                return;
        }
        c->waiting = true;
        c->wait.passed = message_passed;
        fanout_wait_passed(
                c->gw->fanout, TOPIC_EVENTS, (uint16_t)c->send.partition, c->send.offset, &c->wait);
}

static void produce_message(struct call *c)
{
        if (call_produce(c, "chat.events", EVENT_MESSAGE_CREATED, slice_str(c->message_id),
                    slice_str(c->conversation_id), message_produced))
                call_leave_lane(c);
}

/* ---- a repeated send from before the dedupe window ---- */

static const struct record *find_in_log(const struct call *c, const struct feed_rows *rows)
{
        struct feed_over over =
                feed_over(c->gw->feed, TOPIC_EVENTS, slice_str(c->conversation_id), rows);
        const struct record *r;
        while ((r = feed_over_next(&over)))
                if (slice_is(record_id(r), c->message_id))
                        return r;
        return NULL;
}

static void looked_up(void *arg, int err, const struct feed_rows *rows)
{
        struct call *c = arg;
        c->query = NULL;
        if (err < 0) {
                call_fail(c, ERR_UNAVAILABLE,
                        "whether this clientId was stored before cannot be read now");
                return;
        }
        if (rows->rows > 0 && rows->columns == 2) {
                const char *const *v = rows->values;
                answer_sent(c, strtoll(v[0], NULL, 10), strtoll(v[1], NULL, 10));
                return;
        }
        const struct record *r = find_in_log(c, rows);
        if (r)
                answer_sent(c, seq_of(c, r->offset), r->timestamp_ms);
        else
                produce_message(c);
}

/* Whether the first attempt may have left the window by the time that this one stands in the log, which takes as long as a delivery
 * may. Of a window that is hardly longer than that a quarter is relied on. */
static bool before_window(const struct call *c)
{
        const struct app *app = c->gw->app;
        int64_t window = (int64_t)app->feed_settings.dedupe_window_ms;
        int64_t delivery = (int64_t)app->bus_settings.delivery_timeout_ms + DELIVERY_SLACK_MS;
        window = delivery < window - window / 4 ? window - delivery : window / 4;
        return c->ask.client_id && c->ask.sent_at_ms >= 0 &&
               c->ask.sent_at_ms < clock_wall_ms() - window;
}

static void look_up(void *arg, int err)
{
        struct call *c = arg;
        c->barrier = NULL;
        if (err < 0) {
                call_fail(c, ERR_UNAVAILABLE, "the log's end cannot be read now");
                return;
        }
        const char *params[] = {c->message_id};
        c->query = feed_query(c->gw->feed, TOPIC_EVENTS, slice_str(c->conversation_id),
                &messaging_sql[MESSAGING_SQL_MESSAGE_BY_ID], params, 1, looked_up, c);
        feed_query_bridge(c->query, slice_str(c->conversation_id));
}

static void send_authorized(struct call *c)
{
        if (before_window(c))
                c->barrier = feed_barrier(c->gw->feed, TOPIC_EVENTS, slice_str(c->conversation_id),
                        BARRIER_MS, look_up, c);
        else
                produce_message(c);
}

void op_send(struct call *c)
{
        struct event e;
        struct event_error err;
        event_message_id(slice_str(c->conversation_id), slice_str(c->user),
                slice_str(c->ask.client_id), clock_wall_ms(), c->message_id);
        if (event_parse(SLICE_LIT("chat.events"), SLICE_LIT("tern.message.created"),
                    slice_str(c->message_id), slice_str(c->conversation_id),
                    buf_slice(&c->ask.data), &e, &err) < 0) {
                call_fail_event(c, &err);
                return;
        }
        /* As compact as the log wants it, however the client wrote it. */
        buf_reset(&c->ask.data);
        event_encode(&e, &c->ask.data);
        event_done(&e);
        call_authorize(c, send_authorized);
}

/* ---- typing ---- */

static void typing_authorized(struct call *c)
{
        struct event e = {.type = EVENT_TYPING,
                .conversation_id = c->conversation_id,
                .user_id = c->user,
                .is_typing = c->ask.flag};
        struct buf value = BUF_EMPTY;
        event_encode(&e, &value);
        char id[UUID_TEXT];
        uuid_v7(clock_wall_ms(), id);
        (void)!call_produce_beside(c, "chat.signals", EVENT_TYPING, slice_str(id),
                slice_str(c->conversation_id), buf_slice(&value), NULL);
        buf_done(&value);
        call_ok(c, SLICE_NONE);
}

void op_typing(struct call *c)
{
        call_authorize(c, typing_authorized);
}

/* ---- read marks ---- */

static void read_produced(struct call *c, enum bus_outcome outcome)
{
        if (outcome == BUS_OK)
                call_ok(c, SLICE_NONE);
        else
                call_fail_outcome(c, outcome);
}

static void produce_read(struct call *c)
{
        struct event e = {.type = EVENT_RECEIPT_READ,
                .conversation_id = c->conversation_id,
                .user_id = c->user,
                .seq = c->ask.seq};
        event_encode(&e, &c->ask.data);
        struct buf key = BUF_EMPTY;
        event_key(&e, &key);
        char id[UUID_TEXT];
        uuid_v7(clock_wall_ms(), id);
        call_produce(c, "chat.receipts", EVENT_RECEIPT_READ, slice_str(id), buf_slice(&key),
                read_produced);
        buf_done(&key);
}

static bool is_beyond_end(const struct call *c)
{
        return c->ask.seq >= session_position_seq(c->gw, slice_str(c->conversation_id));
}

/* The client may be ahead of this gateway, but not of the log. */
static void end_known(void *arg, int err)
{
        struct call *c = arg;
        c->barrier = NULL;
        if (err < 0)
                call_fail(c, ERR_UNAVAILABLE, "the log's end cannot be read now");
        else if (is_beyond_end(c))
                call_fail(c, ERR_INVALID, "seq is beyond the conversation's end");
        else
                produce_read(c);
}

/* Marks only ever rise. */
static bool is_marked(const struct call *c)
{
        const struct room *r = room_get(c->gw, slice_str(c->conversation_id));
        const struct member *m = r && r->followed ? map_get(&r->members, slice_str(c->user)) : NULL;
        return m && m->read_seq >= c->ask.seq;
}

static void read_authorized(struct call *c)
{
        if (is_marked(c))
                call_ok(c, SLICE_NONE);
        else if (is_beyond_end(c))
                c->barrier = feed_barrier(c->gw->feed, TOPIC_EVENTS, slice_str(c->conversation_id),
                        BARRIER_MS, end_known, c);
        else
                produce_read(c);
}

void op_mark_read(struct call *c)
{
        call_authorize(c, read_authorized);
}
