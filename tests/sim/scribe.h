/*
 * scribe - one process of the service's own writer, from the group's assignment to the transaction.
 */
#ifndef TERN_SIM_SCRIBE_H
#define TERN_SIM_SCRIBE_H

#include "kafka.h"

#include "base/lifecycle.h"

struct intake;

struct scribe {
        char name[8];
        struct process process; /* dead: it has gone, one way or the other */
        struct bus *bus;
        struct lifecycle lifecycle;
        struct intake *intake;
        unsigned batch_max;
        bool stop;
};

/* Lives as long as the world. */
struct scribe *scribe_start(struct kafka *k, unsigned index, unsigned batch_max);
/* As SIGTERM does it; process.dead tells when. */
void scribe_stop(struct scribe *s);

#endif
