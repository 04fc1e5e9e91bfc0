/*
 * with_mock - a mock cluster, a bus on it, and a sender that waits: what every test of this folder begins with.
 */
#ifndef TERN_TESTS_WITH_MOCK_H
#define TERN_TESTS_WITH_MOCK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "bus/bus.h"
#include "bus/consumer.h"
#include "bus/mock.h"

#include <stdlib.h>

struct with_mock {
        struct mock *mock;
        struct bus *bus;
        struct mailbox *box;
        struct metrics *metrics;
        unsigned delivered;
};

static inline struct bus_settings test_settings(uint32_t delivery_timeout_ms)
{
        static char none[] = "";
        return (struct bus_settings){.topic_prefix = none,
                .linger_us = 0,
                .delivery_timeout_ms = delivery_timeout_ms,
                .producer_records_max = 1000,
                .producer_kbytes_max = 4096,
                .volatile_records_max = 1000,
                .volatile_kbytes_max = 1024,
                .consumer_kbytes_max = 4096,
                .fetch_bytes_max = 1048576,
                .fetch_wait_ms = 5};
}

static inline struct bus *test_bus(
        struct bus_settings s, const char *bootstrap, struct metrics *metrics)
{
        char name[] = "bootstrap.servers";
        char *value = xstrdup(bootstrap);
        struct config_passthrough prop = {name, value};
        struct bus *b = NULL;
        char fault[256] = "";
        int err = bus_new(&s, &prop, 1, "test", metrics, &b, fault);
        if (err)
                print_message("bus_new: %s\n", fault);
        assert_int_equal(err, 0);
        free(value);
        return b;
}

static inline void with_mock_start(struct with_mock *w, uint32_t delivery_timeout_ms)
{
        char fault[256] = "";
        *w = (struct with_mock){0};
        assert_int_equal(mock_new(1, &w->mock, fault), 0);
        assert_int_equal(mock_topic(w->mock, "chat.events", 4), 0);
        assert_int_equal(mock_topic(w->mock, "broadcasts", 1), 0);
        w->metrics = metrics_new(METRICS_ALL);
        w->box = mailbox_new(NULL, NULL);
        w->bus = test_bus(test_settings(delivery_timeout_ms), mock_bootstrap(w->mock), w->metrics);
}

static inline void with_mock_stop(struct with_mock *w)
{
        bus_free(w->bus, 1000);
        mailbox_run(w->box);
        mailbox_close(w->box);
        mailbox_free(w->box);
        metrics_free(w->metrics);
        mock_free(w->mock);
}

struct test_send {
        struct bus_send send;
        struct with_mock *w;
        bool done;
};

static inline void test_send_done(struct bus_send *s)
{
        struct test_send *t = container_of(s, struct test_send, send);
        t->done = true;
        t->w->delivered++;
}

static inline int test_produce(struct with_mock *w, struct test_send *t, const char *topic,
        int32_t partition, const char *key, const char *value)
{
        *t = (struct test_send){.send = {.reply = w->box, .done = test_send_done}, .w = w};
        struct bus_header headers[] = {
                {SLICE_LIT("ce_id"), slice_str(value)}, {SLICE_LIT("ce_type"), SLICE_LIT("test")}};
        struct bus_record r = {.topic = slice_str(topic),
                .partition = partition,
                .key = slice_str(key),
                .value = slice_str(value),
                .headers = headers,
                .header_count = 2};
        return bus_produce(w->bus, &r, &t->send);
}

/* Runs the mailbox until want sends are answered; false after timeout_ms. */
static inline bool test_wait(struct with_mock *w, unsigned want, int timeout_ms)
{
        int64_t until = clock_mono_ms() + timeout_ms;
        while (w->delivered < want && clock_mono_ms() < until)
                mailbox_wait(w->box, 50);
        return w->delivered >= want;
}

#endif
