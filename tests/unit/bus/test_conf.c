/* conf: which properties a user may pass through, and what is said about the others. */
#include "with_mock.h"

#include <errno.h>

static int try_props(const char *const *pairs, size_t count, char fault[256])
{
        struct config_passthrough props[4];
        assert_true(count <= ARRAY_LEN(props));
        for (size_t i = 0; i < count; i++)
                props[i] = (struct config_passthrough){
                        xstrdup(pairs[2 * i]), xstrdup(pairs[2 * i + 1])};
        struct bus_settings s = test_settings(5000);
        struct bus *b = NULL;
        fault[0] = 0;
        int err = bus_new(&s, props, count, "test", NULL, &b, fault);
        for (size_t i = 0; i < count; i++) {
                free(props[i].name);
                free(props[i].value);
        }
        bus_free(b, 0);
        return err;
}

static void brokers_have_to_be_named(void **state)
{
        UNUSED(state);
        char fault[256];
        assert_int_equal(try_props(NULL, 0, fault), -EINVAL);
        assert_string_equal(fault, "TERN_KAFKA_BOOTSTRAP_SERVERS is not set");
        const char *const empty[] = {"bootstrap.servers", ""};
        assert_int_equal(try_props(empty, 1, fault), -EINVAL);
}

static void what_does_not_exist_is_named_as_the_user_wrote_it(void **state)
{
        UNUSED(state);
        char fault[256];
        const char *const unknown[] = {"bootstrap.servers", "127.0.0.1:1", "no.such.thing", "1"};
        assert_int_equal(try_props(unknown, 2, fault), -EINVAL);
        assert_non_null(strstr(fault, "TERN_KAFKA_NO_SUCH_THING"));
        const char *const range[] = {
                "bootstrap.servers", "127.0.0.1:1", "socket.timeout.ms", "soon"};
        assert_int_equal(try_props(range, 2, fault), -EINVAL);
        assert_non_null(strstr(fault, "TERN_KAFKA_SOCKET_TIMEOUT_MS"));
}

static void promises_are_not_settings(void **state)
{
        UNUSED(state);
        char fault[256];
        const char *const promises[] = {"acks", "partitioner", "isolation.level",
                "enable.idempotence", "auto.offset.reset", "group.id"};
        for (size_t i = 0; i < ARRAY_LEN(promises); i++) {
                const char *const pair[] = {"bootstrap.servers", "127.0.0.1:1", promises[i], "1"};
                assert_int_equal(try_props(pair, 2, fault), -EINVAL);
                assert_non_null(strstr(fault, "may not be set"));
        }
}

static _Atomic unsigned warnings;

static void count_warnings(void *arg, int level, const char *facility, const char *text)
{
        UNUSED(arg);
        UNUSED(level);
        UNUSED(text);
        warnings += slice_is(slice_str(facility), "CONFWARN");
}

static void a_property_of_one_kind_of_handle_disturbs_no_other(void **state)
{
        UNUSED(state);
        struct mock *m = NULL;
        char fault[256] = "";
        assert_int_equal(mock_new(1, &m, fault), 0);
        struct config_passthrough props[] = {
                {xstrdup("bootstrap.servers"), xstrdup(mock_bootstrap(m))},
                {xstrdup("batch.num.messages"), xstrdup("100")},
                {xstrdup("fetch.min.bytes"), xstrdup("1")}};
        struct bus_settings s = test_settings(5000);
        struct bus *b = NULL;
        assert_int_equal(bus_new(&s, props, 3, "test", NULL, &b, fault), 0);
        bus_set_log(b, count_warnings, NULL);
        struct consumer *c = NULL;
        const struct consumer_options o = {0};
        assert_int_equal(consumer_new(b, &o, &c, fault), 0);
        consumer_free(c);
        assert_int_equal(warnings, 0);
        bus_free(b, 0);
        for (size_t i = 0; i < ARRAY_LEN(props); i++) {
                free(props[i].name);
                free(props[i].value);
        }
        mock_free(m);
}

static void the_defaults_are_valid(void **state)
{
        UNUSED(state);
        struct bus_settings s = {0};
        const struct config_group g = {"Kafka", bus_settings_rows, bus_settings_count, &s};
        char *none[] = {NULL};
        struct config_result r;
        assert_int_equal(config_load(&g, 1, none, &r), 0);
        assert_true(s.delivery_timeout_ms + 2000 <= 10000);
        config_result_done(&r);
        config_free(&g, 1);
}

static void a_prefix_is_part_of_the_name(void **state)
{
        UNUSED(state);
        struct mock *m = NULL;
        char fault[256], name[32], prefix[] = "acme.";
        assert_int_equal(mock_new(1, &m, fault), 0);
        struct bus_settings s = test_settings(5000);
        s.topic_prefix = prefix;
        struct bus *b = test_bus(s, mock_bootstrap(m), NULL);
        assert_true(bus_topic_name(b, SLICE_LIT("chat.events"), name, sizeof(name)));
        assert_string_equal(name, "acme.chat.events");
        assert_false(bus_topic_name(b, SLICE_LIT(""), name, sizeof(name)));
        assert_false(bus_topic_name(
                b, SLICE_LIT("a-name-that-is-too-long-for-this"), name, sizeof(name)));
        bus_free(b, 0);
        mock_free(m);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(brokers_have_to_be_named),
                cmocka_unit_test(what_does_not_exist_is_named_as_the_user_wrote_it),
                cmocka_unit_test(promises_are_not_settings),
                cmocka_unit_test(a_property_of_one_kind_of_handle_disturbs_no_other),
                cmocka_unit_test(the_defaults_are_valid),
                cmocka_unit_test(a_prefix_is_part_of_the_name),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
