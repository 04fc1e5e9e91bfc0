/*
 * civetweb_unit - civetweb.c, compiled into Tern with only what is used, and the functions that
 * need its private structures.
 *
 * Build options come from library.cmake (no TLS, CGI, files, caching, Lua, nor civetweb's own
 * WebSocket, whose frame reader allocates what a header claims and checks neither mask nor UTF-8).
 * The rest of this library includes unit.h only.
 *
 * Known advisories: CVE-2025-55763 (1.14 to 1.16) overflows the heap while civetweb redirects a
 * path of many slashes to a directory; that code is part of the file server, which NO_FILES leaves
 * out, and begin_request below answers before it anyway. CVE-2025-9648 is in the form parser, which
 * nothing here calls. One more that has no number: parse_http_request() reads past what was
 * received, into the bytes of the request before; so no byte of an older request is ever left in
 * the buffer (unit_blank()).
 */
#define TERN_ALLOW_UNSAFE
#include <errno.h>
#include <sys/socket.h>

static __thread int unit_bind_errno;

static int unit_bind(int fd, const struct sockaddr *addr, socklen_t n)
{
        int r = bind(fd, addr, n);
        unit_bind_errno = r < 0 ? errno : 0;
        return r;
}
#define bind unit_bind

#include "civetweb.c"

#undef bind
#undef free /* these two civetweb forbids to itself */
#undef snprintf

#include "http/unit.h"
#include <sys/eventfd.h>

struct unit {
        struct mg_context *ctx;
        const struct unit_handlers *handlers; /* borrowed */
        bool closed;                          /* under ctx->thread_mutex */
};

/* What unit_feed() was given and what the callbacks find again. It rides through civetweb's queue
 * in the place of the peer's address, whose family 0 makes civetweb leave it alone. A real address
 * can stand there only for who found the ephemeral port in the moment before it was closed. */
struct unit_ride {
        sa_family_t family; /* AF_UNSPEC */
        void *fed;
};
_Static_assert(sizeof(struct unit_ride) <= sizeof(union usa),
        "a pointer has to fit where the address was");

static void *ride_of(const struct mg_connection *conn)
{
        struct unit_ride ride;
        memcpy(&ride, &conn->client.rsa, sizeof(ride));
        return ride.family == AF_UNSPEC ? ride.fed : NULL;
}

static const struct unit_handlers *handlers_of(const struct mg_connection *conn)
{
        return ((const struct unit *)conn->phys_ctx->user_data)->handlers;
}

int unit_bind_error(void)
{
        return unit_bind_errno;
}

void unit_blank(const struct mg_connection *conn)
{
        memset(conn->buf, 0, (size_t)conn->buf_size);
}

/* ---- civetweb's callbacks ---- */

static int on_init(const struct mg_connection *borrowed, void **conn_data)
{
        struct mg_connection *conn = (struct mg_connection *)borrowed;
        SOCKET fd = conn->client.sock;
        void *fed = ride_of(conn);
        *conn_data = NULL;
        conn->client.sock = INVALID_SOCKET;
        unit_blank(conn);
        size_t n = 0;
        if (fed)
                n = handlers_of(conn)->arrived(fed, fd, conn->buf, (size_t)conn->buf_size - 1);
        else
                close(fd);
        if (n == 0) {
                unit_blank(conn);
                conn->buf[0] =
                        '\x01'; /* a control character: civetweb gives up before it would wait for more */
                n = 1;
        }
        conn->data_len = (int)n;
        return 0;
}

static int on_request(struct mg_connection *conn)
{
        void *fed = ride_of(conn);
        if (fed)
                handlers_of(conn)->request(fed);
        conn->must_close = 1; /* nothing to read, nothing to keep: the socket is ours */
        return 1;
}

static int on_error(struct mg_connection *conn, int status, const char *text)
{
        void *fed = ride_of(conn);
        UNUSED(status);
        UNUSED(text);
        if (fed)
                handlers_of(conn)->refuse(fed);
        conn->must_close = 1;
        return 0;
}

static void on_close(const struct mg_connection *conn)
{
        void *fed = ride_of(conn);
        if (fed)
                handlers_of(conn)->finish(fed);
}

static int on_log(const struct mg_connection *conn, const char *text)
{
        UNUSED(conn);
        UNUSED(text);
        return 1; /* libraries do not log */
}

/* ---- start, feed, stop ---- */

/* Puts an eventfd in the place of each listening socket: the port is closed, and civetweb's
 * acceptor sleeps for ever. */
static int close_listeners(struct mg_context *ctx)
{
        int quiet = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (quiet < 0)
                return -1;
        int r = 0;
        for (unsigned i = 0; i < ctx->num_listening_sockets; i++)
                if (dup3(quiet, ctx->listening_sockets[i].sock, O_CLOEXEC) < 0)
                        r = -1;
        close(quiet);
        return r;
}

static struct mg_context *start_civetweb(
        struct unit *u, unsigned workers, unsigned queue, unsigned head_bytes_max)
{
        char threads[16], slots[16], head_bytes[16];
        snprintf(threads, sizeof(threads), "%u", workers);
        snprintf(slots, sizeof(slots), "%u", queue);
        snprintf(head_bytes, sizeof(head_bytes), "%u", head_bytes_max + 1);
        const char *options[] = {
                "listening_ports",
                "127.0.0.1:0",
                "listen_backlog",
                "1",
                "num_threads",
                threads,
                "connection_queue",
                slots,
                "max_request_size",
                head_bytes,
                "request_timeout_ms",
                "1000",
                "enable_keep_alive",
                "no",
                "decode_url",
                "no",
                "enable_auth_domain_check",
                "no",
                NULL,
        };
        struct mg_callbacks callbacks = {
                .init_connection = on_init,
                .begin_request = on_request,
                .http_error = on_error,
                .connection_close = on_close,
                .log_message = on_log,
        };
        struct mg_init_data init = {
                .callbacks = &callbacks, .user_data = u, .configuration_options = options};
        return mg_start2(&init, NULL);
}

int unit_start(const struct unit_handlers *h, unsigned workers, unsigned queue,
        unsigned head_bytes_max, struct unit **ret)
{
        struct unit *u = xcalloc(1, sizeof(*u));
        u->handlers = h;
        mg_init_library(MG_FEATURES_DEFAULT);
        u->ctx = start_civetweb(u, workers, queue, head_bytes_max);
        if (u->ctx && close_listeners(u->ctx) < 0) {
                mg_stop(u->ctx);
                u->ctx = NULL;
        }
        if (!u->ctx) {
                mg_exit_library();
                free(u);
                return -EAGAIN;
        }
        *ret = u;
        return 0;
}

bool unit_feed(struct unit *u, int fd, void *fed)
{
        struct mg_context *ctx = u->ctx;
        struct unit_ride ride = {AF_UNSPEC, fed};
        struct socket so;
        memset(&so, 0, sizeof(so));
        so.sock = fd;
        memcpy(&so.rsa, &ride, sizeof(ride));
        bool room = false;
        (void)pthread_mutex_lock(&ctx->thread_mutex);
        if (!u->closed && ctx->sq_head - ctx->sq_tail < ctx->sq_size) {
                ctx->squeue[ctx->sq_head % ctx->sq_size] = so;
                ctx->sq_head++;
                room = true;
                (void)pthread_cond_signal(&ctx->sq_full);
        }
        (void)pthread_mutex_unlock(&ctx->thread_mutex);
        return room;
}

void *unit_drain(struct unit *u)
{
        struct mg_context *ctx = u->ctx;
        struct unit_ride ride = {AF_UNSPEC, NULL};
        (void)pthread_mutex_lock(&ctx->thread_mutex);
        u->closed = true;
        if (ctx->sq_head > ctx->sq_tail) {
                memcpy(&ride, &ctx->squeue[ctx->sq_tail % ctx->sq_size].rsa, sizeof(ride));
                ctx->sq_tail++;
        }
        (void)pthread_mutex_unlock(&ctx->thread_mutex);
        return ride.fed;
}

struct unit *unit_stop(struct unit *u)
{
        if (!u)
                return NULL;
        mg_stop(u->ctx);
        mg_exit_library();
        free(u);
        return NULL;
}

#ifdef __SANITIZE_THREAD__
/* Civetweb's stop flag is a volatile int. Its acceptor and mg_stop() meet on it, and on what it is
 * meant to publish; the join of the acceptor orders all that follows. Only reports with one of
 * these two on a stack are left out. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
        return "race:master_thread_run\nrace:mg_stop\n";
}
#endif
