/*
 * harness - a real server on a free loopback port, with the smallest acceptor that keeps the
 * contract of net/intake: a socket rests, unread, until its whole head lies in the kernel, then it
 * is fed; rest() brings it back.
 */
#ifndef TERN_TEST_HTTP_HARNESS_H
#define TERN_TEST_HTTP_HARNESS_H

#include "http/server.h"

#include "base/clock.h"
#include "http/head.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define RESTING_MAX 256
#define HEAD_MAX 16384

struct harness {
        struct http_settings settings;
        struct metrics *metrics;
        struct http_server *srv;
        int listener, pipe[2]; /* rest() writes descriptors into the pipe */
        uint16_t port;
        pthread_t acceptor;
        atomic_bool stop;
        atomic_uint rested;
        /* what handlers took out of the server */
        pthread_mutex_t lock;
        pthread_cond_t took;
        struct http_handover handover;
};

static inline void harness_rest(void *arg, int fd, const char *client_addr)
{
        struct harness *h = arg;
        assert_string_equal(client_addr, "127.0.0.1");
        atomic_fetch_add(&h->rested, 1);
        if (write(h->pipe[1], &fd, sizeof(fd)) != sizeof(fd))
                close(fd);
}

/* 1 fed, 0 not yet, -1 gone */
static inline int harness_look(struct harness *h, int fd)
{
        static char buf[HEAD_MAX];
        ssize_t n = recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN))
                return -1;
        if (n < 0 || (head_find(buf, (size_t)n) == 0 && n < HEAD_MAX))
                return 0;
        return http_server_feed(h->srv, fd, "127.0.0.1") ? 1 : 0;
}

static inline void *harness_accept(void *arg)
{
        struct harness *h = arg;
        int resting[RESTING_MAX];
        size_t n = 0;
        while (!atomic_load(&h->stop)) {
                struct pollfd pfd[2] = {
                        {.fd = n < RESTING_MAX ? h->listener : -1, .events = POLLIN},
                        {.fd = h->pipe[0], .events = POLLIN}};
                poll(pfd, 2, 2);
                if (pfd[0].revents & POLLIN)
                        resting[n++] =
                                accept4(h->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (n < RESTING_MAX && (pfd[1].revents & POLLIN) &&
                        read(h->pipe[0], &resting[n], sizeof(int)) == sizeof(int))
                        n++;
                for (size_t i = 0; i < n;) {
                        int r = harness_look(h, resting[i]);
                        if (r < 0)
                                close(resting[i]);
                        if (r == 0)
                                i++;
                        else
                                resting[i] = resting[--n];
                }
        }
        while (n > 0)
                close(resting[--n]);
        return NULL;
}

static inline void harness_took(struct harness *h, struct http_request *rq)
{
        pthread_mutex_lock(&h->lock);
        http_handover_take(rq, &h->handover);
        pthread_cond_signal(&h->took);
        pthread_mutex_unlock(&h->lock);
}

static inline struct http_handover harness_wait_taken(struct harness *h)
{
        pthread_mutex_lock(&h->lock);
        while (h->handover.fd < 0)
                pthread_cond_wait(&h->took, &h->lock);
        struct http_handover ho = h->handover;
        h->handover.fd = -1;
        pthread_mutex_unlock(&h->lock);
        return ho;
}

static inline void harness_new(struct harness *h)
{
        memset(h, 0, sizeof(*h));
        h->settings = (struct http_settings){.workers = 16,
                .body_ms = 1500,
                .reply_ms = 600,
                .body_bytes_max = 1u << 20,
                .head_bytes_max = HEAD_MAX,
                .origins = (char *)(uintptr_t) ""};
        h->metrics = metrics_new(METRICS_MESSAGING);
        h->handover.fd = -1;
        pthread_mutex_init(&h->lock, NULL);
        pthread_cond_init(&h->took, NULL);
        struct http_options o = {.settings = &h->settings,
                .metrics = h->metrics,
                .rest = harness_rest,
                .rest_arg = h};
        assert_int_equal(http_server_new(&o, &h->srv), 0);
}

static inline void harness_start(struct harness *h)
{
        assert_int_equal(http_server_start(h->srv), 0);
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(in);
        h->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(h->listener, (struct sockaddr *)&in, n), 0);
        assert_int_equal(listen(h->listener, 128), 0);
        assert_int_equal(getsockname(h->listener, (struct sockaddr *)&in, &n), 0);
        assert_int_equal(pipe(h->pipe), 0);
        h->port = ntohs(in.sin_port);
        assert_int_equal(pthread_create(&h->acceptor, NULL, harness_accept, h), 0);
}

static inline void harness_stop(struct harness *h)
{
        atomic_store(&h->stop, true);
        pthread_join(h->acceptor, NULL);
        close(h->listener);
        h->srv = http_server_free(h->srv);
        close(h->pipe[1]);
        for (int fd; read(h->pipe[0], &fd, sizeof(fd)) == sizeof(fd);)
                close(fd);
        close(h->pipe[0]);
        metrics_free(h->metrics);
        pthread_mutex_destroy(&h->lock);
        pthread_cond_destroy(&h->took);
}

/* ---- a client ---- */

struct reply {
        int status;
        struct buf head, body; /* head with its empty line */
};

static inline int client_open(uint16_t port)
{
        struct sockaddr_in in = {.sin_family = AF_INET,
                .sin_port = htons(port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
        struct timeval tv = {.tv_sec = 10};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
        return fd;
}

static inline void client_send(int fd, const char *text)
{
        size_t n = strlen(text);
        assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

static inline void reply_done(struct reply *r)
{
        buf_done(&r->head);
        buf_done(&r->body);
}

static inline const char *reply_text(struct reply *r)
{
        return buf_cstr(&r->body);
}

/* One byte at a time up to the empty line, so that nothing of the next reply is taken. False at the
 * end of the stream. */
static inline bool client_read_head(int fd, struct reply *r)
{
        *r = (struct reply){0};
        while (r->head.n < 4 || memcmp(r->head.p + r->head.n - 4, "\r\n\r\n", 4) != 0) {
                char c;
                if (recv(fd, &c, 1, 0) != 1)
                        return false;
                buf_add_char(&r->head, c);
        }
        const char *text = buf_cstr(&r->head);
        r->status = (int)strtol(text + 9, NULL, 10);
        return true;
}

/* The value's start of a header in any case, or NULL. */
static inline const char *reply_header(struct reply *r, const char *name)
{
        char want[128];
        snprintf(want, sizeof(want), "\r\n%s: ", name);
        const char *at = strcasestr(buf_cstr(&r->head), want);
        return at ? at + strlen(want) : NULL;
}

static inline bool reply_header_is(struct reply *r, const char *name, const char *value)
{
        const char *at = reply_header(r, name);
        return at && strncmp(at, value, strlen(value)) == 0 &&
               memcmp(at + strlen(value), "\r\n", 2) == 0;
}

static inline bool client_read(int fd, struct reply *r)
{
        if (!client_read_head(fd, r))
                return false;
        const char *length = reply_header(r, "Content-Length");
        size_t left = length ? (size_t)strtoul(length, NULL, 10) : 0;
        while (left > 0) {
                ssize_t n = recv(fd, buf_reserve(&r->body, left), left, 0);
                if (n <= 0)
                        return false;
                buf_commit(&r->body, (size_t)n);
                left -= (size_t)n;
        }
        return true;
}

static inline bool client_closed(int fd)
{
        char c;
        return recv(fd, &c, 1, 0) <= 0;
}

/* One request on a fresh connection, which is closed afterwards. */
static inline struct reply client_ask(uint16_t port, const char *text)
{
        int fd = client_open(port);
        client_send(fd, text);
        struct reply r;
        if (!client_read(fd, &r))
                fail_msg("no reply to %.60s", text);
        close(fd);
        return r;
}

static inline void expect_status(uint16_t port, const char *text, int status)
{
        struct reply r = client_ask(port, text);
        if (r.status != status)
                fail_msg("%.80s: %d instead of %d: %s", text, r.status, status, reply_text(&r));
        reply_done(&r);
}

#endif
