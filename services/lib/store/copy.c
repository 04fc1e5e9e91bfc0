#include "store/copy.h"

/* Postgres counts microseconds from 2000-01-01. */
#define POSTGRES_EPOCH_MS 946684800000LL

static void put(struct buf *b, uint64_t v, unsigned bytes)
{
        char *p = buf_reserve(b, bytes);
        for (unsigned i = 0; i < bytes; i++)
                p[i] = (char)(v >> (8 * (bytes - 1 - i)));
        buf_commit(b, bytes);
}

void copy_begin(struct buf *b)
{
        static const char signature[] = "PGCOPY\n\377\r\n"; /* its NUL belongs to it */
        buf_reset(b);
        buf_add(b, signature, sizeof(signature));
        put(b, 0, 4); /* flags */
        put(b, 0, 4); /* length of the header's extension */
}

void copy_row(struct buf *b, uint16_t fields)
{
        put(b, fields, 2);
}

void copy_null(struct buf *b)
{
        put(b, UINT32_MAX, 4);
}

void copy_bool(struct buf *b, bool v)
{
        put(b, 1, 4);
        buf_add_char(b, v ? 1 : 0);
}

void copy_i32(struct buf *b, int32_t v)
{
        put(b, 4, 4);
        put(b, (uint32_t)v, 4);
}

void copy_i64(struct buf *b, int64_t v)
{
        put(b, 8, 4);
        put(b, (uint64_t)v, 8);
}

void copy_time_ms(struct buf *b, int64_t wall_ms)
{
        copy_i64(b, (wall_ms - POSTGRES_EPOCH_MS) * 1000);
}

void copy_slice(struct buf *b, struct slice s)
{
        if (!s.p) {
                copy_null(b);
                return;
        }
        CHECK(s.n <= INT32_MAX);
        put(b, s.n, 4);
        buf_add_slice(b, s);
}

void copy_text(struct buf *b, const char *s)
{
        copy_slice(b, slice_str(s));
}

void copy_end(struct buf *b)
{
        put(b, UINT16_MAX, 2);
}
