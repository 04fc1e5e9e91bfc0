#include "net/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#define CONN_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
#define CONN_IOV_MAX 1024

struct conn_first {
        size_t n;
        char bytes[];
};

/* In the list of those that the next turn reads without waiting for an event. */
static void want_turn(struct conn *c)
{
        if (!list_linked(&c->link))
                list_push_back(&c->sh->unread, &c->link);
}

static void hang(struct conn *c, int err)
{
        c->hup = true;
        c->unread = false;
        list_remove(&c->link);
        if (c->hung)
                return;
        c->hung = true;
        c->ops->hangup(c, err);
}

static void deliver_first(struct conn *c)
{
        struct conn_first *first = c->first;
        c->first = NULL;
        c->ops->bytes(c, slice_of(first->bytes, first->n));
        free(first);
}

/* One buffer's worth for each connection and turn, so that none keeps the others waiting. */
static void read_once(struct conn *c)
{
        if (c->first) {
                deliver_first(c);
                if (c->state != CONN_OPEN)
                        return;
                if (c->unread || c->hup)
                        want_turn(c);
                return;
        }
        size_t most = c->relayed ? CONN_RELAY_BYTES : SHARD_READ_BYTES;
        ssize_t n;
        do {
                n = recv(c->watch.fd, c->sh->read_buf, most, MSG_DONTWAIT);
        } while (n < 0 && errno == EINTR);
        if (n == 0) {
                hang(c, 0);
        } else if (n > 0) {
                /* A short read has emptied the kernel's buffer: more bytes are a new event. The
                 * end of the stream was one already. */
                if ((size_t)n == most || c->hup)
                        want_turn(c);
                else
                        c->unread = false;
                c->ops->bytes(c, slice_of(c->sh->read_buf, (size_t)n));
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
                c->unread = false;
        } else {
                hang(c, -errno);
        }
}

static void on_ready(struct shard *sh, struct watch *w, uint32_t events)
{
        UNUSED(sh);
        struct conn *c = container_of(w, struct conn, watch);
        if (c->state != CONN_OPEN)
                return;
        if (c->hung) {
                /* Only the peer's direction has ended. */
                if (c->relayed && c->blocked && (events & EPOLLOUT)) {
                        c->blocked = false;
                        c->ops->writable(c);
                }
                return;
        }
        /* Who relays reads what the peer said before it reset; the error then comes from recv(). */
        if (c->relayed && (events & EPOLLERR)) {
                events |= EPOLLHUP;
        } else if (events & EPOLLERR) {
                int err = 0;
                socklen_t len = sizeof(err);
                (void)getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &err, &len);
                hang(c, err ? -err : -ECONNRESET);
                return;
        }
        if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
                c->unread = true;
        if (events & (EPOLLRDHUP | EPOLLHUP))
                c->hup = true;
        if ((events & EPOLLOUT) && c->blocked) {
                c->blocked = false;
                c->ops->writable(c);
                if (c->state != CONN_OPEN || c->hung)
                        return;
        }
        if (c->reading && c->unread) {
                list_remove(&c->link);
                read_once(c);
        } else if (c->hup && !c->relayed) {
                hang(c, 0);
        }
}

/* Called before events are waited for; only those that stand in the list now, so that the loop
 * gets on. */
void conn_read_more(struct shard *sh)
{
        struct list now, *it;
        list_init(&now);
        list_splice(&now, &sh->unread);
        while ((it = list_take(&now))) {
                struct conn *c = list_entry(it, struct conn, link);
                if (c->hung)
                        continue;
                if (c->reading && (c->first || c->unread))
                        read_once(c);
                else if (!c->reading && c->hup && !c->relayed)
                        hang(c, 0);
        }
}

void conn_run_closed(struct shard *sh)
{
        struct list *it;
        while ((it = list_take(&sh->closing))) {
                struct conn *c = list_entry(it, struct conn, link);
                c->state = CONN_NONE;
                c->ops->closed(c);
        }
}

int conn_open(struct conn *c, struct shard *sh, int fd, const char *client_addr, struct slice first,
        const struct conn_ops *ops)
{
        CHECK(shard_is_current(sh) && fd >= 0);
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
                return -errno;
        *c = (struct conn){
                .watch = {.ready = on_ready, .fd = fd}, .sh = sh, .ops = ops, .reading = true};
        list_init(&c->link);
        c->addr_n = addr_parse(client_addr, c->addr);
        int r = shard_watch(sh, &c->watch, CONN_EVENTS);
        if (r < 0)
                return r;
        c->state = CONN_OPEN;
        if (first.n > 0) {
                c->first = xmalloc(sizeof(*c->first) + first.n);
                c->first->n = first.n;
                memcpy(c->first->bytes, first.p, first.n);
                want_turn(c);
        }
        return 0;
}

void conn_ack_within(struct conn *c, uint32_t ms)
{
        unsigned value = ms;
        if (c->state == CONN_OPEN)
                (void)setsockopt(c->watch.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, sizeof(value));
}

void conn_read(struct conn *c, bool on)
{
        if (c->state != CONN_OPEN || c->hung)
                return;
        c->reading = on;
        if (on ? (c->first || c->unread) : (c->hup && !c->relayed))
                want_turn(c);
        else
                list_remove(&c->link);
}

void conn_end(struct conn *c)
{
        if (c->state == CONN_OPEN)
                (void)shutdown(c->watch.fd, SHUT_WR);
}

ssize_t conn_writev(struct conn *c, const struct iovec *iov, int iov_n)
{
        CHECK(iov_n >= 0);
        if (c->state != CONN_OPEN)
                return -EPIPE;
        if (c->blocked || iov_n == 0)
                return 0;
        int take = iov_n < CONN_IOV_MAX ? iov_n : CONN_IOV_MAX;
        size_t all = 0;
        for (int i = 0; i < iov_n; i++)
                all += iov[i].iov_len;
        struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)take};
        ssize_t n;
        do { /* one frame to one client is the usual case, and the cheaper call */
                n = iov_n == 1 ? send(c->watch.fd, iov->iov_base, iov->iov_len,
                                         MSG_NOSIGNAL | MSG_DONTWAIT)
                               : sendmsg(c->watch.fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        } while (n < 0 && errno == EINTR);
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS && errno != ENOMEM)
                return -errno;
        if (n < 0)
                n = 0;
        if ((size_t)n < all)
                c->blocked = true;
        return n;
}

/* The descriptor is the caller's from here on. */
static int start_closing(struct conn *c)
{
        CHECK(c->state == CONN_OPEN && shard_is_current(c->sh));
        int fd = c->watch.fd;
        c->watch.fd = -1;
        c->state = CONN_CLOSING;
        c->blocked = false;
        free(c->first);
        c->first = NULL;
        list_remove(&c->link);
        list_push_back(&c->sh->closing, &c->link);
        return fd;
}

void conn_close(struct conn *c)
{
        if (c->state != CONN_OPEN)
                return;
        bool hung = c->hung;
        int fd = start_closing(c);
        if (hung)
                close(fd);
        else
                linger_close(c->sh, fd, true);
}

void conn_reset(struct conn *c)
{
        if (c->state != CONN_OPEN)
                return;
        int fd = start_closing(c);
        struct linger abort = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
        close(fd);
}

int conn_give_up(struct conn *c)
{
        int fd = start_closing(c);
        shard_unwatch(c->sh, fd);
        return fd;
}

void conn_client_addr(const struct conn *c, char ret[CONN_ADDR_TEXT])
{
        addr_text(c->addr, c->addr_n, ret);
}
