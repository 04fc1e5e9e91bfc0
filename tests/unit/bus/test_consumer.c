#include "with_mock.h"

#include "bus/seek.h"

#include <errno.h>
#include <pthread.h>

/* What a consumer has delivered so far. */
struct seen {
        unsigned records, eofs, ranges, errors;
        int64_t next[4], eof[4];
        char last_value[32];
};

static void collect(struct seen *s, const struct consumer_event *e, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                const struct bus_record *r = &e[i].record;
                switch (e[i].kind) {
                case CONSUMER_RECORD:
                        s->records++;
                        s->next[r->partition] = r->offset + 1;
                        slice_copy(r->value, s->last_value, sizeof(s->last_value));
                        break;
                case CONSUMER_EOF:
                        s->eofs++;
                        s->eof[r->partition] = r->offset;
                        break;
                case CONSUMER_RANGE:
                        s->ranges++;
                        break;
                case CONSUMER_ERROR:
                case CONSUMER_DEAD:
                        s->errors++;
                        break;
                }
        }
}

static void poll_until(
        struct consumer *c, struct seen *s, const unsigned *what, unsigned want, int timeout_ms)
{
        int64_t until = clock_mono_ms() + timeout_ms;
        while (*what < want && clock_mono_ms() < until) {
                const struct consumer_event *e;
                size_t n = consumer_poll(c, 100, 100, &e);
                collect(s, e, n);
        }
        assert_true(*what >= want);
}

static struct consumer *by_hand(struct with_mock *w)
{
        struct consumer *c = NULL;
        char fault[256] = "";
        const struct consumer_options o = {0};
        assert_int_equal(consumer_new(w->bus, &o, &c, fault), 0);
        return c;
}

static void fill(struct with_mock *w, const char *topic, int32_t partition, unsigned count)
{
        struct test_send *sends = xcalloc(count, sizeof(*sends));
        unsigned before = w->delivered;
        for (unsigned i = 0; i < count; i++) {
                char value[16];
                snprintf(value, sizeof(value), "v%u", i);
                assert_int_equal(test_produce(w, &sends[i], topic, partition, "key", value), 0);
        }
        assert_true(test_wait(w, before + count, 10000));
        free(sends);
}

static void records_come_whole_and_the_end_is_told(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 5000);
        fill(&w, "broadcasts", 0, 3);
        struct consumer *c = by_hand(&w);
        assert_int_equal(
                consumer_assign(c, &(struct consumer_partition){"broadcasts", 0, 0}, 1), 0);
        const struct consumer_event *e = NULL;
        size_t n = 0;
        for (int i = 0; i < 50 && n == 0; i++)
                n = consumer_poll(c, 100, 1, &e);
        assert_int_equal(n, 1);
        assert_int_equal(e->kind, CONSUMER_RECORD);
        assert_true(slice_is(e->record.topic, "broadcasts"));
        assert_true(slice_is(e->record.key, "key"));
        assert_true(slice_is(e->record.value, "v0"));
        assert_int_equal(e->record.offset, 0);
        assert_int_equal(e->record.header_count, 2);
        assert_true(slice_is(bus_record_header(&e->record, "ce_id"), "v0"));
        assert_true(slice_is(bus_record_header(&e->record, "ce_type"), "test"));
        assert_null(bus_record_header(&e->record, "absent").p);
        struct seen s = {0};
        poll_until(c, &s, &s.eofs, 1, 5000);
        assert_int_equal(s.records, 2);
        assert_int_equal(s.eof[0], 3);
        assert_int_equal(consumer_high(c, "broadcasts", 0), 3);
        consumer_free(c);
        with_mock_stop(&w);
}

static void a_null_key_and_a_tombstone_are_not_empty(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 5000);
        struct test_send sends[2] = {{.send = {.reply = w.box, .done = test_send_done}, .w = &w},
                {.send = {.reply = w.box, .done = test_send_done}, .w = &w}};
        const struct bus_record none = {.topic = SLICE_LIT("broadcasts"), .partition = 0};
        const struct bus_record empty = {.topic = SLICE_LIT("broadcasts"),
                .partition = 0,
                .key = SLICE_LIT(""),
                .value = SLICE_LIT("")};
        assert_int_equal(bus_produce(w.bus, &none, &sends[0].send), 0);
        assert_int_equal(bus_produce(w.bus, &empty, &sends[1].send), 0);
        assert_true(test_wait(&w, 2, 5000));
        struct consumer *c = by_hand(&w);
        assert_int_equal(
                consumer_assign(
                        c, &(struct consumer_partition){"broadcasts", 0, CONSUMER_BEGINNING}, 1),
                0);
        for (unsigned got = 0; got < 2;) {
                const struct consumer_event *e;
                if (consumer_poll(c, 2000, 1, &e) == 0)
                        fail();
                if (e->kind != CONSUMER_RECORD)
                        continue;
                assert_true(got == 0 ? e->record.key.p == NULL && e->record.value.p == NULL
                                     : e->record.key.p && e->record.value.p);
                assert_int_equal(e->record.key.n + e->record.value.n, 0);
                assert_int_equal(e->record.header_count, 0);
                got++;
        }
        consumer_free(c);
        with_mock_stop(&w);
}

static void assigning_again_moves_and_unassigning_ends(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 5000);
        fill(&w, "chat.events", 1, 10);
        struct consumer *c = by_hand(&w);
        struct seen s = {0};
        const struct consumer_partition parts[] = {{"chat.events", 0, 0}, {"chat.events", 1, 5}};
        assert_int_equal(consumer_assign(c, parts, 2), 0);
        poll_until(c, &s, &s.eofs, 2, 5000);
        assert_int_equal(s.records, 5);
        s = (struct seen){0};
        assert_int_equal(consumer_seek(c, &(struct consumer_partition){"chat.events", 1, 2}), 0);
        poll_until(c, &s, &s.eofs, 1, 5000);
        assert_int_equal(s.records, 8);
        consumer_unassign(c, &parts[1], 1);
        fill(&w, "chat.events", 1, 1);
        fill(&w, "chat.events", 0, 1);
        s = (struct seen){0};
        poll_until(c, &s, &s.records, 1, 5000);
        assert_int_equal(s.next[0], 1);
        assert_int_equal(s.next[1], 0);
        assert_int_equal(consumer_seek(c, &parts[1]), -EINVAL);
        consumer_free(c);
        with_mock_stop(&w);
}

static void a_position_outside_the_log_is_told_and_left(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 5000);
        fill(&w, "broadcasts", 0, 3);
        struct consumer *c = by_hand(&w);
        struct seen s = {0};
        assert_int_equal(
                consumer_assign(c, &(struct consumer_partition){"broadcasts", 0, 1000}, 1), 0);
        poll_until(c, &s, &s.ranges, 1, 5000);
        assert_int_equal(s.records, 0);
        assert_int_equal(consumer_seek(c, &(struct consumer_partition){"broadcasts", 0, 1}), 0);
        poll_until(c, &s, &s.records, 2, 5000);
        consumer_free(c);
        with_mock_stop(&w);
}

static void a_paused_partition_keeps_its_place(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 5000);
        fill(&w, "broadcasts", 0, 20);
        struct consumer *c = by_hand(&w);
        const struct consumer_partition p = {"broadcasts", 0, 0};
        const struct consumer_event *e;
        struct seen s = {0};
        assert_int_equal(consumer_assign(c, &p, 1), 0);
        while (s.records == 0)
                collect(&s, e, consumer_poll(c, 1000, 5, &e));
        unsigned before = s.records;
        assert_int_equal(consumer_pause(c, &p, 1), 0);
        collect(&s, e, consumer_poll(c, 300, 100, &e));
        assert_int_equal(s.records, before);
        assert_int_equal(consumer_resume(c, &p, 1), 0);
        poll_until(c, &s, &s.records, 20, 5000);
        assert_int_equal(s.records, 20);
        consumer_free(c);
        with_mock_stop(&w);
}

static void *wake_soon(void *arg)
{
        const struct timespec nap = {0, 100000000};
        nanosleep(&nap, NULL);
        consumer_wake(arg);
        return NULL;
}

static void a_poll_can_be_woken(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 5000);
        struct consumer *c = by_hand(&w);
        pthread_t t;
        int64_t began = clock_mono_ms();
        assert_int_equal(pthread_create(&t, NULL, wake_soon, c), 0);
        const struct consumer_event *e;
        assert_int_equal(consumer_poll(c, 10000, 10, &e), 0);
        assert_in_range(clock_mono_ms() - began, 50, 3000);
        pthread_join(t, NULL);
        consumer_free(c);
        with_mock_stop(&w);
}

static void questions_have_answers(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 5000);
        fill(&w, "broadcasts", 0, 7);
        int64_t low = -1, high = -1, at = -1;
        assert_int_equal(bus_watermarks(w.bus, "broadcasts", 0, 3000, &low, &high), 0);
        assert_int_equal(low, 0);
        assert_int_equal(high, 7);
        assert_int_equal(
                bus_offset_for_time(w.bus, "broadcasts", 0, clock_wall_ms() - 1000, 3000, &at), 0);
        assert_int_equal(at, 0);
        assert_int_equal(bus_watermarks(w.bus, "broadcasts", 9, 1500, &low, &high), -ENOENT);
        int64_t highs[4] = {-1, -1, -1, -1};
        fill(&w, "chat.events", 2, 3);
        assert_int_equal(bus_highs(w.bus, "chat.events", 4, 3000, highs), 0);
        assert_int_equal(highs[0] + highs[1] + highs[3], 0);
        assert_int_equal(highs[2], 3);
        mock_down(w.mock, true);
        int64_t began = clock_mono_ms();
        assert_int_not_equal(bus_watermarks(w.bus, "broadcasts", 0, 500, &low, &high), 0);
        assert_in_range(clock_mono_ms() - began, 0, 2000);
        with_mock_stop(&w);
}

static size_t read_range(struct seek *sk, int64_t *ret_first, int64_t *ret_last)
{
        size_t total = 0;
        for (int i = 0; i < 100; i++) {
                const struct bus_record *r;
                size_t n;
                int done = seek_poll(sk, 200, 3, &r, &n);
                assert_true(done >= 0);
                for (size_t k = 0; k < n; k++) {
                        if (total++ == 0)
                                *ret_first = r[k].offset;
                        *ret_last = r[k].offset;
                }
                if (done)
                        return total;
        }
        fail();
        return 0;
}

static void a_range_is_read_once_and_ends(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 5000);
        fill(&w, "chat.events", 2, 20);
        struct seek *sk = NULL;
        char fault[256];
        int64_t first = -1, last = -1;
        assert_int_equal(seek_new(w.bus, &sk, fault), 0);
        assert_int_equal(seek_start(sk, "chat.events", 2, 5, 12), 0);
        assert_int_equal(read_range(sk, &first, &last), 7);
        assert_int_equal(first, 5);
        assert_int_equal(last, 11);
        /* Again, while the old range is still being read; and past the end of the log. */
        assert_int_equal(seek_start(sk, "chat.events", 2, 0, 20), 0);
        assert_int_equal(seek_start(sk, "chat.events", 2, 18, 500), 0);
        assert_int_equal(read_range(sk, &first, &last), 2);
        assert_int_equal(first, 18);
        assert_int_equal(seek_start(sk, "chat.events", 2, 7, 7), 0);
        assert_int_equal(read_range(sk, &first, &last), 0);
        assert_int_equal(seek_start(sk, "chat.events", 2, 900, 950), 0);
        const struct bus_record *r;
        size_t n;
        int err = 0;
        for (int i = 0; i < 50 && err == 0; i++)
                err = seek_poll(sk, 200, 10, &r, &n);
        assert_int_equal(err, -ERANGE);
        seek_free(sk);
        with_mock_stop(&w);
}

/* ---- groups ---- */

struct member {
        struct consumer *c;
        unsigned gained, lost, refusals;
        struct seen seen;
        int64_t from;
};

static int member_assigned(void *arg, struct consumer_partition *parts, size_t count)
{
        struct member *m = arg;
        if (m->refusals > 0) {
                m->refusals--;
                return -EAGAIN;
        }
        m->gained += (unsigned)count;
        for (size_t i = 0; i < count; i++)
                parts[i].offset = m->from;
        return 0;
}

static void member_revoked(
        void *arg, const struct consumer_partition *parts, size_t count, bool lost)
{
        struct member *m = arg;
        UNUSED(parts);
        UNUSED(lost);
        m->lost += (unsigned)count;
}

static void join(struct with_mock *w, struct member *m)
{
        static const char *const topics[] = {"chat.events"};
        char fault[256] = "";
        const struct consumer_options o = {.group = "writers",
                .topics = topics,
                .topic_count = 1,
                .assigned = member_assigned,
                .revoked = member_revoked,
                .arg = m};
        assert_int_equal(consumer_new(w->bus, &o, &m->c, fault), 0);
}

static void a_member_reads_from_where_the_callee_says(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 5000);
        for (int32_t p = 0; p < 4; p++)
                fill(&w, "chat.events", p, 10);
        struct member m = {.from = 4, .refusals = 2};
        join(&w, &m);
        poll_until(m.c, &m.seen, &m.seen.eofs, 4, 20000);
        assert_int_equal(m.refusals, 0);
        assert_int_equal(m.gained, 4);
        assert_int_equal(m.seen.records, 24);
        consumer_commit(m.c, &(struct consumer_partition){"chat.events", 0, 10}, 1);
        consumer_free(m.c);
        assert_int_equal(m.lost, 4);
        with_mock_stop(&w);
}

static void two_members_share(void **state)
{
        UNUSED(state);
        struct with_mock w;
        with_mock_start(&w, 5000);
        struct member a = {0}, b = {0};
        join(&w, &a);
        poll_until(a.c, &a.seen, &a.gained, 4, 20000);
        join(&w, &b);
        int64_t until = clock_mono_ms() + 30000;
        while ((b.gained == 0 || a.gained - a.lost != 2) && clock_mono_ms() < until) {
                const struct consumer_event *e;
                collect(&a.seen, e, consumer_poll(a.c, 20, 10, &e));
                collect(&b.seen, e, consumer_poll(b.c, 20, 10, &e));
        }
        assert_int_equal(a.gained - a.lost, 2);
        assert_int_equal(b.gained - b.lost, 2);
        consumer_free(b.c);
        consumer_free(a.c);
        with_mock_stop(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(records_come_whole_and_the_end_is_told),
                cmocka_unit_test(a_null_key_and_a_tombstone_are_not_empty),
                cmocka_unit_test(assigning_again_moves_and_unassigning_ends),
                cmocka_unit_test(a_position_outside_the_log_is_told_and_left),
                cmocka_unit_test(a_paused_partition_keeps_its_place),
                cmocka_unit_test(a_poll_can_be_woken),
                cmocka_unit_test(questions_have_answers),
                cmocka_unit_test(a_range_is_read_once_and_ends),
                cmocka_unit_test(a_member_reads_from_where_the_callee_says),
                cmocka_unit_test(two_members_share),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
