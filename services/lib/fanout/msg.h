/*
 * msg - one encoded message: frozen, refcounted, shared by every client that receives it.
 *
 * A message is encoded once. It carries the bytes for a WebSocket (frames with their headers) and
 * for a long-poll (Engine.IO packets joined by \x1e); for text they overlap, so nothing is stored
 * twice. An event-stream block uses the first form only.
 *
 * Immutable once made; any thread may hold references.
 */
#ifndef TERN_FANOUT_MSG_H
#define TERN_FANOUT_MSG_H

#include "base/check.h"
#include "base/slice.h"
#include <stdatomic.h>

enum {
        MSG_EVENT =
                1, /* comes from the log: may be dropped from an outbox, its cursor brings it back */
        MSG_VOLATILE = 2, /* may be dropped and is not owed to anybody */
};

struct msg {
        atomic_uint refs;
        uint32_t flags;
        uint32_t ws_n;            /* bytes[0, ws_n): as written to a WebSocket or an event stream */
        uint32_t poll_at, poll_n; /* bytes[poll_at, +poll_n): as one piece of a polling payload */
        uint32_t cursor_at, cursor_n; /* the cursor text inside bytes; cursor_n 0 = none */
        /* Place of the record in the log, for an outbox that is dropped (MSG_EVENT only). */
        int32_t slot; /* -1 = none */
        int64_t offset;
        int64_t *place; /* owned, fanout's: the vector of its cursor as seqs; NULL = none */
        char bytes[];
};

/* n bytes of room, one reference, all else zero, slot -1. The maker fills it before it shares it. */
struct msg *msg_new(size_t n);
static inline struct msg *msg_ref(struct msg *m)
{
        atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
        return m;
}
/* NULL is fine; returns NULL. */
struct msg *msg_unref(struct msg *m);

#endif
