/*
 * namespaces - the Socket.IO namespaces that the gateway serves, and who may enter them.
 *
 * `/` is always among them and has the index 0: it is everybody's, and chat's events live in it. Any other needs the scope
 * nsp:<name> in the token (or nsp:* for all), as nsp:/admin; with TERN_AUTH=off it is everybody's too. Rooms, the user's own room,
 * emits and recovery work alike in all of them.
 *
 * Frozen after main has read the settings.
 */
#ifndef TERN_MESSAGING_NAMESPACES_H
#define TERN_MESSAGING_NAMESPACES_H

#include "base/buf.h"

#define NAMESPACES_MAX 64

struct identity;

struct namespaces {
        struct slice names[NAMESPACES_MAX]; /* borrowed from the setting */
        size_t count;
};

/* list, as in "/,/admin", must stay. What is wrong with it is appended to faults, a line each. */
void namespaces_read(struct namespaces *n, const char *list, struct buf *faults);
/* The index of a served one. */
unsigned namespaces_index(const struct namespaces *n, struct slice name);
/* Whether a token's scopes let its user in. */
bool namespaces_admit(const struct identity *id, struct slice name);

#endif
