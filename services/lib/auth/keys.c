#include "auth/keys.h"

#include "base/hash.h"
#include "base/jsonscan.h"
#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <pthread.h>
#include <rhonabwy.h>
#include <stdatomic.h>

/* rhonabwy.h brings jansson's macros of the same names; here they are base's. */
#undef json_is_array
#undef json_is_object
#undef json_is_string

#define KEYS_MAX 64
#define KID_BYTES_MAX 256
#define PROPERTY_BYTES_MAX 1400  /* base64url of an 8192-bit modulus */
#define RSA_MODULUS_TEXT_MIN 342 /* of a 2048-bit one */
#define ANONYMOUS_TRIES_MAX 4    /* keys that are tried for a token that names none */
#define HS256_BYTES 32

struct key {
        enum key_algorithm alg;
        char *kid;    /* owned; NULL = none */
        jwk_t *jwk;   /* owned */
        char *secret; /* owned; HS256 only */
};

struct key_set {
        atomic_uint refs;
        size_t n;
        struct key keys[KEYS_MAX];
};

static void init_once(void)
{
        CHECK(r_global_init() == RHN_OK);
}

void key_library_init(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        pthread_once(&once, init_once);
}

bool key_algorithm_of(struct slice name, enum key_algorithm *ret)
{
        static const char *const names[] = {[KEY_HS256] = "HS256",
                [KEY_RS256] = "RS256",
                [KEY_ES256] = "ES256",
                [KEY_EDDSA] = "EdDSA"};
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                if (slice_is(name, names[i])) {
                        *ret = (enum key_algorithm)i;
                        return true;
                }
        }
        return false;
}

static void add_secret(struct key_set *ks, const char *secret)
{
        if (!secret || !secret[0])
                return;
        struct key k = {.alg = KEY_HS256, .secret = xstrdup(secret)};
        CHECK(r_jwk_init(&k.jwk) == RHN_OK);
        CHECK(r_jwk_import_from_symmetric_key(
                      k.jwk, (const unsigned char *)secret, strlen(secret)) == RHN_OK);
        ks->keys[ks->n++] = k;
}

struct key_set *key_set_new(const char *secret, const char *previous_secret)
{
        key_library_init();
        struct key_set *ks = xcalloc(1, sizeof(*ks));
        atomic_init(&ks->refs, 1);
        add_secret(ks, secret);
        add_secret(ks, previous_secret);
        return ks;
}

struct key_set *key_set_ref(struct key_set *ks)
{
        atomic_fetch_add_explicit(&ks->refs, 1, memory_order_relaxed);
        return ks;
}

struct key_set *key_set_unref(struct key_set *ks)
{
        if (!ks || atomic_fetch_sub_explicit(&ks->refs, 1, memory_order_acq_rel) != 1)
                return NULL;
        for (size_t i = 0; i < ks->n; i++) {
                free(ks->keys[i].kid);
                r_jwk_free(ks->keys[i].jwk);
                if (ks->keys[i].secret)
                        explicit_bzero(ks->keys[i].secret, strlen(ks->keys[i].secret));
                free(ks->keys[i].secret);
        }
        free(ks);
        return NULL;
}

size_t key_set_count(const struct key_set *ks)
{
        return ks->n;
}

/* ---- JWKS ---- */

/* A string member, decoded and NUL-terminated; the caller frees. NULL if it is absent, no string,
 * empty, too long, or holds a NUL. */
static char *text_of(struct slice object, const char *name, size_t bytes_max)
{
        struct slice v;
        struct buf b = BUF_EMPTY;
        if (!json_member(object, name, &v) || !json_decode_string(v, &b) || b.n == 0 ||
                b.n > bytes_max || memchr(b.p, '\0', b.n)) {
                buf_done(&b);
                return NULL;
        }
        return buf_take(&b, NULL);
}

static bool text_is(struct slice object, const char *name, const char *want, bool if_absent)
{
        struct slice v;
        if (!json_member(object, name, &v))
                return if_absent;
        char *text = text_of(object, name, 64);
        bool same = text && strcmp(text, want) == 0;
        free(text);
        return same;
}

static bool copy_property(jwk_t *jwk, struct slice object, const char *name, size_t bytes_min)
{
        char *text = text_of(object, name, PROPERTY_BYTES_MAX);
        bool ok = text && strlen(text) >= bytes_min &&
                  r_jwk_set_property_str(jwk, name, text) == RHN_OK;
        free(text);
        return ok;
}

struct key_kind {
        const char *kty, *crv, *alg;
        enum key_algorithm algorithm;
        int type; /* what the library has to make of it */
        const char *properties[2];
        size_t bytes_min;
};

static const struct key_kind kinds[] = {
        {"RSA", NULL, "RS256", KEY_RS256, R_KEY_TYPE_RSA, {"n", "e"}, RSA_MODULUS_TEXT_MIN},
        {"EC", "P-256", "ES256", KEY_ES256, R_KEY_TYPE_EC, {"x", "y"}, 1},
        {"OKP", "Ed25519", "EdDSA", KEY_EDDSA, R_KEY_TYPE_EDDSA, {"x", NULL}, 1},
};

static const struct key_kind *kind_of(struct slice object)
{
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                const struct key_kind *k = &kinds[i];
                if (text_is(object, "kty", k->kty, false) &&
                        (!k->crv || text_is(object, "crv", k->crv, false)) &&
                        text_is(object, "alg", k->alg, true) && text_is(object, "use", "sig", true))
                        return k;
        }
        return NULL;
}

/* The library reads it as a public key of the type that we expect. */
static bool key_works(jwk_t *jwk, const struct key_kind *kind)
{
        int type = r_jwk_key_type(jwk, NULL, R_FLAG_IGNORE_REMOTE);
        if (!(type & kind->type) || !(type & R_KEY_TYPE_PUBLIC))
                return false;
        gnutls_pubkey_t pub = r_jwk_export_to_gnutls_pubkey(jwk, R_FLAG_IGNORE_REMOTE);
        if (!pub)
                return false;
        gnutls_pubkey_deinit(pub);
        return true;
}

static bool add_jwk(struct key_set *ks, struct slice object)
{
        const struct key_kind *kind = json_is_object(object) ? kind_of(object) : NULL;
        if (!kind || ks->n == KEYS_MAX)
                return false;
        struct key k = {.alg = kind->algorithm};
        CHECK(r_jwk_init(&k.jwk) == RHN_OK);
        bool ok = r_jwk_set_property_str(k.jwk, "kty", kind->kty) == RHN_OK;
        if (kind->crv)
                ok = ok && r_jwk_set_property_str(k.jwk, "crv", kind->crv) == RHN_OK;
        ok = ok && copy_property(k.jwk, object, kind->properties[0], kind->bytes_min);
        if (kind->properties[1])
                ok = ok && copy_property(k.jwk, object, kind->properties[1], 1);
        if (!ok || !key_works(k.jwk, kind)) {
                r_jwk_free(k.jwk);
                return false;
        }
        k.kid = text_of(object, "kid", KID_BYTES_MAX);
        ks->keys[ks->n++] = k;
        return true;
}

int key_set_add_jwks(struct key_set *ks, struct slice json)
{
        struct slice keys, object;
        if (!json_check(json, 16, JSON_NO_NUL) || !json_member(json, "keys", &keys) ||
                !json_is_array(keys))
                return -EINVAL;
        int added = 0;
        while (json_next(&keys, &object))
                added += add_jwk(ks, object) ? 1 : 0;
        return added;
}

/* ---- verification ---- */

/* Our own comparison before the library's: it compares the texts of two MACs with strcmp
 * (CVE-2024-25714), whose time tells how much of a forged one is right. A token that gets past this
 * has the right MAC, so there is nothing left to learn. */
static bool mac_matches(const struct key *k, struct slice token)
{
        const char *dot = memrchr(token.p, '.', token.n);
        size_t signed_n = (size_t)(dot - token.p);
        uint8_t want[HS256_BYTES], have[HS256_BYTES];
        if (base64url_decode(slice_from(token, signed_n + 1), have, sizeof(have)) != HS256_BYTES)
                return false;
        if (gnutls_hmac_fast(
                    GNUTLS_MAC_SHA256, k->secret, strlen(k->secret), token.p, signed_n, want) != 0)
                return false;
        return gnutls_memcmp(want, have, sizeof(want)) == 0;
}

static bool signed_by(const struct key *k, jws_t *jws, struct slice token)
{
        if (k->alg == KEY_HS256 && !mac_matches(k, token))
                return false;
        return r_jws_verify_signature(jws, k->jwk, R_FLAG_IGNORE_REMOTE) == RHN_OK;
}

static bool has_kid(const struct key *k, struct slice kid)
{
        return k->kid && slice_is(kid, k->kid);
}

static int try_keys(const struct key_set *ks, enum key_algorithm alg, struct slice kid, jws_t *jws,
        struct slice token)
{
        int r = -ENOKEY;
        unsigned tries = 0;
        /* A secret has no id of its own: whatever kid a HS256 token names is its issuer's business. */
        bool by_kid = alg != KEY_HS256 && kid.n > 0;
        for (size_t i = 0; i < ks->n; i++) {
                const struct key *k = &ks->keys[i];
                if (by_kid && !has_kid(k, kid))
                        continue;
                if (k->alg != alg) {
                        if (by_kid && r == -ENOKEY)
                                r = -EPERM;
                        continue;
                }
                if (tries++ == ANONYMOUS_TRIES_MAX)
                        break;
                if (signed_by(k, jws, token))
                        return 0;
                r = -EACCES;
        }
        return r;
}

int key_set_verify(
        const struct key_set *ks, enum key_algorithm alg, struct slice kid, struct slice token)
{
        jws_t *jws = NULL;
        if (r_jws_init(&jws) != RHN_OK)
                return -EACCES;
        int r = -EACCES;
        /* R_PARSE_NONE: keys that the header brings along are not even read, nor is an unsigned
         * token taken. */
        if (r_jws_advanced_compact_parsen(
                    jws, token.p, token.n, R_PARSE_NONE, R_FLAG_IGNORE_REMOTE) == RHN_OK)
                r = try_keys(ks, alg, kid, jws, token);
        r_jws_free(jws);
        return r;
}
