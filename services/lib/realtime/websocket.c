/*
 * The connection of a WebSocket: of a session, or the candidate of an upgrade. It outlives both
 * until the kernel's descriptor is gone; what it owns of the frame reader is given back only then,
 * because a message that is being handled lies in it.
 */
#include "realtime/engine_internal.h"

#include "realtime/frames.h"

#include <stdlib.h>

#define IOV_MAX_FLUSH 64
#define CODE_TOO_BIG 1009

static void gone(struct ws_link *l, enum engine_close_reason reason)
{
        if (l->upgrade)
                upgrade_abort(l->upgrade, true);
        else if (l->session)
                engine_end(l->session, reason, FAREWELL_NONE);
        else
                conn_close(&l->conn);
}

/* Control frames may not cut into a message that is partly written, so they stand in the same
 * queue. */
static void reply(struct ws_link *l, struct slice bytes)
{
        if (!l->session) {
                if (conn_write(&l->conn, bytes) != (ssize_t)bytes.n)
                        gone(l, ENGINE_CLOSE_TRANSPORT_ERROR);
                return;
        }
        engine_send(l->session, frame_raw(bytes));
}

static void deliver(struct ws_link *l, struct slice payload, bool binary)
{
        if (l->upgrade)
                upgrade_receive(l->upgrade, payload, binary);
        else if (l->session)
                engine_receive(l->session, payload, binary);
}

/* The peer closes, or broke a rule: the answer goes out if no message is cut by it. */
static void last_words(struct ws_link *l, struct slice reply_bytes, enum engine_close_reason reason)
{
        struct engine_session *s = l->session;
        if (reply_bytes.n && !(s && s->out.front_off > 0))
                (void)!conn_write(&l->conn, reply_bytes);
        ws_close_sent(&l->ws);
        gone(l, reason);
}

static void show_partial(const struct ws_link *l)
{
        atomic_store_explicit(
                &l->es->partial_seen, (int64_t)ws_pool_bytes(l->es->pool), memory_order_relaxed);
}

static void take_frames(struct ws_link *l, struct slice in)
{
        struct ws_item item;
        while (conn_is_open(&l->conn)) {
                enum ws_kind kind = ws_next(l->es->pool, &l->ws, &in, &item);
                switch (kind) {
                case WS_MORE:
                        return;
                case WS_TEXT:
                case WS_BINARY:
                        deliver(l, item.payload, kind == WS_BINARY);
                        break;
                case WS_PING:
                        reply(l, item.reply);
                        break;
                case WS_PONG:
                        break;
                case WS_CLOSE:
                        last_words(l, item.reply, ENGINE_CLOSE_TRANSPORT_CLOSE);
                        return;
                case WS_FAIL:
                        last_words(l, item.reply,
                                item.code == CODE_TOO_BIG ? ENGINE_CLOSE_LIMIT
                                                          : ENGINE_CLOSE_TRANSPORT_ERROR);
                        return;
                }
        }
}

static void on_bytes(struct conn *c, struct slice in)
{
        struct ws_link *l = container_of(c, struct ws_link, conn);
        take_frames(l, in);
        show_partial(l);
}

static void on_writable(struct conn *c)
{
        struct ws_link *l = container_of(c, struct ws_link, conn);
        if (l->session)
                engine_flush(l->session);
}

static void on_hangup(struct conn *c, int err)
{
        gone(container_of(c, struct ws_link, conn),
                err ? ENGINE_CLOSE_TRANSPORT_ERROR : ENGINE_CLOSE_TRANSPORT_CLOSE);
}

static void on_closed(struct conn *c)
{
        struct ws_link *l = container_of(c, struct ws_link, conn);
        CHECK(!l->session && !l->upgrade);
        ws_done(l->es->pool, &l->ws);
        show_partial(l);
        free(l);
}

static const struct conn_ops link_ops = {
        .bytes = on_bytes,
        .writable = on_writable,
        .hangup = on_hangup,
        .closed = on_closed,
};

struct ws_link *websocket_open(struct engine_shard *es, struct http_handover *ho)
{
        struct ws_link *l = xcalloc(1, sizeof(*l));
        l->es = es;
        if (conn_open(&l->conn, es->shard, ho->fd, ho->client_addr, slice_of(ho->rest, ho->rest_n),
                    &link_ops) < 0) {
                free(l);
                http_handover_done(ho);
                return NULL;
        }
        ho->fd = -1;
        http_handover_done(ho);
        return l;
}

void websocket_close(struct ws_link *l, bool mid_frame)
{
        if (!conn_is_open(&l->conn))
                return;
        if (mid_frame) {
                conn_reset(&l->conn);
                return;
        }
        if (l->ws.state == WS_OPEN) {
                char frame[WS_CONTROL_MAX];
                (void)!conn_write(&l->conn, slice_of(frame, ws_close_frame(0, SLICE_NONE, frame)));
                ws_close_sent(&l->ws);
        }
        conn_close(&l->conn);
}

/* ---- flush ---- */

static int gather(const struct engine_session *s, struct iovec iov[IOV_MAX_FLUSH])
{
        if (s->one) {
                iov[0] = (struct iovec){s->one->bytes, s->one->ws_n};
                return 1;
        }
        int n = 0;
        for (struct msg *m; n < IOV_MAX_FLUSH && (m = outbox_peek(&s->out, (uint32_t)n)); n++) {
                uint32_t skip = n == 0 ? s->out.front_off : 0;
                iov[n] = (struct iovec){m->bytes + skip, m->ws_n - skip};
        }
        return n;
}

void websocket_flush(struct engine_session *s)
{
        struct conn *c = &s->ws->conn;
        struct iovec iov[IOV_MAX_FLUSH];
        bool progress = false;
        while (!engine_idle(s) && !conn_blocked(c)) {
                int iov_n = gather(s, iov);
                ssize_t n = conn_writev(c, iov, iov_n);
                if (n < 0) {
                        engine_end(s, ENGINE_CLOSE_TRANSPORT_ERROR, FAREWELL_NONE);
                        return;
                }
                if (n > 0) {
                        progress = true;
                        engine_wrote(s, (size_t)n);
                }
        }
        if (!engine_idle(s) && (progress || !s->stall_ms)) {
                s->stall_ms = engine_now(s) + s->es->srv->o.stall_ms;
                engine_arm(s);
        }
        engine_after_write(s);
}
