/* outbox: order, byte accounting, partial writes, and what a drop keeps. */
#include "fanout/outbox.h"

#include "fanout/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct msg *make(uint32_t n, uint32_t flags, int64_t offset)
{
        struct msg *m = msg_new(n);
        memset(m->bytes, 'x', n);
        m->ws_n = n;
        m->flags = flags;
        m->slot = 0;
        m->offset = offset;
        return m;
}

static void push(struct outbox *ob, uint32_t n, uint32_t flags, int64_t offset)
{
        struct msg *m = make(n, flags, offset);
        outbox_push(ob, m);
        msg_unref(m);
}

static void an_empty_outbox_owns_nothing(void **state)
{
        UNUSED(state);
        struct outbox ob;
        outbox_init(&ob);
        assert_null(ob.ring);
        assert_null(outbox_peek(&ob, 0));
        assert_null(outbox_take(&ob));
        assert_null(outbox_drop_events(&ob));
        push(&ob, 5, 0, 0);
        outbox_wrote(&ob, 5);
        assert_null(ob.ring);
        assert_int_equal(ob.bytes, 0);
        outbox_done(&ob);
}

static void messages_leave_in_order_across_growth_and_wrap(void **state)
{
        UNUSED(state);
        struct outbox ob;
        outbox_init(&ob);
        int64_t in = 0, out = 0;
        for (int round = 0; round < 50; round++) {
                for (int i = 0; i < 7; i++)
                        push(&ob, 10, MSG_EVENT, in++);
                for (int i = 0; i < 5; i++) {
                        struct msg *m = outbox_take(&ob);
                        assert_int_equal(m->offset, out++);
                        msg_unref(m);
                }
                assert_int_equal(ob.bytes, 10 * (in - out));
                for (uint32_t i = 0; i < ob.count; i++)
                        assert_int_equal(outbox_peek(&ob, i)->offset, out + i);
        }
        outbox_done(&ob);
}

static void a_partial_write_is_remembered(void **state)
{
        UNUSED(state);
        struct outbox ob;
        outbox_init(&ob);
        push(&ob, 10, 0, 1);
        push(&ob, 10, 0, 2);
        outbox_wrote(&ob, 4);
        assert_int_equal(ob.front_off, 4);
        assert_int_equal(ob.bytes, 16);
        outbox_wrote(&ob, 8);
        assert_int_equal(ob.count, 1);
        assert_int_equal(ob.front_off, 2);
        assert_int_equal(ob.bytes, 8);
        outbox_wrote(&ob, 8);
        assert_int_equal(ob.count, 0);
        assert_int_equal(ob.front_off, 0);
        outbox_done(&ob);
}

static void a_drop_keeps_answers_and_what_is_half_written(void **state)
{
        UNUSED(state);
        struct outbox ob;
        outbox_init(&ob);
        push(&ob, 10, MSG_EVENT, 1);
        push(&ob, 10, 0, 2);
        push(&ob, 10, MSG_VOLATILE, 3);
        push(&ob, 10, MSG_EVENT, 4);
        push(&ob, 10, 0, 5);
        push(&ob, 10, MSG_EVENT, 6);
        outbox_wrote(&ob, 3);
        struct msg *first = outbox_drop_events(&ob);
        assert_int_equal(first->offset, 4);
        msg_unref(first);
        assert_int_equal(ob.count, 3);
        assert_int_equal(ob.bytes, 27);
        assert_int_equal(ob.front_off, 3);
        assert_int_equal(outbox_peek(&ob, 0)->offset, 1);
        assert_int_equal(outbox_peek(&ob, 1)->offset, 2);
        assert_int_equal(outbox_peek(&ob, 2)->offset, 5);
        assert_null(outbox_drop_events(&ob));
        outbox_done(&ob);
}

static void only_volatile_messages_owe_nobody_anything(void **state)
{
        UNUSED(state);
        struct outbox ob;
        outbox_init(&ob);
        push(&ob, 10, MSG_VOLATILE, 1);
        assert_null(outbox_drop_events(&ob));
        assert_int_equal(ob.count, 0);
        assert_null(ob.ring);
        outbox_done(&ob);
}

static void a_message_is_shared_not_copied(void **state)
{
        UNUSED(state);
        struct outbox a, b;
        outbox_init(&a);
        outbox_init(&b);
        struct msg *m = make(3, MSG_EVENT, 7);
        outbox_push(&a, m);
        outbox_push(&b, m);
        msg_unref(m);
        assert_ptr_equal(outbox_peek(&a, 0), outbox_peek(&b, 0));
        outbox_done(&a);
        assert_int_equal(outbox_peek(&b, 0)->offset, 7);
        outbox_done(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_empty_outbox_owns_nothing),
                cmocka_unit_test(messages_leave_in_order_across_growth_and_wrap),
                cmocka_unit_test(a_partial_write_is_remembered),
                cmocka_unit_test(a_drop_keeps_answers_and_what_is_half_written),
                cmocka_unit_test(only_volatile_messages_owe_nobody_anything),
                cmocka_unit_test(a_message_is_shared_not_copied),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
