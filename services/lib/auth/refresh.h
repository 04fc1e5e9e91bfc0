/*
 * refresh - the thread that keeps the key set fresh.
 *
 * It looks at the JWKS file and URL every jwks_refresh_ms, sooner after a failure and when a token
 * names a key that nobody knows (at most every 10 s: unknown names are cheap to invent). A source
 * that fails keeps its last good keys. The new set replaces the old one in one step; whoever
 * verifies with the old one finishes with it.
 */
#ifndef TERN_AUTH_REFRESH_H
#define TERN_AUTH_REFRESH_H

#include "auth/auth.h"
#include "auth/keys.h"

struct refresh;

/* Loads the file (a fault if that fails) and starts the thread if there is a file or a URL. s is
 * borrowed until free. */
MUST_CHECK int refresh_new(const struct auth_settings *s, struct refresh **ret, char fault[256]);
struct refresh *refresh_free(struct refresh *rf);
/* A reference to the keys of now. Any thread. */
struct key_set *refresh_keys(struct refresh *rf);
/* A key was asked for that is not there. Any thread; returns at once. */
void refresh_hint(struct refresh *rf);

/* ---- fetch.c ---- */

/* The body of a GET, at most 256 KB within 5 s, no redirects. 0 or -EIO; ret may hold part of it on
 * failure. Stops early once *stop is set. */
MUST_CHECK int fetch_url(const char *url, const _Atomic(bool) *stop, struct buf *ret);

#endif
