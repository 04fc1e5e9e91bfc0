/* Counts and rates by key, also from several threads. */
#include "base/quota.h"

#include "base/check.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const struct slice ada = {"ada", 3}, bob = {"bob", 3};

static void a_tally_counts_each_key(void **state)
{
        UNUSED(state);
        struct tally *t = tally_new();
        assert_int_equal(tally_add(t, ada, 1), 1);
        assert_int_equal(tally_add(t, ada, 1), 2);
        assert_int_equal(tally_get(t, bob), 0);
        assert_int_equal(tally_add(t, ada, -1), 1);
        assert_int_equal(tally_get(t, ada), 1);
        tally_free(t);
}

static unsigned taken(struct rate *r, int64_t now_ms, unsigned tries)
{
        unsigned n = 0;
        for (unsigned i = 0; i < tries; i++)
                n += rate_take(r, ada, 1, now_ms);
        return n;
}

static void a_rate_allows_a_burst_and_then_its_pace(void **state)
{
        UNUSED(state);
        struct rate *r = rate_new(10, 2000);
        assert_int_equal(taken(r, 5000, 100), 21); /* the last one makes the debt */
        assert_int_equal(taken(r, 5050, 100), 0);
        assert_int_equal(taken(r, 5100, 100), 1);
        assert_int_equal(taken(r, 6100, 100), 10);
        assert_true(rate_take(r, bob, 1, 6100));
        assert_int_equal(taken(r, 1000000, 100), 21);
        rate_free(r);
}

static void one_may_be_larger_than_what_is_left_and_is_paid_for(void **state)
{
        UNUSED(state);
        struct rate *r = rate_new(1000, 1000);
        assert_true(rate_take(r, ada, 5000, 10000));
        assert_false(rate_take(r, ada, 1, 13999));
        assert_true(rate_take(r, ada, 1, 14000));
        assert_true(rate_take(r, bob, UINT64_MAX, 14000));
        assert_false(rate_take(r, bob, 1, 14000 + 3590000));
        assert_true(rate_take(r, bob, 1, 14000 + 3601000));
        rate_free(r);
}

static void without_a_rate_all_is_allowed(void **state)
{
        UNUSED(state);
        struct rate *r = rate_new(0, 1000);
        assert_int_equal(taken(r, 1, 1000), 1000);
        rate_free(r);
}

static void *take_many(void *arg)
{
        return (void *)(uintptr_t)taken(arg, 1000, 200000);
}

static void threads_share_one_allowance(void **state)
{
        UNUSED(state);
        struct rate *r = rate_new(50000, 1000);
        pthread_t threads[4];
        uintptr_t all = 0;
        for (size_t i = 0; i < ARRAY_LEN(threads); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, take_many, r), 0);
        for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
                void *n;
                pthread_join(threads[i], &n);
                all += (uintptr_t)n;
        }
        assert_int_equal(all, 50001);
        rate_free(r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_tally_counts_each_key),
                cmocka_unit_test(a_rate_allows_a_burst_and_then_its_pace),
                cmocka_unit_test(one_may_be_larger_than_what_is_left_and_is_paid_for),
                cmocka_unit_test(without_a_rate_all_is_allowed),
                cmocka_unit_test(threads_share_one_allowance),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
