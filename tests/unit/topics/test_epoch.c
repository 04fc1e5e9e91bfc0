/* topics, epoch: the table's rules, and the lives of the log as the topic `access` alone tells them. */
#include "topics/epoch.h"
#include "topics/topics.h"

#include "bus/mock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void add_topics(struct mock *m, const char *prefix, uint32_t partitions)
{
        const struct topics_settings s = {.partitions = partitions};
        for (size_t i = 0; i < topic_row_count; i++) {
                char name[128];
                snprintf(name, sizeof(name), "%s%s", prefix, topic_rows[i].name);
                assert_int_equal(mock_topic(m, name, topic_row_partitions(&topic_rows[i], &s)), 0);
        }
}

static struct bus *open_bus(struct mock *m, const char *prefix)
{
        char name[] = "bootstrap.servers", fault[256] = "";
        struct config_passthrough prop = {name, xstrdup(mock_bootstrap(m))};
        char *text = xstrdup(prefix);
        const struct bus_settings s = {.topic_prefix = text,
                .delivery_timeout_ms = 5000,
                .producer_records_max = 1000,
                .producer_kbytes_max = 4096,
                .volatile_records_max = 1000,
                .volatile_kbytes_max = 1024,
                .consumer_kbytes_max = 4096,
                .fetch_bytes_max = 1048576,
                .fetch_wait_ms = 5};
        struct bus *b = NULL;
        assert_int_equal(bus_new(&s, &prop, 1, "test", NULL, &b, fault), 0);
        free(prop.value);
        free(text);
        return b;
}

/* Registers and returns the epoch of chat.events; all others must agree. */
static int64_t run(struct bus *b, bool force, bool check_only, enum epoch_change expected)
{
        const struct epoch_options o = {.bus = b, .force = force, .timeout_ms = 5000};
        struct epoch *epochs = NULL;
        size_t n = 0;
        char fault[256] = "";
        int err = epoch_register(&o, check_only, &epochs, &n, fault);
        if (err)
                print_message("%s\n", fault);
        assert_int_equal(err, 0);
        assert_int_equal(n, 11);
        int64_t first = epochs[0].epoch;
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(epochs[i].epoch, first);
                assert_int_equal(epochs[i].change, expected);
        }
        free(epochs);
        return first;
}

static void a_life_is_counted_once_and_again_when_forced(void **state)
{
        UNUSED(state);
        struct mock *m = NULL;
        char fault[256];
        assert_int_equal(mock_new(1, &m, fault), 0);
        add_topics(m, "", 4);
        struct bus *b = open_bus(m, "");
        assert_int_equal(run(b, false, true, EPOCH_FIRST), 1);
        assert_int_equal(run(b, false, false, EPOCH_FIRST), 1);
        assert_int_equal(run(b, false, false, EPOCH_KEPT), 1);
        assert_int_equal(run(b, true, true, EPOCH_RAISED), 2);
        assert_int_equal(run(b, true, false, EPOCH_RAISED), 2);
        assert_int_equal(run(b, false, false, EPOCH_KEPT), 2);
        bus_free(b, 1000);
        mock_free(m);
}

static void without_access_there_is_nowhere_to_count(void **state)
{
        UNUSED(state);
        struct mock *m = NULL;
        char fault[256] = "";
        assert_int_equal(mock_new(1, &m, fault), 0);
        struct bus *b = open_bus(m, "");
        const struct epoch_options o = {.bus = b, .timeout_ms = 3000};
        struct epoch *epochs = NULL;
        size_t n = 0;
        assert_int_equal(epoch_register(&o, false, &epochs, &n, fault), -ENOENT);
        assert_non_null(strstr(fault, "access"));
        bus_free(b, 1000);
        mock_free(m);
}

static void prefixes_keep_their_lives_apart(void **state)
{
        UNUSED(state);
        struct mock *m = NULL;
        char fault[256];
        assert_int_equal(mock_new(1, &m, fault), 0);
        add_topics(m, "a.", 2);
        add_topics(m, "b.", 2);
        struct bus *a = open_bus(m, "a."), *b = open_bus(m, "b.");
        assert_int_equal(run(a, false, false, EPOCH_FIRST), 1);
        assert_int_equal(run(a, true, false, EPOCH_RAISED), 2);
        assert_int_equal(run(b, false, false, EPOCH_FIRST), 1);
        bus_free(a, 1000);
        bus_free(b, 1000);
        mock_free(m);
}

static void the_table_keeps_its_promises(void **state)
{
        UNUSED(state);
        const struct topics_settings s = {.partitions = 7};
        for (size_t i = 0; i < topic_row_count; i++) {
                const struct topic_row *r = &topic_rows[i];
                assert_true(topic_row_partitions(r, &s) == 7 ||
                            topic_row_partitions(r, &s) == r->partitions);
                assert_true(
                        strcmp(r->cleanup, "delete") == 0 || strcmp(r->cleanup, "compact") == 0);
                assert_true((r->retention_ms < 0) == (strcmp(r->cleanup, "compact") == 0));
                for (size_t k = 0; k < i; k++)
                        assert_string_not_equal(r->name, topic_rows[k].name);
                if (topic_row_has_epoch(r))
                        continue;
                /* Dead letters: as many partitions as the original. */
                char original[64];
                snprintf(original, sizeof(original), "%.*s", (int)strlen(r->name) - 4, r->name);
                bool found = false;
                for (size_t k = 0; k < topic_row_count; k++)
                        found = found || (strcmp(topic_rows[k].name, original) == 0 &&
                                                 topic_rows[k].partitions == r->partitions);
                assert_true(found);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_life_is_counted_once_and_again_when_forced),
                cmocka_unit_test(without_access_there_is_nowhere_to_count),
                cmocka_unit_test(prefixes_keep_their_lives_apart),
                cmocka_unit_test(the_table_keeps_its_promises),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
