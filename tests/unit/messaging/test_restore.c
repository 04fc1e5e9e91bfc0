/* Who owns a session: the first record of a gen, and whatever its writer says afterwards. */
#include "messaging/restore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void fold_at(
        struct found_state *st, int64_t gen, const char *owner, const char *rooms, int64_t written_ms)
{
        const struct event e = {
                .type = EVENT_SESSION,
                .sid = (char *)(uintptr_t) "sid",
                .sub = (char *)(uintptr_t) "ann",
                .gateway = (char *)(uintptr_t)owner,
                .rooms_json = (char *)(uintptr_t)rooms,
                .gen = gen,
        };
        found_state_fold(st, &e, written_ms);
}

static void fold(struct found_state *st, int64_t gen, const char *owner, const char *rooms)
{
        fold_at(st, gen, owner, rooms, 1);
}

static void the_owners_newest_record_counts(void **state)
{
        UNUSED(state);
        struct found_state st = {0};
        fold(&st, 1, "a", "[1]");
        fold(&st, 1, "a", "[2]");
        assert_string_equal(st.rooms_json, "[2]");
        assert_true(st.sure);
        assert_false(st.contested);
        found_state_done(&st);
}

static void who_comes_second_to_a_gen_is_nobody(void **state)
{
        UNUSED(state);
        struct found_state st = {0};
        fold(&st, 1, "a", "[1]");
        fold(&st, 2, "b", "[2]");
        fold(&st, 2, "c", "[3]");
        fold(&st, 2, "b", "[4]");
        fold(&st, 2, "c", "[5]");
        assert_string_equal(st.owner, "b");
        assert_string_equal(st.rooms_json, "[4]");
        assert_true(st.contested);
        assert_true(st.sure);
        found_state_done(&st);
}

static void an_older_gen_says_nothing_any_more(void **state)
{
        UNUSED(state);
        struct found_state st = {0};
        fold(&st, 1, "a", "[1]");
        fold(&st, 2, "b", "[2]");
        fold(&st, 1, "a", "[3]");
        assert_int_equal(st.gen, 2);
        assert_string_equal(st.rooms_json, "[2]");
        found_state_done(&st);
}

static void a_tail_that_begins_in_a_gen_is_sure_of_nobody(void **state)
{
        UNUSED(state);
        struct found_state st = {0};
        fold(&st, 7, "a", "[1]");
        assert_false(st.sure);
        fold(&st, 7, "b", "[2]");
        assert_true(st.contested);
        fold(&st, 8, "c", "[3]");
        assert_true(st.sure);
        assert_false(st.contested);
        found_state_done(&st);
}

static void a_claim_states_no_rooms(void **state)
{
        UNUSED(state);
        struct found_state st = {0};
        fold_at(&st, 1, "a", "[1]", 10);
        assert_true(st.stated);
        fold_at(&st, 1, "a", "[2]", 20);
        fold_at(&st, 2, "b", "[2]", 30);
        fold_at(&st, 3, "c", "[2]", 40);
        fold_at(&st, 3, "d", "[2]", 50);
        assert_true(st.stated);
        assert_int_equal(st.stated_ms, 20);
        fold_at(&st, 3, "c", "[3]", 60);
        assert_int_equal(st.stated_ms, 60);
        found_state_done(&st);
        fold_at(&st, 7, "a", "[1]", 70);
        fold_at(&st, 8, "b", "[1]", 80);
        assert_false(st.stated);
        found_state_done(&st);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_owners_newest_record_counts),
                cmocka_unit_test(who_comes_second_to_a_gen_is_nobody),
                cmocka_unit_test(an_older_gen_says_nothing_any_more),
                cmocka_unit_test(a_tail_that_begins_in_a_gen_is_sure_of_nobody),
                cmocka_unit_test(a_claim_states_no_rooms),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
