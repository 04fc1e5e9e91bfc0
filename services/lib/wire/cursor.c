#include "wire/cursor.h"

#include "base/hash.h"

#include <errno.h>

#define VERSION 1
#define RAW_MAX (1 + 5 + CURSOR_SLOTS_MAX * 6)

static size_t put_varint(uint8_t *dst, uint64_t v)
{
        size_t n = 0;
        while (v >= 0x80) {
                dst[n++] = (uint8_t)(v | 0x80);
                v >>= 7;
        }
        dst[n++] = (uint8_t)v;
        return n;
}

/* False at the end, on an overlong form, or on a value over max. */
static bool get_varint(const uint8_t **at, const uint8_t *end, uint64_t max, uint64_t *ret)
{
        uint64_t v = 0;
        for (unsigned shift = 0; shift < 63; shift += 7) {
                if (*at == end)
                        return false;
                uint8_t b = *(*at)++;
                v |= (uint64_t)(b & 0x7f) << shift;
                if (b & 0x80)
                        continue;
                if (b == 0 && shift > 0)
                        return false;
                *ret = v;
                return v <= max;
        }
        return false;
}

size_t cursor_encode(uint32_t epoch, const int64_t *vector, size_t slots, char *dst)
{
        uint8_t raw[RAW_MAX];
        CHECK(slots <= CURSOR_SLOTS_MAX);
        size_t n = 0;
        raw[n++] = VERSION;
        n += put_varint(raw + n, epoch);
        for (size_t i = 0; i < slots; i++) {
                CHECK(vector[i] >= 0 && vector[i] <= CURSOR_OFFSET_MAX);
                n += put_varint(raw + n, (uint64_t)vector[i]);
        }
        return base64url_encode(raw, n, dst);
}

int cursor_parse(struct slice text, size_t slots, uint32_t *ret_epoch, int64_t *ret_vector)
{
        uint8_t raw[RAW_MAX];
        int64_t vector[CURSOR_SLOTS_MAX];
        uint64_t epoch, v;
        CHECK(slots <= CURSOR_SLOTS_MAX);
        if (text.n > CURSOR_TEXT_MAX)
                return -EINVAL;
        ptrdiff_t n = base64url_decode(text, raw, sizeof(raw));
        if (n < 2 || raw[0] != VERSION)
                return -EINVAL;
        const uint8_t *at = raw + 1, *end = raw + n;
        if (!get_varint(&at, end, CURSOR_EPOCH_MAX, &epoch) || epoch == 0)
                return -EINVAL;
        for (size_t i = 0; i < slots; i++) {
                if (!get_varint(&at, end, CURSOR_OFFSET_MAX, &v))
                        return -EINVAL;
                vector[i] = (int64_t)v;
        }
        if (at != end)
                return -EINVAL;
        *ret_epoch = (uint32_t)epoch;
        memcpy(ret_vector, vector, slots * sizeof(*vector));
        return 0;
}

size_t cursor_sse_encode(const uint32_t epoch[2], const int64_t offset[2], char *dst)
{
        int n = snprintf(dst, 128, "1.%u.%lld.%u.%lld", epoch[0], (long long)offset[0], epoch[1],
                (long long)offset[1]);
        return (size_t)n;
}

int cursor_sse_parse(struct slice text, uint32_t ret_epoch[2], int64_t ret_offset[2])
{
        uint64_t v[5];
        if (text.n > 127)
                return -EINVAL;
        for (int i = 0; i < 5; i++) {
                ptrdiff_t dot = slice_find(text, '.');
                if ((dot < 0) != (i == 4))
                        return -EINVAL;
                struct slice part = slice_of(text.p, dot < 0 ? text.n : (size_t)dot);
                uint64_t max = i == 0  ? VERSION
                               : i % 2 ? CURSOR_EPOCH_MAX
                                       : (uint64_t)CURSOR_OFFSET_MAX;
                if (!slice_to_u64(part, max, &v[i]) || ((i == 0 || i % 2 == 1) && v[i] == 0) ||
                        (part.n > 1 && part.p[0] == '0'))
                        return -EINVAL;
                text = dot < 0 ? SLICE_NONE : slice_from(text, (size_t)dot + 1);
        }
        for (int i = 0; i < 2; i++) {
                ret_epoch[i] = (uint32_t)v[1 + 2 * i];
                ret_offset[i] = (int64_t)v[2 + 2 * i];
        }
        return 0;
}
