#include "realtime/socketio_internal.h"

#include "base/jsonscan.h"

/* What the reference closes the connection for: text that is no packet, and packets that make no
 * sense now. */
static void broke(struct sio_conn *c)
{
        engine_abort(sio_session(c), ENGINE_CLOSE_PARSE_ERROR);
}

static struct sio_socket *connected(struct sio_conn *c, struct slice nsp)
{
        struct sio_socket *s = sio_find(c, nsp);
        return s && s->state == SOCKET_CONNECTED ? s : NULL;
}

static void event(struct sio_conn *c, const struct sio_packet *p, const struct slice *attachments)
{
        struct sio_event ev = {.ack_id = p->ack_id,
                .attachments = attachments,
                .attachment_count = p->attachments};
        struct slice raw;
        if (!sio_event_split(p->payload, &raw, &ev.args)) {
                broke(c);
                return;
        }
        struct sio_socket *s = connected(c, p->nsp);
        if (!s) {
                broke(c);
                return;
        }
        if (raw.n == 0)
                return;
        struct buf name = BUF_EMPTY;
        if (!json_is_string(raw))
                ev.name = raw; /* a number */
        else if (!memchr(raw.p, '\\', raw.n))
                ev.name = slice_of(raw.p + 1, raw.n - 2);
        else if (json_decode_string(raw, &name))
                ev.name = buf_slice(&name);
        c->ss->srv->ops.event(c->ss->app, s, &ev);
        buf_done(&name);
}

static void ack(struct sio_conn *c, const struct sio_packet *p, const struct slice *attachments)
{
        struct sio_socket *s = connected(c, p->nsp);
        if (!s) {
                broke(c);
                return;
        }
        if (p->ack_id < 0 || p->payload.n < 2 || !c->ss->srv->ops.ack)
                return;
        struct sio_event ev = {
                .ack_id = p->ack_id,
                .args = slice_of(p->payload.p + 1, p->payload.n - 2),
                .attachments = attachments,
                .attachment_count = p->attachments,
        };
        c->ss->srv->ops.ack(c->ss->app, s, &ev);
}

static void packet(struct sio_conn *c, const struct sio_packet *p, const struct slice *attachments)
{
        struct sio_socket *s;
        switch (p->type) {
        case SIO_CONNECT:
                sio_connect(c, p);
                return;
        case SIO_DISCONNECT:
                s = connected(c, p->nsp);
                if (s)
                        sio_end(s, SIO_CLOSE_CLIENT_DISCONNECT);
                else
                        broke(c);
                return;
        case SIO_EVENT:
        case SIO_BINARY_EVENT:
                event(c, p, attachments);
                return;
        case SIO_ACK:
        case SIO_BINARY_ACK:
                ack(c, p, attachments);
                return;
        case SIO_CONNECT_ERROR:
                broke(c);
                return;
        }
}

static void begin_assembly(struct sio_conn *c, const struct sio_packet *p)
{
        int r = sio_assembly_new(p, c->ss->srv->binary_bytes_max, &c->assembly);
        if (r < 0)
                broke(c);
}

static void attachment(struct sio_conn *c, struct slice bytes)
{
        if (!c->assembly) {
                broke(c);
                return;
        }
        int r = sio_assembly_add(c->assembly, bytes);
        if (r < 0)
                engine_abort(sio_session(c), ENGINE_CLOSE_LIMIT);
        if (r <= 0)
                return;
        struct sio_assembly *a = c->assembly;
        c->assembly = NULL;
        packet(c, sio_assembly_packet(a), sio_assembly_attachments(a));
        sio_assembly_free(a);
}

void sio_receive(struct sio_conn *c, struct slice data, bool binary)
{
        struct sio_packet p;
        if (binary)
                attachment(c, data);
        else if (c->assembly || !sio_decode(data, c->ss->srv->max_attachments, &p))
                broke(c);
        else if (p.attachments > 0)
                begin_assembly(c, &p);
        else
                packet(c, &p, NULL);
}
