/* What is merged into a room bears a seq, so the order in which it comes does not matter. */
#include "messaging/room.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct room *empty_room(void)
{
        struct room *r = xcalloc(1, sizeof(*r) + 1);
        r->members = MAP_EMPTY;
        list_init(&r->member_list);
        list_init(&r->asks);
        return r;
}

static void free_room(struct room *r)
{
        map_done(&r->members);
        list_for_each_safe(it, &r->member_list)
        {
                struct member *m = list_entry(it, struct member, link);
                free(m->role);
                free(m);
        }
        free(r->title);
        free(r->created_by);
        free(r);
}

static void member(struct room *r, enum event_type type, const char *user, int64_t seq)
{
        const struct event e = {.type = type, .user_id = (char *)(uintptr_t)user};
        room_merge(r, &e, seq, 0);
}

static void a_removal_wins_over_what_stood_before_it(void **state)
{
        UNUSED(state);
        struct room *r = empty_room();
        member(r, EVENT_MEMBER_REMOVED, "ann", 5);
        member(r, EVENT_MEMBER_ADDED, "ann", 3);
        assert_false(room_has_member(r, SLICE_LIT("ann")));
        member(r, EVENT_MEMBER_ADDED, "ann", 7);
        assert_true(room_has_member(r, SLICE_LIT("ann")));
        member(r, EVENT_MEMBER_REMOVED, "ann", 6);
        assert_true(room_has_member(r, SLICE_LIT("ann")));
        assert_false(room_has_member(r, SLICE_LIT("bob")));
        free_room(r);
}

static void the_first_record_that_creates_it_counts(void **state)
{
        UNUSED(state);
        struct room *r = empty_room();
        struct event e = {.type = EVENT_CONVERSATION_CREATED,
                .title = (char *)(uintptr_t) "late",
                .sender_id = (char *)(uintptr_t) "bob",
                .open = true};
        room_merge(r, &e, 9, 90);
        e.title = (char *)(uintptr_t) "early";
        e.sender_id = (char *)(uintptr_t) "ann";
        e.open = false;
        room_merge(r, &e, 4, 40);
        e.title = NULL;
        room_merge(r, &e, 6, 60);
        assert_string_equal(r->title, "early");
        assert_string_equal(r->created_by, "ann");
        assert_false(r->open);
        assert_int_equal(r->created_ms, 40);
        assert_true(r->exists);
        free_room(r);
}

static void read_marks_only_rise_and_readers_are_counted(void **state)
{
        UNUSED(state);
        struct room *r = empty_room();
        member(r, EVENT_MEMBER_ADDED, "ann", 1);
        struct event e = {
                .type = EVENT_RECEIPT_READ, .user_id = (char *)(uintptr_t) "ann", .seq = 8};
        room_merge(r, &e, 1, 0);
        e.seq = 5;
        room_merge(r, &e, 2, 0);
        e.user_id = (char *)(uintptr_t) "nobody";
        room_merge(r, &e, 3, 0);
        const struct member *m = map_get(&r->members, SLICE_LIT("ann"));
        assert_int_equal(m->read_seq, 8);
        assert_int_equal(r->reader_count, 1);
        free_room(r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_removal_wins_over_what_stood_before_it),
                cmocka_unit_test(the_first_record_that_creates_it_counts),
                cmocka_unit_test(read_marks_only_rise_and_readers_are_counted),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
