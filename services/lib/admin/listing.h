/*
 * listing - one page of a sorted list, taken in one pass over things that are in no order.
 *
 * A page is the `limit` smallest keys that begin with `prefix` and come after `after`. Who has things offers
 * them one by one; pages of several shards or gateways merge into the page of all of them, because each of
 * them has given its own smallest. So a page costs one look at each thing, whatever came before it, and
 * nothing is kept between two pages.
 *
 * A key that comes twice is one row: its numbers add up. Pure; one owner at a time.
 */
#ifndef TERN_ADMIN_LISTING_H
#define TERN_ADMIN_LISTING_H

#include "base/buf.h"
#include "base/check.h"

#define LISTING_ROWS_MAX 100
#define LISTING_KEY_MAX 384 /* a user id, a blank, and a name; or a room */

struct listing_row {
        char *key;       /* owned */
        char *json;      /* owned: an object, or NULL */
        int64_t number;  /* members of a room */
        uint32_t places; /* on how many gateways */
};

struct listing {
        char prefix[LISTING_KEY_MAX], after[LISTING_KEY_MAX];
        uint32_t limit;
        uint32_t count;
        bool more;                   /* there are rows beyond the last one */
        char bound[LISTING_KEY_MAX]; /* "" = none: what comes after it is not known completely */
        struct listing_row rows[LISTING_ROWS_MAX]; /* ascending by key */
};

/* limit is cut to 1 … LISTING_ROWS_MAX. False: prefix or after is too long for a key. */
MUST_CHECK bool listing_init(
        struct listing *l, struct slice prefix, struct slice after, uint32_t limit);
void listing_done(struct listing *l);
/* Forgets the rows: the pass begins anew. */
void listing_clear(struct listing *l);
/* Whether the row of this key would stand on the page as it is now: only then is it worth rendering. */
bool listing_wants(struct listing *l, struct slice key);
/* json may be empty. What the page did not want is left out. */
void listing_put(struct listing *l, struct slice key, int64_t number, struct slice json);
/* Takes from's rows over. places: what each counts as; 0: as many as it says. */
void listing_merge(struct listing *to, struct listing *from, uint32_t places);
/* A part of the page ended early, with this key: what comes after it has to wait for the next page. */
void listing_bound(struct listing *l, struct slice key);
/* Drops what comes after the bound. */
void listing_trim(struct listing *l);

#endif
