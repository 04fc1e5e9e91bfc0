/* keys: JWKS from a file and a URL, rotation, and what must never become a key. The tokens were
 * signed by the openssl command. */
#include "auth/auth.h"
#include "auth/keys.h"

#include "base/clock.h"
#include "base/hash.h"
#include "openssl_tokens.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define NOW 1800000000000

static struct auth_settings settings(const char *file, const char *url)
{
        return (struct auth_settings){
                .auth = (char *)(uintptr_t) "on",
                .hs256_secret = (char *)(uintptr_t) "",
                .hs256_previous_secret = (char *)(uintptr_t) "",
                .jwks_file = (char *)(uintptr_t)file,
                .jwks_url = (char *)(uintptr_t)url,
                .jwks_refresh_ms = 1000,
                .issuer = (char *)(uintptr_t) "issuer",
                .audience = (char *)(uintptr_t) "tern",
                .leeway_ms = 30000,
        };
}

static int verify(struct auth *a, const char *token, enum auth_failure *why)
{
        struct identity id;
        int r = auth_verify(a, slice_str(token), NOW, &id, why);
        if (r == 0)
                identity_done(&id);
        return r;
}

static void write_file(const char *path, const char *text)
{
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void tokens_of_openssl_are_good(void **state)
{
        UNUSED(state);
        static const char path[] = "test_keys_jwks.json";
        write_file(path, openssl_jwks);
        struct auth_settings s = settings(path, "");
        struct auth *a;
        char fault[256] = "";
        assert_int_equal(auth_new(&s, &a, fault), 0);
        const char *const tokens[] = {openssl_rs256, openssl_es256, openssl_eddsa};
        for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
                enum auth_failure why;
                assert_int_equal(verify(a, tokens[i], &why), 0);
                char *changed = xstrdup(tokens[i]);
                char *at = strrchr(changed, '.') + 5;
                *at = *at == 'A' ? 'B' : 'A';
                assert_int_equal(verify(a, changed, &why), -EACCES);
                assert_int_equal(why, AUTH_SIGNATURE);
                free(changed);
        }
        auth_free(a);
        unlink(path);
}

static char *rewrite_header(const char *token, const char *header)
{
        struct buf b = BUF_EMPTY;
        char *at = buf_reserve(&b, base64_len(strlen(header)));
        buf_commit(&b, base64url_encode(header, strlen(header), at));
        buf_add_str(&b, strchr(token, '.'));
        return buf_take(&b, NULL);
}

/* The classic: a public key, which everybody has, used as the secret of HS256. */
static void a_public_key_is_no_secret(void **state)
{
        UNUSED(state);
        struct key_set *ks = key_set_new(NULL, NULL);
        assert_int_equal(key_set_add_jwks(ks, slice_str(openssl_jwks)), 3);
        const char *const secrets[] = {openssl_rsa_pem, openssl_jwks};
        for (size_t i = 0; i < ARRAY_LEN(secrets); i++) {
                char *token = auth_sign_hs256(secrets[i], "{\"sub\":\"admin\"}");
                assert_int_equal(
                        key_set_verify(ks, KEY_HS256, SLICE_NONE, slice_str(token)), -ENOKEY);
                assert_int_equal(
                        key_set_verify(ks, KEY_HS256, SLICE_LIT("rs256-1"), slice_str(token)),
                        -ENOKEY);
                free(token);
        }
        key_set_unref(ks);
}

static void the_kid_chooses_and_the_algorithm_is_pinned(void **state)
{
        UNUSED(state);
        struct key_set *ks = key_set_new(NULL, NULL);
        assert_int_equal(key_set_add_jwks(ks, slice_str(openssl_jwks)), 3);
        struct slice rs = slice_str(openssl_rs256), es = slice_str(openssl_es256);
        assert_int_equal(key_set_verify(ks, KEY_RS256, SLICE_LIT("rs256-1"), rs), 0);
        assert_int_equal(key_set_verify(ks, KEY_RS256, SLICE_NONE, rs), 0);
        assert_int_equal(key_set_verify(ks, KEY_RS256, SLICE_LIT("es256-1"), rs), -EPERM);
        assert_int_equal(key_set_verify(ks, KEY_RS256, SLICE_LIT("../rs256-1"), rs), -ENOKEY);
        assert_int_equal(key_set_verify(ks, KEY_ES256, SLICE_LIT("es256-1"), es), 0);
        assert_int_equal(key_set_verify(ks, KEY_EDDSA, SLICE_LIT("eddsa-1"), es), -EACCES);
        char *lied = rewrite_header(openssl_rs256, "{\"alg\":\"ES256\",\"kid\":\"es256-1\"}");
        assert_int_equal(
                key_set_verify(ks, KEY_ES256, SLICE_LIT("es256-1"), slice_str(lied)), -EACCES);
        free(lied);
        key_set_unref(ks);
}

static int count(const char *jwks)
{
        struct key_set *ks = key_set_new(NULL, NULL);
        int n = key_set_add_jwks(ks, slice_str(jwks));
        key_set_unref(ks);
        return n;
}

static void unusable_keys_are_left_out(void **state)
{
        UNUSED(state);
        assert_int_equal(count(""), -EINVAL);
        assert_int_equal(count("[]"), -EINVAL);
        assert_int_equal(count("{\"keys\":{}}"), -EINVAL);
        assert_int_equal(count("{\"keys\":[]}"), 0);
        assert_int_equal(count("{\"keys\":[1,null,[],{}]}"), 0);
        assert_int_equal(
                count("{\"keys\":[{\"kty\":\"oct\",\"k\":"
                      "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"alg\":\"HS256\"}]}"),
                0);
        /* 1024 bits */
        assert_int_equal(count("{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":"
                               "\"AKnY0hmmUqVVKF4nT0T8dPSGmkbxvIjEm0e3Zy1Lz1Hh\"}]}"),
                0);
        /* not on the curve, wrong curve, a certificate's address instead of a key, for encryption */
        assert_int_equal(count("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":"
                               "\"AAAA\"}]}"),
                0);
        assert_int_equal(count("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AAAA\",\"y\":"
                               "\"AAAA\"}]}"),
                0);
        assert_int_equal(
                count("{\"keys\":[{\"kty\":\"RSA\",\"x5u\":\"http://127.0.0.1:1/\"}]}"), 0);
        assert_int_equal(count("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"enc\","
                               "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"),
                0);
        assert_int_equal(count("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"ES256\","
                               "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"),
                0);
        assert_int_equal(count("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":"
                               "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"),
                1);
}

/* ---- a JWKS behind a URL ---- */

struct origin {
        int fd;
        uint16_t port;
        pthread_t thread;
        _Atomic(const char *) body; /* NULL: 500 */
        atomic_uint asked;
};

static void *serve(void *arg)
{
        struct origin *o = arg;
        for (;;) {
                int c = accept(o->fd, NULL, NULL);
                if (c < 0)
                        return NULL;
                char head[4096];
                if (read(c, head, sizeof(head)) > 0) {
                        const char *body = atomic_load(&o->body);
                        atomic_fetch_add(&o->asked, 1);
                        dprintf(c,
                                "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                                body ? "200 OK" : "500 No", body ? strlen(body) : 0,
                                body ? body : "");
                }
                close(c);
        }
}

static void origin_start(struct origin *o)
{
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(in);
        o->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(o->fd, (struct sockaddr *)&in, n), 0);
        assert_int_equal(listen(o->fd, 8), 0);
        assert_int_equal(getsockname(o->fd, (struct sockaddr *)&in, &n), 0);
        o->port = ntohs(in.sin_port);
        assert_int_equal(pthread_create(&o->thread, NULL, serve, o), 0);
}

static void origin_stop(struct origin *o)
{
        shutdown(o->fd, SHUT_RDWR);
        pthread_join(o->thread, NULL);
        close(o->fd);
}

static bool becomes(struct auth *a, const char *token, int want, int64_t ms)
{
        enum auth_failure why;
        for (int64_t end = clock_mono_ms() + ms; clock_mono_ms() < end; usleep(20000))
                if (verify(a, token, &why) == want)
                        return true;
        return false;
}

static void a_url_is_fetched_again_and_again(void **state)
{
        UNUSED(state);
        struct origin o = {0};
        origin_start(&o);
        char url[64], fault[256] = "";
        snprintf(url, sizeof(url), "http://127.0.0.1:%u/jwks.json", o.port);
        struct auth_settings s = settings("", url);
        struct auth *a;
        enum auth_failure why;
        /* Not reachable yet: no reason not to start. */
        assert_int_equal(auth_new(&s, &a, fault), 0);
        assert_int_equal(verify(a, openssl_rs256, &why), -EACCES);
        assert_int_equal(why, AUTH_KEY);
        assert_false(auth_ready(a));
        atomic_store(&o.body, openssl_jwks);
        assert_true(becomes(a, openssl_rs256, 0, 10000));
        assert_true(auth_ready(a));
        /* The source fails, or talks nonsense: the last good keys stay. */
        unsigned asked = atomic_load(&o.asked);
        atomic_store(&o.body, "{\"keys\":[]}");
        while (atomic_load(&o.asked) < asked + 2)
                usleep(20000);
        assert_int_equal(verify(a, openssl_rs256, &why), 0);
        /* Rotated: the old key's tokens end. */
        atomic_store(&o.body, "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"new\","
                              "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}");
        assert_true(becomes(a, openssl_rs256, -EACCES, 10000));
        auth_free(a);
        origin_stop(&o);
}

static void a_silent_url_does_not_hold_up_the_end(void **state)
{
        UNUSED(state);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof(in);
        assert_int_equal(bind(fd, (struct sockaddr *)&in, n), 0);
        assert_int_equal(listen(fd, 8), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
        char url[64], fault[256];
        snprintf(url, sizeof(url), "http://127.0.0.1:%u/", ntohs(in.sin_port));
        struct auth_settings s = settings("", url);
        struct auth *a;
        assert_int_equal(auth_new(&s, &a, fault), 0);
        usleep(200000);
        int64_t began = clock_mono_ms();
        auth_free(a);
        assert_true(clock_mono_ms() - began < 2500);
        close(fd);
}

struct verifier {
        struct auth *a;
        const char *token;
        atomic_bool *stop;
        unsigned good;
};

static void *verify_on(void *arg)
{
        struct verifier *v = arg;
        enum auth_failure why;
        while (!atomic_load(v->stop))
                v->good += verify(v->a, v->token, &why) == 0;
        return NULL;
}

static void many_threads_verify_while_keys_change(void **state)
{
        UNUSED(state);
        static const char path[] = "test_keys_rotating.json";
        write_file(path, openssl_jwks);
        struct auth_settings s = settings(path, "");
        s.hs256_secret = (char *)(uintptr_t) "a secret that is long enough for HS256 tokens";
        struct auth *a;
        char fault[256] = "";
        assert_int_equal(auth_new(&s, &a, fault), 0);
        char *hs =
                auth_sign_hs256(s.hs256_secret, "{\"sub\":\"anna\",\"iss\":\"issuer\",\"aud\":"
                                                "\"tern\",\"iat\":1700000000,\"exp\":4102444800}");
        atomic_bool stop = false;
        struct verifier vs[4] = {{a, hs, &stop, 0}, {a, openssl_rs256, &stop, 0},
                {a, openssl_es256, &stop, 0}, {a, openssl_eddsa, &stop, 0}};
        pthread_t threads[4];
        for (size_t i = 0; i < 4; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, verify_on, &vs[i]), 0);
        sleep(3);
        atomic_store(&stop, true);
        for (size_t i = 0; i < 4; i++) {
                pthread_join(threads[i], NULL);
                assert_true(vs[i].good > 0);
                print_message("%u verifications in 3 s on one of 4 threads\n", vs[i].good);
        }
        free(hs);
        auth_free(a);
        unlink(path);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(tokens_of_openssl_are_good),
                cmocka_unit_test(a_public_key_is_no_secret),
                cmocka_unit_test(the_kid_chooses_and_the_algorithm_is_pinned),
                cmocka_unit_test(unusable_keys_are_left_out),
                cmocka_unit_test(a_url_is_fetched_again_and_again),
                cmocka_unit_test(a_silent_url_does_not_hold_up_the_end),
                cmocka_unit_test(many_threads_verify_while_keys_change),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
