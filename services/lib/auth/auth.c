#include "auth/auth.h"

#include "auth/refresh.h"
#include "auth/token.h"
#include "base/hash.h"
#include <errno.h>
#include <rhonabwy.h>
#include <stdio.h>
#include <strings.h>

const struct config_row auth_settings_rows[] = {
#define CONFIG(type, field, ...) CONFIG_ROW(struct auth_settings, type, field, __VA_ARGS__)
#include "auth/settings.def"
};
const size_t auth_settings_count = ARRAY_LEN(auth_settings_rows);

struct auth {
        const struct auth_settings *s; /* borrowed until free */
        bool off;
        struct refresh *refresh; /* owned; NULL when off */
};

const char *auth_failure_text(enum auth_failure f)
{
        static const char *const texts[] = {
                [AUTH_MISSING] = "a token is needed",
                [AUTH_MALFORMED] = "the token is malformed",
                [AUTH_ALGORITHM] = "the token's algorithm is not accepted",
                [AUTH_SIGNATURE] = "the token's signature is wrong",
                [AUTH_EXPIRED] = "the token has expired",
                [AUTH_NOT_YET] = "the token is not valid yet",
                [AUTH_ISSUER] = "the token is from another issuer",
                [AUTH_AUDIENCE] = "the token is for another audience",
                [AUTH_KEY] = "the token's key is not known",
                [AUTH_SUBJECT] = "the token's subject is no user id",
                [AUTH_SCOPE] = "the token's scope does not allow this",
                [AUTH_REVOKED] = "the token has been revoked",
        };
        return texts[f];
}

void identity_done(struct identity *id)
{
        free(id->scope);
        free(id->topics);
        free(id->name);
        *id = (struct identity){0};
}

bool identity_has_scope(const struct identity *id, const char *scope)
{
        size_t n = strlen(scope);
        const char *at = id->scope;
        while (at && *at) {
                at += strspn(at, " ");
                size_t word = strcspn(at, " ");
                if (word == n && n > 0 && memcmp(at, scope, n) == 0)
                        return true;
                at += word;
        }
        return false;
}

static bool has_source(const struct auth_settings *s)
{
        const char *const sources[] = {s->hs256_secret, s->jwks_file, s->jwks_url};
        for (size_t i = 0; i < ARRAY_LEN(sources); i++)
                if (sources[i] && sources[i][0])
                        return true;
        return false;
}

int auth_new(const struct auth_settings *s, struct auth **ret, char fault[256])
{
        struct auth *a = xcalloc(1, sizeof(*a));
        a->s = s;
        a->off = s->auth && strcmp(s->auth, "off") == 0;
        int r = 0;
        if (!a->off && !has_source(s)) {
                snprintf(fault, 256,
                        "TERN_AUTH is on, so one of TERN_AUTH_HS256_SECRET_FILE, "
                        "TERN_AUTH_JWKS_FILE and TERN_AUTH_JWKS_URL has to be set");
                r = -EINVAL;
        } else if (!a->off) {
                r = refresh_new(s, &a->refresh, fault);
        }
        if (r < 0) {
                free(a);
                return r;
        }
        *ret = a;
        return 0;
}

struct auth *auth_free(struct auth *a)
{
        if (!a)
                return NULL;
        refresh_free(a->refresh);
        free(a);
        return NULL;
}

bool auth_off(const struct auth *a)
{
        return a->off;
}

bool auth_ready(const struct auth *a)
{
        if (a->off)
                return true;
        struct key_set *ks = refresh_keys(a->refresh);
        bool any = key_set_count(ks) > 0;
        key_set_unref(ks);
        return any;
}

static enum auth_failure failure_of(int r)
{
        return r == -ENOKEY ? AUTH_KEY : r == -EPERM ? AUTH_ALGORITHM : AUTH_SIGNATURE;
}

int auth_verify(struct auth *a, struct slice token, int64_t now_wall_ms, struct identity *ret,
        enum auth_failure *ret_failure)
{
        struct token_header header;
        struct slice payload;
        if (a->off) {
                *ret_failure = AUTH_KEY;
                return -EACCES;
        }
        int r = token_open(token, &header, &payload, ret_failure);
        if (r < 0)
                return r;
        struct key_set *ks = refresh_keys(a->refresh);
        r = key_set_verify(ks, header.alg, slice_str(header.kid), token);
        key_set_unref(ks);
        if (r < 0) {
                if (r == -ENOKEY)
                        refresh_hint(a->refresh);
                *ret_failure = failure_of(r);
                return -EACCES;
        }
        return token_claims(a->s, payload, now_wall_ms, ret, ret_failure);
}

void auth_guest(struct auth *a, struct slice user, struct identity *ret)
{
        UNUSED(a);
        *ret = (struct identity){.scope = xstrdup(""), .topics = xstrdup(""), .name = xstrdup("")};
        if (token_subject_valid(user) && slice_copy(user, ret->sub, sizeof(ret->sub)))
                return;
        snprintf(ret->sub, sizeof(ret->sub), "guest-%08x", (unsigned)(random_u64() & 0xffffffffu));
}

struct slice auth_bearer(struct slice authorization)
{
        if (authorization.n < 7 || strncasecmp(authorization.p, "Bearer ", 7) != 0)
                return SLICE_NONE;
        struct slice token = slice_from(authorization, 7);
        while (token.n && token.p[0] == ' ')
                token = slice_from(token, 1);
        while (token.n && token.p[token.n - 1] == ' ')
                token.n--;
        return token;
}

char *auth_sign_hs256(const char *secret, const char *claims_json)
{
        if (!secret || !secret[0])
                return NULL;
        key_library_init();
        jws_t *jws = NULL;
        jwk_t *jwk = NULL;
        char *token = NULL, *ret = NULL;
        if (r_jws_init(&jws) == RHN_OK && r_jwk_init(&jwk) == RHN_OK &&
                r_jwk_import_from_symmetric_key(
                        jwk, (const unsigned char *)secret, strlen(secret)) == RHN_OK &&
                r_jws_set_alg(jws, R_JWA_ALG_HS256) == RHN_OK &&
                r_jws_set_header_str_value(jws, "typ", "JWT") == RHN_OK &&
                r_jws_set_payload(jws, (const unsigned char *)claims_json, strlen(claims_json)) ==
                        RHN_OK)
                token = r_jws_serialize(jws, jwk, R_FLAG_IGNORE_REMOTE);
        if (token)
                ret = xstrdup(token);
        r_free(token);
        r_jwk_free(jwk);
        r_jws_free(jws);
        return ret;
}
