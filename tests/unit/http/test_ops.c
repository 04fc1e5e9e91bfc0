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
        assert_non_null(strstr(reply_text(&r), text));
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(probes_say_what_is_wrong),
                cmocka_unit_test(a_port_in_use_is_said_so),
                cmocka_unit_test(it_stops_although_a_client_stalls),
        };
        return cmocka_run_group_tests(tests, start, stop);
}
