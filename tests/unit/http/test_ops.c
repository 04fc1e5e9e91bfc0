/* ops: probes and metrics, and the ports they listen on. */
#include "http/ops.h"

#include "base/clock.h"
#include "harness.h"

static struct lifecycle lc;
static struct metrics *metrics;
static _Atomic(const char *) why;

static const char *not_ready(void *arg)
{
        UNUSED(arg);
        return atomic_load(&why);
}

static int start(void **state)
{
        UNUSED(state);
        lifecycle_init(&lc);
        metrics = metrics_new(METRICS_MESSAGING);
        return 0;
}

static int stop(void **state)
{
        UNUSED(state);
        metrics_free(metrics);
        lifecycle_done(&lc);
        return 0;
}

static struct ops_options options(uint32_t port)
{
        return (struct ops_options){.bind = "127.0.0.1",
                .port = port,
                .lifecycle = &lc,
                .metrics = metrics,
                .not_ready = not_ready};
}

static void expect(uint32_t port, const char *path, int status, const char *text)
{
        char request[128];
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
        struct reply r = client_ask((uint16_t)port, request);
        assert_int_equal(r.status, status);
        if (!strstr(reply_text(&r), text))
                fail_msg("%s: %s", path, reply_text(&r));
        reply_done(&r);
}

static void probes_say_what_is_wrong(void **state)
{
        UNUSED(state);
        struct ops_options o = options(0);
        struct ops_server *ops;
        uint32_t port = 0;
        assert_int_equal(ops_server_new(&o, &ops, &port), 0);
        assert_true(port > 0);
        expect(port, "/readyz", 503, "not ready: starting");
        atomic_store(&why, "filling the tail");
        expect(port, "/readyz", 503, "not ready: filling the tail");
        atomic_store(&why, NULL);
        atomic_store(&lc.ready, true);
        expect(port, "/readyz", 200, "ready");
        atomic_store(&lc.draining, true);
        expect(port, "/readyz", 503, "draining");
        atomic_store(&lc.draining, false);
        unsigned loop = lifecycle_loop(&lc, "shard 0");
        lifecycle_tick(&lc, loop, clock_mono_ms());
        expect(port, "/healthz", 200, "ok");
        lifecycle_tick(&lc, loop, clock_mono_ms() - 11000);
        expect(port, "/healthz", 503, "stuck: shard 0");
        lifecycle_retire(&lc, loop);
        expect(port, "/healthz", 200, "ok");
        metrics_add(metrics, M_http_requests, 1, 7);
        expect(port, "/metrics", 200, "tern_http_requests_total{class=\"2xx\"} 7");
        expect(port, "/metrics?x=y", 200, "# HELP");
        expect(port, "/", 404, "/healthz");
        expect_status((uint16_t)port,
                "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405);
        ops_server_free(ops);
}

static void a_port_in_use_is_said_so(void **state)
{
        UNUSED(state);
        struct ops_options o = options(0);
        struct ops_server *first, *second;
        uint32_t port;
        assert_int_equal(ops_server_new(&o, &first, &port), 0);
        o.port = port;
        assert_int_equal(ops_server_new(&o, &second, NULL), -EADDRINUSE);
        o.bind = "192.0.2.1";
        assert_int_equal(ops_server_new(&o, &second, NULL), -EADDRNOTAVAIL);
        ops_server_free(first);
        o.bind = "127.0.0.1";
        assert_int_equal(ops_server_new(&o, &second, &port), 0);
        expect(port, "/healthz", 200, "ok");
        ops_server_free(second);
}

static void it_stops_although_a_client_stalls(void **state)
{
        UNUSED(state);
        struct ops_options o = options(0);
        struct ops_server *ops;
        uint32_t port;
        assert_int_equal(ops_server_new(&o, &ops, &port), 0);
        int fd = client_open((uint16_t)port);
        client_send(fd, "GET /hea");
        usleep(100000);
        int64_t began = clock_mono_ms();
        ops_server_free(ops);
        assert_true(clock_mono_ms() - began < 2000);
        close(fd);
}

struct held { /* what the guest does with a request: wait, if asked for it, then tell what it saw */
        pthread_mutex_t lock;
        pthread_cond_t changed;
        unsigned inside; /* under lock, as the next */
        bool open;
};

static void serve(void *arg, struct ops_request *rq)
{
        struct held *h = arg;
        struct buf seen = BUF_EMPTY, body = BUF_EMPTY;
        char value[8];
        if (slice_is(ops_path(rq), "/admin/hold")) {
                pthread_mutex_lock(&h->lock);
                h->inside++;
                pthread_cond_broadcast(&h->changed);
                while (!h->open)
                        pthread_cond_wait(&h->changed, &h->lock);
                pthread_mutex_unlock(&h->lock);
        }
        if (slice_is(ops_path(rq), "/admin/silent"))
                return;
        bool given = ops_query(rq, "v", value, sizeof(value));
        int r = ops_body(rq, 16, &body);
        buf_printf(&seen, "%.*s %.*s v=%s%s body=%d:%.*s x=%.*s", SLICE_ARG(ops_method(rq)),
                SLICE_ARG(ops_path(rq)), value, given ? "" : "?", r, SLICE_ARG(buf_slice(&body)),
                SLICE_ARG(ops_header(rq, "X-X")));
        ops_reply(rq, 200, "text/plain", "X-Guest: yes\r\n", buf_slice(&seen));
        buf_done(&seen);
        buf_done(&body);
}

static void a_guest_has_the_paths_below_its_prefix(void **state)
{
        UNUSED(state);
        struct held h = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false};
        struct ops_options o = options(0);
        struct ops_server *ops;
        uint32_t port;
        o.guest = (struct ops_guest){"/admin", serve, &h};
        assert_int_equal(ops_server_new(&o, &ops, &port), 0);
        expect(port, "/admin", 200, "GET /admin v=? body=0: x=");
        expect(port, "/admin/a%20b?v=1%262", 200, "GET /admin/a b v=1&2 body=0: x=");
        expect(port, "/admin?v=123456789", 200, "v=?");
        expect(port, "/admin?v=a%00b", 200, "v=?");
        expect(port, "/administer", 404, "/healthz");
        expect(port, "/healthz", 200, "ok");
        struct reply r = client_ask((uint16_t)port,
                "POST /admin/x HTTP/1.1\r\nHost: a\r\nX-X: y\r\nContent-Length: 5\r\n\r\nhello");
        assert_int_equal(r.status, 200);
        assert_non_null(strstr(reply_text(&r), "POST /admin/x v=? body=0:hello x=y"));
        assert_true(reply_header_is(&r, "X-Guest", "yes"));
        reply_done(&r);
        char text[16];
        snprintf(text, sizeof(text), "body=%d:", -EMSGSIZE);
        r = client_ask((uint16_t)port, "POST /admin/x HTTP/1.1\r\nHost: a\r\nContent-Length: "
                                       "17\r\n\r\n01234567890123456");
        assert_non_null(strstr(reply_text(&r), text));
        reply_done(&r);
        expect(port, "/admin/silent", 500, "not answered");
        ops_server_free(ops);
}

static void probes_are_answered_while_the_guest_is_full(void **state)
{
        UNUSED(state);
        struct held h = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false};
        struct ops_options o = options(0);
        struct ops_server *ops;
        uint32_t port;
        int fds[OPS_GUESTS_MAX];
        o.guest = (struct ops_guest){"/admin", serve, &h};
        assert_int_equal(ops_server_new(&o, &ops, &port), 0);
        for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
                fds[i] = client_open((uint16_t)port);
                client_send(fds[i], "GET /admin/hold HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        pthread_mutex_lock(&h.lock);
        while (h.inside < OPS_GUESTS_MAX)
                pthread_cond_wait(&h.changed, &h.lock);
        pthread_mutex_unlock(&h.lock);
        expect(port, "/admin", 503, "busy");
        expect(port, "/healthz", 200, "ok");
        expect(port, "/metrics", 200, "# HELP");
        pthread_mutex_lock(&h.lock);
        h.open = true;
        pthread_cond_broadcast(&h.changed);
        pthread_mutex_unlock(&h.lock);
        for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
                struct reply r;
                assert_true(client_read(fds[i], &r));
                assert_int_equal(r.status, 200);
                reply_done(&r);
                close(fds[i]);
        }
        expect(port, "/admin", 200, "GET /admin");
        ops_server_free(ops);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(probes_say_what_is_wrong),
                cmocka_unit_test(a_port_in_use_is_said_so),
                cmocka_unit_test(it_stops_although_a_client_stalls),
                cmocka_unit_test(a_guest_has_the_paths_below_its_prefix),
                cmocka_unit_test(probes_are_answered_while_the_guest_is_full),
        };
        return cmocka_run_group_tests(tests, start, stop);
}
