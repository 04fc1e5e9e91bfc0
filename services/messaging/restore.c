/*
 * A client came back with (pid, offset). Whoever writes the first record of the next gen owns the
 * session; so a restore is: learn the newest state (never from a stale view), claim gen + 1, wait
 * until the claim came back through the log as the first of its gen, and only then say `40` with the
 * same sid and pid, and after it hand over what was missed.
 */
#include "messaging/restore.h"

#include "messaging/args.h"
#include "messaging/call.h"

#include "base/clock.h"
#include "wire/cursor.h"

#include <errno.h>
#include <stdlib.h>

#define BARRIER_MS 3000
#define RESTORE_MS 8000 /* then the client gets a new session, or comes again: see restore_put_off() */
#define CLAIMS_MAX 4

static void restore_free(struct restore *r)
{
        if (r->sending)
                return; /* the report frees it */
        free(r->user);
        free(r->pid);
        found_state_done(&r->found);
        restore_rooms_done(r);
        free(r);
}

/* The session goes its own way; nothing of the restore is called any more but a delivery report. */
static void let_go(struct restore *r)
{
        if (r->barrier)
                feed_barrier_cancel(r->barrier);
        if (r->query)
                feed_query_cancel(r->query);
        r->barrier = NULL;
        r->query = NULL;
        fanout_wait_cancel(&r->wait);
        shard_timer_stop(r->gw->shard, &r->deadline);
        r->s->restore = NULL;
        r->s = NULL;
}

void restore_abandon(struct session *s)
{
        struct restore *r = s->restore;
        let_go(r);
        restore_free(r);
}

static void count(struct gateway *gw, enum resume_result result)
{
        metrics_add(gw->app->metrics, M_resumes, (unsigned)result, 1);
}

void restore_fail(struct restore *r, enum resume_result why)
{
        struct session *s = r->s;
        count(r->gw, why);
        let_go(r);
        session_begin(s, slice_str(r->user), true);
        restore_free(r);
}

void restore_unread(struct restore *r, int err)
{
        if (err == -EAGAIN)
                restore_fail(r, RESUME_UNAVAILABLE);
        else
                restore_put_off(r);
}

/* Kafka or Postgres is away, so nobody knows what the session is, or whether it is another's by now. A new one would be a
 * no from ignorance, and what was missed would be lost to the client: the transport closes, and it comes again with what
 * it has. */
void restore_put_off(struct restore *r)
{
        struct session *s = r->s;
        count(r->gw, RESUME_UNAVAILABLE);
        let_go(r);
        session_drop(s, SIO_CLOSE_TRANSPORT_CLOSE);
        restore_free(r);
}

static void too_late(struct shard *sh, struct shard_timer *t)
{
        UNUSED(sh);
        struct restore *r = container_of(t, struct restore, deadline);
        if (r->query)
                restore_fail(r, RESUME_UNAVAILABLE);
        else
                restore_put_off(r);
}

/* ---- the end: a restored session ---- */

static void follow_rooms(struct restore *r)
{
        struct session *s = r->s;
        for (size_t i = 0; i < r->room_count; i++) {
                const struct restored_room *room = &r->rooms[i];
                struct slice id = slice_str(room->id);
                struct subscription *sn = subscriber_join(
                        r->gw->fanout, &s->sub, TOPIC_EVENTS, id, room->from_seq, false);
                sn->muted = room->muted;
                if (event_conversation_id_valid(id)) {
                        room_followed(r->gw, id);
                        s->room_count++;
                }
        }
}

/* Where the replay begins: the cursor, or without one (no event ever came) where each room was joined. */
static void place(const struct restore *r, int64_t *seqs)
{
        const struct fanout *f = r->gw->fanout;
        size_t slots = fanout_slot_count(f);
        int64_t here = (int64_t)fanout_epoch(f, TOPIC_EVENTS) << SEQ_EPOCH_SHIFT;
        for (size_t i = 0; i < slots; i++)
                seqs[i] = r->has_cursor
                                  ? ((int64_t)r->cursor_epoch << SEQ_EPOCH_SHIFT) + r->vector[i]
                                  : here + fanout_vector(f)[i];
        if (r->has_cursor)
                return;
        for (size_t i = 0; i < r->room_count; i++) {
                const struct restored_room *room = &r->rooms[i];
                int32_t slot = fanout_slot(f, TOPIC_EVENTS, room->partition);
                if (room->from_seq < seqs[slot])
                        seqs[slot] = room->from_seq;
        }
}

/* Somebody may have claimed a later gen while the rights were read. */
static bool is_superseded(const struct restore *r)
{
        const struct fanout *f = r->gw->fanout;
        const struct record *rec = fanout_newest(f, TOPIC_SESSIONS, slice_str(r->hex));
        for (; rec && !slice_is(record_id(rec), r->claim_id); rec = fanout_prev(f, rec)) {
                struct slice raw;
                int64_t gen;
                if (arg_field(record_value(rec), "gen", &raw) && arg_int(raw, &gen) && gen > r->gen)
                        return true;
        }
        return false;
}

void restore_judged(struct restore *r)
{
        struct session *s = r->s;
        struct gateway *gw = r->gw;
        if (is_superseded(r)) {
                restore_fail(r, RESUME_FENCED);
                return;
        }
        int64_t seqs[FANOUT_SLOTS_MAX];
        place(r, seqs);
        follow_rooms(r);
        let_go(r);
        if (session_take_over(s, slice_str(r->user), r->hash, r->found.sid, r->gen, r->owner)) {
                count(gw, RESUME_RECOVERED);
                sio_accept(session_socket(s), slice_str(r->found.sid), slice_str(r->pid));
                subscriber_attach_seqs(gw->fanout, &s->sub, seqs, gateway_now(gw));
        }
        restore_free(r);
}

/* ---- the claim ---- */

/* From newest to oldest: the last of this gen that is met is the first in the log. NULL if the gen is another's. */
static const struct record *own_claim(const struct restore *r)
{
        const struct fanout *f = r->gw->fanout;
        const struct record *rec = fanout_newest(f, TOPIC_SESSIONS, slice_str(r->hex));
        const struct record *first = NULL;
        for (; rec; rec = fanout_prev(f, rec)) {
                struct slice raw;
                int64_t gen;
                if (!arg_field(record_value(rec), "gen", &raw) || !arg_int(raw, &gen))
                        continue;
                if (gen > r->gen)
                        return NULL;
                if (gen == r->gen)
                        first = rec;
        }
        return first && slice_is(record_id(first), r->claim_id) ? first : NULL;
}

/* The former holder went on until the claim: what its rooms were by then is told by its last record before it. True if they are other than
 * what was claimed; found then is what the next claim has to say. */
static bool takes_over_more(struct restore *r, const struct record *claimed)
{
        const struct fanout *f = r->gw->fanout;
        const struct record *rec = fanout_prev(f, claimed);
        struct found_state newer = {0};
        if (strcmp(r->found.owner, r->owner) == 0)
                return false; /* it is our own claim that this one corrects */
        for (; rec && !newer.gen; rec = fanout_prev(f, rec)) {
                struct event e;
                struct event_error err;
                if (event_parse(SLICE_LIT("chat.sessions"), record_type(rec), record_id(rec),
                            record_key(rec), record_value(rec), &e, &err) < 0)
                        continue;
                if (e.gen == r->found.gen && strcmp(e.gateway, r->found.owner) == 0)
                        found_state_fold(&newer, &e);
                event_done(&e);
        }
        bool more = newer.gen && (newer.closed || strcmp(newer.rooms_json, r->found.rooms_json) != 0);
        if (!more) {
                found_state_done(&newer);
                return false;
        }
        newer.sure = true;
        newer.gen = r->gen;
        free(newer.owner);
        newer.owner = xstrdup(r->owner);
        found_state_done(&r->found);
        r->found = newer;
        return true;
}

static void claim_passed(struct fanout_wait *w, int64_t original)
{
        UNUSED(original);
        struct restore *r = container_of(w, struct restore, wait);
        const struct record *claimed = own_claim(r);
        if (claimed && !takes_over_more(r, claimed))
                restore_judge(r);
        else if (r->claims == CLAIMS_MAX)
                restore_fail(r, RESUME_FENCED);
        else if (claimed)
                restore_found(r);
        else
                restore_find(r);
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
                restore_put_off(r);
                return;
        }
        r->wait.passed = claim_passed;
        fanout_wait_passed(
                r->gw->fanout, TOPIC_SESSIONS, (uint16_t)send->partition, send->offset, &r->wait);
}

static void claim(struct restore *r)
{
        r->claims++;
        r->gen = r->found.gen + 1;
        uuid_v7(clock_wall_ms(), r->claim_id);
        struct event e = {
                .type = EVENT_SESSION,
                .sid = r->found.sid,
                .sub = r->found.sub,
                .gateway = r->owner,
                .rooms_json = r->found.rooms_json,
                .gen = r->gen,
        };
        struct buf value = BUF_EMPTY;
        event_encode(&e, &value);
        r->send = (struct bus_send){.reply = shard_mailbox(r->gw->shard), .done = claim_reported};
        r->sending = true;
        int err = gateway_produce(r->gw, "chat.sessions", EVENT_SESSION, slice_str(r->claim_id),
                slice_str(r->hex), buf_slice(&value), &r->send);
        buf_done(&value);
        if (err == 0)
                return;
        r->sending = false;
        restore_put_off(r);
}

void restore_found(struct restore *r)
{
        if (r->found.gen == 0 || r->found.closed)
                restore_fail(r, RESUME_UNKNOWN_SESSION);
        else if (strcmp(r->found.sub, r->user) != 0)
                restore_fail(r, RESUME_WRONG_USER);
        else
                claim(r);
}

static void barrier_passed(void *arg, int err)
{
        struct restore *r = arg;
        r->barrier = NULL;
        if (err < 0)
                restore_put_off(r);
        else
                restore_find(r);
}

void restore_start(struct session *s, struct slice user, struct slice pid, struct slice offset)
{
        struct restore *r = xcalloc(1, sizeof(*r));
        r->s = s;
        r->gw = s->gw;
        r->user = slice_dup(user);
        r->pid = slice_dup(pid);
        list_init(&r->wait.link);
        shard_timer_init(&r->deadline, too_late);
        shard_timer_set(r->gw->shard, &r->deadline, RESTORE_MS);
        pid_hash(sio_nsp(session_socket(s)), pid, r->hash);
        pid_hex(r->hash, r->hex);
        session_draw_owner(r->gw, r->owner);
        s->restore = r;
        size_t slots = fanout_slot_count(r->gw->fanout);
        r->has_cursor = offset.n > 0;
        if (r->has_cursor && cursor_parse(offset, slots, &r->cursor_epoch, r->vector) < 0) {
                /* Not one of ours: the reference, too, begins anew. */
                restore_fail(r, RESUME_UNKNOWN_SESSION);
                return;
        }
        r->barrier = feed_barrier(
                r->gw->feed, TOPIC_SESSIONS, slice_str(r->hex), BARRIER_MS, barrier_passed, r);
}
