/* A drain's slices: all are gone in time, evenly, and never faster than the pace. */
#include "realtime/departures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SLICE_MS 50

/* Drains two shards; how long it took, and the most of a second. */
static int64_t drain(struct departures *d, size_t clients, int64_t span_ms, unsigned *ret_most)
{
        size_t open[2] = {clients / 2, clients - clients / 2};
        unsigned gone[1000] = {0}; /* by tenths of a second */
        int64_t now = 0;
        *ret_most = 0;
        for (; open[0] + open[1] > 0 && now < 100000; now += SLICE_MS)
                for (unsigned i = 0; i < 2; i++) {
                        unsigned n =
                                departures_take(d, open[i], span_ms - now, SLICE_MS, 7000 + now);
                        assert_true(n <= open[i]);
                        open[i] -= n;
                        gone[now / 100] += n;
                }
        assert_int_equal(open[0] + open[1], 0);
        for (unsigned i = 0; i + 10 <= 1000; i++) {
                unsigned sum = 0;
                for (unsigned j = i; j < i + 10; j++)
                        sum += gone[j];
                if (sum > *ret_most)
                        *ret_most = sum;
        }
        return now;
}

static void without_a_pace_they_go_evenly_over_the_span(void **state)
{
        UNUSED(state);
        struct departures d;
        unsigned most;
        departures_init(&d, 0, NULL);
        int64_t took = drain(&d, 20000, 40000, &most);
        assert_in_range(took, 30000, 40050);
        assert_in_range(most, 500, 600);
        /* Nobody keeps time. */
        assert_in_range(drain(NULL, 100, 0, &most), SLICE_MS, SLICE_MS);
}

static void with_one_they_go_no_faster(void **state)
{
        UNUSED(state);
        struct departures d;
        unsigned most;
        departures_init(&d, 100, NULL);
        int64_t took = drain(&d, 1500, 1000, &most);
        assert_in_range(took, 18000, 21000);
        assert_in_range(most, 60, 83);
        assert_in_range(atomic_load(&d.most), 60, 83);
}

static void settings_that_do_not_go_together_are_named(void **state)
{
        UNUSED(state);
        struct buf faults = BUF_EMPTY;
        assert_int_equal(departures_span_ms(45000, 5000), 40000);
        assert_int_equal(departures_span_ms(4000, 5000), 2000);
        departures_check(0, 45000, 5000, 18000, &faults);
        departures_check(600, 45000, 5000, 18000, &faults);
        assert_int_equal(faults.n, 0);
        departures_check(599, 45000, 5000, 18000, &faults);
        assert_non_null(strstr(buf_cstr(&faults), "it has to be 600 or more, or 0"));
        departures_check(5, 0, 5000, 1, &faults);
        assert_non_null(strstr(buf_cstr(&faults), "TERN_DRAIN_MS (0)\n"));
        buf_done(&faults);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(without_a_pace_they_go_evenly_over_the_span),
                cmocka_unit_test(with_one_they_go_no_faster),
                cmocka_unit_test(settings_that_do_not_go_together_are_named),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
