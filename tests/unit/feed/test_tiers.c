/* feed on the mock broker with a private Postgres: older records, epochs, and reads that answer clients. */
#include "feed_fixture.h"

#include "../store/pg_fixture.h"

#include "feed_sql.h"

static struct pg pg;
static struct fixture x;
static struct client alice;
static char dsn[300];

static void sql(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void sql(const char *fmt, ...)
{
        char text[1024];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        struct db *db = pg_db(&pg);
        pg_exec(db, text);
        db_free(db);
}

static int start_postgres(void **state)
{
        UNUSED(state);
        pg_start(&pg);
        snprintf(dsn, sizeof(dsn), "%s", pg.dsn);
        pg_migrate(&pg);
        return 0;
}

static int stop_postgres(void **state)
{
        UNUSED(state);
        pg_stop(&pg);
        return 0;
}

static const struct store_statement one = {"test_one", "SELECT $1::text"};

static int start(void **state)
{
        UNUSED(state);
        fixture_start_broker(&x);
        memset(&alice, 0, sizeof(alice));
        sql("TRUNCATE log_epoch, ingest_offset, chat_event");
        const struct store_set sets[] = {{feed_sql, FEED_SQL_COUNT}, {&one, 1}};
        const struct store_settings s = {
                .dsn = dsn, .dsn_secret = NULL, .pool = 2, .timeout_ms = 1000, .queue_max = 100};
        char fault[256] = "";
        int err = store_new(&s, sets, ARRAY_LEN(sets), x.on.metrics, &x.store, fault);
        if (err)
                print_message("store_new: %s\n", fault);
        assert_int_equal(err, 0);
        for (int64_t until = clock_mono_ms() + 5000; !store_up(x.store) && clock_mono_ms() < until;)
                usleep(1000);
        assert_true(store_up(x.store));
        return 0;
}

static int stop(void **state)
{
        UNUSED(state);
        if (x.fanout && x.feed && alice.sub.rooms.next)
                subscriber_done(x.fanout, &alice.sub);
        fixture_stop_feed(&x);
        x.store = store_free(x.store);
        fixture_stop(&x);
        return 0;
}

static int64_t seq(uint32_t epoch, int64_t offset)
{
        return ((int64_t)epoch << 40) + offset;
}

/* The archive's rows [from, to) of the room, as the writer would have made them. */
static void archive(uint32_t epoch, int64_t from, int64_t to)
{
        sql("INSERT INTO chat_event SELECT %lld + i, now(), %u, %u, 'room', "
            "'tern.message.created', 'old-' || i, 'old ' || i FROM generate_series(%lld, %lld) AS "
            "g(i)",
                (long long)seq(epoch, 0), epoch, key_partition("room"), (long long)from,
                (long long)to - 1);
}

static void ingested(uint32_t epoch, int64_t next, int64_t complete_from)
{
        sql("INSERT INTO ingest_offset (topic, partition, epoch, next_offset, complete_from) "
            "VALUES ('chat.events', %u, %u, %lld, %lld) "
            "ON CONFLICT (topic, partition, epoch) DO UPDATE SET next_offset = "
            "excluded.next_offset, complete_from = excluded.complete_from",
                key_partition("room"), epoch, (long long)next, (long long)complete_from);
}

/* A tail that holds next to nothing over a log of n records. */
static void start_feed(unsigned n)
{
        x.settings.tail_bytes_max = 0;
        fixture_produce_many(&x, "room", "old", n);
        fixture_start_feed(&x);
        run_until(&x, feed_ready(x.feed));
        run_until(&x, fanout_tail_start(x.fanout, EVENTS, key_partition("room")) == n);
}

static void attach(uint32_t epoch, int64_t offset)
{
        int64_t vector[PARTITIONS] = {0};
        vector[key_partition("room")] = offset;
        subscriber_init(&alice.sub, 0);
        client_join(&x, &alice, "room");
        subscriber_attach_old_epoch(x.fanout, &alice.sub, epoch, vector, clock_mono_ms());
}

static void older_records_come_from_postgres(void **state)
{
        UNUSED(state);
        archive(1, 0, 700);
        ingested(1, 700, 0);
        start_feed(700);
        attach(1, 100);
        run_until(&x, alice.lives == 1);
        assert_int_equal(alice.tier, TIER_POSTGRES);
        assert_int_equal(alice.count, 600);
        assert_int_equal(alice.seqs[0], seq(1, 100));
        check_seqs_rise(&alice);
        assert_string_equal(alice.last_value, "old 699");
}

static void what_postgres_does_not_have_yet_comes_from_kafka(void **state)
{
        UNUSED(state);
        archive(1, 0, 300);
        ingested(1, 300, 0);
        start_feed(700);
        attach(1, 100);
        run_until(&x, alice.lives == 1);
        assert_int_equal(alice.tier, TIER_KAFKA);
        assert_int_equal(alice.count, 600);
        check_seqs_rise(&alice);
        assert_int_equal(alice.gaps, 0);
}

static void rows_that_are_gone_come_from_kafka_if_it_has_them(void **state)
{
        UNUSED(state);
        archive(1, 250, 500);
        ingested(1, 500, 250);
        start_feed(500);
        attach(1, 100);
        run_until(&x, alice.lives == 1);
        assert_int_equal(alice.tier, TIER_KAFKA);
        assert_int_equal(alice.gaps, 0);
        assert_int_equal(alice.count, 400);
        check_seqs_rise(&alice);
}

static void rows_of_an_older_epoch_that_are_gone_are_a_gap(void **state)
{
        UNUSED(state);
        sql("INSERT INTO log_epoch VALUES ('chat.events', 2, 'b', 4)");
        archive(1, 40, 50);
        ingested(1, 50, 40);
        start_feed(20);
        attach(1, 10);
        run_until(&x, alice.lives == 1);
        assert_int_equal(alice.tier, TIER_GAP);
        assert_int_equal(alice.gaps, 1);
        assert_int_equal(alice.gap_from, seq(1, 10));
        assert_int_equal(alice.count, 20);
}

static void a_range_that_nobody_can_tell_of_is_no_gap(void **state)
{
        UNUSED(state);
        sql("INSERT INTO log_epoch VALUES ('chat.events', 1, 'a', 4), ('chat.events', 2, 'b', 4)");
        archive(1, 0, 50);
        ingested(1, 50, 0);
        start_feed(20);
        pg_kill(&pg, SIGQUIT);
        attach(1, 10);
        run_until(&x, alice.unreadable == 1);
        assert_int_equal(alice.gaps, 0);
        assert_int_equal(alice.count, 0);
        pg_run(&pg);
        run_until(&x, alice.lives == 1); /* who is not closed is asked for again */
        assert_int_equal(alice.gaps, 0);
        assert_int_equal(alice.count, 60);
}

static void holes_of_other_keys_are_no_gap(void **state)
{
        UNUSED(state);
        ingested(1, 500, 0);
        start_feed(500); /* the archive has no row of this key: it can prove so */
        attach(1, 100);
        run_until(&x, alice.lives == 1);
        assert_int_equal(alice.tier, TIER_POSTGRES);
        assert_int_equal(alice.count, 0);
        assert_int_equal(alice.gaps, 0);
}

static void kafka_answers_while_postgres_is_away(void **state)
{
        UNUSED(state);
        archive(1, 0, 300);
        ingested(1, 300, 0);
        start_feed(300);
        pg_kill(&pg, SIGQUIT);
        attach(1, 50);
        run_until(&x, alice.lives == 1);
        assert_int_equal(alice.tier, TIER_KAFKA);
        assert_int_equal(alice.count, 250);
        assert_int_equal(alice.gaps, 0);
        pg_run(&pg);
}

static void a_cursor_of_an_older_epoch_resumes_by_seq(void **state)
{
        UNUSED(state);
        sql("INSERT INTO log_epoch VALUES ('chat.events', 1, 'a', 4), ('chat.events', 3, 'b', 4)");
        archive(1, 0, 80);
        ingested(1, 80, 0);
        ingested(2, 0, 0);
        ingested(3, 0, 0);
        start_feed(20);
        assert_int_equal(fanout_epoch(x.fanout, EVENTS), 3);
        attach(1, 60);
        run_until(&x, alice.lives == 1);
        assert_int_equal(alice.gaps, 0);
        assert_int_equal(alice.count, 40);
        assert_int_equal(alice.seqs[0], seq(1, 60));
        assert_int_equal(alice.seqs[19], seq(1, 79));
        assert_int_equal(alice.seqs[20], seq(3, 0));
}

static void an_older_epoch_that_was_not_archived_is_a_gap(void **state)
{
        UNUSED(state);
        sql("INSERT INTO log_epoch VALUES ('chat.events', 2, 'b', 4)");
        archive(1, 0, 50);
        ingested(1, 50, 0);
        start_feed(20);
        attach(1, 60);
        run_until(&x, alice.lives == 1);
        assert_int_equal(alice.gaps, 1);
        assert_int_equal(alice.gap_from, seq(1, 60));
        assert_int_equal(alice.gap_to, seq(2, 0));
        assert_int_equal(alice.count, 20);
}

/* ---- reads that answer ---- */

struct asked {
        bool done;
        int err;
        int64_t ingested;
        size_t bridged;
        int64_t bridge_first, bridge_last;
        char value[64];
};

static void on_rows(void *arg, int err, const struct feed_rows *rows)
{
        struct asked *a = arg;
        assert_false(a->done);
        a->done = true;
        a->err = err;
        if (!rows)
                return;
        a->ingested = rows->ingested;
        a->bridged = rows->bridge_count;
        for (size_t i = 0; i < rows->bridge_count; i++) {
                assert_true(slice_is(record_key(rows->bridge[i]), "room"));
                assert_true(i == 0 || rows->bridge[i]->offset > a->bridge_last);
                a->bridge_last = rows->bridge[i]->offset;
        }
        if (rows->bridge_count > 0)
                a->bridge_first = rows->bridge[0]->offset;
        slice_copy(slice_of(rows->values[0], rows->lengths[0]), a->value, sizeof(a->value));
}

static struct feed_query *ask(struct asked *a)
{
        static const char *const params[] = {"hello"};
        *a = (struct asked){0};
        return feed_query(x.shard, EVENTS, SLICE_LIT("room"), &one, params, 1, on_rows, a);
}

static void a_read_says_where_the_tail_takes_over(void **state)
{
        UNUSED(state);
        fixture_produce_many(&x, "room", "old", 30);
        ingested(1, 12, 0);
        fixture_start_feed(&x);
        run_until(&x, feed_ready(x.feed));
        struct asked a;
        ask(&a);
        run_until(&x, a.done);
        assert_int_equal(a.err, 0);
        assert_int_equal(a.ingested, 12);
        assert_string_equal(a.value, "hello");
}

static void a_read_waits_for_a_writer_that_is_behind_and_then_refuses(void **state)
{
        UNUSED(state);
        x.settings.read_wait_ms = 1500;
        ingested(1, 12, 0);
        start_feed(30);
        struct asked a, b;
        ask(&a);
        fixture_run_ms(&x, 200);
        assert_false(a.done);
        ingested(1, 30, 0);
        run_until(&x, a.done);
        assert_int_equal(a.err, 0);
        assert_int_equal(a.ingested, 30);
        ingested(1, 29, 0);
        ask(&b);
        run_until(&x, b.done);
        assert_int_equal(b.err, -EAGAIN);
}

static void a_bridge_brings_what_lies_between_the_archive_and_the_tail(void **state)
{
        UNUSED(state);
        ingested(1, 12, 0);
        start_feed(1400);
        struct asked a;
        feed_query_bridge(ask(&a), SLICE_LIT("room"));
        run_until(&x, a.done);
        assert_int_equal(a.err, 0);
        assert_int_equal(a.ingested, 12);
        assert_int_equal(a.bridged, 1388);
        assert_int_equal(a.bridge_first, 12);
        assert_int_equal(a.bridge_last, 1399);
        assert_string_equal(a.value, "hello");
        ingested(1, 1400, 0);
        feed_query_bridge(ask(&a), SLICE_LIT("room"));
        run_until(&x, a.done);
        assert_int_equal(a.err, 0);
        assert_int_equal(a.bridged, 0);
}

static void a_bridge_may_be_cancelled_and_outlive_its_shard(void **state)
{
        UNUSED(state);
        ingested(1, 0, 0);
        start_feed(600);
        struct asked a, b;
        struct feed_query *q = ask(&a);
        feed_query_bridge(q, SLICE_LIT("room"));
        fixture_run_ms(&x, 30);
        if (!a.done)
                feed_query_cancel(q);
        feed_query_bridge(ask(&b), SLICE_LIT("room"));
        fixture_run_ms(&x, 20);
        fixture_stop_feed(&x);
}

static void a_read_fails_soon_while_postgres_is_away(void **state)
{
        UNUSED(state);
        fixture_start_feed(&x);
        run_until(&x, feed_ready(x.feed));
        pg_kill(&pg, SIGQUIT);
        struct asked a;
        int64_t began = clock_mono_ms();
        ask(&a);
        run_until(&x, a.done);
        assert_int_equal(a.err, -EIO);
        assert_true(clock_mono_ms() - began < 2500);
        pg_run(&pg);
}

static void reads_may_be_cancelled_and_outlive_their_shard(void **state)
{
        UNUSED(state);
        fixture_start_feed(&x);
        run_until(&x, feed_ready(x.feed));
        struct asked a, b, c;
        feed_query_cancel(ask(&a));
        fixture_run_ms(&x, 100);
        assert_false(a.done);
        pg_signal_all(&pg, SIGSTOP);
        feed_query_cancel(ask(&b));
        ask(&c);
        fixture_run_ms(&x, 50);
        fixture_stop_feed(&x);
        pg_signal_all(&pg, SIGCONT);
        assert_false(b.done || c.done);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(older_records_come_from_postgres, start, stop),
                cmocka_unit_test_setup_teardown(
                        what_postgres_does_not_have_yet_comes_from_kafka, start, stop),
                cmocka_unit_test_setup_teardown(
                        rows_that_are_gone_come_from_kafka_if_it_has_them, start, stop),
                cmocka_unit_test_setup_teardown(
                        rows_of_an_older_epoch_that_are_gone_are_a_gap, start, stop),
                cmocka_unit_test_setup_teardown(
                        a_range_that_nobody_can_tell_of_is_no_gap, start, stop),
                cmocka_unit_test_setup_teardown(holes_of_other_keys_are_no_gap, start, stop),
                cmocka_unit_test_setup_teardown(kafka_answers_while_postgres_is_away, start, stop),
                cmocka_unit_test_setup_teardown(
                        a_cursor_of_an_older_epoch_resumes_by_seq, start, stop),
                cmocka_unit_test_setup_teardown(
                        an_older_epoch_that_was_not_archived_is_a_gap, start, stop),
                cmocka_unit_test_setup_teardown(a_read_says_where_the_tail_takes_over, start, stop),
                cmocka_unit_test_setup_teardown(
                        a_read_waits_for_a_writer_that_is_behind_and_then_refuses, start, stop),
                cmocka_unit_test_setup_teardown(
                        a_bridge_brings_what_lies_between_the_archive_and_the_tail, start, stop),
                cmocka_unit_test_setup_teardown(
                        a_bridge_may_be_cancelled_and_outlive_its_shard, start, stop),
                cmocka_unit_test_setup_teardown(
                        a_read_fails_soon_while_postgres_is_away, start, stop),
                cmocka_unit_test_setup_teardown(
                        reads_may_be_cancelled_and_outlive_their_shard, start, stop),
        };
        return cmocka_run_group_tests(tests, start_postgres, stop_postgres);
}
