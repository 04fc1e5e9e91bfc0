/* The gateway's statements against the real tables. */
#include "tests/unit/store/pg_fixture.h"

#include "notification_sql.h"

static struct pg pg;
static struct db *db;

static int group_setup(void **state)
{
        UNUSED(state);
        pg_start(&pg);
        pg_migrate(&pg);
        db = pg_db(&pg);
        pg_exec(db, "INSERT INTO notification SELECT 'n' || n, n, to_timestamp(n), NULL, 'ann', "
                    "'k', 't', 'b', '{\"a\":1}'"
                    " FROM generate_series(10, 19) n;"
                    "UPDATE notification SET read_at = now() WHERE id = 'n15';"
                    "INSERT INTO read_state VALUES ('ann', 12, now());"
                    "INSERT INTO notification_event SELECT n, to_timestamp(n), 1, 0, "
                    "'notifications', 'ann', 't', 'n' || n, '{}'"
                    " FROM generate_series(10, 19) n;"
                    "INSERT INTO notification_event VALUES (30, to_timestamp(18), 1, 0, "
                    "'broadcasts', 'all', 't', 'b1', '{}');"
                    "INSERT INTO ingest_offset (topic, partition, epoch, next_offset) VALUES "
                    "('broadcasts', 0, 1, 77)");
        return 0;
}

static int group_teardown(void **state)
{
        UNUSED(state);
        db_free(db);
        pg_stop(&pg);
        return 0;
}

static struct db_result run(unsigned which, const char *const *params, size_t count)
{
        struct db_result r = DB_RESULT_NONE;
        int err = db_run(db, &notification_sql[which], params, count, &r);
        if (err < 0)
                print_message("%s: %s\n", notification_sql[which].name, db_error(db)->text);
        assert_int_equal(err, 0);
        return r;
}

static void a_page_is_newest_first_with_what_is_read(void **state)
{
        UNUSED(state);
        const char *const params[] = {"ann", "18", "5", "false"};
        struct db_result r = run(NOTIFICATION_SQL_LIST, params, 4);
        assert_int_equal(r.rows, 5);
        assert_int_equal(r.columns, 8);
        assert_string_equal(db_value(&r, 0, 0), "n17");
        assert_string_equal(db_value(&r, 0, 5), "{\"a\":1}");
        assert_string_equal(db_value(&r, 0, 7), "f");
        assert_string_equal(db_value(&r, 2, 7), "t");
        db_result_done(&r);
        const char *const unread[] = {"ann", "100", "50", "true"};
        r = run(NOTIFICATION_SQL_LIST, unread, 4);
        assert_int_equal(r.rows, 6);
        db_result_done(&r);
}

static void marks_that_only_the_log_has_count(void **state)
{
        UNUSED(state);
        static const struct {
                const char *read_all, *ids;
                int64_t count;
        } cases[] = {{"-1", "[]", 6}, {"16", "[]", 3}, {"5", "[\"n19\",\"n10\",\"it's\"]", 5},
                {"17", "[\"n18\",\"n15\"]", 1}};
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                const char *const params[] = {"ann", cases[i].read_all, cases[i].ids};
                struct db_result r = run(NOTIFICATION_SQL_UNREAD, params, 3);
                assert_int_equal(r.rows, 1);
                assert_int_equal(db_int(&r, 0, 0), cases[i].count);
                db_result_done(&r);
        }
}

static void a_notification_is_found_for_its_user_only(void **state)
{
        UNUSED(state);
        const char *const hers[] = {"n12", "ann"}, *const his[] = {"n12", "bob"};
        struct db_result r = run(NOTIFICATION_SQL_ONE, hers, 2);
        assert_int_equal(r.rows, 1);
        db_result_done(&r);
        r = run(NOTIFICATION_SQL_ONE, his, 2);
        assert_int_equal(r.rows, 0);
        db_result_done(&r);
}

static void a_time_is_a_place_in_both_topics(void **state)
{
        UNUSED(state);
        const char *const params[] = {"ann", "16500", "1"};
        struct db_result r = run(NOTIFICATION_SQL_SINCE, params, 3);
        assert_int_equal(r.rows, 1);
        assert_int_equal(r.columns, 3);
        assert_int_equal(db_int(&r, 0, 0), 17);
        assert_int_equal(db_int(&r, 0, 1), 30);
        assert_int_equal(db_int(&r, 0, 2), 77);
        db_result_done(&r);
        const char *const later[] = {"ann", "99000000", "2"};
        r = run(NOTIFICATION_SQL_SINCE, later, 3);
        for (size_t i = 0; i < 3; i++)
                assert_null(db_value(&r, 0, i));
        db_result_done(&r);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_page_is_newest_first_with_what_is_read),
                cmocka_unit_test(marks_that_only_the_log_has_count),
                cmocka_unit_test(a_notification_is_found_for_its_user_only),
                cmocka_unit_test(a_time_is_a_place_in_both_topics),
        };
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
