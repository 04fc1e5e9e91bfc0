/* fanout, one property at a time. What it promises as a whole is test_model.c's. */
#include "fanout/fanout.h"

#include "base/hash.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { EVENTS, SIGNALS, TOPICS };
enum { PARTS = 4, RECORDS_MAX = 8192 };

struct world {
        struct fanout *f[2]; /* two shards on the same records */
        struct record *records[RECORDS_MAX];
        size_t count, delivered[2];
        uint64_t last_pos, first_pos;
        int64_t positions[PARTS + 1], tail_start[PARTS + 1];
        unsigned frames, cursors, room_records, flushes, pushes, agains, lives;
};
static struct world w;

struct client {
        struct subscriber sub;
        int64_t seqs[RECORDS_MAX];
        size_t count;
        size_t limit; /* 0: takes everything */
        bool full;    /* says -ENOBUFS */
        int64_t cursor[PARTS];
};

static struct msg *on_frame(
        void *app, const struct record *r, unsigned variant, struct slice cursor, bool own)
{
        UNUSED(app);
        UNUSED(variant);
        UNUSED(own);
        w.frames++;
        struct msg *m = msg_new(sizeof(int64_t) + cursor.n);
        int64_t seq = record_seq(r);
        memcpy(m->bytes, &seq, sizeof(seq));
        memcpy(m->bytes + sizeof(seq), cursor.p, cursor.n);
        m->ws_n = (uint32_t)(sizeof(seq) + cursor.n);
        return m;
}

static size_t on_cursor(void *app, const struct subscriber *sub, const uint32_t *epochs,
        const int64_t *offsets, char *dst)
{
        UNUSED(app);
        UNUSED(sub);
        UNUSED(epochs);
        w.cursors++;
        memcpy(dst, offsets, PARTS * sizeof(*offsets));
        return PARTS * sizeof(*offsets);
}

static void on_room_record(void *app, const struct record *r, bool own)
{
        UNUSED(app);
        UNUSED(r);
        UNUSED(own);
        w.room_records++;
}

static int on_push(void *app, struct subscriber *s, struct msg *m, bool catchup)
{
        UNUSED(app);
        struct client *c = container_of(s, struct client, sub);
        w.pushes++;
        if (c->full)
                return -ENOBUFS;
        if (catchup && c->limit && c->count >= c->limit)
                return -EAGAIN;
        memcpy(&c->seqs[c->count++], m->bytes, sizeof(int64_t));
        memcpy(c->cursor, m->bytes + sizeof(int64_t), sizeof(c->cursor));
        return 0;
}

static void on_flush(void *app, struct subscriber *s)
{
        UNUSED(app);
        UNUSED(s);
        w.flushes++;
}

static void on_live(void *app, struct subscriber *s, enum fanout_tier tier, int64_t took_ms)
{
        UNUSED(app);
        UNUSED(s);
        UNUSED(took_ms);
        assert_int_equal(tier, TIER_TAIL);
        w.lives++;
}

static void on_again(void *reader)
{
        UNUSED(reader);
        w.agains++;
}

static void on_read_old(void *reader, struct attach_read *rd)
{
        UNUSED(reader);
        UNUSED(rd);
        fail();
}

static const struct fanout_ops ops = {.frame = on_frame,
        .cursor = on_cursor,
        .room_record = on_room_record,
        .push = on_push,
        .flush = on_flush,
        .live = on_live,
        .again = on_again,
        .read_old = on_read_old};

static const struct fanout_topic topics[TOPICS] = {
        [EVENTS] = {"events", PARTS, .cursor = true, .rooms = true, .by_key = true, .epoch = 1},
        [SIGNALS] = {"signals", 1, .rooms = true, .epoch = 1},
};

static int start(void **state)
{
        UNUSED(state);
        w = (struct world){.first_pos = 1};
        for (int i = 0; i < 2; i++)
                assert_int_equal(fanout_new(topics, TOPICS, &ops, NULL, &w.f[i]), 0);
        return 0;
}

static int stop(void **state)
{
        UNUSED(state);
        for (int i = 0; i < 2; i++)
                fanout_free(w.f[i]);
        for (size_t i = 0; i < w.count; i++) {
                record_drop_frames(w.records[i]);
                free(w.records[i]);
        }
        return 0;
}

static uint16_t part_of(const char *key)
{
        return (uint16_t)partition_of(slice_str(key), PARTS);
}

/* A key whose partition is this one. */
static const char *key_in(uint16_t partition, unsigned nth)
{
        static char keys[8][16];
        static unsigned next;
        char *key = keys[next++ % 8];
        for (unsigned i = 0;; i++) {
                snprintf(key, 16, "key-%u", i);
                if (part_of(key) == partition && nth-- == 0)
                        return key;
        }
}

static void produce(uint16_t topic, const char *key)
{
        size_t n = strlen(key);
        struct record *r = calloc(1, sizeof(*r) + n);
        memcpy(r->bytes, key, n);
        r->key_n = (uint32_t)n;
        r->key_hash = hash_key(slice_str(key));
        r->topic = topic;
        r->partition = topic == EVENTS ? part_of(key) : 0;
        r->slot = topic == EVENTS ? r->partition : -1;
        size_t flat = topic == EVENTS ? r->partition : PARTS;
        r->offset = r->original_offset = w.positions[flat]++;
        r->epoch = 1;
        r->timestamp_ms = 1000 + r->offset;
        r->pos = ++w.last_pos;
        for (size_t i = w.count; i > 0 && !r->prev; i--)
                if (w.records[i - 1]->topic == topic &&
                        slice_is(record_key(w.records[i - 1]), key) &&
                        w.records[i - 1]->pos >= w.first_pos)
                        r->prev = w.records[i - 1];
        r->prev_pos = r->prev ? r->prev->pos : 0;
        w.records[w.count++] = r;
}

static void deliver_at(int shard, int64_t now_ms)
{
        const struct fanout_batch b = {(const struct record *const *)w.records + w.delivered[shard],
                w.count - w.delivered[shard], w.positions, w.first_pos, w.tail_start};
        w.delivered[shard] = w.count;
        fanout_batch(w.f[shard], &b, now_ms);
}

static void deliver(int shard)
{
        deliver_at(shard, 1000);
}

static void join(struct client *c, int shard, const char *key, uint8_t variant)
{
        if (!c->sub.rooms.next)
                subscriber_init(&c->sub, variant);
        subscriber_join(w.f[shard], &c->sub, EVENTS, slice_str(key), 0, false);
        if (c->sub.state == SUB_DETACHED)
                subscriber_attach_now(w.f[shard], &c->sub);
}

static void a_record_is_framed_once_for_all_who_share_a_variant(void **state)
{
        UNUSED(state);
        static struct client c[40];
        memset(c, 0, sizeof(c));
        for (int i = 0; i < 40; i++)
                join(&c[i], i % 2, "room", i < 20 ? 0 : 7);
        produce(EVENTS, "room");
        produce(EVENTS, "nobody's");
        deliver(0);
        assert_int_equal(w.frames, 2);
        size_t delivered;
        assert_int_equal(
                fanout_delivered(w.f[0], &delivered)[0], 1000); /* as produce() stamps it */
        assert_int_equal(
                delivered, 1); /* once, however many got it; what nobody wants is not in it */
        deliver(1);
        assert_int_equal(
                w.frames, 3); /* variant 0 was the other shard's already; 7 is each shard's own */
        assert_int_equal(w.cursors, 2);
        assert_int_equal(w.room_records, 2);
        assert_int_equal(w.pushes, 40);
        assert_int_equal(w.flushes, 40);
        for (int i = 0; i < 40; i++) {
                assert_int_equal(c[i].count, 1);
                assert_memory_equal(c[i].cursor, c[0].cursor, sizeof(c[0].cursor));
                subscriber_done(w.f[i % 2], &c[i].sub);
        }
}

static void a_batch_flushes_each_client_once(void **state)
{
        UNUSED(state);
        static struct client c;
        memset(&c, 0, sizeof(c));
        join(&c, 0, "a", 0);
        join(&c, 0, "b", 0);
        for (int i = 0; i < 50; i++)
                produce(i % 3 ? EVENTS : SIGNALS, i % 2 ? "a" : "b");
        deliver(0);
        assert_int_equal(c.count, 50);
        assert_int_equal(w.flushes, 1);
        subscriber_done(w.f[0], &c.sub);
}

static void a_long_catch_up_is_handed_over_in_order_and_in_turns(void **state)
{
        UNUSED(state);
        static struct client c;
        memset(&c, 0, sizeof(c));
        for (int i = 0; i < 6000; i++)
                produce(EVENTS, i % 2 ? "a" : "b");
        deliver(0);
        const int64_t vector[PARTS] = {0};
        subscriber_init(&c.sub, 0);
        subscriber_join(w.f[0], &c.sub, EVENTS, SLICE_LIT("a"), 0, false);
        subscriber_join(w.f[0], &c.sub, EVENTS, SLICE_LIT("b"), 0, false);
        c.limit = 100;
        subscriber_attach(w.f[0], &c.sub, vector, 1000);
        assert_int_equal(c.count, 100);
        assert_int_equal(c.sub.state, SUB_CATCHUP);
        c.limit = 0;
        subscriber_drained(w.f[0], &c.sub, 1000);
        assert_true(c.count > 100 && c.count < 6000); /* the loop gets its turn */
        unsigned turns = 0;
        while (c.sub.state != SUB_LIVE) {
                assert_int_equal(w.agains, turns + 1);
                fanout_run(w.f[0], 1000);
                turns++;
        }
        assert_int_equal(c.count, 6000);
        assert_int_equal(w.lives, 1);
        assert_null(c.sub.own);
        for (size_t i = 0; i < 6000; i++)
                assert_int_equal(
                        c.seqs[i], record_seq(w.records[i])); /* the bus's order, over all rooms */
        subscriber_done(w.f[0], &c.sub);
}

static void a_held_room_keeps_back_its_slot_and_no_other(void **state)
{
        UNUSED(state);
        static struct client c;
        memset(&c, 0, sizeof(c));
        const char *same = key_in(1, 0), *held = key_in(1, 1), *other = key_in(2, 0);
        join(&c, 0, same, 0);
        join(&c, 0, other, 0);
        produce(EVENTS, same);
        deliver(0);
        struct subscription *sn = subscriber_join(w.f[0], &c.sub, EVENTS, slice_str(held), 0, true);
        assert_int_equal(sn->from_seq, ((int64_t)1 << 40) + 1);
        produce(EVENTS, held);
        produce(EVENTS, same);
        produce(EVENTS, other);
        deliver(0);
        assert_int_equal(c.count, 2);
        assert_int_equal(c.cursor[1], 1); /* not past where the held room begins */
        assert_int_equal(c.cursor[2], 1);
        subscriber_release(w.f[0], sn);
        assert_int_equal(c.count, 4);
        assert_int_equal(c.seqs[2], record_seq(w.records[1]));
        assert_int_equal(c.seqs[3], record_seq(w.records[2]));
        assert_int_equal(c.sub.state, SUB_LIVE);
        assert_int_equal(w.lives, 0); /* no attach, no news */
        assert_null(c.sub.own);
        /* A held room that is left gives the slot free too. */
        sn = subscriber_join(w.f[0], &c.sub, EVENTS, slice_str(key_in(1, 2)), 0, true);
        produce(EVENTS, same);
        deliver(0);
        assert_int_equal(c.count, 4);
        subscriber_leave(w.f[0], sn);
        assert_int_equal(c.count, 5);
        subscriber_done(w.f[0], &c.sub);
}

static void who_is_ahead_gets_nothing_twice_and_joins_from_where_it_is(void **state)
{
        UNUSED(state);
        static struct client c;
        memset(&c, 0, sizeof(c));
        const char *key = key_in(3, 0), *later = key_in(3, 1);
        const int64_t vector[PARTS] = {0, 0, 0, 5};
        subscriber_init(&c.sub, 0);
        subscriber_join(w.f[0], &c.sub, EVENTS, slice_str(key), 0, false);
        subscriber_attach(w.f[0], &c.sub, vector, 1000);
        assert_int_equal(c.sub.state, SUB_LIVE);
        assert_non_null(c.sub.own);
        struct subscription *sn =
                subscriber_join(w.f[0], &c.sub, EVENTS, slice_str(later), 0, false);
        assert_int_equal(sn->from_seq, ((int64_t)1 << 40) + 5);
        for (int i = 0; i < 8; i++)
                produce(EVENTS, i % 2 ? key : later);
        deliver(0);
        assert_int_equal(c.count, 3);
        assert_int_equal(c.seqs[0], ((int64_t)1 << 40) + 5);
        assert_null(c.sub.own);
        subscriber_done(w.f[0], &c.sub);
}

static void a_refused_push_makes_a_laggard_that_loses_nothing(void **state)
{
        UNUSED(state);
        static struct client c;
        memset(&c, 0, sizeof(c));
        join(&c, 0, "room", 0);
        produce(EVENTS, "room");
        deliver(0);
        c.full = true;
        for (int i = 0; i < 5; i++)
                produce(EVENTS, "room");
        produce(SIGNALS, "room");
        deliver(0);
        assert_int_equal(c.sub.state, SUB_LAGGED);
        assert_int_equal(fanout_subscribers(w.f[0], SUB_LAGGED), 1);
        assert_int_equal(fanout_subscribers(w.f[0], SUB_LIVE), 0);
        assert_int_equal(w.pushes, 2); /* it is not asked again */
        c.full = false;
        subscriber_drained(w.f[0], &c.sub, 1000);
        assert_int_equal(c.count, 6);
        assert_int_equal(c.sub.state, SUB_LIVE);
        assert_int_equal(fanout_stats(w.f[0])->drops, 1);
        assert_int_equal(fanout_subscribers(w.f[0], SUB_LAGGED), 0);
        assert_int_equal(fanout_subscribers(w.f[0], SUB_LIVE), 1);
        subscriber_done(w.f[0], &c.sub);
        assert_int_equal(fanout_subscribers(w.f[0], SUB_LIVE), 0);
}

static void a_cursor_grows_stale_when_the_log_moves_on(void **state)
{
        UNUSED(state);
        static struct client c;
        memset(&c, 0, sizeof(c));
        join(&c, 0, "room", 0);
        assert_true(subscriber_stale(w.f[0], &c.sub, 3000, 1000)); /* it never had one */
        struct slice text = subscriber_cursor(w.f[0], &c.sub, 1000);
        assert_int_equal(text.n, PARTS * sizeof(int64_t));
        assert_false(
                subscriber_stale(w.f[0], &c.sub, 3000, 900000)); /* nothing has happened since */
        produce(EVENTS, "elsewhere");
        deliver_at(0, 1500);
        assert_false(subscriber_stale(w.f[0], &c.sub, 3000, 1900));
        assert_true(subscriber_stale(w.f[0], &c.sub, 3000, 2100));
        /* A tail that is shorter than it should be counts as it is. */
        w.first_pos = w.last_pos + 1;
        produce(EVENTS, "elsewhere");
        deliver_at(0, 1550);
        assert_true(subscriber_stale(w.f[0], &c.sub, 3000, 1600));
        produce(EVENTS, "room");
        deliver_at(0, 1600);
        assert_false(subscriber_stale(w.f[0], &c.sub, 3000, 1601));
        subscriber_done(w.f[0], &c.sub);
}

static void leave_the_room(void *arg, struct subscription *sn)
{
        unsigned *n = arg;
        if (++*n % 2)
                subscriber_leave(w.f[0], sn);
}

static void a_room_knows_its_subscriptions(void **state)
{
        UNUSED(state);
        static struct client c[10];
        memset(c, 0, sizeof(c));
        for (int i = 0; i < 10; i++)
                join(&c[i], 0, "room", 0);
        assert_int_equal(fanout_room_size(w.f[0], EVENTS, SLICE_LIT("room")), 10);
        assert_int_equal(fanout_room_size(w.f[0], EVENTS, SLICE_LIT("other")), 0);
        struct subscription *sn = subscriber_find(&c[3].sub, SIGNALS, SLICE_LIT("room"));
        assert_non_null(sn); /* topics of one class share their rooms */
        assert_true(slice_is(subscription_key(sn), "room"));
        assert_int_equal(subscription_topic(sn), EVENTS);
        assert_null(subscriber_find(&c[3].sub, EVENTS, SLICE_LIT("other")));
        assert_ptr_equal(
                subscriber_join(w.f[0], &c[3].sub, EVENTS, SLICE_LIT("room"), 77, true), sn);
        unsigned n = 0;
        fanout_room_each(w.f[0], EVENTS, SLICE_LIT("room"), leave_the_room, &n);
        assert_int_equal(n, 10);
        assert_int_equal(fanout_room_size(w.f[0], EVENTS, SLICE_LIT("room")), 5);
        for (int i = 0; i < 10; i++)
                subscriber_done(w.f[0], &c[i].sub);
        assert_int_equal(fanout_room_size(w.f[0], EVENTS, SLICE_LIT("room")), 0);
}

struct walked {
        unsigned seen[64], calls;
};

static void on_room(void *arg, struct slice key, size_t members)
{
        struct walked *wd = arg;
        uint64_t i = 0;
        assert_true(slice_to_u64(slice_from(key, 1), 63, &i));
        assert_int_equal(members, 1);
        wd->seen[i]++;
        wd->calls++;
}

static void rooms_are_walked_in_parts_and_again_when_they_moved(void **state)
{
        UNUSED(state);
        static struct client c;
        struct walked wd = {.calls = 0};
        struct fanout_walk walk = {0, NULL};
        char key[16];
        memset(&c, 0, sizeof(c));
        subscriber_init(&c.sub, 0);
        for (int i = 0; i < 20; i++) {
                snprintf(key, sizeof(key), "r%d", i);
                assert_non_null(subscriber_join(w.f[0], &c.sub, EVENTS, slice_str(key), 0, false));
        }
        assert_int_equal(fanout_walk(w.f[0], EVENTS, &walk, 7, on_room, &wd), FANOUT_WALK_ON);
        assert_int_equal(wd.calls, 7);
        /* The table grows: what was seen may come once more, or never. */
        for (int i = 20; i < 60; i++) {
                snprintf(key, sizeof(key), "r%d", i);
                assert_non_null(subscriber_join(w.f[0], &c.sub, EVENTS, slice_str(key), 0, false));
        }
        assert_int_equal(fanout_walk(w.f[0], EVENTS, &walk, 7, on_room, &wd), FANOUT_WALK_AGAIN);
        assert_int_equal(wd.calls, 7);
        wd = (struct walked){.calls = 0};
        unsigned parts = 1;
        while (fanout_walk(w.f[0], EVENTS, &walk, 7, on_room, &wd) == FANOUT_WALK_ON)
                parts++;
        assert_int_equal(wd.calls, 60);
        assert_int_equal(parts, 9);
        for (int i = 0; i < 60; i++)
                assert_int_equal(wd.seen[i], 1);
        subscriber_done(w.f[0], &c.sub);
}

static void an_idle_member_of_a_room_is_small(void **state)
{
        UNUSED(state);
        assert_true(sizeof(struct subscriber) + sizeof(struct subscription) <= 200);
}

static void a_table_that_cannot_work_is_refused(void **state)
{
        UNUSED(state);
        struct fanout *f;
        struct fanout_topic bad[2] = {
                {"a", 64, .cursor = true, .epoch = 1}, {"b", 65, .cursor = true, .epoch = 1}};
        assert_int_equal(fanout_new(bad, 2, &ops, NULL, &f), -EINVAL);
        struct fanout_topic two[2] = {
                {"a", 1, .cursor = true, .rooms = true}, {"b", 1, .cursor = true, .rooms = true}};
        assert_int_equal(fanout_new(two, 2, &ops, NULL, &f), -EINVAL);
        struct fanout_topic part[1] = {{"a", 1, .cursor = true, .rooms = true, .room_until = '/'}};
        assert_int_equal(fanout_new(part, 1, &ops, NULL, &f), -EINVAL);
        /* Partitions may come later. */
        struct fanout_topic open[1] = {{"a", 0, .cursor = true, .rooms = true}};
        assert_int_equal(fanout_new(open, 1, &ops, NULL, &f), 0);
        assert_int_equal(fanout_room_size(f, 0, SLICE_LIT("x")), 0);
        const uint16_t none[1] = {0}, some[1] = {8};
        const uint32_t epochs[1] = {2};
        assert_int_equal(fanout_lay_out(f, none, epochs), -EINVAL);
        assert_int_equal(fanout_lay_out(f, some, epochs), 0);
        assert_int_equal(fanout_slot_count(f), 8);
        assert_int_equal(fanout_epoch(f, 0), 2);
        fanout_free(f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        a_record_is_framed_once_for_all_who_share_a_variant, start, stop),
                cmocka_unit_test_setup_teardown(a_batch_flushes_each_client_once, start, stop),
                cmocka_unit_test_setup_teardown(
                        a_long_catch_up_is_handed_over_in_order_and_in_turns, start, stop),
                cmocka_unit_test_setup_teardown(
                        a_held_room_keeps_back_its_slot_and_no_other, start, stop),
                cmocka_unit_test_setup_teardown(
                        who_is_ahead_gets_nothing_twice_and_joins_from_where_it_is, start, stop),
                cmocka_unit_test_setup_teardown(
                        a_refused_push_makes_a_laggard_that_loses_nothing, start, stop),
                cmocka_unit_test_setup_teardown(
                        a_cursor_grows_stale_when_the_log_moves_on, start, stop),
                cmocka_unit_test_setup_teardown(a_room_knows_its_subscriptions, start, stop),
                cmocka_unit_test_setup_teardown(
                        rooms_are_walked_in_parts_and_again_when_they_moved, start, stop),
                cmocka_unit_test(an_idle_member_of_a_room_is_small),
                cmocka_unit_test(a_table_that_cannot_work_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
