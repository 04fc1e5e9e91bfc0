/* One after the other, from several threads too. */
#include "base/pace.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void no_gap_is_no_bound(void **state)
{
        UNUSED(state);
        struct pace p;
        pace_init(&p, 0);
        assert_int_equal(pace_take(&p, 1000, 5), 1000);
}

static void who_looks_in_often_gets_one_at_a_time(void **state)
{
        UNUSED(state);
        struct pace p;
        pace_init(&p, 100000);
        unsigned n = 0;
        for (int64_t now = 1000; now < 11000; now++)
                n += pace_take(&p, 5, now);
        assert_int_equal(n, 100);
}

static void what_fell_due_between_two_looks_is_given_together(void **state)
{
        UNUSED(state);
        struct pace p;
        pace_init(&p, 10000);
        unsigned n = 0;
        for (int64_t now = 1000; now < 11000; now += 50) {
                unsigned k = pace_take(&p, 100, now);
                assert_true(k <= 6);
                n += k;
        }
        assert_in_range(n, 990, 1001);
}

static void nothing_is_saved_up(void **state)
{
        UNUSED(state);
        struct pace p;
        pace_init(&p, 10000);
        assert_int_equal(pace_take(&p, 100, 1000), 1);
        assert_int_equal(pace_take(&p, 100, 60000), PACE_BEHIND_MS / 10 + 1);
        assert_int_equal(pace_take(&p, 100, 60000), 0);
}

struct taker {
        struct pace *p;
        unsigned n;
};

static void *take(void *arg)
{
        struct taker *t = arg;
        for (int64_t now = 1000; now < 21000; now++)
                t->n += pace_take(t->p, 3, now);
        return NULL;
}

static void threads_share_it(void **state)
{
        UNUSED(state);
        struct pace p;
        pace_init(&p, 10000);
        struct taker takers[4];
        pthread_t threads[4];
        unsigned all = 0;
        for (unsigned i = 0; i < 4; i++) {
                takers[i] = (struct taker){.p = &p};
                assert_int_equal(pthread_create(&threads[i], NULL, take, &takers[i]), 0);
        }
        for (unsigned i = 0; i < 4; i++) {
                pthread_join(threads[i], NULL);
                all += takers[i].n;
        }
        assert_in_range(all, 1, 2001);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_gap_is_no_bound),
                cmocka_unit_test(who_looks_in_often_gets_one_at_a_time),
                cmocka_unit_test(what_fell_due_between_two_looks_is_given_together),
                cmocka_unit_test(nothing_is_saved_up),
                cmocka_unit_test(threads_share_it),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
