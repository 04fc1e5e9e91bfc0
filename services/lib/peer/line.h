/*
 * line - what a gateway says first when it brings a client's request to the owner of its session:
 *
 *     TERN1 <sid> <client address> <time> <nonce> <mac>\n
 *
 * Fields are separated by one blank: the sid as in the request, the address of the client's socket
 * as numbers or "-", the sender's clock in ms since 1970, 16 random bytes and the HMAC-SHA256 over
 * all before it, both in base64url. The untouched bytes of the client follow. Whoever can write a
 * line may name any client address, so the key is what stands between the internal port and a
 * forger; a line that was overheard is good for no other session's owner, not after the window, and
 * not a second time (peer/seen.h).
 */
#ifndef TERN_PEER_LINE_H
#define TERN_PEER_LINE_H

#include "peer/key.h"

#define PEER_LINE_MAX 256 /* bytes with the line feed */
#define PEER_SID_MAX 63
#define PEER_ADDR_MAX 45
#define PEER_NONCE_BYTES 16

struct peer_line {
        char sid[PEER_SID_MAX + 1];          /* base64url characters, at least one */
        char client_addr[PEER_ADDR_MAX + 1]; /* numeric, or "" */
        int64_t time_ms;                     /* wall clock */
        uint8_t nonce[PEER_NONCE_BYTES];
};

enum peer_verdict {
        PEER_ACCEPTED,
        PEER_MALFORMED,
        PEER_WRONG_KEY,
        PEER_STALE, /* outside the window, early or late */
};

/* Draws a nonce and writes the line with its line feed, no NUL; returns its length, or 0 if a field
 * cannot stand in a line. */
size_t peer_line_write(const struct peer_keys *keys, struct slice sid, struct slice client_addr,
        int64_t time_ms, char ret[PEER_LINE_MAX]);
/* text: with or without its line feed. *ret is written if the verdict is PEER_ACCEPTED only. */
enum peer_verdict peer_line_read(const struct peer_keys *keys, struct slice text, int64_t now_ms,
        uint32_t window_ms, struct peer_line *ret);

#endif
