#include "tests/unit/writer/writer_fixture.h"

#include "writer/days.h"

static struct pg pg;
static struct db *db;
static const int64_t now = 1767225600000LL + 40 * DAY_MS; /* 2026-02-10 */

static int group_setup(void **state)
{
        UNUSED(state);
        pg_start(&pg);
        pg_migrate(&pg);
        db = pg_db(&pg);
        return 0;
}

static int group_teardown(void **state)
{
        UNUSED(state);
        db_free(db);
        pg_stop(&pg);
        return 0;
}

static int64_t tables(const char *like)
{
        char sql[160];
        snprintf(sql, sizeof(sql),
                "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname LIKE '%s'", like);
        return pg_number(db, sql);
}

static void days_are_made_ahead_and_only_once(void **state)
{
        UNUSED(state);
        struct days d = {.window = 30};
        assert_int_equal(days_load(&d, db), 0);
        assert_int_equal(days_tend(&d, db, now, NULL), 0);
        assert_int_equal(tables("chat_event_202602__"), 3);
        assert_int_equal(tables("notification_event_202602__"), 3);
        assert_int_equal(days_tend(&d, db, now, NULL), 0);
        struct days other = {.window = 30};
        assert_int_equal(days_load(&other, db), 0);
        assert_int_equal(other.count, 3);
        days_done(&other);
        days_done(&d);
}

static void a_day_outside_the_window_gets_no_table(void **state)
{
        UNUSED(state);
        struct days d = {.window = 30};
        assert_int_equal(days_load(&d, db), 0);
        assert_int_equal(days_need(&d, db, day_of(now) - 31, now), 0);
        assert_int_equal(days_need(&d, db, day_of(now) + 3, now), 0);
        assert_int_equal(tables("chat_event_20260110"), 0);
        assert_int_equal(days_need(&d, db, day_of(now) - 30, now), 0);
        assert_int_equal(tables("chat_event_20260111"), 1);
        days_done(&d);
}

static void rows_that_came_before_their_day_move_into_it(void **state)
{
        UNUSED(state);
        struct days d = {.window = 30};
        assert_int_equal(days_load(&d, db), 0);
        pg_exec(db,
                "INSERT INTO chat_event SELECT n, '2026-02-05 23:59:59.999Z'::timestamptz + n * "
                "interval '1 ms', 1, 0, 'c', 't', n::text, '' FROM generate_series(0, 1) AS n");
        assert_int_equal(pg_number(db, "SELECT count(*) FROM chat_event_default"), 2);
        assert_int_equal(days_need(&d, db, day_of(now) - 5, now), 0);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM chat_event_default"), 1);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM chat_event_20260205"), 1);
        assert_int_equal(days_need(&d, db, day_of(now) - 4, now), 0);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM chat_event_20260206"), 1);
        pg_exec(db, "DELETE FROM chat_event");
        days_done(&d);
}

static void what_is_dropped_can_no_longer_be_proven(void **state)
{
        UNUSED(state);
        struct days d = {.window = 30};
        assert_int_equal(days_load(&d, db), 0);
        pg_exec(db,
                "INSERT INTO ingest_offset (topic, partition, epoch, next_offset) VALUES "
                "('chat.events', 0, 1, 100), ('chat.events', 1, 1, 100), ('chat.events', 0, 2, "
                "100), ('notifications', 0, 1, 100), ('broadcasts', 0, 1, 100);"
                "SELECT make_day('chat_event', '2026-01-09'), make_day('chat_event', "
                "'2026-01-10'), make_day('notification_event', '2026-01-10');"
                "INSERT INTO chat_event SELECT (1::bigint << 40) + n, '2026-01-09Z', 1, 0, 'c', "
                "'t', n::text, '' FROM generate_series(0, 9) AS n;"
                "INSERT INTO chat_event SELECT (1::bigint << 40) + n, '2026-01-10Z', 1, 0, 'c', "
                "'t', n::text, '' FROM generate_series(10, 19) AS n;"
                "INSERT INTO chat_event SELECT (1::bigint << 40) + n, '2026-01-12Z', 1, 0, 'c', "
                "'t', n::text, '' FROM generate_series(20, 29) AS n;"
                "INSERT INTO chat_event SELECT (2::bigint << 40) + n, '2025-01-01Z', 2, 0, 'c', "
                "'t', n::text, '' FROM generate_series(0, 4) AS n;"
                "INSERT INTO notification_event SELECT (1::bigint << 40) + n, '2026-01-10Z', 1, 0, "
                "'broadcasts', 'all', 't', n::text, '' FROM generate_series(0, 2) AS n;"
                "INSERT INTO session SELECT 'old', 1, 1, '2026-01-01Z', false, 's', 'u', 'g', '[]';"
                "INSERT INTO session SELECT 'new', 1, 1, '2026-02-01Z', false, 's', 'u', 'g', "
                "'[]'");
        assert_int_equal(days_tend(&d, db, now, NULL), 0);
        assert_int_equal(tables("chat_event_202601__"), 1);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM chat_event"), 10);
        assert_int_equal(pg_number(db, "SELECT complete_from FROM ingest_offset WHERE topic = "
                                       "'chat.events' AND partition = 0 AND epoch = 1"),
                20);
        assert_int_equal(pg_number(db, "SELECT complete_from FROM ingest_offset WHERE topic = "
                                       "'chat.events' AND partition = 1"),
                0);
        assert_int_equal(pg_number(db, "SELECT complete_from FROM ingest_offset WHERE topic = "
                                       "'chat.events' AND epoch = 2"),
                5);
        assert_int_equal(
                pg_number(db, "SELECT complete_from FROM ingest_offset WHERE topic = 'broadcasts'"),
                3);
        assert_int_equal(
                pg_number(db,
                        "SELECT complete_from FROM ingest_offset WHERE topic = 'notifications'"),
                0);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM session"), 1);
        days_done(&d);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(days_are_made_ahead_and_only_once),
                cmocka_unit_test(a_day_outside_the_window_gets_no_table),
                cmocka_unit_test(rows_that_came_before_their_day_move_into_it),
                cmocka_unit_test(what_is_dropped_can_no_longer_be_proven),
        };
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
