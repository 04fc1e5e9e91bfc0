/* Socket.IO packets: what the reference accepts and refuses, and what is written. */
#include "wire/socketio.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define ATTACHMENTS 10

static struct sio_packet decode(const char *text)
{
        struct sio_packet p;
        if (!sio_decode(slice_str(text), ATTACHMENTS, &p))
                fail_msg("refused: %s", text);
        return p;
}

static void all_refused(const char *const *rows, size_t n)
{
        struct sio_packet p;
        for (size_t i = 0; i < n; i++)
                if (sio_decode(slice_str(rows[i]), ATTACHMENTS, &p) &&
                        (p.type != SIO_EVENT ||
                                sio_event_split(p.payload, &(struct slice){0}, &(struct slice){0})))
                        fail_msg("accepted: %s", rows[i]);
}

/* ---- parts ---- */

static void a_namespace_ends_at_a_comma_or_at_the_end(void **state)
{
        UNUSED(state);
        static const struct {
                const char *text, *nsp, *payload;
        } rows[] = {
                {"0", "/", ""},
                {"0{}", "/", "{}"},
                {"0/,", "/", ""},
                {"0/,{}", "/", "{}"},
                {"0/custom", "/custom", ""},
                {"0/custom,", "/custom", ""},
                {"0/custom,{\"token\":\"1\"}", "/custom", "{\"token\":\"1\"}"},
                {"0/custom?x=1,{}", "/custom?x=1", "{}"},
                {"0/gr\xc3\xbc\xc3\x9f,{}", "/gr\xc3\xbc\xc3\x9f", "{}"},
                {"1/custom", "/custom", ""},
                {"1/custom,", "/custom", ""},
                {"1", "/", ""},
                {"2/a,[\"b\"]", "/a", "[\"b\"]"},
        };
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct sio_packet p = decode(rows[i].text);
                assert_true(slice_is(p.nsp, rows[i].nsp));
                assert_true(slice_is(p.payload, rows[i].payload));
                assert_true(p.type == (enum sio_type)(rows[i].text[0] - '0'));
                assert_true(p.ack_id == -1 && p.attachments == 0);
        }
}

static void an_ack_id_is_the_run_of_digits_before_the_json(void **state)
{
        UNUSED(state);
        static const struct {
                const char *text;
                int64_t id;
        } rows[] = {
                {"20[\"a\"]", 0},
                {"212[\"a\"]", 12},
                {"2007[\"a\"]", 7},
                {"2/n,12[\"a\"]", 12},
                {"2/n,0[\"a\"]", 0},
                {"312[]", 12},
                {"3/n,0[1]", 0},
                {"29007199254740991[\"a\"]", 9007199254740991},
                {"2 [\"a\"]", -1},
                {"51-3[\"a\"]", 3},
                {"51-/n,3[\"a\"]", 3},
        };
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                assert_true(decode(rows[i].text).ack_id == rows[i].id);
}

static void an_ack_id_beyond_javascripts_numbers_is_refused(void **state)
{
        UNUSED(state);
        static const char *const rows[] = {"29007199254740992[\"a\"]",
                "218446744073709551616[\"a\"]",
                "2999999999999999999999999999999999999999999999999999999999999999[\"a\"]"};
        all_refused(rows, ARRAY_LEN(rows));
}

static void unknown_types_are_refused(void **state)
{
        UNUSED(state);
        static const char *const rows[] = {
                "", "7", "8[\"a\"]", "9", "a", "abc", " 2[\"a\"]", "-1", "\"2\"", "\x1e", "b2"};
        all_refused(rows, ARRAY_LEN(rows));
}

static void a_namespace_that_could_not_be_sent_back_is_refused(void **state)
{
        UNUSED(state);
        static const char *const rows[] = {("0/a\x1e"
                                            "b,{}"),
                "0/\n", "0/\xff,{}", "0/\xed\xa0\x80"};
        all_refused(rows, ARRAY_LEN(rows));
        struct sio_packet p;
        assert_false(sio_decode(SLICE_LIT("0/a\0b"), ATTACHMENTS, &p));
        char text[2000] = "0/";
        memset(text + 2, 'a', sizeof(text) - 3);
        assert_false(sio_decode(slice_str(text), ATTACHMENTS, &p));
        assert_true(sio_decode(slice_of(text, 1 + SIO_NSP_MAX), ATTACHMENTS, &p));
        assert_false(sio_decode(slice_of(text, 2 + SIO_NSP_MAX), ATTACHMENTS, &p));
}

/* ---- payloads ---- */

static void a_connect_takes_an_object_or_nothing(void **state)
{
        UNUSED(state);
        decode("0 {\"a\":1} ");
        static const char *const rows[] = {"0[]", "0null", "0\"x\"", "0{", "0,", "0 ", "0true",
                "0{}x", "0/custom,[]", "0/custom,null", "0/custom, ", "0{}{}"};
        all_refused(rows, ARRAY_LEN(rows));
        /* Digits are an ack id, also here. */
        assert_true(decode("012{}").ack_id == 12);
        assert_true(decode("01").ack_id == 1);
}

static void a_disconnect_takes_nothing(void **state)
{
        UNUSED(state);
        static const char *const rows[] = {"1{}", "1null", "1[]", "1/custom,{}", "1 ", "1\"x\""};
        all_refused(rows, ARRAY_LEN(rows));
}

static void an_event_takes_a_name_and_arguments(void **state)
{
        UNUSED(state);
        static const struct {
                const char *text, *name, *args;
        } rows[] = {
                {"2[\"a\"]", "\"a\"", ""},
                {"2[\"a\",1,\"b\",{\"c\":[]},null]", "\"a\"", "1,\"b\",{\"c\":[]},null"},
                {"2[ \"a,b]\" , 1 , 2 ]", "\"a,b]\"", "1 , 2"},
                {"2 [\n\"a\"\t]\r", "\"a\"", ""},
                {"2[1,2]", "1", "2"},
                {"2[-1.5e3]", "-1.5e3", ""},
                {"2[\"\"]", "\"\"", ""},
                {"2[\"__proto__\",1]", "\"__proto__\"", "1"},
                {"2[\"Connect\"]", "\"Connect\"", ""},
                {"2[\"connect \"]", "\"connect \"", ""},
                {"2[\"error\"]", "\"error\"", ""},
                {"2[\"a\",{\"_placeholder\":true,\"num\":7}]", "\"a\"",
                        "{\"_placeholder\":true,\"num\":7}"},
                {"2[\"a\",\"\xe2\x80\xa8\"]", "\"a\"", "\"\xe2\x80\xa8\""},
                {"2[\"a\",\"\\ud800\",1e400]", "\"a\"", "\"\\ud800\",1e400"},
        };
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct sio_packet p = decode(rows[i].text);
                struct slice name, args;
                assert_true(sio_event_split(p.payload, &name, &args));
                assert_true(slice_is(name, rows[i].name));
                assert_true(slice_is(args, rows[i].args));
        }
}

static void a_bare_event_is_tolerated_and_names_nothing(void **state)
{
        UNUSED(state);
        struct sio_packet p = decode("2");
        struct slice name, args;
        assert_true(sio_event_split(p.payload, &name, &args));
        assert_true(name.n == 0 && args.n == 0);
        assert_true(slice_is(decode("2/n,").nsp, "/n"));
}

static void an_event_of_another_form_is_refused(void **state)
{
        UNUSED(state);
        static const char *const rows[] = {"2[]", "2[ ]", "2[null]", "2[true]", "2[{}]",
                "2[[\"a\"]]", "2{}", "2\"a\"", "2null", "2[\"a\"", "2[\"a\"]]", "2[\"a\"]x",
                "2['a']", "2[\"a\",]", "2[,\"a\"]", "2[\"a\" 1]", "2[\"a\x1e\"]", "2[\"a\n\"]",
                "2[\"\xff\"]", "2[\"a\",\xff]", "2 ", "2,", "2/n,x", "2abc", "2-1[\"a\"]",
                "21-[\"a\"]", "2[{\"_placeholder\":true,\"num\":0}]"};
        all_refused(rows, ARRAY_LEN(rows));
        struct sio_packet p;
        assert_false(sio_decode(SLICE_LIT("2[\"a\0\"]"), ATTACHMENTS, &p));
}

static void reserved_names_are_refused_however_they_are_spelled(void **state)
{
        UNUSED(state);
        static const char *const rows[] = {"2[\"connect\"]", "2[\"connect_error\",1]",
                "2[\"disconnect\"]", "2[\"disconnecting\"]", "2[\"newListener\"]",
                "2[\"removeListener\"]", "2[\"\\u0063onnect\"]", "2[\"dis\\u0063\\u006Fnnect\"]",
                "2/n,1[\"connect\"]"};
        all_refused(rows, ARRAY_LEN(rows));
        assert_true(sio_name_reserved(SLICE_LIT("connect")));
        assert_false(sio_name_reserved(SLICE_LIT("connected")));
        assert_false(sio_name_reserved(SLICE_NONE));
}

static void an_ack_takes_an_array(void **state)
{
        UNUSED(state);
        assert_true(slice_is(decode("312[]").payload, "[]"));
        assert_true(slice_is(decode("3/n,1[null,\"a\"]").payload, "[null,\"a\"]"));
        static const char *const rows[] = {"31{}", "31\"a\"", "31null", "31[", "31[]]"};
        all_refused(rows, ARRAY_LEN(rows));
}

static void an_error_from_a_client_is_at_least_an_error(void **state)
{
        UNUSED(state);
        decode("4{\"message\":\"x\"}");
        decode("4\"x\"");
        static const char *const rows[] = {"4", "4[]", "4null", "41"};
        all_refused(rows, ARRAY_LEN(rows));
}

static void nesting_has_a_bound(void **state)
{
        UNUSED(state);
        static char text[20100];
        static const struct {
                int depth;
                bool fits;
        } rows[] = {{SIO_DEPTH_MAX - 1, true}, {SIO_DEPTH_MAX, false}, {10000, false}};
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                size_t n = 0, depth = (size_t)rows[i].depth;
                memcpy(text, "2[\"a\",", 6);
                n = 6;
                memset(text + n, '[', depth);
                n += depth;
                memset(text + n, ']', depth);
                n += depth;
                text[n++] = ']';
                struct sio_packet p;
                assert_int_equal(sio_decode(slice_of(text, n), ATTACHMENTS, &p), rows[i].fits);
        }
}

/* ---- binary ---- */

static void a_binary_packet_announces_one_to_ten_attachments(void **state)
{
        UNUSED(state);
        assert_int_equal(decode("51-[\"a\",{\"_placeholder\":true,\"num\":0}]").attachments, 1);
        assert_int_equal(decode("510-[\"a\"]").attachments, 10);
        assert_int_equal(decode("501-[\"a\"]").attachments, 1);
        assert_int_equal(decode("62-/n,5[1]").attachments, 2);
        assert_true(slice_is(decode("62-/n,5[1]").nsp, "/n"));
        static const char *const rows[] = {"5", "5[\"a\"]", "50-[\"a\"]", "500-[\"a\"]",
                "5-[\"a\"]", "5-1-[\"a\"]", "511-[\"a\"]", "5999999999-[\"a\"]",
                "599999999999999999999999999-[\"a\"]", "51[\"a\"]", "51", "51-", "51-/n,", "51-[]",
                "51-{}", "51-null", "51.5-[\"a\"]", "5 1-[\"a\"]", "51 -[\"a\"]", "5+1-[\"a\"]",
                "50x1-[\"a\"]", "51e0-[\"a\"]", "61-", "61-{}", "60-[]"};
        all_refused(rows, ARRAY_LEN(rows));
        struct sio_packet p;
        assert_false(sio_decode(SLICE_LIT("51-[\"a\"]"), 0, &p));
}

static void placeholders_must_name_an_attachment(void **state)
{
        UNUSED(state);
        static const struct {
                const char *json;
                bool valid;
        } rows[] = {
                {"[\"a\",{\"_placeholder\":true,\"num\":0}]", true},
                {"[\"a\",{\"num\":1,\"_placeholder\":true}]", true},
                {"[\"a\",{\"_placeholder\":true,\"num\":2}]", false},
                {"[\"a\",{\"_placeholder\":true,\"num\":-1}]", false},
                {"[\"a\",{\"_placeholder\":true,\"num\":1000000000}]", false},
                {"[\"a\",{\"_placeholder\":true,\"num\":1e400}]", false},
                {"[\"a\",{\"_placeholder\":true,\"num\":0.5}]", false},
                {"[\"a\",{\"_placeholder\":true,\"num\":\"0\"}]", false},
                {"[\"a\",{\"_placeholder\":true,\"num\":null}]", false},
                {"[\"a\",{\"_placeholder\":true,\"num\":[0]}]", false},
                {"[\"a\",{\"_placeholder\":true}]", false},
                {"[\"a\",{\"num\":0},{\"_placeholder\":false,\"num\":9},{\"_placeholder\":\"true\","
                 "\"num\":9},{\"_placeholder\":1}]",
                        true},
                /* The same one twice is legal, none at all too. */
                {"[\"a\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":0}]",
                        true},
                {"[\"a\"]", true},
                /* Deep, among other members, and spelled with escapes. */
                {"[\"a\",{\"b\":[[{\"c\":{\"_placeholder\":true,\"num\":1}}]],\"d\":1}]", true},
                {"[\"a\",{\"b\":[[{\"c\":{\"_placeholder\":true,\"num\":2}}]],\"d\":1}]", false},
                {"[\"a\",{\"\\u005fplaceholder\":true,\"n\\u0075m\":2}]", false},
                /* The last of several members counts. */
                {"[\"a\",{\"_placeholder\":true,\"num\":9,\"num\":1}]", true},
                {"[\"a\",{\"_placeholder\":true,\"num\":1,\"num\":9}]", false},
                {"[\"a\",{\"_placeholder\":true,\"num\":9,\"_placeholder\":false}]", true},
                /* A marked object around a plain one, and the other way round. */
                {"[\"a\",{\"x\":{\"num\":9},\"_placeholder\":true,\"num\":1}]", true},
                {"[\"a\",{\"x\":{\"num\":1},\"_placeholder\":true}]", false},
                {"[\"a\",\"_placeholder\",true,\"num\",9]", true},
                {"[\"a\",\"{\\\"_placeholder\\\":true,\\\"num\\\":9}\"]", true},
        };
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (sio_placeholders_valid(slice_str(rows[i].json), 2) != rows[i].valid)
                        fail_msg("%s", rows[i].json);
}

/* ---- writing ---- */

static void is(struct buf *b, const char *want)
{
        assert_string_equal(buf_cstr(b), want);
        buf_reset(b);
}

static void packets_are_written_as_the_reference_writes_them(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        struct slice root = SLICE_LIT("/"), nsp = SLICE_LIT("/custom");
        sio_encode_connect(&b, root, SLICE_LIT("s"), SLICE_NONE);
        is(&b, "40{\"sid\":\"s\"}");
        sio_encode_connect(&b, nsp, SLICE_LIT("s"), SLICE_LIT("p"));
        is(&b, "40/custom,{\"sid\":\"s\",\"pid\":\"p\"}");
        sio_encode_connect_error(
                &b, SLICE_LIT("/custom?x=1"), SLICE_LIT("Invalid namespace"), SLICE_NONE);
        is(&b, "44/custom?x=1,{\"message\":\"Invalid namespace\"}");
        sio_encode_connect_error(&b, root, SLICE_LIT("a \"b\""), SLICE_LIT("{\"code\":\"x\"}"));
        is(&b, "44{\"message\":\"a \\\"b\\\"\",\"data\":{\"code\":\"x\"}}");
        sio_encode_disconnect(&b, root);
        is(&b, "41");
        sio_encode_disconnect(&b, nsp);
        is(&b, "41/custom,");
        sio_encode_event(&b, root, SLICE_LIT("auth"), SLICE_LIT("{}"), SLICE_NONE, 0, -1);
        is(&b, "42[\"auth\",{}]");
        sio_encode_event(&b, root, SLICE_LIT("a\n\"\xc3\xa9"), SLICE_NONE, SLICE_NONE, 0, 0);
        is(&b, "420[\"a\\n\\\"\xc3\xa9\"]");
        sio_encode_event(&b, nsp, SLICE_LIT("a"), SLICE_LIT("1,2"), SLICE_LIT("Q8BYe3e"), 0, -1);
        is(&b, "42/custom,[\"a\",1,2,\"Q8BYe3e\"]");
        sio_encode_event(&b, root, SLICE_LIT("a"), SLICE_NONE, SLICE_LIT("c"), 0, -1);
        is(&b, "42[\"a\",\"c\"]");
        sio_encode_event(&b, nsp, SLICE_LIT("bin"), SLICE_LIT("{\"_placeholder\":true,\"num\":0}"),
                SLICE_LIT("c"), 1, 7);
        is(&b, "451-/custom,7[\"bin\",{\"_placeholder\":true,\"num\":0},\"c\"]");
        sio_encode_ack(&b, root, 0, SLICE_NONE, 0);
        is(&b, "430[]");
        sio_encode_ack(&b, nsp, 12, SLICE_LIT("1,\"a\""), 0);
        is(&b, "43/custom,12[1,\"a\"]");
        sio_encode_ack(&b, root, 3, SLICE_LIT("{\"_placeholder\":true,\"num\":0}"), 1);
        is(&b, "461-3[{\"_placeholder\":true,\"num\":0}]");
        buf_done(&b);
}

static void what_is_written_can_be_read(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        sio_encode_event(&b, SLICE_LIT("/n"), SLICE_LIT("a\x01\"\\"), SLICE_LIT("1,[2]"),
                SLICE_NONE, 2, 9007199254740991);
        struct sio_packet p;
        struct slice name, args;
        assert_true(sio_decode(slice_from(buf_slice(&b), 1), ATTACHMENTS, &p));
        assert_true(
                p.type == SIO_BINARY_EVENT && p.attachments == 2 && p.ack_id == 9007199254740991);
        assert_true(sio_event_split(p.payload, &name, &args));
        assert_true(slice_is(name, "\"a\\u0001\\\"\\\\\"") && slice_is(args, "1,[2]"));
        buf_done(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_namespace_ends_at_a_comma_or_at_the_end),
                cmocka_unit_test(an_ack_id_is_the_run_of_digits_before_the_json),
                cmocka_unit_test(an_ack_id_beyond_javascripts_numbers_is_refused),
                cmocka_unit_test(unknown_types_are_refused),
                cmocka_unit_test(a_namespace_that_could_not_be_sent_back_is_refused),
                cmocka_unit_test(a_connect_takes_an_object_or_nothing),
                cmocka_unit_test(a_disconnect_takes_nothing),
                cmocka_unit_test(an_event_takes_a_name_and_arguments),
                cmocka_unit_test(a_bare_event_is_tolerated_and_names_nothing),
                cmocka_unit_test(an_event_of_another_form_is_refused),
                cmocka_unit_test(reserved_names_are_refused_however_they_are_spelled),
                cmocka_unit_test(an_ack_takes_an_array),
                cmocka_unit_test(an_error_from_a_client_is_at_least_an_error),
                cmocka_unit_test(nesting_has_a_bound),
                cmocka_unit_test(a_binary_packet_announces_one_to_ten_attachments),
                cmocka_unit_test(placeholders_must_name_an_attachment),
                cmocka_unit_test(packets_are_written_as_the_reference_writes_them),
                cmocka_unit_test(what_is_written_can_be_read),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
