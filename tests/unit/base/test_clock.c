/* Times as text and back. */
#include "base/clock.h"

#include "base/check.h"
#include "base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void monotonic_time_does_not_go_back(void **state)
{
        UNUSED(state);
        int64_t a = clock_mono_ns(), b = clock_mono_ns();
        assert_true(b >= a && a > 0);
        assert_true(clock_mono_ms() >= a / 1000000);
        assert_true(clock_wall_ms() > 1700000000000);
}

static void a_time_is_written_in_utc_with_milliseconds(void **state)
{
        UNUSED(state);
        char text[CLOCK_ISO_TEXT];
        clock_iso(0, text);
        assert_string_equal(text, "1970-01-01T00:00:00.000Z");
        clock_iso(1769903999123, text);
        assert_string_equal(text, "2026-01-31T23:59:59.123Z");
        clock_iso(-1, text);
        assert_string_equal(text, "1969-12-31T23:59:59.999Z");
        clock_iso(INT64_MAX, text);
        assert_int_equal(strlen(text), CLOCK_ISO_TEXT - 1);
        clock_iso(INT64_MIN, text);
        assert_int_equal(strlen(text), CLOCK_ISO_TEXT - 1);
}

static void rfc_3339_is_read_in_every_form(void **state)
{
        UNUSED(state);
        static const struct {
                const char *text;
                int64_t ms;
        } rows[] = {
                {"2026-01-31T23:59:59.123Z", 1769903999123},
                {"2026-01-31t23:59:59.1239999z", 1769903999123},
                {"2026-01-31 23:59:59.1Z", 1769903999100},
                {"2026-02-01T01:29:59.123+01:30", 1769903999123},
                {"2026-01-31T22:59:59.123-01:00", 1769903999123},
                {"2026-01-31", 1769817600000},
                {"2016-12-31T23:59:60Z", 1483228800000},
                {"2024-02-29T00:00:00Z", 1709164800000},
                {"1969-12-31T23:59:59.999Z", -1},
        };
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                int64_t ms = 0;
                assert_int_equal(clock_parse_iso(rows[i].text, strlen(rows[i].text), &ms), 0);
                assert_true(ms == rows[i].ms);
        }
}

static void what_is_no_time_is_refused(void **state)
{
        UNUSED(state);
        static const char *const rows[] = {"", "2026", "2026-13-01", "2026-00-01", "2026-01-32",
                "2026-02-30", "2023-02-29", "2026-01-31T24:00:00Z", "2026-01-31T23:60:00Z",
                "2026-01-31T23:59:61Z", "2026-01-31T23:59:59", "2026-01-31T23:59Z",
                "2026-01-31T23:59:59.Z", "2026-01-31T23:59:59+1:00", "2026-01-31T23:59:59+24:00",
                "2026-01-31T23:59:59Zx", "+026-01-31", "2026/01/31", "2026-01-31X"};
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                int64_t ms = 5;
                assert_true(clock_parse_iso(rows[i], strlen(rows[i]), &ms) < 0);
                assert_int_equal(ms, 5);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(monotonic_time_does_not_go_back),
                cmocka_unit_test(a_time_is_written_in_utc_with_milliseconds),
                cmocka_unit_test(rfc_3339_is_read_in_every_form),
                cmocka_unit_test(what_is_no_time_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
