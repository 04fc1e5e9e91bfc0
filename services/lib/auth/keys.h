/*
 * keys - a frozen set of verification keys, and one signature check against it.
 *
 * Each key is for exactly one algorithm: that is the pin. HS256 uses our own secrets and nothing
 * else, so a public key can never be taken for a secret; JWKS entries become keys of the algorithm
 * that their type implies, stripped of everything that the library could follow (x5u, x5c) and of
 * private parts. Symmetric entries of a JWKS are ignored.
 *
 * A set is immutable and refcounted; any thread verifies with a reference of its own, without a
 * lock.
 */
#ifndef TERN_AUTH_KEYS_H
#define TERN_AUTH_KEYS_H

#include "base/buf.h"
#include "base/slice.h"

enum key_algorithm { KEY_HS256, KEY_RS256, KEY_ES256, KEY_EDDSA };

struct key_set;

/* Starts a set with one reference; secrets may be NULL or "". */
struct key_set *key_set_new(const char *secret, const char *previous_secret);
/* Adds the usable keys of a JWKS. Their number, or -EINVAL if it is no JWKS. Before the set is
 * shared. */
MUST_CHECK int key_set_add_jwks(struct key_set *ks, struct slice json);
struct key_set *key_set_ref(struct key_set *ks);
/* NULL is fine; returns NULL. */
struct key_set *key_set_unref(struct key_set *ks);
size_t key_set_count(const struct key_set *ks);
/* "HS256" and so on; false for every other name, in whatever case. */
bool key_algorithm_of(struct slice name, enum key_algorithm *ret);
/* token: the compact form; kid: n 0 if it names none. 0 if a key of that algorithm (and kid) signed
 * it, -ENOKEY if there is none, -EPERM if there is one with this kid for another algorithm, -EACCES
 * if the signature is wrong. */
MUST_CHECK int key_set_verify(
        const struct key_set *ks, enum key_algorithm alg, struct slice kid, struct slice token);
/* The library's set-up, once per process. */
void key_library_init(void);

#endif
