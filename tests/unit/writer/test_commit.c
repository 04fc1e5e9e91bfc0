#include "tests/unit/writer/writer_fixture.h"

#include "writer/commit.h"

#include <errno.h>

static struct pg pg;
static struct db *db;
static struct commit commit_state;
static struct batch *b;

static int group_setup(void **state)
{
        UNUSED(state);
        pg_start(&pg);
        pg_migrate(&pg);
        return 0;
}

static int group_teardown(void **state)
{
        UNUSED(state);
        pg_stop(&pg);
        return 0;
}

static int setup(void **state)
{
        UNUSED(state);
        db = pg_db(&pg);
        pg_exec(db, "TRUNCATE log_epoch, ingest_offset, chat_event, notification_event, message, "
                    "event_id, conversation, member, receipt, session, notification, broadcast, "
                    "read_state, rekey;"
                    "INSERT INTO log_epoch (topic, epoch, cluster_id, partitions) SELECT t, 1, "
                    "'c', 4 FROM "
                    "unnest('{chat.events,chat.receipts,chat.sessions,notifications,broadcasts}'::"
                    "text[]) AS t;"
                    "INSERT INTO ingest_offset (topic, partition, epoch, next_offset) SELECT t, p, "
                    "1, 0 FROM "
                    "unnest('{chat.events,chat.receipts,chat.sessions,notifications,broadcasts}'::"
                    "text[]) AS t, generate_series(0, 3) AS p");
        commit_state = (struct commit){.days = {.window = 30000}};
        assert_int_equal(commit_prepare(&commit_state, db), 0);
        b = batch_new();
        return 0;
}

static int teardown(void **state)
{
        UNUSED(state);
        b = batch_free(b);
        commit_done(&commit_state);
        db = db_free(db);
        return 0;
}

static struct part home(enum writer_topic t, const char *key)
{
        return test_part(t, t == TOPIC_BROADCASTS ? 0 : home_of(key), 1);
}

/* Commits the whole batch, as the committer would, and empties it. */
static int run(void)
{
        int r = -ESTALE;
        for (int i = 0; r == -ESTALE && i < 5; i++)
                r = commit_run(&commit_state, db, b, 0, b->count);
        if (r < 0)
                print_message("commit: %d %s %s\n", r, db_error(db)->sqlstate, db_error(db)->text);
        return r;
}

static void commit_all(void)
{
        assert_int_equal(run(), 0);
        batch_reset(b);
}

static int64_t place(enum writer_topic t, int32_t partition)
{
        char sql[160];
        snprintf(sql, sizeof(sql),
                "SELECT next_offset FROM ingest_offset WHERE topic = '%s' AND partition = %d AND "
                "epoch = 1",
                writer_topics[t], partition);
        return pg_number(db, sql);
}

static void assert_text(const char *sql, const char *want)
{
        char *got = pg_text(db, sql);
        if (!got)
                print_message("%s: no row\n", sql);
        assert_non_null(got);
        assert_string_equal(got, want);
        free(got);
}

static void rows_and_place_come_together(void **state)
{
        UNUSED(state);
        struct part p = home(TOPIC_EVENTS, "c1");
        const struct test_record full = {.id = "m1",
                .type = "tern.message.created",
                .key = "c1",
                .value = "{\"conversationId\":\"c1\",\"senderId\":\"ann\",\"content\":"
                         "\"h\xc3\xa4\",\"contentType\":\"text/"
                         "plain\",\"replyTo\":\"m0\",\"clientId\":\"k\",\"metadata\":{\"a\":1}}"};
        add_record(b, p, 0, &full);
        add_record_at(b, p, 1, 3, MESSAGE("m2", "c1"));
        assert_int_equal(run(), 0);
        assert_int_equal(b->parts[0].committed, 4);
        assert_int_equal(place(TOPIC_EVENTS, p.partition), 4);
        assert_text("SELECT concat_ws('|', id, seq - (1::bigint << 40), (extract(epoch FROM "
                    "created_at) * 1000)::bigint, conversation_id, sender_id, content, "
                    "content_type, reply_to, client_id, metadata) FROM message WHERE id = 'm1'",
                "m1|0|1767225600000|c1|ann|h\xc3\xa4|text/plain|m0|k|{\"a\":1}");
        assert_text("SELECT concat_ws('|', id, seq - (1::bigint << 40), epoch, conversation_id, "
                    "type, data) FROM chat_event WHERE id = 'm2'",
                "m2|3|1|c1|tern.message.created|{\"senderId\":\"ann\",\"content\":\"hi\"}");
        char want[64];
        snprintf(want, sizeof(want), "%lld|%lld", TEST_TIME_MS + 3,
                (long long)(int64_t)hash_murmur2(SLICE_LIT("m2")));
        assert_text("SELECT last_timestamp_ms || '|' || last_id_hash FROM ingest_offset WHERE "
                    "next_offset = 4",
                want);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM chat_event_20260101"), 2);
}

static void a_place_without_a_record_leaves_no_trace_of_one(void **state)
{
        UNUSED(state);
        struct part p = home(TOPIC_EVENTS, "c1");
        add_record(b, p, 0, MESSAGE("m1", "c1"));
        batch_add_place(b, batch_part(b, &p), 1, 2);
        commit_all();
        assert_int_equal(place(TOPIC_EVENTS, p.partition), 2);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM ingest_offset WHERE next_offset = 2 "
                                       "AND last_timestamp_ms IS NULL AND last_id_hash IS NULL"),
                1);
}

static void an_id_that_is_known_makes_no_row(void **state)
{
        UNUSED(state);
        struct part p = home(TOPIC_EVENTS, "c1");
        const struct test_record emit = {
                .id = "e1", .type = "tern.emit", .key = "c1", .value = "{\"event\":\"x\"}"};
        const struct test_record emit_as_message = {
                .id = "m1", .type = "tern.emit", .key = "c1", .value = "{\"event\":\"x\"}"};
        add_record(b, p, 0, MESSAGE("m1", "c1"));
        add_record(b, p, 1, &emit);
        commit_all();
        add_record(b, p, 2, MESSAGE("m1", "c1"));
        add_record(b, p, 3, &emit);
        add_record(b, p, 4, &emit_as_message);
        add_record(b, p, 5, MESSAGE("m2", "c1"));
        assert_int_equal(run(), 0);
        assert_true(
                b->items[0].known && b->items[1].known && b->items[2].known && !b->items[3].known);
        assert_int_equal(place(TOPIC_EVENTS, p.partition), 6);
        assert_text("SELECT string_agg(id || ':' || (seq - (1::bigint << 40)), ' ' ORDER BY seq) "
                    "FROM chat_event",
                "m1:0 e1:1 m2:5");
        assert_text("SELECT string_agg(id, ' ' ORDER BY id) FROM message", "m1 m2");
        assert_text("SELECT string_agg(id, ' ' ORDER BY id) FROM event_id", "e1");
}

static void a_place_that_was_set_back_writes_nothing_twice(void **state)
{
        UNUSED(state);
        struct part p = home(TOPIC_EVENTS, "c1"), n = home(TOPIC_NOTIFICATIONS, "ann");
        const struct test_record note = {.id = "n1",
                .type = "tern.notification.created",
                .key = "ann",
                .value = "{\"type\":\"t\",\"title\":\"a\",\"body\":\"b\"}"};
        for (int i = 0; i < 2; i++) {
                add_record(b, p, 0, MESSAGE("m1", "c1"));
                add_record(b, p, 1, MESSAGE("m2", "c1"));
                add_record(b, n, 0, &note);
                commit_all();
                pg_exec(db, "UPDATE ingest_offset SET next_offset = 0");
        }
        assert_int_equal(pg_number(db, "SELECT count(*) FROM message"), 2);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM chat_event"), 2);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM notification"), 1);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM notification_event"), 1);
        /* Rows that went missing come back. */
        pg_exec(db, "DELETE FROM chat_event WHERE id = 'm2'");
        add_record(b, p, 0, MESSAGE("m1", "c1"));
        add_record(b, p, 1, MESSAGE("m2", "c1"));
        commit_all();
        assert_int_equal(pg_number(db, "SELECT count(*) FROM chat_event"), 2);
}

static void a_moved_place_fences_its_partition_and_no_other(void **state)
{
        UNUSED(state);
        struct part p = home(TOPIC_EVENTS, "c1"), q = home(TOPIC_EVENTS, "c2");
        assert_int_not_equal(p.partition, q.partition);
        char sql[128];
        snprintf(sql, sizeof(sql),
                "UPDATE ingest_offset SET next_offset = 9 WHERE topic = 'chat.events' AND "
                "partition = %d",
                p.partition);
        pg_exec(db, sql);
        add_record(b, p, 0, MESSAGE("m1", "c1"));
        add_record(b, q, 0, MESSAGE("m2", "c2"));
        assert_int_equal(commit_run(&commit_state, db, b, 0, 2), -ESTALE);
        assert_true(b->parts[0].fenced && !b->parts[1].fenced);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM message"), 0);
        assert_int_equal(commit_run(&commit_state, db, b, 0, 2), 0);
        assert_int_equal(b->parts[0].committed, -1);
        assert_int_equal(b->parts[1].committed, 1);
        assert_text("SELECT id FROM message", "m2");
        assert_int_equal(place(TOPIC_EVENTS, p.partition), 9);
}

static void a_new_epoch_fences_the_old(void **state)
{
        UNUSED(state);
        pg_exec(db, "INSERT INTO log_epoch (topic, epoch, cluster_id, partitions) VALUES "
                    "('chat.events', 2, 'c', 4)");
        add_record(b, home(TOPIC_EVENTS, "c1"), 0, MESSAGE("m1", "c1"));
        assert_int_equal(commit_run(&commit_state, db, b, 0, 1), -ESTALE);
        assert_true(b->parts[0].fenced);
        assert_int_equal(commit_run(&commit_state, db, b, 0, 1), 0);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM message"), 0);
}

static void add_member(struct part p, int64_t offset, const char *id, bool added, const char *role)
{
        char value[128];
        snprintf(value, sizeof(value), "{\"userId\":\"ann\"%s%s%s}", role ? ",\"role\":\"" : "",
                role ? role : "", role ? "\"" : "");
        const struct test_record t = {.id = id,
                .type = added ? "tern.member.added" : "tern.member.removed",
                .key = "c1",
                .value = value};
        add_record(b, p, offset, &t);
}

static void membership_goes_by_seq(void **state)
{
        UNUSED(state);
        struct part p = home(TOPIC_EVENTS, "c1");
        const char *sql =
                "SELECT concat_ws('|', role, added_seq & 255, removed_seq & 255) FROM member";
        add_member(p, 0, "a", true, "owner");
        add_member(p, 1, "b", false, NULL);
        commit_all();
        assert_text(sql, "owner|0|1");
        add_member(p, 2, "c", true, "guest");
        commit_all();
        assert_text(sql, "guest|2|1");
        add_member(p, 3, "d", false, NULL);
        add_member(p, 4, "e", true, "member");
        add_member(p, 5, "f", false, NULL);
        commit_all();
        assert_text(sql, "member|4|5");
        const struct test_record only_removed = {.id = "g",
                .type = "tern.member.removed",
                .key = "c1",
                .value = "{\"userId\":\"bob\"}"};
        add_record(b, p, 6, &only_removed);
        commit_all();
        assert_int_equal(pg_number(db, "SELECT count(*) FROM member WHERE user_id = 'bob' AND "
                                       "added_seq = 0 AND removed_seq > 0"),
                1);
}

static void a_conversations_first_record_makes_it(void **state)
{
        UNUSED(state);
        struct part p = home(TOPIC_EVENTS, "c1");
        const struct test_record first = {.id = "a",
                .type = "tern.conversation.created",
                .key = "c1",
                .value = "{\"createdBy\":\"ann\",\"title\":\"one\",\"open\":true}"};
        const struct test_record second = {.id = "b",
                .type = "tern.conversation.created",
                .key = "c1",
                .value = "{\"createdBy\":\"bob\",\"title\":\"two\"}"};
        const struct test_record third = {.id = "c",
                .type = "tern.conversation.created",
                .key = "c1",
                .value = "{\"createdBy\":\"eve\"}"};
        add_record(b, p, 0, &first);
        add_record(b, p, 1, &second);
        commit_all();
        add_record(b, p, 2, &third);
        commit_all();
        assert_text("SELECT concat_ws('|', id, title, open, created_by) FROM conversation",
                "c1|one|t|ann");
}

static void a_receipt_never_goes_back(void **state)
{
        UNUSED(state);
        struct part p = home(TOPIC_RECEIPTS, "c1/ann");
        const int seqs[] = {5, 9, 7, 3};
        for (size_t i = 0; i < ARRAY_LEN(seqs); i++) {
                char value[96];
                snprintf(value, sizeof(value),
                        "{\"conversationId\":\"c1\",\"userId\":\"ann\",\"seq\":%d}", seqs[i]);
                const struct test_record t = {
                        .id = "r", .type = "tern.receipt.read", .key = "c1/ann", .value = value};
                add_record(b, p, (int64_t)i, &t);
                if (i == 2)
                        commit_all();
        }
        commit_all();
        assert_int_equal(pg_number(db, "SELECT read_seq FROM receipt"), 9);
}

static void add_session(struct part p, int64_t offset, const char *key, int gen,
        const char *gateway, const char *sid)
{
        char value[160];
        snprintf(value, sizeof(value),
                "{\"sid\":\"%s\",\"sub\":\"ann\",\"gen\":%d,\"gateway\":\"%s\",\"rooms\":[]}", sid,
                gen, gateway);
        const struct test_record t = {
                .id = "s", .type = "tern.session", .key = key, .value = value};
        add_record(b, p, offset, &t);
}

static void the_first_record_of_a_gen_owns_a_session(void **state)
{
        UNUSED(state);
        const char *key = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        const char *sql = "SELECT concat_ws('|', gen, gateway, sid, seq & 255) FROM session";
        struct part p = home(TOPIC_SESSIONS, key);
        add_session(p, 0, key, 1, "g1", "one");
        commit_all();
        add_session(p, 1, key, 1, "g2", "loser");
        add_session(p, 2, key, 1, "g1", "two");
        commit_all();
        assert_text(sql, "1|g1|two|2");
        add_session(p, 3, key, 2, "g3", "three");
        add_session(p, 4, key, 2, "g4", "loser");
        add_session(p, 5, key, 1, "g1", "late");
        commit_all();
        assert_text(sql, "2|g3|three|3");
        add_session(p, 6, key, 2, "g4", "loser");
        commit_all();
        assert_text(sql, "2|g3|three|3");
        add_session(p, 7, key, 3, "g5", "a");
        add_session(p, 8, key, 4, "g6", "b");
        add_session(p, 9, key, 4, "g6", "c");
        commit_all();
        assert_text(sql, "4|g6|c|9");
}

static void notifications_are_read_once_and_by_their_user(void **state)
{
        UNUSED(state);
        struct part ann = home(TOPIC_NOTIFICATIONS, "ann"), bob = home(TOPIC_NOTIFICATIONS, "bob");
        const struct test_record note = {.id = "n1",
                .type = "com.shop.order",
                .key = "ann",
                .value = "{\"type\":\"t\",\"title\":\"a\",\"body\":\"b\",\"data\":{\"x\":[1]}}"};
        const struct test_record read = {.id = "r1",
                .type = "tern.notification.read",
                .key = "ann",
                .value = "{\"id\":\"n1\"}"};
        const struct test_record again = {.id = "r2",
                .type = "tern.notification.read",
                .key = "ann",
                .value = "{\"id\":\"n1\"}"};
        const struct test_record others = {.id = "r3",
                .type = "tern.notification.read",
                .key = "bob",
                .value = "{\"id\":\"n1\"}"};
        const struct test_record all = {.id = "r4",
                .type = "tern.notification.read_all",
                .key = "ann",
                .value = "{\"seq\":77}"};
        const struct test_record less = {.id = "r5",
                .type = "tern.notification.read_all",
                .key = "ann",
                .value = "{\"seq\":5}"};
        const struct test_record wide = {.id = "b1",
                .type = "tern.broadcast",
                .key = "all",
                .value = "{\"type\":\"t\",\"title\":\"a\",\"body\":\"b\"}"};
        add_record(b, ann, 0, &note);
        add_record(b, bob, 0, &others);
        commit_all();
        assert_text("SELECT concat_ws('|', id, user_id, type, title, body, data, read_at IS NULL) "
                    "FROM notification",
                "n1|ann|t|a|b|{\"x\":[1]}|t");
        add_record(b, ann, 1, &read);
        add_record(b, ann, 2, &all);
        add_record(b, home(TOPIC_BROADCASTS, "all"), 0, &wide);
        commit_all();
        add_record(b, ann, 3, &again);
        add_record(b, ann, 4, &less);
        commit_all();
        char want[32];
        snprintf(want, sizeof(want), "%lld", TEST_TIME_MS + 1);
        assert_text("SELECT (extract(epoch FROM read_at) * 1000)::bigint FROM notification", want);
        assert_int_equal(
                pg_number(db, "SELECT read_all_seq FROM read_state WHERE user_id = 'ann'"), 77);
        assert_text("SELECT concat_ws('|', id, audience, type) FROM broadcast", "b1|all|t");
        assert_text("SELECT string_agg(concat_ws('|', topic, key, type, id), ' ' ORDER BY topic, "
                    "key, seq) FROM notification_event WHERE id IN ('n1', 'b1', 'r4')",
                "broadcasts|all|tern.broadcast|b1 notifications|ann|com.shop.order|n1 "
                "notifications|ann|tern.notification.read_all|r4");
}

static void dead_and_foreign_records_only_move_the_place(void **state)
{
        UNUSED(state);
        struct part wrong = test_part(TOPIC_EVENTS, (home_of("c1") + 1) % TEST_PARTITIONS, 1);
        char sql[160];
        add_record(b, wrong, 0, MESSAGE("m1", "c1"));
        const struct test_record bad = {
                .id = "x", .type = "tern.message.created", .key = "c1", .value = "{"};
        add_record(b, wrong, 1, &bad);
        snprintf(sql, sizeof(sql),
                "INSERT INTO rekey VALUES ('chat.events', %d, 1, 0, %d, 3), ('chat.events', %d, 1, "
                "7, 1, 3)",
                wrong.partition, home_of("c1"), wrong.partition);
        pg_exec(db, sql);
        commit_all();
        assert_int_equal(place(TOPIC_EVENTS, wrong.partition), 2);
        assert_int_equal(pg_number(db, "SELECT count(*) FROM chat_event"), 0);
        /* The intent of what was passed is gone, the other stays. */
        assert_int_equal(pg_number(db, "SELECT record_offset FROM rekey"), 7);
}

static void what_postgres_refuses_is_poison_and_undone(void **state)
{
        UNUSED(state);
        struct part p = home(TOPIC_EVENTS, "c1");
        pg_exec(db, "ALTER TABLE message ADD CONSTRAINT test_refuses CHECK (id <> 'm2')");
        add_record(b, p, 0, MESSAGE("m1", "c1"));
        add_record(b, p, 1, MESSAGE("m2", "c1"));
        assert_int_equal(commit_run(&commit_state, db, b, 0, 2), -EINVAL);
        assert_string_equal(db_error(db)->sqlstate, "23514");
        assert_int_equal(place(TOPIC_EVENTS, p.partition), 0);
        assert_int_equal(commit_run(&commit_state, db, b, 0, 1), 0);
        assert_int_equal(commit_run(&commit_state, db, b, 1, 2), -EINVAL);
        item_kill(b, &b->items[1], EVENT_OK, "23514", "refused");
        assert_int_equal(commit_run(&commit_state, db, b, 1, 2), 0);
        assert_int_equal(place(TOPIC_EVENTS, p.partition), 2);
        pg_exec(db, "ALTER TABLE message DROP CONSTRAINT test_refuses");
}

static void the_places_tell_what_a_lost_answer_would_have_said(void **state)
{
        UNUSED(state);
        struct part p = home(TOPIC_EVENTS, "c1");
        add_record(b, p, 0, MESSAGE("m1", "c1"));
        add_record(b, p, 1, MESSAGE("m2", "c1"));
        assert_int_equal(commit_happened(&commit_state, db, b, 0, 2), -ENOENT);
        assert_int_equal(b->parts[0].committed, -1);
        assert_int_equal(commit_run(&commit_state, db, b, 0, 2), 0);
        b->parts[0].committed = -1;
        assert_int_equal(commit_happened(&commit_state, db, b, 0, 2), 0);
        assert_int_equal(b->parts[0].committed, 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(rows_and_place_come_together, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        a_place_without_a_record_leaves_no_trace_of_one, setup, teardown),
                cmocka_unit_test_setup_teardown(an_id_that_is_known_makes_no_row, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        a_place_that_was_set_back_writes_nothing_twice, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        a_moved_place_fences_its_partition_and_no_other, setup, teardown),
                cmocka_unit_test_setup_teardown(a_new_epoch_fences_the_old, setup, teardown),
                cmocka_unit_test_setup_teardown(membership_goes_by_seq, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        a_conversations_first_record_makes_it, setup, teardown),
                cmocka_unit_test_setup_teardown(a_receipt_never_goes_back, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        the_first_record_of_a_gen_owns_a_session, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        notifications_are_read_once_and_by_their_user, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        dead_and_foreign_records_only_move_the_place, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        what_postgres_refuses_is_poison_and_undone, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        the_places_tell_what_a_lost_answer_would_have_said, setup, teardown),
        };
        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
