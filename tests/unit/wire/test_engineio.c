/* Engine.IO: packets, payloads, the handshake object, the query and the refusals. */
#include "wire/engineio.h"

#include "base/check.h"
#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void each_type_is_told_by_its_digit(void **state)
{
        UNUSED(state);
        struct eio_packet p;
        static const enum eio_type types[] = {
                EIO_OPEN, EIO_CLOSE, EIO_PING, EIO_PONG, EIO_MESSAGE, EIO_UPGRADE, EIO_NOOP};
        for (size_t i = 0; i < ARRAY_LEN(types); i++) {
                char text[8];
                snprintf(text, sizeof(text), "%zuprobe", i);
                assert_true(eio_decode(slice_str(text), &p));
                assert_true(p.type == types[i] && !p.base64);
                assert_true(slice_is(p.data, "probe"));
                assert_true(eio_decode(slice_of(text, 1), &p));
                assert_int_equal(p.data.n, 0);
        }
}

static void a_b_is_a_binary_message_in_base64(void **state)
{
        UNUSED(state);
        struct eio_packet p;
        assert_true(eio_decode(SLICE_LIT("bAQID"), &p));
        assert_true(p.type == EIO_MESSAGE && p.base64);
        char bytes[8];
        assert_int_equal(base64_decode_lenient(p.data, bytes), 3);
        assert_memory_equal(bytes, "\1\2\3", 3);
        assert_true(eio_decode(SLICE_LIT("b"), &p));
        assert_true(p.base64 && p.data.n == 0);
}

static void empty_and_unknown_packets_are_errors(void **state)
{
        UNUSED(state);
        struct eio_packet p;
        static const char *const rows[] = {"7", "9", "a", "B", "-1", " 4", "\x1e", "\xff", "/"};
        assert_false(eio_decode(SLICE_NONE, &p));
        assert_false(eio_decode(SLICE_LIT(""), &p));
        assert_false(eio_decode(SLICE_LIT("\0"), &p));
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                assert_false(eio_decode(slice_str(rows[i]), &p));
}

static size_t split(struct slice payload, struct slice *ret)
{
        size_t at = 0, n = 0;
        while (n < 8 && eio_payload_next(payload, &at, &ret[n]))
                n++;
        return n;
}

static void a_payload_is_split_at_separators(void **state)
{
        UNUSED(state);
        struct slice p[8];
        assert_int_equal(split(SLICE_LIT("4test1\x1e"
                                         "4test2\x1e"
                                         "bAQ=="),
                                 p),
                3);
        assert_true(
                slice_is(p[0], "4test1") && slice_is(p[1], "4test2") && slice_is(p[2], "bAQ=="));
        assert_int_equal(split(SLICE_LIT("3"), p), 1);
}

static void a_missing_packet_is_an_empty_one_and_so_an_error(void **state)
{
        UNUSED(state);
        struct slice p[8];
        struct eio_packet packet;
        assert_int_equal(split(SLICE_NONE, p), 1);
        assert_false(eio_decode(p[0], &packet));
        assert_int_equal(split(SLICE_LIT("3\x1e"), p), 2);
        assert_false(eio_decode(p[1], &packet));
        assert_int_equal(split(SLICE_LIT("\x1e"
                                         "3"),
                                 p),
                2);
        assert_false(eio_decode(p[0], &packet));
        assert_int_equal(split(SLICE_LIT("3\x1e\x1e"
                                         "3"),
                                 p),
                3);
        assert_false(eio_decode(p[1], &packet));
}

static void the_handshake_has_exactly_its_five_keys(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        eio_handshake(&b, SLICE_LIT("lv_VI97HAXpY6yYWAAAB"), true, 25000, 20000, 1000000);
        assert_string_equal(buf_cstr(&b),
                "{\"sid\":\"lv_VI97HAXpY6yYWAAAB\",\"upgrades\":[\"websocket\"],\"pingInterval\":"
                "25000,\"pingTimeout\":20000,\"maxPayload\":1000000}");
        buf_reset(&b);
        eio_handshake(&b, SLICE_LIT("x"), false, 300, 200, 100);
        assert_string_equal(buf_cstr(&b), "{\"sid\":\"x\",\"upgrades\":[],\"pingInterval\":300,"
                                          "\"pingTimeout\":200,\"maxPayload\":100}");
        buf_done(&b);
}

static struct eio_query parse(const char *text)
{
        struct eio_query q;
        memset(&q, 0xff, sizeof(q));
        eio_query_parse(slice_str(text), &q);
        return q;
}

static void the_query_of_stock_clients_is_understood(void **state)
{
        UNUSED(state);
        struct eio_query q = parse("EIO=4&transport=polling&t=OrA1bC2");
        assert_true(q.version_4 && q.transport == EIO_TRANSPORT_POLLING);
        assert_string_equal(q.sid, "");
        q = parse("token=a&transport=websocket&b64=1&j=0&sid=lv_VI97HAXpY6yYWAAAB&EIO=4");
        assert_true(q.version_4 && q.transport == EIO_TRANSPORT_WEBSOCKET);
        assert_string_equal(q.sid, "lv_VI97HAXpY6yYWAAAB");
}

static void only_the_string_4_is_version_4(void **state)
{
        UNUSED(state);
        static const char *const rows[] = {"", "transport=polling", "EIO", "EIO=", "EIO=3", "EIO=5",
                "EIO=04", "EIO=4.0", "EIO=abc", "EIO=44", "eio=4", "EIO=4=", "EIO=+4"};
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                assert_false(parse(rows[i]).version_4);
}

static void a_transport_that_is_not_served_is_none(void **state)
{
        UNUSED(state);
        static const char *const rows[] = {"", "transport", "transport=", "transport=abc",
                "transport=webtransport", "transport=Polling", "transport=polling2",
                "transport=__proto__", "TRANSPORT=polling", "xtransport=polling"};
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                assert_int_equal(parse(rows[i]).transport, EIO_TRANSPORT_NONE);
}

static void a_sid_is_percent_decoded_and_an_empty_one_is_none(void **state)
{
        UNUSED(state);
        assert_string_equal(parse("sid=").sid, "");
        assert_string_equal(parse("sid").sid, "");
        assert_string_equal(parse("sid=%61b%2D_%5f").sid, "ab-__");
        assert_string_equal(parse("sid=%").sid, "%");
        assert_string_equal(parse("sid=%4").sid, "%4");
        assert_string_equal(parse("sid=%zz").sid, "%zz");
        assert_string_equal(parse("&&=&sid=a&").sid, "a");
}

static void an_absurd_sid_is_somebody_nobody_knows(void **state)
{
        UNUSED(state);
        char text[1024] = "sid=";
        memset(text + 4, 'a', sizeof(text) - 5);
        assert_string_equal(parse(text).sid, "?");
        assert_string_equal(parse("sid=a%00b").sid, "?");
}

static void keys_are_percent_decoded_like_values(void **state)
{
        UNUSED(state);
        struct eio_query q = parse("EIO=%34&transport=%70olling&%73id=x");
        assert_true(q.version_4 && q.transport == EIO_TRANSPORT_POLLING);
        assert_string_equal(q.sid, "x");
}

static void a_key_given_twice_has_no_valid_value(void **state)
{
        UNUSED(state);
        assert_false(parse("EIO=4&EIO=4").version_4);
        assert_int_equal(
                parse("transport=polling&transport=polling").transport, EIO_TRANSPORT_NONE);
        assert_string_equal(parse("sid=a&sid=b").sid, "?");
}

static void refusals_are_the_references_byte_for_byte(void **state)
{
        UNUSED(state);
        static const struct {
                enum eio_refusal r;
                int status;
                const char *json;
        } rows[] = {
                {EIO_TRANSPORT_UNKNOWN, 400, "{\"code\":0,\"message\":\"Transport unknown\"}"},
                {EIO_SESSION_UNKNOWN, 400, "{\"code\":1,\"message\":\"Session ID unknown\"}"},
                {EIO_BAD_METHOD, 400, "{\"code\":2,\"message\":\"Bad handshake method\"}"},
                {EIO_BAD_REQUEST, 400, "{\"code\":3,\"message\":\"Bad request\"}"},
                {EIO_FORBIDDEN, 403, "{\"code\":4,\"message\":\"Forbidden\"}"},
                {EIO_BAD_VERSION, 400, "{\"code\":5,\"message\":\"Unsupported protocol version\"}"},
        };
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct buf b = BUF_EMPTY;
                eio_refusal_json(rows[i].r, &b);
                assert_string_equal(buf_cstr(&b), rows[i].json);
                assert_int_equal(eio_refusal_status(rows[i].r), rows[i].status);
                assert_non_null(strstr(rows[i].json, eio_refusal_text(rows[i].r)));
                buf_done(&b);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_type_is_told_by_its_digit),
                cmocka_unit_test(a_b_is_a_binary_message_in_base64),
                cmocka_unit_test(empty_and_unknown_packets_are_errors),
                cmocka_unit_test(a_payload_is_split_at_separators),
                cmocka_unit_test(a_missing_packet_is_an_empty_one_and_so_an_error),
                cmocka_unit_test(the_handshake_has_exactly_its_five_keys),
                cmocka_unit_test(the_query_of_stock_clients_is_understood),
                cmocka_unit_test(only_the_string_4_is_version_4),
                cmocka_unit_test(a_transport_that_is_not_served_is_none),
                cmocka_unit_test(a_sid_is_percent_decoded_and_an_empty_one_is_none),
                cmocka_unit_test(an_absurd_sid_is_somebody_nobody_knows),
                cmocka_unit_test(keys_are_percent_decoded_like_values),
                cmocka_unit_test(a_key_given_twice_has_no_valid_value),
                cmocka_unit_test(refusals_are_the_references_byte_for_byte),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
