/*
 * engine_sid - the session id: 15 bytes, 20 characters of base64url, a secret of its client.
 *
 *     byte 0      the shard that owns the session
 *     bytes 1-4   the instance that owns it (a hash of its name)
 *     bytes 5-14  random
 *
 * The layout stands here only. A sid that another process made is recognised without asking a
 * shard.
 */
#ifndef TERN_REALTIME_ENGINE_SID_H
#define TERN_REALTIME_ENGINE_SID_H

#include "base/slice.h"

#define ENGINE_SID_BYTES 15
#define ENGINE_SID_TEXT 20 /* without NUL */

void engine_sid_draw(uint8_t sid[ENGINE_SID_BYTES], unsigned shard, uint32_t instance);
void engine_sid_text(const uint8_t sid[ENGINE_SID_BYTES], char ret[ENGINE_SID_TEXT]);
/* False if it is no sid, or not one of this instance and one of shard_count shards. */
bool engine_sid_parse(
        struct slice text, uint32_t instance, unsigned shard_count, uint8_t ret[ENGINE_SID_BYTES]);
static inline unsigned engine_sid_shard(const uint8_t sid[ENGINE_SID_BYTES])
{
        return sid[0];
}

#endif
