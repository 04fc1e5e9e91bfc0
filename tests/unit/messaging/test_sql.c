/* The gateway's statements against the real tables: they run, they say what they should, and each finds
 * its index. */
#include "tests/unit/store/pg_fixture.h"

#include "messaging_sql.h"

static struct pg pg;
static struct db *db;

static int group_setup(void **state)
{
        UNUSED(state);
        pg_start(&pg);
        pg_migrate(&pg);
        db = pg_db(&pg);
        pg_exec(db,
                "INSERT INTO conversation VALUES ('c1', 100, to_timestamp(1), 'T', false, 'ann');"
                "INSERT INTO member VALUES ('c1', 'ann', 'owner', 101, NULL), ('c1', 'bob', "
                "'member', 102, 150),"
                " ('c1', 'eve', NULL, 103, NULL), ('c2', 'ann', 'member', 7, NULL), ('c3', 'ann', "
                "NULL, 0, 9);"
                "INSERT INTO receipt VALUES ('c1', 'eve', 120, now());"
                "INSERT INTO message SELECT 'm' || n, n, to_timestamp(n), 'c1', 'ann', 'x' FROM "
                "generate_series(110, 119) n;"
                "INSERT INTO ingest_offset (topic, partition, epoch, next_offset) VALUES "
                "('chat.events', 0, 1, 50), ('chat.events', 1, 1, 60);"
                "INSERT INTO session VALUES ('ab', 3, 9, now(), false, 'sid', 'ann', 'gw/1', "
                "'[{\"id\":\"c1\",\"from\":5}]');"
                "INSERT INTO chat_event SELECT n, now(), 1, 0, 'c1', CASE n % 10 WHEN 2 THEN 'tern.member.added' WHEN 5 THEN "
                "'tern.member.removed' ELSE 'tern.message.created' END, 'e' || n, '{\"userId\":\"' || CASE WHEN n < 50 THEN "
                "'bob' ELSE 'eve' END || '\"}' FROM generate_series(1, 60) n");
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
        int err = db_run(db, &messaging_sql[which], params, count, &r);
        if (err < 0)
                print_message("%s: %s\n", messaging_sql[which].name, db_error(db)->text);
        assert_int_equal(err, 0);
        return r;
}

static void a_room_has_the_askers_row_first_and_its_readers(void **state)
{
        UNUSED(state);
        const char *const params[] = {"c1", "eve", "20000"};
        struct db_result r = run(MESSAGING_SQL_ROOM, params, 3);
        assert_int_equal(r.rows, 3);
        assert_int_equal(r.columns, 11);
        assert_string_equal(db_value(&r, 0, 0), "t");
        assert_string_equal(db_value(&r, 0, 1), "T");
        assert_int_equal(db_int(&r, 0, 4), 1000);
        assert_int_equal(db_int(&r, 0, 5), 100);
        assert_string_equal(db_value(&r, 0, 6), "eve");
        assert_int_equal(db_int(&r, 0, 10), 120);
        db_result_done(&r);
}

static void a_large_room_is_asked_for_one_row(void **state)
{
        UNUSED(state);
        const char *const params[] = {"c1", "bob", "0"};
        struct db_result r = run(MESSAGING_SQL_ROOM, params, 3);
        assert_int_equal(r.rows, 1);
        assert_string_equal(db_value(&r, 0, 6), "bob");
        assert_int_equal(db_int(&r, 0, 9), 150);
        db_result_done(&r);
}

static void a_room_that_is_none_has_one_empty_row(void **state)
{
        UNUSED(state);
        const char *const params[] = {"nope", "bob", "20000"};
        struct db_result r = run(MESSAGING_SQL_ROOM, params, 3);
        assert_int_equal(r.rows, 1);
        assert_string_equal(db_value(&r, 0, 0), "f");
        assert_null(db_value(&r, 0, 6));
        db_result_done(&r);
}

static void pages_of_history_go_both_ways(void **state)
{
        UNUSED(state);
        const char *const before[] = {"c1", "118", "3"};
        struct db_result r = run(MESSAGING_SQL_HISTORY_BEFORE, before, 3);
        assert_int_equal(r.rows, 3);
        assert_int_equal(r.columns, 9);
        assert_int_equal(db_int(&r, 0, 1), 117);
        db_result_done(&r);
        const char *const after[] = {"c1", "112", "115", "10"};
        r = run(MESSAGING_SQL_HISTORY_AFTER, after, 4);
        assert_int_equal(r.rows, 2);
        assert_int_equal(db_int(&r, 0, 1), 113);
        db_result_done(&r);
}

static void a_message_is_found_by_its_id(void **state)
{
        UNUSED(state);
        const char *const params[] = {"m112"};
        struct db_result r = run(MESSAGING_SQL_MESSAGE_BY_ID, params, 1);
        assert_int_equal(r.rows, 1);
        assert_int_equal(r.columns, 2);
        assert_int_equal(db_int(&r, 0, 0), 112);
        assert_int_equal(db_int(&r, 0, 1), 112000);
        db_result_done(&r);
}

static void a_users_conversations_are_those_he_is_in(void **state)
{
        UNUSED(state);
        const char *const params[] = {"ann", ""};
        struct db_result r = run(MESSAGING_SQL_CONVERSATIONS, params, 2);
        assert_int_equal(r.rows, 2);
        assert_int_equal(r.columns, 6);
        assert_string_equal(db_value(&r, 0, 0), "c1");
        assert_string_equal(db_value(&r, 1, 0), "c2");
        db_result_done(&r);
        const char *const next[] = {"ann", "c1"};
        r = run(MESSAGING_SQL_CONVERSATIONS, next, 2);
        assert_int_equal(r.rows, 1);
        db_result_done(&r);
}

static void the_last_change_of_a_right_comes_with_how_far_the_archive_reaches(void **state)
{
        UNUSED(state);
        static const struct {
                const char *since, *until, *type;
        } cases[] = {
                {"0", "46", "tern.member.removed"},
                {"0", "45", "tern.member.added"}, /* up to, not including */
                {"45", "46", "tern.member.removed"},
                {"46", "60", NULL}, /* of another user */
                {"46", "46", NULL},
        };
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                char since[16], until[16];
                snprintf(since, sizeof(since), "{%s,0}", cases[i].since);
                snprintf(until, sizeof(until), "{%s,9}", cases[i].until);
                const char *const params[] = {"bob", "{\"c1\",\"c9\"}", "{0,1}", "1", since, until};
                struct db_result r = run(MESSAGING_SQL_RIGHTS, params, ARRAY_LEN(params));
                assert_int_equal(r.rows, 2);
                assert_int_equal(r.columns, 3);
                size_t first = strcmp(db_value(&r, 0, 0), "c1") == 0 ? 0 : 1;
                if (cases[i].type)
                        assert_string_equal(db_value(&r, first, 1), cases[i].type);
                else
                        assert_null(db_value(&r, first, 1));
                assert_int_equal(db_int(&r, first, 2), 50);
                assert_null(db_value(&r, 1 - first, 1));
                assert_int_equal(db_int(&r, 1 - first, 2), 60);
                db_result_done(&r);
        }
}

static void a_session_is_found_by_its_hash(void **state)
{
        UNUSED(state);
        const char *const params[] = {"ab"};
        struct db_result r = run(MESSAGING_SQL_SESSION, params, 1);
        assert_int_equal(r.rows, 1);
        assert_int_equal(r.columns, 6);
        assert_string_equal(db_value(&r, 0, 4), "[{\"id\":\"c1\",\"from\":5}]");
        assert_string_equal(db_value(&r, 0, 5), "f");
        db_result_done(&r);
}

static void the_archive_is_behind_until_every_partition_is_there(void **state)
{
        UNUSED(state);
        static const struct {
                const char *wanted, *answer;
        } cases[] = {{"{50,60}", "t"}, {"{51,60}", "f"}, {"{50,60,1}", "f"}, {"{50,60,0}", "t"},
                {"{}", "t"}};
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                const char *const params[] = {cases[i].wanted, "1"};
                struct db_result r = run(MESSAGING_SQL_INGESTED_ALL, params, 2);
                assert_string_equal(db_value(&r, 0, 0), cases[i].answer);
                db_result_done(&r);
        }
}

/* With sequential scans forbidden a plan that still has one found no index. */
static void each_statement_finds_its_index(void **state)
{
        UNUSED(state);
        static const struct {
                unsigned which;
                const char *params;
        } cases[] = {
                {MESSAGING_SQL_ROOM, "'c1','eve','20000'"},
                {MESSAGING_SQL_HISTORY_BEFORE, "'c1','118','3'"},
                {MESSAGING_SQL_HISTORY_AFTER, "'c1','112','115','10'"},
                {MESSAGING_SQL_MESSAGE_BY_ID, "'m1'"},
                {MESSAGING_SQL_CONVERSATIONS, "'ann',''"},
                {MESSAGING_SQL_RIGHTS, "'bob','{c1}','{0}','1','{0}','{40}'"},
                {MESSAGING_SQL_SESSION, "'ab'"},
        };
        pg_exec(db, "SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan");
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct buf sql = BUF_EMPTY;
                buf_printf(&sql, "PREPARE p%zu AS ", i);
                buf_add_str(&sql, messaging_sql[cases[i].which].text);
                pg_exec(db, buf_cstr(&sql));
                buf_reset(&sql);
                buf_printf(&sql, "EXPLAIN EXECUTE p%zu(%s)", i, cases[i].params);
                struct db_result r = DB_RESULT_NONE;
                assert_int_equal(db_exec(db, buf_cstr(&sql), &r), 0);
                for (size_t j = 0; j < r.rows; j++)
                        if (strstr(db_value(&r, j, 0), "Seq Scan"))
                                fail_msg("%s: %s", messaging_sql[cases[i].which].name,
                                        db_value(&r, j, 0));
                db_result_done(&r);
                buf_done(&sql);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_room_has_the_askers_row_first_and_its_readers),
                cmocka_unit_test(a_large_room_is_asked_for_one_row),
                cmocka_unit_test(a_room_that_is_none_has_one_empty_row),
                cmocka_unit_test(pages_of_history_go_both_ways),
                cmocka_unit_test(a_message_is_found_by_its_id),
                cmocka_unit_test(a_users_conversations_are_those_he_is_in),
                cmocka_unit_test(the_last_change_of_a_right_comes_with_how_far_the_archive_reaches),
                cmocka_unit_test(a_session_is_found_by_its_hash),
                cmocka_unit_test(the_archive_is_behind_until_every_partition_is_there),
                cmocka_unit_test(each_statement_finds_its_index),
        };
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
