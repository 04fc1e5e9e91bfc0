/*
 * The whole writer but its main(): a mock Kafka in, a private Postgres out. Joining a group of the mock takes 3 s, so the tests
 * share what they can.
 */
#include "tests/unit/writer/writer_fixture.h"

#include "tests/unit/bus/with_mock.h"
#include "writer/intake.h"

#include "base/metrics.h"
#include "bus/seek.h"

#include <errno.h>

static struct pg pg;
static struct with_mock kafka;
static struct lifecycle lifecycle;
static struct metrics *metrics;

static int group_setup(void **state)
{
        UNUSED(state);
        lifecycle_init(&lifecycle);
        pg_start(&pg);
        pg_migrate(&pg);
        with_mock_start(&kafka, 5000);
        metrics = metrics_new(METRICS_WRITER);
        for (int t = 0; t < TOPIC_COUNT; t++) {
                char dlq[64];
                snprintf(dlq, sizeof(dlq), "%s.dlq", writer_topics[t]);
                uint32_t n = t == TOPIC_BROADCASTS ? 1 : TEST_PARTITIONS;
                int r = mock_topic(kafka.mock, writer_topics[t], n);
                assert_true(r == 0 || r == -EEXIST);
                assert_int_equal(mock_topic(kafka.mock, dlq, n), 0);
        }
        return 0;
}

static int group_teardown(void **state)
{
        UNUSED(state);
        with_mock_stop(&kafka);
        metrics_free(metrics);
        pg_stop(&pg);
        lifecycle_done(&lifecycle);
        return 0;
}

static struct intake *start(void)
{
        const struct intake_options o = {
                .dsn = pg.dsn,
                .group = "tern-writer",
                .timeout_ms = 2000,
                .session_timeout_ms = 6000,
                .batch_max = 500,
                .batch_bytes_max = 1048576,
                .linger_ms = 5,
                .commit_timeout_ms = 10000,
                .retry_max_ms = 200,
                .resume_window_days = 30,
                .stop_ms = 3000,
                .bus = kafka.bus,
                .metrics = metrics,
                .log = NULL,
                .lifecycle = &lifecycle,
        };
        struct intake *in = NULL;
        char fault[256] = "";
        assert_int_equal(intake_new(&o, &in, fault), 0);
        return in;
}

/* Waits until the first value of the query is want. */
static void await(const char *sql, int64_t want)
{
        struct db *db = pg_db(&pg);
        int64_t until = clock_mono_ms() + 15000, got = -1;
        while (got != want && clock_mono_ms() < until) {
                got = pg_number(db, sql);
                if (got != want)
                        usleep(20000);
        }
        if (got != want)
                print_message("%s: %lld, not %lld\n", sql, (long long)got, (long long)want);
        assert_int_equal(got, want);
        db_free(db);
}

static void produce(enum writer_topic topic, int32_t partition, const struct test_record *t)
{
        struct test_send send = {.send = {.reply = kafka.box, .done = test_send_done}, .w = &kafka};
        struct bus_header h[3];
        size_t n = 0;
        if (t->id)
                h[n++] = (struct bus_header){SLICE_LIT("ce_id"), slice_str(t->id)};
        if (t->type)
                h[n++] = (struct bus_header){SLICE_LIT("ce_type"), slice_str(t->type)};
        if (t->rekeyed)
                h[n++] = (struct bus_header){SLICE_LIT(HEADER_REKEYED), slice_str(t->rekeyed)};
        const struct bus_record r = {.topic = slice_str(writer_topics[topic]),
                .partition = partition,
                .key = slice_str(t->key),
                .value = slice_str(t->value),
                .headers = h,
                .header_count = n};
        unsigned before = kafka.delivered;
        assert_int_equal(bus_produce(kafka.bus, &r, &send.send), 0);
        assert_true(test_wait(&kafka, before + 1, 5000));
        assert_int_equal(send.send.outcome, BUS_OK);
}

/* Counts the records of a partition that have a header with this value. */
static unsigned count_records(
        const char *topic, int32_t partition, const char *header, const char *value)
{
        struct seek *sk = NULL;
        char fault[256];
        int64_t high = 0;
        unsigned n = 0;
        assert_int_equal(bus_watermarks(kafka.bus, topic, partition, 5000, NULL, &high), 0);
        assert_int_equal(seek_new(kafka.bus, &sk, fault), 0);
        assert_int_equal(seek_start(sk, topic, partition, 0, high), 0);
        for (int done = 0; done == 0;) {
                const struct bus_record *r = NULL;
                size_t count = 0;
                done = seek_poll(sk, 500, 100, &r, &count);
                assert_true(done >= 0);
                for (size_t i = 0; i < count; i++)
                        n += slice_is(bus_record_header(&r[i], header), value);
        }
        seek_free(sk);
        return n;
}

static const struct test_record bad = {
        .id = "bad1", .type = "tern.message.created", .key = "c1", .value = "{"};

static void what_is_in_the_log_gets_to_postgres_or_is_set_aside(void **state)
{
        UNUSED(state);
        int32_t home = home_of("c1"), wrong = (home + 1) % TEST_PARTITIONS;
        const struct test_record keyless = {.id = "n1",
                .type = "com.shop.order",
                .value = "{\"userId\":\"ann\",\"title\":\"a\",\"body\":\"b\"}"};
        struct intake *in = start();
        for (int i = 0; i < 50; i++) {
                char id[16];
                snprintf(id, sizeof(id), "m%d", i % 40);
                produce(TOPIC_EVENTS, home, MESSAGE(id, "c1"));
        }
        produce(TOPIC_EVENTS, home, &bad);
        produce(TOPIC_EVENTS, wrong, MESSAGE("foreign", "c1"));
        produce(TOPIC_NOTIFICATIONS, 0, &keyless);
        await("SELECT count(*) FROM message", 41);
        await("SELECT count(*) FROM chat_event", 41);
        await("SELECT count(*) FROM notification WHERE user_id = 'ann' AND type = 'com.shop.order'",
                1);
        await("SELECT count(*) FROM rekey", 0);
        assert_null(intake_not_ready(in));
        assert_int_equal(count_records("chat.events.dlq", home, "tern-reason", "bad_json"), 1);
        char origin[64];
        snprintf(origin, sizeof(origin), "chat.events/%d/0/1", wrong);
        assert_int_equal(count_records("chat.events", home, HEADER_REKEYED, origin), 1);

        /* A restart of Postgres costs nothing but time. */
        pg_kill(&pg, SIGQUIT);
        produce(TOPIC_EVENTS, home, MESSAGE("while-away", "c1"));
        pg_run(&pg);
        await("SELECT count(*) FROM message WHERE id = 'while-away'", 1);

        /* A record that only Postgres refuses does not stop the others. */
        struct db *db = pg_db(&pg);
        pg_exec(db, "ALTER TABLE message ADD CONSTRAINT test_refuses CHECK (id <> 'refused')");
        for (int i = 0; i < 20; i++) {
                char id[16];
                snprintf(id, sizeof(id), i == 7 ? "refused" : "after%d", i);
                produce(TOPIC_EVENTS, home, MESSAGE(id, "c1"));
        }
        await("SELECT count(*) FROM message WHERE id LIKE 'after%'", 19);
        assert_int_equal(count_records("chat.events.dlq", home, "tern-reason", "refused"), 1);
        assert_int_equal(metrics_get(metrics, M_dead_letters,
                                 (unsigned)metrics_label(M_dead_letters, "refused")),
                1);
        pg_exec(db, "ALTER TABLE message DROP CONSTRAINT test_refuses");

        /* A new life of the topic is read from its start, under new seqs; known ids make no rows. What was refused is known
         * to nobody, and is taken now. */
        int64_t events = pg_number(db, "SELECT count(*) FROM chat_event");
        pg_exec(db, "INSERT INTO log_epoch (topic, epoch, cluster_id, partitions) VALUES "
                    "('chat.events', 2, 'c', 4)");
        produce(TOPIC_EVENTS, home, MESSAGE("second-life", "c1"));
        await("SELECT count(*) FROM message WHERE id = 'second-life' AND seq >> 40 = 2", 1);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM chat_event"), events + 2);
        db_free(db);
        intake_free(in);
}

/* The dead letter and the copy of a predecessor that died before its transaction are recognised. */
static void what_a_predecessor_sent_is_not_sent_again(void **state)
{
        UNUSED(state);
        int32_t home = home_of("c1"), wrong = (home + 1) % TEST_PARTITIONS;
        int64_t end = 0, bad_at = 0, foreign_at = 0;
        char text[64], offset[24], partition[16];
        assert_int_equal(bus_watermarks(kafka.bus, "chat.events", home, 5000, NULL, &bad_at), 0);
        assert_int_equal(
                bus_watermarks(kafka.bus, "chat.events", wrong, 5000, NULL, &foreign_at), 0);
        produce(TOPIC_EVENTS, home, &bad);
        produce(TOPIC_EVENTS, wrong, MESSAGE("foreign2", "c1"));

        snprintf(offset, sizeof(offset), "%" PRId64, bad_at);
        snprintf(partition, sizeof(partition), "%d", home);
        struct bus_header h[] = {{SLICE_LIT("tern-topic"), SLICE_LIT("chat.events")},
                {SLICE_LIT("tern-partition"), slice_str(partition)},
                {SLICE_LIT("tern-offset"), slice_str(offset)},
                {SLICE_LIT("tern-epoch"), SLICE_LIT("2")}};
        const struct bus_record dead = {.topic = SLICE_LIT("chat.events.dlq"),
                .partition = home,
                .key = SLICE_LIT("c1"),
                .headers = h,
                .header_count = 4};
        struct test_send send = {.send = {.reply = kafka.box, .done = test_send_done}, .w = &kafka};
        unsigned before = kafka.delivered;
        assert_int_equal(bus_produce(kafka.bus, &dead, &send.send), 0);
        assert_true(test_wait(&kafka, before + 1, 5000));

        assert_int_equal(bus_watermarks(kafka.bus, "chat.events", home, 5000, NULL, &end), 0);
        snprintf(text, sizeof(text), "chat.events/%d/%" PRId64 "/2", wrong, foreign_at);
        struct test_record copy = *MESSAGE("foreign2", "c1");
        copy.rekeyed = text;
        produce(TOPIC_EVENTS, home, &copy);
        struct db *db = pg_db(&pg);
        char sql[200];
        snprintf(sql, sizeof(sql),
                "INSERT INTO rekey VALUES ('chat.events', %d, 2, %" PRId64 ", %d, %" PRId64 ")",
                wrong, foreign_at, home, end);
        pg_exec(db, sql);

        struct intake *in = start();
        await("SELECT count(*) FROM message WHERE id = 'foreign2'", 1);
        await("SELECT count(*) FROM rekey", 0);
        snprintf(sql, sizeof(sql),
                "SELECT (next_offset > %" PRId64 ")::int FROM ingest_offset WHERE topic = "
                                                 "'chat.events' AND partition = %d AND epoch = 2",
                bad_at, home);
        await(sql, 1);
        assert_int_equal(count_records("chat.events.dlq", home, "tern-offset", offset), 1);
        assert_int_equal(count_records("chat.events", home, HEADER_REKEYED, text), 1);
        intake_free(in);
        db_free(db);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_in_the_log_gets_to_postgres_or_is_set_aside),
                cmocka_unit_test(what_a_predecessor_sent_is_not_sent_again),
        };
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
