/*
 * Reading a user's notifications and marking them: lists, counts, read marks.
 */
#include "notification/ask.h"

#include "notification_sql.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BARRIER_MS 2000

/* What the tail says of the user's notifications, oldest first. */
struct tail_event {
        struct event e;
        int64_t seq, time_ms;
};
struct tail_view {
        struct tail_event *at; /* owned */
        size_t count;
};

static struct tail_view tail_of(const struct ask *a, int64_t from_offset)
{
        const struct fanout *f = a->gw->fanout;
        struct tail_view v = {0};
        size_t most = 0;
        for (const struct record *r = fanout_newest(f, TOPIC_NOTIFICATIONS, slice_str(a->user));
                r && r->offset >= from_offset; r = fanout_prev(f, r))
                most++;
        v.at = xcalloc(most, sizeof(*v.at));
        size_t at = most;
        for (const struct record *r = fanout_newest(f, TOPIC_NOTIFICATIONS, slice_str(a->user));
                r && r->offset >= from_offset; r = fanout_prev(f, r)) {
                struct event_error err;
                struct tail_event *t = &v.at[at - 1];
                if (r->flags & (RECORD_DUPLICATE | RECORD_FOREIGN) ||
                        event_parse(SLICE_LIT("notifications"), record_type(r), record_id(r),
                                record_key(r), record_value(r), &t->e, &err) < 0)
                        continue;
                t->seq = record_seq(r);
                t->time_ms = r->timestamp_ms;
                at--;
        }
        v.count = most - at;
        memmove(v.at, v.at + at, v.count * sizeof(*v.at));
        return v;
}

static void tail_done(struct tail_view *v)
{
        for (size_t i = 0; i < v->count; i++)
                event_done(&v->at[i].e);
        free(v->at);
}

/* Whether something after index says that the notification is read. */
static bool read_later(const struct tail_view *v, size_t from, const char *id, int64_t seq)
{
        for (size_t i = from; i < v->count; i++) {
                const struct event *e = &v->at[i].e;
                if (e->type == EVENT_NOTIFICATION_READ && strcmp(e->notification_id, id) == 0)
                        return true;
                if (e->type == EVENT_NOTIFICATION_READ_ALL && seq <= e->seq)
                        return true;
        }
        return false;
}

/* ---- after the barrier: a query whose rows the tail is laid over ---- */

static void unavailable(struct ask *a)
{
        ask_fail(a, ERR_UNAVAILABLE, "the notifications cannot be read now");
}

/* ---- list ---- */

struct page {
        struct buf json;
        size_t count;
        int64_t last_seq;
        bool more;
};

static void add_entry(struct ask *a, struct page *p, const struct event *e, int64_t seq,
        int64_t created_ms, bool read)
{
        if ((a->unread_only && read) || seq >= a->before)
                return;
        if (p->count == a->limit) {
                p->more = true;
                return;
        }
        if (p->count++)
                buf_add_char(&p->json, ',');
        event_client_json(e, seq, created_ms, &p->json);
        p->json.n--; /* the closing brace comes after one more member */
        buf_add_str(&p->json, read ? ",\"read\":true}" : ",\"read\":false}");
        p->last_seq = seq;
}

static void add_row(struct ask *a, struct page *p, const struct tail_view *v, const char *const *c)
{
        int64_t seq = strtoll(c[1], NULL, 10);
        struct event e = {
                .type = EVENT_NOTIFICATION_CREATED,
                .id = (char *)(uintptr_t)c[0],
                .user_id = a->user,
                .kind = (char *)(uintptr_t)c[2],
                .title = (char *)(uintptr_t)c[3],
                .body = (char *)(uintptr_t)c[4],
                .data_json = (char *)(uintptr_t)c[5],
        };
        bool read = (c[7] && c[7][0] == 't') || read_later(v, 0, c[0], seq);
        add_entry(a, p, &e, seq, strtoll(c[6], NULL, 10), read);
}

static bool in_rows(const struct feed_rows *rows, const char *id)
{
        for (size_t i = 0; i < rows->rows; i++)
                if (strcmp(rows->values[i * rows->columns], id) == 0)
                        return true;
        return false;
}

static void listed(void *arg, int err, const struct feed_rows *rows)
{
        struct ask *a = arg;
        a->query = NULL;
        if (err < 0 || (rows->rows && rows->columns != 8)) {
                unavailable(a);
                return;
        }
        struct tail_view v = tail_of(a, rows->ingested);
        struct page p = {0};
        for (size_t i = v.count; i-- > 0;) {
                const struct tail_event *t = &v.at[i];
                if (t->e.type == EVENT_NOTIFICATION_CREATED && !in_rows(rows, t->e.id))
                        add_entry(a, &p, &t->e, t->seq, t->time_ms,
                                read_later(&v, i + 1, t->e.id, t->seq));
        }
        for (size_t i = 0; i < rows->rows; i++)
                add_row(a, &p, &v, rows->values + i * rows->columns);
        tail_done(&v);
        char cursor[SSE_ID_TEXT];
        size_t n = gateway_sse_id(a->gw, gateway_partition_of(a->gw->app, slice_str(a->user)),
                fanout_cursor(a->gw->fanout), cursor);
        struct buf json = BUF_EMPTY;
        buf_add_str(&json, "{\"notifications\":[");
        buf_add_slice(&json, buf_slice(&p.json));
        buf_printf(&json, "],\"cursor\":\"%.*s\",\"next\":", (int)n, cursor);
        if (p.more)
                buf_add_i64(&json, p.last_seq);
        else
                buf_add_str(&json, "null");
        buf_add_char(&json, '}');
        ask_answer(a, 200, buf_slice(&json));
        buf_done(&json);
        buf_done(&p.json);
}

static void start_list_query(void *arg, int err)
{
        struct ask *a = arg;
        a->barrier = NULL;
        if (err < 0) {
                unavailable(a);
                return;
        }
        /* Marks in the tail may turn unread rows into read ones: ask for some more than the page. */
        char before[24], most[16];
        snprintf(before, sizeof(before), "%" PRId64, a->before);
        snprintf(most, sizeof(most), "%u", a->limit * 2 + 1);
        const char *params[] = {a->user, before, most, a->unread_only ? "true" : "false"};
        a->query = feed_query(a->gw->feed, TOPIC_NOTIFICATIONS, slice_str(a->user),
                &notification_sql[NOTIFICATION_SQL_LIST], params, 4, listed, a);
}

void op_list(struct ask *a)
{
        if (a->before < 0)
                a->before = INT64_MAX;
        a->barrier = feed_barrier(a->gw->feed, TOPIC_NOTIFICATIONS, slice_str(a->user), BARRIER_MS,
                start_list_query, a);
}

/* ---- count ---- */

static void counted(void *arg, int err, const struct feed_rows *rows)
{
        struct ask *a = arg;
        a->query = NULL;
        if (err < 0) {
                unavailable(a);
                return;
        }
        struct tail_view v = tail_of(a, rows->ingested);
        int64_t count = 0;
        for (size_t i = 0; i < rows->rows; i++) {
                const char *const *c = rows->values + i * rows->columns;
                count += !read_later(&v, 0, c[0], strtoll(c[1], NULL, 10));
        }
        for (size_t i = 0; i < v.count; i++) {
                const struct tail_event *t = &v.at[i];
                if (t->e.type == EVENT_NOTIFICATION_CREATED && !in_rows(rows, t->e.id))
                        count += !read_later(&v, i + 1, t->e.id, t->seq);
        }
        tail_done(&v);
        char json[64];
        int n = snprintf(json, sizeof(json), "{\"count\":%lld}", (long long)count);
        ask_answer(a, 200, slice_of(json, (size_t)n));
}

static void start_count_query(void *arg, int err)
{
        struct ask *a = arg;
        a->barrier = NULL;
        if (err < 0) {
                unavailable(a);
                return;
        }
        const char *params[] = {a->user};
        a->query = feed_query(a->gw->feed, TOPIC_NOTIFICATIONS, slice_str(a->user),
                &notification_sql[NOTIFICATION_SQL_UNREAD], params, 1, counted, a);
}

void op_count(struct ask *a)
{
        a->barrier = feed_barrier(a->gw->feed, TOPIC_NOTIFICATIONS, slice_str(a->user), BARRIER_MS,
                start_count_query, a);
}

/* ---- marks ---- */

static void mark_passed(struct fanout_wait *w, int64_t original)
{
        UNUSED(original);
        ask_answer(container_of(w, struct ask, wait), 200, SLICE_LIT("{}"));
}

static void mark_reported(struct bus_send *send)
{
        struct ask *a = container_of(send, struct ask, send);
        a->sending = false;
        if (a->open && send->outcome == BUS_OK) {
                a->wait.passed = mark_passed;
                fanout_wait_passed(a->gw->fanout, TOPIC_NOTIFICATIONS, (uint16_t)send->partition,
                        send->offset, &a->wait);
        } else if (a->open) {
                enum error_code code = send->outcome == BUS_FAILED ? ERR_FAILED : ERR_UNKNOWN;
                ask_fail(a, code,
                        code == ERR_FAILED
                                ? "Kafka did not persist it, try again"
                                : "it is not known whether Kafka persisted it, try again");
        }
        rest_unhold(&a->rest);
}

static void produce_mark(struct ask *a, const struct event *e)
{
        struct buf value = BUF_EMPTY;
        event_encode(e, &value);
        char id[UUID_TEXT];
        uuid_v7(clock_wall_ms(), id);
        a->send = (struct bus_send){.reply = shard_mailbox(a->gw->shard), .done = mark_reported};
        a->sending = true;
        rest_hold(&a->rest);
        int r = gateway_produce(a->gw->app, "notifications", e->type, slice_str(id),
                slice_str(a->user), buf_slice(&value), &a->send);
        buf_done(&value);
        if (r == 0)
                return;
        a->sending = false;
        ask_fail(a, ERR_BUSY, "the queue to Kafka is full, try again");
        rest_unhold(&a->rest);
}

static void produce_read(struct ask *a)
{
        struct event e = {
                .type = EVENT_NOTIFICATION_READ, .user_id = a->user, .notification_id = a->id};
        produce_mark(a, &e);
}

static void one_found(void *arg, int err, const struct feed_rows *rows)
{
        struct ask *a = arg;
        a->query = NULL;
        if (err < 0)
                unavailable(a);
        else if (rows->rows == 1)
                produce_read(a);
        else
                ask_fail(a, ERR_NOT_FOUND, "there is no such notification of this user");
}

static bool in_tail(const struct ask *a)
{
        const struct fanout *f = a->gw->fanout;
        for (const struct record *r = fanout_newest(f, TOPIC_NOTIFICATIONS, slice_str(a->user)); r;
                r = fanout_prev(f, r))
                if (slice_is(record_id(r), a->id))
                        return true;
        return false;
}

static void mark_after_barrier(void *arg, int err)
{
        struct ask *a = arg;
        a->barrier = NULL;
        if (err < 0) {
                unavailable(a);
                return;
        }
        if (in_tail(a)) {
                produce_read(a);
                return;
        }
        const char *params[] = {a->id, a->user};
        a->query = feed_query(a->gw->feed, TOPIC_NOTIFICATIONS, slice_str(a->user),
                &notification_sql[NOTIFICATION_SQL_ONE], params, 2, one_found, a);
}

void op_mark_read(struct ask *a)
{
        if (in_tail(a))
                produce_read(a);
        else
                a->barrier = feed_barrier(a->gw->feed, TOPIC_NOTIFICATIONS, slice_str(a->user),
                        BARRIER_MS, mark_after_barrier, a);
}

static void mark_all_now(void *arg, int err)
{
        struct ask *a = arg;
        a->barrier = NULL;
        if (err < 0) {
                unavailable(a);
                return;
        }
        struct fanout *f = a->gw->fanout;
        uint16_t p = gateway_partition_of(a->gw->app, slice_str(a->user));
        int64_t head = ((int64_t)fanout_epoch(f, TOPIC_NOTIFICATIONS) << SEQ_EPOCH_SHIFT) +
                       fanout_position(f, TOPIC_NOTIFICATIONS, p) - 1;
        struct event e = {.type = EVENT_NOTIFICATION_READ_ALL,
                .user_id = a->user,
                .seq = a->seq >= 0 && a->seq < head ? a->seq : head};
        produce_mark(a, &e);
}

/* Without a seq: all that were in the log when the question came. */
void op_mark_all(struct ask *a)
{
        a->barrier = feed_barrier(
                a->gw->feed, TOPIC_NOTIFICATIONS, slice_str(a->user), BARRIER_MS, mark_all_now, a);
}
