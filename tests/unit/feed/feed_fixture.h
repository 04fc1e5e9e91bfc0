/*
 * feed_fixture - a feed on the mock broker with one shard, which is the test's own thread, and clients that note
 * what they get. Postgres is there if the test brings a store.
 */
#ifndef TERN_TESTS_FEED_FIXTURE_H
#define TERN_TESTS_FEED_FIXTURE_H

#include "../bus/with_mock.h"

#include "base/hash.h"
#include "feed/feed.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { EVENTS, SIGNALS, SESSIONS, ACCESS, TOPICS };
enum { PARTITIONS = 4, NOTED_MAX = 8192 };

static const struct feed_topic fixture_topics[TOPICS] = {
        [EVENTS] = {.name = "chat.events",
                .cursor = true,
                .rooms = true,
                .by_key = true,
                .dedupe = true,
                .foreign_check = true,
                .fill = true,
                .room_class = 0,
                .event_table_topic = "chat.events"},
        [SIGNALS] = {.name = "chat.signals", .rooms = true, .foreign_check = true, .room_class = 0},
        [SESSIONS] = {.name = "chat.sessions",
                .all = true,
                .by_key = true,
                .fill = true,
                .room_class = 1},
        [ACCESS] = {.name = "access", .all = true, .from_start = true, .room_class = 1},
};

struct fixture {
        struct with_mock on;
        struct feed_settings settings;
        struct store *store;
        struct feed *feed;
        struct feed_shard *shard;
        struct fanout *fanout;
        struct mailbox *box;
        struct log *log;
        unsigned records_seen; /* by ops.record */
};

struct client {
        struct subscriber sub;
        int64_t seqs[NOTED_MAX];
        unsigned count, lives, gaps, unreadable;
        int64_t gap_from, gap_to;
        enum fanout_tier tier;
        unsigned limit; /* events it takes before it says -EAGAIN; 0: all */
        char last_value[64];
};

/* ---- the application ---- */

static inline struct msg *fixture_frame(
        void *app, const struct record *r, unsigned variant, struct slice cursor, bool own)
{
        UNUSED(app);
        UNUSED(variant);
        UNUSED(cursor);
        UNUSED(own);
        struct msg *m = msg_new(64);
        int64_t seq = record_seq(r);
        memset(m->bytes, 0, 64);
        memcpy(m->bytes, &seq, sizeof(seq));
        slice_copy(record_value(r), m->bytes + 8, 56);
        m->ws_n = 64;
        return m;
}

static inline size_t fixture_cursor(void *app, const struct subscriber *sub, const uint32_t *epochs,
        const int64_t *offsets, char *dst)
{
        UNUSED(app);
        UNUSED(sub);
        memcpy(dst, epochs, sizeof(*epochs));
        memcpy(dst + sizeof(*epochs), offsets, PARTITIONS * sizeof(*offsets));
        return sizeof(*epochs) + PARTITIONS * sizeof(*offsets);
}

static inline int fixture_push(void *app, struct subscriber *s, struct msg *m, bool catchup)
{
        UNUSED(app);
        struct client *c = container_of(s, struct client, sub);
        if (catchup && c->limit && c->count >= c->limit)
                return -EAGAIN;
        assert_true(c->count < NOTED_MAX);
        memcpy(&c->seqs[c->count++], m->bytes, sizeof(int64_t));
        snprintf(c->last_value, sizeof(c->last_value), "%s", m->bytes + 8);
        return 0;
}

static inline void fixture_flush(void *app, struct subscriber *s)
{
        UNUSED(app);
        UNUSED(s);
}

static inline void fixture_record(void *app, const struct record *r)
{
        UNUSED(r);
        ((struct fixture *)app)->records_seen++;
}

static inline void fixture_live(
        void *app, struct subscriber *s, enum fanout_tier tier, int64_t took_ms)
{
        UNUSED(app);
        UNUSED(took_ms);
        struct client *c = container_of(s, struct client, sub);
        c->lives++;
        c->tier = tier;
}

static inline void fixture_gap(
        void *app, struct subscriber *s, int32_t slot, int64_t from_seq, int64_t to_seq)
{
        UNUSED(app);
        UNUSED(slot);
        struct client *c = container_of(s, struct client, sub);
        c->gaps++;
        c->gap_from = from_seq;
        c->gap_to = to_seq;
}

static inline void fixture_unreadable(void *app, struct subscriber *s)
{
        UNUSED(app);
        container_of(s, struct client, sub)->unreadable++;
}

static const struct fanout_ops fixture_ops = {
        .frame = fixture_frame,
        .cursor = fixture_cursor,
        .push = fixture_push,
        .flush = fixture_flush,
        .record = fixture_record,
        .live = fixture_live,
        .gap = fixture_gap,
        .unreadable = fixture_unreadable,
};

/* ---- life ---- */

static inline void fixture_start_broker(struct fixture *x)
{
        *x = (struct fixture){0};
        with_mock_start(&x->on, 3000);
        assert_int_equal(mock_topic(x->on.mock, "chat.signals", 2), 0);
        assert_int_equal(mock_topic(x->on.mock, "chat.sessions", 2), 0);
        assert_int_equal(mock_topic(x->on.mock, "access", 1), 0);
        x->settings = (struct feed_settings){.tail_fill_ms = 60000,
                .tail_bytes_max = 4 << 20,
                .dedupe_window_ms = 60000,
                .dedupe_entries_max = 10000,
                .read_wait_ms = 300,
                .read_give_up_ms = 1500,
                .catchup_reads_max = 2,
                .seek_readers = 1,
                .shard_credit_bytes = 1 << 20,
                .pause_max_ms = 10000};
        x->log = getenv("VERBOSE") ? log_new("test", NULL, LOG_LEVEL_DEBUG, 2) : NULL;
}

static inline void fixture_start_feed(struct fixture *x)
{
        struct feed_options o = {.settings = &x->settings,
                .topics = fixture_topics,
                .topic_count = TOPICS,
                .bus = x->on.bus,
                .store = x->store,
                .metrics = x->on.metrics,
                .log = x->log};
        assert_int_equal(feed_new(&o, 1, &x->feed), 0);
        x->box = mailbox_new(NULL, NULL);
        assert_int_equal(feed_shard_new(x->feed, 0, x->box, &fixture_ops, x, &x->shard), 0);
        x->fanout = feed_fanout(x->shard);
        assert_int_equal(feed_start(x->feed), 0);
}

static inline void fixture_stop_feed(struct fixture *x)
{
        if (!x->feed)
                return;
        feed_stop(x->feed);
        mailbox_close(x->box);
        while (mailbox_run(x->box) > 0)
                continue;
        x->shard = feed_shard_free(x->shard);
        mailbox_free(x->box);
        x->feed = feed_free(x->feed);
}

static inline void fixture_stop(struct fixture *x)
{
        fixture_stop_feed(x);
        with_mock_stop(&x->on);
        x->log = log_free(x->log);
}

/* Runs the shard until it is so, or fails. */
#define run_until(x, what)                                                                         \
        do {                                                                                       \
                int64_t until_ms_ = clock_mono_ms() + 15000;                                       \
                while (!(what) && clock_mono_ms() < until_ms_)                                     \
                        mailbox_wait((x)->box, 20);                                                \
                assert_true(what);                                                                 \
        } while (0)

static inline void fixture_run_ms(struct fixture *x, int ms)
{
        for (int64_t until = clock_mono_ms() + ms; clock_mono_ms() < until;)
                mailbox_wait(x->box, 10);
}

/* Produces a record and waits for its place. */
static inline int64_t fixture_produce(struct fixture *x, const char *topic, const char *key,
        const char *id, const char *type, const char *value, int32_t partition,
        int32_t *ret_partition)
{
        struct test_send t = {.send = {.reply = x->on.box, .done = test_send_done}, .w = &x->on};
        struct bus_header headers[] = {
                {SLICE_LIT("ce_id"), slice_str(id)}, {SLICE_LIT("ce_type"), slice_str(type)}};
        struct bus_record r = {.topic = slice_str(topic),
                .partition = partition,
                .key = slice_str(key),
                .value = slice_str(value),
                .headers = headers,
                .header_count = 2};
        assert_int_equal(bus_produce(x->on.bus, &r, &t.send), 0);
        for (int64_t until = clock_mono_ms() + 5000; !t.done && clock_mono_ms() < until;)
                mailbox_wait(x->on.box, 50);
        assert_true(t.done);
        assert_int_equal(t.send.outcome, BUS_OK);
        if (ret_partition)
                *ret_partition = t.send.partition;
        return t.send.offset;
}

/* n messages "i" with ids "PREFIX-i" to one key. */
static inline void fixture_produce_many(
        struct fixture *x, const char *key, const char *prefix, unsigned n)
{
        static struct test_send sends[NOTED_MAX];
        x->on.delivered = 0;
        for (unsigned i = 0; i < n; i++) {
                char id[64], value[64];
                snprintf(id, sizeof(id), "%s-%u", prefix, i);
                snprintf(value, sizeof(value), "%s %u", prefix, i);
                sends[i] = (struct test_send){
                        .send = {.reply = x->on.box, .done = test_send_done}, .w = &x->on};
                struct bus_header headers[] = {{SLICE_LIT("ce_id"), slice_str(id)},
                        {SLICE_LIT("ce_type"), SLICE_LIT("tern.message.created")}};
                struct bus_record r = {.topic = SLICE_LIT("chat.events"),
                        .partition = -1,
                        .key = slice_str(key),
                        .value = slice_str(value),
                        .headers = headers,
                        .header_count = 2};
                while (bus_produce(x->on.bus, &r, &sends[i].send) == -ENOBUFS)
                        mailbox_wait(x->on.box, 10);
        }
        assert_true(test_wait(&x->on, n, 10000));
        for (unsigned i = 0; i < n; i++)
                assert_int_equal(sends[i].send.outcome, BUS_OK);
}

static inline void client_join(struct fixture *x, struct client *c, const char *key)
{
        subscriber_join(x->fanout, &c->sub, EVENTS, slice_str(key), 0, false);
}

static inline void check_seqs_rise(const struct client *c)
{
        for (unsigned i = 1; i < c->count; i++)
                assert_true(c->seqs[i] > c->seqs[i - 1]);
}

static inline uint16_t key_partition(const char *key)
{
        return (uint16_t)partition_of(slice_str(key), PARTITIONS);
}

#endif
