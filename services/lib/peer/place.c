#include "peer/place.h"

#include "base/hash.h"
#include <arpa/inet.h>

/* The bytes behind the text: family, address, port, MAC. */
#define MAC_BYTES 11
#define PLAIN_MAX (16 + 2)
#define SEALED_MAX (1 + PLAIN_MAX + MAC_BYTES)
#define OWNER_MAX 64

bool peer_place_parse(const char *address, uint32_t port, struct peer_place *ret)
{
        static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
        struct peer_place place = {0};
        if (port == 0 || port > 65535)
                return false;
        if (inet_pton(AF_INET, address, place.addr) == 1) {
                place.addr_n = 4;
        } else if (inet_pton(AF_INET6, address, place.addr) == 1) {
                place.addr_n = 16;
                if (memcmp(place.addr, mapped, sizeof(mapped)) == 0) {
                        memmove(place.addr, place.addr + 12, 4);
                        memset(place.addr + 4, 0, 12);
                        place.addr_n = 4;
                }
        } else {
                return false;
        }
        place.port = (uint16_t)port;
        *ret = place;
        return true;
}

bool peer_place_equal(const struct peer_place *a, const struct peer_place *b)
{
        return a->addr_n == b->addr_n && a->port == b->port &&
               memcmp(a->addr, b->addr, a->addr_n) == 0;
}

/* The first MAC_BYTES of the MAC over the owner, the family and the plain place. */
static void mac_of(const struct peer_keys *keys, unsigned number, struct slice owner,
        uint8_t family, const uint8_t *plain, size_t n, uint8_t ret[PEER_MAC_BYTES])
{
        uint8_t data[OWNER_MAX + 1 + PLAIN_MAX];
        memcpy(data, owner.p, owner.n);
        data[owner.n] = family;
        memcpy(data + owner.n + 1, plain, n);
        peer_mac(keys, number, "place", slice_of((const char *)data, owner.n + 1 + n), ret);
}

static void mask(
        const struct peer_keys *keys, unsigned number, struct slice owner, uint8_t *p, size_t n)
{
        uint8_t stream[PEER_MAC_BYTES];
        peer_mac(keys, number, "place mask", owner, stream);
        for (size_t i = 0; i < n; i++)
                p[i] ^= stream[i];
}

size_t peer_place_seal(const struct peer_keys *keys, struct slice owner,
        const struct peer_place *place, char ret[PEER_PLACE_TEXT_MAX])
{
        CHECK((place->addr_n == 4 || place->addr_n == 16) && owner.n <= OWNER_MAX);
        uint8_t bytes[SEALED_MAX], mac[PEER_MAC_BYTES];
        size_t n = place->addr_n;
        bytes[0] = place->addr_n;
        memcpy(bytes + 1, place->addr, n);
        bytes[1 + n++] = (uint8_t)(place->port >> 8);
        bytes[1 + n++] = (uint8_t)place->port;
        mac_of(keys, 0, owner, bytes[0], bytes + 1, n, mac);
        mask(keys, 0, owner, bytes + 1, n);
        memcpy(bytes + 1 + n, mac, MAC_BYTES);
        return base64url_encode(bytes, 1 + n + MAC_BYTES, ret);
}

static bool open_with(const struct peer_keys *keys, unsigned number, struct slice owner,
        const uint8_t *bytes, struct peer_place *ret)
{
        uint8_t plain[PLAIN_MAX], mac[PEER_MAC_BYTES];
        size_t n = (size_t)bytes[0] + 2;
        memcpy(plain, bytes + 1, n);
        mask(keys, number, owner, plain, n);
        mac_of(keys, number, owner, bytes[0], plain, n, mac);
        if (!peer_mac_equal(mac, bytes + 1 + n, MAC_BYTES))
                return false;
        *ret = (struct peer_place){
                .addr_n = bytes[0], .port = (uint16_t)((plain[n - 2] << 8) | plain[n - 1])};
        memcpy(ret->addr, plain, n - 2);
        return true;
}

bool peer_place_open(
        const struct peer_keys *keys, struct slice owner, struct slice text, struct peer_place *ret)
{
        uint8_t bytes[SEALED_MAX];
        ptrdiff_t n = base64url_decode(text, bytes, sizeof(bytes));
        if (owner.n > OWNER_MAX || n < 1 || (bytes[0] != 4 && bytes[0] != 16) ||
                n != 1 + bytes[0] + 2 + MAC_BYTES)
                return false;
        for (unsigned i = 0; i < keys->count; i++)
                if (open_with(keys, i, owner, bytes, ret))
                        return true;
        return false;
}
