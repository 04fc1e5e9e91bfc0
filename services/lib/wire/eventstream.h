/*
 * eventstream - Server-Sent Events as bytes (HTML 9.2): blocks, comments, retry.
 *
 * A value never escapes from its field: data is split at CR, LF and CRLF into lines of its own, and
 * what would end a line in id or event is left out. Data lines are always written with the space
 * after the colon, or a leading space of the data would be lost. Pure; all append.
 */
#ifndef TERN_WIRE_EVENTSTREAM_H
#define TERN_WIRE_EVENTSTREAM_H

#include "base/buf.h"
#include "base/slice.h"

/* One block with its blank line. event empty: a message event. id empty: none. data.p NULL: no data
 * line, the block only moves the id. */
void eventstream_block(struct buf *out, struct slice event, struct slice id, struct slice data);
void eventstream_comment(struct buf *out, const char *text);
/* A block of its own: "retry: N" and the blank line. */
void eventstream_retry(struct buf *out, uint32_t ms);

#endif
