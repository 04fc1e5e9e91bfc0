#include "fanout/record.h"

struct slice record_header(const struct record *r, const char *name)
{
        size_t name_n = strlen(name);
        const char *p = r->bytes + r->key_n + r->id_n + r->type_n + r->source_n;
        const char *end = p + r->headers_n;
        while (p < end) {
                const char *nul = memchr(p, 0, (size_t)(end - p));
                if (!nul || end - nul < 5)
                        break;
                uint8_t le[4];
                memcpy(le, nul + 1, sizeof(le));
                size_t value_n = (size_t)le[0] | (size_t)le[1] << 8 | (size_t)le[2] << 16 |
                                 (size_t)le[3] << 24;
                const char *value = nul + 5;
                if (value_n > (size_t)(end - value))
                        break;
                if ((size_t)(nul - p) == name_n && memcmp(p, name, name_n) == 0)
                        return slice_of(value, value_n);
                p = value + value_n;
        }
        return SLICE_NONE;
}

void record_drop_frames(struct record *r)
{
        for (unsigned i = 0; i < RECORD_FRAMES; i++)
                msg_unref(atomic_exchange_explicit(&r->frames[i], NULL, memory_order_acq_rel));
}
