/* Signals and heartbeats. */
#include "base/lifecycle.h"

#include "base/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

static void a_signal_is_waited_for_not_handled(void **state)
{
        UNUSED(state);
        struct lifecycle lc;
        lifecycle_init(&lc);
        assert_int_equal(lifecycle_wait(&lc, 0), 0);
        kill(getpid(), SIGTERM);
        assert_int_equal(lifecycle_wait(&lc, 1000), SIGTERM);
        kill(getpid(), SIGINT);
        assert_int_equal(lifecycle_wait(&lc, -1), SIGINT);
        kill(getpid(), SIGPIPE);
        assert_int_equal(lifecycle_wait(&lc, 0), 0);
        lifecycle_done(&lc);
}

static void a_loop_that_does_not_tick_is_named(void **state)
{
        UNUSED(state);
        struct lifecycle lc;
        lifecycle_init(&lc);
        unsigned bus = lifecycle_loop(&lc, "bus"), shard = lifecycle_loop(&lc, "shard-0");
        /* Not started yet. */
        assert_null(lifecycle_stuck(&lc, 100000, 10000));
        lifecycle_tick(&lc, bus, 100000);
        lifecycle_tick(&lc, shard, 105000);
        assert_null(lifecycle_stuck(&lc, 110000, 10000));
        assert_string_equal(lifecycle_stuck(&lc, 110001, 10000), "bus");
        lifecycle_retire(&lc, bus);
        assert_null(lifecycle_stuck(&lc, 110001, 10000));
        assert_string_equal(lifecycle_stuck(&lc, 120000, 10000), "shard-0");
        lifecycle_done(&lc);
}

static void descriptors_are_raised_to_the_hard_bound(void **state)
{
        UNUSED(state);
        uint64_t n = lifecycle_raise_nofile();
        assert_true(n >= 256);
        assert_int_equal(lifecycle_raise_nofile(), n);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_signal_is_waited_for_not_handled),
                cmocka_unit_test(a_loop_that_does_not_tick_is_named),
                cmocka_unit_test(descriptors_are_raised_to_the_hard_bound),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
