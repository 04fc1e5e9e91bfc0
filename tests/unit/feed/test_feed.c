/* feed on the mock broker: from Kafka to clients, without Postgres. */
#include "feed_fixture.h"

static struct fixture x;
static struct client alice, bob;

static int start(void **state)
{
        UNUSED(state);
        fixture_start_broker(&x);
        memset(&alice, 0, sizeof(alice));
        memset(&bob, 0, sizeof(bob));
        return 0;
}

static int stop(void **state)
{
        UNUSED(state);
        if (x.fanout && x.feed) {
                if (alice.sub.rooms.next)
                        subscriber_done(x.fanout, &alice.sub);
                if (bob.sub.rooms.next)
                        subscriber_done(x.fanout, &bob.sub);
        }
        fixture_stop(&x);
        return 0;
}

static void it_is_ready_when_it_has_read_what_was_there(void **state)
{
        UNUSED(state);
        fixture_produce_many(&x, "room", "before", 50);
        fixture_produce(&x, "chat.sessions", "pid", "s1", "tern.session", "{}", -1, NULL);
        fixture_start_feed(&x);
        assert_false(feed_ready(x.feed));
        run_until(&x, feed_ready(x.feed));
        assert_int_equal(feed_partitions(x.feed, EVENTS), PARTITIONS);
        assert_int_equal(fanout_position(x.fanout, EVENTS, key_partition("room")), 50);
        assert_int_equal(x.records_seen, 1);
        unsigned n = 0;
        for (const struct record *r = fanout_newest(x.fanout, EVENTS, SLICE_LIT("room")); r;
                r = fanout_prev(x.fanout, r))
                assert_int_equal(r->offset, 49 - n++);
        assert_int_equal(n, 50);
}

static void what_comes_later_is_delivered_live(void **state)
{
        UNUSED(state);
        fixture_start_feed(&x);
        run_until(&x, feed_ready(x.feed));
        subscriber_init(&alice.sub, 0);
        subscriber_init(&bob.sub, 1);
        client_join(&x, &alice, "room");
        client_join(&x, &bob, "other");
        subscriber_attach_now(x.fanout, &alice.sub);
        subscriber_attach_now(x.fanout, &bob.sub);
        fixture_produce_many(&x, "room", "live", 200);
        run_until(&x, alice.count == 200);
        check_seqs_rise(&alice);
        assert_int_equal(bob.count, 0);
        fixture_produce(&x, "chat.signals", "room", "t1", "tern.typing", "typing", -1, NULL);
        run_until(&x, alice.count == 201);
        assert_string_equal(alice.last_value, "typing");
}

static int64_t batch_bytes(void)
{
        return metrics_get(x.on.metrics, M_memory_used, MEMORY_BATCHES);
}

static void what_a_shard_has_not_taken_yet_is_memory_in_use(void **state)
{
        UNUSED(state);
        fixture_start_feed(&x);
        run_until(&x, feed_ready(x.feed) && batch_bytes() == 0);
        fixture_produce_many(&x, "room", "behind", 50);
        int64_t until = clock_mono_ms() + 5000;
        while (batch_bytes() < 50 && clock_mono_ms() < until)
                usleep(1000);
        assert_true(batch_bytes() >= 50);
        assert_true(batch_bytes() <= metrics_get(x.on.metrics, M_memory_limit, MEMORY_BATCHES));
        run_until(&x, batch_bytes() == 0);
}

struct waiter {
        struct fanout_wait wait;
        int64_t original;
        bool passed;
};

static void on_passed(struct fanout_wait *w, int64_t original)
{
        struct waiter *wt = container_of(w, struct waiter, wait);
        wt->passed = true;
        wt->original = original;
}

static void duplicates_and_foreign_records_are_shown_to_nobody(void **state)
{
        UNUSED(state);
        fixture_start_feed(&x);
        run_until(&x, feed_ready(x.feed));
        subscriber_init(&alice.sub, 0);
        client_join(&x, &alice, "room");
        subscriber_attach_now(x.fanout, &alice.sub);
        int32_t partition = -1;
        int64_t first = fixture_produce(
                &x, "chat.events", "room", "same", "tern.message.created", "first", -1, &partition);
        fixture_produce(&x, "chat.events", "room", "foreign", "tern.message.created", "foreign",
                (partition + 1) % PARTITIONS, NULL);
        int64_t again = fixture_produce(
                &x, "chat.events", "room", "same", "tern.message.created", "again", -1, NULL);
        struct waiter w = {.wait.passed = on_passed};
        fanout_wait_passed(x.fanout, EVENTS, (uint16_t)partition, again, &w.wait);
        run_until(&x, w.passed);
        assert_int_equal(w.original, first);
        fixture_produce(
                &x, "chat.events", "room", "last", "tern.message.created", "last", -1, NULL);
        run_until(&x, alice.count >= 2);
        assert_int_equal(alice.count, 2);
        assert_string_equal(alice.last_value, "last");
        assert_int_equal(metrics_get(x.on.metrics, M_records_skipped,
                                 (unsigned)metrics_label(M_records_skipped, "duplicate")),
                1);
        assert_int_equal(metrics_get(x.on.metrics, M_records_skipped,
                                 (unsigned)metrics_label(M_records_skipped, "partition")),
                1);
        /* Asked afterwards, the answer is the same. */
        w.passed = false;
        fanout_wait_passed(x.fanout, EVENTS, (uint16_t)partition, again, &w.wait);
        assert_true(w.passed);
        assert_int_equal(w.original, first);
}

struct question {
        int err;
        bool done;
};

static void on_barrier(void *arg, int err)
{
        struct question *q = arg;
        assert_false(q->done);
        q->done = true;
        q->err = err;
}

static void a_barrier_waits_for_the_end_as_of_the_question(void **state)
{
        UNUSED(state);
        fixture_start_feed(&x);
        run_until(&x, feed_ready(x.feed));
        struct question empty = {0}, q[20] = {0}, cancelled = {0};
        feed_barrier(x.shard, EVENTS, SLICE_LIT("room"), 3000, on_barrier, &empty);
        run_until(&x, empty.done);
        assert_int_equal(empty.err, 0);
        fixture_produce_many(&x, "room", "b", 30);
        for (size_t i = 0; i < ARRAY_LEN(q); i++)
                feed_barrier(x.shard, EVENTS, SLICE_LIT("room"), 3000, on_barrier, &q[i]);
        struct feed_barrier *b =
                feed_barrier(x.shard, EVENTS, SLICE_LIT("room"), 3000, on_barrier, &cancelled);
        feed_barrier_cancel(b);
        run_until(&x, q[19].done);
        for (size_t i = 0; i < ARRAY_LEN(q); i++)
                assert_true(q[i].done && q[i].err == 0);
        assert_int_equal(fanout_position(x.fanout, EVENTS, key_partition("room")), 30);
        fixture_run_ms(&x, 50);
        assert_false(cancelled.done);
}

static void a_barrier_gives_up_when_kafka_is_away(void **state)
{
        UNUSED(state);
        fixture_start_feed(&x);
        run_until(&x, feed_ready(x.feed));
        mock_down(x.on.mock, true);
        struct question q = {0};
        int64_t began = clock_mono_ms();
        feed_barrier(x.shard, EVENTS, SLICE_LIT("room"), 400, on_barrier, &q);
        run_until(&x, q.done);
        assert_int_equal(q.err, -ETIMEDOUT);
        assert_true(clock_mono_ms() - began < 1500);
        mock_down(x.on.mock, false);
        /* And everything goes on by itself. */
        subscriber_init(&alice.sub, 0);
        client_join(&x, &alice, "room");
        subscriber_attach_now(x.fanout, &alice.sub);
        fixture_run_ms(&x, 300);
        fixture_produce(
                &x, "chat.events", "room", "later", "tern.message.created", "later", -1, NULL);
        run_until(&x, alice.count == 1);
}

static void it_stops_at_once_while_kafka_is_away_from_the_start(void **state)
{
        UNUSED(state);
        mock_down(x.on.mock, true);
        fixture_start_feed(&x);
        fixture_run_ms(&x, 300);
        assert_false(feed_ready(x.feed));
        int64_t began = clock_mono_ms();
        fixture_stop_feed(&x);
        assert_true(clock_mono_ms() - began < 5000);
        mock_down(x.on.mock, false);
}

static void a_client_resumes_from_the_tail(void **state)
{
        UNUSED(state);
        fixture_produce_many(&x, "room", "a", 40);
        fixture_start_feed(&x);
        run_until(&x, feed_ready(x.feed));
        int64_t vector[PARTITIONS] = {0};
        vector[key_partition("room")] = 10;
        subscriber_init(&alice.sub, 0);
        client_join(&x, &alice, "room");
        subscriber_attach(x.fanout, &alice.sub, vector, clock_mono_ms());
        assert_int_equal(alice.lives, 1);
        assert_int_equal(alice.tier, TIER_TAIL);
        assert_int_equal(alice.count, 30);
        check_seqs_rise(&alice);
        fixture_produce_many(&x, "room", "b", 10);
        run_until(&x, alice.count == 40);
        check_seqs_rise(&alice);
}

/* The tail is made so short that it holds next to nothing. */
static void start_with_short_tail(unsigned records)
{
        x.settings.tail_bytes_max = 0;
        x.settings.tail_fill_ms = x.settings.dedupe_window_ms = 60000;
        fixture_produce_many(&x, "room", "old", records);
        fixture_start_feed(&x);
        run_until(&x, feed_ready(x.feed));
        run_until(&x, fanout_tail_start(x.fanout, EVENTS, key_partition("room")) > 0);
}

static void what_the_tail_has_lost_comes_from_kafka(void **state)
{
        UNUSED(state);
        start_with_short_tail(500);
        fixture_produce(&x, "chat.events", "room", "old-3", "tern.message.created", "a duplicate",
                -1, NULL);
        fixture_produce(&x, "chat.events", "room", "new", "tern.message.created", "new", -1, NULL);
        run_until(&x, fanout_position(x.fanout, EVENTS, key_partition("room")) == 502);
        int64_t vector[PARTITIONS] = {0};
        vector[key_partition("room")] = 100;
        subscriber_init(&alice.sub, 0);
        client_join(&x, &alice, "room");
        alice.limit = 150; /* it takes no more for now */
        subscriber_attach(x.fanout, &alice.sub, vector, clock_mono_ms());
        run_until(&x, alice.count == 150);
        fixture_run_ms(&x, 100);
        assert_int_equal(alice.count, 150);
        assert_int_equal(alice.lives, 0);
        alice.limit = 0;
        subscriber_drained(x.fanout, &alice.sub, clock_mono_ms());
        run_until(&x, alice.lives == 1);
        assert_int_equal(alice.tier, TIER_KAFKA);
        assert_int_equal(alice.count, 401);
        assert_int_equal(alice.gaps, 0);
        check_seqs_rise(&alice);
        assert_string_equal(alice.last_value, "new");
}

static void a_read_whose_client_leaves_is_harmless(void **state)
{
        UNUSED(state);
        start_with_short_tail(300);
        int64_t vector[PARTITIONS] = {0};
        for (int i = 0; i < 20; i++) {
                subscriber_init(&alice.sub, 0);
                client_join(&x, &alice, "room");
                subscriber_attach(x.fanout, &alice.sub, vector, clock_mono_ms());
                if (i % 2)
                        fixture_run_ms(&x, i);
                subscriber_done(x.fanout, &alice.sub);
        }
        alice.count = 0;
        alice.lives = 0;
        subscriber_init(&bob.sub, 0);
        client_join(&x, &bob, "room");
        subscriber_attach(x.fanout, &bob.sub, vector, clock_mono_ms());
        run_until(&x, bob.lives == 1);
        assert_int_equal(bob.count, 300);
}

static void a_range_that_nobody_has_is_announced_as_a_gap(void **state)
{
        UNUSED(state);
        /* The mock keeps 5 MB of a partition. */
        static char big[8000];
        memset(big, 'x', sizeof(big) - 1);
        for (int i = 0; i < 800; i++) {
                char id[16];
                snprintf(id, sizeof(id), "big-%d", i);
                fixture_produce(
                        &x, "chat.events", "room", id, "tern.message.created", big, -1, NULL);
        }
        x.settings.tail_bytes_max = 0;
        fixture_start_feed(&x);
        run_until(&x, feed_ready(x.feed));
        int64_t vector[PARTITIONS] = {0};
        subscriber_init(&alice.sub, 0);
        client_join(&x, &alice, "room");
        subscriber_attach(x.fanout, &alice.sub, vector, clock_mono_ms());
        run_until(&x, alice.lives == 1);
        assert_int_equal(alice.gaps, 1);
        assert_int_equal(alice.tier, TIER_GAP);
        assert_int_equal(alice.gap_from, (int64_t)1 << 40);
        assert_int_equal(alice.gap_to, alice.seqs[0]);
        assert_int_equal(alice.count, 800 - (alice.gap_to - alice.gap_from));
        check_seqs_rise(&alice);
}

static void an_announced_epoch_restarts_its_topic(void **state)
{
        UNUSED(state);
        fixture_produce_many(&x, "room", "a", 5);
        fixture_produce(&x, "access", "epoch/chat.events", "e1", "tern.epoch",
                "{\"topic\":\"chat.events\",\"epoch\":4,\"clusterId\":\"c\",\"partitions\":4}", -1,
                NULL);
        fixture_start_feed(&x);
        run_until(&x, feed_ready(x.feed));
        /* Postgres is not there: the access topic says which epoch it is. */
        assert_int_equal(fanout_epoch(x.fanout, EVENTS), 4);
        subscriber_init(&alice.sub, 0);
        client_join(&x, &alice, "room");
        subscriber_attach_now(x.fanout, &alice.sub);
        fixture_produce(&x, "access", "epoch/chat.events", "e2", "tern.epoch",
                "{\"topic\":\"chat.events\",\"epoch\":5,\"clusterId\":\"c\",\"partitions\":4}", -1,
                NULL);
        run_until(&x, fanout_epoch(x.fanout, EVENTS) == 5);
        /* The log begins anew; here it is the old one, read again under the new epoch. What came in the old epoch after the
         * client's place cannot be had without Postgres. */
        run_until(&x, alice.lives == 1);
        run_until(&x, alice.count == 5);
        assert_int_equal(alice.seqs[0], (int64_t)5 << 40);
        assert_int_equal(alice.gaps, 1);
}

static void a_slow_shard_slows_the_bus(void **state)
{
        UNUSED(state);
        x.settings.shard_credit_bytes = 65536;
        fixture_start_feed(&x);
        run_until(&x, feed_ready(x.feed));
        fixture_produce_many(&x, "room", "flood", 4000);
        usleep(300000);
        /* Nobody ran the shard: what waits for it is bounded. */
        assert_true(mailbox_len(x.box) < 200);
        run_until(&x, fanout_position(x.fanout, EVENTS, key_partition("room")) == 4000);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        it_is_ready_when_it_has_read_what_was_there, start, stop),
                cmocka_unit_test_setup_teardown(what_comes_later_is_delivered_live, start, stop),
                cmocka_unit_test_setup_teardown(
                        what_a_shard_has_not_taken_yet_is_memory_in_use, start, stop),
                cmocka_unit_test_setup_teardown(
                        duplicates_and_foreign_records_are_shown_to_nobody, start, stop),
                cmocka_unit_test_setup_teardown(
                        a_barrier_waits_for_the_end_as_of_the_question, start, stop),
                cmocka_unit_test_setup_teardown(a_barrier_gives_up_when_kafka_is_away, start, stop),
                cmocka_unit_test_setup_teardown(
                        it_stops_at_once_while_kafka_is_away_from_the_start, start, stop),
                cmocka_unit_test_setup_teardown(a_client_resumes_from_the_tail, start, stop),
                cmocka_unit_test_setup_teardown(
                        what_the_tail_has_lost_comes_from_kafka, start, stop),
                cmocka_unit_test_setup_teardown(
                        a_read_whose_client_leaves_is_harmless, start, stop),
                cmocka_unit_test_setup_teardown(
                        a_range_that_nobody_has_is_announced_as_a_gap, start, stop),
                cmocka_unit_test_setup_teardown(an_announced_epoch_restarts_its_topic, start, stop),
                cmocka_unit_test_setup_teardown(a_slow_shard_slows_the_bus, start, stop),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
