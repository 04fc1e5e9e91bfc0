/*
 * key - the secret that all gateways share, or two while one replaces the other.
 *
 * The first key signs, each is accepted; so a rotation is [old, new] everywhere, then [new, old]
 * everywhere, then [new]. Whatever is signed names its purpose, so that a MAC made for one thing is
 * never good for another.
 */
#ifndef TERN_PEER_KEY_H
#define TERN_PEER_KEY_H

#include "base/check.h"
#include "base/config.h"
#include "base/slice.h"

#define PEER_KEYS_MAX 2
#define PEER_KEY_MIN 32
#define PEER_KEY_MAX 256
#define PEER_MAC_BYTES 32

struct peer_settings {
#define CONFIG(type, field, ...) CONFIG_FIELD_##type(field)
#include "peer/settings.def"
};
extern const struct config_row peer_settings_rows[];
extern const size_t peer_settings_count;
/* What no single row can judge; a line for each fault. Nothing to judge while no key is set. */
void peer_settings_check(const struct peer_settings *s, struct buf *faults);

struct peer_keys {
        unsigned count;
        struct {
                size_t n;
                uint8_t bytes[PEER_KEY_MAX];
        } keys[PEER_KEYS_MAX];
};

/* One key a line; empty lines are passed over. 0, or -EINVAL with a sentence in *ret_why (static). */
MUST_CHECK int peer_keys_parse(struct slice text, struct peer_keys *ret, const char **ret_why);
/* HMAC-SHA256 by the key of that number over purpose and data. */
void peer_mac(const struct peer_keys *keys, unsigned number, const char *purpose, struct slice data,
        uint8_t ret[PEER_MAC_BYTES]);
/* In constant time. */
bool peer_mac_equal(const uint8_t *a, const uint8_t *b, size_t n);

#endif
