/*
 * digest - SHA-256, for ids that are derived from what they name and for keys that must not tell
 * what they stand for.
 *
 * The only place outside of http and auth that knows the crypto library. Any thread.
 */
#ifndef TERN_PROTO_DIGEST_H
#define TERN_PROTO_DIGEST_H

#include "base/slice.h"

#define DIGEST_BYTES 32

void digest_sha256(struct slice s, uint8_t ret[DIGEST_BYTES]);

#endif
