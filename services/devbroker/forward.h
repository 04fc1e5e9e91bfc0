/*
 * forward - a fixed loopback port in front of the mock broker's, which the kernel chooses anew at each start.
 *
 * Clients bootstrap here; the metadata then names the broker's own port, so hardly anything but first questions
 * passes through. One thread, bytes in both directions, bounded buffers: a side that does not read is not read for.
 */
#ifndef TERN_DEVBROKER_FORWARD_H
#define TERN_DEVBROKER_FORWARD_H

#include "base/check.h"
#include <stdint.h>

struct forward;

/* Listens on 127.0.0.1:port (0: a free one), does not accept yet. 0, -EADDRINUSE or another -errno. */
MUST_CHECK int forward_open(uint16_t port, struct forward **ret);
uint16_t forward_port(const struct forward *f);
/* Begins to accept, and connects each to 127.0.0.1:target. 0 or -errno. */
MUST_CHECK int forward_start(struct forward *f, uint16_t target);
/* Closes everything. NULL is fine; returns NULL. */
struct forward *forward_free(struct forward *f);

#endif
