/*
 * polling - the HTTP half of long-polling that happens on the shard: parked GETs, and answers.
 *
 * A GET waits as a connection that is not read from; its client's hang-up is noticed all the same
 * and ends the session. An answer goes out in one write; what the kernel does not take at once
 * stays here, one answer for each session, and the next GET is not answered before it is gone.
 * Afterwards the socket goes back to the intake for its next request.
 */
#include "realtime/engine_internal.h"

#include "base/clock.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct poll_get {
        struct conn conn;
        struct engine_shard *es;
        struct engine_session *session; /* whose get or writing it is; NULL once it is neither */
        struct shard_timer timer;       /* an answer that makes no progress */
        char *cors;                     /* owned */
        bool keep_alive, answering;
        struct buf out; /* what is left of the answer */
};

/* ---- heads ---- */

static const char *reason_phrase(int status)
{
        return status == 200 ? "OK" : status == 403 ? "Forbidden" : "Bad Request";
}

static void add_head(struct buf *out, int status, const char *content_type, const char *cors,
        bool keep_alive, size_t body_n)
{
        time_t now = (time_t)(clock_wall_ms() / 1000);
        struct tm tm;
        char date[64] = "";
        if (gmtime_r(&now, &tm))
                (void)strftime(date, sizeof(date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
        buf_printf(out, "HTTP/1.1 %d %s\r\n%s", status, reason_phrase(status), date);
        if (content_type)
                buf_printf(out, "Content-Type: %s\r\n", content_type);
        buf_printf(out, "Content-Length: %zu\r\ncache-control: no-store\r\nConnection: %s\r\n%s",
                body_n, keep_alive ? "keep-alive" : "close", cors ? cors : "");
}

static void count_answer(struct engine_shard *es, int status)
{
        metrics_add(es->srv->metrics, M_http_requests, (unsigned)status / 100 - 1, 1);
}

static void give_back(struct engine_shard *es, int fd, const char *client_addr)
{
        if (es->srv->o.rest)
                es->srv->o.rest(es->srv->o.rest_arg, fd, client_addr);
        else
                close(fd);
}

/* ---- answers to requests that do not wait ---- */

void polling_answer(struct engine_shard *es, struct http_handover *ho, int status,
        const char *content_type, const char *cors, struct slice body)
{
        struct buf out = BUF_EMPTY;
        add_head(&out, status, content_type, cors, ho->keep_alive, body.n);
        buf_add(&out, "\r\n", 2);
        buf_add_slice(&out, body);
        ssize_t n;
        do {
                n = send(ho->fd, out.p, out.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        } while (n < 0 && errno == EINTR);
        /* So short an answer is cut only if its client takes none of the earlier ones. */
        if (n == (ssize_t)out.n && ho->keep_alive) {
                give_back(es, ho->fd, ho->client_addr);
                ho->fd = -1;
        }
        http_handover_done(ho);
        buf_done(&out);
        count_answer(es, status);
}

void polling_refuse(
        struct engine_shard *es, struct http_handover *ho, enum eio_refusal why, const char *cors)
{
        struct buf json = BUF_EMPTY;
        eio_refusal_json(why, &json);
        polling_answer(es, ho, eio_refusal_status(why), "application/json", cors, buf_slice(&json));
        buf_done(&json);
        metrics_add(es->srv->metrics, M_handshakes_refused, (unsigned)why, 1);
}

/* ---- the GET that waits ---- */

static void let_go(struct poll_get *g)
{
        struct engine_session *s = g->session;
        g->session = NULL;
        if (!s)
                return;
        if (s->get == g)
                s->get = NULL;
        if (s->writing == g)
                s->writing = NULL;
}

/* The client will never have the whole answer. */
static void fail(struct poll_get *g, enum engine_close_reason reason)
{
        struct engine_session *s = g->session;
        let_go(g);
        conn_close(&g->conn);
        if (s)
                engine_end(s, reason, FAREWELL_CLOSE);
}

static void finish(struct poll_get *g)
{
        let_go(g);
        if (!g->keep_alive) {
                conn_close(&g->conn);
                return;
        }
        char addr[CONN_ADDR_TEXT];
        conn_client_addr(&g->conn, addr);
        give_back(g->es, conn_give_up(&g->conn), addr);
}

/* Writes on; true when all is out. */
static bool write_some(struct poll_get *g)
{
        ssize_t n = conn_write(&g->conn, buf_slice(&g->out));
        if (n < 0) {
                fail(g, ENGINE_CLOSE_TRANSPORT_ERROR);
                return false;
        }
        if ((size_t)n == g->out.n) {
                finish(g);
                return true;
        }
        buf_drop(&g->out, (size_t)n);
        shard_timer_set(g->es->shard, &g->timer, g->es->srv->o.stall_ms);
        return false;
}

static void on_writable(struct conn *c)
{
        struct poll_get *g = container_of(c, struct poll_get, conn);
        struct engine_session *s = g->session;
        if (g->answering && write_some(g) && s) {
                engine_flush(s);
                engine_after_write(s);
        }
}

static void on_hangup(struct conn *c, int err)
{
        fail(container_of(c, struct poll_get, conn),
                err ? ENGINE_CLOSE_TRANSPORT_ERROR : ENGINE_CLOSE_TRANSPORT_CLOSE);
}

static void on_stall(struct shard *sh, struct shard_timer *t)
{
        UNUSED(sh);
        struct poll_get *g = container_of(t, struct poll_get, timer);
        struct engine_session *s = g->session;
        let_go(g);
        conn_reset(&g->conn);
        if (s)
                engine_end(s, ENGINE_CLOSE_STALLED, FAREWELL_CLOSE);
}

static void on_bytes(struct conn *c, struct slice in)
{
        /* Reading is off: nothing comes. */
        UNUSED(c);
        UNUSED(in);
}

static void on_closed(struct conn *c)
{
        struct poll_get *g = container_of(c, struct poll_get, conn);
        CHECK(!g->session);
        shard_timer_stop(g->es->shard, &g->timer);
        buf_done(&g->out);
        free(g->cors);
        free(g);
}

static const struct conn_ops get_ops = {
        .bytes = on_bytes,
        .writable = on_writable,
        .hangup = on_hangup,
        .closed = on_closed,
};

static void add_first_headers(struct engine_session *s, struct buf *out)
{
        const struct engine_options *o = &s->es->srv->o;
        if (o->cookie) {
                char sid[ENGINE_SID_TEXT_MAX];
                size_t sid_n = engine_session_sid(s, sid);
                buf_printf(out, "Set-Cookie: io=%.*s; Path=/; HttpOnly; SameSite=Lax\r\n",
                        (int)sid_n, sid);
        }
        buf_add_str(out, o->first_headers);
}

/* The parked GET is answered; while its client has not taken all of it, it is the session's
 * `writing`. */
static void answer(struct engine_session *s, struct slice payload)
{
        struct poll_get *g = s->get;
        s->get = NULL;
        s->writing = g;
        g->answering = true;
        add_head(&g->out, 200, "text/plain; charset=UTF-8", g->cors, g->keep_alive, payload.n);
        if (s->first_poll)
                add_first_headers(s, &g->out);
        s->first_poll = false;
        buf_add(&g->out, "\r\n", 2);
        buf_add_slice(&g->out, payload);
        count_answer(g->es, 200);
        (void)write_some(g);
}

void polling_release(struct engine_session *s, struct msg *m)
{
        if (!s->get)
                return;
        /* An earlier answer that its client is still taking goes on without the session. */
        if (s->writing)
                let_go(s->writing);
        answer(s, slice_of(m->bytes + m->poll_at, m->poll_n));
}

void polling_flush(struct engine_session *s)
{
        if (!s->get || s->writing || engine_idle(s))
                return;
        struct buf payload = BUF_EMPTY;
        uint32_t most = s->es->srv->o.max_payload;
        struct msg *m;
        while ((payload.n == 0 || payload.n < most) && (m = engine_take(s))) {
                if (payload.n)
                        buf_add_char(&payload, EIO_SEPARATOR);
                buf_add(&payload, m->bytes + m->poll_at, m->poll_n);
                msg_unref(m);
        }
        answer(s, buf_slice(&payload));
        buf_done(&payload);
        engine_after_write(s);
}

void polling_detach(struct engine_session *s)
{
        struct poll_get *parked = s->get;
        if (parked) {
                let_go(parked);
                conn_close(&parked->conn);
        }
        /* An answer under way is finished without its session. */
        if (s->writing)
                let_go(s->writing);
}

void polling_get(struct engine_session *s, struct http_handover *ho, char *cors)
{
        struct engine_shard *es = s->es;
        struct poll_get *g = xcalloc(1, sizeof(*g));
        g->es = es;
        g->cors = cors;
        g->keep_alive = ho->keep_alive && ho->rest_n == 0;
        shard_timer_init(&g->timer, on_stall);
        if (conn_open(&g->conn, es->shard, ho->fd, ho->client_addr, SLICE_NONE, &get_ops) < 0) {
                http_handover_done(ho);
                free(cors);
                free(g);
                engine_end(s, ENGINE_CLOSE_TRANSPORT_ERROR, FAREWELL_NONE);
                return;
        }
        ho->fd = -1;
        http_handover_done(ho);
        conn_read(&g->conn, false);
        g->session = s;
        s->get = g;
        engine_flush(s);
}
