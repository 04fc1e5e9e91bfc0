/* The intrusive list. */
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

struct item {
        struct list link;
        int v;
};

static int at(const struct list *head, int index)
{
        int i = 0;
        list_for_each(it, head) if (i++ == index) return list_entry(it, struct item, link)->v;
        return -1;
}

static void elements_stand_in_the_order_they_were_put(void **state)
{
        UNUSED(state);
        struct list head;
        struct item a = {.v = 1}, b = {.v = 2}, c = {.v = 3};
        list_init(&head);
        assert_true(list_empty(&head));
        assert_null(list_first(&head));
        assert_null(list_last(&head));
        assert_null(list_take(&head));
        list_push_back(&head, &b.link);
        list_push_back(&head, &c.link);
        list_push_front(&head, &a.link);
        assert_true(
                at(&head, 0) == 1 && at(&head, 1) == 2 && at(&head, 2) == 3 && at(&head, 3) == -1);
        assert_ptr_equal(list_last(&head), &c.link);
        assert_ptr_equal(list_take(&head), &a.link);
        assert_false(list_linked(&a.link));
        list_remove(&b.link);
        list_remove(&b.link);
        assert_true(list_linked(&c.link));
        assert_int_equal(at(&head, 0), 3);
}

static void splicing_moves_all_and_empties_the_source(void **state)
{
        UNUSED(state);
        struct list one, two;
        struct item a = {.v = 1}, b = {.v = 2}, c = {.v = 3};
        list_init(&one);
        list_init(&two);
        list_splice(&one, &two);
        assert_true(list_empty(&one));
        list_push_back(&one, &a.link);
        list_push_back(&two, &b.link);
        list_push_back(&two, &c.link);
        list_splice(&one, &two);
        assert_true(list_empty(&two));
        assert_true(at(&one, 0) == 1 && at(&one, 1) == 2 && at(&one, 2) == 3);
}

static void the_element_under_the_iterator_may_go(void **state)
{
        UNUSED(state);
        struct list head;
        list_init(&head);
        for (int i = 0; i < 5; i++) {
                struct item *it = xcalloc(1, sizeof(*it));
                it->v = i;
                list_push_back(&head, &it->link);
        }
        int sum = 0;
        list_for_each_safe(it, &head)
        {
                struct item *item = list_entry(it, struct item, link);
                sum += item->v;
                list_remove(it);
                free(item);
        }
        assert_int_equal(sum, 10);
        assert_true(list_empty(&head));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(elements_stand_in_the_order_they_were_put),
                cmocka_unit_test(splicing_moves_all_and_empties_the_source),
                cmocka_unit_test(the_element_under_the_iterator_may_go),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
