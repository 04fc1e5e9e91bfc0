#include "http/internal.h"

#include "base/clock.h"
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define STOP_LOOK_MS 100 /* how late a stopping server is noticed by who waits */
#define LINGER_MS 500    /* how long a client may go on sending after it was refused */
#define LINGER_BYTES_MAX (1u << 20)

struct http_conn *conn_new(struct http_server *srv, int fd, const char *client_addr)
{
        struct http_conn *hc = xcalloc(1, sizeof(*hc));
        hc->srv = srv;
        hc->fd = fd;
        if (!slice_copy(slice_str(client_addr), hc->addr, sizeof(hc->addr)))
                hc->addr[0] = '\0';
        return hc;
}

static void slot_leave(struct http_conn *hc)
{
        if (hc->waits)
                atomic_fetch_sub_explicit(&hc->srv->waiting, 1, memory_order_relaxed);
        hc->waits = false;
}

static bool slot_enter(struct http_conn *hc)
{
        if (hc->waits)
                return true;
        /* Courtesy to a client that was refused must not take the slots of those that are served. */
        unsigned max = hc->lingers ? hc->srv->waiting_max / 2 : hc->srv->waiting_max;
        if (atomic_fetch_add_explicit(&hc->srv->waiting, 1, memory_order_relaxed) >= max) {
                atomic_fetch_sub_explicit(&hc->srv->waiting, 1, memory_order_relaxed);
                return false;
        }
        hc->waits = true;
        return true;
}

struct http_conn *conn_free(struct http_conn *hc)
{
        slot_leave(hc);
        if (hc->fd >= 0)
                close(hc->fd);
        free(hc);
        return NULL;
}

int conn_wait(struct http_conn *hc, short events, int64_t deadline_mono_ms)
{
        struct pollfd pfd = {.fd = hc->fd, .events = events};
        int n = poll(&pfd, 1, 0);
        if (n == 0 && !slot_enter(hc))
                return -EBUSY;
        while (n == 0 || (n < 0 && errno == EINTR)) {
                int64_t left = deadline_mono_ms - clock_mono_ms();
                if (left <= 0)
                        return -ETIMEDOUT;
                if (atomic_load_explicit(&hc->srv->stopping, memory_order_relaxed))
                        return -ECONNRESET;
                n = poll(&pfd, 1, (int)(left < STOP_LOOK_MS ? left : STOP_LOOK_MS));
        }
        return n < 0 ? -ECONNRESET : 0;
}

bool conn_write(struct http_conn *hc, struct slice a, struct slice b)
{
        int64_t deadline = clock_mono_ms() + hc->srv->settings->reply_ms;
        while (!hc->broken && a.n + b.n > 0) {
                struct iovec iov[2] = {{.iov_base = (void *)(uintptr_t)a.p, .iov_len = a.n},
                        {.iov_base = (void *)(uintptr_t)b.p, .iov_len = b.n}};
                struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
                ssize_t n = sendmsg(hc->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n >= 0) {
                        size_t of_a = (size_t)n < a.n ? (size_t)n : a.n;
                        a = slice_from(a, of_a);
                        b = slice_from(b, (size_t)n - of_a);
                } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
                        hc->broken = conn_wait(hc, POLLOUT, deadline) < 0;
                } else if (errno != EINTR) {
                        hc->broken = true;
                }
        }
        return !hc->broken;
}

/* ---- what unit.h calls ---- */

/* Empty lines before a request are legal; one or two CRLF are taken out of the way. */
static size_t blank_lines(const char *p, size_t n)
{
        size_t skip = 0;
        while (skip < 4 && skip + 2 <= n && p[skip] == '\r' && p[skip + 1] == '\n')
                skip += 2;
        return skip;
}

static size_t refuse_with(struct http_conn *hc, int status, const char *why)
{
        hc->head = (struct head){
                .content_length = -1}; /* its slices point at bytes that are wiped next */
        hc->refused = status;
        hc->why = why;
        return 0;
}

size_t conn_arrived(void *fed, int fd, char *buf, size_t cap)
{
        struct http_conn *hc = fed;
        CHECK(fd == hc->fd);
        hc->began_mono_ms = clock_mono_ms();
        int one =
                1; /* who waited for the head may have raised it, and a body would then be waited for in vain */
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
        ssize_t got = recv(fd, buf, cap, MSG_PEEK | MSG_DONTWAIT);
        if (got <= 0) {
                hc->silent = true;
                return 0;
        }
        size_t skip = blank_lines(buf, (size_t)got);
        size_t n = head_find(buf + skip, (size_t)got - skip);
        if (n == 0)
                return refuse_with(hc, (size_t)got == cap ? 431 : 400,
                        (size_t)got == cap ? "the request head is too long"
                                           : "incomplete request head");
        if (skip && recv(fd, buf, skip, MSG_DONTWAIT) != (ssize_t)skip)
                return refuse_with(hc, 400, "incomplete request head");
        if (recv(fd, buf, n, MSG_DONTWAIT) != (ssize_t)n)
                return refuse_with(hc, 400, "incomplete request head");
        const char *why = "malformed request";
        int status = head_parse(buf, &n, &hc->head, &why);
        if (status)
                return refuse_with(hc, status, why);
        if (hc->last)
                hc->head.keep_alive = false;
        hc->body_done = !hc->head.chunked && hc->head.content_length <= 0;
        return n;
}

void conn_refuse(void *fed)
{
        struct http_conn *hc = fed;
        if (hc->silent || hc->answered || hc->fd < 0)
                return;
        if (hc->refused == 0) { /* civetweb's own objection to what head_parse() let through */
                hc->refused = 400;
                hc->why = "malformed request";
        }
        reply_error(hc, hc->refused, reply_code(hc->refused), hc->why, SLICE_NONE);
}

/* A close with unread bytes in the socket is a reset, and a reset takes the answer away from a
 * client that is still sending. So the rest is read, for a bounded time, as long as there are slots
 * for who waits. */
static void linger(struct http_conn *hc)
{
        if (hc->broken || shutdown(hc->fd, SHUT_WR) < 0)
                return;
        char sink[8192];
        hc->lingers = true;
        int64_t deadline = clock_mono_ms() + LINGER_MS;
        for (size_t total = 0; total < LINGER_BYTES_MAX;) {
                ssize_t n = recv(hc->fd, sink, sizeof(sink), MSG_DONTWAIT);
                if (n > 0)
                        total += (size_t)n;
                else if (n == 0 || (errno != EAGAIN && errno != EINTR) ||
                         conn_wait(hc, POLLIN, deadline) < 0)
                        return;
        }
}

static bool has_unread(const struct http_conn *hc)
{
        char c;
        return !hc->body_done || recv(hc->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void conn_finish(void *fed)
{
        struct http_conn *hc = fed;
        struct http_server *srv = hc->srv;
        bool stopping = atomic_load_explicit(&srv->stopping, memory_order_relaxed);
        if (hc->fd >= 0 && hc->keep && !hc->broken && hc->body_done && !stopping) {
                int fd = hc->fd;
                hc->fd = -1;
                srv->rest(srv->rest_arg, fd, hc->addr);
        } else if (hc->fd >= 0 && hc->answered && !stopping && has_unread(hc)) {
                linger(hc);
        }
        conn_free(hc);
}
