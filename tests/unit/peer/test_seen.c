#include "peer/seen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#define WINDOW 10000

static struct slice nonce_of(const uint64_t *n)
{
        return slice_of((const char *)n, sizeof(*n));
}

static void a_nonce_is_new_once(void **state)
{
        UNUSED(state);
        struct peer_seen *s = peer_seen_new(1024, WINDOW);
        for (uint64_t n = 0; n < 500; n++)
                assert_int_equal(peer_seen_add(s, nonce_of(&n), 5000), PEER_SEEN_NEW);
        for (uint64_t n = 0; n < 500; n++)
                assert_int_equal(
                        peer_seen_add(s, nonce_of(&n), 5000 + 2 * WINDOW), PEER_SEEN_BEFORE);
        peer_seen_free(s);
}

/* A line may be dated one window ahead, and is then good for two. */
static void places_are_used_again_after_two_windows(void **state)
{
        UNUSED(state);
        struct peer_seen *s = peer_seen_new(1024, WINDOW);
        for (uint64_t n = 0; n < 50000; n++) {
                int64_t now = (int64_t)(n / 400) * (2 * WINDOW + 1000);
                assert_int_equal(peer_seen_add(s, nonce_of(&n), now), PEER_SEEN_NEW);
        }
        peer_seen_free(s);
}

static void a_full_table_refuses_and_forgets_nobody(void **state)
{
        UNUSED(state);
        struct peer_seen *s = peer_seen_new(1024, WINDOW);
        unsigned fresh = 0, full = 0;
        for (uint64_t n = 0; n < 10000; n++) {
                enum peer_seen_answer a = peer_seen_add(s, nonce_of(&n), 0);
                fresh += a == PEER_SEEN_NEW;
                full += a == PEER_SEEN_FULL;
        }
        assert_true(fresh >= 1024 && fresh <= 4096);
        assert_int_equal(fresh + full, 10000);
        for (uint64_t n = 0; n < 1000; n++)
                assert_int_not_equal(peer_seen_add(s, nonce_of(&n), 0), PEER_SEEN_NEW);
        peer_seen_free(s);
}

/* Each shard reads its clock once a turn. */
static void another_shards_clock_may_be_a_little_ahead(void **state)
{
        UNUSED(state);
        struct peer_seen *s = peer_seen_new(1024, WINDOW);
        uint64_t n = 7;
        assert_int_equal(peer_seen_add(s, nonce_of(&n), 100000), PEER_SEEN_NEW);
        assert_int_equal(peer_seen_add(s, nonce_of(&n), 99800), PEER_SEEN_BEFORE);
        peer_seen_free(s);
}

/* The clock of the table goes round after 19 days. */
static void time_goes_on_for_ever(void **state)
{
        UNUSED(state);
        struct peer_seen *s = peer_seen_new(1024, WINDOW);
        const int64_t round = (INT64_C(1) << 24) * 100;
        for (uint64_t day = 0; day < 80; day++) {
                int64_t now = (int64_t)day * round / 10 + 50;
                assert_int_equal(peer_seen_add(s, nonce_of(&day), now), PEER_SEEN_NEW);
                assert_int_equal(peer_seen_add(s, nonce_of(&day), now + 300), PEER_SEEN_BEFORE);
        }
        peer_seen_free(s);
}

struct race {
        struct peer_seen *seen;
        pthread_barrier_t *gate;
        atomic_int *fresh;
};

enum { RACE_THREADS = 4, RACE_ROUNDS = 3000 };

static void *race(void *arg)
{
        struct race *r = arg;
        for (uint64_t n = 0; n < RACE_ROUNDS; n++) {
                pthread_barrier_wait(r->gate);
                if (peer_seen_add(r->seen, nonce_of(&n), (int64_t)n * 50) == PEER_SEEN_NEW)
                        atomic_fetch_add(&r->fresh[n], 1);
        }
        return NULL;
}

static void of_many_at_once_at_most_one_is_told_new(void **state)
{
        UNUSED(state);
        static atomic_int fresh[RACE_ROUNDS];
        struct peer_seen *s = peer_seen_new(1024, WINDOW);
        pthread_barrier_t gate;
        pthread_barrier_init(&gate, NULL, RACE_THREADS);
        pthread_t threads[RACE_THREADS];
        struct race r = {s, &gate, fresh};
        for (int i = 0; i < RACE_THREADS; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, race, &r), 0);
        for (int i = 0; i < RACE_THREADS; i++)
                pthread_join(threads[i], NULL);
        unsigned one = 0;
        for (int n = 0; n < RACE_ROUNDS; n++) {
                assert_true(fresh[n] <= 1);
                one += fresh[n] == 1;
        }
        assert_true(one > RACE_ROUNDS * 9 / 10);
        pthread_barrier_destroy(&gate);
        peer_seen_free(s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_nonce_is_new_once),
                cmocka_unit_test(places_are_used_again_after_two_windows),
                cmocka_unit_test(a_full_table_refuses_and_forgets_nobody),
                cmocka_unit_test(another_shards_clock_may_be_a_little_ahead),
                cmocka_unit_test(time_goes_on_for_ever),
                cmocka_unit_test(of_many_at_once_at_most_one_is_told_new),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
