/* Assertions that stay on, and allocation that does not fail. */
#include "base/check.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static void a_failed_check_ends_the_process_and_says_where(void **state)
{
        UNUSED(state);
        int fds[2];
        assert_int_equal(pipe(fds), 0);
        pid_t pid = fork();
        if (pid == 0) {
                signal(SIGABRT, SIG_DFL);
                dup2(fds[1], 2);
                CHECK("a quote \" and a backslash \\"[0] == 'b');
                _exit(0);
        }
        close(fds[1]);
        char line[1024];
        ssize_t n = read(fds[0], line, sizeof(line) - 1);
        assert_true(n > 0);
        line[n] = '\0';
        close(fds[0]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        assert_non_null(strstr(line, "\"event\":\"check_failed\""));
        assert_non_null(strstr(line, "test_check.c"));
        assert_null(strstr(line, "\\"));
}

static void an_allocation_of_nothing_is_still_one(void **state)
{
        UNUSED(state);
        void *a = xmalloc(0), *b = xcalloc(0, 0), *c = xrealloc(NULL, 0);
        assert_true(a && b && c);
        free(a);
        free(b);
        free(c);
        char *s = xstrdup("abc"), *t = xstrndup("abc", 2), *none = xstrndup(NULL, 0);
        assert_string_equal(s, "abc");
        assert_string_equal(t, "ab");
        assert_string_equal(none, "");
        free(s);
        free(t);
        free(none);
}

struct outer {
        int before;
        int inner;
};

static void the_container_of_a_member_is_found(void **state)
{
        UNUSED(state);
        struct outer o = {1, 2};
        int *inner = &o.inner;
        assert_ptr_equal(container_of(inner, struct outer, inner), &o);
        assert_int_equal(ARRAY_LEN(((int[7]){0})), 7);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_failed_check_ends_the_process_and_says_where),
                cmocka_unit_test(an_allocation_of_nothing_is_still_one),
                cmocka_unit_test(the_container_of_a_member_is_found),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
