/* The metrics table and its text. */
#include "base/metrics.h"

#include "base/check.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char *render(struct metrics *m, struct buf *b)
{
        buf_reset(b);
        metrics_render(m, b);
        return buf_cstr(b);
}

static void has_line(const char *text, const char *line)
{
        size_t n = strlen(line);
        for (const char *at = strstr(text, line); at; at = strstr(at + 1, line))
                if ((at == text || at[-1] == '\n') && at[n] == '\n')
                        return;
        fail_msg("no line %s", line);
}

static void counters_and_gauges_are_rendered_with_their_labels(void **state)
{
        UNUSED(state);
        struct metrics *m = metrics_new(METRICS_MESSAGING);
        struct buf b = BUF_EMPTY;
        int polling = metrics_label(M_connections_opened, "polling");
        assert_int_equal(polling, 1);
        metrics_add(m, M_connections_opened, (unsigned)polling, 3);
        metrics_add(m, M_connections_opened, (unsigned)polling, -1);
        metrics_set(m, M_build_info, 0, 1);
        assert_int_equal(metrics_get(m, M_connections_opened, 1), 2);
        int joined = metrics_label(M_connections, "polling,joined");
        assert_int_equal(joined, 4);
        metrics_add(m, M_connections, (unsigned)joined, 7);
        const char *text = render(m, &b);
        has_line(text, "# TYPE tern_connections gauge");
        has_line(text, "tern_connections{transport=\"polling\",state=\"joined\"} 7");
        has_line(text, "tern_connections{transport=\"sse\",state=\"closing\"} 0");
        has_line(text, "tern_connections_opened_total{transport=\"polling\"} 2");
        has_line(text, "tern_connections_opened_total{transport=\"sse\"} 0");
        has_line(text, "tern_build_info 1");
        has_line(text, "# TYPE tern_connections_opened_total counter");
        buf_done(&b);
        assert_null(metrics_free(m));
}

static void a_program_shows_only_its_own(void **state)
{
        UNUSED(state);
        struct metrics *m = metrics_new(METRICS_WRITER);
        struct buf b = BUF_EMPTY;
        const char *text = render(m, &b);
        assert_null(strstr(text, "tern_connections"));
        assert_non_null(strstr(text, "tern_writer_lag_records"));
        buf_done(&b);
        metrics_free(m);
}

static void histograms_are_cumulative(void **state)
{
        UNUSED(state);
        struct metrics *m = metrics_new(METRICS_ALL);
        struct buf b = BUF_EMPTY;
        metrics_observe(m, M_writer_commit, 0, 100000);      /* 0.1 ms, on the bound */
        metrics_observe(m, M_writer_commit, 0, 3000000);     /* 3 ms */
        metrics_observe(m, M_writer_commit, 0, 90000000000); /* 90 s */
        metrics_observe(m, M_writer_batch, 0, 7);
        const char *text = render(m, &b);
        has_line(text, "# TYPE tern_writer_commit_seconds histogram");
        has_line(text, "tern_writer_commit_seconds_bucket{le=\"0.0001\"} 1");
        has_line(text, "tern_writer_commit_seconds_bucket{le=\"0.0025\"} 1");
        has_line(text, "tern_writer_commit_seconds_bucket{le=\"0.005\"} 2");
        has_line(text, "tern_writer_commit_seconds_bucket{le=\"60\"} 2");
        has_line(text, "tern_writer_commit_seconds_bucket{le=\"+Inf\"} 3");
        has_line(text, "tern_writer_commit_seconds_sum 90.0031");
        has_line(text, "tern_writer_commit_seconds_count 3");
        has_line(text, "tern_writer_batch_records_bucket{le=\"10\"} 1");
        has_line(text, "tern_writer_batch_records_sum 7");
        buf_done(&b);
        metrics_free(m);
}

static int64_t answer(void *arg)
{
        return *(int64_t *)arg;
}

static void a_computed_gauge_is_asked_when_somebody_looks(void **state)
{
        UNUSED(state);
        struct metrics *m = metrics_new(METRICS_ALL);
        struct buf b = BUF_EMPTY;
        int64_t v = 42;
        metrics_set(m, M_outbox_bytes, 0, 7);
        metrics_gauge_fn(m, M_outbox_bytes, 0, answer, &v);
        has_line(render(m, &b), "tern_outbox_bytes 42");
        v = 43;
        assert_int_equal(metrics_get(m, M_outbox_bytes, 0), 43);
        metrics_gauge_fn(m, M_outbox_bytes, 0, NULL, NULL);
        assert_int_equal(metrics_get(m, M_outbox_bytes, 0), 7);
        buf_done(&b);
        metrics_free(m);
}

static void a_bound_is_shown_once_it_is_known(void **state)
{
        UNUSED(state);
        struct metrics *m = metrics_new(METRICS_ALL);
        struct buf b = BUF_EMPTY;
        assert_null(strstr(render(m, &b), "tern_memory_used_bytes{"));
        metrics_memory_limit(m, MEMORY_TAIL, 4096);
        metrics_add(m, M_memory_used, MEMORY_TAIL, 100);
        metrics_entries_limit(m, ENTRIES_READS, 10);
        const char *text = render(m, &b);
        has_line(text, "tern_memory_used_bytes{bound=\"tail\"} 100");
        has_line(text, "tern_memory_limit_bytes{bound=\"tail\"} 4096");
        has_line(text, "tern_entries_used{bound=\"reads\"} 0");
        has_line(text, "tern_entries_limit{bound=\"reads\"} 10");
        assert_null(strstr(text, "bound=\"producer\""));
        buf_done(&b);
        metrics_free(m);
}

static void the_bounds_have_the_values_of_their_labels(void **state)
{
        UNUSED(state);
        static const char *const memory[] = {"process", "tail", "outboxes", "batches",
                "partial_messages", "producer", "volatile_producer"};
        static const char *const entries[] = {"connections", "heads", "splices", "reads",
                "client_events", "dedupe_ids", "producer", "volatile_producer"};
        for (unsigned i = 0; i < ARRAY_LEN(memory); i++) {
                assert_int_equal(metrics_label(M_memory_used, memory[i]), i);
                assert_int_equal(metrics_label(M_memory_limit, memory[i]), i);
        }
        for (unsigned i = 0; i < ARRAY_LEN(entries); i++) {
                assert_int_equal(metrics_label(M_entries_used, entries[i]), i);
                assert_int_equal(metrics_label(M_entries_limit, entries[i]), i);
        }
        assert_int_equal(ARRAY_LEN(memory), MEMORY_VOLATILE_PRODUCER + 1);
        assert_int_equal(ARRAY_LEN(entries), ENTRIES_VOLATILE_PRODUCER + 1);
}

static void seconds_are_kept_in_milliseconds(void **state)
{
        UNUSED(state);
        struct metrics *m = metrics_new(METRICS_ALL);
        struct buf b = BUF_EMPTY;
        metrics_set(m, M_writer_lag_seconds, 0, 1234);
        metrics_set(m, M_process_cpu, 0, 50);
        const char *text = render(m, &b);
        has_line(text, "# TYPE tern_writer_lag_seconds gauge");
        has_line(text, "tern_writer_lag_seconds 1.234");
        has_line(text, "# TYPE process_cpu_seconds_total counter");
        has_line(text, "process_cpu_seconds_total 0.050");
        buf_done(&b);
        metrics_free(m);
}

static void no_metrics_at_all_is_fine(void **state)
{
        UNUSED(state);
        metrics_add(NULL, M_connections, 99, 1);
        metrics_set(NULL, M_connections, 99, 1);
        metrics_observe(NULL, M_writer_commit, 0, 1);
        metrics_gauge_fn(NULL, M_outbox_bytes, 0, answer, NULL);
        metrics_memory_limit(NULL, MEMORY_TAIL, 1);
        assert_int_equal(metrics_get(NULL, M_connections, 0), 0);
        assert_int_equal(metrics_label(M_connections, "carrier pigeon"), -1);
        assert_int_equal(metrics_label(M_outbox_bytes, ""), -1);
        assert_null(metrics_free(NULL));
}

static void *add_many(void *m)
{
        for (int i = 0; i < 10000; i++)
                metrics_add(m, M_records_in, 0, 1);
        return NULL;
}

static void any_thread_may_add(void **state)
{
        UNUSED(state);
        struct metrics *m = metrics_new(METRICS_ALL);
        pthread_t t[3];
        for (int i = 0; i < 3; i++)
                assert_int_equal(pthread_create(&t[i], NULL, add_many, m), 0);
        for (int i = 0; i < 3; i++)
                pthread_join(t[i], NULL);
        assert_int_equal(metrics_get(m, M_records_in, 0), 30000);
        metrics_free(m);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(counters_and_gauges_are_rendered_with_their_labels),
                cmocka_unit_test(a_program_shows_only_its_own),
                cmocka_unit_test(histograms_are_cumulative),
                cmocka_unit_test(a_computed_gauge_is_asked_when_somebody_looks),
                cmocka_unit_test(a_bound_is_shown_once_it_is_known),
                cmocka_unit_test(the_bounds_have_the_values_of_their_labels),
                cmocka_unit_test(seconds_are_kept_in_milliseconds),
                cmocka_unit_test(no_metrics_at_all_is_fine),
                cmocka_unit_test(any_thread_may_add),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
