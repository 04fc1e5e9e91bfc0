/*
 * The load of a room: a snapshot of Postgres with the log's records laid over it. All of it is merged
 * by seq, so that a row that is older than what is known already changes nothing.
 */
#include "messaging/room.h"

#include "messaging_sql.h"

#include <stdio.h>
#include <stdlib.h>

#define ROOM_SQL_COLUMNS 11

static int64_t number(const char *text)
{
        return text ? strtoll(text, NULL, 10) : 0;
}

static void take_conversation(struct room *r, const char *const *v)
{
        struct event e = {
                .type = EVENT_CONVERSATION_CREATED,
                .title = (char *)(uintptr_t)v[1],
                .open = v[2] && v[2][0] == 't',
                .sender_id = (char *)(uintptr_t)v[3],
        };
        room_merge(r, &e, number(v[5]), number(v[4]));
}

static void take_member(struct room *r, const char *const *v)
{
        struct member *m = room_member(r, slice_str(v[6]));
        int64_t added = number(v[8]), removed = number(v[9]), read = number(v[10]);
        if (added >= m->added_seq) {
                free(m->role);
                m->role = xstrdup(v[7] ? v[7] : "member");
                m->added_seq = added;
        }
        m->removed_seq = removed > m->removed_seq ? removed : m->removed_seq;
        room_member_read(r, m, read);
        r->exists = true;
}

static void take_rows(struct room *r, const struct feed_rows *rows)
{
        if (rows->rows == 0 || rows->columns != ROOM_SQL_COLUMNS)
                return;
        if (rows->values[0] && rows->values[0][0] == 't')
                take_conversation(r, rows->values);
        for (size_t i = 0; i < rows->rows; i++) {
                const char *const *v = rows->values + i * rows->columns;
                if (v[6])
                        take_member(r, v);
        }
        if (rows->rows > ROOM_MEMBERS_MAX)
                r->partial = true;
}

static bool is_membership(const struct record *rec)
{
        struct slice t = record_type(rec);
        return slice_is(t, "tern.member.added") || slice_is(t, "tern.member.removed") ||
               slice_is(t, "tern.conversation.created");
}

static void merge_record(struct room *r, const struct record *rec, const char *topic)
{
        struct event e;
        struct event_error err;
        if (event_parse(slice_str(topic), record_type(rec), record_id(rec), record_key(rec),
                    record_value(rec), &e, &err) < 0)
                return;
        if (event_key_fits(&e, record_key(rec)))
                room_merge(r, &e, record_seq(rec), rec->timestamp_ms);
        event_done(&e);
}

static void lay_receipts_over(struct room *r)
{
        struct fanout *f = r->gw->fanout;
        struct buf key = BUF_EMPTY;
        list_for_each(it, &r->member_list)
        {
                struct member *m = list_entry(it, struct member, link);
                buf_reset(&key);
                buf_printf(&key, "%s/%s", r->id, m->id);
                const struct record *rec = fanout_newest(f, TOPIC_RECEIPTS, buf_slice(&key));
                for (; rec; rec = fanout_prev(f, rec))
                        merge_record(r, rec, "chat.receipts");
        }
        buf_done(&key);
}

static void lay_log_over(struct room *r, const struct feed_rows *rows)
{
        struct feed_over over = feed_over(r->gw->feed, TOPIC_EVENTS, room_id(r), rows);
        const struct record *rec;
        while ((rec = feed_over_next(&over)))
                if (is_membership(rec))
                        merge_record(r, rec, "chat.events");
        lay_receipts_over(r);
}

static void loaded(void *arg, int err, const struct feed_rows *rows)
{
        struct room *r = arg;
        r->query = NULL;
        if (err == 0)
                take_rows(r, rows);
        /* Without Postgres the tail alone may still say yes. */
        lay_log_over(r, err == 0 ? rows : NULL);
        room_loaded(r, err);
}

void room_load(struct room *r, const char *user)
{
        if (r->query)
                return;
        char others[16];
        /* Of a room that is too large to be kept only the user's own row is asked for again. */
        snprintf(others, sizeof(others), "%d", r->partial ? 0 : ROOM_MEMBERS_MAX);
        const char *params[] = {r->id, user, others};
        free(r->query_user);
        r->query_user = xstrdup(user);
        r->query = feed_query(r->gw->feed, TOPIC_EVENTS, room_id(r),
                &messaging_sql[MESSAGING_SQL_ROOM], params, ARRAY_LEN(params), loaded, r);
        feed_query_bridge(r->query, room_id(r));
}
