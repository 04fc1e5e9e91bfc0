/*
 * engine_sid - the session id, a secret of its client: 15 bytes, and behind them, where gateways
 * splice, the place of their owner; all in base64url.
 *
 *     byte 0      the shard that owns the session
 *     bytes 1-4   the instance that owns it (drawn at its start)
 *     bytes 5-14  random
 *     then        the owner's internal port, sealed (peer/place.h): 24 or 40 characters
 *
 * The layout stands here only. A sid that another process made is recognised without asking a
 * shard, and where its owner listens is read from nowhere else.
 */
#ifndef TERN_REALTIME_ENGINE_SID_H
#define TERN_REALTIME_ENGINE_SID_H

#include "base/slice.h"
#include "peer/place.h"

#define ENGINE_SID_BYTES 15
#define ENGINE_SID_TEXT 20 /* without place and NUL */
#define ENGINE_SID_TEXT_MAX (ENGINE_SID_TEXT + PEER_PLACE_TEXT_MAX)

void engine_sid_draw(uint8_t sid[ENGINE_SID_BYTES], unsigned shard, uint32_t instance);
/* Its length. keys NULL: without a place. */
size_t engine_sid_text(const uint8_t sid[ENGINE_SID_BYTES], const struct peer_keys *keys,
        const struct peer_place *place, char ret[ENGINE_SID_TEXT_MAX]);
/* False if it is no sid, or not one of this instance and one of shard_count shards. The place is
 * not looked at: nobody needs it here, and the random bytes are the secret. */
bool engine_sid_parse(
        struct slice text, uint32_t instance, unsigned shard_count, uint8_t ret[ENGINE_SID_BYTES]);
/* True if it is a sid of another instance, and one of the keys sealed its place. */
bool engine_sid_foreign(
        struct slice text, uint32_t instance, const struct peer_keys *keys, struct peer_place *ret);
static inline unsigned engine_sid_shard(const uint8_t sid[ENGINE_SID_BYTES])
{
        return sid[0];
}

#endif
