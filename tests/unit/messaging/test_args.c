/* The arguments of clients' events, as raw JSON. */
#include "messaging/args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void the_first_argument_is_cut_from_the_others(void **state)
{
        UNUSED(state);
        assert_true(slice_is(arg_first(SLICE_LIT(" {\"a\":[1,2]} , 5")), "{\"a\":[1,2]}"));
        assert_true(slice_is(arg_first(SLICE_LIT("\"c1\"")), "\"c1\""));
        assert_int_equal(arg_first(SLICE_NONE).n, 0);
}

static void null_is_as_good_as_absent(void **state)
{
        UNUSED(state);
        struct slice raw;
        assert_true(arg_field(SLICE_LIT("{\"a\":1,\"b\":null}"), "a", &raw));
        assert_true(slice_is(raw, "1"));
        assert_false(arg_field(SLICE_LIT("{\"a\":1,\"b\":null}"), "b", &raw));
        assert_false(arg_field(SLICE_LIT("[\"a\"]"), "a", &raw));
        assert_false(arg_field(SLICE_NONE, "a", &raw));
}

static void a_string_with_a_nul_is_no_text(void **state)
{
        UNUSED(state);
        char *text = arg_text(SLICE_LIT("\"a\\u00e9\""));
        assert_string_equal(text, "a\xc3\xa9");
        free(text);
        assert_null(arg_text(SLICE_LIT("\"a\\u0000b\"")));
        assert_null(arg_text(SLICE_LIT("5")));
        assert_null(arg_text(SLICE_NONE));
}

static void integers_are_those_that_javascript_keeps_exact(void **state)
{
        UNUSED(state);
        int64_t v = 0;
        assert_true(arg_int(SLICE_LIT("9007199254740991"), &v));
        assert_int_equal(v, 9007199254740991);
        assert_false(arg_int(SLICE_LIT("9007199254740992"), &v));
        assert_false(arg_int(SLICE_LIT("-1"), &v));
        assert_false(arg_int(SLICE_LIT("1.5"), &v));
        assert_false(arg_int(SLICE_LIT("\"1\""), &v));
}

static void a_query_parameter_is_decoded_and_bounded(void **state)
{
        UNUSED(state);
        char text[8];
        assert_true(arg_query(SLICE_LIT("EIO=4&user=a%40b+c"), "user", text, sizeof(text)));
        assert_string_equal(text, "a@b c");
        assert_false(arg_query(SLICE_LIT("user=12345678"), "user", text, sizeof(text)));
        assert_false(arg_query(SLICE_LIT("user=a%00b"), "user", text, sizeof(text)));
        assert_true(arg_query(SLICE_LIT("user=%4"), "user", text, sizeof(text)));
        assert_string_equal(text, "%4");
        assert_false(arg_query(SLICE_NONE, "user", text, sizeof(text)));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_first_argument_is_cut_from_the_others),
                cmocka_unit_test(null_is_as_good_as_absent),
                cmocka_unit_test(a_string_with_a_nul_is_no_text),
                cmocka_unit_test(integers_are_those_that_javascript_keeps_exact),
                cmocka_unit_test(a_query_parameter_is_decoded_and_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
