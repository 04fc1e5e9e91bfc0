/*
 * realtime/socketio_server.h for simulated sockets: no packets, no transports; what is pushed goes into an outbox, and from there
 * into a wire that holds a few frames.
 */
#include "chat_internal.h"

#include "http/rest.h"

#include <errno.h>
#include <stdlib.h>

enum { FRAME_BYTES = 60, WIRE_MAX = 700, CATCHUP_MAX = 500, SOCKET_OUTBOX_MAX = 1500, ROOMY = 1000 };

struct frame_head { /* at the start of a message's bytes */
        enum frame_kind kind;
        int64_t ack_id;
        size_t a, b, c;
};

/* ---- frames ---- */

static struct msg *frame_msg(enum frame_kind kind, int64_t ack_id, struct slice a, struct slice b, struct slice c)
{
        struct frame_head h = {kind, ack_id, a.n, b.n, c.n};
        struct msg *m = msg_new(sizeof(h) + a.n + b.n + c.n);
        char *at = m->bytes;
        memcpy(at, &h, sizeof(h));
        at += sizeof(h);
        const struct slice parts[] = {a, b, c};
        for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
                if (parts[i].n)
                        memcpy(at, parts[i].p, parts[i].n);
                at += parts[i].n;
        }
        m->ws_n = FRAME_BYTES;
        return m;
}

struct msg *sio_frame(struct slice nsp, struct slice name, struct slice args_json, struct slice cursor,
        const struct slice *attachments, size_t attachment_count)
{
        UNUSED(nsp);
        UNUSED(attachments);
        UNUSED(attachment_count);
        return frame_msg(FRAME_EVENT, -1, name, args_json, cursor);
}

static struct frame *frame_of(const struct msg *m)
{
        struct frame_head h;
        memcpy(&h, m->bytes, sizeof(h));
        size_t n = h.a + h.b + h.c;
        struct frame *f = xmalloc(sizeof(*f) + n + 1);
        memcpy(f->bytes, m->bytes + sizeof(h), n);
        f->bytes[n] = '\0';
        f->kind = h.kind;
        f->ack_id = h.ack_id;
        f->a = slice_of(f->bytes, h.a);
        f->b = slice_of(f->bytes + h.a, h.b);
        f->c = slice_of(f->bytes + h.a + h.b, h.c);
        list_init(&f->link);
        return f;
}

/* ---- sockets ---- */

struct sio_socket *socket_new(struct shard *sh, struct wire *wire)
{
        struct sio_socket *so = xcalloc(1, sizeof(*so));
        so->shard = sh;
        so->wire = wire;
        outbox_init(&so->outbox);
        list_push_back(&sh->sockets, &so->in_shard);
        return so;
}

void *sio_user(struct sio_socket *so)
{
        return &so->session;
}

struct sio_socket *sio_socket_of(void *user)
{
        return container_of((struct session *)user, struct sio_socket, session);
}

struct slice sio_nsp(const struct sio_socket *so)
{
        UNUSED(so);
        return SLICE_LIT("/");
}

bool sio_connected(const struct sio_socket *so)
{
        return so->state == SOCKET_CONNECTED;
}

unsigned sio_server_connections(const struct sio_server *srv)
{
        UNUSED(srv);
        return 1;
}

void socket_end(struct sio_socket *so)
{
        sio_flush(so);
        session_closed(so->shard->gw, so, so->reason);
        so->wire->server_closed = true;
        outbox_done(&so->outbox);
        list_remove(&so->in_shard);
        free(so);
}

static void end(struct sio_socket *so, enum sio_close_reason reason)
{
        if (so->state == SOCKET_ENDING)
                return;
        so->state = SOCKET_ENDING;
        so->reason = reason;
}

/* ---- writing ---- */

static size_t bound(const struct sio_socket *so, size_t bytes)
{
        return so->shard->gate->w->shape.roomy ? bytes * ROOMY : bytes;
}

void sio_flush(struct sio_socket *so)
{
        struct msg *m;
        struct wire *wire = so->wire;
        while ((m = outbox_peek(&so->outbox, 0)) && wire->gone_ms == 0 &&
                wire->bytes + FRAME_BYTES <= bound(so, WIRE_MAX)) {
                struct frame *f = frame_of(m);
                list_push_back(&wire->to_client, &f->link);
                wire->bytes += FRAME_BYTES;
                outbox_wrote(&so->outbox, m->ws_n);
        }
}

void socket_go_on(struct sio_socket *so)
{
        sio_flush(so);
        if (!so->want_drain || so->outbox.bytes > bound(so, SOCKET_OUTBOX_MAX) / 4)
                return;
        so->want_drain = false;
        session_drained(so->shard->gw, so);
        sio_flush(so);
}

static void say(struct sio_socket *so, struct msg *m)
{
        outbox_push(&so->outbox, m);
        msg_unref(m);
}

int sio_push(struct sio_socket *so, struct msg *m, bool catchup)
{
        if (so->state != SOCKET_CONNECTED)
                return 0;
        if (catchup && so->outbox.bytes >= bound(so, CATCHUP_MAX)) {
                so->want_drain = true;
                return -EAGAIN;
        }
        if (!catchup && so->outbox.bytes + m->ws_n > bound(so, SOCKET_OUTBOX_MAX)) {
                so->want_drain = true;
                if (m->flags & MSG_VOLATILE)
                        return -ENOBUFS;
                struct msg *first = outbox_drop_events(&so->outbox);
                count("outboxes dropped");
                session_dropped(so->shard->gw, so, first);
                msg_unref(first);
                return -ENOBUFS;
        }
        outbox_push(&so->outbox, m);
        return 0;
}

int sio_push_early(struct sio_socket *so, struct msg *m)
{
        if (so->state == SOCKET_NEW)
                outbox_push(&so->outbox, m);
        return 0;
}

void sio_accept(struct sio_socket *so, struct slice sid, struct slice pid)
{
        if (so->state != SOCKET_NEW)
                return;
        so->state = SOCKET_CONNECTED;
        say(so, frame_msg(FRAME_CONNECT, -1, sid, pid, SLICE_NONE));
}

void sio_refuse(struct sio_socket *so, const char *message, struct slice data_json)
{
        if (so->state != SOCKET_NEW)
                return;
        say(so, frame_msg(FRAME_REFUSED, -1, slice_str(message), data_json, SLICE_NONE));
        end(so, SIO_CLOSE_SERVER_DISCONNECT);
}

void sio_ack(struct sio_socket *so, int64_t ack_id, struct slice args_json)
{
        if (so->state == SOCKET_CONNECTED)
                say(so, frame_msg(FRAME_ACK, ack_id, SLICE_NONE, args_json, SLICE_NONE));
}

void sio_emit(struct sio_socket *so, const char *event, struct slice args_json)
{
        if (so->state == SOCKET_CONNECTED)
                say(so, frame_msg(FRAME_EVENT, -1, slice_str(event), args_json, SLICE_NONE));
}

void sio_disconnect(struct sio_socket *so, enum sio_close_reason reason)
{
        if (so->state == SOCKET_CONNECTED)
                say(so, frame_msg(FRAME_DISCONNECT, -1, SLICE_NONE, SLICE_NONE, SLICE_NONE));
        end(so, reason);
}

void sio_close_transport(struct sio_socket *so, enum sio_close_reason reason)
{
        end(so, reason);
}

/* ---- what no client of this world asks for ---- */

void sio_ack_binary(struct sio_socket *so, int64_t ack_id, struct slice args_json,
        const struct slice *attachments, size_t count)
{
        UNUSED(attachments);
        UNUSED(count);
        sio_ack(so, ack_id, args_json);
}

void sio_server_shed(struct sio_server *srv, unsigned n)
{
        UNUSED(srv);
        UNUSED(n);
}

void rest_answer(struct rest_call *call, int status, struct slice json)
{
        UNUSED(call);
        UNUSED(status);
        UNUSED(json);
        CHECK(!"there are no requests here");
}
