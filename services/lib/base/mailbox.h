/*
 * mailbox - the one door between threads.
 *
 * A message embeds struct mail as its first duty and belongs to the box from mailbox_post() until
 * the owner takes it. Posting appends under a mutex and wakes the owner only when the box was
 * empty; the owner takes the whole list at once and runs it without the lock.
 *
 * A shard wires wake to uv_async_send; a plain thread blocks in mailbox_wait().
 */
#ifndef TERN_BASE_MAILBOX_H
#define TERN_BASE_MAILBOX_H

#include "base/check.h"
#include "base/list.h"
#include <stdbool.h>
#include <stdint.h>

struct mail {
        struct list link;
        /* Runs on the owner's thread; the message is its to free. */
        void (*run)(struct mail *m);
};

struct mailbox; /* opaque: mutex, list, wake */

/* wake may be NULL (the owner waits with mailbox_wait). wake runs on the poster's thread, under the
 * box's lock: it may not post. */
struct mailbox *mailbox_new(void (*wake)(void *arg), void *arg);
/* The box must be empty and closed. NULL is fine; returns NULL. */
struct mailbox *mailbox_free(struct mailbox *mb);
/* Any thread. False if the box is closed: the message is still the caller's. */
MUST_CHECK bool mailbox_post(struct mailbox *mb, struct mail *m);
/* Owner: takes all and runs each in order; returns how many. */
size_t mailbox_run(struct mailbox *mb);
/* Owner, for plain threads: waits until a message is there, the box is closed, or timeout_ms (-1
 * for ever) passed; then runs all. False once closed and empty. */
bool mailbox_wait(struct mailbox *mb, int timeout_ms);
/* As above, but takes one message only, and leaves it to the caller to run: for pools in which several threads wait on
 * one box. *ret is NULL if none came. */
bool mailbox_take_one(struct mailbox *mb, int timeout_ms, struct mail **ret);
/* No post succeeds afterwards. */
void mailbox_close(struct mailbox *mb);
/* Messages waiting; a glance, for gauges. */
size_t mailbox_len(struct mailbox *mb);

#endif
