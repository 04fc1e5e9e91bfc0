/*
 * ws - the server's side of WebSocket (RFC 6455) as a function of bytes: no sockets, no clock, no
 * callbacks.
 *
 * The owner hands in what it read and asks for one item after the other:
 *
 *     while ((kind = ws_next(pool, &w, &in, &item)) != WS_MORE)
 *             …WS_TEXT, WS_BINARY: item.payload; whatever item.reply holds is to be written as it is
 *
 * Frames are parsed by wslay; whole messages come out, checked: masks, opcodes, fragments, lengths,
 * UTF-8 (as soon as a byte is wrong), close codes. A length beyond the limit is refused when its
 * header is there, before anything is kept. Extensions are never negotiated, so reserved bits are
 * errors.
 *
 * An idle connection is 16 bytes here: parser and message memory are borrowed from the shard's pool
 * only while a frame or a message is incomplete, and the pool bounds the sum of them. Owner: one
 * thread for a pool and its connections.
 */
#ifndef TERN_NET_WS_H
#define TERN_NET_WS_H

#include "base/check.h"
#include "base/slice.h"

struct ws_pool;
struct ws_partial; /* private */

struct ws_limits {
        uint32_t message_bytes_max; /* of a whole message; above: 1009 */
        /* frames of one message; above: 1009 (a protocol's way to say "too much") */
        uint32_t fragments_max;
        /* all incomplete messages of the pool together; above: 1009 for who comes last. 0 = 64
         * MiB */
        uint64_t partial_bytes_max;
};

struct ws_pool *ws_pool_new(const struct ws_limits *limits);
/* Every ws of it must be done. NULL is fine; returns NULL. */
struct ws_pool *ws_pool_free(struct ws_pool *pool);
/* Bytes held for incomplete messages. */
uint64_t ws_pool_bytes(const struct ws_pool *pool);
/* Their bound. */
uint64_t ws_pool_bytes_max(const struct ws_pool *pool);

enum ws_state {
        WS_OPEN = 0,
        WS_CLOSE_SENT, /* ours is out: data is dropped, the peer's close is awaited */
        WS_OVER,       /* WS_CLOSE or WS_FAIL was returned: input is ignored */
};

struct ws {                         /* private; all zero is a fresh connection */
        struct ws_partial *partial; /* owned; NULL between messages */
        uint8_t state;              /* enum ws_state */
};

enum ws_kind {
        WS_MORE, /* nothing (more) in the input; it is used up */
        WS_TEXT, /* a whole message, valid UTF-8 */
        WS_BINARY,
        WS_PING, /* reply is the pong */
        WS_PONG,
        /* The peer's close: code (1005 = it gave none), payload = reason; reply is our close
         * frame, empty if ours is out already. Then close the connection. */
        WS_CLOSE,
        /* The peer broke a rule or a limit: code 1002, 1007 or 1009; reply is the close frame,
         * without reason. Write it, then close. */
        WS_FAIL,
};

#define WS_CONTROL_MAX 127 /* bytes of a control frame, header included */

struct ws_item {
        /* borrowed until the next ws_next() or ws_done() of any connection of this pool */
        struct slice payload;
        int code;
        struct slice reply; /* bytes to be written as they are, in reply_bytes; n 0 = none */
        char reply_bytes[WS_CONTROL_MAX];
};

/* Takes bytes from the front of *in and returns the next item. Call until WS_MORE. */
enum ws_kind ws_next(struct ws_pool *pool, struct ws *w, struct slice *in, struct ws_item *ret);
/* The owner has written a close frame of its own: from now on only WS_CLOSE and WS_FAIL are
 * returned. */
void ws_close_sent(struct ws *w);
/* True while a frame or a message is incomplete: who wants a deadline for it can ask after each
 * read. */
static inline bool ws_is_partial(const struct ws *w)
{
        return w->partial != NULL;
}
/* Gives everything back to the pool. */
void ws_done(struct ws_pool *pool, struct ws *w);

enum ws_opcode {
        WS_OP_TEXT = 1,
        WS_OP_BINARY = 2,
        WS_OP_CLOSE = 8,
        WS_OP_PING = 9,
        WS_OP_PONG = 10,
};

#define WS_HEADER_MAX 10
/* Writes the header of an unfragmented frame of a server with n bytes of payload; returns its
 * size, 2 to 10. */
size_t ws_frame_header(enum ws_opcode op, uint64_t n, char out[WS_HEADER_MAX]);
/* Writes a whole control frame; n is cut at 125 bytes (never with sense). Returns its size. */
size_t ws_control_frame(enum ws_opcode op, struct slice payload, char out[WS_CONTROL_MAX]);
/* Writes a close frame; code 1005 or 0 = without code, reason is left out then. Returns its
 * size. */
size_t ws_close_frame(int code, struct slice reason, char out[WS_CONTROL_MAX]);

/* UTF-8 as a state machine, for text that comes in pieces. */
struct utf8_check {
        uint32_t state; /* 0 = at a character's border */
};
/* False as soon as the bytes so far can be no prefix of valid UTF-8. */
bool utf8_check_feed(struct utf8_check *u, struct slice s);
static inline bool utf8_check_complete(const struct utf8_check *u)
{
        return u->state == 0;
}

#endif
