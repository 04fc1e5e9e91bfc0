#include "peer/key.h"

#include "peer/place.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define PURPOSE_MAX 16
#define DATA_MAX 256

const struct config_row peer_settings_rows[] = {
#define CONFIG(type, field, ...) CONFIG_ROW(struct peer_settings, type, field, __VA_ARGS__)
#include "peer/settings.def"
};
const size_t peer_settings_count = ARRAY_LEN(peer_settings_rows);

static struct slice without_blanks(struct slice s)
{
        while (s.n && (s.p[s.n - 1] == '\r' || s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
                s.n--;
        return s;
}

int peer_keys_parse(struct slice text, struct peer_keys *ret, const char **ret_why)
{
        struct peer_keys keys = {0};
        while (text.n) {
                ptrdiff_t end = slice_find(text, '\n');
                struct slice line = slice_of(text.p, end < 0 ? text.n : (size_t)end);
                text = end < 0 ? SLICE_NONE : slice_from(text, (size_t)end + 1);
                line = without_blanks(line);
                if (line.n == 0)
                        continue;
                *ret_why = "more than two keys";
                if (keys.count == PEER_KEYS_MAX)
                        return -EINVAL;
                *ret_why = "each key has to have 32 to 256 bytes";
                if (line.n < PEER_KEY_MIN || line.n > PEER_KEY_MAX)
                        return -EINVAL;
                keys.keys[keys.count].n = line.n;
                memcpy(keys.keys[keys.count].bytes, line.p, line.n);
                keys.count++;
        }
        *ret_why = "no key";
        if (keys.count == 0)
                return -EINVAL;
        *ret = keys;
        return 0;
}

void peer_mac(const struct peer_keys *keys, unsigned number, const char *purpose, struct slice data,
        uint8_t ret[PEER_MAC_BYTES])
{
        uint8_t all[PURPOSE_MAX + DATA_MAX];
        size_t n = strlen(purpose) + 1; /* its NUL ends it */
        CHECK(number < keys->count && n <= PURPOSE_MAX && data.n <= DATA_MAX);
        memcpy(all, purpose, n);
        if (data.n)
                memcpy(all + n, data.p, data.n);
        unsigned got = 0;
        const uint8_t *done = HMAC(EVP_sha256(), keys->keys[number].bytes,
                (int)keys->keys[number].n, all, n + data.n, ret, &got);
        CHECK(done && got == PEER_MAC_BYTES);
}

bool peer_mac_equal(const uint8_t *a, const uint8_t *b, size_t n)
{
        return CRYPTO_memcmp(a, b, n) == 0;
}

static bool is_wildcard(const char *address)
{
        return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

void peer_settings_check(const struct peer_settings *s, struct buf *faults)
{
        struct peer_keys keys;
        struct peer_place place;
        const char *why;
        if (!s->key[0])
                return;
        if (peer_keys_parse(slice_str(s->key), &keys, &why) < 0)
                buf_printf(faults, "TERN_SPLICE_KEY_FILE: %s\n", why);
        OPENSSL_cleanse(&keys, sizeof(keys));
        const char *address = s->address[0] ? s->address : s->bind;
        if (!peer_place_parse(address, 1, &place) || is_wildcard(address))
                buf_printf(faults,
                        "TERN_SPLICE_ADDRESS is \"%s\" and TERN_SPLICE_BIND is %s: other gateways "
                        "need a numeric address of this one\n",
                        s->address, s->bind);
        if (s->port_min > s->port_max)
                buf_printf(faults,
                        "TERN_SPLICE_PORT_MIN is %u, it has to be at most TERN_SPLICE_PORT_MAX "
                        "(%u)\n",
                        s->port_min, s->port_max);
        else if (s->port != 0 && (s->port < s->port_min || s->port > s->port_max))
                buf_printf(faults,
                        "TERN_SPLICE_PORT is %u, it has to be within TERN_SPLICE_PORT_MIN and "
                        "TERN_SPLICE_PORT_MAX (%u to %u)\n",
                        s->port, s->port_min, s->port_max);
}
