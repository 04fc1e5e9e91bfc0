/*
 * conf-websocket - a raw echo of text and binary messages on any path, for suites of RFC 6455: the
 * connection and the frame reader that the Socket.IO server stands on, without it.
 */
#include "conf_host.h"

#include "fanout/outbox.h"
#include "net/conn.h"
#include "net/ws.h"
#include <stdlib.h>
#include <unistd.h>

#define MESSAGE_BYTES_MAX (16u << 20)
#define FRAGMENTS_MAX 65536

struct echo_host {
        struct conf_host host;
        struct ws_pool *pools[CONF_SHARDS];
        unsigned next;
};

struct echo {
        struct conn conn;
        struct ws ws;
        struct ws_pool *pool; /* borrowed */
        struct outbox out;
        bool ending;
};

static void flush(struct echo *e)
{
        struct msg *m;
        while ((m = outbox_peek(&e->out, 0)) && !conn_blocked(&e->conn)) {
                ssize_t n = conn_write(&e->conn,
                        slice_of(m->bytes + e->out.front_off, m->ws_n - e->out.front_off));
                if (n < 0) {
                        conn_close(&e->conn);
                        return;
                }
                outbox_wrote(&e->out, (size_t)n);
        }
        conn_read(&e->conn, e->out.bytes < MESSAGE_BYTES_MAX);
        if (e->ending && e->out.count == 0)
                conn_close(&e->conn);
}

static void queue(struct echo *e, struct slice head, struct slice body)
{
        struct msg *m = msg_new(head.n + body.n);
        memcpy(m->bytes, head.p, head.n);
        if (body.n)
                memcpy(m->bytes + head.n, body.p, body.n);
        m->ws_n = (uint32_t)(head.n + body.n);
        outbox_push(&e->out, m);
        msg_unref(m);
}

static void on_bytes(struct conn *c, struct slice in)
{
        struct echo *e = container_of(c, struct echo, conn);
        struct ws_item item;
        char head[WS_HEADER_MAX];
        enum ws_kind kind;
        while (!e->ending && (kind = ws_next(e->pool, &e->ws, &in, &item)) != WS_MORE) {
                if (kind == WS_TEXT || kind == WS_BINARY) {
                        size_t n = ws_frame_header(
                                kind == WS_TEXT ? WS_OP_TEXT : WS_OP_BINARY, item.payload.n, head);
                        queue(e, slice_of(head, n), item.payload);
                } else if (item.reply.n) {
                        queue(e, item.reply, SLICE_NONE);
                }
                e->ending = kind == WS_CLOSE || kind == WS_FAIL;
        }
        flush(e);
}

static void on_writable(struct conn *c)
{
        flush(container_of(c, struct echo, conn));
}

static void on_hangup(struct conn *c, int err)
{
        UNUSED(err);
        conn_close(c);
}

static void on_closed(struct conn *c)
{
        struct echo *e = container_of(c, struct echo, conn);
        ws_done(e->pool, &e->ws);
        outbox_done(&e->out);
        free(e);
}

static const struct conn_ops ops = {
        .bytes = on_bytes, .writable = on_writable, .hangup = on_hangup, .closed = on_closed};

struct arrival {
        struct mail mail;
        struct echo_host *eh;
        unsigned shard;
        struct http_handover ho;
};

static void run_arrival(struct mail *m)
{
        struct arrival *a = container_of(m, struct arrival, mail);
        struct echo *e = xcalloc(1, sizeof(*e));
        e->pool = a->eh->pools[a->shard];
        if (conn_open(&e->conn, a->eh->host.shards[a->shard], a->ho.fd, a->ho.client_addr,
                    slice_of(a->ho.rest, a->ho.rest_n), &ops) < 0)
                free(e);
        else
                a->ho.fd = -1;
        http_handover_done(&a->ho);
        free(a);
}

static bool check(void *arg, struct http_request *rq)
{
        UNUSED(arg);
        UNUSED(rq);
        return true;
}

static void ready(void *arg, struct http_request *rq)
{
        struct echo_host *eh = arg;
        struct arrival *a = xcalloc(1, sizeof(*a));
        a->mail.run = run_arrival;
        a->eh = eh;
        a->shard = __atomic_fetch_add(&eh->next, 1, __ATOMIC_RELAXED) % CONF_SHARDS;
        http_handover_take(rq, &a->ho);
        if (!mailbox_post(shard_mailbox(eh->host.shards[a->shard]), &a->mail)) {
                http_handover_done(&a->ho);
                free(a);
        }
}

int main(int argc, char **argv)
{
        struct echo_host eh = {0};
        conf_host_start(&eh.host, CONF_SHARDS, argc, argv);
        struct ws_limits limits = {.message_bytes_max = MESSAGE_BYTES_MAX,
                .fragments_max = FRAGMENTS_MAX,
                .partial_bytes_max = 1u << 30};
        for (unsigned i = 0; i < CONF_SHARDS; i++)
                eh.pools[i] = ws_pool_new(&limits);
        http_websocket(eh.host.http, "/", check, ready, &eh);
        conf_host_serve(&eh.host);
        /* Whoever is still connected is cut off by the program's end. */
        _exit(0);
}
