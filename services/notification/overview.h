/*
 * overview - what the admin page is told of a notification gateway: its streams and their audiences.
 *
 * Owner: the shard's loop thread; a slice of a list is short enough to delay nobody.
 */
#ifndef TERN_NOTIFICATION_OVERVIEW_H
#define TERN_NOTIFICATION_OVERVIEW_H

#include "notification/app.h"

/* Makes app->admin. 0 or -errno. */
MUST_CHECK int overview_new(struct app *app);

#endif
