/*
 * frames - shared messages of Engine.IO: the bytes for a WebSocket and for a long-poll side by
 * side, encoded once.
 *
 * Text lies in the message once: its polling form is its WebSocket form without the frame's header.
 * A binary message is raw in its frame and base64 in a payload, so it is stored twice.
 */
#ifndef TERN_REALTIME_FRAMES_H
#define TERN_REALTIME_FRAMES_H

#include "fanout/msg.h"

/* text is a whole packet, type character included; then count binary messages, in order, all or
 * none of them received. */
struct msg *frame_packet(struct slice text, const struct slice *binary, size_t count);
/* One binary message. */
struct msg *frame_binary(struct slice bytes);
/* Bytes for the WebSocket only (a control frame). */
struct msg *frame_raw(struct slice bytes);

#endif
