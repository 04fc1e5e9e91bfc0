/*
 * handover - a socket leaves civetweb.
 *
 * After http_handover_take() civetweb has forgotten the descriptor: the taker owns and closes it.
 * Plain data: any library may carry it to a shard. Bytes that had been read past the head would
 * come along as rest; in fact none ever are (see server.h), and they are still in the kernel: read
 * at once, an edge-triggered poll may have nothing new to tell.
 */
#ifndef TERN_HTTP_HANDOVER_H
#define TERN_HTTP_HANDOVER_H

#include "base/slice.h"

struct http_handover {
        int fd;     /* owned until moved (set to -1 by who moves it) */
        char *rest; /* owned: bytes after the head, or NULL */
        size_t rest_n;
        bool keep_alive; /* the client may send another request on it */
        bool websocket;  /* the 101 has been sent */
        char client_addr[64];
        int64_t accepted_mono_ms;
};

/* Closes what is still owned. */
void http_handover_done(struct http_handover *ho);

#endif
