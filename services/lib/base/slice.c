#include "base/slice.h"

#include "base/check.h"

bool slice_to_u64(struct slice s, uint64_t max, uint64_t *ret)
{
        uint64_t v = 0;
        if (s.n == 0)
                return false;
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] < '0' || s.p[i] > '9')
                        return false;
                uint64_t digit = (uint64_t)(s.p[i] - '0');
                if (v > (UINT64_MAX - digit) / 10)
                        return false;
                v = v * 10 + digit;
        }
        if (v > max)
                return false;
        *ret = v;
        return true;
}

char *slice_dup(struct slice s)
{
        return xstrndup(s.p, s.n);
}

bool slice_copy(struct slice s, char *dst, size_t cap)
{
        CHECK(cap > 0);
        dst[0] = '\0';
        if (s.n >= cap)
                return false;
        if (s.n)
                memcpy(dst, s.p, s.n);
        dst[s.n] = '\0';
        return true;
}
