/*
 * auth - who a token says its bearer is.
 *
 * Verification is a library's; the policy is ours: algorithm pinned by the key that is used (HS256
 * with the secret; RS256, ES256, EdDSA with keys of a JWKS file or URL), exp required, nbf, iss and
 * aud checked, leeway 30 s. Keys are a frozen, refcounted set that a background thread replaces;
 * verification runs on any thread and does not block.
 *
 * The library is rhonabwy: of Debian's three it alone knows both JWKS and EdDSA (cjose has no
 * EdDSA, libjwt 1.10 no JWKS). It only checks signatures and makes keys. Which token may ask for
 * what is decided before it sees one (token.h), and its two known weak spots are closed: it
 * compares MACs with strcmp (CVE-2024-25714), so ours is compared first, in constant time; and it
 * can follow a header's jwk, jku, x5u, x5c and zip, so tokens that have one are refused unread.
 */
#ifndef TERN_AUTH_AUTH_H
#define TERN_AUTH_AUTH_H

#include "base/config.h"
#include "base/slice.h"

struct auth;

struct auth_settings {
#define CONFIG(type, field, ...) CONFIG_FIELD_##type(field)
#include "auth/settings.def"
};
extern const struct config_row auth_settings_rows[];
extern const size_t auth_settings_count;

enum auth_failure { /* order = labels of auth_failures */
        AUTH_MISSING,
        AUTH_MALFORMED,
        AUTH_ALGORITHM,
        AUTH_SIGNATURE,
        AUTH_EXPIRED,
        AUTH_NOT_YET,
        AUTH_ISSUER,
        AUTH_AUDIENCE,
        AUTH_KEY,
        AUTH_SUBJECT,
        AUTH_SCOPE,
        AUTH_REVOKED,
};
const char *auth_failure_text(enum auth_failure f);

struct identity {
        char sub[129];                 /* user id: 1 to 128 of [A-Za-z0-9._~@:|-] */
        int64_t issued_ms, expires_ms; /* wall; expires 0 = never (TERN_AUTH=off) */
        char *scope;                   /* owned: space-separated, "" if none */
        char *topics;                  /* owned: space-separated topics claim, "" if none */
        char *name;                    /* owned: display name claim or "" */
        bool stream_only;              /* aud was "stream": good for the event stream only */
};
void identity_done(struct identity *id);
bool identity_has_scope(const struct identity *id, const char *scope);

/* 0, or -errno with fault naming the setting. s is borrowed until free. Starts the refresher if a
 * JWKS file or URL is set. */
MUST_CHECK int auth_new(const struct auth_settings *s, struct auth **ret, char fault[256]);
struct auth *auth_free(struct auth *a);
bool auth_off(const struct auth *a); /* TERN_AUTH=off */
/* False until there is a key: a JWKS URL that has not answered yet is no reason not to start, but
 * one not to be ready. Any thread. */
bool auth_ready(const struct auth *a);
/* Any thread. 0 with *ret filled (identity_done() it), or -EACCES with the reason. */
MUST_CHECK int auth_verify(struct auth *a, struct slice token, int64_t now_wall_ms,
        struct identity *ret, enum auth_failure *ret_failure);
/* TERN_AUTH=off: an identity for this user id (invalid or empty: a fresh guest name). It has no
 * scopes. */
void auth_guest(struct auth *a, struct slice user, struct identity *ret);
/* The token of "Bearer x", or none. */
struct slice auth_bearer(struct slice authorization);
/* Signs for ternctl and tests: HS256 with the secret. Owned by the caller, or NULL if there is no
 * secret. */
char *auth_sign_hs256(const char *secret, const char *claims_json);

#endif
