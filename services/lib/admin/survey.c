/*
 * survey - one page of a list: this gateway's shards are asked by mail, other gateways over the log, and the page is
 * answered when all have spoken, or after SURVEY_MS with the names of those who have not.
 */
#include "admin/internal.h"

#include "base/clock.h"
#include "base/jsonscan.h"

#include <inttypes.h>
#include <stdlib.h>

#define ANSWER_BYTES_MAX 60000 /* of the rows in one record; what does not fit is the next page's */

static const struct {
        const char *name, *service; /* NULL: all have it */
} lists[ADMIN_LISTS] = {
        [ADMIN_CONNECTIONS] = {"connections", NULL},
        [ADMIN_CONVERSATIONS] = {"conversations", "messaging"},
        [ADMIN_AUDIENCES] = {"audiences", "notification"},
};

const char *survey_list_name(enum admin_list what)
{
        return lists[what].name;
}

/* ---- the end of one ---- */

static void add_row(struct buf *out, const struct listing_row *row)
{
        if (row->json) {
                buf_add_str(out, row->json);
                return;
        }
        buf_add_str(out, "{\"name\":");
        buf_add_json_str(out, slice_str(row->key));
        buf_printf(out, ",\"members\":%" PRId64 ",\"gateways\":%u}", row->number, row->places);
}

static void answer_worker(struct survey *s)
{
        struct buf json = BUF_EMPTY;
        listing_trim(&s->page);
        buf_add_str(&json, "{\"rows\":[");
        for (uint32_t i = 0; i < s->page.count; i++) {
                if (i)
                        buf_add_char(&json, ',');
                add_row(&json, &s->page.rows[i]);
        }
        buf_add_str(&json, "],\"next\":");
        if (s->page.more && s->page.count)
                buf_add_json_str(&json, slice_str(s->page.rows[s->page.count - 1].key));
        else
                buf_add_str(&json, "null");
        buf_add_str(&json, ",\"missing\":[");
        for (size_t i = 0; i < s->asked_count; i++) {
                if (i)
                        buf_add_char(&json, ',');
                buf_add_json_str(&json, slice_str(s->asked[i]));
        }
        buf_add_str(&json, "]}");
        question_answer(s->question, 200, buf_slice(&json));
        buf_done(&json);
}

/* [key, number, row], … */
static void answer_gateway(struct admin *a, struct survey *s)
{
        struct buf data = BUF_EMPTY;
        uint32_t i = 0;
        buf_add_str(&data, "{\"rows\":[");
        for (; i < s->page.count && data.n < ANSWER_BYTES_MAX; i++) {
                const struct listing_row *row = &s->page.rows[i];
                buf_add_str(&data, i ? ",[" : "[");
                buf_add_json_str(&data, slice_str(row->key));
                buf_printf(&data, ",%" PRId64 ",%s]", row->number, row->json ? row->json : "null");
        }
        buf_printf(&data, "],\"more\":%s}", s->page.more || i < s->page.count ? "true" : "false");
        admin_say(a, EVENT_ANSWER, s->from, s->from_ask, buf_cstr(&data));
        buf_done(&data);
}

static void survey_end(struct admin *a, struct survey *s)
{
        if (s->question)
                answer_worker(s);
        else if (s->shards_left == 0)
                answer_gateway(a, s);
        list_remove(&s->link);
        a->survey_count--;
        listing_done(&s->local);
        listing_done(&s->page);
        free(s->asked);
        free(s);
}

static bool end_if_complete(struct admin *a, struct survey *s)
{
        if (s->shards_left > 0 || s->asked_count > 0)
                return false;
        survey_end(a, s);
        return true;
}

void surveys_expire(struct admin *a, int64_t now_ms)
{
        list_for_each_safe(it, &a->surveys)
        {
                struct survey *s = list_entry(it, struct survey, link);
                if (now_ms >= s->until_ms) {
                        if (s->shards_left > 0 && s->question) {
                                /* This very gateway is one of those who did not answer. */
                                s->asked = xrealloc(
                                        s->asked, (s->asked_count + 1) * sizeof(*s->asked));
                                snprintf(s->asked[s->asked_count++], INSTANCE_TEXT, "%s",
                                        a->o.instance);
                        }
                        survey_end(a, s);
                }
        }
}

/* ---- shards ---- */

static void scan_free(struct admin_scan *scan)
{
        listing_done(&scan->listing);
        free(scan);
}

/* Back on the admin thread; its survey may have ended meanwhile. */
static void scan_back(struct mail *m)
{
        struct admin_scan *scan = container_of(m, struct admin_scan, mail);
        struct admin *a = scan->admin;
        list_for_each(it, &a->surveys)
        {
                struct survey *s = list_entry(it, struct survey, link);
                if (s->number != scan->survey)
                        continue;
                listing_merge(&s->local, &scan->listing, 1);
                if (--s->shards_left == 0) {
                        listing_merge(&s->page, &s->local, 1);
                        end_if_complete(a, s);
                }
                break;
        }
        scan_free(scan);
}

/* On the shard: a slice, and the next one in a later turn of its loop. */
static void scan_step(struct mail *m)
{
        struct admin_scan *scan = container_of(m, struct admin_scan, mail);
        struct admin *a = scan->admin;
        if (!a->o.scan(a->gateways[scan->shard], scan) &&
                mailbox_post(a->shards[scan->shard], &scan->mail))
                return;
        list_remove(&scan->in_gateway);
        scan->mail.run = scan_back;
        if (!mailbox_post(a->mailbox, &scan->mail))
                scan_free(scan);
}

static void scan_shards(struct admin *a, struct survey *s)
{
        for (unsigned i = 0; i < a->o.shard_count; i++) {
                struct admin_scan *scan = xcalloc(1, sizeof(*scan));
                scan->mail.run = scan_step;
                scan->admin = a;
                scan->survey = s->number;
                scan->shard = i;
                scan->what = s->what;
                list_init(&scan->in_gateway);
                bool fits = listing_init(&scan->listing, slice_str(s->page.prefix),
                        slice_str(s->page.after), s->page.limit);
                if (fits && mailbox_post(a->shards[i], &scan->mail))
                        s->shards_left++;
                else
                        scan_free(scan);
        }
}

/* ---- the beginning ---- */

static struct survey *survey_new(struct admin *a, enum admin_list what, struct slice prefix,
        struct slice after, uint32_t limit)
{
        struct survey *s = xcalloc(1, sizeof(*s));
        if (a->survey_count == SURVEYS_MAX || !listing_init(&s->local, prefix, after, limit) ||
                !listing_init(&s->page, prefix, after, limit)) {
                free(s);
                return NULL;
        }
        s->number = ++a->surveys_made;
        s->what = what;
        s->until_ms = clock_mono_ms() + SURVEY_MS;
        list_push_back(&a->surveys, &s->link);
        a->survey_count++;
        return s;
}

static bool has_list(const struct fleet_member *m, enum admin_list what)
{
        return !lists[what].service || strcmp(lists[what].service, m->service) == 0;
}

static void ask_gateways(struct admin *a, struct survey *s, const char *only)
{
        struct buf data = BUF_EMPTY;
        struct fleet_list *fleet = fleet_list(a->o.fleet);
        uuid_v7(clock_wall_ms(), s->id);
        buf_printf(&data, "{\"list\":\"%s\",\"prefix\":", lists[s->what].name);
        buf_add_json_str(&data, slice_str(s->page.prefix));
        buf_add_str(&data, ",\"after\":");
        buf_add_json_str(&data, slice_str(s->page.after));
        buf_printf(&data, ",\"limit\":%u}", s->page.limit);
        s->asked = xcalloc(fleet->count + 1, sizeof(*s->asked));
        for (size_t i = 0; i < fleet->count; i++) {
                const struct fleet_member *m = &fleet->members[i];
                if (strcmp(m->instance, a->o.instance) == 0 || !has_list(m, s->what) ||
                        (only[0] && strcmp(only, m->instance) != 0))
                        continue;
                snprintf(s->asked[s->asked_count++], INSTANCE_TEXT, "%s", m->instance);
                admin_say(a, EVENT_ASK, m->instance, s->id, buf_cstr(&data));
        }
        fleet_list_unref(fleet);
        buf_done(&data);
}

void survey_ask(struct admin *a, struct question *q)
{
        struct survey *s = survey_new(
                a, q->what, slice_str(q->page.prefix), slice_str(q->page.after), q->page.limit);
        if (!s) {
                question_refuse(q, 503, "busy", "too many pages are being asked for");
                return;
        }
        s->question = q;
        bool own = !q->gateway[0] || strcmp(q->gateway, a->o.instance) == 0;
        ask_gateways(a, s, q->gateway);
        if (!own && s->asked_count ==
                            0) { /* nobody has heard of it lately: it is missing from the page */
                snprintf(s->asked[s->asked_count++], INSTANCE_TEXT, "%s", q->gateway);
                survey_end(a, s);
                return;
        }
        if (own && (a->o.lists & 1u << q->what))
                scan_shards(a, s);
        end_if_complete(a, s);
}

/* ---- other gateways ---- */

static bool text_of(struct slice object, const char *name, struct buf *out)
{
        struct slice raw;
        buf_reset(out);
        return json_member(object, name, &raw) && json_decode_string(raw, out);
}

void survey_asked(struct admin *a, const struct event *e)
{
        struct slice data = slice_str(e->data_json), raw;
        struct buf name = BUF_EMPTY, prefix = BUF_EMPTY, after = BUF_EMPTY;
        int64_t limit = 0;
        unsigned what = 0;
        bool good = text_of(data, "list", &name) && text_of(data, "prefix", &prefix) &&
                    text_of(data, "after", &after) && json_member(data, "limit", &raw) &&
                    json_int(raw, 1, LISTING_ROWS_MAX, &limit);
        while (what < ADMIN_LISTS && !slice_is(buf_slice(&name), lists[what].name))
                what++;
        struct survey *s = NULL;
        if (good && what < ADMIN_LISTS && (a->o.lists & 1u << what))
                s = survey_new(a, (enum admin_list)what, buf_slice(&prefix), buf_slice(&after),
                        (uint32_t)limit);
        if (s) {
                snprintf(s->from, sizeof(s->from), "%s", e->gateway);
                snprintf(s->from_ask, sizeof(s->from_ask), "%s", e->ack_token);
                scan_shards(a, s);
                end_if_complete(a, s);
        }
        buf_done(&name);
        buf_done(&prefix);
        buf_done(&after);
}

/* [key, number, row] */
static void take_row(struct listing *l, struct slice row)
{
        struct slice rest = row, key, number, json;
        struct buf text = BUF_EMPTY;
        int64_t n;
        if (json_is_array(row) && json_next(&rest, &key) && json_next(&rest, &number) &&
                json_next(&rest, &json) && json_decode_string(key, &text) &&
                json_int(number, 0, INT64_C(1) << 53, &n))
                listing_put(l, buf_slice(&text), n, json_is_object(json) ? json : SLICE_NONE);
        buf_done(&text);
}

static void take_rows(struct survey *s, struct slice data)
{
        struct slice rows, raw, row;
        struct listing theirs;
        bool more = false;
        if (!listing_init(
                    &theirs, slice_str(s->page.prefix), slice_str(s->page.after), s->page.limit) ||
                !json_member(data, "rows", &rows) || !json_is_array(rows))
                return;
        while (json_next(&rows, &row))
                take_row(&theirs, row);
        theirs.more =
                theirs.more || (json_member(data, "more", &raw) && json_bool(raw, &more) && more);
        if (theirs.more && theirs.count)
                listing_bound(&s->page, slice_str(theirs.rows[theirs.count - 1].key));
        listing_merge(&s->page, &theirs, 1);
}

void survey_answered(struct admin *a, const struct event *e)
{
        list_for_each(it, &a->surveys)
        {
                struct survey *s = list_entry(it, struct survey, link);
                if (!s->question || strcmp(s->id, e->ack_token) != 0)
                        continue;
                for (size_t i = 0; i < s->asked_count; i++) {
                        if (strcmp(s->asked[i], e->gateway) != 0)
                                continue;
                        memmove(s->asked[i], s->asked[--s->asked_count], INSTANCE_TEXT);
                        take_rows(s, slice_str(e->data_json));
                        end_if_complete(a, s);
                        return;
                }
        }
}
