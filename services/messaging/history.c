/*
 * History: a snapshot of Postgres with the log's records laid over it, from the tail and, where the writer is behind
 * that, from Kafka, so that a page never has a hole between what the writer has stored and what is live.
 */
#include "messaging/call.h"

#include "messaging_sql.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FETCH_BYTES_MAX 1000000
#define FETCH_BARRIER_MS 1000
#define RECEIPTS_MAX 500
#define HISTORY_COLUMNS 9

struct history_load {
        struct call *call; /* borrowed: the query is cancelled with the call */
        uint32_t limit;
        size_t bytes_max;
        bool oldest_first;
        int64_t after, before;
        void (*done)(struct call *c, int err, struct history_page *page);
};

/* Entries in the order in which they were found; each its own text. */
struct entry {
        int64_t seq;
        char *json;
        size_t n;
};
struct entries {
        struct entry *at;
        size_t count, cap;
};

static void entries_add(struct entries *es, int64_t seq, struct buf *json)
{
        if (es->count == es->cap) {
                es->cap = es->cap ? es->cap * 2 : 64;
                es->at = xrealloc(es->at, es->cap * sizeof(*es->at));
        }
        struct entry *e = &es->at[es->count++];
        e->seq = seq;
        e->json = buf_take(json, &e->n);
}

static void entries_done(struct entries *es)
{
        for (size_t i = 0; i < es->count; i++)
                free(es->at[i].json);
        free(es->at);
}

static void add_row(struct entries *es, const char *conversation_id, const char *const *v)
{
        struct event e = {
                .type = EVENT_MESSAGE_CREATED,
                .id = (char *)(uintptr_t)v[0],
                .conversation_id = (char *)(uintptr_t)conversation_id,
                .sender_id = (char *)(uintptr_t)v[2],
                .content = (char *)(uintptr_t)v[3],
                .content_type = (char *)(uintptr_t)v[4],
                .reply_to = (char *)(uintptr_t)v[5],
                .metadata_json = (char *)(uintptr_t)v[6],
                .client_id = (char *)(uintptr_t)v[7],
        };
        struct buf json = BUF_EMPTY;
        int64_t seq = strtoll(v[1], NULL, 10);
        event_client_json(&e, seq, strtoll(v[8], NULL, 10), &json);
        entries_add(es, seq, &json);
}

static void add_record(struct entries *es, const struct record *r)
{
        struct event e;
        struct event_error err;
        if (event_parse(SLICE_LIT("chat.events"), record_type(r), record_id(r), record_key(r),
                    record_value(r), &e, &err) < 0)
                return;
        if (event_key_fits(&e, record_key(r))) {
                struct buf json = BUF_EMPTY;
                event_client_json(&e, record_seq(r), r->timestamp_ms, &json);
                entries_add(es, record_seq(r), &json);
        }
        event_done(&e);
}

static bool is_message(const struct record *r)
{
        return !(r->flags & (RECORD_DUPLICATE | RECORD_FOREIGN)) &&
               slice_is(record_type(r), "tern.message.created");
}

/* The messages in (after, before) that the rows do not have, newest first; of more than `most` the newest, or
 * with oldest_first the oldest. */
static size_t messages_over(struct history_load *h, const struct feed_rows *rows,
        const struct record **ret, size_t most)
{
        struct feed_over over = feed_over(
                h->call->gw->feed, TOPIC_EVENTS, slice_str(h->call->conversation_id), rows);
        size_t seen = 0;
        const struct record *r;
        while ((r = feed_over_next(&over)) && record_seq(r) > h->after) {
                if (record_seq(r) >= h->before || !is_message(r))
                        continue;
                if (!h->oldest_first && seen == most)
                        break;
                ret[seen++ % most] = r;
        }
        return seen;
}

/* es is in the page's order of preference (newest first, or oldest first); the page itself ascends. */
static void make_page(
        const struct history_load *h, const struct entries *es, struct history_page *page)
{
        size_t n = 0, bytes = 0;
        while (n < es->count && n < h->limit && (n == 0 || bytes + es->at[n].n + 1 <= h->bytes_max))
                bytes += es->at[n++].n + 1;
        page->more = n < es->count;
        for (size_t i = 0; i < n; i++) {
                const struct entry *e = &es->at[h->oldest_first ? i : n - 1 - i];
                if (i > 0)
                        buf_add_char(&page->json, ',');
                buf_add(&page->json, e->json, e->n);
                if (i == 0)
                        page->first_seq = e->seq;
                page->last_seq = e->seq;
        }
        page->count = n;
}

static bool has_id_of(const struct feed_rows *rows, const struct record *r)
{
        for (size_t i = 0; i < rows->rows; i++)
                if (slice_is(record_id(r), rows->values[i * rows->columns]))
                        return true;
        return false;
}

static void merge(struct history_load *h, const struct feed_rows *rows, struct history_page *page)
{
        size_t most = (size_t)h->limit + 1;
        const struct record **over = xcalloc(most, sizeof(*over));
        size_t seen = messages_over(h, rows, over, most);
        size_t kept = seen < most ? seen : most;
        struct entries es = {0};
        if (h->oldest_first) {
                for (size_t i = 0; i < rows->rows; i++)
                        add_row(&es, h->call->conversation_id, rows->values + i * rows->columns);
                /* The last one written into the ring is the oldest. */
                for (size_t i = 0; i < kept && es.count < most; i++) {
                        const struct record *r = over[(seen - 1 - i) % most];
                        if (!has_id_of(rows, r))
                                add_record(&es, r);
                }
        } else {
                for (size_t i = 0; i < kept; i++)
                        if (!has_id_of(rows, over[i]))
                                add_record(&es, over[i]);
                for (size_t i = 0; i < rows->rows && es.count < most; i++)
                        add_row(&es, h->call->conversation_id, rows->values + i * rows->columns);
        }
        make_page(h, &es, page);
        entries_done(&es);
        free(over);
}

static void loaded(void *arg, int err, const struct feed_rows *rows)
{
        struct history_load *h = arg;
        struct call *c = h->call;
        c->query = NULL;
        c->query_arg = NULL;
        struct history_page page = {.json = BUF_EMPTY};
        if (err == 0)
                merge(h, rows, &page);
        h->done(c, err, &page);
        buf_done(&page.json);
        free(h);
}

void history_load(struct call *c, uint32_t limit, size_t bytes_max,
        void (*done)(struct call *c, int err, struct history_page *page))
{
        struct history_load *h = xcalloc(1, sizeof(*h));
        h->call = c;
        h->limit = limit;
        h->bytes_max = bytes_max;
        h->oldest_first = c->ask.after >= 0;
        h->after = c->ask.after;
        h->before = c->ask.before >= 0 ? c->ask.before : INT64_MAX;
        h->done = done;
        char after[24], before[24], most[16];
        snprintf(after, sizeof(after), "%" PRId64, h->after);
        snprintf(before, sizeof(before), "%" PRId64, h->before);
        snprintf(most, sizeof(most), "%u", limit + 1);
        c->query_arg = h;
        if (h->oldest_first) {
                const char *params[] = {c->conversation_id, after, before, most};
                c->query = feed_query(c->gw->feed, TOPIC_EVENTS, slice_str(c->conversation_id),
                        &messaging_sql[MESSAGING_SQL_HISTORY_AFTER], params, 4, loaded, h);
        } else {
                const char *params[] = {c->conversation_id, before, most};
                c->query = feed_query(c->gw->feed, TOPIC_EVENTS, slice_str(c->conversation_id),
                        &messaging_sql[MESSAGING_SQL_HISTORY_BEFORE], params, 3, loaded, h);
        }
        feed_query_bridge(c->query, slice_str(c->conversation_id));
}

/* ---- fetch_messages ---- */

static void fetched(struct call *c, int err, struct history_page *page)
{
        if (err < 0) {
                call_fail(c, ERR_UNAVAILABLE, "the history of conversation %s cannot be read now",
                        c->conversation_id);
                return;
        }
        struct buf fields = BUF_EMPTY;
        buf_add_str(&fields, "\"messages\":[");
        buf_add_slice(&fields, buf_slice(&page->json));
        buf_add_str(&fields, "],\"cursor\":");
        if (page->more)
                buf_add_i64(&fields, c->ask.after >= 0 ? page->last_seq : page->first_seq);
        else
                buf_add_str(&fields, "null");
        call_ok(c, buf_slice(&fields));
        buf_done(&fields);
}

static void fetch_now(void *arg, int err)
{
        struct call *c = arg;
        c->barrier = NULL;
        /* With Kafka away nothing new can have been acked: what is here is all there is. */
        UNUSED(err);
        history_load(c, c->ask.limit, FETCH_BYTES_MAX, fetched);
}

/* Who follows the room gets what is newer anyway; anybody else must see what was acked a moment ago on another gateway. */
static void fetch_authorized(struct call *c)
{
        if (call_subscription(c))
                fetch_now(c, 0);
        else
                c->barrier = feed_barrier(c->gw->feed, TOPIC_EVENTS, slice_str(c->conversation_id),
                        FETCH_BARRIER_MS, fetch_now, c);
}

void op_fetch(struct call *c)
{
        call_authorize(c, fetch_authorized);
}

void receipts_json(const struct room *r, struct buf *out)
{
        buf_add_str(out, "\"receipts\":[");
        size_t n = 0, readers = 0;
        list_for_each(it, &r->member_list)
        {
                /* A big room of which few have read anything is not walked to its end. */
                if (readers == r->reader_count || n == RECEIPTS_MAX)
                        break;
                const struct member *m = list_entry(it, struct member, link);
                if (m->read_seq == 0)
                        continue;
                readers++;
                if (m->added_seq <= m->removed_seq)
                        continue;
                buf_printf(out, "%s{\"userId\":\"%s\",\"seq\":%lld}", n ? "," : "", m->id,
                        (long long)m->read_seq);
                n++;
        }
        buf_add_char(out, ']');
}
