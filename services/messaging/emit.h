/*
 * emit - what a tern.emit record says besides its arguments: binary attachments, whom it leaves out, and the namespace
 * that it is for. Taken apart once for each record that somebody here wants, not once for each socket.
 *
 * `except` names users (`ada` or `user:ada`), sockets by their sid, and rooms (`conversation:<id>`: who follows that, too).
 *
 * Owner: the shard's loop thread.
 */
#ifndef TERN_MESSAGING_EMIT_H
#define TERN_MESSAGING_EMIT_H

#include "base/map.h"
#include "proto/event.h"

struct session;

struct emit {
        struct slice attachments[EVENT_ATTACHMENTS_MAX]; /* in bytes */
        size_t attachment_count;
        struct buf bytes;
        struct map except; /* users and sids, in names */
        struct buf names;
        struct buf rooms; /* conversation ids, each with a NUL */
        struct slice nsp; /* borrowed from the event; "/" if it names none */
};

/* e, a tern.emit, must stay until the next load or emit_reset(). */
void emit_load(struct emit *m, const struct event *e);
/* Forgets the record; keeps the memory. */
void emit_reset(struct emit *m);
void emit_done(struct emit *m);
/* Whether a socket that follows the room gets it. */
bool emit_is_for(const struct emit *m, struct session *s);

#endif
