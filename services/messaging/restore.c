/*
 * A client came back with (pid, offset). Whoever writes the first record of the next gen owns the
 * session; so a restore is: learn the newest state (never from a stale view), claim gen + 1, wait
 * until the claim came back through the log as the first of its gen, and only then say `40` with the
 * same sid and pid, and after it hand over what was missed.
 */
#include "messaging/session.h"

#include "messaging/args.h"
#include "messaging/call.h"

#include "messaging_sql.h"

#include "base/hash.h"
#include "wire/cursor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BARRIER_MS 3000
#define CLAIMS_MAX 4
#define CHAIN_MAX 4096 /* records of one session that are looked at */

enum resume_result { RECOVERED, UNKNOWN_SESSION, WRONG_USER, FENCED, GAP, UNAVAILABLE };

struct restore {
        struct session *s; /* borrowed; NULL once the socket is gone */
        struct gateway *gw;
        char *user, *pid;
        uint8_t hash[PID_HASH_BYTES];
        char hex[PID_HEX_TEXT], owner[OWNER_TEXT], claim_id[UUID_TEXT];
        bool has_cursor;
        uint32_t cursor_epoch;
        int64_t vector[FANOUT_SLOTS_MAX];
        /* the newest state, as found */
        char *sid, *sub, *rooms_json, *found_owner;
        int64_t gen;
        bool closed, from_store;
        unsigned claims;
        struct feed_barrier *barrier;
        struct feed_query *query;
        struct bus_send send;
        bool sending;
        struct fanout_wait wait;
        char *muted; /* names of rooms without a right at the cursor: ",a,b," */
};

static void find(struct restore *r);

static void restore_free(struct restore *r)
{
        if (r->sending)
                return; /* the report frees it */
        free(r->user);
        free(r->pid);
        free(r->sid);
        free(r->sub);
        free(r->rooms_json);
        free(r->found_owner);
        free(r->muted);
        free(r);
}

void restore_abandon(struct session *s)
{
        struct restore *r = s->restore;
        s->restore = NULL;
        if (r->barrier)
                feed_barrier_cancel(r->barrier);
        if (r->query)
                feed_query_cancel(r->query);
        fanout_wait_cancel(&r->wait);
        r->s = NULL;
        restore_free(r);
}

static void count(struct gateway *gw, enum resume_result result)
{
        metrics_add(gw->app->metrics, M_resumes, (unsigned)result, 1);
}

static void start_anew(struct restore *r, enum resume_result why)
{
        struct session *s = r->s;
        count(r->gw, why);
        session_adopt(s, slice_str(r->user));
        s->restore = NULL;
        session_start_fresh(s, true);
        r->s = NULL;
        restore_free(r);
}

/* ---- the end: a restored session ---- */

static bool is_muted(const struct restore *r, struct slice id)
{
        if (!r->muted)
                return false;
        struct buf name = BUF_EMPTY;
        buf_printf(&name, ",%.*s,", SLICE_ARG(id));
        bool found = strstr(r->muted, buf_cstr(&name)) != NULL;
        buf_done(&name);
        return found;
}

static void follow_rooms(struct restore *r)
{
        struct session *s = r->s;
        struct slice rest = slice_str(r->rooms_json), room;
        while (arg_next(&rest, &room)) {
                struct slice raw_from;
                int64_t from = 0;
                char *id = arg_field_text(room, "id");
                if (id && arg_field(room, "from", &raw_from) && arg_int(raw_from, &from)) {
                        bool own_room = strncmp(id, "user:", 5) == 0;
                        if (own_room && strcmp(id + 5, r->user) != 0)
                                from = -1; /* somebody else's room is nothing to restore */
                        if (from >= 0) {
                                struct subscription *sn = subscriber_join(r->gw->fanout, &s->sub,
                                        TOPIC_EVENTS, slice_str(id), from, false);
                                sn->muted = is_muted(r, slice_str(id));
                                if (!own_room) {
                                        room_followed(r->gw, slice_str(id));
                                        s->room_count++;
                                }
                        }
                }
                free(id);
        }
}

static void finish(struct restore *r)
{
        struct session *s = r->s;
        struct gateway *gw = r->gw;
        count(gw, RECOVERED);
        s->log = session_log_new(s, r->hash, r->sid, r->gen, r->owner);
        s->log->written_ms = gateway_now(gw);
        follow_rooms(r);
        session_adopt(s, slice_str(r->user));
        s->sub.variant = VARIANT_CURSOR;
        s->state = SESSION_LIVE;
        s->restore = NULL;
        sio_accept(session_socket(s), slice_str(r->sid), slice_str(r->pid));
        if (r->cursor_epoch && r->cursor_epoch != fanout_epoch(gw->fanout, TOPIC_EVENTS))
                subscriber_attach_old_epoch(
                        gw->fanout, &s->sub, r->cursor_epoch, r->vector, gateway_now(gw));
        else
                subscriber_attach(gw->fanout, &s->sub, r->vector, gateway_now(gw));
        r->s = NULL;
        restore_free(r);
}

/* ---- rights at the cursor ---- */

static void mute(struct restore *r, struct slice id)
{
        struct buf b = BUF_EMPTY;
        buf_add_str(&b, r->muted ? r->muted : ",");
        buf_add_slice(&b, id);
        buf_add_char(&b, ',');
        free(r->muted);
        r->muted = buf_take(&b, NULL);
}

static int64_t room_start(const struct restore *r, struct slice id, int64_t from_seq)
{
        uint16_t p = (uint16_t)partition_of(id, feed_partitions(r->gw->app->feed, TOPIC_EVENTS));
        int32_t slot = fanout_slot(r->gw->fanout, TOPIC_EVENTS, p);
        int64_t epoch =
                r->cursor_epoch ? r->cursor_epoch : fanout_epoch(r->gw->fanout, TOPIC_EVENTS);
        int64_t at = r->has_cursor ? (epoch << SEQ_EPOCH_SHIFT) + r->vector[slot] : 0;
        return at > from_seq ? at : from_seq;
}

/* The newest change of the user's membership before the cursor decides how the replay starts; those
 * after it are met on the way. */
static void judge_from_tail(struct restore *r, struct slice id, int64_t start_seq)
{
        const struct record *rec = fanout_newest(r->gw->fanout, TOPIC_EVENTS, id);
        for (; rec; rec = fanout_prev(r->gw->fanout, rec)) {
                bool removed = slice_is(record_type(rec), "tern.member.removed");
                if (record_seq(rec) >= start_seq ||
                        (rec->flags & (RECORD_DUPLICATE | RECORD_FOREIGN)) ||
                        (!removed && !slice_is(record_type(rec), "tern.member.added")))
                        continue;
                char *user = arg_field_text(record_value(rec), "userId");
                bool same = user && strcmp(user, r->user) == 0;
                free(user);
                if (!same)
                        continue;
                if (removed)
                        mute(r, id);
                return;
        }
}

static void each_room(
        struct restore *r, void (*fn)(struct restore *r, struct slice id, int64_t start_seq))
{
        struct slice rest = slice_str(r->rooms_json), room;
        while (arg_next(&rest, &room)) {
                struct slice raw;
                int64_t from = 0;
                char *id = arg_field_text(room, "id");
                if (id && arg_field(room, "from", &raw) && arg_int(raw, &from))
                        fn(r, slice_str(id), room_start(r, slice_str(id), from));
                free(id);
        }
}

static void judge_from_store(void *arg, int err, const struct feed_rows *rows)
{
        struct restore *r = arg;
        r->query = NULL;
        if (err < 0) {
                start_anew(r, UNAVAILABLE);
                return;
        }
        for (size_t i = 0; i < rows->rows; i++) {
                const char *const *v = rows->values + i * rows->columns;
                struct slice id = slice_str(v[0]);
                if (strtoll(v[2], NULL, 10) < room_start(r, id, 0))
                        mute(r, id);
        }
        each_room(r, judge_from_tail);
        finish(r);
}

static void array_add(struct restore *r, struct slice id, int64_t start_seq)
{
        UNUSED(start_seq);
        struct buf b = BUF_EMPTY;
        buf_add_str(&b, r->muted ? r->muted : "{");
        if (b.n > 1)
                buf_add_char(&b, ',');
        buf_printf(&b, "\"%.*s\"", SLICE_ARG(id));
        free(r->muted);
        r->muted = buf_take(&b, NULL);
}

static void judge_rights(struct restore *r)
{
        if (!r->from_store) {
                each_room(r, judge_from_tail);
                finish(r);
                return;
        }
        each_room(r, array_add);
        struct buf array = BUF_EMPTY;
        buf_add_str(&array, r->muted ? r->muted : "{");
        buf_add_char(&array, '}');
        free(r->muted);
        r->muted = NULL;
        const char *params[] = {r->user, buf_cstr(&array)};
        r->query = feed_query(r->gw->feed, TOPIC_SESSIONS, slice_str(r->hex),
                &messaging_sql[MESSAGING_SQL_RIGHTS], params, 2, judge_from_store, r);
        buf_done(&array);
}

/* ---- the claim ---- */

static void claim_passed(struct fanout_wait *w, int64_t original)
{
        UNUSED(original);
        struct restore *r = container_of(w, struct restore, wait);
        const struct record *rec = fanout_newest(r->gw->fanout, TOPIC_SESSIONS, slice_str(r->hex));
        /* From newest to oldest: the last of this gen that is met is the first in the log. */
        bool mine = false;
        for (unsigned i = 0; rec && i < CHAIN_MAX; rec = fanout_prev(r->gw->fanout, rec), i++) {
                struct slice raw;
                int64_t gen;
                if (!arg_field(record_value(rec), "gen", &raw) || !arg_int(raw, &gen))
                        continue;
                if (gen > r->gen) {
                        mine = false;
                        break;
                }
                if (gen == r->gen)
                        mine = slice_is(record_id(rec), r->claim_id);
        }
        if (mine)
                judge_rights(r);
        else if (r->claims < CLAIMS_MAX)
                find(r);
        else
                start_anew(r, FENCED);
}

static void claim_reported(struct bus_send *send)
{
        struct restore *r = container_of(send, struct restore, send);
        r->sending = false;
        if (!r->s) {
                restore_free(r);
                return;
        }
        if (send->outcome != BUS_OK) {
                start_anew(r, UNAVAILABLE);
                return;
        }
        r->wait.passed = claim_passed;
        fanout_wait_passed(
                r->gw->fanout, TOPIC_SESSIONS, (uint16_t)send->partition, send->offset, &r->wait);
}

static void claim(struct restore *r)
{
        r->claims++;
        r->gen++;
        uuid_v7(0, r->claim_id);
        struct event e = {
                .type = EVENT_SESSION,
                .sid = r->sid,
                .sub = r->sub,
                .gateway = r->owner,
                .rooms_json = r->rooms_json,
                .gen = r->gen,
        };
        struct buf value = BUF_EMPTY;
        event_encode(&e, &value);
        r->send = (struct bus_send){.reply = shard_mailbox(r->gw->shard), .done = claim_reported};
        r->sending = true;
        int err = gateway_produce(r->gw, "chat.sessions", EVENT_SESSION, slice_str(r->claim_id),
                slice_str(r->hex), buf_slice(&value), &r->send);
        buf_done(&value);
        if (err < 0) {
                r->sending = false;
                start_anew(r, UNAVAILABLE);
        }
}

/* ---- the newest state ---- */

static void forget(struct restore *r)
{
        free(r->sid);
        free(r->sub);
        free(r->rooms_json);
        free(r->found_owner);
        r->sid = r->sub = r->rooms_json = r->found_owner = NULL;
        r->gen = 0;
        r->closed = false;
}

static void take(struct restore *r, const char *sid, const char *sub, const char *rooms,
        const char *owner, int64_t gen, bool closed)
{
        forget(r);
        r->sid = xstrdup(sid);
        r->sub = xstrdup(sub);
        r->rooms_json = xstrdup(rooms);
        r->found_owner = xstrdup(owner);
        r->gen = gen;
        r->closed = closed;
}

/* True if the tail alone says who owns the newest gen. A gen that two stays claim, in a tail that may
 * begin after the first claim, needs the store. */
static bool find_in_tail(struct restore *r)
{
        struct fanout *f = r->gw->fanout;
        char *first_owner = NULL;
        bool contested = false;
        forget(r);
        const struct record *rec = fanout_newest(f, TOPIC_SESSIONS, slice_str(r->hex));
        for (unsigned i = 0; rec && i < CHAIN_MAX; rec = fanout_prev(f, rec), i++) {
                struct event e;
                struct event_error err;
                if (event_parse(SLICE_LIT("chat.sessions"), record_type(rec), record_id(rec),
                            record_key(rec), record_value(rec), &e, &err) < 0)
                        continue;
                if (e.gen > r->gen) {
                        take(r, e.sid, e.sub, e.rooms_json, e.gateway, e.gen, e.closed);
                        free(first_owner);
                        first_owner = xstrdup(e.gateway);
                        contested = false;
                } else if (e.gen == r->gen && first_owner && strcmp(e.gateway, first_owner) != 0) {
                        contested = true;
                }
                event_done(&e);
        }
        free(first_owner);
        return r->gen > 0 && !contested;
}

static void judge_found(struct restore *r)
{
        if (r->gen == 0 || r->closed)
                start_anew(r, UNKNOWN_SESSION);
        else if (strcmp(r->sub, r->user) != 0)
                start_anew(r, WRONG_USER);
        else
                claim(r);
}

static void found_in_store(void *arg, int err, const struct feed_rows *rows)
{
        struct restore *r = arg;
        r->query = NULL;
        if (err < 0) {
                start_anew(r, UNAVAILABLE);
                return;
        }
        r->from_store = true;
        /* The tail's records lie over the row: those of its owner, or of a later gen. */
        char *tail_owner = r->found_owner ? xstrdup(r->found_owner) : NULL;
        int64_t tail_gen = r->gen;
        if (rows->rows == 1) {
                const char *const *v = rows->values;
                int64_t gen = strtoll(v[2], NULL, 10);
                bool same_owner = tail_owner && tail_gen == gen && strcmp(tail_owner, v[3]) == 0;
                if (gen > tail_gen || (gen == tail_gen && !same_owner))
                        take(r, v[0], v[1], v[4], v[3], gen, v[5] && v[5][0] == 't');
        }
        free(tail_owner);
        judge_found(r);
}

static void find(struct restore *r)
{
        if (find_in_tail(r)) {
                judge_found(r);
                return;
        }
        const char *params[] = {r->hex};
        r->query = feed_query(r->gw->feed, TOPIC_SESSIONS, slice_str(r->hex),
                &messaging_sql[MESSAGING_SQL_SESSION], params, 1, found_in_store, r);
}

static void barrier_passed(void *arg, int err)
{
        struct restore *r = arg;
        r->barrier = NULL;
        if (err < 0)
                start_anew(r, UNAVAILABLE);
        else
                find(r);
}

void restore_start(struct session *s, struct slice user, struct slice pid, struct slice offset)
{
        struct restore *r = xcalloc(1, sizeof(*r));
        r->s = s;
        r->gw = s->gw;
        r->user = slice_dup(user);
        r->pid = slice_dup(pid);
        list_init(&r->wait.link);
        pid_hash(pid, r->hash);
        pid_hex(r->hash, r->hex);
        session_draw_owner(r->gw, r->owner);
        s->restore = r;
        if (offset.n > 0) {
                int err = cursor_parse(
                        offset, fanout_slot_count(r->gw->fanout), &r->cursor_epoch, r->vector);
                if (err < 0) {
                        /* Not one of ours: the reference, too, begins anew. */
                        start_anew(r, UNKNOWN_SESSION);
                        return;
                }
                r->has_cursor = true;
        }
        r->barrier = feed_barrier(
                r->gw->feed, TOPIC_SESSIONS, slice_str(r->hex), BARRIER_MS, barrier_passed, r);
}
