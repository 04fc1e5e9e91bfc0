/*
 * overview - what the admin page is told of a chat gateway: its sockets and its conversations.
 *
 * Owner: the shard's loop thread; a slice of a list is short enough to delay nobody.
 */
#ifndef TERN_MESSAGING_OVERVIEW_H
#define TERN_MESSAGING_OVERVIEW_H

#include "messaging/app.h"

/* Makes app->admin. 0 or -errno. */
MUST_CHECK int overview_new(struct app *app);

#endif
