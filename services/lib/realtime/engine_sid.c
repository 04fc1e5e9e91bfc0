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

void engine_sid_text(const uint8_t sid[ENGINE_SID_BYTES], char ret[ENGINE_SID_TEXT])
{
        size_t n = base64url_encode(sid, ENGINE_SID_BYTES, ret);
        CHECK(n == ENGINE_SID_TEXT);
}

bool engine_sid_parse(
        struct slice text, uint32_t instance, unsigned shard_count, uint8_t ret[ENGINE_SID_BYTES])
{
        uint32_t of;
        if (text.n != ENGINE_SID_TEXT ||
                base64url_decode(text, ret, ENGINE_SID_BYTES) != ENGINE_SID_BYTES)
                return false;
        memcpy(&of, ret + INSTANCE_AT, sizeof(of));
        return of == instance && ret[0] < shard_count;
}
