/* dedupe, tail and envelope: the parts of a record's way in. */
#include "feed/dedupe.h"
#include "feed/envelope.h"
#include "feed/tail.h"

#include "base/hash.h"
#include "fanout/tailindex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* ---- dedupe ---- */

static int64_t seen(struct dedupe *d, unsigned id, int64_t offset, int64_t at)
{
        char text[16];
        int n = snprintf(text, sizeof(text), "id-%u", id);
        return dedupe_seen(d, slice_of(text, (size_t)n), offset, at, 1000);
}

static void a_repeated_id_names_its_first_offset(void **state)
{
        UNUSED(state);
        struct dedupe d = DEDUPE_EMPTY;
        assert_int_equal(seen(&d, 1, 10, 0), -1);
        assert_int_equal(seen(&d, 2, 11, 1), -1);
        assert_int_equal(seen(&d, 1, 12, 2), 10);
        assert_int_equal(seen(&d, 1, 13, 3), 10);
        dedupe_done(&d);
}

static void the_window_moves_with_the_brokers_time_and_repetitions_extend_it(void **state)
{
        UNUSED(state);
        struct dedupe d = DEDUPE_EMPTY;
        assert_int_equal(seen(&d, 1, 10, 0), -1);
        assert_int_equal(seen(&d, 2, 11, 0), -1);
        assert_int_equal(seen(&d, 1, 12, 900), 10);
        assert_int_equal(seen(&d, 1, 13, 1800), 10);
        assert_int_equal(seen(&d, 2, 14, 1801), -1); /* the window has passed it */
        assert_int_equal(seen(&d, 2, 15, 1802), 14);
        assert_int_equal(seen(&d, 1, 16, 2801), -1);
        dedupe_done(&d);
}

/* Against the plainest model: an array of the last occurrence of each id. */
static void the_window_agrees_with_a_model(void **state)
{
        UNUSED(state);
        enum { IDS = 600 };
        static int64_t at[IDS], first[IDS];
        for (unsigned seed = 0; seed < 20; seed++) {
                struct dedupe d = DEDUPE_EMPTY;
                srand(seed);
                for (int i = 0; i < IDS; i++)
                        at[i] = -100000;
                int64_t now = 0;
                for (int64_t offset = 0; offset < 8000; offset++) {
                        now += rand() % (seed % 2 ? 3 : 12);
                        unsigned id = (unsigned)rand() % IDS;
                        int64_t expected = now - at[id] <= 1000 ? first[id] : -1;
                        assert_int_equal(seen(&d, id, offset, now), expected);
                        if (expected < 0)
                                first[id] = offset;
                        at[id] = now;
                        if (rand() % 50 == 0 && dedupe_count(&d) > 0) {
                                dedupe_forget_oldest(&d);
                                break; /* what was forgotten is the model's no more */
                        }
                }
                dedupe_done(&d);
        }
}

static void the_oldest_can_be_forgotten_at_a_bound(void **state)
{
        UNUSED(state);
        struct dedupe d = DEDUPE_EMPTY;
        for (unsigned i = 0; i < 300; i++)
                assert_int_equal(seen(&d, i, i, 0), -1);
        while (dedupe_count(&d) > 100)
                dedupe_forget_oldest(&d);
        assert_int_equal(seen(&d, 150, 1000, 0), -1);
        for (unsigned i = 201; i < 300; i++)
                assert_int_equal(seen(&d, i, 2000, 0), i);
        dedupe_done(&d);
}

/* ---- tail ---- */

static void records_lie_one_after_the_other_and_leave_by_whole_slabs(void **state)
{
        UNUSED(state);
        struct tail t = TAIL_EMPTY;
        for (uint64_t pos = 1; pos <= 3000; pos++) {
                size_t n = 100 + pos % 900;
                struct record *r = tail_add(&t, n, pos, (int64_t)pos, 100000);
                assert_int_equal((uintptr_t)r % 8, 0);
                r->pos = pos;
                r->value_n = (uint32_t)n;
        }
        size_t before = t.bytes;
        uint64_t next = 1;
        struct slab *s;
        while ((s = tail_evict(&t, before / 2, 0))) {
                const struct record *r;
                for (size_t at = 0; (r = slab_next(s, &at));)
                        assert_int_equal(r->pos, next++);
                assert_int_equal(s->last_pos, next - 1);
                slab_free(s);
        }
        assert_true(t.bytes <= before / 2);
        assert_true(next > 1000 && next < 3000);
        while ((s = tail_evict(&t, SIZE_MAX, 3001)))
                slab_free(s);
        assert_int_equal(t.bytes, 0);
        assert_null(t.newest);
        tail_done(&t);
}

static void a_slab_takes_records_for_a_while_only(void **state)
{
        UNUSED(state);
        struct tail t = TAIL_EMPTY;
        for (int64_t now = 0; now < 1000; now += 100)
                tail_add(&t, 10, (uint64_t)now + 1, now, 250);
        struct slab *s = tail_evict(&t, SIZE_MAX, 250);
        assert_non_null(s);
        assert_int_equal(s->last_pos, 201);
        slab_free(s);
        assert_null(tail_evict(&t, SIZE_MAX, 250));
        tail_done(&t);
}

static void a_record_larger_than_a_slab_has_one_of_its_own(void **state)
{
        UNUSED(state);
        struct tail t = TAIL_EMPTY;
        struct record *r = tail_add(&t, 1000000, 1, 0, 1000);
        memset(r->bytes, 'x', 1000000);
        struct slab *chain = NULL;
        r = slab_add(&chain, 900000);
        memset(r->bytes, 'x', 900000);
        slab_add(&chain, 10);
        slab_free(chain);
        tail_done(&t);
}

/* ---- the index by key ---- */

static void the_index_finds_the_newest_and_forgets_what_left_the_tail(void **state)
{
        UNUSED(state);
        enum { N = 5000, KEYS = 700 };
        struct tail_index ix = TAIL_INDEX_EMPTY;
        struct record *all[N + 1] = {0};
        uint64_t newest[KEYS] = {0}, first_pos = 1;
        for (uint64_t pos = 1; pos <= N; pos++) {
                unsigned key = (unsigned)rand() % KEYS;
                char text[16];
                size_t n = (size_t)snprintf(text, sizeof(text), "k%u", key);
                struct record *r = calloc(1, sizeof(*r) + n);
                memcpy(r->bytes, text, n);
                r->key_n = (uint32_t)n;
                r->key_hash = hash_key(slice_of(text, n));
                r->topic = (uint16_t)(key % 3);
                r->pos = pos;
                all[pos] = r;
                const struct record *before = tail_index_put(&ix, r, first_pos);
                assert_ptr_equal(before, newest[key] >= first_pos ? all[newest[key]] : NULL);
                newest[key] = pos;
                for (; pos - first_pos > 300; first_pos++) {
                        free(all[first_pos]);
                        all[first_pos] = NULL;
                }
        }
        for (unsigned key = 0; key < KEYS; key++) {
                char text[16];
                struct slice k = slice_of(text, (size_t)snprintf(text, sizeof(text), "k%u", key));
                const struct record *r =
                        tail_index_get(&ix, (uint16_t)(key % 3), k, hash_key(k), first_pos);
                assert_ptr_equal(r, newest[key] >= first_pos ? all[newest[key]] : NULL);
                assert_null(
                        tail_index_get(&ix, (uint16_t)(key % 3 + 1), k, hash_key(k), first_pos));
        }
        assert_true(ix.cap <= 2048);
        for (uint64_t pos = first_pos; pos <= N; pos++)
                free(all[pos]);
        tail_index_done(&ix);
}

/* ---- envelope ---- */

static struct record *written(const struct envelope *e, const struct bus_record *r)
{
        struct record *dst = calloc(1, record_size(envelope_bytes(e, true)));
        envelope_write(e, r, 3, true, dst);
        return dst;
}

static void a_binary_cloudevent_keeps_its_parts(void **state)
{
        UNUSED(state);
        const struct bus_header headers[] = {
                {SLICE_LIT("ce_specversion"), SLICE_LIT("1.0")},
                {SLICE_LIT("ce_id"), SLICE_LIT("old")},
                {SLICE_LIT("ce_id"), SLICE_LIT("id-1")},
                {SLICE_LIT("ce_type"), SLICE_LIT("tern.message.created")},
                {SLICE_LIT("ce_source"), SLICE_LIT("here")},
                {SLICE_LIT("traceparent"), SLICE_LIT("00-ab")},
        };
        const struct feed_topic topic = {
                .name = "chat.events", .rooms = true, .foreign_check = true};
        struct bus_record r = {.topic = SLICE_LIT("chat.events"),
                .partition = (int32_t)partition_of(SLICE_LIT("conv"), 4),
                .offset = 77,
                .timestamp_ms = 5,
                .key = SLICE_LIT("conv"),
                .value = SLICE_LIT("{}"),
                .headers = headers,
                .header_count = ARRAY_LEN(headers)};
        struct envelope e = ENVELOPE_EMPTY;
        assert_int_equal(envelope_read(&e, &topic, 4, &r), 0);
        assert_false(e.foreign);
        struct record *dst = written(&e, &r);
        assert_true(slice_is(record_key(dst), "conv") && slice_is(record_id(dst), "id-1") &&
                    slice_is(record_type(dst), "tern.message.created"));
        assert_true(
                slice_is(record_value(dst), "{}") && slice_is(record_trace(dst), "00-ab"));
        assert_int_equal(record_seq(dst), ((int64_t)3 << 40) + 77);
        free(dst);
        r.partition = (r.partition + 1) % 4;
        assert_int_equal(envelope_read(&e, &topic, 4, &r), 0);
        assert_true(e.foreign);
        r.key = SLICE_NONE;
        assert_int_equal(envelope_read(&e, &topic, 4, &r), 0);
        assert_true(e.foreign);
        envelope_done(&e);
}

static void bare_json_of_a_backend_becomes_a_notification(void **state)
{
        UNUSED(state);
        const struct feed_topic topic = {.name = "notifications", .rooms = true};
        struct bus_record r = {.topic = SLICE_LIT("notifications"),
                .partition = 2,
                .offset = 9,
                .timestamp_ms = 5,
                .key = SLICE_LIT("u"),
                .value = SLICE_LIT(
                        "{\"userId\":\"u\",\"type\":\"t\",\"title\":\"x\",\"body\":\"y\"}")};
        struct envelope e = ENVELOPE_EMPTY;
        assert_int_equal(envelope_read(&e, &topic, 4, &r), 0);
        struct record *dst = written(&e, &r);
        assert_true(slice_is(record_id(dst), "notifications/2/9"));
        assert_true(slice_is(record_type(dst), "tern.notification.created"));
        free(dst);
        r.value = SLICE_LIT("[1");
        assert_int_equal(envelope_read(&e, &topic, 4, &r) < 0, 1);
        envelope_done(&e);
}

static void other_headers_are_not_kept_nor_a_trace_that_is_none(void **state)
{
        UNUSED(state);
        static char big[4000];
        memset(big, 'x', sizeof(big));
        const struct bus_header headers[] = {{SLICE_LIT("h"), slice_of(big, 1000)},
                {SLICE_LIT("traceparent"), slice_of(big, sizeof(big))}};
        const struct feed_topic topic = {.name = "chat.signals"};
        struct bus_record r = {.topic = SLICE_LIT("chat.signals"),
                .key = SLICE_LIT("k"),
                .headers = headers,
                .header_count = ARRAY_LEN(headers)};
        struct envelope e = ENVELOPE_EMPTY;
        assert_int_equal(envelope_read(&e, &topic, 4, &r), 0);
        assert_int_equal(envelope_bytes(&e, true), e.key.n + e.id.n + e.type.n);
        struct record *dst = written(&e, &r);
        assert_int_equal(record_trace(dst).n, 0);
        free(dst);
        envelope_done(&e);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_repeated_id_names_its_first_offset),
                cmocka_unit_test(the_window_moves_with_the_brokers_time_and_repetitions_extend_it),
                cmocka_unit_test(the_window_agrees_with_a_model),
                cmocka_unit_test(the_oldest_can_be_forgotten_at_a_bound),
                cmocka_unit_test(records_lie_one_after_the_other_and_leave_by_whole_slabs),
                cmocka_unit_test(a_slab_takes_records_for_a_while_only),
                cmocka_unit_test(a_record_larger_than_a_slab_has_one_of_its_own),
                cmocka_unit_test(the_index_finds_the_newest_and_forgets_what_left_the_tail),
                cmocka_unit_test(a_binary_cloudevent_keeps_its_parts),
                cmocka_unit_test(bare_json_of_a_backend_becomes_a_notification),
                cmocka_unit_test(other_headers_are_not_kept_nor_a_trace_that_is_none),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
