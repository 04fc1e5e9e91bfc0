/*
 * token - what stands in a JSON Web Token: taken apart, and its claims judged.
 *
 * The order matters: the header is looked at to choose a key, and the payload only after the
 * signature was right. Everything that could be read in two ways is refused: duplicate members, in
 * the header and among the claims, other base64 than base64url without padding, numbers that are
 * none.
 *
 * Pure; any thread.
 */
#ifndef TERN_AUTH_TOKEN_H
#define TERN_AUTH_TOKEN_H

#include "auth/auth.h"
#include "auth/keys.h"

#define TOKEN_BYTES_MAX 8192

struct token_header {
        enum key_algorithm alg;
        char kid[257]; /* "" = none */
};

/* 0, or -EACCES with the reason. ret_payload borrows from token: still base64url. */
MUST_CHECK int token_open(struct slice token, struct token_header *ret, struct slice *ret_payload,
        enum auth_failure *ret_failure);
/* Fills ret (identity_done() it) from a payload whose signature was right, or -EACCES with the
 * reason. */
MUST_CHECK int token_claims(const struct auth_settings *s, struct slice payload,
        int64_t now_wall_ms, struct identity *ret, enum auth_failure *ret_failure);
/* 1 to 128 of [A-Za-z0-9._~@:|-]. */
bool token_subject_valid(struct slice sub);

#endif
