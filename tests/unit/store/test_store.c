#include "tests/unit/store/pg_fixture.h"

#include "base/metrics.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

static struct pg pg;
static const struct store_statement statements[] = {
        {"t_echo", "SELECT $1::text, $2::text"},
        {"t_sleep", "SELECT pg_sleep($1::float8)"},
        {"t_rows", "SELECT n, NULL, repeat('x', n) FROM generate_series(1, $1::int) AS n"},
        {"t_bad", "SELECT nothing FROM nowhere"},
        {"t_write", "INSERT INTO counter VALUES ($1::int) RETURNING n"},
        {"t_count", "SELECT count(*) FROM counter"},
        {"t_divide", "SELECT 1 / $1::int"},
        {"t_all", "SELECT * FROM counter LIMIT 1"},
};
enum { T_ECHO, T_SLEEP, T_ROWS, T_BAD, T_WRITE, T_COUNT, T_DIVIDE, T_ALL };
static const struct store_set sets[] = {{statements, ARRAY_LEN(statements)}};

static int group_setup(void **state)
{
        UNUSED(state);
        pg_start(&pg);
        struct db *db = pg_db(&pg);
        pg_exec(db, "CREATE TABLE counter (n int)");
        db_free(db);
        return 0;
}

static int group_teardown(void **state)
{
        UNUSED(state);
        pg_stop(&pg);
        return 0;
}

static struct store *open_store(struct pg *at)
{
        struct store *st = NULL;
        struct store_settings s = pg_settings(at);
        char fault[256] = "";
        assert_int_equal(store_new(&s, sets, 1, NULL, &st, fault), 0);
        return st;
}

static void wait_up(struct store *st, bool up)
{
        int64_t until = clock_mono_ms() + 10000;
        while (store_up(st) != up && clock_mono_ms() < until)
                usleep(5000);
        assert_int_equal(store_up(st), up);
}

static int run(
        struct store *st, struct store_job *j, int which, const char *a, const char *b, size_t n)
{
        const char *params[] = {a, b};
        store_job_init(j, NULL, NULL);
        store_job_step(j, &statements[which], params, n);
        return store_run(st, j);
}

static void an_answer_has_rows_columns_and_nulls(void **state)
{
        UNUSED(state);
        struct store *st = open_store(&pg);
        wait_up(st, true);
        struct store_job j;
        assert_int_equal(run(st, &j, T_ROWS, "3", NULL, 1), 0);
        const struct store_result *r = &j.step[0].result;
        assert_int_equal(r->rows, 3);
        assert_int_equal(r->columns, 3);
        assert_string_equal(r->values[2 * 3 + 0], "3");
        assert_null(r->values[2 * 3 + 1]);
        assert_string_equal(r->values[2 * 3 + 2], "xxx");
        assert_int_equal(r->lengths[2 * 3 + 2], 3);
        store_job_done(&j);
        assert_int_equal(run(st, &j, T_ECHO, NULL, "b", 2), 0);
        assert_null(j.step[0].result.values[0]);
        store_job_done(&j);
        store_free(st);
}

static void *run_in_thread(void *arg)
{
        void **a = arg;
        (void)!store_run(a[0], a[1]);
        return NULL;
}

static void several_steps_see_one_snapshot(void **state)
{
        UNUSED(state);
        struct store *st = open_store(&pg);
        wait_up(st, true);
        struct db *db = pg_db(&pg);
        int64_t before = pg_number(db, "SELECT count(*) FROM counter");
        struct store_job j;
        const char *params[] = {"0.3"};
        store_job_init(&j, NULL, NULL);
        store_job_step(&j, &statements[T_COUNT], NULL, 0);
        store_job_step(&j, &statements[T_SLEEP], params, 1);
        store_job_step(&j, &statements[T_COUNT], NULL, 0);
        pthread_t t;
        /* The row comes while the second step sleeps. */
        void *store_and_job[] = {st, &j};
        assert_int_equal(pthread_create(&t, NULL, run_in_thread, store_and_job), 0);
        usleep(100000);
        pg_exec(db, "INSERT INTO counter VALUES (1)");
        pthread_join(t, NULL);
        assert_int_equal(j.err, 0);
        assert_int_equal(strtoll(j.step[0].result.values[0], NULL, 10), before);
        assert_int_equal(strtoll(j.step[2].result.values[0], NULL, 10), before);
        store_job_done(&j);
        db_free(db);
        store_free(st);
}

static void a_refused_statement_fails_alone(void **state)
{
        UNUSED(state);
        struct store *st = open_store(&pg);
        wait_up(st, true);
        struct store_job j;
        assert_int_equal(run(st, &j, T_BAD, NULL, NULL, 0), -EINVAL);
        assert_non_null(strstr(j.error, "nowhere"));
        store_job_done(&j);
        assert_int_equal(run(st, &j, T_DIVIDE, "0", NULL, 1), -EINVAL);
        store_job_done(&j);
        /* Writing is not for gateways. */
        assert_int_not_equal(run(st, &j, T_WRITE, "1", NULL, 1), 0);
        store_job_done(&j);
        const char *zero[] = {"0"};
        store_job_init(&j, NULL, NULL);
        store_job_step(&j, &statements[T_COUNT], NULL, 0);
        store_job_step(&j, &statements[T_DIVIDE], zero, 1);
        assert_int_equal(store_run(st, &j), -EINVAL);
        assert_int_equal(j.step[0].result.rows, 0);
        store_job_done(&j);
        assert_int_equal(run(st, &j, T_ECHO, "a", "b", 2), 0);
        store_job_done(&j);
        store_free(st);
}

static atomic_int finished, failed;

struct asked {
        struct store_job job;
};

static void asked_done(struct store_job *j)
{
        if (j->err)
                atomic_fetch_add(&failed, 1);
        atomic_fetch_add(&finished, 1);
        free(container_of(j, struct asked, job));
}

static void ask(struct store *st, struct mailbox *mb, int which, const char *param)
{
        struct asked *a = xcalloc(1, sizeof(*a));
        const char *params[] = {param};
        store_job_init(&a->job, mb, asked_done);
        store_job_step(&a->job, &statements[which], params, param ? 1 : 0);
        store_submit(st, &a->job);
}

static void wait_finished(struct mailbox *mb, int want, int ms)
{
        int64_t until = clock_mono_ms() + ms;
        while (atomic_load(&finished) < want && clock_mono_ms() < until)
                mailbox_wait(mb, 20);
        assert_int_equal(atomic_load(&finished), want);
}

static void answers_come_to_the_mailbox_or_to_the_store_s_thread(void **state)
{
        UNUSED(state);
        struct store *st = open_store(&pg);
        wait_up(st, true);
        struct mailbox *mb = mailbox_new(NULL, NULL);
        atomic_store(&finished, 0);
        atomic_store(&failed, 0);
        for (int i = 0; i < 200; i++)
                ask(st, i % 2 ? mb : NULL, T_ROWS, "5");
        wait_finished(mb, 200, 10000);
        assert_int_equal(atomic_load(&failed), 0);
        store_free(st);
        mailbox_close(mb);
        mailbox_free(mb);
}

static void a_postgres_that_hangs_is_answered_in_time_and_then_at_once(void **state)
{
        UNUSED(state);
        struct store *st = open_store(&pg);
        wait_up(st, true);
        struct mailbox *mb = mailbox_new(NULL, NULL);
        atomic_store(&finished, 0);
        atomic_store(&failed, 0);
        usleep(100000); /* both connections */
        pg_signal_all(&pg, SIGSTOP);
        int64_t before = clock_mono_ms();
        for (int i = 0; i < 20; i++)
                ask(st, mb, T_ROWS, "5");
        wait_finished(mb, 20, 5000);
        int64_t took = clock_mono_ms() - before;
        assert_int_equal(atomic_load(&failed), 20);
        assert_true(took < 700 + 300);
        wait_up(st, false);
        before = clock_mono_ms();
        ask(st, mb, T_ROWS, "5");
        wait_finished(mb, 21, 5000);
        took = clock_mono_ms() - before;
        assert_true(took < 100);
        pg_signal_all(&pg, SIGCONT);
        wait_up(st, true);
        store_free(st);
        mailbox_close(mb);
        mailbox_free(mb);
}

static void a_postgres_that_restarts_costs_no_idle_reader_an_error(void **state)
{
        UNUSED(state);
        struct store *st = open_store(&pg);
        wait_up(st, true);
        pg_kill(&pg, SIGQUIT);
        wait_up(st, false);
        struct store_job j;
        assert_int_equal(run(st, &j, T_COUNT, NULL, NULL, 0), -EIO);
        assert_string_equal(j.error, "Postgres is away");
        store_job_done(&j);
        char fault[256];
        store_fault(st, fault);
        assert_true(strlen(fault) > 0);
        pg_run(&pg);
        wait_up(st, true);
        assert_int_equal(run(st, &j, T_COUNT, NULL, NULL, 0), 0);
        store_job_done(&j);
        store_free(st);
}

static void a_backend_that_died_unnoticed_is_replaced_within_the_read(void **state)
{
        UNUSED(state);
        struct store *st = open_store(&pg);
        wait_up(st, true);
        usleep(100000);
        struct db *db = pg_db(&pg);
        pg_exec(db, "SELECT pg_terminate_backend(pid, 2000) FROM (SELECT pid FROM pg_stat_activity "
                    "WHERE application_name = 'tern' LIMIT 1) AS t");
        for (int i = 0; i < 4; i++) {
                struct store_job j;
                assert_int_equal(run(st, &j, T_COUNT, NULL, NULL, 0), 0);
                store_job_done(&j);
        }
        db_free(db);
        store_free(st);
}

static void a_schema_that_changes_under_a_session_costs_no_error(void **state)
{
        UNUSED(state);
        struct store *st = open_store(&pg);
        wait_up(st, true);
        struct store_job j;
        struct db *db = pg_db(&pg);
        for (size_t columns = 1; columns <= 2; columns++) {
                for (int i = 0; i < 4; i++) {
                        assert_int_equal(run(st, &j, T_ALL, NULL, NULL, 0), 0);
                        assert_int_equal(j.step[0].result.columns, columns);
                        store_job_done(&j);
                }
                if (columns == 1)
                        pg_exec(db, "ALTER TABLE counter ADD COLUMN more int");
        }
        db_free(db);
        store_free(st);
}

static void freeing_answers_what_waits(void **state)
{
        UNUSED(state);
        struct store *st = open_store(&pg);
        wait_up(st, true);
        struct mailbox *mb = mailbox_new(NULL, NULL);
        atomic_store(&finished, 0);
        atomic_store(&failed, 0);
        for (int i = 0; i < 10; i++)
                ask(st, i % 2 ? mb : NULL, T_SLEEP, "0.5");
        usleep(50000);
        int64_t before = clock_mono_ms();
        store_free(st);
        int64_t took = clock_mono_ms() - before;
        assert_true(took < 400);
        wait_finished(mb, 10, 1000);
        assert_int_equal(atomic_load(&failed), 10);
        mailbox_close(mb);
        mailbox_free(mb);
}

static void a_full_queue_refuses_at_once(void **state)
{
        UNUSED(state);
        struct store *st = NULL;
        struct store_settings s = pg_settings(&pg);
        s.queue_max = 10;
        s.pool = 1;
        char fault[256];
        struct metrics *metrics = metrics_new(METRICS_ALL);
        assert_int_equal(store_new(&s, sets, 1, metrics, &st, fault), 0);
        assert_int_equal(metrics_get(metrics, M_entries_limit, ENTRIES_READS), 10);
        wait_up(st, true);
        atomic_store(&finished, 0);
        atomic_store(&failed, 0);
        struct mailbox *mb = mailbox_new(NULL, NULL);
        ask(st, mb, T_SLEEP, "0.3");
        usleep(100000);
        for (int i = 0; i < 15; i++)
                ask(st, mb, T_ROWS, "1");
        int64_t before = clock_mono_ms();
        wait_finished(mb, 5, 200);
        assert_true(clock_mono_ms() - before < 150);
        assert_int_equal(metrics_get(metrics, M_entries_used, ENTRIES_READS), 10);
        wait_finished(mb, 16, 3000);
        assert_int_equal(atomic_load(&failed), 5);
        assert_int_equal(metrics_get(metrics, M_entries_used, ENTRIES_READS), 0);
        store_free(st);
        metrics_free(metrics);
        mailbox_close(mb);
        mailbox_free(mb);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_answer_has_rows_columns_and_nulls),
                cmocka_unit_test(several_steps_see_one_snapshot),
                cmocka_unit_test(a_refused_statement_fails_alone),
                cmocka_unit_test(answers_come_to_the_mailbox_or_to_the_store_s_thread),
                cmocka_unit_test(a_postgres_that_hangs_is_answered_in_time_and_then_at_once),
                cmocka_unit_test(a_postgres_that_restarts_costs_no_idle_reader_an_error),
                cmocka_unit_test(a_backend_that_died_unnoticed_is_replaced_within_the_read),
                cmocka_unit_test(a_schema_that_changes_under_a_session_costs_no_error),
                cmocka_unit_test(freeing_answers_what_waits),
                cmocka_unit_test(a_full_queue_refuses_at_once),
        };
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
