/* Settings from an environment: defaults, faults, secrets, pass-through, and the texts for people.
 */
#include "base/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

struct settings {
        uint32_t port;
        uint64_t bytes;
        bool on;
        char *name, *mode, *list, *secret;
};

static const struct config_row rows[] = {CONFIG_ROW(struct settings, U32, port, "TERN_T_PORT",
        "3006", 1, 65535, "port", "Where to listen.") CONFIG_ROW(struct settings, U64, bytes,
        "TERN_T_BYTES", "5000000000", 0, 9000000000, "bytes",
        "How much.") CONFIG_ROW(struct settings, BOOL, on, "TERN_T_ON", "off", 0, 0, "", "Whether.")
                CONFIG_ROW(struct settings, STR, name, "TERN_T_NAME", "n", 1, 4, "bytes of a name",
                        "Who.") CONFIG_ROW(struct settings, STR, mode, "TERN_T_MODE", "a", 0, 16,
                        "a|b|c", "How.") CONFIG_ROW(struct settings, LIST, list, "TERN_T_LIST", "",
                        0, 64, "list", "Which.") CONFIG_ROW(struct settings, SECRET, secret,
                        "TERN_T_SECRET_FILE", "", 4, 64, "", "What nobody sees.")};

static struct settings s;
static const struct config_group group = {"Test", rows, ARRAY_LEN(rows), &s};

static int load(const char *const *env, struct config_result *r)
{
        char *copies[16] = {NULL};
        for (size_t i = 0; env[i]; i++)
                copies[i] = xstrdup(env[i]);
        int err = config_load(&group, 1, copies, r);
        for (size_t i = 0; copies[i]; i++)
                free(copies[i]);
        return err;
}

static void done(struct config_result *r)
{
        config_result_done(r);
        config_free(&group, 1);
        config_free(&group, 1);
}

static void every_default_is_valid_and_in_force(void **state)
{
        UNUSED(state);
        const char *const env[] = {NULL};
        struct config_result r;
        assert_int_equal(load(env, &r), 0);
        assert_true(s.port == 3006 && s.bytes == 5000000000 && !s.on);
        assert_string_equal(s.name, "n");
        assert_string_equal(s.secret, "");
        assert_true(r.faults.n == 0 && r.warnings.n == 0 && r.kafka_count == 0);
        done(&r);
}

static void the_environment_wins(void **state)
{
        UNUSED(state);
        const char *const env[] = {"HOME=/", "TERN_T_PORT=1", "TERN_T_BYTES=0", "TERN_T_ON=True",
                "TERN_T_NAME=abcd", "TERN_T_MODE=c", "TERN_T_LIST=x,y", NULL};
        struct config_result r;
        assert_int_equal(load(env, &r), 0);
        assert_true(s.port == 1 && s.bytes == 0 && s.on);
        assert_string_equal(s.name, "abcd");
        assert_string_equal(s.mode, "c");
        assert_string_equal(s.list, "x,y");
        done(&r);
}

static unsigned lines(const struct buf *b)
{
        unsigned n = 0;
        for (size_t i = 0; i < b->n; i++)
                n += b->p[i] == '\n';
        return n;
}

static void all_faults_are_told_at_once(void **state)
{
        UNUSED(state);
        const char *const env[] = {"TERN_T_PORT=70000", "TERN_T_BYTES=-1", "TERN_T_ON=maybe",
                "TERN_T_NAME=", "TERN_T_MODE=d", "TERN_T_SECRET_FILE=/nonexistent/x", NULL};
        struct config_result r;
        assert_true(load(env, &r) < 0);
        assert_int_equal(lines(&r.faults), 6);
        const char *text = buf_cstr(&r.faults);
        assert_non_null(strstr(text, "TERN_T_PORT is \"70000\""));
        assert_non_null(strstr(text, "1 to 65535"));
        assert_non_null(strstr(text, "one of a|b|c"));
        /* What was wrong holds its default, so that everything can be freed. */
        assert_string_equal(s.mode, "a");
        done(&r);
}

static void numbers_with_anything_around_them_are_faults(void **state)
{
        UNUSED(state);
        static const char *const bad[] = {"TERN_T_PORT=", "TERN_T_PORT= 1", "TERN_T_PORT=1 ",
                "TERN_T_PORT=0x1", "TERN_T_PORT=1e3", "TERN_T_PORT=0",
                "TERN_T_PORT=99999999999999999999999"};
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                const char *const env[] = {bad[i], NULL};
                struct config_result r;
                assert_true(load(env, &r) < 0);
                done(&r);
        }
}

static void write_file(const char *path, const char *text, size_t n)
{
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(text, 1, n, f), n);
        fclose(f);
}

static void passwords_in_addresses_are_not_printed(void **state)
{
        UNUSED(state);
        static const char *const addresses[] = {"TERN_T_LIST=postgresql://tern:s3cret@h:5432/db",
                "TERN_T_LIST=host=h password=s3cret dbname=d", "TERN_T_LIST=password='s3cret x' host=h",
                "TERN_T_LIST=postgresql://h/db?password=s3cret&x=1"};
        for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
                const char *const env[] = {addresses[i], NULL};
                struct config_result r;
                assert_int_equal(load(env, &r), 0);
                struct buf out = BUF_EMPTY;
                config_print(&group, 1, &out);
                assert_null(strstr(buf_cstr(&out), "s3cret"));
                assert_non_null(strstr(out.p, "***"));
                assert_non_null(strstr(out.p, "h"));
                buf_done(&out);
                done(&r);
        }
}

static void a_secret_is_the_content_of_its_file(void **state)
{
        UNUSED(state);
        char path[] = "/tmp/tern-test-secret-XXXXXX", setting[96];
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        close(fd);
        snprintf(setting, sizeof(setting), "TERN_T_SECRET_FILE=%s", path);
        const char *const env[] = {setting, NULL};
        struct config_result r;
        write_file(path, "s3cret\n", 7);
        assert_int_equal(load(env, &r), 0);
        assert_string_equal(s.secret, "s3cret");
        struct buf out = BUF_EMPTY;
        config_print(&group, 1, &out);
        assert_null(strstr(buf_cstr(&out), "s3cret"));
        assert_non_null(strstr(out.p, "TERN_T_SECRET_FILE=(set)\n"));
        buf_done(&out);
        done(&r);
        static const struct {
                const char *text;
                size_t n;
        } bad[] = {{"abc", 3}, {"", 0}, {"ab\0cd", 5}};
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                write_file(path, bad[i].text, bad[i].n);
                assert_true(load(env, &r) < 0);
                assert_null(strstr(buf_cstr(&r.faults), "abc\n"));
                done(&r);
        }
        unlink(path);
}

static void kafka_properties_pass_through(void **state)
{
        UNUSED(state);
        const char *const env[] = {
                "TERN_KAFKA_BOOTSTRAP_SERVERS=k:9092", "TERN_KAFKA_SASL_PASSWORD=x=y", NULL};
        struct config_result r;
        assert_int_equal(load(env, &r), 0);
        assert_int_equal(r.kafka_count, 2);
        assert_string_equal(r.kafka[0].name, "bootstrap.servers");
        assert_string_equal(r.kafka[0].value, "k:9092");
        assert_string_equal(r.kafka[1].name, "sasl.password");
        assert_string_equal(r.kafka[1].value, "x=y");
        done(&r);
}

static void unknown_settings_are_warned_of_and_kubernetes_is_not(void **state)
{
        UNUSED(state);
        const char *const env[] = {"TERN_T_PROT=1", "TERN", "TERNARY=1",
                "TERN_KAFKA_PORT=tcp://10.0.0.1:9092", "TERN_KAFKA_PORT_9092_TCP_ADDR=10.0.0.1",
                "TERN_KAFKA_SERVICE_HOST=10.0.0.1", "TERN_MESSAGING_SERVICE_PORT_HTTP=3006", NULL};
        struct config_result r;
        assert_int_equal(load(env, &r), 0);
        assert_string_equal(buf_cstr(&r.warnings), "TERN_T_PROT is no setting of this program\n");
        assert_int_equal(r.kafka_count, 0);
        done(&r);
}

static void help_names_every_setting(void **state)
{
        UNUSED(state);
        struct buf help = BUF_EMPTY;
        config_help(&group, 1, &help);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                assert_non_null(strstr(buf_cstr(&help), rows[i].env));
                assert_non_null(strstr(help.p, rows[i].text));
        }
        assert_non_null(strstr(help.p, "a|b|c"));
        buf_done(&help);
}

static void lists_are_cut_at_commas_and_trimmed(void **state)
{
        UNUSED(state);
        struct slice rest = SLICE_LIT(" a, ,b c ,,d"), item;
        assert_true(config_list_next(&rest, &item) && slice_is(item, "a"));
        assert_true(config_list_next(&rest, &item) && slice_is(item, "b c"));
        assert_true(config_list_next(&rest, &item) && slice_is(item, "d"));
        assert_false(config_list_next(&rest, &item));
        rest = SLICE_NONE;
        assert_false(config_list_next(&rest, &item));
        assert_true(config_is_choice("on|off", "off"));
        assert_false(config_is_choice("on|off", "of"));
        assert_false(config_is_choice("on|off", ""));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_default_is_valid_and_in_force),
                cmocka_unit_test(the_environment_wins),
                cmocka_unit_test(all_faults_are_told_at_once),
                cmocka_unit_test(numbers_with_anything_around_them_are_faults),
                cmocka_unit_test(passwords_in_addresses_are_not_printed),
                cmocka_unit_test(a_secret_is_the_content_of_its_file),
                cmocka_unit_test(kafka_properties_pass_through),
                cmocka_unit_test(unknown_settings_are_warned_of_and_kubernetes_is_not),
                cmocka_unit_test(help_names_every_setting),
                cmocka_unit_test(lists_are_cut_at_commas_and_trimmed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
