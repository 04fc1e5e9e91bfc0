/*
 * fuzz_line - any bytes on the internal port. Whatever is read has to be what was signed: a line is
 * accepted only if its text, up to the MAC, is the one that we would have written for its fields.
 *
 * First byte: 0 takes the rest as a line as it comes; else the rest is signed with the right key
 * first, so that what stands behind the MAC is reached as well.
 */
#include "peer/line.h"
#include "peer/place.h"

#include "base/hash.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW INT64_C(1790000000000)
#define WINDOW 10000

static void check_accepted(struct slice text, const struct peer_line *l)
{
        char again[PEER_LINE_MAX], nonce[base64_len(PEER_NONCE_BYTES)];
        size_t nonce_n = base64url_encode(l->nonce, sizeof(l->nonce), nonce);
        CHECK(l->sid[0] && l->time_ms >= NOW - WINDOW && l->time_ms <= NOW + WINDOW);
        int n = snprintf(again, sizeof(again), "TERN1 %s %s %lld ", l->sid,
                l->client_addr[0] ? l->client_addr : "-", (long long)l->time_ms);
        CHECK(n > 0 && (size_t)n + 21 < text.n && memcmp(again, text.p, (size_t)n) == 0);
        /* The last character of the nonce carries four bits that are none. */
        CHECK(nonce_n == 22 && memcmp(text.p + n, nonce, 21) == 0);
}

static void read_line(const struct peer_keys *keys, struct slice text)
{
        struct peer_line l;
        if (peer_line_read(keys, text, NOW, WINDOW, &l) == PEER_ACCEPTED)
                check_accepted(text, &l);
}

static void sign_and_read(const struct peer_keys *keys, struct slice fields)
{
        uint8_t mac[PEER_MAC_BYTES];
        if (fields.n > 200)
                return;
        char *text = xmalloc(fields.n + 1 + base64_len(PEER_MAC_BYTES));
        memcpy(text, fields.p, fields.n);
        peer_mac(keys, 0, "line", fields, mac);
        text[fields.n] = ' ';
        size_t n = fields.n + 1 + base64url_encode(mac, sizeof(mac), text + fields.n + 1);
        read_line(keys, slice_of(text, n));
        free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct peer_keys keys;
        const char *why;
        int r = peer_keys_parse(SLICE_LIT("0123456789abcdef0123456789abcdef"), &keys, &why);
        CHECK(r == 0);
        if (size == 0)
                return 0;
        /* Exactly as long: the address sanitizer sees a byte too far. */
        char *copy = xmalloc(size > 1 ? size - 1 : 1);
        memcpy(copy, data + 1, size - 1);
        struct slice rest = slice_of(copy, size - 1);
        if (data[0])
                sign_and_read(&keys, rest);
        else
                read_line(&keys, rest);
        struct peer_place place;
        CHECK(!peer_place_open(&keys, SLICE_LIT("owner"), rest, &place));
        free(copy);
        return 0;
}
