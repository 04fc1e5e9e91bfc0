#include "tests/unit/writer/writer_fixture.h"

static struct batch *b;

static int setup(void **state)
{
        UNUSED(state);
        b = batch_new();
        return 0;
}

static int teardown(void **state)
{
        UNUSED(state);
        b = batch_free(b);
        return 0;
}

static struct part home(enum writer_topic t, const char *key)
{
        return test_part(t, t == TOPIC_BROADCASTS ? 0 : home_of(key), 1);
}

static void a_record_in_its_place_is_stored(void **state)
{
        UNUSED(state);
        const struct item *it = add_record(b, home(TOPIC_EVENTS, "c1"), 7, MESSAGE("m1", "c1"));
        assert_int_equal(it->kind, ITEM_STORE);
        assert_int_equal(it->seq, (1LL << 40) + 7);
        assert_int_equal(it->before, 7);
        assert_int_equal(it->after, 8);
        assert_int_equal(it->created_ms, TEST_TIME_MS + 7);
        assert_string_equal(it->event.conversation_id, "c1");
        assert_int_equal(it->id_class, ID_MESSAGE);
}

static void what_is_invalid_is_a_dead_letter_with_its_reason(void **state)
{
        UNUSED(state);
        const struct {
                struct test_record record;
                enum writer_topic topic;
                enum event_fault fault;
                const char *field;
        } rows[] = {
                {{"i", "tern.message.created", "c1", "{", NULL, NULL}, TOPIC_EVENTS, EVENT_BAD_JSON,
                        ""},
                {{"i", "tern.message.created", "c1", "{\"senderId\":\"a\"}", NULL, NULL},
                        TOPIC_EVENTS, EVENT_INVALID, "content"},
                {{"i", "tern.nonsense", "c1", "{}", NULL, NULL}, TOPIC_EVENTS, EVENT_BAD_TYPE,
                        "ce_type"},
                {{"i", "tern.message.created", "c1", NULL, NULL, NULL}, TOPIC_EVENTS,
                        EVENT_TOMBSTONE, ""},
                {{NULL, "tern.message.created", "c1", "{\"senderId\":\"a\",\"content\":\"x\"}",
                         NULL, NULL},
                        TOPIC_EVENTS, EVENT_INVALID, "ce_id"},
                {{"i", "tern.emit", NULL, "{\"event\":\"e\"}", NULL, NULL}, TOPIC_EVENTS,
                        EVENT_KEY_MISMATCH, "key"},
                {{"i", "tern.emit", "no room!", "{\"event\":\"e\"}", NULL, NULL}, TOPIC_EVENTS,
                        EVENT_KEY_MISMATCH, "key"},
                {{"i", "tern.session", "c1",
                         "{\"sid\":\"s\",\"sub\":\"u\",\"gen\":1,\"gateway\":\"g\",\"rooms\":[]}",
                         NULL, NULL},
                        TOPIC_SESSIONS, EVENT_KEY_MISMATCH, "key"},
                {{"i", "com.shop\xff", "ann", "{\"type\":\"t\",\"title\":\"a\",\"body\":\"b\"}",
                         NULL, NULL},
                        TOPIC_NOTIFICATIONS, EVENT_INVALID, "ce_type"},
                {{NULL, NULL, "ann", "[1]", NULL, NULL}, TOPIC_NOTIFICATIONS, EVENT_INVALID, ""},
        };
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                const char *key = rows[i].record.key ? rows[i].record.key : "";
                const struct item *it =
                        add_record(b, home(rows[i].topic, key), (int64_t)i, &rows[i].record);
                assert_int_equal(it->kind, ITEM_DEAD);
                assert_int_equal(it->error->fault, rows[i].fault);
                assert_string_equal(it->error->field, rows[i].field);
        }
}

static void another_partitioners_record_is_published_again(void **state)
{
        UNUSED(state);
        struct part wrong = test_part(TOPIC_EVENTS, (home_of("c1") + 1) % TEST_PARTITIONS, 1);
        const struct item *it = add_record(b, wrong, 0, MESSAGE("m1", "c1"));
        assert_int_equal(it->kind, ITEM_REKEY);
        assert_int_equal(it->target, home_of("c1"));
        assert_true(slice_is(it->key, "c1"));
}

static void a_record_under_another_subjects_key_gets_its_own(void **state)
{
        UNUSED(state);
        const struct test_record no_key = {.id = "n1",
                .type = "com.shop.order",
                .value = "{\"userId\":\"ann\",\"type\":\"t\",\"title\":\"a\",\"body\":\"b\"}"};
        const struct item *it = add_record(b, test_part(TOPIC_NOTIFICATIONS, 0, 1), 0, &no_key);
        assert_int_equal(it->kind, ITEM_REKEY);
        assert_true(slice_is(it->key, "ann"));
        assert_int_equal(it->target, home_of("ann"));
        const struct test_record receipt = {.id = "r1",
                .type = "tern.receipt.read",
                .key = "c1",
                .value = "{\"conversationId\":\"c1\",\"userId\":\"ann\",\"seq\":5}"};
        it = add_record(b, home(TOPIC_RECEIPTS, "c1"), 0, &receipt);
        assert_int_equal(it->kind, ITEM_REKEY);
        assert_true(slice_is(it->key, "c1/ann"));
        const struct test_record broadcast = {.id = "b1",
                .type = "tern.broadcast",
                .value = "{\"audience\":\"all\",\"type\":\"t\",\"title\":\"a\",\"body\":\"b\"}"};
        it = add_record(b, test_part(TOPIC_BROADCASTS, 0, 1), 0, &broadcast);
        assert_int_equal(it->kind, ITEM_REKEY);
        assert_true(slice_is(it->key, "all"));
        assert_int_equal(it->target, 0);
}

static void a_copy_that_does_not_fit_either_is_not_copied_again(void **state)
{
        UNUSED(state);
        struct part wrong = test_part(TOPIC_EVENTS, (home_of("c1") + 1) % TEST_PARTITIONS, 1);
        struct test_record copy = *MESSAGE("m1", "c1");
        copy.rekeyed = "chat.events/0/1/1";
        const struct item *it = add_record(b, wrong, 0, &copy);
        assert_int_equal(it->kind, ITEM_DEAD);
        assert_int_equal(it->error->fault, EVENT_KEY_MISMATCH);
        it = add_record(b, home(TOPIC_EVENTS, "c1"), 0, &copy);
        assert_int_equal(it->kind, ITEM_STORE);
}

static void structured_mode_and_bare_json_are_stored_as_binary_mode(void **state)
{
        UNUSED(state);
        const struct test_record bare = {.key = "ann",
                .value = "{\"userId\":\"ann\",\"type\":\"t\",\"title\":\"a\",\"body\":\"b\"}"};
        const struct item *it = add_record(b, home(TOPIC_NOTIFICATIONS, "ann"), 4, &bare);
        assert_int_equal(it->kind, ITEM_STORE);
        char id[64];
        snprintf(id, sizeof(id), "notifications/%d/4", home_of("ann"));
        assert_true(slice_is(it->id, id));
        assert_true(slice_is(it->type, "tern.notification.created"));
        const struct test_record structured = {.key = "ann",
                .content_type = "application/cloudevents+json",
                .value = "{\"specversion\":\"1.0\",\"id\":\"x1\",\"type\":\"com.shop.order\","
                         "\"source\":\"/s\",\"data\":{\"title\":\"a\",\"body\":\"b\"}}"};
        it = add_record(b, home(TOPIC_NOTIFICATIONS, "ann"), 5, &structured);
        assert_int_equal(it->kind, ITEM_STORE);
        assert_true(slice_is(it->id, "x1"));
        assert_true(slice_is(it->type, "com.shop.order"));
        assert_true(slice_is(it->value, "{\"title\":\"a\",\"body\":\"b\"}"));
        assert_string_equal(it->event.kind, "com.shop.order");
}

static void the_first_of_an_id_counts(void **state)
{
        UNUSED(state);
        struct part p = home(TOPIC_EVENTS, "c1");
        assert_int_equal(add_record(b, p, 0, MESSAGE("m1", "c1"))->kind, ITEM_STORE);
        assert_int_equal(add_record(b, p, 1, MESSAGE("m1", "c1"))->kind, ITEM_REPEATED);
        assert_int_equal(add_record(b, p, 2, MESSAGE("m2", "c1"))->kind, ITEM_STORE);
        const struct test_record receipt = {.id = "m1",
                .type = "tern.receipt.read",
                .key = "c1/ann",
                .value = "{\"conversationId\":\"c1\",\"userId\":\"ann\",\"seq\":5}"};
        for (int i = 0; i < 2; i++)
                assert_int_equal(add_record(b, home(TOPIC_RECEIPTS, "c1/ann"), i, &receipt)->kind,
                        ITEM_STORE);
        batch_reset(b);
        assert_int_equal(add_record(b, p, 3, MESSAGE("m1", "c1"))->kind, ITEM_STORE);
}

static void what_was_let_go_is_no_first_when_it_is_read_again(void **state)
{
        UNUSED(state);
        struct part p = home(TOPIC_EVENTS, "c1");
        assert_int_equal(add_record(b, p, 0, MESSAGE("m1", "c1"))->kind, ITEM_STORE);
        b->parts[batch_part(b, &p)].fenced = true;
        p.assignment++;
        assert_int_equal(add_record(b, p, 0, MESSAGE("m1", "c1"))->kind, ITEM_STORE);
        assert_int_equal(add_record(b, p, 1, MESSAGE("m1", "c1"))->kind, ITEM_REPEATED);
}

static void parts_are_kept_apart_by_epoch_and_assignment(void **state)
{
        UNUSED(state);
        struct part p = test_part(TOPIC_EVENTS, 1, 1);
        uint32_t a = batch_part(b, &p);
        assert_int_equal(batch_part(b, &p), a);
        p.epoch = 2;
        assert_int_not_equal(batch_part(b, &p), a);
        p.epoch = 1;
        p.assignment = 2;
        assert_int_not_equal(batch_part(b, &p), a);
        assert_int_equal(b->part_count, 3);
}

static void a_record_without_a_time_gets_the_clocks(void **state)
{
        UNUSED(state);
        struct part p = home(TOPIC_EVENTS, "c1");
        const struct bus_record r = {.topic = SLICE_LIT("chat.events"),
                .partition = p.partition,
                .offset = 0,
                .timestamp_ms = -1};
        batch_add(b, batch_part(b, &p), &r, 0, 1234);
        assert_int_equal(b->items[0].created_ms, 1234);
        assert_int_equal(b->items[0].record.timestamp_ms, -1);
        /* The event's own, if it has one; none that no calendar has. */
        struct bus_header h = {SLICE_LIT("ce_time"), SLICE_LIT("2026-01-01T00:00:01Z")};
        const struct bus_record own = {.topic = SLICE_LIT("chat.events"),
                .partition = p.partition,
                .offset = 1,
                .timestamp_ms = -1,
                .headers = &h,
                .header_count = 1};
        batch_add(b, 0, &own, 1, 1234);
        assert_int_equal(b->items[1].created_ms, TEST_TIME_MS + 1000);
        const struct bus_record wild = {.topic = SLICE_LIT("chat.events"),
                .partition = p.partition,
                .offset = 2,
                .timestamp_ms = INT64_MAX};
        batch_add(b, 0, &wild, 2, 1234);
        assert_int_equal(b->items[2].created_ms, 1234);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_record_in_its_place_is_stored, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        what_is_invalid_is_a_dead_letter_with_its_reason, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        another_partitioners_record_is_published_again, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        a_record_under_another_subjects_key_gets_its_own, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        a_copy_that_does_not_fit_either_is_not_copied_again, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        structured_mode_and_bare_json_are_stored_as_binary_mode, setup, teardown),
                cmocka_unit_test_setup_teardown(the_first_of_an_id_counts, setup, teardown),
                cmocka_unit_test_setup_teardown(what_was_let_go_is_no_first_when_it_is_read_again, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        parts_are_kept_apart_by_epoch_and_assignment, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        a_record_without_a_time_gets_the_clocks, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
