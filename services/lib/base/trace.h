/*
 * trace - the W3C header `traceparent`, as far as it is passed on: 00-<trace id>-<parent id>-<flags>.
 *
 * Tern makes no spans of its own. It carries the header from the request, or the event, through the record to whoever
 * reads it, and names the trace in its log lines, so that a trace's tool finds them.
 */
#ifndef TERN_BASE_TRACE_H
#define TERN_BASE_TRACE_H

#include "base/slice.h"

#define TRACE_TEXT 56 /* of version 00, with a NUL */
#define TRACE_MAX 128 /* a later version may be longer */

/* Whether it may be passed on: lower case hexadecimal, a known length for version 00, ids that are not zero, not version ff. */
bool trace_valid(struct slice traceparent);
/* Copies it NUL-terminated if it is valid and of this length, else "". */
void trace_copy(struct slice traceparent, char ret[TRACE_TEXT]);
/* The 32 digits of its trace id; n 0 if it is not valid. */
struct slice trace_id(struct slice traceparent);

#endif
