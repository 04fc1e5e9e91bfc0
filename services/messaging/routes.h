/*
 * routes - REST for conversations, members and history, and the page.
 *
 * A handler runs on a civetweb worker: it authenticates, parses, posts the call to a shard and waits
 * for its answer, at most REST_WAIT_MS. The operations are those of the socket events.
 */
#ifndef TERN_MESSAGING_ROUTES_H
#define TERN_MESSAGING_ROUTES_H

#include "messaging/app.h"

void routes_add(struct app *app);

#endif
