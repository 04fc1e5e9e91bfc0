/*
 * attachments - a binary Socket.IO packet while its attachments come in.
 *
 * An assembly exists only between the header and the last attachment, so an idle connection pays
 * nothing. There is at most one on a connection, whatever the namespace: a text packet while it
 * exists, and an attachment while there is none, are parse errors that the caller decides by
 * looking whether it has one. Engine.IO's ping and pong may come in between. Bounded by the
 * announced count (sio_decode() has checked it) and by bytes.
 *
 * Owner: the thread of its connection.
 */
#ifndef TERN_WIRE_ATTACHMENTS_H
#define TERN_WIRE_ATTACHMENTS_H

#include "base/check.h"
#include "wire/socketio.h"

struct sio_assembly; /* opaque */

/* p: a binary packet from sio_decode(); its texts are copied. bytes_max bounds header and
 * attachments together. 0; -EINVAL if a placeholder names no attachment ("illegal attachments":
 * close); -EMSGSIZE. */
MUST_CHECK int sio_assembly_new(
        const struct sio_packet *p, size_t bytes_max, struct sio_assembly **ret);
/* NULL is fine; returns NULL. */
struct sio_assembly *sio_assembly_free(struct sio_assembly *a);
/* One attachment, copied; it may be empty. 1 if it was the last, 0 if more are to come, -EMSGSIZE
 * at the bound. */
MUST_CHECK int sio_assembly_add(struct sio_assembly *a, struct slice bytes);
/* Of a finished one, borrowed from it: the packet, and its p->attachments attachments in order. */
const struct sio_packet *sio_assembly_packet(const struct sio_assembly *a);
const struct slice *sio_assembly_attachments(const struct sio_assembly *a);

#endif
