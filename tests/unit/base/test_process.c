/* What the kernel knows about this process. */
#include "base/process.h"

#include "base/check.h"
#include "base/metrics.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static void descriptors_are_counted(void **state)
{
        UNUSED(state);
        struct metrics *m = metrics_new(METRICS_ALL);
        process_metrics(m);
        int64_t before = metrics_get(m, M_process_fds, 0);
        assert_true(before > 0 && before < metrics_get(m, M_process_fds_max, 0));
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        process_metrics(m);
        assert_int_equal(metrics_get(m, M_process_fds, 0), before + 1);
        close(fd);
        metrics_free(m);
}

static void memory_is_what_is_resident(void **state)
{
        UNUSED(state);
        enum { BYTES = 64 * 1024 * 1024 };
        struct metrics *m = metrics_new(METRICS_ALL);
        process_metrics(m);
        int64_t before = metrics_get(m, M_process_rss, 0);
        char *p = xmalloc(BYTES);
        for (size_t i = 0; i < BYTES; i += 512)
                *(volatile char *)(p + i) = 1;
        process_metrics(m);
        int64_t after = metrics_get(m, M_process_rss, 0);
        assert_true(after - before > BYTES / 2 && after - before < 2 * (int64_t)BYTES);
        assert_int_equal(metrics_get(m, M_memory_used, MEMORY_PROCESS), after);
        assert_true(metrics_get(m, M_process_vsize, 0) >= after);
        assert_true(metrics_get(m, M_memory_limit, MEMORY_PROCESS) > after);
        free(p);
        metrics_free(m);
}

static void cpu_time_and_start_are_known(void **state)
{
        UNUSED(state);
        struct metrics *m = metrics_new(METRICS_ALL);
        process_metrics(m);
        int64_t before = metrics_get(m, M_process_cpu, 0);
        for (clock_t until = clock() + CLOCKS_PER_SEC / 20; clock() < until;)
                process_metrics(m);
        assert_true(metrics_get(m, M_process_cpu, 0) >= before + 40);
        int64_t began = metrics_get(m, M_process_start, 0), now = (int64_t)time(NULL) * 1000;
        assert_true(began <= now + 1000 && began > now - 600000);
        metrics_free(m);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(descriptors_are_counted),
                cmocka_unit_test(memory_is_what_is_resident),
                cmocka_unit_test(cpu_time_and_start_are_known),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
