/* Growable buffers: appending, formatting, JSON strings, moving out. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void bytes_survive_growth(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        for (unsigned i = 0; i < 5000; i++)
                buf_add_char(&b, (char)(i % 251));
        assert_int_equal(b.n, 5000);
        for (unsigned i = 0; i < 5000; i++)
                assert_int_equal((unsigned char)b.p[i], i % 251);
        buf_reset(&b);
        assert_true(b.n == 0 && b.cap >= 5000);
        buf_done(&b);
        assert_null(b.p);
}

static void numbers_are_written_at_their_extremes(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        buf_add_u64(&b, 0);
        buf_add_char(&b, ' ');
        buf_add_u64(&b, UINT64_MAX);
        buf_add_char(&b, ' ');
        buf_add_i64(&b, INT64_MIN);
        buf_add_char(&b, ' ');
        buf_add_i64(&b, -7);
        assert_string_equal(buf_cstr(&b), "0 18446744073709551615 -9223372036854775808 -7");
        buf_done(&b);
}

static void formatted_text_of_any_length_fits(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        for (int width = 1; width < 400; width += 7) {
                size_t before = b.n;
                buf_printf(&b, "%*d", width, 5);
                assert_int_equal(b.n - before, width);
                assert_int_equal(b.p[b.n - 1], '5');
        }
        buf_done(&b);
}

static void a_json_string_escapes_what_must_be_escaped(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        buf_add_json_str(&b, SLICE_LIT("a\"b\\c\n\r\t\b\f\x01\x1e/\xc3\xa9\0z"));
        assert_string_equal(
                buf_cstr(&b), "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\\u001e/\xc3\xa9\\u0000z\"");
        buf_reset(&b);
        buf_add_json_str(&b, SLICE_NONE);
        assert_string_equal(buf_cstr(&b), "\"\"");
        buf_done(&b);
}

static void bytes_leave_from_the_front(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        buf_add_str(&b, "abcdef");
        buf_drop(&b, 2);
        assert_true(slice_is(buf_slice(&b), "cdef"));
        buf_drop(&b, 0);
        buf_drop(&b, 4);
        assert_int_equal(b.n, 0);
        buf_done(&b);
}

static void taking_moves_the_bytes_out(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        size_t n;
        buf_add_slice(&b, SLICE_LIT("abc"));
        char *p = buf_take(&b, &n);
        assert_true(n == 3 && b.p == NULL && b.n == 0);
        assert_string_equal(p, "abc");
        free(p);
        p = buf_take(&b, NULL);
        assert_string_equal(p, "");
        free(p);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(bytes_survive_growth),
                cmocka_unit_test(numbers_are_written_at_their_extremes),
                cmocka_unit_test(formatted_text_of_any_length_fits),
                cmocka_unit_test(a_json_string_escapes_what_must_be_escaped),
                cmocka_unit_test(bytes_leave_from_the_front),
                cmocka_unit_test(taking_moves_the_bytes_out),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
