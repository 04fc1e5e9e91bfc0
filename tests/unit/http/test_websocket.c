/* websocket: the handshake is refused before the 101 or handed over after it, with CORS on both. */
#include "harness.h"

static struct harness hs;

static bool check(void *arg, struct http_request *rq)
{
        UNUSED(arg);
        struct slice sid;
        if (http_query_get(rq, "sid", &sid) && slice_is(sid, "unknown")) {
                http_reply(rq, 400, "text/html", SLICE_NONE, SLICE_LIT("Session ID unknown"));
                return false;
        }
        if (http_query_get(rq, "silent", &sid))
                return false;
        if (!http_origin_admitted(rq)) {
                http_reply_error(rq, 403, "forbidden", "this origin may not connect");
                return false;
        }
        return true;
}

static void ready(void *arg, struct http_request *rq)
{
        assert_int_equal(http_query(rq).n > 0, true);
        harness_took(arg, rq);
}

static void plain(void *arg, struct http_request *rq)
{
        UNUSED(arg);
        http_reply_json(rq, 200, SLICE_LIT("{}"));
}

static int start(void **state)
{
        UNUSED(state);
        harness_new(&hs);
        hs.settings.origins = (char *)(uintptr_t) "https://app.example.com, https://m.example.com";
        http_websocket(hs.srv, "/socket.io/", check, ready, &hs);
        http_route(hs.srv, "GET", "/socket.io/*", plain, NULL);
        harness_start(&hs);
        return 0;
}

static int stop(void **state)
{
        UNUSED(state);
        harness_stop(&hs);
        return 0;
}

#define UPGRADE                                                                                    \
        "Host: tern.example.com\r\nConnection: Upgrade\r\nUpgrade: "                               \
        "websocket\r\nSec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define GET "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"

static void the_first_frame_may_come_with_the_handshake(void **state)
{
        UNUSED(state);
        static const char frame[] = "\x81\x82\x01\x02\x03\x04ij";
        int fd = client_open(hs.port);
        client_send(fd, GET UPGRADE KEY "Sec-WebSocket-Extensions: permessage-deflate; "
                                        "client_max_window_bits\r\n\r\n\x81\x82\x01\x02\x03\x04ij");
        struct reply r;
        assert_true(client_read_head(fd, &r));
        assert_int_equal(r.status, 101);
        assert_true(reply_header_is(&r, "Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_null(reply_header(&r, "Sec-WebSocket-Extensions"));
        assert_null(reply_header(&r, "Sec-WebSocket-Protocol"));
        reply_done(&r);
        struct http_handover ho = harness_wait_taken(&hs);
        assert_true(ho.websocket);
        assert_false(ho.keep_alive);
        char buf[64];
        assert_int_equal(recv(ho.fd, buf, sizeof(buf), 0), sizeof(frame) - 1);
        assert_memory_equal(buf, frame, sizeof(frame) - 1);
        assert_int_equal(send(ho.fd, "\x81\x01!", 3, 0), 3);
        assert_int_equal(recv(fd, buf, 3, MSG_WAITALL), 3);
        assert_memory_equal(buf, "\x81\x01!", 3);
        http_handover_done(&ho);
        assert_true(client_closed(fd));
        close(fd);
}

static void a_check_refuses_before_the_101(void **state)
{
        UNUSED(state);
        int fd = client_open(hs.port);
        client_send(fd,
                "GET /socket.io/?EIO=4&transport=websocket&sid=unknown HTTP/1.1\r\n" UPGRADE KEY
                "\r\n");
        struct reply r;
        assert_true(client_read(fd, &r));
        assert_int_equal(r.status, 400);
        assert_string_equal(reply_text(&r), "Session ID unknown");
        assert_true(reply_header_is(&r, "Connection", "close"));
        assert_true(client_closed(fd));
        reply_done(&r);
        close(fd);
        expect_status(hs.port, "GET /socket.io/?silent=1 HTTP/1.1\r\n" UPGRADE KEY "\r\n", 403);
}

static void malformed_handshakes_are_refused(void **state)
{
        UNUSED(state);
        expect_status(hs.port, GET UPGRADE "\r\n", 400);
        expect_status(hs.port, GET UPGRADE "Sec-WebSocket-Key: short\r\n\r\n", 400);
        expect_status(
                hs.port, GET UPGRADE "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ!=\r\n\r\n", 400);
        expect_status(hs.port,
                GET "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" KEY "\r\n", 426);
        expect_status(hs.port,
                GET "Host: a\r\nConnection: Upgrade\r\nUpgrade: "
                    "websocket\r\nSec-WebSocket-Version: 8\r\n" KEY "\r\n",
                426);
        expect_status(hs.port, "POST /socket.io/?a=b HTTP/1.1\r\n" UPGRADE KEY "\r\n", 400);
        expect_status(hs.port, "GET /elsewhere HTTP/1.1\r\n" UPGRADE KEY "\r\n", 404);
        expect_status(hs.port, GET "Host: a\r\n\r\n", 200); /* no upgrade: an ordinary route */
        expect_status(hs.port, GET "Host: a\r\nUpgrade: websocket\r\n\r\n", 200);
        expect_status(hs.port, GET "Host: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 200);
}

static void connects(
        const char *headers, int status, const char *wanted_header, const char *wanted_value)
{
        struct buf b = BUF_EMPTY;
        buf_printf(&b, GET UPGRADE KEY "%s\r\n", headers);
        int fd = client_open(hs.port);
        client_send(fd, buf_cstr(&b));
        struct reply r;
        assert_true(client_read_head(fd, &r));
        assert_int_equal(r.status, status);
        if (wanted_value)
                assert_true(reply_header_is(&r, wanted_header, wanted_value));
        else
                assert_null(reply_header(&r, wanted_header));
        if (status == 101) {
                struct http_handover ho = harness_wait_taken(&hs);
                http_handover_done(&ho);
        }
        reply_done(&r);
        close(fd);
        buf_done(&b);
}

static void origins_are_checked(void **state)
{
        UNUSED(state);
        connects("", 101, "Access-Control-Allow-Origin", NULL);
        connects("Origin: https://app.example.com\r\n", 101, "Access-Control-Allow-Origin",
                "https://app.example.com");
        connects("Origin: https://APP.example.com\r\n", 101, "Access-Control-Allow-Origin",
                "https://APP.example.com");
        connects("Origin: https://tern.example.com\r\n", 101, "Access-Control-Allow-Origin", NULL);
        connects(
                "Origin: http://tern.example.com:80\r\n", 101, "Access-Control-Allow-Origin", NULL);
        connects("Origin: https://tern.example.com:80\r\n", 403, "Access-Control-Allow-Origin",
                NULL);
        connects("Origin: null\r\n", 403, "Access-Control-Allow-Origin", NULL);
        connects("Origin: https://evil.example.com\r\n", 403, "Access-Control-Allow-Origin", NULL);
        connects("Origin: https://app.example.com.evil.org\r\n", 403, "Access-Control-Allow-Origin",
                NULL);
}

static void the_first_subprotocol_is_echoed(void **state)
{
        UNUSED(state);
        connects("Sec-WebSocket-Protocol: chat, superchat\r\n", 101, "Sec-WebSocket-Protocol",
                "chat");
        connects("Sec-WebSocket-Protocol: graphql-ws\r\n", 101, "Sec-WebSocket-Protocol",
                "graphql-ws");
        connects("Sec-WebSocket-Protocol: a b\r\n", 101, "Sec-WebSocket-Protocol", NULL);
        connects("Sec-WebSocket-Protocol: ,x\r\n", 101, "Sec-WebSocket-Protocol", NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_first_frame_may_come_with_the_handshake),
                cmocka_unit_test(a_check_refuses_before_the_101),
                cmocka_unit_test(malformed_handshakes_are_refused),
                cmocka_unit_test(origins_are_checked),
                cmocka_unit_test(the_first_subprotocol_is_echoed),
        };
        return cmocka_run_group_tests(tests, start, stop);
}
