/* What a request may make ternctl do, word by word. */
#include "admin/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef int (*act)(struct slice body, struct job_order *o, char fault[160]);

static void expect(act fn, const char *body, const char *command, const char *what)
{
        struct job_order o = {.kind = NULL};
        struct buf have = BUF_EMPTY;
        char fault[160] = "";
        assert_int_equal(fn(slice_str(body), &o, fault), 0);
        for (size_t i = 0; i < o.count; i++)
                buf_printf(&have, "%s%s", i ? "|" : "", o.args[i]);
        assert_string_equal(buf_cstr(&have), command);
        assert_string_equal(o.what, what);
        buf_done(&have);
        job_order_done(&o);
}

static void refuse(act fn, const char *body, const char *said)
{
        struct job_order o = {.kind = NULL};
        char fault[160] = "";
        assert_true(fn(slice_str(body), &o, fault) < 0);
        assert_non_null(strstr(fault, said));
        job_order_done(&o);
}

static void a_kick_names_a_user(void **state)
{
        UNUSED(state);
        expect(act_kick, "{\"userId\":\"ada\",\"reason\":\"--yes, moved\"}",
                "kick|--user=ada|--reason=--yes, moved|--json",
                "{\"userId\":\"ada\",\"reason\":\"--yes, moved\"}");
        expect(act_kick, "{\"userId\":\"ada\",\"reason\":\"\"}", "kick|--user=ada|--json",
                "{\"userId\":\"ada\"}");
        refuse(act_kick, "{}", "userId");
        refuse(act_kick, "{\"userId\":\"a b\"}", "userId");
        refuse(act_kick, "{\"userId\":7}", "userId");
        refuse(act_kick, "{\"userId\":\"ada\",\"reason\":{}}", "reason");
}

static void a_redrive_names_places_or_says_all(void **state)
{
        UNUSED(state);
        expect(act_redrive, "{\"places\":[\"chat.events/3/12/1\",\"notifications/0/0/2\"]}",
                "dlq|redrive|--yes|chat.events/3/12/1|notifications/0/0/2|--json",
                "{\"places\":[\"chat.events/3/12/1\",\"notifications/0/0/2\"]}");
        expect(act_redrive, "{\"all\":true,\"topic\":\"chat.events\",\"reason\":\"invalid\"}",
                "dlq|redrive|--yes|--all|--topic=chat.events|--reason=invalid|--json",
                "{\"all\":true,\"topic\":\"chat.events\",\"reason\":\"invalid\"}");
        refuse(act_redrive, "{}", "name places");
        refuse(act_redrive, "{\"places\":[]}", "no places");
        refuse(act_redrive, "{\"places\":[\"--all\"]}", "a place");
        refuse(act_redrive, "{\"places\":[\"chat.events/3/12\"]}", "a place");
        refuse(act_redrive, "{\"places\":[\"chat.events/3/12/1/1\"]}", "a place");
        refuse(act_redrive, "{\"places\":[\"chat.events/-3/12/1\"]}", "a place");
        refuse(act_redrive, "{\"places\":\"chat.events/3/12/1\"}", "name places");
        refuse(act_redrive, "{\"all\":\"yes\"}", "true or false");
        struct buf many = BUF_EMPTY;
        buf_add_str(&many, "{\"places\":[\"a/0/0/0\"");
        for (int i = 0; i < 100; i++)
                buf_add_str(&many, ",\"a/0/0/0\"");
        buf_add_str(&many, "]}");
        refuse(act_redrive, buf_cstr(&many), "at most 100");
        buf_done(&many);
}

static void one_letter_may_be_mended_by_a_text_that_does_nothing(void **state)
{
        UNUSED(state);
        expect(act_redrive,
                "{\"place\":\"chat.events/3/12/1\",\"value\":{\"content\":\"it's \\\"42\\\" "
                "$ENV\"},\"type\":\"tern.emit\",\"setKey\":\"team-7\"}",
                "dlq|redrive|--yes|chat.events/3/12/1|--jq={\"content\":\"it's \\\"42\\\" "
                "$ENV\"}|--set-header=ce_type=tern.emit|--set-key=team-7|--json",
                "{\"place\":\"chat.events/3/12/"
                "1\",\"mended\":true,\"type\":\"tern.emit\",\"setKey\":\"team-7\"}");
        expect(act_redrive, "{\"place\":\"chat.events/3/12/1\"}",
                "dlq|redrive|--yes|chat.events/3/12/1|--json",
                "{\"place\":\"chat.events/3/12/1\"}");
        refuse(act_redrive, "{\"place\":\"x\"}", "place");
        refuse(act_redrive, "{\"place\":\"a/1/1/1\",\"value\":\"$ENV\"}", "value");
        refuse(act_redrive, "{\"place\":\"a/1/1/1\",\"type\":7}", "type");
        /* What jq adds to JSON's strings is no JSON, and such a body never gets here. */
        assert_false(event_json_valid(SLICE_LIT("{\"value\":{\"a\":\"\\($ENV)\"}}"), 8));
}

static void a_replay_takes_what_has_no_program_in_it(void **state)
{
        UNUSED(state);
        expect(act_replay,
                "{\"topic\":\"chat.events\",\"from\":\"-2h\",\"key\":\"team-7\",\"dryRun\":true}",
                "replay|--topic=chat.events|--from=-2h|--key=team-7|--dry-run|--json",
                "{\"topic\":\"chat.events\",\"from\":\"-2h\",\"key\":\"team-7\",\"dryRun\":true}");
        expect(act_replay, "{\"topic\":\"chat.events\",\"toTopic\":\"copy\",\"rate\":100}",
                "replay|--topic=chat.events|--rate=100|--to-topic=copy|--yes|--json",
                "{\"topic\":\"chat.events\",\"rate\":100,\"toTopic\":\"copy\"}");
        expect(act_replay, "{\"topic\":\"chat.events\",\"toStore\":true}",
                "replay|--topic=chat.events|--to-store|--yes|--json",
                "{\"topic\":\"chat.events\",\"toStore\":true}");
        /* A jq program would see the environment. */
        expect(act_replay,
                "{\"topic\":\"chat.events\",\"where\":\"$ENV\",\"jq\":\"$ENV\",\"checkpoint\":\"/"
                "x\",\"dryRun\":true}",
                "replay|--topic=chat.events|--dry-run|--json",
                "{\"topic\":\"chat.events\",\"dryRun\":true}");
        refuse(act_replay, "{\"topic\":\"\"}", "topic");
        refuse(act_replay, "{\"topic\":\"a b\"}", "topic");
        refuse(act_replay, "{\"topic\":\"--help\"}", "topic");
        refuse(act_replay, "{\"topic\":\"x\",\"toTopic\":\"../x\"}", "toTopic");
        refuse(act_replay, "{\"topic\":\"x\",\"rate\":0}", "rate");
        refuse(act_replay, "{\"topic\":\"x\",\"rate\":\"1\"}", "rate");
        refuse(act_replay, "{\"topic\":\"x\",\"dryRun\":1}", "dryRun");
        refuse(act_replay, "{\"topic\":\"x\",\"from\":[]}", "from");
        refuse(act_replay, "{\"topic\":\"x\",\"key\":\"a\\u0000b\"}", "key");
        struct buf body = BUF_EMPTY;
        buf_add_str(&body, "{\"topic\":\"x\",\"key\":\"");
        for (int i = 0; i < 513; i++)
                buf_add_char(&body, 'k');
        buf_add_str(&body, "\"}");
        refuse(act_replay, buf_cstr(&body), "at most 512 bytes");
        buf_done(&body);
}

static bool has_file(const char *name, const char *needle)
{
        for (size_t i = 0; i < admin_file_count; i++)
                if (strcmp(admin_files[i].name, name) == 0)
                        return memmem(admin_files[i].bytes, admin_files[i].n, needle,
                                       strlen(needle)) != NULL;
        return false;
}

static void the_page_is_in_the_program(void **state)
{
        UNUSED(state);
        assert_true(has_file("index.html", "<script type=\"module\" src=\"app.js\">"));
        assert_true(has_file("app.js", "import"));
        assert_true(has_file("style.css", ":root"));
        assert_false(has_file("index.html", "style=\""));
        assert_false(has_file("index.html", "onclick"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_kick_names_a_user),
                cmocka_unit_test(a_redrive_names_places_or_says_all),
                cmocka_unit_test(one_letter_may_be_mended_by_a_text_that_does_nothing),
                cmocka_unit_test(a_replay_takes_what_has_no_program_in_it),
                cmocka_unit_test(the_page_is_in_the_program),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
