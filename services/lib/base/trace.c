#include "base/trace.h"

#include <string.h>

enum { VERSION_N = 2, ID_AT = 3, ID_N = 32, PARENT_AT = 36, PARENT_N = 16, FLAGS_AT = 53, ALL_N = 55 };

static bool is_hex(struct slice s)
{
        for (size_t i = 0; i < s.n; i++)
                if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
                        return false;
        return true;
}

static bool is_zero(struct slice s)
{
        for (size_t i = 0; i < s.n; i++)
                if (s.p[i] != '0')
                        return false;
        return true;
}

bool trace_valid(struct slice t)
{
        if (t.n < ALL_N || t.n > TRACE_MAX || t.p[ID_AT - 1] != '-' || t.p[PARENT_AT - 1] != '-' ||
                t.p[FLAGS_AT - 1] != '-')
                return false;
        struct slice version = slice_of(t.p, VERSION_N), id = slice_of(t.p + ID_AT, ID_N),
                     parent = slice_of(t.p + PARENT_AT, PARENT_N),
                     flags = slice_of(t.p + FLAGS_AT, ALL_N - FLAGS_AT);
        if (!is_hex(version) || !is_hex(id) || !is_hex(parent) || !is_hex(flags) ||
                slice_is(version, "ff") || is_zero(id) || is_zero(parent))
                return false;
        if (slice_is(version, "00"))
                return t.n == ALL_N;
        return t.n == ALL_N || t.p[ALL_N] == '-';
}

void trace_copy(struct slice t, char ret[TRACE_TEXT])
{
        ret[0] = '\0';
        if (t.n != ALL_N || !trace_valid(t))
                return;
        memcpy(ret, t.p, ALL_N);
        ret[ALL_N] = '\0';
}

struct slice trace_id(struct slice t)
{
        return trace_valid(t) ? slice_of(t.p + ID_AT, ID_N) : SLICE_NONE;
}
