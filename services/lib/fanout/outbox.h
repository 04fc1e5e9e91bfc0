/*
 * outbox - the bounded queue between the fan-out core and one client.
 *
 * It holds references to frozen messages, never copies. What is being written has already left the
 * outbox's front or is marked partly written, so dropping never cuts a frame in half. Answers to the
 * client's own requests are never dropped; events of the log are, at the bound (see subscriber_lagged).
 *
 * Small while empty: a pointer and three counters. Owner: the loop thread of its shard.
 */
#ifndef TERN_FANOUT_OUTBOX_H
#define TERN_FANOUT_OUTBOX_H

#include "fanout/msg.h"

struct outbox {
        struct msg **ring; /* owned; NULL while empty */
        uint32_t head, count, cap;
        uint32_t bytes;     /* unsent, ws form */
        uint32_t front_off; /* bytes of the front message already written (ws form) */
};

static inline void outbox_init(struct outbox *ob)
{
        *ob = (struct outbox){0};
}
void outbox_done(struct outbox *ob);
/* Takes a reference of its own; never refuses: the caller compares ob->bytes with its bound first. */
void outbox_push(struct outbox *ob, struct msg *m);
/* Lends the i-th message from the front, NULL beyond the end. */
struct msg *outbox_peek(const struct outbox *ob, uint32_t i);
/* n bytes (ws form) were written: releases what is done. */
void outbox_wrote(struct outbox *ob, size_t n);
/* Moves the front reference out (polling takes whole messages); NULL when empty. front_off must be 0. */
struct msg *outbox_take(struct outbox *ob);
/* Drops every MSG_EVENT and MSG_VOLATILE message that is not partly written. Returns one reference
 * to the oldest dropped MSG_EVENT, or NULL if there was none. */
struct msg *outbox_drop_events(struct outbox *ob);

#endif
