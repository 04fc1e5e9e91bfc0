/* head: what is a request, and what only looks like one. */
#include "http/head.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static char storage[65536];
static const char *why;

static int parse(const char *text, struct head *h)
{
        size_t n = strlen(text);
        assert_true(n < sizeof(storage));
        memcpy(storage, text, n + 1);
        assert_int_equal(head_find(storage, n), n);
        return head_parse(storage, &n, h, &why);
}

static void expect(int status, const char *text)
{
        struct head h;
        why = "";
        int got = parse(text, &h);
        if (got != status)
                fail_msg("%.100s: %d %s", text, got, why);
}

#define HOST "Host: a\r\n"

static void a_request_is_taken_apart(void **state)
{
        UNUSED(state);
        struct head h;
        assert_int_equal(parse("POST /a/b%2Fc?x=1&y HTTP/1.1\r\nHOST: h\r\ncontent-length:  12 "
                               "\r\nX-Y:\ta\tb \r\n\r\n",
                                 &h),
                0);
        assert_true(slice_is(h.method, "POST"));
        assert_true(slice_is(h.path, "/a/b%2Fc"));
        assert_true(slice_is(h.query, "x=1&y"));
        assert_int_equal(h.content_length, 12);
        assert_true(slice_is(head_get(&h, "x-y"), "a b"));
        assert_int_equal(head_get(&h, "absent").n, 0);
        assert_true(h.keep_alive);
        assert_false(h.websocket);
}

static void targets_are_brought_into_one_form(void **state)
{
        UNUSED(state);
        static const struct {
                const char *text, *path, *query;
        } cases[] = {
                {"GET http://h:80/p?q HTTP/1.1\r\nHost: h\r\n\r\n", "/p", "q"},
                {"GET HTTPS://h/p HTTP/1.1\r\nHost: h\r\n\r\n", "/p", ""},
                {"GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", "/", ""},
                {"GET http://h?q HTTP/1.1\r\nHost: h\r\n\r\n", "/", "q"},
                {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "/", ""},
        };
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct head h;
                assert_int_equal(parse(cases[i].text, &h), 0);
                assert_true(slice_is(h.path, cases[i].path));
                assert_true(slice_is(h.query, cases[i].query));
                assert_true(slice_is(head_get(&h, "Host"), "h"));
        }
        expect(400, "GET http:// HTTP/1.1\r\n" HOST "\r\n");
        expect(400, "GET * HTTP/1.1\r\n" HOST "\r\n");
        expect(400, "GET a HTTP/1.1\r\n" HOST "\r\n");
        expect(400, "GET ftp://h/p HTTP/1.1\r\n" HOST "\r\n");
        expect(400, "GET /a#b HTTP/1.1\r\n" HOST "\r\n");
        expect(400, "GET /%zz HTTP/1.1\r\n" HOST "\r\n");
        expect(400, "GET /%0 HTTP/1.1\r\n" HOST "\r\n");
        expect(400, "GET /a%00b HTTP/1.1\r\n" HOST "\r\n");
        expect(400, "GET /?a=%00 HTTP/1.1\r\n" HOST "\r\n");
        expect(400, "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n");
        expect(0, "GET /?100% HTTP/1.1\r\n" HOST "\r\n");
}

static void request_lines_are_strict(void **state)
{
        UNUSED(state);
        expect(400, "GET  / HTTP/1.1\r\n" HOST "\r\n");
        expect(400, "GET / HTTP/1.1 \r\n" HOST "\r\n");
        expect(400, "GET /\r\n" HOST "\r\n");
        expect(400, " GET / HTTP/1.1\r\n" HOST "\r\n");
        expect(400, "G(T / HTTP/1.1\r\n" HOST "\r\n");
        expect(501, "get / HTTP/1.1\r\n" HOST "\r\n");
        expect(501, "TRACE / HTTP/1.1\r\n" HOST "\r\n");
        expect(501, "PRI * HTTP/2.0\r\n\r\n");
        expect(400, "AVERYLONGMETHODNAME / HTTP/1.1\r\n" HOST "\r\n");
        expect(505, "GET / HTTP/1.2\r\n" HOST "\r\n");
        expect(505, "GET / HTTP/2.0\r\n" HOST "\r\n");
        expect(400, "GET / HTTP/1.10\r\n" HOST "\r\n");
        expect(400, "GET / http/1.1\r\n" HOST "\r\n");
        expect(400, "GET / HTTP/1.1\n" HOST "\r\n");
}

static void fields_are_strict(void **state)
{
        UNUSED(state);
        expect(400, "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n"); /* folded */
        expect(400, "GET / HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n\r\n");
        expect(400, "GET / HTTP/1.1\r\n X: a\r\n" HOST "\r\n");
        expect(400, "GET / HTTP/1.1\r\n" HOST "X : a\r\n\r\n");
        expect(400, "GET / HTTP/1.1\r\n" HOST ": a\r\n\r\n");
        expect(400, "GET / HTTP/1.1\r\n" HOST "X\r\n\r\n");
        expect(400, "GET / HTTP/1.1\r\n" HOST "X: a\nY: b\r\n\r\n");
        expect(400, "GET / HTTP/1.1\r\n" HOST "X: a\rY: b\r\n\r\n");
        expect(400, "GET / HTTP/1.1\r\n" HOST "X: \x01\r\n\r\n");
        expect(400, "GET / HTTP/1.1\r\n" HOST "X: \x7f\r\n\r\n");
        expect(400, "GET / HTTP/1.1\r\n\r\n");
        expect(400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n");
        expect(0, "GET / HTTP/1.0\r\n\r\n");
        expect(0, "GET / HTTP/1.1\r\n" HOST "X:\r\nLast-Event-ID: \xc3\xa4\r\n\r\n");
}

static void sixty_four_headers_and_no_more(void **state)
{
        UNUSED(state);
        for (int extra = 63; extra <= 64; extra++) {
                struct buf b = BUF_EMPTY;
                buf_add_str(&b, "GET / HTTP/1.1\r\n" HOST);
                for (int i = 0; i < extra; i++)
                        buf_printf(&b, "X%d: y\r\n", i);
                buf_add_str(&b, "\r\n");
                expect(extra == 63 ? 0 : 431, buf_cstr(&b));
                buf_done(&b);
        }
}

static void the_body_has_one_length(void **state)
{
        UNUSED(state);
        struct head h;
        expect(400, "POST / HTTP/1.1\r\n" HOST
                    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
        expect(400, "POST / HTTP/1.1\r\n" HOST
                    "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n");
        expect(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n");
        expect(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n");
        expect(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n");
        expect(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n");
        expect(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n");
        expect(400, "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n");
        expect(400, "POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n");
        expect(400, "POST / HTTP/1.1\r\n" HOST
                    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n");
        expect(501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n");
        expect(501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n");
        expect(400, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0b"
                    "chunked\r\n\r\n");
        expect(501, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n");
        expect(400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
        expect(417, "POST / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n");
        assert_int_equal(
                parse("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n", &h), 0);
        assert_true(h.chunked);
        assert_int_equal(h.content_length, -1);
}

static void connections_are_kept_or_not(void **state)
{
        UNUSED(state);
        static const struct {
                const char *text;
                bool keep;
        } cases[] = {
                {"GET / HTTP/1.1\r\n" HOST "\r\n", true},
                {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", false},
                {"GET / HTTP/1.1\r\n" HOST "Connection: foo, Close\r\n\r\n", false},
                {"GET / HTTP/1.0\r\n\r\n", false},
                {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        };
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct head h;
                assert_int_equal(parse(cases[i].text, &h), 0);
                assert_int_equal(h.keep_alive, cases[i].keep);
        }
}

static void upgrades_are_seen(void **state)
{
        UNUSED(state);
        struct head h;
        assert_int_equal(parse("GET / HTTP/1.1\r\n" HOST
                               "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
                                 &h),
                0);
        assert_true(h.websocket);
        assert_int_equal(
                parse("GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", &h),
                0);
        assert_false(h.websocket);
        assert_int_equal(parse("GET / HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n\r\n", &h), 0);
        assert_false(h.websocket);
        expect(400, "POST / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        expect(400, "GET / HTTP/1.1\r\n" HOST
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_request_is_taken_apart),
                cmocka_unit_test(targets_are_brought_into_one_form),
                cmocka_unit_test(request_lines_are_strict),
                cmocka_unit_test(fields_are_strict),
                cmocka_unit_test(sixty_four_headers_and_no_more),
                cmocka_unit_test(the_body_has_one_length),
                cmocka_unit_test(connections_are_kept_or_not),
                cmocka_unit_test(upgrades_are_seen),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
