/*
 * cursor - a place in the log as text: what a client keeps and shows when it comes back.
 *
 * Socket.IO: base64url of a version byte, the epoch and the next offsets of all slots as varints;
 * about 110 characters for 16 partitions. Event streams: "1.<epoch>.<offset>.<epoch>.<offset>", the
 * user's partition of notifications and broadcasts; short and of characters that need no CORS
 * preflight. A cursor grants nothing, and parsing is strict: one value has one text. Pure.
 */
#ifndef TERN_WIRE_CURSOR_H
#define TERN_WIRE_CURSOR_H

#include "base/check.h"
#include "base/slice.h"

#define CURSOR_SLOTS_MAX 128
#define CURSOR_TEXT_MAX 1024 /* of CURSOR_SLOTS_MAX slots; no NUL */
#define CURSOR_OFFSET_MAX ((INT64_C(1) << 40) - 1)
#define CURSOR_EPOCH_MAX 8191 /* so that epoch * 2^40 + offset is exact in JavaScript */

/* dst holds CURSOR_TEXT_MAX bytes. Returns the length. */
size_t cursor_encode(uint32_t epoch, const int64_t *vector, size_t slots, char *dst);
/* 0, or -EINVAL. ret_vector holds slots values. */
MUST_CHECK int cursor_parse(
        struct slice text, size_t slots, uint32_t *ret_epoch, int64_t *ret_vector);

/* dst holds 128 bytes. Returns the length. */
size_t cursor_sse_encode(const uint32_t epoch[2], const int64_t offset[2], char *dst);
MUST_CHECK int cursor_sse_parse(struct slice text, uint32_t ret_epoch[2], int64_t ret_offset[2]);

#endif
