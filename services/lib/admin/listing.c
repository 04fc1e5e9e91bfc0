#include "admin/listing.h"

#include <stdlib.h>

bool listing_init(struct listing *l, struct slice prefix, struct slice after, uint32_t limit)
{
        *l = (struct listing){.limit = limit < 1                  ? 1
                                       : limit > LISTING_ROWS_MAX ? LISTING_ROWS_MAX
                                                                  : limit};
        return slice_copy(prefix, l->prefix, sizeof(l->prefix)) &&
               slice_copy(after, l->after, sizeof(l->after));
}

static void row_done(struct listing_row *row)
{
        free(row->key);
        free(row->json);
}

void listing_done(struct listing *l)
{
        for (uint32_t i = 0; i < l->count; i++)
                row_done(&l->rows[i]);
        l->count = 0;
}

void listing_clear(struct listing *l)
{
        listing_done(l);
        l->more = false;
}

static int compare(struct slice a, const char *text)
{
        struct slice b = slice_str(text);
        size_t n = a.n < b.n ? a.n : b.n;
        int order = n ? memcmp(a.p, b.p, n) : 0;
        return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* The first row whose key is not below this one. */
static uint32_t place_of(const struct listing *l, struct slice key)
{
        uint32_t low = 0, high = l->count;
        while (low < high) {
                uint32_t mid = (low + high) / 2;
                if (compare(key, l->rows[mid].key) > 0)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

bool listing_wants(struct listing *l, struct slice key)
{
        if (key.n >= LISTING_KEY_MAX || !slice_starts(key, l->prefix) ||
                (l->after[0] && compare(key, l->after) <= 0))
                return false;
        if (l->count < l->limit || compare(key, l->rows[l->count - 1].key) <= 0)
                return true;
        l->more = true;
        return false;
}

/* Takes row over, or adds its number to the row of the same key. */
static void insert(struct listing *l, struct listing_row row)
{
        uint32_t at = place_of(l, slice_str(row.key));
        if (at < l->count && strcmp(l->rows[at].key, row.key) == 0) {
                l->rows[at].number += row.number;
                l->rows[at].places += row.places;
                row_done(&row);
                return;
        }
        if (l->count == l->limit) {
                row_done(&l->rows[--l->count]);
                l->more = true;
        }
        memmove(&l->rows[at + 1], &l->rows[at], (l->count - at) * sizeof(row));
        l->rows[at] = row;
        l->count++;
}

void listing_put(struct listing *l, struct slice key, int64_t number, struct slice json)
{
        if (!listing_wants(l, key))
                return;
        insert(l, (struct listing_row){.key = slice_dup(key),
                          .json = json.n ? slice_dup(json) : NULL,
                          .number = number,
                          .places = 1});
}

void listing_merge(struct listing *to, struct listing *from, uint32_t places)
{
        for (uint32_t i = 0; i < from->count; i++) {
                struct listing_row row = from->rows[i];
                if (places)
                        row.places = places;
                if (listing_wants(to, slice_str(row.key)))
                        insert(to, row);
                else
                        row_done(&row);
        }
        to->more = to->more || from->more;
        from->count = 0;
}

void listing_bound(struct listing *l, struct slice key)
{
        if (!l->bound[0] || compare(key, l->bound) < 0)
                (void)slice_copy(key, l->bound, sizeof(l->bound));
}

void listing_trim(struct listing *l)
{
        while (l->bound[0] && l->count > 0 &&
                compare(slice_str(l->rows[l->count - 1].key), l->bound) > 0) {
                row_done(&l->rows[--l->count]);
                l->more = true;
        }
}
