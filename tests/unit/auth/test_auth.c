/* auth: what a good token gives, and every way to be refused. */
#include "auth/auth.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"
#include "openssl_tokens.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#define SECRET "an old secret that is long enough for HS256"
#define NOW 1800000000000 /* 2027 */

static struct auth_settings settings(const char *secret)
{
        return (struct auth_settings){
                .auth = (char *)(uintptr_t) "on",
                .hs256_secret = (char *)(uintptr_t)secret,
                .hs256_previous_secret = (char *)(uintptr_t) "",
                .jwks_file = (char *)(uintptr_t) "",
                .jwks_url = (char *)(uintptr_t) "",
                .jwks_refresh_ms = 300000,
                .issuer = (char *)(uintptr_t) "issuer",
                .audience = (char *)(uintptr_t) "tern",
                .leeway_ms = 30000,
        };
}

static struct auth *make(const struct auth_settings *s)
{
        struct auth *a;
        char fault[256] = "";
        assert_int_equal(auth_new(s, &a, fault), 0);
        return a;
}

static int verify(struct auth *a, const char *token, enum auth_failure *why)
{
        struct identity id;
        int r = auth_verify(a, slice_str(token), NOW, &id, why);
        if (r == 0)
                identity_done(&id);
        return r;
}

/* Header and payload as they are, signed with the secret whatever the header says: what an attacker
 * with a pen can write. */
static char *forge(const char *header, const char *payload, const char *secret)
{
        struct buf b = BUF_EMPTY;
        buf_commit(&b, (buf_reserve(&b, base64_len(strlen(header))),
                               base64url_encode(header, strlen(header), b.p + b.n)));
        buf_add_char(&b, '.');
        char *at = buf_reserve(&b, base64_len(strlen(payload)));
        buf_commit(&b, base64url_encode(payload, strlen(payload), at));
        uint8_t mac[32];
        assert_int_equal(
                gnutls_hmac_fast(GNUTLS_MAC_SHA256, secret, strlen(secret), b.p, b.n, mac), 0);
        buf_add_char(&b, '.');
        at = buf_reserve(&b, base64_len(sizeof(mac)));
        buf_commit(&b, base64url_encode(mac, sizeof(mac), at));
        return buf_take(&b, NULL);
}

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define GOOD "\"sub\":\"anna\",\"iss\":\"issuer\",\"aud\":\"tern\",\"iat\":1799999000"
#define EXP ",\"exp\":1800003600"

static void expect(const char *header, const char *payload, int want)
{
        struct auth_settings s = settings(SECRET);
        struct auth *a = make(&s);
        char *token = forge(header, payload, SECRET);
        enum auth_failure why = AUTH_REVOKED;
        int r = verify(a, token, &why);
        if (want < 0 ? r != 0 : (r == 0 || (int)why != want))
                fail_msg("%s %s: got %d \"%s\"", header, payload, r,
                        r ? auth_failure_text(why) : "accepted");
        free(token);
        auth_free(a);
}
#define ACCEPTED (-1)

static void a_good_token_names_its_bearer(void **state)
{
        UNUSED(state);
        struct auth_settings s = settings(SECRET);
        struct auth *a = make(&s);
        char *token = auth_sign_hs256(SECRET,
                "{" GOOD EXP ",\"scope\":\"notifications:publish "
                "admin\",\"topics\":[\"news\",\"sport\"],\"name\":\"Änna\"}");
        struct identity id;
        enum auth_failure why;
        assert_int_equal(auth_verify(a, slice_str(token), NOW, &id, &why), 0);
        assert_string_equal(id.sub, "anna");
        assert_int_equal(id.issued_ms, 1799999000000);
        assert_int_equal(id.expires_ms, 1800003600000);
        assert_string_equal(id.topics, "news sport");
        assert_string_equal(id.name, "Änna");
        assert_true(identity_has_scope(&id, "admin"));
        assert_true(identity_has_scope(&id, "notifications:publish"));
        assert_false(identity_has_scope(&id, "notifications"));
        assert_false(identity_has_scope(&id, ""));
        assert_false(id.stream_only);
        identity_done(&id);
        free(token);
        auth_free(a);
}

static void our_own_hmac_agrees_with_the_librarys(void **state)
{
        UNUSED(state);
        expect(HEADER, "{" GOOD EXP "}", ACCEPTED);
        expect("{\"alg\":\"HS256\"}", "{" GOOD EXP "}", ACCEPTED);
        expect("{\"alg\":\"HS256\",\"kid\":\"../../etc/passwd\",\"typ\":\"at+jwt\"}",
                "{" GOOD EXP "}", ACCEPTED);
}

static void other_algorithms_are_refused(void **state)
{
        UNUSED(state);
        static const char *const algs[] = {"none", "None", "NONE", "nOnE", "", "hs256", "HS384",
                "HS512", "PS256", "ES384", "RS512", "dir"};
        for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
                char header[64];
                snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", algs[i]);
                expect(header, "{" GOOD EXP "}", AUTH_ALGORITHM);
        }
        expect("{}", "{" GOOD EXP "}", AUTH_ALGORITHM);
        expect("{\"alg\":null}", "{" GOOD EXP "}", AUTH_ALGORITHM);
        expect("{\"alg\":[\"HS256\"]}", "{" GOOD EXP "}", AUTH_ALGORITHM);
        /* No key of these kinds is configured. */
        expect("{\"alg\":\"RS256\"}", "{" GOOD EXP "}", AUTH_KEY);
        expect("{\"alg\":\"EdDSA\",\"kid\":\"x\"}", "{" GOOD EXP "}", AUTH_KEY);
}

static void an_unsigned_token_is_refused(void **state)
{
        UNUSED(state);
        struct auth_settings s = settings(SECRET);
        struct auth *a = make(&s);
        enum auth_failure why;
        char *token = forge("{\"alg\":\"HS256\"}", "{" GOOD EXP "}", SECRET);
        *(strrchr(token, '.') + 1) = '\0';
        assert_int_equal(verify(a, token, &why), -EACCES);
        assert_int_equal(why, AUTH_SIGNATURE);
        *strrchr(token, '.') = '\0';
        assert_int_equal(verify(a, token, &why), -EACCES);
        assert_int_equal(why, AUTH_MALFORMED);
        free(token);
        token = forge("{\"alg\":\"none\"}", "{" GOOD EXP "}", SECRET);
        *(strrchr(token, '.') + 1) = '\0';
        assert_int_equal(verify(a, token, &why), -EACCES);
        assert_int_equal(why, AUTH_ALGORITHM);
        free(token);
        auth_free(a);
}

static void headers_that_ask_the_verifier_to_trust_something_are_refused(void **state)
{
        UNUSED(state);
        expect("{\"alg\":\"HS256\",\"jku\":\"http://127.0.0.1:1/evil.json\"}", "{" GOOD EXP "}",
                AUTH_KEY);
        expect("{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"QUFBQQ\"}}", "{" GOOD EXP "}",
                AUTH_KEY);
        expect("{\"alg\":\"HS256\",\"x5u\":\"http://127.0.0.1:1/\"}", "{" GOOD EXP "}", AUTH_KEY);
        expect("{\"alg\":\"HS256\",\"x5c\":[\"AAAA\"]}", "{" GOOD EXP "}", AUTH_KEY);
        expect("{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", "{" GOOD EXP "}", AUTH_KEY);
        expect("{\"alg\":\"HS256\",\"zip\":\"DEF\"}", "{" GOOD EXP "}", AUTH_KEY);
        expect("{\"alg\":\"HS256\",\"b64\":false}", "{" GOOD EXP "}", AUTH_KEY);
        expect("{\"alg\":\"HS256\",\"j\\u006bu\":\"http://127.0.0.1:1/\"}", "{" GOOD EXP "}",
                AUTH_KEY);
        expect("{\"alg\":\"HS256\",\"kid\":\"' OR 1=1 --\"}", "{" GOOD EXP "}",
                ACCEPTED); /* a kid is compared, never looked up */
        expect("{\"alg\":\"RS256\",\"kid\":\"/dev/null\"}", "{" GOOD EXP "}", AUTH_KEY);
        expect("{\"alg\":\"HS256\",\"kid\":7}", "{" GOOD EXP "}", AUTH_KEY);
        expect("{\"alg\":\"HS256\",\"typ\":\"dpop+jwt\"}", "{" GOOD EXP "}", AUTH_MALFORMED);
}

static void what_could_be_read_in_two_ways_is_refused(void **state)
{
        UNUSED(state);
        expect("{\"alg\":\"HS256\",\"alg\":\"none\"}", "{" GOOD EXP "}", AUTH_MALFORMED);
        expect("{\"alg\":\"none\",\"\\u0061lg\":\"HS256\"}", "{" GOOD EXP "}", AUTH_MALFORMED);
        expect(HEADER, "{" GOOD EXP ",\"sub\":\"admin\"}", AUTH_MALFORMED);
        expect(HEADER, "{" GOOD EXP ",\"s\\u0075b\":\"admin\"}", AUTH_MALFORMED);
        expect(HEADER, "{" GOOD EXP ",\"exp\":9999999999}", AUTH_MALFORMED);
        expect(HEADER, "{" GOOD EXP ",\"x\":\"\\u0000\"}", AUTH_MALFORMED);
        expect(HEADER, "{" GOOD EXP "} x", AUTH_MALFORMED);
        expect(HEADER, "[]", AUTH_MALFORMED);
        expect(HEADER, "\"anna\"", AUTH_MALFORMED);
        expect(HEADER, "{", AUTH_MALFORMED);
}

static void times_are_checked_with_leeway(void **state)
{
        UNUSED(state);
        expect(HEADER, "{" GOOD "}", AUTH_MALFORMED);
        expect(HEADER, "{" GOOD ",\"exp\":1e400}", AUTH_MALFORMED);
        expect(HEADER, "{" GOOD ",\"exp\":-1}", AUTH_MALFORMED);
        expect(HEADER, "{" GOOD ",\"exp\":\"1800003600\"}", AUTH_MALFORMED);
        expect(HEADER, "{" GOOD ",\"exp\":null}", AUTH_MALFORMED);
        expect(HEADER, "{" GOOD ",\"exp\":999999999999999999}", AUTH_MALFORMED);
        expect(HEADER, "{" GOOD ",\"exp\":1799999971}", ACCEPTED);
        expect(HEADER, "{" GOOD ",\"exp\":1799999970}", AUTH_EXPIRED);
        expect(HEADER, "{" GOOD ",\"exp\":1.8e9}", ACCEPTED);
        expect(HEADER, "{" GOOD ",\"exp\":1800000000.5}", ACCEPTED);
        expect(HEADER, "{" GOOD EXP ",\"nbf\":1800000030}", ACCEPTED);
        expect(HEADER, "{" GOOD EXP ",\"nbf\":1800000031}", AUTH_NOT_YET);
        expect(HEADER, "{" GOOD EXP ",\"nbf\":\"soon\"}", AUTH_MALFORMED);
        expect(HEADER,
                "{\"sub\":\"anna\",\"iss\":\"issuer\",\"aud\":\"tern\",\"iat\":1800000031" EXP "}",
                AUTH_NOT_YET);
        expect(HEADER, "{\"sub\":\"anna\",\"iss\":\"issuer\",\"aud\":\"tern\"" EXP "}",
                AUTH_MALFORMED);
}

static void issuer_audience_and_subject_are_checked(void **state)
{
        UNUSED(state);
#define REST ",\"iat\":1799999000" EXP "}"
        expect(HEADER, "{\"sub\":\"anna\",\"iss\":\"issuer\",\"aud\":[\"x\",\"tern\"]" REST,
                ACCEPTED);
        expect(HEADER, "{\"sub\":\"anna\",\"iss\":\"issuer\",\"aud\":[]" REST, AUTH_AUDIENCE);
        expect(HEADER, "{\"sub\":\"anna\",\"iss\":\"issuer\",\"aud\":\"ternx\"" REST,
                AUTH_AUDIENCE);
        expect(HEADER, "{\"sub\":\"anna\",\"iss\":\"issuer\",\"aud\":{\"tern\":1}" REST,
                AUTH_AUDIENCE);
        expect(HEADER, "{\"sub\":\"anna\",\"iss\":\"issuer\"" REST, AUTH_AUDIENCE);
        expect(HEADER, "{\"sub\":\"anna\",\"aud\":\"tern\"" REST, AUTH_ISSUER);
        expect(HEADER, "{\"sub\":\"anna\",\"iss\":\"other\",\"aud\":\"tern\"" REST, AUTH_ISSUER);
        expect(HEADER, "{\"sub\":\"anna\",\"iss\":[\"issuer\"],\"aud\":\"tern\"" REST, AUTH_ISSUER);
        expect(HEADER, "{\"sub\":\"\",\"iss\":\"issuer\",\"aud\":\"tern\"" REST, AUTH_SUBJECT);
        expect(HEADER, "{\"sub\":\"a b\",\"iss\":\"issuer\",\"aud\":\"tern\"" REST, AUTH_SUBJECT);
        expect(HEADER, "{\"sub\":\"a/b\",\"iss\":\"issuer\",\"aud\":\"tern\"" REST, AUTH_SUBJECT);
        expect(HEADER, "{\"sub\":7,\"iss\":\"issuer\",\"aud\":\"tern\"" REST, AUTH_SUBJECT);
        expect(HEADER, "{\"iss\":\"issuer\",\"aud\":\"tern\"" REST, AUTH_SUBJECT);
        expect(HEADER, "{\"sub\":\"auth0|a@b.c:d~e-f_g\",\"iss\":\"issuer\",\"aud\":\"tern\"" REST,
                ACCEPTED);
        expect(HEADER, "{" GOOD EXP ",\"scope\":7}", AUTH_SCOPE);
        char long_sub[300];
        snprintf(long_sub, sizeof(long_sub),
                "{\"sub\":\"%0129d\",\"iss\":\"issuer\",\"aud\":\"tern\"" REST, 1);
        expect(HEADER, long_sub, AUTH_SUBJECT);
        snprintf(long_sub, sizeof(long_sub),
                "{\"sub\":\"%0128d\",\"iss\":\"issuer\",\"aud\":\"tern\"" REST, 1);
        expect(HEADER, long_sub, ACCEPTED);
}

static void a_stream_token_is_marked(void **state)
{
        UNUSED(state);
        struct auth_settings s = settings(SECRET);
        struct auth *a = make(&s);
        char *token = forge(HEADER,
                "{\"sub\":\"anna\",\"iss\":\"issuer\",\"aud\":\"stream\",\"iat\":1799999000" EXP
                "}",
                SECRET);
        struct identity id;
        enum auth_failure why;
        assert_int_equal(auth_verify(a, slice_str(token), NOW, &id, &why), 0);
        assert_true(id.stream_only);
        identity_done(&id);
        free(token);
        auth_free(a);
}

static void wrong_keys_and_changed_bytes_are_refused(void **state)
{
        UNUSED(state);
        struct auth_settings s = settings(SECRET);
        struct auth *a = make(&s);
        enum auth_failure why;
        char *token = forge(HEADER, "{" GOOD EXP "}", "another secret that nobody configured here");
        assert_int_equal(verify(a, token, &why), -EACCES);
        assert_int_equal(why, AUTH_SIGNATURE);
        free(token);
        token = forge(HEADER, "{" GOOD EXP "}", SECRET);
        size_t n = strlen(token);
        for (size_t i = 0; i < n; i++) {
                char was = token[i];
                token[i] = was == 'A' ? 'B' : 'A';
                if (verify(a, token, &why) == 0)
                        fail_msg("accepted with byte %zu changed", i);
                token[i] = was;
                assert_int_equal(
                        auth_verify(a, slice_of(token, i), NOW, &(struct identity){0}, &why),
                        -EACCES);
        }
        assert_int_equal(verify(a, token, &why), 0);
        free(token);
        auth_free(a);
}

static void size_and_form_are_bounded(void **state)
{
        UNUSED(state);
        struct auth_settings s = settings(SECRET);
        struct auth *a = make(&s);
        enum auth_failure why;
        assert_int_equal(verify(a, "", &why), -EACCES);
        assert_int_equal(why, AUTH_MISSING);
        static const char *const bad[] = {".", "..", "...", "a.b.c", "a.b.c.d", "e30.e30.e30.e30",
                "e30=.e30=.e30=", " e30.e30.e30", "e30.e30.e 30", "+/.+/.+/"};
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                assert_int_equal(verify(a, bad[i], &why), -EACCES);
        char *big = xmalloc(100001);
        memset(big, 'A', 100000);
        big[100000] = '\0';
        assert_int_equal(verify(a, big, &why), -EACCES);
        assert_int_equal(why, AUTH_MALFORMED);
        big[50000] = big[90000] = '.';
        assert_int_equal(verify(a, big, &why), -EACCES);
        free(big);
        struct buf json = BUF_EMPTY;
        buf_add_str(&json, "{" GOOD EXP);
        for (int i = 0; i < 100; i++)
                buf_printf(&json, ",\"c%d\":%d", i, i);
        buf_add_str(&json, "}");
        expect(HEADER, buf_cstr(&json), AUTH_MALFORMED); /* more members than anybody needs */
        buf_reset(&json);
        buf_add_str(&json, "{" GOOD EXP ",\"deep\":");
        for (int i = 0; i < 1000; i++)
                buf_add_char(&json, '[');
        for (int i = 0; i < 1000; i++)
                buf_add_char(&json, ']');
        buf_add_str(&json, "}");
        expect(HEADER, buf_cstr(&json), AUTH_MALFORMED);
        buf_done(&json);
        auth_free(a);
}

static void both_secrets_are_good_while_rotating(void **state)
{
        UNUSED(state);
        struct auth_settings s = settings("a new secret that is long enough for HS256");
        s.hs256_previous_secret = (char *)(uintptr_t)SECRET;
        struct auth *a = make(&s);
        enum auth_failure why;
        char *old = forge(HEADER, "{" GOOD EXP "}", SECRET),
             *new = auth_sign_hs256(s.hs256_secret, "{" GOOD EXP "}");
        assert_int_equal(verify(a, old, &why), 0);
        assert_int_equal(verify(a, new, &why), 0);
        free(old);
        free(new);
        auth_free(a);
}

static void with_auth_off_anybody_is_a_guest(void **state)
{
        UNUSED(state);
        struct auth_settings s = settings("");
        s.auth = (char *)(uintptr_t) "off";
        struct auth *a = make(&s);
        struct identity id;
        enum auth_failure why;
        assert_true(auth_off(a));
        assert_true(auth_ready(a));
        assert_int_equal(verify(a, openssl_rs256, &why), -EACCES);
        auth_guest(a, SLICE_LIT("anna"), &id);
        assert_string_equal(id.sub, "anna");
        assert_int_equal(id.expires_ms, 0);
        assert_false(identity_has_scope(&id, "admin"));
        identity_done(&id);
        auth_guest(a, SLICE_LIT("an na"), &id);
        assert_memory_equal(id.sub, "guest-", 6);
        identity_done(&id);
        auth_free(a);
}

static void without_any_key_it_does_not_start(void **state)
{
        UNUSED(state);
        struct auth_settings s = settings("");
        struct auth *a;
        char fault[256] = "";
        assert_int_equal(auth_new(&s, &a, fault), -EINVAL);
        assert_non_null(strstr(fault, "TERN_AUTH_HS256_SECRET_FILE"));
        assert_non_null(strstr(fault, "TERN_AUTH_JWKS_URL"));
        s.jwks_file = (char *)(uintptr_t) "/nonexistent/jwks.json";
        assert_int_equal(auth_new(&s, &a, fault), -EINVAL);
        assert_non_null(strstr(fault, "TERN_AUTH_JWKS_FILE"));
        s.jwks_file = (char *)(uintptr_t) "";
        s.jwks_url = (char *)(uintptr_t) "file:///etc/passwd";
        assert_int_equal(auth_new(&s, &a, fault), -EINVAL);
        assert_non_null(strstr(fault, "TERN_AUTH_JWKS_URL"));
}

static void bearers_are_found(void **state)
{
        UNUSED(state);
        assert_true(slice_is(auth_bearer(SLICE_LIT("Bearer x.y.z")), "x.y.z"));
        assert_true(slice_is(auth_bearer(SLICE_LIT("bearer   x ")), "x"));
        assert_int_equal(auth_bearer(SLICE_LIT("Basic eDp5")).n, 0);
        assert_int_equal(auth_bearer(SLICE_LIT("Bearer")).n, 0);
        assert_int_equal(auth_bearer(SLICE_NONE).n, 0);
}

static void the_defaults_are_valid(void **state)
{
        UNUSED(state);
        struct auth_settings s = {0};
        struct config_group g = {"auth", auth_settings_rows, auth_settings_count, &s};
        struct config_result r;
        char *env[] = {NULL};
        assert_int_equal(config_load(&g, 1, env, &r), 0);
        assert_string_equal(s.audience, "tern");
        assert_string_equal(s.auth, "on");
        config_result_done(&r);
        config_free(&g, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_good_token_names_its_bearer),
                cmocka_unit_test(our_own_hmac_agrees_with_the_librarys),
                cmocka_unit_test(other_algorithms_are_refused),
                cmocka_unit_test(an_unsigned_token_is_refused),
                cmocka_unit_test(headers_that_ask_the_verifier_to_trust_something_are_refused),
                cmocka_unit_test(what_could_be_read_in_two_ways_is_refused),
                cmocka_unit_test(times_are_checked_with_leeway),
                cmocka_unit_test(issuer_audience_and_subject_are_checked),
                cmocka_unit_test(a_stream_token_is_marked),
                cmocka_unit_test(wrong_keys_and_changed_bytes_are_refused),
                cmocka_unit_test(size_and_form_are_bounded),
                cmocka_unit_test(both_secrets_are_good_while_rotating),
                cmocka_unit_test(with_auth_off_anybody_is_a_guest),
                cmocka_unit_test(without_any_key_it_does_not_start),
                cmocka_unit_test(bearers_are_found),
                cmocka_unit_test(the_defaults_are_valid),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
