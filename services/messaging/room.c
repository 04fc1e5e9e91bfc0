#include "messaging/room.h"

#include "messaging_sql.h"

#include <errno.h>
#include <stdlib.h>

#define BARRIER_MS 2000
#define ROOM_SQL_COLUMNS 10

static void room_load(struct room *r, const char *user);
static void ask_evaluate(struct room_ask *a);

/* ---- life ---- */

static struct room *room_new(struct gateway *gw, struct slice id)
{
        struct room *r = xcalloc(1, sizeof(*r) + id.n + 1);
        r->gw = gw;
        r->id_n = (uint32_t)id.n;
        memcpy(r->id, id.p, id.n);
        r->members = MAP_EMPTY;
        list_init(&r->member_list);
        list_init(&r->asks);
        map_put(&gw->rooms, slice_of(r->id, r->id_n), r);
        return r;
}

static struct slice room_id(const struct room *r)
{
        return slice_of(r->id, r->id_n);
}

/* Out of the table: the next who asks gets a fresh one. */
static void room_detach(struct room *r)
{
        if (map_get(&r->gw->rooms, room_id(r)) == r)
                map_remove(&r->gw->rooms, room_id(r));
}

static void room_free(struct room *r)
{
        CHECK(list_empty(&r->asks));
        room_detach(r);
        if (r->query)
                feed_query_cancel(r->query);
        map_done(&r->members);
        list_for_each_safe(it, &r->member_list)
        {
                struct member *m = list_entry(it, struct member, link);
                free(m->role);
                free(m);
        }
        free(r->title);
        free(r->created_by);
        free(r);
}

struct room *room_get(struct gateway *gw, struct slice id)
{
        return map_get(&gw->rooms, id);
}

struct room *room_ref(struct room *r)
{
        r->refs++;
        return r;
}

void room_unref(struct room *r)
{
        if (!r)
                return;
        CHECK(r->refs > 0);
        if (--r->refs == 0)
                room_free(r);
}

void room_followed(struct gateway *gw, struct slice id)
{
        struct room *r = room_get(gw, id);
        if (!r)
                r = room_new(gw, id);
        if (r->followed)
                return;
        r->followed = true;
        room_ref(r);
}

void room_unfollowed(struct gateway *gw, struct slice id)
{
        struct room *r = room_get(gw, id);
        if (!r || !r->followed || fanout_room_size(gw->fanout, TOPIC_EVENTS, id) > 0)
                return;
        r->followed = false;
        r->loaded = false;
        room_unref(r);
}

/* ---- members ---- */

static struct member *member_get(struct room *r, struct slice id)
{
        struct member *m = map_get(&r->members, id);
        if (m)
                return m;
        m = xcalloc(1, sizeof(*m) + id.n + 1);
        memcpy(m->id, id.p, id.n);
        map_put(&r->members, slice_of(m->id, id.n), m);
        list_push_back(&r->member_list, &m->link);
        return m;
}

static void member_read(struct room *r, struct member *m, int64_t seq)
{
        if (seq <= m->read_seq)
                return;
        r->reader_count += m->read_seq == 0;
        m->read_seq = seq;
}

static bool member_in(const struct member *m)
{
        return m && m->added_seq > m->removed_seq;
}

bool room_has_member(const struct room *r, struct slice user)
{
        return member_in(map_get(&r->members, user));
}

static void set_text(char **to, const char *value)
{
        free(*to);
        *to = value ? xstrdup(value) : NULL;
}

static void apply_member(struct room *r, const struct event *e, int64_t seq)
{
        struct member *m = member_get(r, slice_str(e->user_id));
        if (e->type == EVENT_MEMBER_REMOVED) {
                m->removed_seq = seq > m->removed_seq ? seq : m->removed_seq;
                return;
        }
        r->exists = true;
        if (seq <= m->added_seq)
                return;
        m->added_seq = seq;
        set_text(&m->role, e->role ? e->role : "member");
}

void room_apply(
        struct gateway *gw, struct slice id, const struct event *e, int64_t seq, int64_t time_ms)
{
        struct room *r = room_get(gw, id);
        if (!r)
                return;
        if (e->type == EVENT_MEMBER_ADDED || e->type == EVENT_MEMBER_REMOVED) {
                apply_member(r, e, seq);
        } else if (e->type == EVENT_RECEIPT_READ) {
                struct member *m = map_get(&r->members, slice_str(e->user_id));
                if (m)
                        member_read(r, m, e->seq);
        } else if (e->type == EVENT_CONVERSATION_CREATED) {
                r->exists = true;
                r->open = e->open;
                r->created_ms = time_ms;
                set_text(&r->title, e->title);
                set_text(&r->created_by, e->sender_id);
        }
}

/* ---- the load: a snapshot plus the tail ---- */

static int64_t number(const char *text)
{
        return text ? strtoll(text, NULL, 10) : 0;
}

static void take_rows(struct room *r, const struct feed_rows *rows)
{
        if (rows->columns != ROOM_SQL_COLUMNS)
                return;
        for (size_t i = 0; i < rows->rows; i++) {
                const char *const *v = rows->values + i * rows->columns;
                if (i == 0 && v[0] && v[0][0] == 't') {
                        r->exists = true;
                        set_text(&r->title, v[1]);
                        r->open = v[2] && v[2][0] == 't';
                        set_text(&r->created_by, v[3]);
                        r->created_ms = number(v[4]);
                }
                if (!v[5])
                        continue;
                struct member *m = member_get(r, slice_str(v[5]));
                set_text(&m->role, v[6] ? v[6] : "member");
                int64_t added = number(v[7]), removed = number(v[8]), read = number(v[9]);
                m->added_seq = added > m->added_seq ? added : m->added_seq;
                m->removed_seq = removed > m->removed_seq ? removed : m->removed_seq;
                member_read(r, m, read);
                r->exists = true;
        }
        r->partial = rows->rows > ROOM_MEMBERS_MAX;
}

static bool is_membership(const struct record *rec)
{
        struct slice t = record_type(rec);
        return slice_is(t, "tern.member.added") || slice_is(t, "tern.member.removed") ||
               slice_is(t, "tern.conversation.created");
}

static void apply_record(struct room *r, const struct record *rec, const char *topic)
{
        struct event e;
        struct event_error err;
        if (event_parse(slice_str(topic), record_type(rec), record_id(rec), record_key(rec),
                    record_value(rec), &e, &err) < 0)
                return;
        if (event_key_fits(&e, record_key(rec)))
                room_apply(r->gw, room_id(r), &e, record_seq(rec), rec->timestamp_ms);
        event_done(&e);
}

/* Application is by seq, so the order in which the links are walked does not matter, but for the
 * conversation's own fields, which only its first record sets. */
static void lay_tail_over(struct room *r, int64_t from_offset)
{
        struct fanout *f = r->gw->fanout;
        const struct record *rec = fanout_newest(f, TOPIC_EVENTS, room_id(r));
        for (; rec && rec->offset >= from_offset; rec = fanout_prev(f, rec))
                if (!(rec->flags & (RECORD_DUPLICATE | RECORD_FOREIGN)) && is_membership(rec))
                        apply_record(r, rec, "chat.events");
        struct buf key = BUF_EMPTY;
        list_for_each(it, &r->member_list)
        {
                struct member *m = list_entry(it, struct member, link);
                buf_reset(&key);
                buf_printf(&key, "%s/%s", r->id, m->id);
                rec = fanout_newest(f, TOPIC_RECEIPTS, buf_slice(&key));
                if (rec)
                        apply_record(r, rec, "chat.receipts");
        }
        buf_done(&key);
}

static void loaded(void *arg, int err, const struct feed_rows *rows)
{
        struct room *r = arg;
        r->query = NULL;
        if (err == 0)
                take_rows(r, rows);
        /* Without Postgres the tail alone may still say yes. */
        lay_tail_over(r, err == 0 ? rows->ingested : 0);
        r->loaded = err == 0;
        struct list asks;
        list_init(&asks);
        list_splice(&asks, &r->asks);
        room_ref(r);
        struct list *it;
        while ((it = list_take(&asks))) {
                struct room_ask *a = list_entry(it, struct room_ask, link);
                a->linked = false;
                if (room_has_member(r, slice_str(a->user)))
                        a->done(a, ROOM_MEMBER);
                else if (err < 0)
                        a->done(a, ROOM_UNKNOWN);
                else
                        ask_evaluate(a);
        }
        room_unref(r);
}

static void room_load(struct room *r, const char *user)
{
        if (r->query)
                return;
        const char *params[] = {r->id, user};
        r->query = feed_query(r->gw->feed, TOPIC_EVENTS, room_id(r),
                &messaging_sql[MESSAGING_SQL_ROOM], params, 2, loaded, r);
}

/* ---- questions ---- */

static void wait_for_load(struct room_ask *a)
{
        list_push_back(&a->room->asks, &a->link);
        a->linked = true;
        room_load(a->room, a->user);
}

static void barrier_passed(void *arg, int err)
{
        struct room_ask *a = arg;
        a->barrier = NULL;
        if (err < 0) {
                a->done(a, ROOM_UNKNOWN);
                return;
        }
        a->certain = true;
        struct room *r = a->room;
        if (r->followed && r->loaded && !r->partial) {
                ask_evaluate(a);
                return;
        }
        /* What was read before the barrier may be older than it: read once more. */
        struct gateway *gw = a->gw;
        if (!r->followed) {
                room_detach(r);
                struct room *fresh = room_get(gw, room_id(r));
                a->room = room_ref(fresh ? fresh : room_new(gw, room_id(r)));
                room_unref(r);
        }
        wait_for_load(a);
}

static void ask_evaluate(struct room_ask *a)
{
        struct room *r = a->room;
        if (room_has_member(r, slice_str(a->user))) {
                a->done(a, ROOM_MEMBER);
                return;
        }
        if (!a->certain) {
                a->barrier = feed_barrier(
                        a->gw->feed, TOPIC_EVENTS, room_id(r), BARRIER_MS, barrier_passed, a);
                return;
        }
        a->done(a, r->exists ? ROOM_NOT_MEMBER : ROOM_ABSENT);
}

void room_ask(struct gateway *gw, struct slice conversation_id, const char *user,
        struct room_ask *a, void (*done)(struct room_ask *a, enum room_answer answer))
{
        *a = (struct room_ask){.done = done, .user = user, .gw = gw};
        list_init(&a->link);
        struct room *r = room_get(gw, conversation_id);
        if (r && r->loaded && !r->followed) {
                /* Nobody kept it true since it was read. */
                room_detach(r);
                r = NULL;
        }
        if (!r)
                r = room_new(gw, conversation_id);
        a->room = room_ref(r);
        if (r->followed && room_has_member(r, slice_str(user)))
                done(a, ROOM_MEMBER);
        else if (r->followed && r->loaded && !r->partial)
                ask_evaluate(a);
        else
                wait_for_load(a);
}

void room_ask_cancel(struct room_ask *a)
{
        if (a->barrier)
                feed_barrier_cancel(a->barrier);
        a->barrier = NULL;
        if (a->linked)
                list_remove(&a->link);
        a->linked = false;
        room_ask_done(a);
}

void room_ask_done(struct room_ask *a)
{
        room_unref(a->room);
        a->room = NULL;
}
