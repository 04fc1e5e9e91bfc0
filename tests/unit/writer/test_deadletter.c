#include "tests/unit/writer/writer_fixture.h"

#include "writer/deadletter.h"

static void a_dead_letter_keeps_the_record_and_says_why_and_where(void **state)
{
        UNUSED(state);
        struct batch *b = batch_new();
        struct part p = test_part(TOPIC_EVENTS, home_of("c1"), 3);
        struct test_record t = {.id = "i",
                .type = "tern.message.created",
                .key = "c1",
                .value = "{\"senderId\":\"a\"}"};
        struct item *it = add_record(b, p, 12, &t);
        struct bus_record r;
        deadletter_make(&b->arena, &b->parts[0], it, 2, false, &r);
        assert_true(slice_is(r.topic, "chat.events.dlq"));
        assert_int_equal(r.partition, 2);
        assert_true(slice_is(r.key, "c1"));
        assert_true(slice_is(r.value, "{\"senderId\":\"a\"}"));
        assert_true(slice_is(bus_record_header(&r, "ce_id"), "i"));
        assert_true(slice_is(bus_record_header(&r, "tern-reason"), "invalid"));
        assert_true(slice_is(bus_record_header(&r, "tern-field"), "content"));
        assert_true(slice_is(bus_record_header(&r, "tern-topic"), "chat.events"));
        assert_true(slice_is(bus_record_header(&r, "tern-offset"), "12"));
        assert_true(slice_is(bus_record_header(&r, "tern-epoch"), "3"));
        assert_true(bus_record_header(&r, "tern-timestamp").n > 0);
        assert_null(bus_record_header(&r, "tern-truncated").p);
        int64_t offset = 0;
        assert_true(deadletter_is_of(&r, &b->parts[0], &offset));
        assert_int_equal(offset, 12);
        struct part other = p;
        other.epoch = 2;
        assert_false(deadletter_is_of(&r, &other, &offset));
        other = p;
        other.partition++;
        assert_false(deadletter_is_of(&r, &other, &offset));
        batch_free(b);
}

static void a_second_death_leaves_no_trace_of_the_first(void **state)
{
        UNUSED(state);
        struct batch *b = batch_new();
        struct part p = test_part(TOPIC_EVENTS, 0, 1);
        struct bus_header h[] = {{SLICE_LIT("tern-reason"), SLICE_LIT("bad_json")},
                {SLICE_LIT("tern-offset"), SLICE_LIT("5")}, {SLICE_LIT("mine"), SLICE_LIT("x")}};
        const struct bus_record in = {.topic = SLICE_LIT("chat.events"),
                .offset = 9,
                .headers = h,
                .header_count = ARRAY_LEN(h)};
        batch_add(b, batch_part(b, &p), &in, 9, 0);
        struct bus_record r;
        deadletter_make(&b->arena, &b->parts[0], &b->items[0], 0, true, &r);
        size_t offsets = 0;
        for (size_t i = 0; i < r.header_count; i++)
                offsets += slice_is(r.headers[i].name, "tern-offset");
        assert_int_equal(offsets, 1);
        assert_true(slice_is(bus_record_header(&r, "tern-offset"), "9"));
        assert_true(slice_is(bus_record_header(&r, "mine"), "x"));
        assert_true(slice_is(bus_record_header(&r, "tern-truncated"), "1"));
        assert_null(r.value.p);
        batch_free(b);
}

static void what_postgres_refuses_has_a_reason_of_its_own(void **state)
{
        UNUSED(state);
        struct event_error e = {.fault = EVENT_OK};
        assert_string_equal(deadletter_reason(&e), "refused");
        e.fault = EVENT_TOMBSTONE;
        assert_string_equal(deadletter_reason(&e), "tombstone");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_dead_letter_keeps_the_record_and_says_why_and_where),
                cmocka_unit_test(a_second_death_leaves_no_trace_of_the_first),
                cmocka_unit_test(what_postgres_refuses_has_a_reason_of_its_own),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
