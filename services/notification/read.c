/*
 * Reading a user's notifications and marking them: lists, counts, read marks.
 */
#include "notification/ask.h"

#include "notification_sql.h"

#include "base/clock.h"
#include "base/jsonscan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BARRIER_MS 2000

/* What the log says of the user's notifications that the rows do not have, newest first, and which of them it says are read. */
struct log_event {
        struct event e;
        int64_t seq, time_ms;
};
struct log_view {
        struct log_event *at; /* owned */
        size_t count;
        struct map marks;     /* notification id -> the newest struct log_event that marks it */
        int64_t read_all_seq; /* everything up to it is read; -1 = nothing */
};

static const struct record *newest_of(const struct ask *a)
{
        return fanout_newest(a->gw->fanout, TOPIC_NOTIFICATIONS, slice_str(a->user));
}

static void note_mark(struct log_view *v, struct log_event *t)
{
        if (t->e.type == EVENT_NOTIFICATION_READ)
                map_put(&v->marks, slice_str(t->e.notification_id), t);
        else if (t->e.type == EVENT_NOTIFICATION_READ_ALL && t->e.seq > v->read_all_seq)
                v->read_all_seq = t->e.seq;
}

static void parse_over(const struct record *r, struct log_view *v)
{
        struct event_error err;
        struct log_event *t = &v->at[v->count];
        if (event_parse(SLICE_LIT("notifications"), record_type(r), record_id(r), record_key(r),
                    record_value(r), &t->e, &err) < 0)
                return;
        t->seq = record_seq(r);
        t->time_ms = r->timestamp_ms;
        v->count++;
}

static struct log_view log_over(const struct ask *a, const struct feed_rows *rows)
{
        const struct feed_over newest =
                feed_over(a->gw->feed, TOPIC_NOTIFICATIONS, slice_str(a->user), rows);
        struct log_view v = {.marks = MAP_EMPTY, .read_all_seq = -1};
        size_t most = 0;
        for (struct feed_over o = newest; feed_over_next(&o);)
                most++;
        v.at = xcalloc(most + 1, sizeof(*v.at));
        const struct record *r;
        for (struct feed_over o = newest; (r = feed_over_next(&o));)
                parse_over(r, &v);
        for (size_t i = v.count; i-- > 0;)
                note_mark(&v, &v.at[i]);
        return v;
}

static void log_done(struct log_view *v)
{
        map_done(&v->marks);
        for (size_t i = 0; i < v->count; i++)
                event_done(&v->at[i].e);
        free(v->at);
}

/* Whether the log says that a notification is read which stood at seq. */
static bool is_marked(const struct log_view *v, const char *id, int64_t seq)
{
        const struct log_event *mark = map_get(&v->marks, slice_str(id));
        return seq <= v->read_all_seq || (mark && mark->seq > seq);
}

/* ---- after the barrier: a query whose rows the log is laid over ---- */

static void query(struct ask *a, unsigned statement, const char *const *params,
        size_t count, void (*done)(void *arg, int err, const struct feed_rows *rows))
{
        a->query = feed_query(a->gw->feed, TOPIC_NOTIFICATIONS, slice_str(a->user),
                &notification_sql[statement], params, count, done, a);
        /* A writer that is behind is no reason to refuse. */
        feed_query_bridge(a->query, slice_str(a->user));
}

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

/* Marks in the log may turn unread rows into read ones: some more than the page. */
static size_t rows_asked(const struct ask *a)
{
        return (size_t)a->limit * 2 + 1;
}

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

static void add_row(struct ask *a, struct page *p, const struct log_view *v, const char *const *c)
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
        bool read = (c[7] && c[7][0] == 't') || is_marked(v, c[0], seq);
        add_entry(a, p, &e, seq, strtoll(c[6], NULL, 10), read);
}

/* Newest first: what only the log has, then what Postgres has. */
static void fill_page(
        struct ask *a, struct page *p, const struct log_view *v, const struct feed_rows *rows)
{
        struct map stored = MAP_EMPTY;
        for (size_t i = 0; i < rows->rows; i++)
                map_put(&stored, slice_str(rows->values[i * rows->columns]), a);
        for (size_t i = 0; i < v->count; i++) {
                const struct log_event *t = &v->at[i];
                if (t->e.type == EVENT_NOTIFICATION_CREATED &&
                        !map_get(&stored, slice_str(t->e.id)))
                        add_entry(a, p, &t->e, t->seq, t->time_ms, is_marked(v, t->e.id, t->seq));
        }
        for (size_t i = 0; i < rows->rows; i++)
                add_row(a, p, v, rows->values + i * rows->columns);
        map_done(&stored);
        /* Marks in the log may have emptied the page: there may be more below the rows all the same. */
        if (!p->more && rows->rows == rows_asked(a)) {
                p->more = true;
                p->last_seq = strtoll(rows->values[(rows->rows - 1) * rows->columns + 1], NULL, 10);
        }
}

static void listed(void *arg, int err, const struct feed_rows *rows)
{
        struct ask *a = arg;
        a->query = NULL;
        if (err < 0 || (rows->rows && rows->columns != 8)) {
                unavailable(a);
                return;
        }
        struct log_view v = log_over(a, rows);
        struct page p = {0};
        fill_page(a, &p, &v, rows);
        log_done(&v);
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
        char before[24], most[16];
        snprintf(before, sizeof(before), "%" PRId64, a->before);
        snprintf(most, sizeof(most), "%zu", rows_asked(a));
        const char *params[] = {a->user, before, most, a->unread_only ? "true" : "false"};
        query(a, NOTIFICATION_SQL_LIST, params, ARRAY_LEN(params), listed);
}

void op_list(struct ask *a)
{
        if (a->before < 0)
                a->before = INT64_MAX;
        a->barrier = feed_barrier(a->gw->feed, TOPIC_NOTIFICATIONS, slice_str(a->user), BARRIER_MS,
                start_list_query, a);
}

/* ---- count ---- */

static void ask_count(struct ask *a, const struct log_view *known);

static void counted(void *arg, int err, const struct feed_rows *rows)
{
        struct ask *a = arg;
        a->query = NULL;
        if (err < 0 || rows->rows != 1 || rows->columns != 1) {
                unavailable(a);
                return;
        }
        struct log_view v = log_over(a, rows);
        if (rows->ingested < a->marks_from) {
                /* The bridge's marks were not known to the statement. */
                a->marks_from = rows->ingested;
                ask_count(a, &v);
                log_done(&v);
                return;
        }
        int64_t count = strtoll(rows->values[0], NULL, 10);
        for (size_t i = 0; i < v.count; i++) {
                const struct log_event *t = &v.at[i];
                count += t->e.type == EVENT_NOTIFICATION_CREATED && !is_marked(&v, t->e.id, t->seq);
        }
        log_done(&v);
        char json[64];
        int n = snprintf(json, sizeof(json), "{\"count\":%lld}", (long long)count);
        ask_answer(a, 200, slice_of(json, (size_t)n));
}

/* All marks that the log is known to have go along: those that are stored already change nothing. */
static void ask_count(struct ask *a, const struct log_view *known)
{
        struct buf ids = BUF_EMPTY;
        buf_add_char(&ids, '[');
        size_t it = 0;
        const struct log_event *t;
        while ((t = map_next(&known->marks, &it))) {
                if (ids.n > 1)
                        buf_add_char(&ids, ',');
                buf_add_json_str(&ids, slice_str(t->e.notification_id));
        }
        buf_add_char(&ids, ']');
        char read_all[24];
        snprintf(read_all, sizeof(read_all), "%" PRId64, known->read_all_seq);
        const char *params[] = {a->user, read_all, buf_cstr(&ids)};
        query(a, NOTIFICATION_SQL_UNREAD, params, ARRAY_LEN(params), counted);
        buf_done(&ids);
}

static void start_count_query(void *arg, int err)
{
        struct ask *a = arg;
        a->barrier = NULL;
        if (err < 0) {
                unavailable(a);
                return;
        }
        a->marks_from = fanout_tail_start(a->gw->fanout, TOPIC_NOTIFICATIONS,
                gateway_partition_of(a->gw->app, slice_str(a->user)));
        struct log_view v = log_over(a, NULL);
        ask_count(a, &v);
        log_done(&v);
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
                slice_str(a->user), buf_slice(&value), slice_str(a->trace), &a->send);
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

enum seen { SEEN_NOTHING, SEEN_NOTIFICATION, SEEN_MARK };

static bool marks(const struct record *r, const char *id)
{
        struct slice raw;
        struct buf text = BUF_EMPTY;
        bool same = slice_is(record_type(r), "tern.notification.read") &&
                    json_member(record_value(r), "id", &raw) && json_decode_string(raw, &text) &&
                    slice_is(buf_slice(&text), id);
        buf_done(&text);
        return same;
}

/* What the log is known to say of the notification. */
static enum seen look(const struct ask *a, struct feed_over over)
{
        const struct record *r;
        while ((r = feed_over_next(&over))) {
                if (marks(r, a->id))
                        return SEEN_MARK;
                if (slice_is(record_id(r), a->id) &&
                        !slice_starts(record_type(r), "tern.notification.read"))
                        return SEEN_NOTIFICATION;
        }
        return SEEN_NOTHING;
}

/* True if the log was enough. Who marks again and again writes nothing. */
static bool mark_by_log(struct ask *a, const struct feed_rows *rows)
{
        enum seen seen =
                look(a, feed_over(a->gw->feed, TOPIC_NOTIFICATIONS, slice_str(a->user), rows));
        if (seen == SEEN_MARK)
                ask_answer(a, 200, SLICE_LIT("{}"));
        else if (seen == SEEN_NOTIFICATION)
                produce_read(a);
        return seen != SEEN_NOTHING;
}

static void one_found(void *arg, int err, const struct feed_rows *rows)
{
        struct ask *a = arg;
        a->query = NULL;
        if (err < 0)
                unavailable(a);
        else if (rows->rows == 1)
                produce_read(a);
        else if (!mark_by_log(a, rows))
                ask_fail(a, ERR_NOT_FOUND, "there is no such notification of this user");
}

static void mark_after_barrier(void *arg, int err)
{
        struct ask *a = arg;
        a->barrier = NULL;
        if (err < 0) {
                unavailable(a);
                return;
        }
        if (mark_by_log(a, NULL))
                return;
        const char *params[] = {a->id, a->user};
        query(a, NOTIFICATION_SQL_ONE, params, ARRAY_LEN(params), one_found);
}

void op_mark_read(struct ask *a)
{
        if (!mark_by_log(a, NULL))
                a->barrier = feed_barrier(a->gw->feed, TOPIC_NOTIFICATIONS, slice_str(a->user),
                        BARRIER_MS, mark_after_barrier, a);
}

/* The newest word of the log about this user is that everything before it is read. */
static bool all_marked(const struct ask *a)
{
        const struct record *r = newest_of(a);
        struct slice raw;
        int64_t seq;
        if (!r || !slice_is(record_type(r), "tern.notification.read_all") ||
                !json_member(record_value(r), "seq", &raw) || !json_int(raw, 0, INT64_MAX, &seq))
                return false;
        const struct record *before = fanout_prev(a->gw->fanout, r);
        return (before && record_seq(before) <= seq) || (a->seq >= 0 && a->seq <= seq);
}

static void mark_all_now(void *arg, int err)
{
        struct ask *a = arg;
        a->barrier = NULL;
        if (err < 0) {
                unavailable(a);
                return;
        }
        if (all_marked(a)) {
                ask_answer(a, 200, SLICE_LIT("{}"));
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
