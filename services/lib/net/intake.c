#include "net/intake_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 4096
#define ACCEPTS_PER_TURN 64
#define ACCEPT_PAUSE_MS 100

void intake_count(struct intake *in, enum intake_reason why)
{
        metrics_add(in->o.metrics, M_intake_expired, (unsigned)in->labels[why], 1);
}

/* ---- accepting ---- */

static void watch_listener(struct porch *p)
{
        if (p->accepting || p->shut)
                return;
        p->accepting = shard_watch(p->sh, &p->listener, EPOLLIN) == 0;
        if (!p->accepting)
                shard_timer_set(p->sh, &p->accept_timer, ACCEPT_PAUSE_MS);
}

static void on_accept_timer(struct shard *sh, struct shard_timer *t)
{
        UNUSED(sh);
        struct porch *p = container_of(t, struct porch, accept_timer);
        if (p->spare_fd < 0)
                p->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        watch_listener(p);
}

/* No descriptor is left: with the spare one the peer is at least told so, then accepting rests
 * for a moment instead of spinning. */
static void out_of_descriptors(struct porch *p)
{
        if (p->spare_fd >= 0) {
                close(p->spare_fd);
                int fd = accept4(p->listener.fd, NULL, NULL, SOCK_CLOEXEC);
                if (fd >= 0)
                        close(fd);
                p->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        }
        intake_count(p->in, INTAKE_FULL);
        shard_unwatch(p->sh, p->listener.fd);
        p->accepting = false;
        shard_timer_set(p->sh, &p->accept_timer, ACCEPT_PAUSE_MS);
}

static void on_listener(struct shard *sh, struct watch *w, uint32_t events)
{
        UNUSED(sh);
        UNUSED(events);
        struct porch *p = container_of(w, struct porch, listener);
        for (int i = 0; i < ACCEPTS_PER_TURN && p->accepting; i++) {
                struct sockaddr_storage ss;
                socklen_t len = sizeof(ss);
                int fd = accept4(w->fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd >= 0) {
                        int one = 1;
                        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
                        uint8_t addr[16];
                        uint8_t addr_n = addr_of_sockaddr(&ss, addr);
                        resting_new(p, fd, addr, addr_n, RESTING_FRESH);
                } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                           errno == ENOMEM) {
                        out_of_descriptors(p);
                } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
                        return;
                }
                /* All else concerns a connection that died in the backlog: the next one. */
        }
}

/* ---- mail ---- */

struct order { /* from the main thread to a shard */
        struct mail mail;
        struct porch *porch;
        sem_t *done;
};

static void run_open(struct mail *m)
{
        struct order *od = container_of(m, struct order, mail);
        struct porch *p = od->porch;
        p->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        watch_listener(p);
        sem_post(od->done);
}

static void run_shut(struct mail *m)
{
        struct order *od = container_of(m, struct order, mail);
        struct porch *p = od->porch;
        if (!p->shut) {
                p->shut = true;
                if (p->accepting)
                        shard_unwatch(p->sh, p->listener.fd);
                p->accepting = false;
                shard_timer_stop(p->sh, &p->accept_timer);
                if (p->spare_fd >= 0)
                        close(p->spare_fd);
                p->spare_fd = -1;
                resting_clear(p);
        }
        sem_post(od->done);
}

/* Runs on every shard, one after the other, and waits for each. */
static void order_all(struct intake *in, void (*run)(struct mail *m))
{
        sem_t done;
        sem_init(&done, 0, 0);
        for (unsigned i = 0; i < in->count; i++) {
                CHECK(!shard_is_current(in->porches[i].sh));
                struct order od = {.mail = {.run = run}, .porch = &in->porches[i], .done = &done};
                if (!mailbox_post(shard_mailbox(in->porches[i].sh), &od.mail))
                        continue;
                while (sem_wait(&done) < 0 && errno == EINTR)
                        ;
        }
        sem_destroy(&done);
}

struct comeback { /* a kept-alive socket on its way to a shard */
        struct mail mail;
        struct porch *porch;
        int fd;
        uint8_t addr_n, addr[16];
};

static void run_comeback(struct mail *m)
{
        struct comeback *cb = container_of(m, struct comeback, mail);
        resting_new(cb->porch, cb->fd, cb->addr, cb->addr_n, RESTING_KEPT);
        free(cb);
}

void intake_rest(struct intake *in, int fd, const char *client_addr)
{
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)) {
                close(fd);
                return;
        }
        struct comeback *cb = xcalloc(1, sizeof(*cb));
        cb->mail.run = run_comeback;
        cb->porch = &in->porches[(unsigned)fd % in->count];
        cb->fd = fd;
        cb->addr_n = addr_parse(client_addr, cb->addr);
        if (!mailbox_post(shard_mailbox(cb->porch->sh), &cb->mail)) {
                close(fd);
                free(cb);
        }
}

void intake_return(struct intake *in, struct shard *sh, int fd, const char *client_addr)
{
        CHECK(shard_is_current(sh));
        uint8_t addr[16];
        uint8_t addr_n = addr_parse(client_addr, addr);
        for (unsigned i = 0; i < in->count; i++) {
                if (in->porches[i].sh != sh)
                        continue;
                resting_new(&in->porches[i], fd, addr, addr_n, RESTING_RETURNED);
                return;
        }
        CHECK(!"one of the intake's shards");
}

/* ---- life ---- */

static int bind_to(const char *address, uint32_t port, int *ret_fd, uint32_t *ret_port)
{
        char service[16];
        snprintf(service, sizeof(service), "%u", port);
        struct addrinfo hints = {.ai_family = AF_UNSPEC,
                .ai_socktype = SOCK_STREAM,
                .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
        struct addrinfo *ai = NULL;
        if (port > 65535 || getaddrinfo(address, service, &hints, &ai) != 0 || !ai)
                return -EADDRNOTAVAIL;
        int r = 0, one = 1, zero = 0;
        int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) {
                r = -errno;
                goto out;
        }
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (ai->ai_family == AF_INET6)
                (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
        struct sockaddr_storage ss;
        socklen_t len = sizeof(ss);
        if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 ||
                getsockname(fd, (struct sockaddr *)&ss, &len) < 0) {
                r = -errno;
                close(fd);
                goto out;
        }
        *ret_fd = fd;
        *ret_port = ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&ss)->sin6_port
                                                   : ((struct sockaddr_in *)(void *)&ss)->sin_port);
out:
        freeaddrinfo(ai);
        return r;
}

static void init_porch(struct intake *in, struct porch *p, struct shard *sh)
{
        p->in = in;
        p->sh = sh;
        p->spare_fd = -1;
        p->listener = (struct watch){.ready = on_listener, .fd = in->fd};
        shard_timer_init(&p->accept_timer, on_accept_timer);
        resting_init_porch(p);
}

int intake_new(const struct intake_options *o, struct shard *const *shards, unsigned count,
        struct intake **ret, uint32_t *ret_port)
{
        CHECK(count > 0 && o->feed && (!o->line || (o->line_max > 0 && o->line_max <= 4096)));
        int fd = -1;
        int r = bind_to(o->bind, o->port, &fd, ret_port);
        if (r < 0)
                return r;
        struct intake *in = xcalloc(1, sizeof(*in));
        in->o = *o;
        if (in->o.head_bytes_max == 0 || in->o.head_bytes_max > SHARD_READ_BYTES)
                in->o.head_bytes_max = SHARD_READ_BYTES;
        in->fd = fd;
        static const char *const labels[INTAKE_REASONS] = {
                "head", "idle", "too_large", "per_address", "full"};
        for (size_t i = 0; i < INTAKE_REASONS; i++) {
                in->labels[i] = metrics_label(M_intake_expired, labels[i]);
                CHECK(in->labels[i] >= 0);
        }
        /* The internal port of splices is an intake of its own beside the public one. */
        int64_t before = metrics_get(o->metrics, M_entries_limit, ENTRIES_HEADS);
        metrics_entries_limit(o->metrics, ENTRIES_HEADS, before + o->connections_max);
        in->count = count;
        in->porches = xcalloc(count, sizeof(*in->porches));
        for (unsigned i = 0; i < count; i++)
                init_porch(in, &in->porches[i], shards[i]);
        *ret = in;
        return 0;
}

int intake_open(struct intake *in)
{
        if (listen(in->fd, BACKLOG) < 0)
                return -errno;
        order_all(in, run_open);
        return 0;
}

void intake_shut(struct intake *in)
{
        if (in->fd < 0)
                return;
        order_all(in, run_shut);
        close(in->fd);
        in->fd = -1;
}

struct intake *intake_free(struct intake *in)
{
        if (!in)
                return NULL;
        if (in->fd >= 0)
                close(in->fd);
        free(in->porches);
        free(in);
        return NULL;
}
