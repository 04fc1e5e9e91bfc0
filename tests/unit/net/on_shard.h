/* Runs a function on a shard's thread and waits for it; and sockets for tests. */
#ifndef TERN_TESTS_NET_ON_SHARD_H
#define TERN_TESTS_NET_ON_SHARD_H

#include "base/clock.h"
#include "net/shard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <unistd.h>

struct on_shard_call {
        struct mail mail;
        void (*fn)(struct shard *sh, void *arg);
        struct shard *sh;
        void *arg;
        sem_t done;
};

static inline void on_shard_run(struct mail *m)
{
        struct on_shard_call *c = container_of(m, struct on_shard_call, mail);
        c->fn(c->sh, c->arg);
        sem_post(&c->done);
}

static inline void on_shard(struct shard *sh, void (*fn)(struct shard *sh, void *arg), void *arg)
{
        struct on_shard_call c = {.mail = {.run = on_shard_run}, .fn = fn, .sh = sh, .arg = arg};
        sem_init(&c.done, 0, 0);
        bool posted = mailbox_post(shard_mailbox(sh), &c.mail);
        CHECK(posted);
        while (sem_wait(&c.done) < 0)
                ;
        sem_destroy(&c.done);
}

/* A connected pair over loopback TCP: [0] the client's, [1] the server's end. */
static inline void tcp_pair(int fds[2])
{
        int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        socklen_t n = sizeof(a);
        int r = bind(l, (struct sockaddr *)&a, n);
        r |= getsockname(l, (struct sockaddr *)&a, &n);
        r |= listen(l, 16);
        fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        r |= connect(fds[0], (struct sockaddr *)&a, n);
        fds[1] = accept(l, NULL, NULL);
        CHECK(r == 0 && fds[1] >= 0);
        close(l);
}

static inline int tcp_connect(uint32_t port)
{
        struct sockaddr_in a = {.sin_family = AF_INET,
                .sin_addr = {htonl(INADDR_LOOPBACK)},
                .sin_port = htons((uint16_t)port)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
                close(fd);
                return -1;
        }
        return fd;
}

static inline void send_text(int fd, const char *text)
{
        size_t n = strlen(text);
        ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);
        CHECK(sent == (ssize_t)n);
}

/* Reads until needle has come (if there is one), the end of the stream, cap - 1 bytes, or the
 * time is over; NUL-terminates. *ret_ended: 1 end, 0 not, -errno. */
static inline size_t read_until(
        int fd, char *dst, size_t cap, int timeout_ms, const char *needle, int *ret_ended)
{
        int64_t until = clock_mono_ms() + timeout_ms;
        size_t n = 0;
        *ret_ended = 0;
        while (n < cap - 1) {
                int64_t left = until - clock_mono_ms();
                struct pollfd p = {.fd = fd, .events = POLLIN};
                if (left < 0 || poll(&p, 1, (int)left) <= 0)
                        break;
                ssize_t got = recv(fd, dst + n, cap - 1 - n, 0);
                if (got <= 0) {
                        *ret_ended = got == 0 ? 1 : -errno;
                        break;
                }
                size_t back = needle ? strlen(needle) : 0, from = n > back ? n - back : 0;
                n += (size_t)got;
                if (needle && memmem(dst + from, n - from, needle, back))
                        break;
        }
        dst[n] = '\0';
        return n;
}

static inline size_t read_for(int fd, char *dst, size_t cap, int timeout_ms, int *ret_ended)
{
        return read_until(fd, dst, cap, timeout_ms, NULL, ret_ended);
}

/* Waits until *p is at least want; false after the time. */
static inline bool wait_for_count(atomic_int *p, int want, int timeout_ms)
{
        int64_t until = clock_mono_ms() + timeout_ms;
        while (atomic_load(p) < want) {
                if (clock_mono_ms() > until)
                        return false;
                usleep(500);
        }
        return true;
}

#endif
