/* The header traceparent. */
#include "base/trace.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static const char good[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

static void a_good_one_names_its_trace(void **state)
{
        UNUSED(state);
        assert_true(trace_valid(slice_str(good)));
        assert_true(slice_is(trace_id(slice_str(good)), "4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_true(trace_valid(
                SLICE_LIT("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes")));
        assert_int_equal(sizeof(good), TRACE_TEXT);
        char copy[TRACE_TEXT];
        trace_copy(slice_str(good), copy);
        assert_string_equal(copy, good);
        trace_copy(SLICE_LIT("00-4bf92f35"), copy);
        assert_string_equal(copy, "");
}

static void what_is_none_is_refused(void **state)
{
        UNUSED(state);
        static const char *const bad[] = {
                "",
                "00",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
                "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
                "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                "00-4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7-01",
                "00-4bf92f3577b34da6a3ce929d0e0e473\n-00f067aa0ba902b7-01",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
        };
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                assert_false(trace_valid(slice_str(bad[i])));
                assert_int_equal(trace_id(slice_str(bad[i])).n, 0);
        }
        /* No byte behind the end is looked at. */
        for (size_t n = 0; n < sizeof(good) - 1; n++)
                assert_false(trace_valid(slice_of(good, n)));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_good_one_names_its_trace),
                cmocka_unit_test(what_is_none_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
