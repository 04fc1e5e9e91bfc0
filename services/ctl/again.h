/*
 * again - what a record becomes when it is replayed to Postgres or to live clients.
 *
 * To Postgres: a record of the topic `redrive` under its own place, which the writer stores if it is not there. To clients: a
 * tern.replay in `control`, which the gateways show and forget. Both take valid records of Tern's own topics only. Owner: one thread.
 */
#ifndef TERN_CTL_AGAIN_H
#define TERN_CTL_AGAIN_H

#include "ctl/copy.h"

struct again {
        int64_t epoch; /* of the source */
        uint32_t partitions;
        const char *user, *conversation; /* of clients: one of them; borrowed */
        struct buf value, key;
        struct bus_header headers[256];
        char numbers[4][24], id[40];
};

/* NULL, or why this topic cannot be replayed to Postgres, or to such clients. */
const char *again_refuses(const struct again *ag, const char *topic, bool to_store);
enum copy_verdict again_to_store(
        struct again *ag, const struct bus_record *in, struct bus_record *out);
enum copy_verdict again_to_clients(
        struct again *ag, const struct bus_record *in, struct bus_record *out);
void again_done(struct again *ag);

#endif
