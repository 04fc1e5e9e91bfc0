#include "realtime/socketio_internal.h"

#include "realtime/frames.h"

#include <stdlib.h>

static void send_text(struct sio_conn *c, struct buf *text)
{
        engine_send(sio_session(c), frame_packet(buf_slice(text), NULL, 0));
        buf_done(text);
}

struct sio_socket *sio_find(struct sio_conn *c, struct slice nsp)
{
        for (struct sio_socket *s = c->sockets; s; s = s->next)
                if (s->state != SOCKET_ENDED && slice_eq(c->ss->srv->nsps[s->nsp], nsp))
                        return s;
        return NULL;
}

static int nsp_index(const struct sio_server *srv, struct slice nsp)
{
        for (size_t i = 0; i < srv->nsp_count; i++)
                if (slice_eq(srv->nsps[i], nsp))
                        return (int)i;
        return -1;
}

void sio_connect(struct sio_conn *c, const struct sio_packet *p)
{
        struct sio_server *srv = c->ss->srv;
        if (sio_find(c, p->nsp)) {
                engine_abort(sio_session(c), ENGINE_CLOSE_PARSE_ERROR);
                return;
        }
        int nsp = nsp_index(srv, p->nsp);
        if (nsp < 0) {
                struct buf text = BUF_EMPTY;
                sio_encode_connect_error(&text, p->nsp, SLICE_LIT("Invalid namespace"), SLICE_NONE);
                send_text(c, &text);
                return;
        }
        struct sio_socket *s = xcalloc(1, sizeof(*s) + srv->socket_user_size);
        s->conn = c;
        s->nsp = (uint8_t)nsp;
        s->next = c->sockets;
        c->sockets = s;
        struct engine_handshake eh;
        engine_handshake_get(sio_session(c), &eh);
        struct sio_handshake hs = {
                .client_addr = eh.client_addr,
                .origin = eh.origin,
                .authorization = eh.authorization,
                .cookie = eh.cookie,
                .query = eh.query,
                .user_agent = eh.user_agent,
                .traceparent = eh.traceparent,
                .time_ms = eh.time_ms,
                .websocket = eh.websocket,
        };
        srv->ops.connect(c->ss->app, s, srv->nsps[nsp], p->payload, &hs);
}

/* The packets of a socket that is on its way out are dropped like those of one that is gone. */
static bool may_answer(const struct sio_socket *s)
{
        return s->state == SOCKET_NEW && engine_is_open(sio_session(s->conn));
}

void sio_accept(struct sio_socket *s, struct slice sid, struct slice pid)
{
        if (!may_answer(s))
                return;
        struct sio_conn *c = s->conn;
        struct buf text = BUF_EMPTY;
        sio_encode_connect(&text, sio_nsp(s), sid, pid);
        s->state = SOCKET_CONNECTED;
        send_text(c, &text);
        engine_deadline(sio_session(c), 0);
        if (!c->accepted) {
                c->accepted = true;
                engine_joined(sio_session(c));
                engine_turn(sio_session(c));
        }
}

void sio_refuse(struct sio_socket *s, const char *message, struct slice data_json)
{
        if (!may_answer(s))
                return;
        struct buf text = BUF_EMPTY;
        sio_encode_connect_error(&text, sio_nsp(s), slice_str(message), data_json);
        send_text(s->conn, &text);
        sio_end(s, SIO_CLOSE_SERVER_DISCONNECT);
}

void sio_end(struct sio_socket *s, enum sio_close_reason reason)
{
        if (s->state == SOCKET_ENDED)
                return;
        s->state = SOCKET_ENDED;
        s->reason = (uint8_t)reason;
        engine_turn(sio_session(s->conn));
}

void sio_disconnect(struct sio_socket *s, enum sio_close_reason reason)
{
        if (s->state == SOCKET_ENDED || !engine_is_open(sio_session(s->conn)))
                return;
        struct buf text = BUF_EMPTY;
        sio_encode_disconnect(&text, sio_nsp(s));
        send_text(s->conn, &text);
        sio_end(s, reason);
}

void sio_close_transport(struct sio_socket *s, enum sio_close_reason reason)
{
        engine_close(sio_session(s->conn), (enum engine_close_reason)reason);
}

static struct sio_socket *unlink_next(struct sio_conn *c, bool all)
{
        for (struct sio_socket **at = &c->sockets; *at; at = &(*at)->next) {
                struct sio_socket *s = *at;
                if (all || s->state == SOCKET_ENDED) {
                        *at = s->next;
                        return s;
                }
        }
        return NULL;
}

void sio_reap(struct sio_conn *c, bool all, enum sio_close_reason reason)
{
        struct sio_socket *s;
        while ((s = unlink_next(c, all))) {
                if (s->state != SOCKET_ENDED) {
                        s->state = SOCKET_ENDED;
                        s->reason = (uint8_t)reason;
                }
                c->ss->srv->ops.closed(c->ss->app, s, s->reason);
                free(s);
        }
}

/* ---- looks ---- */

void *sio_user(struct sio_socket *s)
{
        return s->user;
}

struct sio_socket *sio_socket_of(void *user)
{
        return container_of(user, struct sio_socket, user);
}

struct slice sio_nsp(const struct sio_socket *s)
{
        return s->conn->ss->srv->nsps[s->nsp];
}

bool sio_on_websocket(const struct sio_socket *s)
{
        return engine_on_websocket(sio_session(s->conn));
}

bool sio_connected(const struct sio_socket *s)
{
        return s->state == SOCKET_CONNECTED && engine_is_open(sio_session(s->conn));
}
