#include "tests/unit/store/pg_fixture.h"

#include <errno.h>
#include <pthread.h>

static struct pg pg;

static int group_setup(void **state)
{
        UNUSED(state);
        pg_start(&pg);
        return 0;
}

static int group_teardown(void **state)
{
        UNUSED(state);
        pg_stop(&pg);
        return 0;
}

/* Each test starts on an empty schema. */
static int clean(void **state)
{
        UNUSED(state);
        struct db *db = pg_db(&pg);
        pg_exec(db, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        db_free(db);
        return 0;
}

static void count_fresh(void *arg, const struct migration *m, bool fresh)
{
        UNUSED(m);
        if (fresh)
                ++*(int *)arg;
}

static void embedded_migrations_apply_once(void **state)
{
        UNUSED(state);
        struct db *db = pg_db(&pg);
        char fault[256] = "";
        int fresh = 0;
        assert_int_equal(db_schema_check(db, fault), -EINVAL);
        assert_non_null(strstr(fault, "too old"));
        assert_int_equal(store_migrate(db, migrations_embedded, migrations_embedded_count,
                                 count_fresh, &fresh, fault),
                0);
        assert_int_equal(fresh, migrations_embedded_count);
        assert_int_equal(db_schema_check(db, fault), 0);
        fresh = 0;
        assert_int_equal(store_migrate(db, migrations_embedded, migrations_embedded_count,
                                 count_fresh, &fresh, fault),
                0);
        assert_int_equal(fresh, 0);
        db_free(db);
        struct store_settings s = pg_settings(&pg);
        assert_int_equal(schema_check(&s, fault), 0);
}

static void a_schema_of_another_build_is_refused_with_a_sentence(void **state)
{
        UNUSED(state);
        pg_migrate(&pg);
        struct db *db = pg_db(&pg);
        struct store_settings s = pg_settings(&pg);
        char fault[256] = "";
        pg_exec(db, "INSERT INTO schema_migration (version, name, checksum) VALUES (999, "
                    "'from_the_future', 'x')");
        assert_int_equal(schema_check(&s, fault), -EINVAL);
        assert_non_null(strstr(fault, "too new"));
        assert_int_equal(store_migrate(db, migrations_embedded, migrations_embedded_count, NULL,
                                 NULL, fault),
                -EINVAL);
        pg_exec(db, "DELETE FROM schema_migration WHERE version > 5");
        assert_int_equal(schema_check(&s, fault), -EINVAL);
        assert_non_null(strstr(fault, "too old"));
        pg_exec(db, "UPDATE schema_migration SET checksum = 'edited' WHERE version = 2");
        assert_int_equal(schema_check(&s, fault), -EINVAL);
        assert_non_null(strstr(fault, "0002_create_chat_event"));
        db_free(db);
}

static void a_failing_migration_leaves_what_came_before_it(void **state)
{
        UNUSED(state);
        const struct migration m[] = {
                {1, "good", "c1", "CREATE TABLE a (n int); INSERT INTO a VALUES (1)"},
                {2, "bad", "c2", "CREATE TABLE b (n int); SELECT nothing FROM nowhere"},
        };
        struct db *db = pg_db(&pg);
        char fault[256] = "";
        assert_true(store_migrate(db, m, 2, NULL, NULL, fault) < 0);
        assert_non_null(strstr(fault, "0002_bad"));
        assert_int_equal(pg_number(db, "SELECT count(*) FROM schema_migration"), 1);
        assert_int_equal(pg_number(db, "SELECT (to_regclass('b') IS NULL)::int"), 1);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM a"), 1);
        db_free(db);
}

static void a_death_in_the_middle_is_harmless(void **state)
{
        UNUSED(state);
        const struct migration slow[] = {{1, "slow", "c1",
                "CREATE TABLE a (n int); SELECT pg_sleep(5); INSERT INTO a VALUES (1)"}};
        const struct migration quick[] = {
                {1, "slow", "c1", "CREATE TABLE a (n int); INSERT INTO a VALUES (1)"}};
        struct db *db = pg_db(&pg);
        char fault[256] = "";
        db_deadline(db, clock_mono_ms() + 300);
        assert_int_equal(store_migrate(db, slow, 1, NULL, NULL, fault), -ETIMEDOUT);
        db_free(db);
        db = pg_db(&pg);
        pg_exec(db, "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE query LIKE "
                    "'%pg_sleep(5)%' AND pid <> pg_backend_pid()");
        assert_int_equal(store_migrate(db, quick, 1, NULL, NULL, fault), 0);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM a"), 1);
        db_free(db);
}

static void *migrate_all(void *arg)
{
        UNUSED(arg);
        struct db *db = pg_db(&pg);
        char fault[256];
        int r = store_migrate(
                db, migrations_embedded, migrations_embedded_count, NULL, NULL, fault);
        db_free(db);
        return (void *)(intptr_t)r;
}

static void several_at_once_take_turns(void **state)
{
        UNUSED(state);
        pthread_t threads[4];
        for (size_t i = 0; i < ARRAY_LEN(threads); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, migrate_all, NULL), 0);
        for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
                void *r = NULL;
                pthread_join(threads[i], &r);
                assert_null(r);
        }
        struct db *db = pg_db(&pg);
        assert_int_equal(
                pg_number(db, "SELECT count(*) FROM schema_migration"), migrations_embedded_count);
        db_free(db);
}

static void a_service_may_start_while_postgres_is_away(void **state)
{
        UNUSED(state);
        char away[] = "host=/nowhere", fault[256];
        struct store_settings s = pg_settings(&pg);
        s.dsn = away;
        assert_int_equal(schema_check(&s, fault), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(embedded_migrations_apply_once, clean),
                cmocka_unit_test_setup(a_schema_of_another_build_is_refused_with_a_sentence, clean),
                cmocka_unit_test_setup(a_failing_migration_leaves_what_came_before_it, clean),
                cmocka_unit_test_setup(a_death_in_the_middle_is_harmless, clean),
                cmocka_unit_test_setup(several_at_once_take_turns, clean),
                cmocka_unit_test(a_service_may_start_while_postgres_is_away),
        };
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
