#include "net/relay.h"

#include "net/internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

/* A server's host that vanished is noticed by these, not by the client's patience. */
#define ALIVE_IDLE_S 20
#define ALIVE_EVERY_S 5
#define ALIVE_TRIES 3

struct half {
        struct conn conn;
        struct relay *relay;
        char *kept; /* owned: not yet written to this side; NULL = nothing */
        uint32_t kept_n, kept_at;
        bool ended; /* its peer says nothing more, and all it said has been read */
        bool closed;
};

enum relay_state { RELAY_CONNECTING, RELAY_OPEN, RELAY_ENDING };

struct relay {
        struct list link; /* in hub->shorts or hub->longs, in the order of their start */
        struct relay_hub *hub;
        struct shard_timer timer; /* the connect deadline, then idleness */
        int64_t moved_ms;         /* when a byte last went either way */
        uint8_t state;            /* enum relay_state */
        bool answered;            /* the server has said something */
        bool long_lived;
        struct half client, server;
};

struct relay_hub {
        struct shard *sh; /* borrowed */
        struct relay_limits limits;
        struct relay_ops ops;
        void *arg;
        struct list shorts, longs;
        size_t longs_n;
        bool stopped;
};

static struct half *other_half(struct half *h)
{
        struct relay *r = h->relay;
        return h == &r->client ? &r->server : &r->client;
}

static void forget_kept(struct half *h)
{
        free(h->kept);
        h->kept = NULL;
        h->kept_n = h->kept_at = 0;
}

/* ---- ending ---- */

/* The sides are closed or about to be; closed() of the last one frees. */
static void end_relay(struct relay *r, enum relay_end how)
{
        struct relay_hub *hub = r->hub;
        CHECK(r->state != RELAY_ENDING);
        r->state = RELAY_ENDING;
        shard_timer_stop(hub->sh, &r->timer);
        list_remove(&r->link);
        if (r->long_lived)
                hub->longs_n--;
        hub->ops.ended(hub->arg, how);
}

static void close_both(struct relay *r, enum relay_end how)
{
        end_relay(r, how);
        conn_close(&r->client.conn);
        conn_close(&r->server.conn);
}

static void reset_both(struct relay *r, enum relay_end how)
{
        end_relay(r, how);
        conn_reset(&r->client.conn);
        conn_reset(&r->server.conn);
}

/* Whatever the request was, its owner is dead or will not have it. */
static void answer_silent(struct relay *r)
{
        (void)conn_write(&r->client.conn, r->hub->ops.silent_answer);
        close_both(r, RELAY_SILENT);
}

static void give_back(struct relay *r)
{
        struct relay_hub *hub = r->hub;
        char addr[CONN_ADDR_TEXT];
        end_relay(r, RELAY_UNREACHABLE);
        conn_client_addr(&r->client.conn, addr);
        int fd = conn_give_up(&r->client.conn);
        conn_reset(&r->server.conn);
        hub->ops.unreachable(hub->arg, hub->sh, fd, addr);
}

static void on_timer(struct shard *sh, struct shard_timer *t)
{
        struct relay *r = container_of(t, struct relay, timer);
        if (r->state == RELAY_CONNECTING) {
                give_back(r);
                return;
        }
        int64_t left = r->moved_ms + r->hub->limits.idle_ms - shard_now_ms(sh);
        if (left > 0)
                shard_timer_set(sh, t, left);
        else
                reset_both(r, RELAY_IDLE);
}

/* ---- copying ---- */

static void broke(struct half *h)
{
        struct relay *r = h->relay;
        if (h == &r->server && !r->answered)
                answer_silent(r);
        else
                reset_both(r, RELAY_BROKEN);
}

/* h has ended, and the other side has all that it said. */
static void pass_end(struct half *h)
{
        struct relay *r = h->relay;
        if (h == &r->client)
                conn_end(&r->server.conn);
        else if (r->answered)
                close_both(r, RELAY_DONE);
        else
                answer_silent(r);
}

static void on_bytes(struct conn *c, struct slice in)
{
        struct half *h = container_of(c, struct half, conn), *to = other_half(h);
        struct relay *r = h->relay;
        CHECK(!to->kept);
        r->moved_ms = shard_now_ms(r->hub->sh);
        if (h == &r->server)
                r->answered = true;
        ssize_t n = conn_write(&to->conn, in);
        if (n < 0) {
                broke(to);
        } else if ((size_t)n < in.n) {
                to->kept_n = (uint32_t)(in.n - (size_t)n);
                to->kept = xmalloc(to->kept_n);
                memcpy(to->kept, in.p + n, to->kept_n);
                conn_read(c, false);
        }
}

/* What was kept goes out; then its source is read again. */
static void on_writable(struct conn *c)
{
        struct half *h = container_of(c, struct half, conn), *from = other_half(h);
        struct relay *r = h->relay;
        if (!h->kept)
                return;
        ssize_t n = conn_write(c, slice_of(h->kept + h->kept_at, h->kept_n - h->kept_at));
        if (n < 0) {
                if (r->state == RELAY_CONNECTING)
                        give_back(r);
                else
                        broke(h);
                return;
        }
        r->moved_ms = shard_now_ms(r->hub->sh);
        h->kept_at += (uint32_t)n;
        if (h->kept_at < h->kept_n)
                return;
        forget_kept(h);
        if (r->state == RELAY_CONNECTING) {
                r->state = RELAY_OPEN;
                shard_timer_set(r->hub->sh, &r->timer, r->hub->limits.idle_ms);
        }
        if (from->ended)
                pass_end(from);
        else
                conn_read(&from->conn, true);
}

static void on_hangup(struct conn *c, int err)
{
        struct half *h = container_of(c, struct half, conn);
        struct relay *r = h->relay;
        if (r->state == RELAY_CONNECTING && h == &r->server) {
                give_back(r);
                return;
        }
        h->ended = true;
        if (err < 0)
                broke(h);
        else if (!other_half(h)->kept)
                pass_end(h);
}

static void on_closed(struct conn *c)
{
        struct half *h = container_of(c, struct half, conn);
        struct relay *r = h->relay;
        forget_kept(h);
        h->closed = true;
        if (r->client.closed && r->server.closed)
                free(r);
}

static const struct conn_ops half_ops = {
        .bytes = on_bytes,
        .writable = on_writable,
        .hangup = on_hangup,
        .closed = on_closed,
};

/* ---- starting ---- */

static socklen_t address_of(const struct relay_target *t, struct sockaddr_storage *ret)
{
        *ret = (struct sockaddr_storage){0};
        if (t->addr_n == 4) {
                struct sockaddr_in *in = (struct sockaddr_in *)(void *)ret;
                in->sin_family = AF_INET;
                in->sin_port = htons(t->port);
                memcpy(&in->sin_addr, t->addr, 4);
                return sizeof(*in);
        }
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)ret;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(t->port);
        memcpy(&in6->sin6_addr, t->addr, 16);
        return sizeof(*in6);
}

/* A socket on its way to be connected, or -1. */
static int connect_to(const struct relay_target *t)
{
        struct sockaddr_storage ss;
        socklen_t len = address_of(t, &ss);
        int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -1;
        int one = 1, idle = ALIVE_IDLE_S, every = ALIVE_EVERY_S, tries = ALIVE_TRIES;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof(tries));
        int r;
        do {
                r = connect(fd, (struct sockaddr *)&ss, len);
        } while (r < 0 && errno == EINTR);
        if (r < 0 && errno != EINPROGRESS) {
                close(fd);
                return -1;
        }
        return fd;
}

static void begin(struct relay *r, struct slice preface)
{
        struct relay_hub *hub = r->hub;
        conn_relayed(&r->client.conn);
        conn_relayed(&r->server.conn);
        conn_read(&r->client.conn, false);
        r->server.kept = slice_dup(preface);
        r->server.kept_n = (uint32_t)preface.n;
        /* Not connected yet, so it is kept until the first writable(). */
        r->server.conn.blocked = true;
        r->moved_ms = shard_now_ms(hub->sh);
        shard_timer_init(&r->timer, on_timer);
        shard_timer_set(hub->sh, &r->timer, hub->limits.connect_ms);
        list_push_back(r->long_lived ? &hub->longs : &hub->shorts, &r->link);
        if (r->long_lived)
                hub->longs_n++;
}

bool relay_start(struct relay_hub *hub, int fd, const char *client_addr,
        const struct relay_target *target, struct slice preface, bool long_lived)
{
        CHECK(preface.n > 0 && preface.n <= CONN_RELAY_BYTES);
        int to = hub->stopped ? -1 : connect_to(target);
        if (to < 0)
                return false;
        struct relay *r = xcalloc(1, sizeof(*r));
        r->hub = hub;
        r->long_lived = long_lived;
        r->client.relay = r->server.relay = r;
        if (conn_open(&r->server.conn, hub->sh, to, "", SLICE_NONE, &half_ops) < 0) {
                close(to);
                free(r);
                return false;
        }
        if (conn_open(&r->client.conn, hub->sh, fd, client_addr, SLICE_NONE, &half_ops) < 0) {
                /* Its closed() comes at the end of the turn and frees. */
                r->state = RELAY_ENDING;
                r->client.closed = true;
                conn_reset(&r->server.conn);
                return false;
        }
        begin(r, preface);
        return true;
}

/* ---- hubs ---- */

struct relay_hub *relay_hub_new(
        struct shard *sh, const struct relay_limits *limits, const struct relay_ops *ops, void *arg)
{
        struct relay_hub *hub = xcalloc(1, sizeof(*hub));
        hub->sh = sh;
        hub->limits = *limits;
        hub->ops = *ops;
        hub->arg = arg;
        list_init(&hub->shorts);
        list_init(&hub->longs);
        return hub;
}

struct relay_hub *relay_hub_free(struct relay_hub *hub)
{
        if (!hub)
                return NULL;
        CHECK(list_empty(&hub->shorts) && list_empty(&hub->longs));
        free(hub);
        return NULL;
}

size_t relay_hub_long_lived(const struct relay_hub *hub)
{
        return hub->longs_n;
}

static void close_first(struct list *all)
{
        close_both(list_entry(list_first(all), struct relay, link), RELAY_STOPPED);
}

void relay_hub_close_some(struct relay_hub *hub, size_t count)
{
        for (; count > 0 && !list_empty(&hub->longs); count--)
                close_first(&hub->longs);
}

void relay_hub_stop(struct relay_hub *hub)
{
        hub->stopped = true;
        while (!list_empty(&hub->longs))
                close_first(&hub->longs);
        while (!list_empty(&hub->shorts))
                close_first(&hub->shorts);
}
