/* One stream: what is owed to it, how it is written, and how it ends. */
#include "realtime/eventstream_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define IOV_MAX_FLUSH 64
#define END_MS 2000       /* how long a partly written block may take to get out */
#define ACK_SLACK_MS 1000 /* our own look at a stall comes first */

/* ---- the timer ---- */

static void watch_silence(struct es_stream *s)
{
        const struct es_options *o = &s->lane->srv->o;
        /* Streams that were opened in one moment do not speak in one moment for ever. */
        uint32_t spread = (uint32_t)((uintptr_t)s / 64 % (o->heartbeat_ms / 8 + 1));
        int64_t left = s->wrote_ms + o->heartbeat_ms - spread - shard_now_ms(s->lane->sh);
        s->stalling = false;
        shard_timer_set(s->lane->sh, &s->timer, left);
}

static void watch_stall(struct es_stream *s)
{
        int64_t left = s->wrote_ms + s->lane->srv->o.stall_ms - shard_now_ms(s->lane->sh);
        s->stalling = true;
        shard_timer_set(s->lane->sh, &s->timer, left);
}

/* The state of the outbox says what the timer is for. */
static void rewatch(struct es_stream *s)
{
        if (s->state != ES_OPEN)
                return;
        bool owing = s->out.count > 0;
        if (owing && !s->stalling) {
                s->wrote_ms = shard_now_ms(s->lane->sh); /* silence until now is no stall */
                watch_stall(s);
        } else if (!owing && s->stalling)
                watch_silence(s);
}

static void close_now(struct es_stream *s, bool cut);

static void on_timer(struct shard *sh, struct shard_timer *t)
{
        struct es_stream *s = container_of(t, struct es_stream, timer);
        const struct es_options *o = &s->lane->srv->o;
        if (s->state == ES_ENDING) {
                close_now(s, true);
        } else if (s->out.count > 0) {
                if (shard_now_ms(sh) - s->wrote_ms >= o->stall_ms)
                        es_stream_end(s, ES_CLOSE_STALLED);
                else
                        watch_stall(s);
        } else if (shard_now_ms(sh) - s->wrote_ms >= o->heartbeat_ms - o->heartbeat_ms / 8) {
                int r = es_push(s, s->lane->srv->heartbeat, false);
                CHECK(r == 0);
                es_flush(s);
                if (s->state == ES_OPEN && s->out.count == 0)
                        watch_silence(s);
        } else {
                watch_silence(s);
        }
}

/* ---- writing ---- */

/* False once it is broken. */
static bool write_out(struct es_stream *s)
{
        while (s->out.count > 0 && !conn_blocked(&s->conn)) {
                struct iovec iov[IOV_MAX_FLUSH];
                int n = 0;
                size_t all = 0;
                for (; n < IOV_MAX_FLUSH; n++) {
                        struct msg *m = outbox_peek(&s->out, (uint32_t)n);
                        if (!m)
                                break;
                        size_t off = n == 0 ? s->out.front_off : 0;
                        iov[n] = (struct iovec){
                                .iov_base = m->bytes + off, .iov_len = m->ws_n - off};
                        all += iov[n].iov_len;
                }
                ssize_t wrote = conn_writev(&s->conn, iov, n);
                if (wrote < 0)
                        return false;
                if (wrote == 0)
                        break;
                outbox_wrote(&s->out, (size_t)wrote);
                es_lane_bytes(s->lane, -(int64_t)wrote);
                s->wrote_ms = shard_now_ms(s->lane->sh);
                if ((size_t)wrote < all)
                        break;
        }
        return true;
}

void es_flush(struct es_stream *s)
{
        if (s->state != ES_OPEN)
                return;
        if (!write_out(s)) {
                es_stream_end(s, ES_CLOSE_TRANSPORT_ERROR);
                return;
        }
        rewatch(s);
        if (s->refused || s->paced)
                shard_later(s->lane->sh, &s->turn);
}

static void drop_unbegun(struct es_stream *s)
{
        uint32_t before = s->out.bytes;
        msg_unref(outbox_drop_events(&s->out));
        es_lane_bytes(s->lane, (int64_t)s->out.bytes - before);
}

/* The end of a turn: what was pushed and not flushed goes out, and who was held back is told
 * when there is room. */
static void on_turn(struct shard *sh, struct shard_later *l)
{
        UNUSED(sh);
        struct es_stream *s = container_of(l, struct es_stream, turn);
        const struct es_options *o = &s->lane->srv->o;
        if (s->state != ES_OPEN)
                return;
        if (!write_out(s)) {
                es_stream_end(s, ES_CLOSE_TRANSPORT_ERROR);
                return;
        }
        rewatch(s);
        /* What was dropped has emptied the outbox by itself; it is the socket that has to take
         * bytes again. */
        bool taken =
                s->refused && !conn_blocked(&s->conn) && s->out.bytes <= o->outbox_bytes_max / 2;
        bool room = taken || (s->paced && s->out.bytes <= o->catchup_bytes_max / 2);
        if (!room)
                return; /* writable() asks again */
        s->refused = false;
        s->paced = false;
        s->lane->srv->ops.drained(s->lane->app, s, s->user);
}

/* ---- queueing ---- */

static bool over_bound(const struct es_stream *s, const struct msg *m)
{
        /* A single block is never too long for an empty outbox: it could never be delivered
         * else. */
        return s->out.count > 0 &&
               (uint64_t)s->out.bytes + m->ws_n > s->lane->srv->o.outbox_bytes_max;
}

static void queue(struct es_stream *s, struct msg *m)
{
        outbox_push(&s->out, m);
        es_lane_bytes(s->lane, m->ws_n);
}

/* The outbox is full of what the client does not take. */
static int overflow(struct es_stream *s, struct msg *m)
{
        struct es_server *srv = s->lane->srv;
        uint32_t before = s->out.bytes;
        struct msg *first = outbox_drop_events(&s->out);
        es_lane_bytes(s->lane, (int64_t)s->out.bytes - before);
        bool event = m->flags & MSG_EVENT;
        int r = 0;
        if (!event && !over_bound(s, m))
                queue(s, m);
        else if (!event) {
                es_stream_end(s, ES_CLOSE_LIMIT);
                msg_unref(first);
                return 0;
        }
        if (first || event) {
                s->refused = true;
                shard_later(s->lane->sh, &s->turn);
                srv->ops.dropped(s->lane->app, s, s->user, first ? first : m);
                r = event ? -ENOBUFS : 0;
        }
        msg_unref(first);
        return r;
}

int es_push(struct es_stream *s, struct msg *m, bool catchup)
{
        if (s->state != ES_OPEN)
                return 0;
        const struct es_options *o = &s->lane->srv->o;
        if (catchup && s->out.bytes > o->catchup_bytes_max) {
                s->paced = true;
                shard_later(s->lane->sh, &s->turn);
                return -EAGAIN;
        }
        if ((m->flags & MSG_VOLATILE) && (s->refused || conn_blocked(&s->conn)))
                return 0;
        if (over_bound(s, m)) {
                /* Not slow yet, if nobody has tried to write. */
                if (!write_out(s)) {
                        es_stream_end(s, ES_CLOSE_TRANSPORT_ERROR);
                        return 0;
                }
                if (over_bound(s, m))
                        return overflow(s, m);
        }
        queue(s, m);
        return 0;
}

/* ---- the end ---- */

static void close_now(struct es_stream *s, bool cut)
{
        s->state = ES_CLOSED;
        shard_timer_stop(s->lane->sh, &s->timer);
        shard_later_cancel(&s->turn);
        es_lane_bytes(s->lane, -(int64_t)s->out.bytes);
        outbox_done(&s->out);
        if (cut)
                conn_reset(&s->conn);
        else
                conn_close(&s->conn);
}

void es_stream_end(struct es_stream *s, enum es_close_reason reason)
{
        if (s->state != ES_OPEN)
                return;
        s->reason = (uint8_t)reason;
        bool gone =
                reason == ES_CLOSE_CLIENT || reason == ES_CLOSE_TRANSPORT_ERROR || !write_out(s);
        if (gone || s->out.count == 0) {
                close_now(s, false);
                return;
        }
        if (reason == ES_CLOSE_STALLED) {
                close_now(s, true);
                return;
        }
        if (s->out.front_off == 0) {
                close_now(s, false); /* between two blocks: nothing is cut */
                return;
        }
        drop_unbegun(s);
        s->state = ES_ENDING;
        es_stream_show_ending(s);
        shard_later_cancel(&s->turn);
        shard_timer_set(s->lane->sh, &s->timer, END_MS);
}

void es_close(struct es_stream *s, int reason)
{
        es_stream_end(s, reason >= 0 && reason < ES_CLOSE_REASONS ? (enum es_close_reason)reason
                                                                  : ES_CLOSE_APP);
}

/* Writes the front block to its end, and nothing behind it. */
static void finish_front(struct es_stream *s)
{
        const struct msg *m = outbox_peek(&s->out, 0);
        struct iovec iov = {.iov_base = (void *)(uintptr_t)(m->bytes + s->out.front_off),
                .iov_len = m->ws_n - s->out.front_off};
        ssize_t wrote = conn_writev(&s->conn, &iov, 1);
        if (wrote < 0 || (size_t)wrote == iov.iov_len) {
                close_now(s, false);
                return;
        }
        outbox_wrote(&s->out, (size_t)wrote);
        es_lane_bytes(s->lane, -(int64_t)wrote);
}

/* ---- the connection ---- */

static void on_bytes(struct conn *c, struct slice in)
{
        UNUSED(c);
        UNUSED(in); /* an event stream has one direction */
}

static void on_writable(struct conn *c)
{
        struct es_stream *s = container_of(c, struct es_stream, conn);
        if (s->state == ES_ENDING)
                finish_front(s);
        else
                es_flush(s);
}

static void on_hangup(struct conn *c, int err)
{
        struct es_stream *s = container_of(c, struct es_stream, conn);
        if (s->state == ES_ENDING)
                close_now(s, false);
        else if (err == 0 || err == -ECONNRESET || err == -EPIPE)
                es_stream_end(s, ES_CLOSE_CLIENT);
        else
                es_stream_end(s, err == -ETIMEDOUT ? ES_CLOSE_STALLED : ES_CLOSE_TRANSPORT_ERROR);
}

static void on_closed(struct conn *c)
{
        es_stream_gone(container_of(c, struct es_stream, conn));
}

static const struct conn_ops conn_ops = {
        .bytes = on_bytes, .writable = on_writable, .hangup = on_hangup, .closed = on_closed};

void es_stream_start(struct es_stream *s, int fd, const char *client_addr, struct msg *head)
{
        struct es_lane *lane = s->lane;
        s->turn.run = on_turn;
        shard_timer_init(&s->timer, on_timer);
        outbox_init(&s->out);
        if (conn_open(&s->conn, lane->sh, fd, client_addr, SLICE_NONE, &conn_ops) < 0) {
                close(fd);
                s->reason = ES_CLOSE_TRANSPORT_ERROR;
                es_stream_gone(s);
                return;
        }
        /* Whatever the client sends now presses back on itself alone; its leaving is noticed all
         * the same. */
        conn_read(&s->conn, false);
        conn_ack_within(&s->conn, lane->srv->o.stall_ms + ACK_SLACK_MS);
        s->state = ES_OPEN;
        s->wrote_ms = shard_now_ms(lane->sh);
        queue(s, head);
        if (lane->draining || lane->stopping) {
                es_stream_end(s, ES_CLOSE_DRAIN);
                return;
        }
        watch_silence(s);
        lane->srv->ops.opened(lane->app, s, s->user);
        es_flush(s);
}
