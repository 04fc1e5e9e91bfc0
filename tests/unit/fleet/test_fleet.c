/* Who is there: heard, silent, leaving. */
#include "fleet/fleet.h"

#include "bus/bus.h"
#include "proto/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct fleet_settings settings = {
        .announce_ms = 5000, .ops_address = (char *)(uintptr_t) ""};

static struct fleet *make(void)
{
        const struct fleet_options o = {.settings = &settings,
                .service = "messaging",
                .instance = "m-0",
                .ops_bind = "127.0.0.1"};
        return fleet_new(&o);
}

static void hear(struct fleet *f, const char *service, const char *instance, int64_t connections,
        bool leaving, int64_t now_ms)
{
        const struct event e = {.type = EVENT_GATEWAY,
                .kind = (char *)(uintptr_t)service,
                .gateway = (char *)(uintptr_t)instance,
                .ops = (char *)(uintptr_t) "10.0.0.1:9306",
                .connections = connections,
                .closed = leaving};
        fleet_hear(f, &e, now_ms);
}

static void what_is_heard_is_listed_in_order_with_the_newest_of_each(void **state)
{
        UNUSED(state);
        struct fleet *f = make();
        hear(f, "notification", "n-0", 7, false, 1000);
        hear(f, "messaging", "m-1", 3, false, 1000);
        hear(f, "messaging", "m-0", 1, false, 1000);
        hear(f, "messaging", "m-1", 4, true, 1100);
        (void)fleet_tick(f, 0, 1100);
        struct fleet_list *list = fleet_list(f);
        assert_int_equal(list->count, 3);
        assert_string_equal(list->members[0].instance, "m-0");
        assert_string_equal(list->members[1].instance, "m-1");
        assert_int_equal(list->members[1].connections, 4);
        assert_true(list->members[1].leaving);
        assert_string_equal(list->members[2].service, "notification");
        assert_string_equal(list->members[2].ops, "10.0.0.1:9306");
        /* What was asked for stays as it was. */
        hear(f, "messaging", "m-2", 9, false, 1200);
        (void)fleet_tick(f, 0, 1200);
        assert_int_equal(list->count, 3);
        fleet_list_unref(list);
        list = fleet_list(f);
        assert_int_equal(list->count, 4);
        fleet_list_unref(list);
        fleet_free(f);
}

static void who_is_silent_for_three_announcements_is_gone(void **state)
{
        UNUSED(state);
        struct fleet *f = make();
        hear(f, "messaging", "m-0", 1, false, 1000);
        hear(f, "messaging", "m-1", 1, false, 9000);
        (void)fleet_tick(f, 0, 17000);
        struct fleet_list *list = fleet_list(f);
        assert_int_equal(list->count, 2);
        fleet_list_unref(list);
        (void)fleet_tick(f, 0, 17001);
        list = fleet_list(f);
        assert_int_equal(list->count, 1);
        assert_string_equal(list->members[0].instance, "m-1");
        fleet_list_unref(list);
        fleet_free(f);
}

static void a_fleet_has_a_bound(void **state)
{
        UNUSED(state);
        struct fleet *f = make();
        char name[16];
        for (int i = 0; i < FLEET_MEMBERS_MAX + 5; i++) {
                snprintf(name, sizeof(name), "m-%d", i);
                hear(f, "messaging", name, i, false, 1000);
        }
        (void)fleet_tick(f, 0, 1000);
        struct fleet_list *list = fleet_list(f);
        assert_int_equal(list->count, FLEET_MEMBERS_MAX);
        fleet_list_unref(list);
        fleet_free(f);
}

/* Without a join nothing is announced: there is no bus here to announce to. */
static void nobody_announces_before_it_has_joined(void **state)
{
        UNUSED(state);
        struct fleet *f = make();
        assert_int_equal(fleet_tick(f, 1, 1000), 0);
        fleet_leave(f);
        assert_int_equal(fleet_tick(f, 1, 2000), 0);
        fleet_free(f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_heard_is_listed_in_order_with_the_newest_of_each),
                cmocka_unit_test(who_is_silent_for_three_announcements_is_gone),
                cmocka_unit_test(a_fleet_has_a_bound),
                cmocka_unit_test(nobody_announces_before_it_has_joined),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
