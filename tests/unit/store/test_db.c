#include "tests/unit/store/pg_fixture.h"

#include "store/copy.h"

#include <errno.h>

static struct pg pg;

static int group_setup(void **state)
{
        UNUSED(state);
        pg_start(&pg);
        struct db *db = pg_db(&pg);
        pg_exec(db, "CREATE TABLE item (id text PRIMARY KEY, n bigint, at timestamptz, yes bool, "
                    "small int)");
        db_free(db);
        return 0;
}

static int group_teardown(void **state)
{
        UNUSED(state);
        pg_stop(&pg);
        return 0;
}

static void sqlstates_are_judged_by_their_class(void **state)
{
        UNUSED(state);
        assert_int_equal(db_class_of("40P01"), ERROR_RETRY);
        assert_int_equal(db_class_of("57P01"), ERROR_RETRY);
        assert_int_equal(db_class_of("53100"), ERROR_RETRY);
        assert_int_equal(db_class_of("25006"), ERROR_RETRY);
        assert_int_equal(db_class_of("22021"), ERROR_POISON);
        assert_int_equal(db_class_of("23505"), ERROR_POISON);
        assert_int_equal(db_class_of("42P01"), ERROR_FATAL);
        assert_int_equal(db_class_of("25001"), ERROR_FATAL);
        assert_int_equal(db_class_of(""), ERROR_RETRY);
}

static void an_address_that_cannot_be_read_is_one_sentence(void **state)
{
        UNUSED(state);
        char none[] = "", bad[] = "host=x prt=1", fault[256];
        struct store_settings s = {.dsn = none, .dsn_secret = none};
        assert_null(db_dsn(&s, fault));
        assert_string_equal(fault, "neither TERN_POSTGRES_DSN nor TERN_POSTGRES_DSN_FILE is set");
        s.dsn = bad;
        assert_null(db_dsn(&s, fault));
        assert_non_null(strstr(fault, "prt"));
        char good[] = "postgresql://a@b/c";
        s.dsn_secret = good;
        assert_ptr_equal(db_dsn(&s, fault), good);
}

static void a_server_that_is_not_there_is_away(void **state)
{
        UNUSED(state);
        struct db *db = NULL;
        char fault[256] = "";
        const struct db_options o = {
                .dsn = "host=/nowhere", .application = "t", .connect_ms = 500, .stop_fd = -1};
        assert_int_equal(db_connect(&o, &db, fault), -EIO);
        assert_true(strlen(fault) > 0);
        assert_null(db);
}

static void copied_rows_are_read_back_as_they_were(void **state)
{
        UNUSED(state);
        struct db *db = pg_db(&pg);
        struct buf b = BUF_EMPTY;
        copy_begin(&b);
        copy_row(&b, 5);
        copy_text(&b, "a\xc3\xa4");
        copy_i64(&b, -(1LL << 52));
        copy_time_ms(&b, 1767225599123);
        copy_bool(&b, true);
        copy_i32(&b, -7);
        copy_row(&b, 5);
        copy_slice(&b, SLICE_LIT(""));
        for (int i = 0; i < 4; i++)
                copy_null(&b);
        copy_end(&b);
        uint64_t rows = 0;
        assert_int_equal(
                db_copy_in(db, "COPY item FROM STDIN (FORMAT binary)", buf_slice(&b), &rows), 0);
        assert_int_equal(rows, 2);
        char *text = pg_text(
                db, "SELECT id || ' ' || n || ' ' || to_char(at, 'YYYY-MM-DD HH24:MI:SS.MS') || ' "
                    "' || yes || ' ' || small FROM item WHERE n IS NOT NULL");
        assert_string_equal(text, "a\xc3\xa4 -4503599627370496 2025-12-31 23:59:59.123 true -7");
        free(text);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM item WHERE id = '' AND n IS NULL"), 1);
        buf_done(&b);
        db_free(db);
}

static void a_copy_of_many_megabytes_gets_through(void **state)
{
        UNUSED(state);
        struct db *db = pg_db(&pg);
        pg_exec(db, "CREATE TEMP TABLE big (t text)");
        char *text = xmalloc(100001);
        memset(text, 'x', 100000);
        text[100000] = '\0';
        struct buf b = BUF_EMPTY;
        copy_begin(&b);
        for (int i = 0; i < 200; i++) {
                copy_row(&b, 1);
                copy_text(&b, text);
        }
        copy_end(&b);
        uint64_t rows = 0;
        assert_int_equal(
                db_copy_in(db, "COPY big FROM STDIN (FORMAT binary)", buf_slice(&b), &rows), 0);
        assert_int_equal(rows, 200);
        free(text);
        buf_done(&b);
        db_free(db);
}

static void a_refused_copy_leaves_a_connection_that_works(void **state)
{
        UNUSED(state);
        struct db *db = pg_db(&pg);
        struct buf b = BUF_EMPTY;
        copy_begin(&b);
        copy_row(&b, 1);
        copy_slice(&b, SLICE_LIT("bad\0text"));
        copy_end(&b);
        assert_int_equal(db_begin(db), 0);
        pg_exec(db, "CREATE TEMP TABLE t1 (t text)");
        assert_int_equal(
                db_copy_in(db, "COPY t1 FROM STDIN (FORMAT binary)", buf_slice(&b), NULL), -EINVAL);
        assert_string_equal(db_error(db)->sqlstate, "22021");
        assert_int_equal(db_error(db)->class, ERROR_POISON);
        /* The transaction has failed: its commit says so. */
        assert_int_equal(db_commit(db), -EPROTO);
        assert_int_equal(db_copy_in(db, "COPY no_such_table FROM STDIN (FORMAT binary)",
                                 buf_slice(&b), NULL),
                -EPROTO);
        assert_int_equal(pg_number(db, "SELECT 5"), 5);
        buf_done(&b);
        db_free(db);
}

static void statements_take_params_and_nulls(void **state)
{
        UNUSED(state);
        static const struct store_statement st = {
                "t_params", "SELECT $1::text, $2::bigint + 1, $1 IS NULL"};
        struct db *db = pg_db(&pg);
        struct db_result res = DB_RESULT_NONE;
        const char *params[] = {NULL, "41"};
        for (int i = 0; i < 2; i++) {
                assert_int_equal(db_run(db, &st, params, 2, &res), 0);
                assert_null(db_value(&res, 0, 0));
                assert_int_equal(db_int(&res, 0, 1), 42);
                assert_string_equal(db_value(&res, 0, 2), "t");
                db_result_done(&res);
        }
        db_free(db);
}

static void a_rollback_undoes_and_a_commit_stays(void **state)
{
        UNUSED(state);
        struct db *db = pg_db(&pg);
        assert_int_equal(db_begin(db), 0);
        pg_exec(db, "INSERT INTO item (id) VALUES ('gone')");
        db_rollback(db);
        assert_int_equal(db_begin(db), 0);
        pg_exec(db, "INSERT INTO item (id) VALUES ('kept')");
        assert_int_equal(db_commit(db), 0);
        assert_int_equal(
                pg_number(db, "SELECT count(*) FROM item WHERE id IN ('gone', 'kept')"), 1);
        db_free(db);
}

static void a_deadline_ends_the_wait_and_the_connection(void **state)
{
        UNUSED(state);
        struct db *db = pg_db(&pg);
        int64_t before = clock_mono_ms();
        db_deadline(db, before + 200);
        assert_int_equal(db_exec(db, "SELECT pg_sleep(5)", NULL), -ETIMEDOUT);
        int64_t took = clock_mono_ms() - before;
        assert_true(took >= 190 && took < 1500);
        assert_false(db_alive(db));
        assert_int_equal(db_exec(db, "SELECT 1", NULL), -EIO);
        db_free(db);
}

static void a_lost_connection_is_class_retry_and_its_commit_is_unknown(void **state)
{
        UNUSED(state);
        struct db *db = pg_db(&pg), *other = pg_db(&pg);
        int64_t backend = pg_number(db, "SELECT pg_backend_pid()");
        assert_int_equal(db_begin(db), 0);
        pg_exec(db, "INSERT INTO item (id) VALUES ('unknown')");
        char sql[64];
        snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%lld, 2000)", (long long)backend);
        pg_exec(other, sql);
        assert_int_equal(db_commit(db), -EINPROGRESS);
        assert_int_equal(db_error(db)->class, ERROR_RETRY);
        assert_false(db_alive(db));
        db_rollback(db);
        db_free(db);
        db_free(other);
}

static void a_bound_of_the_server_is_retry(void **state)
{
        UNUSED(state);
        struct db *db = NULL;
        char fault[256];
        const struct db_options o = {.dsn = pg.dsn,
                .application = "t",
                .connect_ms = 2000,
                .statement_ms = 100,
                .read_only = true,
                .stop_fd = -1};
        assert_int_equal(db_connect(&o, &db, fault), 0);
        assert_int_equal(db_exec(db, "SELECT pg_sleep(3)", NULL), -EAGAIN);
        assert_string_equal(db_error(db)->sqlstate, "57014");
        assert_true(db_alive(db));
        assert_int_equal(db_exec(db, "DELETE FROM item", NULL), -EAGAIN);
        assert_string_equal(db_error(db)->sqlstate, "25006");
        db_free(db);
}

static void stop_fd_ends_a_wait(void **state)
{
        UNUSED(state);
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        struct db *db = NULL;
        char fault[256];
        const struct db_options o = {
                .dsn = pg.dsn, .application = "t", .connect_ms = 2000, .stop_fd = fds[0]};
        assert_int_equal(db_connect(&o, &db, fault), 0);
        assert_int_equal(write(fds[1], "x", 1), 1);
        assert_int_equal(db_exec(db, "SELECT pg_sleep(3)", NULL), -ECANCELED);
        db_free(db);
        close(fds[0]);
        close(fds[1]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(sqlstates_are_judged_by_their_class),
                cmocka_unit_test(an_address_that_cannot_be_read_is_one_sentence),
                cmocka_unit_test(a_server_that_is_not_there_is_away),
                cmocka_unit_test(copied_rows_are_read_back_as_they_were),
                cmocka_unit_test(a_copy_of_many_megabytes_gets_through),
                cmocka_unit_test(a_refused_copy_leaves_a_connection_that_works),
                cmocka_unit_test(statements_take_params_and_nulls),
                cmocka_unit_test(a_rollback_undoes_and_a_commit_stays),
                cmocka_unit_test(a_deadline_ends_the_wait_and_the_connection),
                cmocka_unit_test(a_lost_connection_is_class_retry_and_its_commit_is_unknown),
                cmocka_unit_test(a_bound_of_the_server_is_retry),
                cmocka_unit_test(stop_fd_ends_a_wait),
        };
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
