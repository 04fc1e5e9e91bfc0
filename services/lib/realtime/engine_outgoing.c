/*
 * What goes out: a queue of shared messages, bounded in bytes.
 *
 * Most of the time a connection gets one message and writes it at once. So a single message is held
 * in `one`, and only a second one moves both into the ring: the usual path allocates nothing for a
 * recipient.
 *
 * At the bound a client's events are dropped (its cursor brings them back); answers to its own
 * requests are not, but it is read from no more until it has taken half of them, and who queues
 * answers beyond ENGINE_HARD_FACTOR bounds is closed.
 */
#include "realtime/engine_internal.h"

#include <errno.h>

static void count_queued(struct engine_session *s, int64_t delta)
{
        struct engine_shard *es = s->es;
        es->queued += delta;
        atomic_store_explicit(&es->queued_seen, es->queued, memory_order_relaxed);
}

static void into_ring(struct engine_session *s)
{
        if (!s->one)
                return;
        outbox_push(&s->out, s->one);
        s->one = msg_unref(s->one);
}

static void enqueue(struct engine_session *s, struct msg *m)
{
        count_queued(s, m->ws_n);
        if (engine_idle(s)) {
                s->one = msg_ref(m);
                return;
        }
        into_ring(s);
        outbox_push(&s->out, m);
}

void engine_wrote(struct engine_session *s, size_t n)
{
        count_queued(s, -(int64_t)n);
        if (s->one && n == s->one->ws_n) {
                s->one = msg_unref(s->one);
                return;
        }
        into_ring(s);
        outbox_wrote(&s->out, n);
}

struct msg *engine_take(struct engine_session *s)
{
        struct msg *m = s->one;
        s->one = NULL;
        if (!m)
                m = outbox_take(&s->out);
        if (m)
                count_queued(s, -(int64_t)m->ws_n);
        return m;
}

struct msg *engine_drop_events(struct engine_session *s)
{
        uint32_t before = engine_queued(s);
        into_ring(s);
        struct msg *first = outbox_drop_events(&s->out);
        count_queued(s, (int64_t)engine_queued(s) - before);
        return first;
}

const struct msg *engine_droppable(
        struct engine_session *s, bool (*is)(const struct msg *m, const void *arg), const void *arg)
{
        into_ring(s);
        struct msg *m;
        for (uint32_t i = s->out.front_off > 0; (m = outbox_peek(&s->out, i)); i++)
                if ((m->flags & MSG_EVENT) && is(m, arg))
                        return m;
        return NULL;
}

void engine_drop_all(struct engine_session *s)
{
        count_queued(s, -(int64_t)engine_queued(s));
        s->one = msg_unref(s->one);
        outbox_done(&s->out);
}

/* ---- bounds ---- */

static void owe_drained(struct engine_session *s, uint32_t level)
{
        if (!s->owe_drained || level < s->drained_level)
                s->drained_level = level;
        s->owe_drained = true;
        shard_later(s->es->shard, &s->later);
}

/* At the bound: the client reads on from its cursor. */
static void drop_at_bound(struct engine_session *s)
{
        if (s->es->srv->ops.dropping)
                s->es->srv->ops.dropping(s->es->app, s);
        struct msg *first = engine_drop_events(s);
        owe_drained(s, s->es->srv->o.outbox_bytes_max / 2);
        if (s->es->srv->ops.dropped)
                s->es->srv->ops.dropped(s->es->app, s, first);
        msg_unref(first);
}

/* Whether a message that nobody is owed goes out now or not at all. A poll's client is away between
 * two polls, and that short while is no reason to drop. */
static bool takes_volatile(const struct engine_session *s, const struct msg *m)
{
        if (s->ws && conn_blocked(&s->ws->conn))
                return false;
        return engine_idle(s) ||
               (uint64_t)engine_queued(s) + m->ws_n <= s->es->srv->o.outbox_bytes_max / 4;
}

int engine_push(struct engine_session *s, struct msg *m, bool catchup)
{
        if (s->state != ENGINE_OPEN)
                return 0;
        const struct engine_options *o = &s->es->srv->o;
        if ((m->flags & MSG_VOLATILE) && !takes_volatile(s, m))
                return 0;
        uint32_t queued = engine_queued(s);
        if (catchup && queued > o->catchup_bytes_max) {
                owe_drained(s, o->catchup_bytes_max / 2);
                return -EAGAIN;
        }
        if (!(m->flags & MSG_EVENT)) {
                engine_queue(s, m);
                return 0;
        }
        /* A single event may be larger than the bound: alone it always goes. */
        if (queued > 0 && (uint64_t)queued + m->ws_n > o->outbox_bytes_max) {
                drop_at_bound(s);
                return -ENOBUFS;
        }
        enqueue(s, m);
        return 0;
}

void engine_queue(struct engine_session *s, struct msg *m)
{
        if (s->state != ENGINE_OPEN)
                return;
        uint64_t bound = s->es->srv->o.outbox_bytes_max;
        uint64_t queued = engine_queued(s);
        if (queued > 0 && queued + m->ws_n > bound) {
                if (!s->owe_drained)
                        drop_at_bound(s);
                if (s->state != ENGINE_OPEN)
                        return;
                if (engine_queued(s) > bound * ENGINE_HARD_FACTOR) {
                        engine_end(s, ENGINE_CLOSE_LIMIT, FAREWELL_CLOSE);
                        return;
                }
                if (s->ws && !s->paused) {
                        s->paused = true;
                        conn_read(&s->ws->conn, false);
                }
        }
        enqueue(s, m);
}

void engine_send(struct engine_session *s, struct msg *m)
{
        engine_queue(s, m);
        msg_unref(m);
        if (s->state == ENGINE_OPEN)
                shard_later(s->es->shard, &s->later);
}

/* ---- flush ---- */

void engine_after_write(struct engine_session *s)
{
        uint32_t queued = engine_queued(s);
        if (queued == 0)
                s->stall_ms = 0;
        if (s->paused && s->ws && queued <= s->es->srv->o.outbox_bytes_max / 2) {
                s->paused = false;
                conn_read(&s->ws->conn, true);
        }
        if (s->state == ENGINE_CLOSING && engine_idle(s))
                engine_end(s, s->reason, FAREWELL_CLOSE);
        else if (s->owe_drained && queued <= s->drained_level)
                shard_later(s->es->shard, &s->later);
}

void engine_flush(struct engine_session *s)
{
        if (s->state == ENGINE_CLOSED || engine_idle(s))
                return;
        if (s->ws)
                websocket_flush(s);
        else
                polling_flush(s);
}
