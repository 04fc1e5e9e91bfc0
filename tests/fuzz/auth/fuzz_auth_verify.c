/*
 * fuzz_auth_verify - anything as a token, and anything as the header or the payload of a token with
 * a right signature.
 *
 * The first byte chooses: 't' the rest is the token; 'h' the rest is a header, signed over a good
 * payload; else the rest is a payload, signed under a good header. So the parsers behind the
 * signature are reached without guessing a MAC.
 */
#include "auth/auth.h"

#include "base/buf.h"
#include "base/hash.h"
#include "tests/unit/auth/openssl_tokens.h"

#include <gnutls/crypto.h>
#include <stdlib.h>
#include <unistd.h>

#define SECRET "an old secret that is long enough for HS256"
#define NOW 1800000000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct auth *auth;

static void set_up(void)
{
        static struct auth_settings s = {.auth = (char *)(uintptr_t) "on",
                .hs256_secret = (char *)(uintptr_t)SECRET,
                .audience = (char *)(uintptr_t) "tern",
                .leeway_ms = 30000,
                .jwks_refresh_ms = 86400000};
        char path[] = "/tmp/fuzz_auth_XXXXXX", fault[256];
        int fd = mkstemp(path);
        CHECK(fd >= 0 && write(fd, openssl_jwks, sizeof(openssl_jwks) - 1) > 0);
        close(fd);
        s.jwks_file = path;
        CHECK(auth_new(&s, &auth, fault) == 0);
        unlink(path);
        s.jwks_file = (char *)(uintptr_t) "/dev/null"; /* the thread keeps what it has */
}

static void add_part(struct buf *b, const void *p, size_t n)
{
        char *at = buf_reserve(b, base64_len(n) + 1);
        buf_commit(b, base64url_encode(p, n, at));
}

static struct slice sign(
        struct buf *b, const void *header, size_t header_n, const void *payload, size_t payload_n)
{
        uint8_t mac[32];
        add_part(b, header, header_n);
        buf_add_char(b, '.');
        add_part(b, payload, payload_n);
        CHECK(gnutls_hmac_fast(GNUTLS_MAC_SHA256, SECRET, sizeof(SECRET) - 1, b->p, b->n, mac) ==
                0);
        buf_add_char(b, '.');
        add_part(b, mac, sizeof(mac));
        return buf_slice(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const char
                header[] = "{\"alg\":\"HS256\"}",
                payload[] = "{\"sub\":\"anna\",\"aud\":\"tern\",\"iat\":1,\"exp\":4102444800}";
        if (!auth)
                set_up();
        if (size == 0)
                return 0;
        struct buf b = BUF_EMPTY;
        struct slice token;
        if (data[0] == 't')
                token = slice_of((const char *)data + 1, size - 1);
        else if (data[0] == 'h')
                token = sign(&b, data + 1, size - 1, payload, sizeof(payload) - 1);
        else
                token = sign(&b, header, sizeof(header) - 1, data + 1, size - 1);
        struct identity id;
        enum auth_failure why;
        if (auth_verify(auth, token, NOW, &id, &why) == 0) {
                CHECK(id.sub[0] && id.expires_ms > 0 && id.scope && id.topics && id.name);
                identity_done(&id);
        } else {
                CHECK(auth_failure_text(why));
        }
        buf_done(&b);
        return 0;
}
