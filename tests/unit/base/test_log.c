/* Log lines are JSON whatever their fields hold. */
#include "base/log.h"

#include "base/check.h"
#include "base/jsonscan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

struct tap {
        struct log *lg;
        int fds[2];
        char line[4096];
        struct slice text;
};

static struct tap tap_open(enum log_level level, const char *instance)
{
        struct tap t;
        assert_int_equal(pipe(t.fds), 0);
        t.lg = log_new("test", instance, level, t.fds[1]);
        return t;
}

/* The one line that was written, or an empty text. */
static struct slice tap_close(struct tap *t)
{
        close(t->fds[1]);
        ssize_t n = read(t->fds[0], t->line, sizeof(t->line));
        close(t->fds[0]);
        t->lg = log_free(t->lg);
        assert_null(t->lg);
        return slice_of(t->line, n > 0 ? (size_t)n : 0);
}

static void member_is(struct slice line, const char *name, const char *want)
{
        struct slice v;
        if (!json_member(line, name, &v) || !slice_is(v, want))
                fail_msg("%s is not %s in %.*s", name, want, SLICE_ARG(line));
}

static void a_line_is_one_object_with_its_fields(void **state)
{
        UNUSED(state);
        struct tap t = tap_open(LOG_LEVEL_INFO, "i-1");
        log_info(t.lg, "listening", F_STR("addr", "127.0.0.1"), F_INT("port", 3006),
                F_DBL("load", 0.5), F_SLICE("none", SLICE_NONE));
        struct slice line = tap_close(&t);
        assert_true(json_check(line, 2, 0));
        assert_int_equal(line.p[line.n - 1], '\n');
        assert_int_equal(slice_find(line, '\n'), line.n - 1);
        member_is(line, "level", "\"info\"");
        member_is(line, "svc", "\"test\"");
        member_is(line, "instance", "\"i-1\"");
        member_is(line, "event", "\"listening\"");
        member_is(line, "addr", "\"127.0.0.1\"");
        member_is(line, "port", "3006");
        member_is(line, "load", "0.5");
        member_is(line, "none", "\"\"");
}

static void hostile_values_cannot_break_the_line(void **state)
{
        UNUSED(state);
        struct tap t = tap_open(LOG_LEVEL_INFO, NULL);
        log_warn(t.lg, "odd", F_STR("quote", "a\"}\n{"), F_STR("bytes", "\xff\xed\xa0\x80\xc3\xa9"),
                F_DBL("nan", (double)NAN), F_DBL("inf", (double)INFINITY));
        struct slice line = tap_close(&t);
        assert_true(json_check(line, 2, 0));
        member_is(line, "quote", "\"a\\\"}\\n{\"");
        member_is(line, "bytes", "\"<ff><ed><a0><80>\xc3\xa9\"");
        member_is(line, "nan", "null");
        member_is(line, "inf", "null");
}

static int looks;

static int looked(void)
{
        return ++looks;
}

static void levels_below_the_set_one_are_silent_and_free(void **state)
{
        UNUSED(state);
        struct tap t = tap_open(LOG_LEVEL_WARN, NULL);
        assert_true(log_on(t.lg, LOG_LEVEL_ERROR) && log_on(t.lg, LOG_LEVEL_WARN));
        assert_false(log_on(t.lg, LOG_LEVEL_INFO));
        log_info(t.lg, "quiet");
        log_debug(t.lg, "quiet", F_INT("n", looked()));
        assert_int_equal(looks, 0);
        assert_int_equal(tap_close(&t).n, 0);
        log_error(NULL, "nobody", F_INT("n", 1));
        assert_false(log_on(NULL, LOG_LEVEL_ERROR));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_line_is_one_object_with_its_fields),
                cmocka_unit_test(hostile_values_cannot_break_the_line),
                cmocka_unit_test(levels_below_the_set_one_are_silent_and_free),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
