#include "realtime/engine_sid.h"

#include "base/check.h"
#include "base/hash.h"

#define INSTANCE_AT 1
#define RANDOM_AT 5

void engine_sid_draw(uint8_t sid[ENGINE_SID_BYTES], unsigned shard, uint32_t instance)
{
        CHECK(shard <= UINT8_MAX);
        sid[0] = (uint8_t)shard;
        memcpy(sid + INSTANCE_AT, &instance, sizeof(instance));
        random_bytes(sid + RANDOM_AT, ENGINE_SID_BYTES - RANDOM_AT);
}

size_t engine_sid_text(const uint8_t sid[ENGINE_SID_BYTES], const struct peer_keys *keys,
        const struct peer_place *place, char ret[ENGINE_SID_TEXT_MAX])
{
        size_t n = base64url_encode(sid, ENGINE_SID_BYTES, ret);
        CHECK(n == ENGINE_SID_TEXT);
        if (keys)
                n += peer_place_seal(
                        keys, slice_of((const char *)sid, ENGINE_SID_BYTES), place, ret + n);
        return n;
}

static bool read_sid(struct slice text, uint32_t *ret_instance, uint8_t ret[ENGINE_SID_BYTES])
{
        if (text.n != ENGINE_SID_TEXT && text.n != ENGINE_SID_TEXT + PEER_PLACE_TEXT_V4 &&
                text.n != ENGINE_SID_TEXT + PEER_PLACE_TEXT_V6)
                return false;
        if (base64url_decode(slice_of(text.p, ENGINE_SID_TEXT), ret, ENGINE_SID_BYTES) !=
                ENGINE_SID_BYTES)
                return false;
        memcpy(ret_instance, ret + INSTANCE_AT, sizeof(*ret_instance));
        return true;
}

bool engine_sid_parse(
        struct slice text, uint32_t instance, unsigned shard_count, uint8_t ret[ENGINE_SID_BYTES])
{
        uint32_t of;
        return read_sid(text, &of, ret) && of == instance && ret[0] < shard_count;
}

bool engine_sid_foreign(
        struct slice text, uint32_t instance, const struct peer_keys *keys, struct peer_place *ret)
{
        uint8_t sid[ENGINE_SID_BYTES];
        uint32_t of;
        return read_sid(text, &of, sid) && of != instance &&
               peer_place_open(keys, slice_of((const char *)sid, sizeof(sid)),
                       slice_from(text, ENGINE_SID_TEXT), ret);
}
