/* What is text and what is not. */
#include "base/utf8.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void each_length_is_told_at_its_borders(void **state)
{
        UNUSED(state);
        assert_int_equal(utf8_length(SLICE_LIT("\x7f")), 1);
        assert_int_equal(utf8_length(SLICE_LIT("\0")), 1);
        assert_int_equal(utf8_length(SLICE_LIT("\xc2\x80")), 2);
        assert_int_equal(utf8_length(SLICE_LIT("\xdf\xbf")), 2);
        assert_int_equal(utf8_length(SLICE_LIT("\xe0\xa0\x80")), 3);
        assert_int_equal(utf8_length(SLICE_LIT("\xed\x9f\xbf")), 3);
        assert_int_equal(utf8_length(SLICE_LIT("\xee\x80\x80")), 3);
        assert_int_equal(utf8_length(SLICE_LIT("\xef\xbf\xbf")), 3);
        assert_int_equal(utf8_length(SLICE_LIT("\xf0\x90\x80\x80")), 4);
        assert_int_equal(utf8_length(SLICE_LIT("\xf4\x8f\xbf\xbf")), 4);
        assert_int_equal(utf8_length(SLICE_NONE), 0);
        assert_true(utf8_valid(SLICE_NONE));
        assert_true(utf8_valid(SLICE_LIT("gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xa6")));
}

static void overlong_surrogate_and_cut_sequences_are_no_text(void **state)
{
        UNUSED(state);
        static const char *const rows[] = {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2",
                "\xc2\x41", "\xe0\x9f\xbf", "\xe0\xa0", "\xed\xa0\x80", "\xed\xbf\xbf",
                "\xef\xbf\x41", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
                "\xf0\x9f\x90", "\xfe", "\xff"};
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                assert_int_equal(utf8_length(slice_str(rows[i])), 0);
                assert_false(utf8_valid(slice_str(rows[i])));
        }
        assert_false(utf8_valid(SLICE_LIT("abc\xff")));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_length_is_told_at_its_borders),
                cmocka_unit_test(overlong_surrogate_and_cut_sequences_are_no_text),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
