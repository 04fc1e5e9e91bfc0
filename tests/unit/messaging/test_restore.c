/* Who owns a session: the first record of a gen, and whatever its writer says afterwards. */
#include "messaging/restore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void fold(struct found_state *st, int64_t gen, const char *owner, const char *rooms)
{
        const struct event e = {
                .type = EVENT_SESSION,
                .sid = (char *)(uintptr_t) "sid",
                .sub = (char *)(uintptr_t) "ann",
                .gateway = (char *)(uintptr_t)owner,
                .rooms_json = (char *)(uintptr_t)rooms,
                .gen = gen,
        };
        found_state_fold(st, &e);
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_owners_newest_record_counts),
                cmocka_unit_test(who_comes_second_to_a_gen_is_nobody),
                cmocka_unit_test(an_older_gen_says_nothing_any_more),
                cmocka_unit_test(a_tail_that_begins_in_a_gen_is_sure_of_nobody),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
