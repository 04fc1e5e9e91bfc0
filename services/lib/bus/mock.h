/*
 * mock - librdkafka's own mock cluster as an object: the embedded broker of tern-devbroker, and what unit tests
 * break on purpose.
 *
 * It keeps at most 5 MB a partition in memory and has no timestamps, no admin calls and no persistence. Its ids
 * begin with "mockCluster" (bus_is_embedded). Brokers listen on free loopback ports.
 */
#ifndef TERN_BUS_MOCK_H
#define TERN_BUS_MOCK_H

#include "base/check.h"
#include "base/slice.h"

struct bus;
struct mock;

/* 0 or -EIO. */
MUST_CHECK int mock_new(unsigned brokers, struct mock **ret, char fault[256]);
/* NULL is fine; returns NULL. */
struct mock *mock_free(struct mock *m);
/* "127.0.0.1:9092,…"; borrowed until mock_free(). */
const char *mock_bootstrap(const struct mock *m);
/* Full name, prefix included. 0, -EEXIST or -EIO. */
MUST_CHECK int mock_topic(struct mock *m, const char *topic, uint32_t partitions);

/* ---- for tests ---- */

enum mock_request { MOCK_PRODUCE = 0, MOCK_FETCH = 1, MOCK_METADATA = 3, MOCK_INIT_PRODUCER = 22 };
enum mock_error {
        MOCK_DISCONNECT,
        MOCK_TIMED_OUT,
        MOCK_OUT_OF_ORDER,
        MOCK_NOT_LEADER,
        MOCK_NOT_ENOUGH_REPLICAS
};
/* The next count requests of this kind fail so. */
void mock_fail(struct mock *m, enum mock_request kind, enum mock_error error, unsigned count);
/* Closes all connections and refuses new ones, until up. */
void mock_down(struct mock *m, bool down);
/* Answers take this long from now on. */
void mock_delay(struct mock *m, int ms);
/* The durable producer of b reports a fatal error, as after a lost sequence. */
void mock_break_producer(struct bus *b);

#endif
