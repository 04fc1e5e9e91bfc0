#include "with_mock.h"

#include "base/hash.h"

#include <errno.h>

static void a_confirmed_send_names_its_place(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 5000);
        struct test_send a, b;
        assert_int_equal(test_produce(&w, &a, "chat.events", -1, "room-1", "one"), 0);
        assert_true(test_wait(&w, 1, 5000));
        assert_int_equal(test_produce(&w, &b, "chat.events", -1, "room-1", "two"), 0);
        assert_true(test_wait(&w, 2, 5000));
        assert_int_equal(a.send.outcome, BUS_OK);
        assert_int_equal(a.send.partition, partition_of(SLICE_LIT("room-1"), 4));
        assert_int_equal(a.send.offset, 0);
        assert_int_equal(b.send.offset, 1);
        assert_int_equal(b.send.partition, a.send.partition);
        assert_int_equal(metrics_get(w.metrics, M_records_out,
                                 (unsigned)metrics_label(M_records_out, "chat.events")),
                2);
        with_mock_stop(&w);
}

static void every_key_goes_where_java_would_put_it(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 5000);
        struct test_send sends[64];
        char keys[64][16];
        for (unsigned i = 0; i < 64; i++) {
                snprintf(keys[i], sizeof(keys[i]), "room-%u", i);
                assert_int_equal(test_produce(&w, &sends[i], "chat.events", -1, keys[i], "x"), 0);
        }
        assert_true(test_wait(&w, 64, 5000));
        for (unsigned i = 0; i < 64; i++)
                assert_int_equal(sends[i].send.partition, partition_of(slice_str(keys[i]), 4));
        with_mock_stop(&w);
}

static void with_kafka_away_a_send_fails_in_time(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 2000);
        mock_down(w.mock, true);
        struct test_send a;
        int64_t began = clock_mono_ms();
        assert_int_equal(test_produce(&w, &a, "chat.events", -1, "k", "value"), 0);
        assert_int_equal(metrics_get(w.metrics, M_entries_used, ENTRIES_PRODUCER), 1);
        assert_int_equal(metrics_get(w.metrics, M_memory_used, MEMORY_PRODUCER), 6);
        assert_int_equal(metrics_get(w.metrics, M_memory_limit, MEMORY_PRODUCER), 4096 * 1024);
        const struct bus_record loose = {
                .topic = SLICE_LIT("broadcasts"), .partition = 0, .value = SLICE_LIT("typing")};
        bus_produce_volatile(w.bus, &loose);
        assert_int_equal(metrics_get(w.metrics, M_entries_used, ENTRIES_VOLATILE_PRODUCER), 1);
        assert_int_equal(metrics_get(w.metrics, M_memory_used, MEMORY_VOLATILE_PRODUCER), 6);
        assert_true(test_wait(&w, 1, 4500));
        assert_int_equal(metrics_get(w.metrics, M_entries_used, ENTRIES_PRODUCER), 0);
        assert_int_equal(metrics_get(w.metrics, M_memory_used, MEMORY_PRODUCER), 0);
        assert_in_range(clock_mono_ms() - began, 1500, 4000);
        assert_int_equal(a.send.outcome, BUS_FAILED);
        assert_false(bus_up(w.bus));
        with_mock_stop(&w);
}

static void a_broker_lost_after_a_first_send_still_answers_and_comes_back(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 2000);
        struct test_send a, b, c;
        assert_int_equal(test_produce(&w, &a, "chat.events", -1, "k", "v"), 0);
        assert_true(test_wait(&w, 1, 5000));
        mock_down(w.mock, true);
        assert_int_equal(test_produce(&w, &b, "chat.events", -1, "k", "v"), 0);
        assert_true(test_wait(&w, 2, 4500));
        assert_int_not_equal(b.send.outcome, BUS_OK);
        mock_down(w.mock, false);
        unsigned sent = 2;
        for (int i = 0; i < 20; i++) {
                assert_int_equal(test_produce(&w, &c, "chat.events", -1, "k", "v"), 0);
                assert_true(test_wait(&w, ++sent, 4500));
                if (c.send.outcome == BUS_OK)
                        break;
        }
        assert_int_equal(c.send.outcome, BUS_OK);
        with_mock_stop(&w);
}

static void what_was_in_flight_when_time_ran_out_is_unknown(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 2000);
        struct test_send a, b;
        assert_int_equal(test_produce(&w, &a, "chat.events", -1, "k", "v"), 0);
        assert_true(test_wait(&w, 1, 5000));
        mock_delay(w.mock, 30000);
        assert_int_equal(test_produce(&w, &b, "chat.events", -1, "k", "v"), 0);
        assert_true(test_wait(&w, 2, 4500));
        assert_int_equal(b.send.outcome, BUS_UNKNOWN);
        mock_delay(w.mock, 0);
        with_mock_stop(&w);
}

static void a_full_queue_is_busy(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 1000);
        mock_down(w.mock, true);
        struct test_send *sends = xcalloc(1002, sizeof(*sends));
        unsigned taken = 0;
        int err = 0;
        for (unsigned i = 0; i < 1002 && !err; i++) {
                err = test_produce(&w, &sends[i], "chat.events", -1, "k", "v");
                taken += !err;
        }
        assert_int_equal(err, -ENOBUFS);
        assert_int_equal(taken, 1000);
        assert_true(test_wait(&w, taken, 5000));
        for (unsigned i = 0; i < taken; i++)
                assert_int_equal(sends[i].send.outcome, BUS_FAILED);
        with_mock_stop(&w);
        free(sends);
}

static void a_record_over_the_limit_is_refused(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 1000);
        char *big = xmalloc(2000001);
        memset(big, 'x', 2000000);
        big[2000000] = 0;
        struct test_send a;
        assert_int_equal(test_produce(&w, &a, "chat.events", -1, "k", big), -EMSGSIZE);
        free(big);
        with_mock_stop(&w);
}

static void what_cannot_be_a_topic_or_a_partition_fails(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 1000);
        struct test_send a, b;
        assert_int_equal(test_produce(&w, &a, "", -1, "k", "v"), 0);
        assert_true(test_wait(&w, 1, 5000));
        assert_int_equal(a.send.outcome, BUS_FAILED);
        assert_int_equal(test_produce(&w, &b, "chat.events", 99, "k", "v"), 0);
        assert_true(test_wait(&w, 2, 5000));
        assert_int_equal(b.send.outcome, BUS_FAILED);
        with_mock_stop(&w);
}

static _Atomic int errors_told;

static void count_errors(void *arg, int level, const char *facility, const char *text)
{
        UNUSED(arg);
        UNUSED(facility);
        UNUSED(text);
        errors_told += level <= 3;
}

static void a_producer_that_failed_for_good_is_replaced(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 3000);
        bus_set_log(w.bus, count_errors, NULL);
        struct test_send a, b;
        assert_int_equal(test_produce(&w, &a, "chat.events", -1, "k", "v"), 0);
        assert_true(test_wait(&w, 1, 5000));
        for (unsigned round = 0; round < 3; round++) {
                mock_break_producer(w.bus);
                unsigned sent = w.delivered;
                b.send.outcome = BUS_FAILED;
                for (int i = 0; i < 300 && b.send.outcome != BUS_OK; i++) {
                        assert_int_equal(test_produce(&w, &b, "chat.events", -1, "k", "v"), 0);
                        assert_true(test_wait(&w, ++sent, 5000));
                        mailbox_wait(w.box, 20);
                }
                assert_int_equal(b.send.outcome, BUS_OK);
        }
        assert_true(errors_told >= 3);
        with_mock_stop(&w);
}

static void retriable_errors_are_not_the_senders_business(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 5000);
        mock_fail(w.mock, MOCK_PRODUCE, MOCK_NOT_LEADER, 1);
        mock_fail(w.mock, MOCK_PRODUCE, MOCK_NOT_ENOUGH_REPLICAS, 2);
        mock_fail(w.mock, MOCK_PRODUCE, MOCK_DISCONNECT, 1);
        struct test_send a;
        assert_int_equal(test_produce(&w, &a, "chat.events", -1, "k", "v"), 0);
        assert_true(test_wait(&w, 1, 6000));
        assert_int_equal(a.send.outcome, BUS_OK);
        with_mock_stop(&w);
}

static void a_purge_answers_everything(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 8000);
        mock_down(w.mock, true);
        struct test_send sends[10];
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(test_produce(&w, &sends[i], "chat.events", -1, "k", "v"), 0);
        bus_purge(w.bus);
        assert_true(test_wait(&w, 10, 2000));
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(sends[i].send.outcome, BUS_FAILED);
        with_mock_stop(&w);
}

static void freeing_answers_what_is_left(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 8000);
        mock_down(w.mock, true);
        struct test_send a;
        assert_int_equal(test_produce(&w, &a, "chat.events", -1, "k", "v"), 0);
        int64_t began = clock_mono_ms();
        w.bus = bus_free(w.bus, 200);
        assert_in_range(clock_mono_ms() - began, 150, 4000);
        mailbox_run(w.box);
        assert_int_equal(a.send.outcome, BUS_FAILED);
        with_mock_stop(&w);
}

static _Atomic int on_thread;

static void done_on_thread(struct bus_send *s)
{
        on_thread = s->outcome == BUS_OK ? 1 : 2;
}

static void without_a_mailbox_the_report_thread_calls(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 5000);
        struct bus_send s = {.done = done_on_thread};
        struct bus_record r = {
                .topic = SLICE_LIT("broadcasts"), .partition = 0, .value = SLICE_LIT("x")};
        assert_int_equal(bus_produce(w.bus, &r, &s), 0);
        bus_produce_volatile(w.bus, &r);
        for (int i = 0; i < 100 && !on_thread; i++)
                mailbox_wait(w.box, 20);
        assert_int_equal(on_thread, 1);
        with_mock_stop(&w);
}

static void the_connection_is_seen(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 5000);
        for (int i = 0; i < 100 && !bus_up(w.bus); i++)
                mailbox_wait(w.box, 50);
        assert_true(bus_up(w.bus));
        uint32_t n = 0;
        assert_int_equal(bus_partitions(w.bus, "chat.events", 2000, &n), 0);
        assert_int_equal(n, 4);
        assert_true(bus_is_embedded(w.bus));
        mock_down(w.mock, true);
        for (int i = 0; i < 100 && bus_up(w.bus); i++)
                mailbox_wait(w.box, 50);
        assert_false(bus_up(w.bus));
        with_mock_stop(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_confirmed_send_names_its_place),
                cmocka_unit_test(every_key_goes_where_java_would_put_it),
                cmocka_unit_test(with_kafka_away_a_send_fails_in_time),
                cmocka_unit_test(a_broker_lost_after_a_first_send_still_answers_and_comes_back),
                cmocka_unit_test(what_was_in_flight_when_time_ran_out_is_unknown),
                cmocka_unit_test(a_full_queue_is_busy),
                cmocka_unit_test(a_record_over_the_limit_is_refused),
                cmocka_unit_test(what_cannot_be_a_topic_or_a_partition_fails),
                cmocka_unit_test(a_producer_that_failed_for_good_is_replaced),
                cmocka_unit_test(retriable_errors_are_not_the_senders_business),
                cmocka_unit_test(a_purge_answers_everything),
                cmocka_unit_test(freeing_answers_what_is_left),
                cmocka_unit_test(without_a_mailbox_the_report_thread_calls),
                cmocka_unit_test(the_connection_is_seen),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
