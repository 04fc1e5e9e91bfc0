/*
 * linger - sockets that have been ended and whose peers have not noticed yet.
 *
 * close() with unread bytes in the kernel's buffer is a reset, and a reset takes the last answer (a
 * close frame, a 431) away from a peer that is still sending. So our direction is shut, and what
 * still comes is thrown away until the peer ends too, for at most LINGER_MS and LINGER_BYTES_MAX.
 * At LINGER_MAX sockets of a shard the oldest gives way.
 */
#include "net/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define LINGER_MS 1000
#define LINGER_MAX 1024
#define LINGER_BYTES_MAX (4u << 20)

struct lingering {
        struct grave grave;
        int64_t due_ms;
        size_t bytes;
};

static void end(struct shard *sh, struct lingering *l)
{
        close(l->grave.watch.fd);
        l->grave.watch.fd = -1;
        sh->lingers_n--;
        shard_bury(sh, &l->grave);
}

/* True when the socket is to be closed: the peer ended, something broke, or it sends without
 * end. */
static bool discard(struct shard *sh, int fd, size_t *bytes)
{
        for (;;) {
                ssize_t n = recv(fd, sh->read_buf, SHARD_READ_BYTES, MSG_DONTWAIT);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno != EAGAIN && errno != EWOULDBLOCK;
                *bytes += (size_t)n;
                if (n == 0 || *bytes > LINGER_BYTES_MAX)
                        return true;
        }
}

static void on_ready(struct shard *sh, struct watch *w, uint32_t events)
{
        struct lingering *l = container_of(w, struct lingering, grave.watch);
        if ((events & (EPOLLERR | EPOLLHUP)) || discard(sh, w->fd, &l->bytes))
                end(sh, l);
}

static void on_due(struct shard *sh, struct shard_timer *t)
{
        struct list *it;
        while ((it = list_first(&sh->lingers))) {
                struct lingering *l = list_entry(it, struct lingering, grave.link);
                int64_t left = l->due_ms - shard_now_ms(sh);
                if (left > 0) {
                        shard_timer_set(sh, t, left);
                        return;
                }
                end(sh, l);
        }
}

static struct lingering *linger_new(struct shard *sh, int fd)
{
        struct lingering *l = xcalloc(1, sizeof(*l));
        l->grave.watch = (struct watch){.ready = on_ready, .fd = fd};
        list_init(&l->grave.link);
        l->due_ms = shard_now_ms(sh) + LINGER_MS;
        return l;
}

void linger_close(struct shard *sh, int fd, bool watched)
{
        if (shutdown(fd, SHUT_WR) < 0) {
                close(fd);
                return;
        }
        struct lingering *l = linger_new(sh, fd);
        struct epoll_event ev = {
                .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = &l->grave.watch};
        if (epoll_ctl(sh->epoll_fd, watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) < 0) {
                close(fd);
                free(l);
                return;
        }
        if (sh->lingers_n >= LINGER_MAX)
                end(sh, list_entry(list_first(&sh->lingers), struct lingering, grave.link));
        list_push_back(&sh->lingers, &l->grave.link);
        sh->lingers_n++;
        if (sh->linger_timer.due_ms == 0)
                shard_timer_set(sh, &sh->linger_timer, LINGER_MS);
}

void linger_init(struct shard *sh)
{
        list_init(&sh->lingers);
        shard_timer_init(&sh->linger_timer, on_due);
}

void linger_done(struct shard *sh)
{
        struct list *it;
        while ((it = list_first(&sh->lingers)))
                end(sh, list_entry(it, struct lingering, grave.link));
}
