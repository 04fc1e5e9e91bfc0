/*
 * shed - how many connections a gateway above the fleet's mean gives up, and when.
 *
 * After a scale-up the new gateways are empty and stay so, because connections are long-lived. So a gateway that has more than the mean
 * of its service (and a twentieth, so that chance does not set it off) sends clients elsewhere at a pace until it has no more than the
 * mean; the balancer spreads them. With each of its own announcements it takes stock of what all have announced. A client on its way is
 * counted by nobody, hence the sum that counts is the largest of the last three. After three looks it waits for one and sees what
 * that did: if clients only came back to where they were sent away (a balancer that knows nobody else, or sticks to addresses), it
 * pauses, twice as long each time, and then tries for one look only.
 *
 * Pure; one owner thread.
 */
#ifndef TERN_FLEET_SHED_H
#define TERN_FLEET_SHED_H

#include "base/pace.h"

#define SHED_SUMS 3

struct shed {
        struct pace pace; /* no gap: off */
        int64_t sums[SHED_SUMS];
        unsigned looks;
        unsigned round; /* looks since the beginning of this round */
        int64_t had;    /* connections then */
        int64_t given;  /* since then */
        int64_t budget; /* may still be given up before the next look */
        unsigned
                useless; /* rounds in a row that found most of those who were sent away back here */
        unsigned pause;  /* looks to be passed over */
        size_t members;  /* at the last look */
};

void shed_init(struct shed *s, uint32_t per_second);
/* others: connections of the other gateways of this service that are not leaving, together; members: how many these are. */
void shed_look(struct shed *s, int64_t own, int64_t others, size_t members);
/* How many go now. */
unsigned shed_take(struct shed *s, int64_t now_ms);

#endif
