/*
 * address - numeric IP addresses: their bytes, lists of networks, and who a request behind trusted
 * proxies comes from.
 *
 * An IPv4 address in IPv6's clothes (::ffff:192.0.2.1) counts as the IPv4 one. Pure; any thread.
 */
#ifndef TERN_BASE_ADDRESS_H
#define TERN_BASE_ADDRESS_H

#include "base/check.h"
#include "base/slice.h"

#define ADDRESS_TEXT 64

struct networks; /* frozen */

/* 4 or 16 bytes, or 0 if text is no numeric address; a port or brackets are none. */
size_t address_bytes(struct slice text, uint8_t ret[16]);
/* What limits count by: all of an IPv4 address, the /64 of an IPv6 one (a household has as much). */
size_t address_key(struct slice text, uint8_t ret[16]);

/* list: "10.0.0.0/8,192.0.2.1,fd00::/8"; may be empty. 0, or -EINVAL with *ret_bad the first item
 * that is none. */
MUST_CHECK int networks_new(const char *list, struct networks **ret, struct slice *ret_bad);
/* NULL is fine; returns NULL. */
struct networks *networks_free(struct networks *n);
/* NULL holds nobody. */
bool networks_hold(const struct networks *n, struct slice address);

/* The address that speaks through peer: the last one of forwarded (X-Forwarded-For) that is no trusted proxy's own, if peer is one;
 * else peer. What is no address ends the search: the last one believed counts. Borrowed. */
struct slice address_behind(
        const struct networks *trusted, struct slice peer, struct slice forwarded);

#endif
