/* The JSON validator against RFC 8259's corners, and looks into validated text. */
#include "base/jsonscan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#define DEPTH 64

static bool valid(const char *s)
{
        return json_check(slice_str(s), DEPTH, 0);
}

static void every_kind_of_value_is_valid(void **state)
{
        UNUSED(state);
        static const char *const rows[] = {"null", "true", "false", "0", "-0", "10", "-1.5", "1e5",
                "1E+5", "0.1e-7", "123456789012345678901234567890", "1e400", "\"\"", "\"a\"",
                "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"", "\"\\ud83d\\udc26\"", "\"\\ud800\"",
                "\"\\u0000\"", "\"\x7f\"", "\"\xe2\x80\xa8\"", "[]", "{}", "[ ]", "{ }",
                "[[],{},[[]]]", "{\"a\":1,\"a\":2}", "{\"\":[]}", " \t\n\r1 \t\n\r", "[1 , 2]",
                "{\"a\" : [ null ] , \"b\":{}}"};
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (!valid(rows[i]))
                        fail_msg("refused: %s", rows[i]);
}

static void what_the_grammar_lacks_is_invalid(void **state)
{
        UNUSED(state);
        static const char *const rows[] = {"", " ", "nul", "nulll", "True", "NaN", "Infinity",
                "undefined", "+1", "01", "-", "-a", "1.", ".5", "1e", "1e+", "0x1", "1 2", "\"",
                "\"a", "'a'", "\"\n\"", "\"\x1e\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\",
                "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{", "}", "{\"a\"",
                "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{a:1}", "{1:1}", "{\"a\" 1}",
                "{\"a\":1 \"b\":2}", "[}", "{]", "[1}", "{\"a\":1]", "[]]", "{}}", "//", "/**/1",
                "[1]x",
                ("\xef\xbb\xbf"
                 "1"),
                "\v1", "1\f"};
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (valid(rows[i]))
                        fail_msg("accepted: %s", rows[i]);
        assert_false(json_check(SLICE_LIT("\"a\0b\""), DEPTH, 0));
        assert_false(json_check(SLICE_LIT("1\0"), DEPTH, 0));
        assert_false(json_check(SLICE_NONE, DEPTH, 0));
}

static void every_cut_of_a_valid_text_is_invalid(void **state)
{
        UNUSED(state);
        static const char text[] =
                "{\"a\\u00e9\":[1.5e+3,true,null,\"\xf0\x9f\x90\xa6\",{\"b\":{}}]}";
        assert_true(valid(text));
        for (size_t n = 0; n < sizeof(text) - 1; n++) {
                /* A copy of exactly n bytes, so that a read past the end is seen. */
                char *cut = xstrndup(text, n);
                char *exact = xmalloc(n);
                memcpy(exact, cut, n);
                assert_false(json_check(slice_of(exact, n), DEPTH, 0));
                free(exact);
                free(cut);
        }
}

static void bytes_that_are_no_text_are_invalid(void **state)
{
        UNUSED(state);
        assert_false(valid("\"\xff\""));
        assert_false(valid("\"\xc0\x80\""));
        assert_false(valid("\"\xed\xa0\x80\""));
        assert_false(valid("\"\xf4\x90\x80\x80\""));
        assert_false(valid("\"\xe2\x80\""));
        assert_false(valid("{\"\xff\":1}"));
}

static void flags_refuse_what_cannot_be_stored(void **state)
{
        UNUSED(state);
        struct slice nul = SLICE_LIT("[\"a\\u0000b\"]"), lone = SLICE_LIT("{\"\\ud800\":1}"),
                     low = SLICE_LIT("\"\\udc00\""), twice = SLICE_LIT("\"\\ud800\\ud800\""),
                     pair = SLICE_LIT("\"\\uD83D\\uDC26\"");
        assert_true(json_check(nul, DEPTH, JSON_NO_SURROGATES));
        assert_false(json_check(nul, DEPTH, JSON_NO_NUL));
        assert_true(json_check(lone, DEPTH, JSON_NO_NUL));
        assert_false(json_check(lone, DEPTH, JSON_NO_SURROGATES));
        assert_false(json_check(low, DEPTH, JSON_NO_SURROGATES));
        assert_false(json_check(twice, DEPTH, JSON_NO_SURROGATES));
        assert_false(json_check(SLICE_LIT("\"\\ud800"), DEPTH, JSON_NO_SURROGATES));
        assert_true(json_check(pair, DEPTH, JSON_NO_SURROGATES | JSON_NO_NUL));
        assert_true(json_check(SLICE_LIT("\"\\\\u0000\""), DEPTH, JSON_NO_NUL));
}

static struct buf nested(unsigned depth, const char *open, const char *close)
{
        struct buf b = BUF_EMPTY;
        for (unsigned i = 0; i < depth; i++)
                buf_add_str(&b, open);
        buf_add_char(&b, '1');
        for (unsigned i = 0; i < depth; i++)
                buf_add_str(&b, close);
        return b;
}

static void depth_has_a_bound_and_costs_no_stack(void **state)
{
        UNUSED(state);
        static const unsigned depths[] = {DEPTH, DEPTH + 1, 10000, 1000000};
        for (size_t i = 0; i < ARRAY_LEN(depths); i++) {
                struct buf a = nested(depths[i], "[", "]"), o = nested(depths[i], "{\"a\":", "}");
                assert_int_equal(json_check(buf_slice(&a), DEPTH, 0), depths[i] <= DEPTH);
                assert_int_equal(json_check(buf_slice(&o), DEPTH, 0), depths[i] <= DEPTH);
                /* A bound beyond the implementation's is the implementation's. */
                assert_int_equal(json_check(buf_slice(&a), 2000000, 0), depths[i] <= DEPTH + 1);
                buf_done(&a);
                buf_done(&o);
        }
        assert_true(json_check(SLICE_LIT("1"), 0, 0));
        assert_false(json_check(SLICE_LIT("[]"), 0, 0));
}

static void a_prefix_is_measured(void **state)
{
        UNUSED(state);
        assert_int_equal(json_check_prefix(SLICE_LIT(" [1] x"), DEPTH, 0), 4);
        assert_int_equal(json_check_prefix(SLICE_LIT("x"), DEPTH, 0), 0);
        assert_int_equal(json_check_prefix(SLICE_LIT("1,2"), DEPTH, 0), 1);
}

static void elements_come_one_by_one(void **state)
{
        UNUSED(state);
        static const char *const want[] = {"1", "\"a,]\\\"\"", "[2,[3]]", "{\"b\":[4]}", "null"};
        struct slice rest = SLICE_LIT("[ 1 ,\"a,]\\\"\" , [2,[3]],{\"b\":[4]},null ]"), v;
        for (size_t i = 0; i < ARRAY_LEN(want); i++) {
                assert_true(json_next(&rest, &v));
                assert_true(slice_is(v, want[i]));
        }
        assert_false(json_next(&rest, &v));
        assert_false(json_next(&rest, &v));
        rest = SLICE_LIT("[]");
        assert_false(json_next(&rest, &v));
        rest = SLICE_LIT("{}");
        assert_false(json_next(&rest, &v));
        rest = SLICE_NONE;
        assert_false(json_next(&rest, &v));
        assert_true(slice_is(json_first(SLICE_LIT("  [1, 2] ")), "[1, 2]"));
        assert_int_equal(json_first(SLICE_NONE).n, 0);
}

static void members_are_found_by_name_and_the_last_counts(void **state)
{
        UNUSED(state);
        struct slice o = SLICE_LIT(
                             " { \"a\" : 1 , \"b\":{\"a\":9}, \"\\u0061\":[2], \"c\":\"}\" } "),
                     v;
        assert_true(json_member(o, "a", &v) && slice_is(v, "[2]"));
        assert_true(json_member(o, "b", &v) && slice_is(v, "{\"a\":9}"));
        assert_true(json_member(o, "c", &v) && slice_is(v, "\"}\""));
        assert_false(json_member(o, "d", &v));
        assert_false(json_member(SLICE_LIT("[\"a\",1]"), "a", &v));
        assert_false(json_member(SLICE_LIT("\"a\""), "a", &v));
        assert_false(json_member(SLICE_NONE, "a", &v));
        assert_true(json_member(SLICE_LIT("{\"__proto__\":1}"), "__proto__", &v));
}

static void a_walk_names_each_step(void **state)
{
        UNUSED(state);
        struct json_walk w =
                json_walk_of(SLICE_LIT("[ 1, {\"a\" : \"x:y\", \"b\":[true]} ,\"s\"]"));
        struct json_step st;
        struct buf b = BUF_EMPTY;
        while (json_walk_next(&w, &st))
                buf_printf(&b, "%d%.*s=%.*s;", st.kind, SLICE_ARG(st.key), SLICE_ARG(st.value));
        assert_string_equal(
                buf_cstr(&b), "1=[;0=1;1={;0\"a\"=\"x:y\";1\"b\"=[;0=true;2=];2=};0=\"s\";2=];");
        buf_done(&b);
}

static void strings_are_decoded(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        assert_true(json_decode_string(
                SLICE_LIT("\"a\\\"\\\\\\/"
                          "\\b\\f\\n\\r\\t\\u00e9\\u20ac\\ud83d\\udc26\xc3\xa9\\u0041\""),
                &b));
        assert_string_equal(buf_cstr(&b),
                "a\"\\/\b\f\n\r\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa6\xc3\xa9"
                "A");
        buf_reset(&b);
        assert_true(json_decode_string(SLICE_LIT("\"\\ud800x\\udc00\\ud800\\u0041\""), &b));
        assert_string_equal(buf_cstr(&b), "\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd"
                                          "A");
        buf_reset(&b);
        assert_true(json_decode_string(SLICE_LIT("\"\""), &b));
        assert_int_equal(b.n, 0);
        assert_false(json_decode_string(SLICE_LIT("1"), &b));
        assert_false(json_decode_string(SLICE_NONE, &b));
        buf_done(&b);
}

static void whole_numbers_are_read_however_they_are_written(void **state)
{
        UNUSED(state);
        static const struct {
                const char *text;
                int64_t v;
        } good[] = {{"0", 0}, {"-0", 0}, {"5.0", 5}, {"5e0", 5}, {"1.5e1", 15},
                {"9007199254740991", 9007199254740991}, {"-9223372036854775808", INT64_MIN},
                {"9223372036854775807", INT64_MAX}};
        static const char *const bad[] = {"", "1.5", "1e-1", "1e400", "-1e400",
                "9223372036854775808", "1e19", "\"1\"", "true", "null", "[1]",
                "1000000000000000000000000000000000000000000000000000000000000000000000"};
        int64_t v;
        for (size_t i = 0; i < ARRAY_LEN(good); i++) {
                assert_true(json_int(slice_str(good[i].text), INT64_MIN, INT64_MAX, &v));
                assert_true(v == good[i].v);
        }
        v = 3;
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                assert_false(json_int(slice_str(bad[i]), INT64_MIN, INT64_MAX, &v));
        assert_false(json_int(SLICE_LIT("11"), 0, 10, &v));
        assert_false(json_int(SLICE_LIT("-1"), 0, 10, &v));
        assert_int_equal(v, 3);
        bool b = false;
        assert_true(json_bool(SLICE_LIT("true"), &b) && b);
        assert_true(json_bool(SLICE_LIT("false"), &b) && !b);
        assert_false(json_bool(SLICE_LIT("1"), &b));
}

static void compacting_drops_white_space_outside_strings_only(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        json_compact(SLICE_LIT(" { \"a b\" : [ 1 ,\t\" \\\" \" ] }\r\n"), &b);
        assert_string_equal(buf_cstr(&b), "{\"a b\":[1,\" \\\" \"]}");
        buf_reset(&b);
        json_compact(SLICE_NONE, &b);
        assert_int_equal(b.n, 0);
        buf_done(&b);
}

/* What is promised for text that was not validated: no read outside, an end. */
static void looking_into_garbage_ends(void **state)
{
        UNUSED(state);
        static const char *const rows[] = {"[", "[1", "[\"", "[\"\\", "{", "{\"a", "{\"a\"",
                "{\"a\":", "{\"a\":\"", ",", "[,,", ":::", "]]", "}", "[}", "{\"\\u12"};
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                size_t n = strlen(rows[i]);
                char *exact = xmalloc(n);
                memcpy(exact, rows[i], n);
                struct slice whole = slice_of(exact, n), rest = whole, key, v;
                struct json_walk w = json_walk_of(whole);
                struct json_step st;
                struct buf b = BUF_EMPTY;
                while (json_next(&rest, &v))
                        continue;
                rest = whole;
                while (json_next_member(&rest, &key, &v))
                        continue;
                while (json_walk_next(&w, &st))
                        continue;
                (void)json_member(whole, "a", &v);
                json_compact(whole, &b);
                buf_done(&b);
                free(exact);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_kind_of_value_is_valid),
                cmocka_unit_test(what_the_grammar_lacks_is_invalid),
                cmocka_unit_test(every_cut_of_a_valid_text_is_invalid),
                cmocka_unit_test(bytes_that_are_no_text_are_invalid),
                cmocka_unit_test(flags_refuse_what_cannot_be_stored),
                cmocka_unit_test(depth_has_a_bound_and_costs_no_stack),
                cmocka_unit_test(a_prefix_is_measured),
                cmocka_unit_test(elements_come_one_by_one),
                cmocka_unit_test(members_are_found_by_name_and_the_last_counts),
                cmocka_unit_test(a_walk_names_each_step),
                cmocka_unit_test(strings_are_decoded),
                cmocka_unit_test(whole_numbers_are_read_however_they_are_written),
                cmocka_unit_test(compacting_drops_white_space_outside_strings_only),
                cmocka_unit_test(looking_into_garbage_ends),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
