/*
 * A session's record in chat.sessions: what another gateway needs to take the session over.
 *
 * Writes are coalesced: at most one in RECORD_INTERVAL_MS. Who waits (a join's ack) is told about
 * the first record that holds the rooms as they were when it asked, once it has come back through the log. If a record is not confirmed,
 * the rooms in the log are not the rooms the client is in: the client then gets a cursor that no
 * gateway knows, so that a restore ends in an honest new session, until a record is confirmed again.
 */
#include "messaging/session.h"

#include "messaging/call.h"

#include "base/clock.h"
#include "base/hash.h"
#include "proto/digest.h"

#include <stdio.h>
#include <stdlib.h>

#define RECORD_INTERVAL_MS 20
/* A session's first record waits for its first join, which most clients send at once: one record instead of two, in Kafka and in each
 * gateway's tail. Who is cut off before gets it at that moment; only the gateway's own death can come between. */
#define FIRST_RECORD_MS 100
/* Who waits for a record that Kafka does not confirm goes on after this time, unrecoverable. */
#define RECORD_PATIENCE_MS 2000

struct session_write {
        struct bus_send send;
        struct fanout_wait passed; /* Kafka has it; the shard has not come to it yet */
        struct list in_log;        /* session_log.writes */
        struct session_log *log; /* kept alive by in_flight */
        struct list waiting;     /* struct session_wait */
        int64_t sent_ms;
        uint64_t number;
};

void pid_hash(struct slice nsp, struct slice pid, uint8_t ret[PID_HASH_BYTES])
{
        if (slice_is(nsp, "/")) {
                digest_sha256(pid, ret);
                return;
        }
        struct buf text = BUF_EMPTY;
        buf_add_slice(&text, nsp);
        buf_add_char(&text, '\n');
        buf_add_slice(&text, pid);
        digest_sha256(buf_slice(&text), ret);
        buf_done(&text);
}

void pid_hex(const uint8_t hash[PID_HASH_BYTES], char ret[PID_HEX_TEXT])
{
        static const char digits[] = "0123456789abcdef";
        for (size_t i = 0; i < PID_HASH_BYTES; i++) {
                ret[2 * i] = digits[hash[i] >> 4];
                ret[2 * i + 1] = digits[hash[i] & 15];
        }
        ret[PID_HEX_TEXT - 1] = '\0';
}

void session_draw_owner(const struct gateway *gw, char ret[OWNER_TEXT])
{
        uint8_t nonce[6];
        char text[base64_len(sizeof(nonce)) + 1];
        random_bytes(nonce, sizeof(nonce));
        text[base64url_encode(nonce, sizeof(nonce), text)] = '\0';
        snprintf(ret, OWNER_TEXT, "%s/%s", gw->app->instance, text);
}

static struct slice log_key(const struct session_log *l)
{
        return slice_of((const char *)l->pid_hash, PID_HASH_BYTES);
}

static void log_free_if_idle(struct session_log *l)
{
        if (l->session || l->in_flight > 0)
                return;
        free(l);
}

static void due(struct shard *sh, struct shard_timer *t);
static void out_of_patience(struct shard *sh, struct shard_timer *t);

struct session_log *session_log_new(
        struct session *s, const uint8_t hash[PID_HASH_BYTES], int64_t gen, const char *owner)
{
        struct session_log *l = xcalloc(1, sizeof(*l));
        l->session = s;
        memcpy(l->pid_hash, hash, PID_HASH_BYTES);
        snprintf(l->owner, sizeof(l->owner), "%s", owner);
        l->gen = gen;
        list_init(&l->waiting);
        list_init(&l->writes);
        shard_timer_init(&l->timer, due);
        shard_timer_init(&l->patience, out_of_patience);
        map_put(&s->gw->pids, log_key(l), s);
        return l;
}

/* ---- the record ---- */

/* Where a muted room's right ended: who comes back with an older cursor still gets what came before,
 * and who comes back with a newer one gets nothing. */
static int64_t muted_at(const struct subscription *sn)
{
        return sn->turn_count > 0 ? sn->turns[sn->turn_count - 1] : 0;
}

/* at: up to where the log is in what is said of the room. Whoever restores it has to look at the changes from there on. */
static void encode_rooms(const struct session *s, struct buf *out)
{
        buf_add_char(out, '[');
        list_for_each(it, &s->sub.rooms)
        {
                struct subscription *sn = list_entry(it, struct subscription, in_sub);
                struct slice key = subscription_key(sn);
                if (out->n > 1)
                        buf_add_char(out, ',');
                buf_printf(out, "{\"id\":\"%.*s\",\"from\":%lld,\"at\":%lld", SLICE_ARG(key),
                        (long long)sn->from_seq, (long long)session_next_seq(s, key));
                if (sn->muted)
                        buf_printf(out, ",\"until\":%lld", (long long)muted_at(sn));
                buf_add_char(out, '}');
        }
        buf_add_char(out, ']');
}

static void encode(const struct session *s, bool closed, struct buf *out)
{
        const struct session_log *l = s->log;
        struct buf rooms = BUF_EMPTY;
        if (closed)
                buf_add_str(&rooms, "[]");
        else
                encode_rooms(s, &rooms);
        struct event e = {
                .type = EVENT_SESSION,
                .sid = (char *)(uintptr_t)s->sid,
                .sub = s->user->id,
                .gateway = (char *)(uintptr_t)l->owner,
                .rooms_json = (char *)(uintptr_t)buf_cstr(&rooms),
                .gen = l->gen,
                .closed = closed,
        };
        event_encode(&e, out);
        buf_done(&rooms);
}

static int send_record(struct session *s, bool closed, struct bus_send *send)
{
        struct gateway *gw = s->gw;
        char key[PID_HEX_TEXT], id[UUID_TEXT];
        pid_hex(s->log->pid_hash, key);
        uuid_v7(clock_wall_ms(), id);
        struct buf value = BUF_EMPTY;
        encode(s, closed, &value);
        int r = gateway_produce(gw, "chat.sessions", EVENT_SESSION, slice_str(id), slice_str(key),
                buf_slice(&value), send);
        buf_done(&value);
        return r;
}

/* The stock client keeps the trailing string of any event as its offset; this one is known to nobody. */
static void tell_unrecoverable(struct session *s)
{
        s->log->unrecoverable = true;
        if (!variant_has_cursor(s->sub.variant) || s->state != SESSION_LIVE)
                return;
        session_set_cursor(s, false);
        sio_emit(session_socket(s), "cursor", SLICE_LIT("\"unrecoverable\""));
}

static void tell_recoverable(struct session *s)
{
        if (!s->log->unrecoverable || !list_empty(&s->log->waiting))
                return;
        s->log->unrecoverable = false;
        session_set_cursor(s, true);
        session_send_cursor(s);
}

static void tell_waiting(struct list *waiting, bool confirmed)
{
        struct list *it;
        while ((it = list_take(waiting))) {
                struct session_wait *w = list_entry(it, struct session_wait, link);
                w->done(w, confirmed);
        }
}

static void write_done(struct session_write *w, bool confirmed)
{
        struct session_log *l = w->log;
        struct session *s = l->session;
        /* A later one that failed holds rooms that this one lacks. */
        bool newest = list_last(&l->writes) == &w->in_log && w->number > l->lost;
        list_remove(&w->in_log);
        if (!confirmed && w->number > l->lost)
                l->lost = w->number;
        if (s && confirmed && newest)
                tell_recoverable(s);
        else if (s && !confirmed)
                tell_unrecoverable(s);
        tell_waiting(&w->waiting, confirmed);
        free(w);
        l->in_flight--;
        log_free_if_idle(l);
}

static void write_passed(struct fanout_wait *wait, int64_t original)
{
        struct session_write *w = container_of(wait, struct session_write, passed);
        const struct session *s = w->log->session;
        write_done(w, original >= 0 && s && s->state == SESSION_LIVE);
}

/* That Kafka has it is not enough: behind another gateway's later gen it counts for nothing, and then the fence is met on the way. */
static void write_reported(struct bus_send *send)
{
        struct session_write *w = container_of(send, struct session_write, send);
        const struct session *s = w->log->session;
        if (!s || send->outcome != BUS_OK) {
                write_done(w, false);
                return;
        }
        w->passed.passed = write_passed;
        fanout_wait_passed(s->gw->fanout, TOPIC_SESSIONS, (uint16_t)send->partition, send->offset,
                &w->passed);
}

/* The session ends: what only waits for the shard waits for nothing. */
static void writes_forget_waits(struct session_log *l)
{
        list_for_each_safe(it, &l->writes)
        {
                struct session_write *w = list_entry(it, struct session_write, in_log);
                if (!list_linked(&w->passed.link))
                        continue;
                fanout_wait_cancel(&w->passed);
                write_done(w, false);
        }
}

static void write_now(struct session *s)
{
        struct session_log *l = s->log;
        struct session_write *w = xcalloc(1, sizeof(*w));
        w->log = l;
        w->number = ++l->made;
        w->send.reply = shard_mailbox(s->gw->shard);
        w->send.done = write_reported;
        list_init(&w->waiting);
        list_splice(&w->waiting, &l->waiting);
        l->written_ms = w->sent_ms = gateway_now(s->gw);
        list_init(&w->in_log);
        list_init(&w->passed.link);
        l->in_flight++;
        if (send_record(s, false, &w->send) == 0) {
                list_push_back(&l->writes, &w->in_log);
                if (!list_empty(&w->waiting) && l->patience.due_ms == 0)
                        shard_timer_set(s->gw->shard, &l->patience, RECORD_PATIENCE_MS);
                return;
        }
        l->in_flight--;
        l->lost = w->number;
        tell_unrecoverable(s);
        struct list waiting;
        list_init(&waiting);
        list_splice(&waiting, &w->waiting);
        free(w);
        tell_waiting(&waiting, false);
}

/* Kafka is away or slow: joins and leaves do not wait for it, and the client knows that its rooms are
 * not safe yet. */
static void out_of_patience(struct shard *sh, struct shard_timer *t)
{
        struct session_log *l = container_of(t, struct session_log, patience);
        int64_t oldest_ms = 0;
        struct list waiting;
        list_init(&waiting);
        list_for_each(it, &l->writes)
        {
                struct session_write *w = list_entry(it, struct session_write, in_log);
                if (list_empty(&w->waiting))
                        continue;
                if (shard_now_ms(sh) - w->sent_ms < RECORD_PATIENCE_MS) {
                        oldest_ms = w->sent_ms;
                        break;
                }
                list_splice(&waiting, &w->waiting);
        }
        if (oldest_ms)
                shard_timer_set(sh, t, oldest_ms + RECORD_PATIENCE_MS - shard_now_ms(sh));
        if (list_empty(&waiting))
                return;
        tell_unrecoverable(l->session);
        tell_waiting(&waiting, false);
}

static void due(struct shard *sh, struct shard_timer *t)
{
        UNUSED(sh);
        struct session_log *l = container_of(t, struct session_log, timer);
        if (l->session && l->session->state == SESSION_LIVE)
                write_now(l->session);
}

void session_log_write(struct session *s, struct session_wait *w)
{
        struct session_log *l = s->log;
        if (!l || s->state == SESSION_FENCED) {
                if (w) {
                        list_init(&w->link);
                        w->done(w, false);
                }
                return;
        }
        if (w)
                list_push_back(&l->waiting, &w->link);
        int64_t since = gateway_now(s->gw) - l->written_ms;
        /* The first record of a session waits a moment for the first join; a join goes at once. */
        bool first_without_join = l->written_ms == 0 && !w;
        if (since >= RECORD_INTERVAL_MS && !first_without_join) {
                shard_timer_stop(s->gw->shard, &l->timer);
                write_now(s);
        } else if (l->timer.due_ms == 0) {
                shard_timer_set(s->gw->shard, &l->timer,
                        first_without_join ? FIRST_RECORD_MS : RECORD_INTERVAL_MS - since);
        }
}

void session_wait_cancel(struct session_wait *w)
{
        list_remove(&w->link);
}

void session_log_release(struct session_log *l, enum session_end end)
{
        struct session *s = l->session;
        struct gateway *gw = s->gw;
        bool owed = l->timer.due_ms != 0;
        shard_timer_stop(gw->shard, &l->timer);
        shard_timer_stop(gw->shard, &l->patience);
        if (map_get(&gw->pids, log_key(l)) == s)
                map_remove(&gw->pids, log_key(l));
        /* What was never written nobody can restore. */
        if (end == SESSION_END_GOODBYE && s->user && l->written_ms != 0)
                (void)!send_record(s, true, NULL);
        else if (end == SESSION_END_CUT && s->user && owed)
                (void)!send_record(s, false, NULL);
        tell_waiting(&l->waiting, false);
        l->session = NULL;
        l->in_flight++; /* it stays until all have been looked at */
        writes_forget_waits(l);
        l->in_flight--;
        log_free_if_idle(l);
}

/* ---- fencing ---- */

static bool unhex(struct slice hex, uint8_t ret[PID_HASH_BYTES])
{
        if (hex.n != PID_HEX_TEXT - 1)
                return false;
        for (size_t i = 0; i < hex.n; i++) {
                char c = hex.p[i];
                int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
                if (v < 0)
                        return false;
                ret[i / 2] = (uint8_t)(i % 2 ? ret[i / 2] | v : v << 4);
        }
        return true;
}

void session_record_seen(struct gateway *gw, const struct record *r)
{
        uint8_t hash[PID_HASH_BYTES];
        if (!unhex(record_key(r), hash))
                return;
        struct session *s = map_get(&gw->pids, slice_of((const char *)hash, PID_HASH_BYTES));
        if (!s || s->state != SESSION_LIVE)
                return;
        struct event e;
        struct event_error err;
        if (event_parse(SLICE_LIT("chat.sessions"), record_type(r), record_id(r), record_key(r),
                    record_value(r), &e, &err) < 0)
                return;
        if (e.gen > s->log->gen) {
                s->state = SESSION_FENCED;
                session_drop(s, SIO_CLOSE_TRANSPORT_CLOSE);
        }
        event_done(&e);
}
