/* server: requests, bodies, keep-alive and hand-over on real sockets. */
#include "harness.h"

static struct harness hs;

static void echo(void *arg, struct http_request *rq)
{
        UNUSED(arg);
        struct slice x = SLICE_LIT("-"), cookie = SLICE_LIT("-");
        http_query_get(rq, "x", &x);
        http_cookie_get(rq, "token", &cookie);
        struct buf b = BUF_EMPTY;
        struct slice parts[] = {http_method(rq), http_path(rq), http_param(rq, "id"),
                http_query(rq), x, cookie, http_header(rq, "x-test"), http_client_addr(rq)};
        for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
                buf_add_slice(&b, parts[i]);
                buf_add_char(&b, '|');
        }
        http_reply(rq, 200, "text/plain", SLICE_LIT("X-Extra: 1\r\n"), buf_slice(&b));
        buf_done(&b);
}

static void echo_body(void *arg, struct http_request *rq)
{
        UNUSED(arg);
        struct slice body;
        if (http_body_or_reply(rq, 100000, &body))
                http_reply(rq, 200, "application/octet-stream", SLICE_NONE, body);
}

static void never_mind_the_body(void *arg, struct http_request *rq)
{
        UNUSED(arg);
        http_reply_json(rq, 200, SLICE_LIT("{}"));
}

static void big(void *arg, struct http_request *rq)
{
        UNUSED(arg);
        size_t n = 32u << 20;
        char *p = xcalloc(1, n);
        http_reply(rq, 200, "application/octet-stream", SLICE_NONE, slice_of(p, n));
        free(p);
}

static void take(void *arg, struct http_request *rq)
{
        harness_took(arg, rq);
}

static void forget(void *arg, struct http_request *rq)
{
        UNUSED(arg);
        UNUSED(rq);
}

static void wild(void *arg, struct http_request *rq)
{
        UNUSED(arg);
        http_reply(rq, 200, "text/plain", SLICE_NONE, http_param(rq, "*"));
}

static int start(void **state)
{
        UNUSED(state);
        harness_new(&hs);
        http_route(hs.srv, "GET", "/echo/:id", echo, NULL);
        http_route(hs.srv, "POST", "/body", echo_body, NULL);
        http_route(hs.srv, "POST", "/nobody", never_mind_the_body, NULL);
        http_route(hs.srv, "GET", "/big", big, NULL);
        http_route(hs.srv, "GET", "/take", take, &hs);
        http_route(hs.srv, "POST", "/take", take, &hs);
        http_route(hs.srv, "GET", "/forget", forget, NULL);
        http_route(hs.srv, NULL, "/wild/*", wild, NULL);
        harness_start(&hs);
        return 0;
}

static int stop(void **state)
{
        UNUSED(state);
        harness_stop(&hs);
        return 0;
}

#define H "Host: a\r\n"

static void expect_body(const char *text, const char *body)
{
        struct reply r = client_ask(hs.port, text);
        assert_int_equal(r.status, 200);
        assert_string_equal(reply_text(&r), body);
        reply_done(&r);
}

static void a_get_sees_its_parts(void **state)
{
        UNUSED(state);
        expect_body("GET /echo/a%2Fb?y=2&x=1+2%21 HTTP/1.1\r\n" H
                    "X-Test: v\r\nCookie: a=b; token=t%2Et\r\n\r\n",
                "GET|/echo/a/b|a/b|y=2&x=1+2%21|1 2!|t.t|v|127.0.0.1|");
        expect_body("GET http://a/echo/x HTTP/1.1\r\n" H "\r\n", "GET|/echo/x|x||-|-||127.0.0.1|");
        expect_body("PUT /wild/a/b//c? HTTP/1.1\r\n" H "\r\n", "a/b//c");
        expect_body("DELETE /wild/ HTTP/1.1\r\n" H "\r\n", "");
        expect_body(
                "\r\n\r\nGET /wild/after-blank-lines HTTP/1.1\r\n" H "\r\n", "after-blank-lines");
}

static void unknown_things_are_refused_in_json(void **state)
{
        UNUSED(state);
        struct reply r = client_ask(hs.port, "GET /nothing HTTP/1.1\r\n" H "\r\n");
        assert_int_equal(r.status, 404);
        assert_true(reply_header_is(&r, "Content-Type", "application/json"));
        assert_string_equal(reply_text(&r),
                "{\"error\":{\"code\":\"not_found\",\"message\":\"nothing here\"}}");
        assert_true(reply_header_is(&r, "Connection", "keep-alive"));
        reply_done(&r);
        r = client_ask(hs.port, "PATCH /echo/1 HTTP/1.1\r\n" H "\r\n");
        assert_int_equal(r.status, 405);
        assert_true(reply_header_is(&r, "Allow", "GET, HEAD"));
        reply_done(&r);
        expect_status(hs.port, "GET /echo/ HTTP/1.1\r\n" H "\r\n", 404);
        expect_status(hs.port, "GET /echo/1/ HTTP/1.1\r\n" H "\r\n", 404);
        expect_status(hs.port, "GET /forget HTTP/1.1\r\n" H "\r\n", 500);
        expect_status(hs.port, "OPTIONS * HTTP/1.1\r\n" H "\r\n", 404);
        assert_true(metrics_get(hs.metrics, M_http_requests, 3) >= 4);
        assert_true(metrics_get(hs.metrics, M_http_requests, 4) >= 1);
}

static void a_head_has_the_length_and_no_body(void **state)
{
        UNUSED(state);
        int fd = client_open(hs.port);
        client_send(fd, "HEAD /wild/abc HTTP/1.1\r\n" H "\r\nGET /wild/abc HTTP/1.1\r\n" H
                        "Connection: close\r\n\r\n");
        struct reply r;
        assert_true(client_read_head(fd, &r));
        assert_true(reply_header_is(&r, "Content-Length", "3"));
        reply_done(&r);
        assert_true(client_read(fd, &r));
        assert_string_equal(reply_text(&r), "abc");
        reply_done(&r);
        assert_true(client_closed(fd));
        close(fd);
}

static void sockets_are_kept_and_come_back_to_rest(void **state)
{
        UNUSED(state);
        unsigned before = atomic_load(&hs.rested);
        int fd = client_open(hs.port);
        struct reply r;
        for (int i = 0; i < 20; i++) {
                client_send(fd, "GET /wild/again HTTP/1.1\r\n" H "\r\n");
                assert_true(client_read(fd, &r));
                assert_true(reply_header_is(&r, "Connection", "keep-alive"));
                assert_string_equal(reply_text(&r), "again");
                reply_done(&r);
        }
        assert_true(atomic_load(&hs.rested) >= before + 19);
        client_send(fd, "GET /wild/last HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
        assert_true(client_read(fd, &r));
        assert_true(reply_header_is(&r, "Connection", "close"));
        reply_done(&r);
        assert_true(client_closed(fd));
        close(fd);
        fd = client_open(hs.port);
        client_send(fd, "GET /wild/old HTTP/1.0\r\n\r\n");
        assert_true(client_read(fd, &r));
        assert_true(client_closed(fd));
        reply_done(&r);
        close(fd);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        for (int i = 0; i < 30; i++) {
                if (i % 3 == 0)
                        buf_printf(&b, "GET /wild/%d HTTP/1.1\r\n" H "\r\n", i);
                else if (i % 3 == 1)
                        buf_printf(
                                &b, "POST /body HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\n%02d", i);
                else
                        buf_printf(&b,
                                "POST /body HTTP/1.1\r\n" H "Transfer-Encoding: "
                                "chunked\r\n\r\n1\r\n%d\r\n1;x=y\r\n%d\r\n0\r\nTrailer: x\r\n\r\n",
                                i / 10, i % 10);
        }
        int fd = client_open(hs.port);
        client_send(fd, buf_cstr(&b));
        for (int i = 0; i < 30; i++) {
                struct reply r;
                assert_true(client_read(fd, &r));
                assert_int_equal(r.status, 200);
                assert_int_equal(strtol(reply_text(&r), NULL, 10), i);
                reply_done(&r);
        }
        close(fd);
        buf_done(&b);
}

static void bodies_come_whole(void **state)
{
        UNUSED(state);
        expect_body("POST /body HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello", "hello");
        expect_body("POST /body HTTP/1.1\r\n" H "\r\n", "");
        expect_body("POST /body HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "");
        expect_body("POST /body HTTP/1.1\r\n" H
                    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
                "hello!");
        expect_body("POST /body HTTP/1.1\r\n" H
                    "Transfer-Encoding: chunked\r\n\r\n00000005 ; a=\"b\"\r\nhello\r\n000\r\n\r\n",
                "hello");
        /* Byte by byte. */
        static const char text[] =
                "POST /body HTTP/1.1\r\n" H
                "Transfer-Encoding: chunked\r\n\r\n6\r\ndribbl\r\n2\r\ned\r\n0\r\nA: b\r\n\r\n";
        int fd = client_open(hs.port), one = 1;
        setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one));
        for (size_t i = 0; text[i]; i++) {
                assert_int_equal(send(fd, text + i, 1, MSG_NOSIGNAL), 1);
                usleep(1000);
        }
        struct reply r;
        assert_true(client_read(fd, &r));
        assert_string_equal(reply_text(&r), "dribbled");
        reply_done(&r);
        close(fd);
}

static void a_client_may_ask_before_it_sends(void **state)
{
        UNUSED(state);
        int fd = client_open(hs.port);
        client_send(fd,
                "POST /body HTTP/1.1\r\n" H "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        struct reply r;
        assert_true(client_read_head(fd, &r));
        assert_int_equal(r.status, 100);
        reply_done(&r);
        client_send(fd, "hello");
        assert_true(client_read(fd, &r));
        assert_int_equal(r.status, 200);
        assert_string_equal(reply_text(&r), "hello");
        assert_true(reply_header_is(&r, "Connection", "keep-alive"));
        reply_done(&r);
        /* Not asked for: nobody knows whether a body follows, so the connection ends. */
        client_send(fd,
                "POST /nobody HTTP/1.1\r\n" H "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
        assert_true(client_read(fd, &r));
        assert_int_equal(r.status, 200);
        assert_true(reply_header_is(&r, "Connection", "close"));
        reply_done(&r);
        close(fd);
}

static void an_unread_body_is_no_request(void **state)
{
        UNUSED(state);
        int fd = client_open(hs.port);
        client_send(fd, "POST /nobody HTTP/1.1\r\n" H
                        "Content-Length: 38\r\n\r\nGET /wild/smuggled HTTP/1.1\r\n" H);
        client_send(fd, "GET /wild/real HTTP/1.1\r\n" H "\r\n");
        struct reply r;
        assert_true(client_read(fd, &r));
        assert_string_equal(reply_text(&r), "{}");
        reply_done(&r);
        if (client_read(
                    fd, &r)) { /* else the rest had not come yet, and the connection was closed */
                assert_string_equal(reply_text(&r), "real");
                reply_done(&r);
        }
        close(fd);
}

static void bad_bodies_are_refused(void **state)
{
        UNUSED(state);
        static const char *const chunks[] = {"x\r\n", "-1\r\n", "0x1\r\na\r\n0\r\n\r\n", "\r\n",
                "fffffffff\r\n", "1\r\nab\r\n0\r\n\r\n", "1\na\n0\n\n", "1 2\r\na\r\n0\r\n\r\n",
                "1\r\na\r\n0\r\nX\n\r\n"};
        for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
                char text[256];
                snprintf(text, sizeof(text),
                        "POST /body HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n%s",
                        chunks[i]);
                struct reply r = client_ask(hs.port, text);
                assert_int_equal(r.status, 400);
                assert_true(reply_header_is(&r, "Connection", "close"));
                reply_done(&r);
        }
        expect_status(hs.port,
                "POST /body HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nfffffff0\r\n", 413);
        expect_status(hs.port, "POST /body HTTP/1.1\r\n" H "Content-Length: 100001\r\n\r\n", 413);
        expect_status(hs.port,
                "POST /body HTTP/1.1\r\n" H
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                400);
        expect_status(hs.port,
                "POST /body HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
                400);
}

static void a_refusal_reaches_a_client_that_still_sends(void **state)
{
        UNUSED(state);
        char *text = xmalloc(400000);
        memset(text, 'x', 399999);
        text[399999] = '\0';
        static const char head[] = "POST /body HTTP/1.1\r\n" H "Content-Length: 399900\r\n\r\n";
        memcpy(text, head, sizeof(head) - 1);
        expect_status(hs.port, text, 413);
        free(text);
}

static void a_slow_body_has_one_deadline(void **state)
{
        UNUSED(state);
        int64_t expired = metrics_get(hs.metrics, M_intake_expired, 1);
        int fd = client_open(hs.port);
        client_send(fd, "POST /body HTTP/1.1\r\n" H "Content-Length: 1000\r\n\r\n");
        int64_t began = clock_mono_ms();
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        while (poll(&pfd, 1, 50) == 0)
                send(fd, "x", 1, MSG_NOSIGNAL); /* each byte in time for itself */
        struct reply r;
        assert_true(client_read(fd, &r));
        assert_int_equal(r.status, 408);
        assert_in_range(clock_mono_ms() - began, 1000, 8000);
        assert_int_equal(metrics_get(hs.metrics, M_intake_expired, 1), expired + 1);
        reply_done(&r);
        close(fd);
}

static void half_of_the_workers_stay_free_of_bodies(void **state)
{
        UNUSED(state);
        int slow[24];
        for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
                slow[i] = client_open(hs.port);
                client_send(slow[i], "POST /body HTTP/1.1\r\n" H "Content-Length: 1000\r\n\r\nx");
        }
        int64_t began = clock_mono_ms();
        expect_status(hs.port, "GET /wild/free HTTP/1.1\r\n" H "\r\n", 200);
        expect_body("POST /body HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nquick",
                "quick"); /* needs no waiting */
        assert_true(clock_mono_ms() - began < 1200);
        int busy = 0, late = 0;
        for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
                struct reply r;
                assert_true(client_read(slow[i], &r));
                busy += r.status == 503;
                late += r.status == 408;
                reply_done(&r);
                close(slow[i]);
        }
        assert_int_equal(busy + late, ARRAY_LEN(slow));
        assert_int_equal(late, 8);
}

static void a_client_that_does_not_read_loses_its_reply(void **state)
{
        UNUSED(state);
        int fd = client_open(hs.port);
        client_send(fd, "GET /big HTTP/1.1\r\n" H "\r\n");
        usleep(1200000);
        expect_status(hs.port, "GET /wild/x HTTP/1.1\r\n" H "\r\n", 200);
        size_t got = 0;
        char sink[65536];
        for (ssize_t n; (n = recv(fd, sink, sizeof(sink), 0)) > 0;)
                got += (size_t)n;
        assert_true(got < 32u << 20);
        close(fd);
}

static void malformed_heads_are_answered_and_closed(void **state)
{
        UNUSED(state);
        static const struct {
                const char *text;
                int status;
        } cases[] = {
                {"GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", 400},
                {"GET /\r\n\r\n", 400},
                {"\x16\x03\x01\x02\r\n\r\n", 400},
                {"GET / HTTP/1.1\r\n\r\n", 400},
                {"BREW / HTTP/1.1\r\n" H "\r\n", 501},
                {"GET / HTTP/3.0\r\n" H "\r\n", 505},
                {"\r\n\r\n\r\n\r\n", 400},
        };
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                int fd = client_open(hs.port);
                client_send(fd, cases[i].text);
                struct reply r;
                assert_true(client_read(fd, &r));
                assert_int_equal(r.status, cases[i].status);
                assert_true(reply_header_is(&r, "Connection", "close"));
                assert_true(strstr(reply_text(&r), "{\"error\":{\"code\":\"invalid\"") ==
                            reply_text(&r));
                assert_true(client_closed(fd));
                reply_done(&r);
                close(fd);
        }
}

static void long_heads_are_refused(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        buf_add_str(&b, "GET / HTTP/1.1\r\n" H "X: ");
        while (b.n < 17000)
                buf_add_str(&b, "aaaaaaaaaaaaaaaa");
        buf_add_str(&b, "\r\n\r\n");
        expect_status(hs.port, buf_cstr(&b), 431);
        buf_reset(&b);
        buf_add_str(&b, "GET /wild/x HTTP/1.1\r\n" H "X: ");
        while (b.n < 16384 - 4)
                buf_add_char(&b, 'a');
        buf_add_str(&b, "\r\n\r\n");
        expect_status(hs.port, buf_cstr(&b), 200);
        buf_reset(&b);
        buf_add_str(&b, "GET / HTTP/1.1\r\n" H);
        for (int i = 0; i < 64; i++)
                buf_printf(&b, "X%d: y\r\n", i);
        buf_add_str(&b, "\r\n");
        expect_status(hs.port, buf_cstr(&b), 431);
        buf_done(&b);
}

/* CVE-2025-55763: a path of slashes, and a query, that civetweb would redirect to a directory. Runs
 * under the address sanitizer. */
static void the_redirect_that_overflowed_does_not_exist(void **state)
{
        UNUSED(state);
        for (size_t n = 900; n < 16000; n += 1500) {
                struct buf b = BUF_EMPTY;
                buf_add_str(&b, "GET ");
                for (size_t i = 0; i < n / 2; i++)
                        buf_add_char(&b, '/');
                buf_add_char(&b, '?');
                for (size_t i = 0; i < n / 2; i++)
                        buf_add_char(&b, 'a');
                buf_add_str(&b, " HTTP/1.1\r\n" H "\r\n");
                expect_status(hs.port, buf_cstr(&b), 404);
                buf_done(&b);
        }
        expect_status(hs.port, "GET /../../../../etc/passwd HTTP/1.1\r\n" H "\r\n", 404);
        expect_status(hs.port, "GET /..%2f..%2fetc/passwd HTTP/1.1\r\n" H "\r\n", 404);
        expect_status(hs.port, "GET /\\..\\etc HTTP/1.1\r\n" H "\r\n", 404);
}

/* Civetweb parses what lies behind the bytes it received: nothing of an older request may lie
 * there. */
static void no_request_sees_the_one_before(void **state)
{
        UNUSED(state);
        for (int i = 0; i < 64; i++)
                expect_body("GET /wild/secret-secret-secret-secret HTTP/1.1\r\n" H
                            "Authorization: Bearer xyz\r\n\r\n",
                        "secret-secret-secret-secret");
        for (int i = 0; i < 64; i++) {
                int fd = client_open(hs.port);
                client_send(fd, "\r\n\r\n");
                shutdown(fd, SHUT_WR);
                char answer[4096];
                ssize_t n = recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL);
                answer[n > 0 ? n : 0] = '\0';
                assert_null(strstr(answer, "secret"));
                close(fd);
        }
}

static void a_taken_socket_has_all_that_came_after_the_head(void **state)
{
        UNUSED(state);
        int fd = client_open(hs.port);
        client_send(fd, "GET /take HTTP/1.1\r\n" H "\r\nbytes past the head");
        struct http_handover ho = harness_wait_taken(&hs);
        assert_true(ho.keep_alive);
        assert_false(ho.websocket);
        assert_string_equal(ho.client_addr, "127.0.0.1");
        assert_true(ho.accepted_mono_ms > 0);
        char buf[64];
        assert_int_equal(recv(ho.fd, buf, sizeof(buf), 0), 19);
        assert_memory_equal(buf, "bytes past the head", 19);
        assert_int_equal(send(ho.fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 40, 0), 40);
        struct reply r;
        assert_true(client_read(fd, &r));
        assert_string_equal(reply_text(&r), "ok");
        reply_done(&r);
        http_handover_done(&ho);
        assert_true(client_closed(fd));
        close(fd);
        /* With an unread body it cannot be kept for another request. */
        fd = client_open(hs.port);
        client_send(fd, "POST /take HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc");
        ho = harness_wait_taken(&hs);
        assert_false(ho.keep_alive);
        http_handover_done(&ho);
        assert_int_equal(ho.fd, -1);
        close(fd);
}

static void vanished_clients_leave_no_trace(void **state)
{
        UNUSED(state);
        for (int i = 0; i < 50; i++) {
                int fd = client_open(hs.port);
                client_send(fd, i % 2 ? "GET /big HTTP/1.1\r\n" H "\r\n"
                                      : "POST /body HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\nx");
                struct linger lg = {1, 0};
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)); /* a reset */
                close(fd);
        }
        expect_status(hs.port, "GET /wild/x HTTP/1.1\r\n" H "\r\n", 200);
}

static void *hammer(void *arg)
{
        unsigned *good = arg;
        int fd = client_open(hs.port);
        for (int i = 0; i < 100; i++) {
                struct reply r;
                client_send(fd, i % 2 ? "GET /wild/h HTTP/1.1\r\n" H "\r\n"
                                      : "POST /body HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nh");
                if (!client_read(fd, &r))
                        break;
                *good += r.status == 200 && strcmp(reply_text(&r), "h") == 0;
                reply_done(&r);
        }
        close(fd);
        return NULL;
}

static void many_clients_at_once(void **state)
{
        UNUSED(state);
        pthread_t threads[40];
        unsigned good[40] = {0};
        for (size_t i = 0; i < ARRAY_LEN(threads); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, hammer, &good[i]), 0);
        for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
                pthread_join(threads[i], NULL);
                assert_int_equal(good[i], 100);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_get_sees_its_parts),
                cmocka_unit_test(unknown_things_are_refused_in_json),
                cmocka_unit_test(a_head_has_the_length_and_no_body),
                cmocka_unit_test(sockets_are_kept_and_come_back_to_rest),
                cmocka_unit_test(pipelined_requests_are_answered_in_order),
                cmocka_unit_test(bodies_come_whole),
                cmocka_unit_test(a_client_may_ask_before_it_sends),
                cmocka_unit_test(an_unread_body_is_no_request),
                cmocka_unit_test(bad_bodies_are_refused),
                cmocka_unit_test(a_refusal_reaches_a_client_that_still_sends),
                cmocka_unit_test(a_slow_body_has_one_deadline),
                cmocka_unit_test(half_of_the_workers_stay_free_of_bodies),
                cmocka_unit_test(a_client_that_does_not_read_loses_its_reply),
                cmocka_unit_test(malformed_heads_are_answered_and_closed),
                cmocka_unit_test(long_heads_are_refused),
                cmocka_unit_test(the_redirect_that_overflowed_does_not_exist),
                cmocka_unit_test(no_request_sees_the_one_before),
                cmocka_unit_test(a_taken_socket_has_all_that_came_after_the_head),
                cmocka_unit_test(vanished_clients_leave_no_trace),
                cmocka_unit_test(many_clients_at_once),
        };
        return cmocka_run_group_tests(tests, start, stop);
}
