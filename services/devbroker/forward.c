#include "devbroker/forward.h"

#include "base/list.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAIRS_MAX 256
#define PIPE_BYTES 16384

/* Bytes on their way from one socket to the other. */
struct pipe {
        char bytes[PIPE_BYTES];
        size_t from, to; /* what is unsent lies between */
        bool ended;      /* nothing more will be read; passed on when all is sent */
        bool closed;     /* passed on */
};

struct pair {
        struct list link;
        int fd[2]; /* client, broker */
        bool connecting;
        struct pipe pipe[2]; /* pipe[i] is read from fd[i] and written to fd[1 - i] */
};

struct forward {
        int listener, stop;
        uint16_t port, target;
        pthread_t thread;
        bool runs;
        struct list pairs; /* thread only */
        size_t count;
};

static struct sockaddr_in loopback(uint16_t port)
{
        return (struct sockaddr_in){.sin_family = AF_INET,
                .sin_port = htons(port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static struct sockaddr *generic(struct sockaddr_in *a)
{
        return (struct sockaddr *)(void *)a;
}

int forward_open(uint16_t port, struct forward **ret)
{
        struct forward *f = xcalloc(1, sizeof(*f));
        list_init(&f->pairs);
        int on = 1, err = 0;
        struct sockaddr_in a = loopback(port);
        socklen_t n = sizeof(a);
        f->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (f->stop < 0 || f->listener < 0 ||
                setsockopt(f->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
                bind(f->listener, generic(&a), n) < 0 || listen(f->listener, 128) < 0 ||
                getsockname(f->listener, generic(&a), &n) < 0)
                err = -errno;
        if (err) {
                forward_free(f);
                return err;
        }
        f->port = ntohs(a.sin_port);
        *ret = f;
        return 0;
}

uint16_t forward_port(const struct forward *f)
{
        return f->port;
}

/* ---- pairs; the thread's ---- */

static void pair_free(struct forward *f, struct pair *p)
{
        list_remove(&p->link);
        f->count--;
        for (int i = 0; i < 2; i++)
                if (p->fd[i] >= 0)
                        close(p->fd[i]);
        free(p);
}

static void accept_one(struct forward *f)
{
        int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return;
        struct pair *p = xcalloc(1, sizeof(*p));
        struct sockaddr_in a = loopback(f->target);
        int on = 1;
        p->fd[0] = fd;
        p->fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        list_push_back(&f->pairs, &p->link);
        f->count++;
        if (p->fd[1] < 0 ||
                (connect(p->fd[1], generic(&a), sizeof(a)) < 0 && errno != EINPROGRESS)) {
                pair_free(f, p);
                return;
        }
        p->connecting = true;
        for (int i = 0; i < 2; i++)
                setsockopt(p->fd[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static short wanted(const struct pair *p, int side)
{
        const struct pipe *in = &p->pipe[side], *out = &p->pipe[1 - side];
        short events = 0;
        if (p->connecting)
                return side == 1 ? POLLOUT : 0;
        if (!in->ended && in->to < PIPE_BYTES)
                events |= POLLIN;
        if (out->to > out->from)
                events |= POLLOUT;
        return events;
}

/* False when the connection is over. */
static bool pump_in(struct pipe *p, int fd)
{
        ssize_t n = recv(fd, p->bytes + p->to, PIPE_BYTES - p->to, 0);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR;
        if (n == 0)
                p->ended = true;
        p->to += (size_t)n;
        return true;
}

static bool pump_out(struct pipe *p, int fd)
{
        if (p->to > p->from) {
                ssize_t n = send(fd, p->bytes + p->from, p->to - p->from, MSG_NOSIGNAL);
                if (n < 0)
                        return errno == EAGAIN || errno == EINTR;
                p->from += (size_t)n;
        }
        if (p->from == p->to) {
                p->from = p->to = 0;
                if (p->ended && !p->closed) {
                        p->closed = true;
                        shutdown(fd, SHUT_WR);
                }
        }
        return true;
}

static bool connected(struct pair *p)
{
        int err = 0;
        socklen_t n = sizeof(err);
        if (getsockopt(p->fd[1], SOL_SOCKET, SO_ERROR, &err, &n) < 0 || err)
                return false;
        p->connecting = false;
        return true;
}

static bool serve_pair(struct pair *p, const struct pollfd pfd[2])
{
        if (p->connecting)
                return !(pfd[1].revents & (POLLOUT | POLLERR | POLLHUP)) || connected(p);
        for (int i = 0; i < 2; i++) {
                if (pfd[i].revents & (POLLERR | POLLNVAL))
                        return false;
                if ((pfd[i].revents & (POLLIN | POLLHUP)) && !p->pipe[i].ended &&
                        p->pipe[i].to < PIPE_BYTES && !pump_in(&p->pipe[i], p->fd[i]))
                        return false;
        }
        for (int i = 0; i < 2; i++)
                if (!pump_out(&p->pipe[i], p->fd[1 - i]))
                        return false;
        return !(p->pipe[0].closed && p->pipe[1].closed);
}

static void *forward_main(void *arg)
{
        struct forward *f = arg;
        struct pollfd *pfd = xcalloc(2 + 2 * PAIRS_MAX, sizeof(*pfd));
        for (;;) {
                nfds_t n = 2;
                pfd[0] = (struct pollfd){.fd = f->stop, .events = POLLIN};
                pfd[1] = (struct pollfd){
                        .fd = f->count < PAIRS_MAX ? f->listener : -1, .events = POLLIN};
                for (struct list *it = f->pairs.next; it != &f->pairs; it = it->next) {
                        const struct pair *p = container_of(it, struct pair, link);
                        for (int i = 0; i < 2; i++)
                                /* A side of which nothing is wanted would only report its hang-up again and again. */
                                pfd[n++] = (struct pollfd){
                                        .fd = wanted(p, i) ? p->fd[i] : -1, .events = wanted(p, i)};
                }
                if (poll(pfd, n, -1) < 0 && errno != EINTR)
                        break;
                if (pfd[0].revents)
                        break;
                nfds_t at = 2;
                for (struct list *it = f->pairs.next, *next; it != &f->pairs && at < n;
                        it = next, at += 2) {
                        struct pair *p = container_of(it, struct pair, link);
                        next = it->next;
                        if (!serve_pair(p, &pfd[at]))
                                pair_free(f, p);
                }
                if (pfd[1].revents)
                        accept_one(f);
        }
        free(pfd);
        return NULL;
}

int forward_start(struct forward *f, uint16_t target)
{
        f->target = target;
        int err = pthread_create(&f->thread, NULL, forward_main, f);
        f->runs = err == 0;
        return -err;
}

struct forward *forward_free(struct forward *f)
{
        if (!f)
                return NULL;
        if (f->runs) {
                uint64_t one = 1;
                ssize_t n = write(f->stop, &one, sizeof(one));
                CHECK(n == sizeof(one));
                pthread_join(f->thread, NULL);
        }
        while (!list_empty(&f->pairs))
                pair_free(f, container_of(list_first(&f->pairs), struct pair, link));
        if (f->listener >= 0)
                close(f->listener);
        if (f->stop >= 0)
                close(f->stop);
        free(f);
        return NULL;
}
