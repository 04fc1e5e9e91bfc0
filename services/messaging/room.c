#include "messaging/room.h"

#include "messaging/session.h"

#include <errno.h>
#include <stdlib.h>

#define BARRIER_MS 2000

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
        map_put(&gw->rooms, room_id(r), r);
        return r;
}

struct slice room_id(const struct room *r)
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
        free(r->query_user);
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

/* What was read of a room that nobody follows is true until its partition moves on. */
static bool is_current(const struct room *r)
{
        return r->followed || r->as_of_seq == session_position_seq(r->gw, room_id(r));
}

/* The room as it is known, or a fresh one in the place of one that is out of date. */
static struct room *room_find(struct gateway *gw, struct slice id)
{
        struct room *r = room_get(gw, id);
        if (r && r->as_of_seq != 0 && !is_current(r)) {
                room_detach(r);
                r = NULL;
        }
        return r ? r : room_new(gw, id);
}

void room_followed(struct gateway *gw, struct slice id)
{
        struct room *r = room_find(gw, id);
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
        r->as_of_seq = session_position_seq(gw, id);
        room_unref(r);
}

/* ---- members ---- */

struct member *room_member(struct room *r, struct slice user)
{
        struct member *m = map_get(&r->members, user);
        if (m)
                return m;
        m = xcalloc(1, sizeof(*m) + user.n + 1);
        memcpy(m->id, user.p, user.n);
        map_put(&r->members, slice_of(m->id, user.n), m);
        list_push_back(&r->member_list, &m->link);
        return m;
}

void room_member_read(struct room *r, struct member *m, int64_t seq)
{
        if (seq <= m->read_seq)
                return;
        r->reader_count += m->read_seq == 0;
        m->read_seq = seq;
}

bool room_has_member(const struct room *r, struct slice user)
{
        const struct member *m = map_get(&r->members, user);
        return m && m->added_seq > m->removed_seq;
}

static void set_text(char **to, const char *value)
{
        free(*to);
        *to = value ? xstrdup(value) : NULL;
}

static void merge_member(struct room *r, const struct event *e, int64_t seq)
{
        struct member *m = room_member(r, slice_str(e->user_id));
        r->exists = true;
        if (e->type == EVENT_MEMBER_REMOVED) {
                m->removed_seq = seq > m->removed_seq ? seq : m->removed_seq;
                return;
        }
        if (seq <= m->added_seq)
                return;
        m->added_seq = seq;
        set_text(&m->role, e->role ? e->role : "member");
}

/* The first record that creates a conversation counts. */
static void merge_conversation(struct room *r, const struct event *e, int64_t seq, int64_t time_ms)
{
        r->exists = true;
        if (r->created_seq != 0 && r->created_seq <= seq)
                return;
        r->created_seq = seq;
        r->open = e->open;
        r->created_ms = time_ms;
        set_text(&r->title, e->title);
        set_text(&r->created_by, e->sender_id);
}

void room_merge(struct room *r, const struct event *e, int64_t seq, int64_t time_ms)
{
        if (e->type == EVENT_MEMBER_ADDED || e->type == EVENT_MEMBER_REMOVED) {
                merge_member(r, e, seq);
        } else if (e->type == EVENT_CONVERSATION_CREATED) {
                merge_conversation(r, e, seq, time_ms);
        } else if (e->type == EVENT_RECEIPT_READ) {
                struct member *m = map_get(&r->members, slice_str(e->user_id));
                if (m)
                        room_member_read(r, m, e->seq);
        }
}

void room_apply(
        struct gateway *gw, struct slice id, const struct event *e, int64_t seq, int64_t time_ms)
{
        struct room *r = room_get(gw, id);
        if (r)
                room_merge(r, e, seq, time_ms);
}

/* ---- questions ---- */

static void wait_for_load(struct room_ask *a)
{
        list_push_back(&a->room->asks, &a->link);
        a->linked = true;
        room_load(a->room, a->user);
}

static void ask_evaluate(struct room_ask *a);

static void barrier_passed(void *arg, int err)
{
        struct room_ask *a = arg;
        a->barrier = NULL;
        if (err < 0) {
                a->done(a, ROOM_UNKNOWN);
                return;
        }
        a->certain = true;
        /* What was read before the barrier, and not kept true, may be older than it. */
        struct room *old = a->room;
        if (!is_current(old)) {
                a->room = room_ref(room_find(a->gw, room_id(old)));
                room_unref(old);
        }
        ask_evaluate(a);
}

/* All that can be known is known, and the user is no member. */
static void ask_deny(struct room_ask *a)
{
        if (a->certain)
                a->done(a, a->room->exists ? ROOM_NOT_MEMBER : ROOM_ABSENT);
        else
                a->barrier = feed_barrier(
                        a->gw->feed, TOPIC_EVENTS, room_id(a->room), BARRIER_MS, barrier_passed, a);
}

static void ask_evaluate(struct room_ask *a)
{
        const struct room *r = a->room;
        bool loaded = r->loaded && is_current(r);
        bool member = room_has_member(r, slice_str(a->user));
        if (member && (loaded || (r->followed && !a->whole)))
                a->done(a, ROOM_MEMBER);
        else if (loaded && !r->partial)
                ask_deny(a);
        else
                wait_for_load(a);
}

void room_loaded(struct room *r, int err)
{
        r->as_of_seq = session_position_seq(r->gw, room_id(r));
        if (err == 0)
                r->loaded = true;
        struct list asks;
        list_init(&asks);
        list_splice(&asks, &r->asks);
        /* Those who are told may let it go, and cancel each other. */
        room_ref(r);
        char *asked_for = xstrdup(r->query_user);
        struct list *it;
        while ((it = list_take(&asks))) {
                struct room_ask *a = list_entry(it, struct room_ask, link);
                a->linked = false;
                if (room_has_member(r, slice_str(a->user)))
                        a->done(a, ROOM_MEMBER);
                else if (err < 0)
                        a->done(a, ROOM_UNKNOWN);
                else if (r->partial && strcmp(a->user, asked_for) != 0)
                        wait_for_load(a);
                else
                        ask_deny(a);
        }
        free(asked_for);
        room_unref(r);
}

static void ask(struct gateway *gw, struct slice conversation_id, const char *user,
        struct room_ask *a, bool whole, void (*done)(struct room_ask *a, enum room_answer answer))
{
        room_ask_cancel(a);
        *a = (struct room_ask){.done = done, .user = user, .gw = gw, .whole = whole};
        list_init(&a->link);
        a->room = room_ref(room_find(gw, conversation_id));
        ask_evaluate(a);
}

void room_ask(struct gateway *gw, struct slice conversation_id, const char *user,
        struct room_ask *a, void (*done)(struct room_ask *a, enum room_answer answer))
{
        ask(gw, conversation_id, user, a, false, done);
}

void room_ask_whole(struct gateway *gw, struct slice conversation_id, const char *user,
        struct room_ask *a, void (*done)(struct room_ask *a, enum room_answer answer))
{
        ask(gw, conversation_id, user, a, true, done);
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
