/* command: the table, the words, the options and the times that people write. */
#include "ctl/command.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define PARSE(a, ...) parse(a, (const char *const[]){__VA_ARGS__, NULL})

/* argv as a process gets it: writable. */
static char *argv_of[16];
static char fault[256];

static int parse(struct args *a, const char *const *words)
{
        int argc = 1, used = 0;
        for (; words[argc - 1]; argc++) {
                assert_true(argc < 16);
                union {
                        const char *c;
                        char *m;
                } u = {.c = words[argc - 1]};
                argv_of[argc] = u.m;
        }
        const struct command *c = command_find(argc, argv_of, &used);
        if (!c)
                return -ENOENT;
        return args_parse(c, argc - 1 - used, argv_of + 1 + used, a, fault);
}

static void commands_of_one_and_two_words_are_found(void **state)
{
        UNUSED(state);
        struct args a;
        assert_int_equal(PARSE(&a, "topics", "create"), 0);
        assert_string_equal(a.command->name, "topics create");
        assert_int_equal(PARSE(&a, "lag"), 0);
        assert_string_equal(a.command->name, "lag");
        assert_int_equal(PARSE(&a, "topics"), -ENOENT);
        assert_int_equal(PARSE(&a, "topics", "burn"), -ENOENT);
        assert_int_equal(PARSE(&a, "topicscreate"), -ENOENT);
        assert_int_equal(PARSE(&a, ""), -ENOENT);
}

static void the_first_word_of_two_lists_its_commands(void **state)
{
        UNUSED(state);
        struct buf out = BUF_EMPTY;
        assert_int_equal(command_help_group("topics", &out), 2);
        assert_non_null(strstr(buf_cstr(&out), "topics create"));
        assert_non_null(strstr(buf_cstr(&out), "topics list"));
        assert_null(strstr(buf_cstr(&out), "dlq"));
        buf_done(&out);
        assert_int_equal(command_help_group("topic", &out), 0);
        assert_int_equal(command_help_group("lag", &out), 0);
        assert_int_equal(command_help_group("", &out), 0);
        assert_int_equal(out.n, 0);
}

static void options_come_in_either_form_and_anywhere(void **state)
{
        UNUSED(state);
        struct args a;
        uint32_t n = 0;
        assert_int_equal(PARSE(&a, "tail", "--count", "3", "chat.events", "--key=room-1",
                                 "notifications", "--follow"),
                0);
        assert_int_equal(a.word_count, 2);
        assert_string_equal(a.words[0], "chat.events");
        assert_string_equal(a.words[1], "notifications");
        assert_string_equal(args_text(&a, "key"), "room-1");
        assert_string_equal(args_text(&a, "type"), "");
        assert_true(args_flag(&a, "follow"));
        assert_int_equal(args_u32(&a, "count", 100, &n, fault), 0);
        assert_int_equal(n, 3);
        assert_int_equal(PARSE(&a, "tail", "--", "--count"), 0);
        assert_int_equal(a.word_count, 1);
        assert_string_equal(a.words[0], "--count");
}

static void defaults_stand_in_the_table(void **state)
{
        UNUSED(state);
        struct args a;
        uint32_t n = 0;
        assert_int_equal(PARSE(&a, "topics", "create"), 0);
        assert_int_equal(args_u32(&a, "wait", 1000, &n, fault), 0);
        assert_int_equal(n, 30);
        assert_false(args_flag(&a, "json"));
}

static void what_is_wrong_is_named(void **state)
{
        UNUSED(state);
        struct args a;
        uint32_t n = 0;
        assert_int_equal(PARSE(&a, "lag", "--bogus"), -EINVAL);
        assert_non_null(strstr(fault, "--bogus"));
        assert_int_equal(PARSE(&a, "lag", "--json=yes"), -EINVAL);
        assert_int_equal(PARSE(&a, "migrate", "--wait"), -EINVAL);
        assert_int_equal(PARSE(&a, "migrate", "now"), -EINVAL);
        assert_non_null(strstr(fault, "now"));
        assert_int_equal(PARSE(&a, "migrate", "--wait", "-5"), 0);
        assert_int_equal(args_u32(&a, "wait", 1000, &n, fault), -EINVAL);
        assert_int_equal(PARSE(&a, "migrate", "--wait", "1001"), 0);
        assert_int_equal(args_u32(&a, "wait", 1000, &n, fault), -EINVAL);
        assert_non_null(strstr(fault, "1000"));
}

static void every_command_explains_itself(void **state)
{
        UNUSED(state);
        struct args a;
        assert_int_equal(PARSE(&a, "migrate", "--help", "whatever"), 0);
        assert_true(a.help);
        for (size_t i = 0; i < command_count; i++) {
                struct buf out = BUF_EMPTY;
                command_help(&commands[i], &out);
                assert_non_null(strstr(buf_cstr(&out), commands[i].example));
                assert_non_null(strstr(buf_cstr(&out), "usage: ternctl "));
                assert_non_null(strstr(commands[i].example, commands[i].name));
                buf_done(&out);
        }
}

static void times_are_read_as_people_write_them(void **state)
{
        UNUSED(state);
        int64_t ms = 0;
        assert_int_equal(parse_duration("90s", &ms), 0);
        assert_int_equal(ms, 90000);
        assert_int_equal(parse_duration("15m", &ms), 0);
        assert_int_equal(ms, 900000);
        assert_int_equal(parse_duration("12h", &ms), 0);
        assert_int_equal(ms, 43200000);
        assert_int_equal(parse_duration("30d", &ms), 0);
        assert_int_equal(ms, INT64_C(2592000000));
        assert_int_equal(parse_duration("7", &ms), 0);
        assert_int_equal(ms, 7000);
        const char *const wrong[] = {"", "s", "-1h", "1w", "1.5h", "99999999999999999999d", "h1"};
        for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
                assert_int_equal(parse_duration(wrong[i], &ms), -EINVAL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(commands_of_one_and_two_words_are_found),
                cmocka_unit_test(the_first_word_of_two_lists_its_commands),
                cmocka_unit_test(options_come_in_either_form_and_anywhere),
                cmocka_unit_test(defaults_stand_in_the_table),
                cmocka_unit_test(what_is_wrong_is_named),
                cmocka_unit_test(every_command_explains_itself),
                cmocka_unit_test(times_are_read_as_people_write_them),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
