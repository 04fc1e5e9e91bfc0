/* The codec against the golden examples, the limits and the faults. */
#include "proto/event.h"

#include "base/jsonscan.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SEQ 1099511627777LL
#define CREATED_MS 1769860800000LL

static struct buf read_file(const char *path)
{
        struct buf b = BUF_EMPTY;
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        size_t n;
        while ((n = fread(buf_reserve(&b, 4096), 1, 4096, f)) > 0)
                buf_commit(&b, n);
        fclose(f);
        return b;
}

static char *text(struct slice object, const char *name)
{
        struct slice v;
        struct buf b = BUF_EMPTY;
        assert_true(json_member(object, name, &v));
        assert_true(json_decode_string(v, &b));
        return buf_take(&b, NULL);
}

/* Same members with the same text, escapes in strings decoded; order does not count. */
static void assert_same_object(struct slice a, struct slice b)
{
        struct slice rest = json_first(a), key, va, vb;
        size_t count = 0, other = 0;
        while (json_next_member(&rest, &key, &va)) {
                char name[128];
                assert_true(slice_copy(slice_of(key.p + 1, key.n - 2), name, sizeof(name)));
                assert_true(json_member(b, name, &vb));
                struct buf x = BUF_EMPTY, y = BUF_EMPTY;
                if (json_is_string(va)) {
                        json_decode_string(va, &x);
                        json_decode_string(vb, &y);
                } else {
                        json_compact(va, &x);
                        json_compact(vb, &y);
                }
                assert_string_equal(buf_cstr(&x), buf_cstr(&y));
                buf_done(&x);
                buf_done(&y);
                count++;
        }
        rest = json_first(b);
        while (json_next_member(&rest, &key, &vb))
                other++;
        assert_int_equal(count, other);
}

static void check_golden(const char *path)
{
        struct buf file = read_file(path);
        struct slice all = buf_slice(&file), value, client;
        char *topic = text(all, "topic"), *type = text(all, "type"), *id = text(all, "id"), *key = text(all, "key");
        assert_true(json_member(all, "value", &value));
        struct event e;
        struct event_error err;
        int r = event_parse(slice_str(topic), slice_str(type), slice_str(id), slice_str(key), value, &e, &err);
        if (r < 0)
                print_error("%s: %s\n", path, err.message);
        assert_int_equal(r, 0);
        assert_true(event_key_fits(&e, slice_str(key)));
        struct buf out = BUF_EMPTY;
        event_encode(&e, &out);
        assert_same_object(value, buf_slice(&out));
        if (json_member(all, "client", &client)) {
                buf_reset(&out);
                event_client_json(&e, SEQ, CREATED_MS, &out);
                assert_true(json_check(buf_slice(&out), 64, 0));
                assert_same_object(client, buf_slice(&out));
        }
        buf_done(&out);
        event_done(&e);
        buf_done(&file);
        free(topic);
        free(type);
        free(id);
        free(key);
}

static void every_golden_example_parses_and_comes_back_the_same(void **state)
{
        UNUSED(state);
        DIR *d = opendir(SOURCE_DIR "/proto/golden");
        assert_non_null(d);
        struct dirent *entry;
        int count = 0;
        while ((entry = readdir(d))) {
                if (!strstr(entry->d_name, ".json"))
                        continue;
                char path[4096];
                snprintf(path, sizeof(path), SOURCE_DIR "/proto/golden/%s", entry->d_name);
                check_golden(path);
                count++;
        }
        closedir(d);
        /* At least one of each type. */
        assert_true(count >= EVENT_TYPE_COUNT - 1);
}

static enum event_fault fault_of(const char *topic, const char *type, const char *value)
{
        struct event e;
        struct event_error err;
        if (event_parse(slice_str(topic), slice_str(type), SLICE_LIT("id"), SLICE_LIT("c"), value ? slice_str(value) : SLICE_NONE, &e, &err) == 0) {
                event_done(&e);
                return EVENT_OK;
        }
        assert_true(err.message[0]);
        return err.fault;
}

static void faults_are_told_apart(void **state)
{
        UNUSED(state);
        const char *t = "tern.message.created";
        assert_int_equal(fault_of("chat.events", t, NULL), EVENT_TOMBSTONE);
        assert_int_equal(fault_of("chat.events", t, "{"), EVENT_BAD_JSON);
        assert_int_equal(fault_of("chat.events", t, "{\"senderId\":\"a\",\"content\":\"\\u0000\"}"), EVENT_BAD_JSON);
        assert_int_equal(fault_of("chat.events", t, "{\"senderId\":\"a\",\"content\":\"\\ud800\"}"), EVENT_BAD_JSON);
        assert_int_equal(fault_of("chat.events", t, "{\"senderId\":\"a\",\"content\":\"\xff\"}"), EVENT_BAD_JSON);
        assert_int_equal(fault_of("chat.events", t, "[]"), EVENT_INVALID);
        assert_int_equal(fault_of("chat.events", t, "{\"senderId\":\"a\"}"), EVENT_INVALID);
        assert_int_equal(fault_of("chat.events", t, "{\"senderId\":\"a\",\"content\":\"\"}"), EVENT_INVALID);
        assert_int_equal(fault_of("chat.events", t, "{\"senderId\":\"a\",\"content\":7}"), EVENT_INVALID);
        assert_int_equal(fault_of("chat.events", t, "{\"senderId\":\"a b\",\"content\":\"x\"}"), EVENT_INVALID);
        assert_int_equal(fault_of("chat.events", "nobody.knows", "{}"), EVENT_BAD_TYPE);
        assert_int_equal(fault_of("chat.receipts", t, "{}"), EVENT_BAD_TYPE);
        assert_int_equal(fault_of("chat.events", "tern.emit", "{\"event\":\"disconnect\"}"), EVENT_INVALID);
        assert_int_equal(fault_of("chat.events", t, "{\"senderId\":\"a\",\"content\":\"x\",\"unknown\":[1]}"), EVENT_OK);
}

static void what_no_packet_can_be_is_refused(void **state)
{
        UNUSED(state);
        static const struct {
                const char *data;
                enum event_fault fault;
        } rows[] = {
                {"{\"event\":\"e\",\"args\":[{\"_placeholder\":true,\"num\":0}]}", EVENT_OK},
                {"{\"event\":\"e\",\"attachments\":[]}", EVENT_OK},
                {"{\"event\":\"e\",\"attachments\":[\"\"]}", EVENT_OK},
                {"{\"event\":\"e\",\"attachments\":[\"AAEC\\/w\\u003d=\",\"_-8\"]}", EVENT_OK},
                {"{\"event\":\"e\",\"args\":[[{\"a\":{\"_placeholder\":true,\"num\":1}}]],\"attachments\":[\"AA\",\"AA==\"]}", EVENT_OK},
                {"{\"event\":\"e\",\"args\":[{\"_placeholder\":true,\"num\":1}],\"attachments\":[\"AA\"]}", EVENT_INVALID},
                {"{\"event\":\"e\",\"args\":[{\"_placeholder\":true,\"num\":-1}],\"attachments\":[\"AA\"]}", EVENT_INVALID},
                {"{\"event\":\"e\",\"args\":[{\"_placeholder\":true}],\"attachments\":[\"AA\"]}", EVENT_INVALID},
                {"{\"event\":\"e\",\"attachments\":[\"A\"]}", EVENT_INVALID},
                {"{\"event\":\"e\",\"attachments\":[\"A=\"]}", EVENT_INVALID},
                {"{\"event\":\"e\",\"attachments\":[\"AA===\"]}", EVENT_INVALID},
                {"{\"event\":\"e\",\"attachments\":[\"A A=\"]}", EVENT_INVALID},
                {"{\"event\":\"e\",\"attachments\":[7]}", EVENT_INVALID},
                {"{\"event\":\"e\",\"attachments\":{}}", EVENT_INVALID},
                {"{\"event\":\"e\",\"attachments\":[\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\",\"\"]}", EVENT_INVALID},
                {"{\"event\":\"e\",\"nsp\":\"/admin\"}", EVENT_OK},
                {"{\"event\":\"e\",\"nsp\":\"admin\"}", EVENT_INVALID},
                {"{\"event\":\"e\",\"nsp\":\"/a,b\"}", EVENT_INVALID},
                {"{\"event\":\"e\",\"nsp\":\"/a\\u001e\"}", EVENT_INVALID},
                {"{\"event\":\"connect_error\"}", EVENT_INVALID},
        };
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                for (int signals = 0; signals < 2; signals++)
                        if (fault_of(signals ? "chat.signals" : "chat.events", "tern.emit", rows[i].data) != rows[i].fault)
                                fail_msg("%s", rows[i].data);
}

static void attachments_come_back_as_bytes(void **state)
{
        UNUSED(state);
        struct event e;
        struct event_error err;
        assert_int_equal(event_parse(SLICE_LIT("chat.events"), SLICE_LIT("tern.emit"), SLICE_LIT("1"), SLICE_LIT("c"),
                                 SLICE_LIT("{\"event\":\"e\",\"attachments\":[\"AAEC\\/w\\u003d=\",\"\",\"_-8\"]}"), &e, &err), 0);
        struct buf bytes = BUF_EMPTY, again = BUF_EMPTY;
        struct slice at[EVENT_ATTACHMENTS_MAX];
        assert_int_equal(event_attachments(&e, &bytes, at), 3);
        assert_true(slice_eq(at[0], slice_of("\x00\x01\x02\xff", 4)));
        assert_int_equal(at[1].n, 0);
        assert_true(slice_eq(at[2], slice_of("\xff\xef", 2)));
        event_attachments_json(at, 3, &again);
        assert_string_equal(buf_cstr(&again), "[\"AAEC/w==\",\"\",\"/+8=\"]");
        buf_done(&bytes);
        buf_done(&again);
        event_done(&e);
}

static void content_is_bounded_in_bytes(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        for (int over = 0; over < 2; over++) {
                buf_reset(&b);
                buf_add_str(&b, "{\"senderId\":\"a\",\"content\":\"");
                for (int i = 0; i < 65536 + over; i++)
                        buf_add_char(&b, 'x');
                buf_add_str(&b, "\"}");
                assert_int_equal(fault_of("chat.events", "tern.message.created", buf_cstr(&b)), over ? EVENT_INVALID : EVENT_OK);
        }
        buf_done(&b);
}

static void a_foreign_type_is_a_notification_of_that_kind(void **state)
{
        UNUSED(state);
        struct event e;
        struct event_error err;
        assert_int_equal(event_parse(SLICE_LIT("notifications"), SLICE_LIT("com.shop.order.shipped"), SLICE_LIT("1"), SLICE_LIT("ada"),
                                 SLICE_LIT("{\"title\":\"t\",\"body\":\"b\"}"), &e, &err), 0);
        assert_int_equal(e.type, EVENT_NOTIFICATION_CREATED);
        assert_string_equal(e.kind, "com.shop.order.shipped");
        assert_string_equal(e.user_id, "ada");
        event_done(&e);
}

static void a_foreign_type_is_text_or_the_record_does_not_count(void **state)
{
        UNUSED(state);
        const char *value = "{\"title\":\"t\",\"body\":\"b\"}";
        assert_int_equal(fault_of("notifications", "com.\xfc", value), EVENT_INVALID);
        assert_int_equal(fault_of("notifications", "com.\xc3\xbc", value), EVENT_OK);
        struct event e;
        struct event_error err;
        assert_int_equal(event_parse(SLICE_LIT("notifications"), SLICE_LIT("a\0b"), SLICE_LIT("1"), SLICE_LIT("ada"), slice_str(value), &e, &err), -EINVAL);
}

static void normalize(const char *content_type, const char *type, const char *id, const char *value, struct event_envelope *env, struct buf *scratch)
{
        struct event_error err;
        *env = (struct event_envelope){.topic = SLICE_LIT("notifications"), .key = SLICE_LIT("ada"), .id = slice_str(id), .type = slice_str(type),
                .content_type = slice_str(content_type), .value = slice_str(value), .partition = 3, .offset = 42};
        assert_int_equal(event_normalize(env, scratch, &err), 0);
}

static void structured_and_bare_records_become_binary_ones(void **state)
{
        UNUSED(state);
        struct event_envelope env;
        struct buf scratch = BUF_EMPTY;
        normalize("application/cloudevents+json; charset=utf-8", "", "", "{\"specversion\":\"1.0\",\"id\":\"x\",\"source\":\"s\",\"type\":\"t.y\",\"data\":{\"title\":\"a\"}}", &env, &scratch);
        assert_true(slice_is(env.id, "x"));
        assert_true(slice_is(env.type, "t.y"));
        assert_true(slice_is(env.value, "{\"title\":\"a\"}"));
        buf_reset(&scratch);
        normalize("", "", "", "{\"userId\":\"ada\",\"type\":\"t\",\"title\":\"a\",\"body\":\"\",\"id\":\"mine\"}", &env, &scratch);
        assert_true(slice_is(env.id, "mine"));
        assert_true(slice_is(env.type, "tern.notification.created"));
        buf_reset(&scratch);
        normalize("", "", "", "{\"userId\":\"ada\"}", &env, &scratch);
        assert_true(slice_is(env.id, "notifications/3/42"));
        buf_reset(&scratch);
        normalize("application/json", "com.x", "", "{}", &env, &scratch);
        assert_true(slice_is(env.id, "notifications/3/42"));
        assert_true(slice_is(env.type, "com.x"));
        buf_done(&scratch);
}

static void a_message_id_depends_on_all_three_parts(void **state)
{
        UNUSED(state);
        char a[37], b[37], c[37];
        event_message_id(SLICE_LIT("c"), SLICE_LIT("s"), SLICE_LIT("1"), 0, a);
        event_message_id(SLICE_LIT("c"), SLICE_LIT("s"), SLICE_LIT("1"), 99, b);
        event_message_id(SLICE_LIT("c"), SLICE_LIT("s1"), SLICE_LIT(""), 0, c);
        assert_string_equal(a, b);
        assert_string_not_equal(a, c);
        event_message_id(SLICE_LIT("cs"), SLICE_LIT(""), SLICE_LIT("1"), 0, b);
        assert_string_not_equal(a, b);
}

static void keys_of_other_subjects_do_not_fit(void **state)
{
        UNUSED(state);
        struct event e;
        struct event_error err;
        assert_int_equal(event_parse(SLICE_LIT("chat.events"), SLICE_LIT("tern.message.created"), SLICE_LIT("1"), SLICE_LIT("x"),
                                 SLICE_LIT("{\"conversationId\":\"c\",\"senderId\":\"a\",\"content\":\"x\"}"), &e, &err), 0);
        assert_false(event_key_fits(&e, SLICE_LIT("x")));
        assert_false(event_key_fits(&e, SLICE_NONE));
        assert_true(event_key_fits(&e, SLICE_LIT("c")));
        event_done(&e);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_golden_example_parses_and_comes_back_the_same),
                cmocka_unit_test(faults_are_told_apart),
                cmocka_unit_test(what_no_packet_can_be_is_refused),
                cmocka_unit_test(attachments_come_back_as_bytes),
                cmocka_unit_test(content_is_bounded_in_bytes),
                cmocka_unit_test(a_foreign_type_is_a_notification_of_that_kind),
                cmocka_unit_test(a_foreign_type_is_text_or_the_record_does_not_count),
                cmocka_unit_test(structured_and_bare_records_become_binary_ones),
                cmocka_unit_test(a_message_id_depends_on_all_three_parts),
                cmocka_unit_test(keys_of_other_subjects_do_not_fit),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
