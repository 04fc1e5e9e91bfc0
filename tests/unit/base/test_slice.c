/* Slices: comparing, cutting, numbers and copies. */
#include "base/slice.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void slices_compare_by_bytes(void **state)
{
        UNUSED(state);
        assert_true(slice_eq(SLICE_NONE, SLICE_LIT("")));
        assert_true(slice_is(slice_of("abcd", 3), "abc"));
        assert_false(slice_is(SLICE_LIT("ab\0c"), "ab"));
        assert_true(slice_starts(SLICE_LIT("abc"), "ab"));
        assert_false(slice_starts(SLICE_LIT("a"), "ab"));
        assert_true(slice_starts(SLICE_NONE, ""));
        assert_int_equal(slice_str(NULL).n, 0);
}

static void cutting_never_leaves_the_slice(void **state)
{
        UNUSED(state);
        assert_true(slice_is(slice_from(SLICE_LIT("abc"), 1), "bc"));
        assert_int_equal(slice_from(SLICE_LIT("abc"), 9).n, 0);
        assert_null(slice_from(SLICE_NONE, 1).p);
        assert_int_equal(slice_find(SLICE_LIT("abc"), 'c'), 2);
        assert_int_equal(slice_find(SLICE_LIT("abc"), 'd'), -1);
        assert_int_equal(slice_find(SLICE_NONE, 'd'), -1);
}

static void numbers_are_whole_decimal_and_bounded(void **state)
{
        UNUSED(state);
        uint64_t v = 7;
        assert_true(
                slice_to_u64(SLICE_LIT("18446744073709551615"), UINT64_MAX, &v) && v == UINT64_MAX);
        assert_true(slice_to_u64(SLICE_LIT("0010"), 10, &v) && v == 10);
        static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x1", "11", "1.0",
                "18446744073709551616", "99999999999999999999999"};
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                assert_false(slice_to_u64(slice_str(bad[i]), 10, &v));
        assert_false(slice_to_u64(SLICE_LIT("18446744073709551616"), UINT64_MAX, &v));
        assert_int_equal(v, 10);
}

static void copies_end_with_a_nul(void **state)
{
        UNUSED(state);
        char dst[4];
        char *copy = slice_dup(slice_of("abcd", 3));
        assert_string_equal(copy, "abc");
        free(copy);
        copy = slice_dup(SLICE_NONE);
        assert_string_equal(copy, "");
        free(copy);
        assert_true(slice_copy(SLICE_LIT("abc"), dst, sizeof(dst)));
        assert_string_equal(dst, "abc");
        assert_false(slice_copy(SLICE_LIT("abcd"), dst, sizeof(dst)));
        assert_string_equal(dst, "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(slices_compare_by_bytes),
                cmocka_unit_test(cutting_never_leaves_the_slice),
                cmocka_unit_test(numbers_are_whole_decimal_and_bounded),
                cmocka_unit_test(copies_end_with_a_nul),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
