/*
 * parts - makes the parts of a notification gateway, runs it until a signal comes, and takes it apart.
 */
#ifndef TERN_NOTIFICATION_PARTS_H
#define TERN_NOTIFICATION_PARTS_H

#include "notification/app.h"

#define EXIT_SETTINGS 2

/* Main thread. The process's exit code; what went wrong was said on stderr in one sentence. */
int parts_run(struct app *app, const struct config_result *result);

#endif
