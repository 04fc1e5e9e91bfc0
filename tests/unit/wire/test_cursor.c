/* Cursors: there and back, and everything else refused. */
#include "wire/cursor.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void a_vector_comes_back_as_it_was(void **state)
{
        UNUSED(state);
        static const size_t slots[] = {1, 2, 16, CURSOR_SLOTS_MAX};
        for (size_t k = 0; k < ARRAY_LEN(slots); k++) {
                int64_t in[CURSOR_SLOTS_MAX], out[CURSOR_SLOTS_MAX];
                for (size_t i = 0; i < slots[k]; i++)
                        in[i] = i % 3 == 0   ? 0
                                : i % 3 == 1 ? (int64_t)i * 1234567
                                             : CURSOR_OFFSET_MAX;
                char text[CURSOR_TEXT_MAX];
                size_t n = cursor_encode(CURSOR_EPOCH_MAX, in, slots[k], text);
                assert_true(n <= sizeof(text));
                uint32_t epoch = 0;
                assert_int_equal(cursor_parse(slice_of(text, n), slots[k], &epoch, out), 0);
                assert_int_equal(epoch, CURSOR_EPOCH_MAX);
                assert_memory_equal(in, out, slots[k] * sizeof(in[0]));
        }
}

static void sixteen_slots_take_some_hundred_characters(void **state)
{
        UNUSED(state);
        int64_t v[16];
        for (int i = 0; i < 16; i++)
                v[i] = 2000000000 + i;
        char text[CURSOR_TEXT_MAX];
        assert_int_equal(cursor_encode(3, v, 16, text), 110);
}

static int parse_bytes(const char *bytes, size_t n, size_t slots)
{
        char text[64];
        uint32_t epoch = 77;
        int64_t v[8] = {55, 55, 55, 55, 55, 55, 55, 55};
        size_t chars = base64url_encode(bytes, n, text);
        int r = cursor_parse(slice_of(text, chars), slots, &epoch, v);
        if (r < 0)
                assert_true(epoch == 77 && v[0] == 55);
        return r;
}

static void only_the_one_text_of_a_value_is_a_cursor(void **state)
{
        UNUSED(state);
        assert_int_equal(parse_bytes("\1\1\0\5", 4, 2), 0);
        assert_true(parse_bytes("\1\1\0\5", 4, 1) < 0);
        assert_true(parse_bytes("\1\1\0\5", 4, 3) < 0);
        assert_true(parse_bytes("\2\1\0\5", 4, 2) < 0);
        assert_true(parse_bytes("\1\0\0\5", 4, 2) < 0);
        assert_true(parse_bytes("\1\xff\x3f\5", 4, 1) == 0);
        assert_true(parse_bytes("\1\x80\x40\5", 4, 1) < 0); /* epoch 8192 */
        assert_true(parse_bytes("\1\x81\0\5", 4, 1) < 0);   /* overlong epoch */
        assert_true(parse_bytes("\1\1\x85\0", 4, 1) < 0);   /* overlong offset */
        assert_true(parse_bytes("\1\1\x85", 3, 1) < 0);     /* cut */
        assert_true(parse_bytes("\1\1\xff\xff\xff\xff\xff\x1f", 8, 1) == 0);
        assert_true(parse_bytes("\1\1\x80\x80\x80\x80\x80\x20", 8, 1) < 0); /* 2^40 */
        assert_true(parse_bytes("\1\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 12, 1) < 0);
        assert_true(parse_bytes("\1", 1, 0) < 0);
}

static void text_of_other_kinds_is_refused(void **state)
{
        UNUSED(state);
        uint32_t epoch;
        int64_t v[16];
        char text[CURSOR_TEXT_MAX + 64];
        memset(v, 0, sizeof(v));
        size_t n = cursor_encode(1, v, 16, text);
        for (size_t cut = 0; cut < n; cut++)
                assert_true(cursor_parse(slice_of(text, cut), 16, &epoch, v) < 0);
        text[n] = 'A';
        assert_true(cursor_parse(slice_of(text, n + 1), 16, &epoch, v) < 0);
        text[3] = '+';
        assert_true(cursor_parse(slice_of(text, n), 16, &epoch, v) < 0);
        static const char *const rows[] = {
                "", "unrecoverable", "Q8BYe3e", "1.1.5.1.9", "AQ==", "\xff\xff", "a b", "null"};
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                assert_true(cursor_parse(slice_str(rows[i]), 16, &epoch, v) < 0);
        memset(text, 'A', sizeof(text));
        assert_true(cursor_parse(slice_of(text, sizeof(text)), 16, &epoch, v) < 0);
        assert_true(cursor_parse(SLICE_NONE, 16, &epoch, v) < 0);
}

static void an_event_streams_id_comes_back_as_it_was(void **state)
{
        UNUSED(state);
        const uint32_t epoch[2] = {1, CURSOR_EPOCH_MAX};
        const int64_t offset[2] = {0, CURSOR_OFFSET_MAX};
        char text[128];
        size_t n = cursor_sse_encode(epoch, offset, text);
        assert_true(slice_is(slice_of(text, n), "1.1.0.8191.1099511627775"));
        /* Only such characters pass a browser's cross-origin rules without a preflight, and at most
         * 128. */
        assert_int_equal(strspn(text, "0123456789."), n);
        uint32_t e[2];
        int64_t o[2];
        assert_int_equal(cursor_sse_parse(slice_of(text, n), e, o), 0);
        assert_memory_equal(e, epoch, sizeof(e));
        assert_memory_equal(o, offset, sizeof(o));
}

static void other_ids_are_refused(void **state)
{
        UNUSED(state);
        static const char *const rows[] = {"", "1", "1.", "1.1.0.1", "1.1.0.1.", "1.1.0.1.0.",
                "1.1.0.1.0.0", "2.1.0.1.0", "0.1.0.1.0", "1.0.0.1.0", "1.1.0.0.0", "1.8192.0.1.0",
                "1.1.1099511627776.1.0", "1.1.-1.1.0", "1.1.+1.1.0", "1.1. 1.1.0", "1.01.0.1.0",
                "1.1.00.1.0", "01.1.0.1.0", "1.1.0.1.0\n", "1,1,0,1,0",
                "1.1.0.1.99999999999999999999999", "1..0.1.0", ".....", "1.1.0x.1.0", "AQEA"};
        uint32_t e[2] = {7, 7};
        int64_t o[2] = {7, 7};
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (cursor_sse_parse(slice_str(rows[i]), e, o) == 0)
                        fail_msg("accepted: %s", rows[i]);
        assert_true(cursor_sse_parse(SLICE_LIT("1.1.0.1.0\0"), e, o) < 0);
        assert_true(cursor_sse_parse(SLICE_NONE, e, o) < 0);
        assert_true(e[0] == 7 && o[1] == 7);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_vector_comes_back_as_it_was),
                cmocka_unit_test(sixteen_slots_take_some_hundred_characters),
                cmocka_unit_test(only_the_one_text_of_a_value_is_a_cursor),
                cmocka_unit_test(text_of_other_kinds_is_refused),
                cmocka_unit_test(an_event_streams_id_comes_back_as_it_was),
                cmocka_unit_test(other_ids_are_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
