/*
 * place - where the owner of a session listens for other gateways, sealed into the session's id.
 *
 * A client carries the place, so it must neither make nor change one, nor move it to another
 * session: the text is bound by a MAC to the id that it follows, and masked, so that no client
 * learns the addresses of a private network.
 */
#ifndef TERN_PEER_PLACE_H
#define TERN_PEER_PLACE_H

#include "peer/key.h"

struct peer_place {
        uint8_t addr_n; /* 4 or 16; 0 = none */
        uint8_t addr[16];
        uint16_t port;
};

#define PEER_PLACE_TEXT_V4 24
#define PEER_PLACE_TEXT_V6 40
#define PEER_PLACE_TEXT_MAX PEER_PLACE_TEXT_V6

/* False if address is not numeric or the port is none. An IPv4 address mapped into IPv6 is IPv4. */
bool peer_place_parse(const char *address, uint32_t port, struct peer_place *ret);
bool peer_place_equal(const struct peer_place *a, const struct peer_place *b);
/* Writes base64url without NUL; returns its length. owner: at most 64 bytes. */
size_t peer_place_seal(const struct peer_keys *keys, struct slice owner,
        const struct peer_place *place, char ret[PEER_PLACE_TEXT_MAX]);
/* False unless one of the keys sealed text for this owner; then nothing is written. */
bool peer_place_open(const struct peer_keys *keys, struct slice owner, struct slice text,
        struct peer_place *ret);

#endif
