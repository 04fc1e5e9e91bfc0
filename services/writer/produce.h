/*
 * produce - sends some records and waits until Kafka has answered for each.
 *
 * Owner: one thread.
 */
#ifndef TERN_WRITER_PRODUCE_H
#define TERN_WRITER_PRODUCE_H

#include "bus/bus.h"

struct produce;

struct produce *produce_new(struct bus *bus);
struct produce *produce_free(struct produce *p);

struct produce_one {
        struct bus_record record; /* borrowed during the call */
        enum bus_outcome outcome; /* result; BUS_BUSY: too large for any */
        struct bus_send send;     /* private, as is the next */
        struct produce *owner;
};
/* Returns when all outcomes are known; the bus answers within its delivery timeout. */
void produce_all(struct produce *p, struct produce_one *ones, size_t count);

#endif
