/* Pages: the smallest keys, merged from many, without a hole. */
#include "admin/listing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct listing page(const char *prefix, const char *after, uint32_t limit)
{
        struct listing l;
        assert_true(listing_init(&l, slice_str(prefix), slice_str(after), limit));
        return l;
}

static void put(struct listing *l, const char *key, int64_t number)
{
        if (listing_wants(l, slice_str(key)))
                listing_put(l, slice_str(key), number, SLICE_NONE);
}

static void expect(const struct listing *l, const char *keys, bool more)
{
        struct buf have = BUF_EMPTY;
        for (uint32_t i = 0; i < l->count; i++)
                buf_printf(&have, "%s%s", i ? "," : "", l->rows[i].key);
        assert_string_equal(buf_cstr(&have), keys);
        assert_int_equal(l->more, more);
        buf_done(&have);
}

static void the_smallest_keys_behind_the_cursor_come_in_order(void **state)
{
        static const char *const keys[] = {"m", "c", "x", "a", "k", "b", "z", "d"};
        UNUSED(state);
        struct listing l = page("", "a", 3);
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
                put(&l, keys[i], 1);
        expect(&l, "b,c,d", true);
        listing_done(&l);
        l = page("", "k", 9);
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
                put(&l, keys[i], 1);
        expect(&l, "m,x,z", false);
        listing_done(&l);
}

static void only_what_begins_with_the_prefix_counts(void **state)
{
        UNUSED(state);
        struct listing l = page("te", "", 2);
        put(&l, "team-2", 1);
        put(&l, "t", 1);
        put(&l, "team-1", 1);
        put(&l, "zed", 1);
        put(&l, "abc", 1);
        expect(&l, "team-1,team-2", false);
        put(&l, "team-3", 1);
        expect(&l, "team-1,team-2", true);
        listing_done(&l);
}

static void a_key_that_comes_twice_adds_up(void **state)
{
        UNUSED(state);
        struct listing l = page("", "", 2), other = page("", "", 2);
        put(&l, "a", 2);
        put(&l, "a", 3);
        put(&l, "b", 1);
        assert_int_equal(l.rows[0].number, 5);
        assert_int_equal(l.rows[0].places, 2);
        put(&other, "a", 10);
        put(&other, "c", 1);
        listing_merge(&l, &other, 1);
        expect(&l, "a,b", true);
        assert_int_equal(l.rows[0].number, 15);
        assert_int_equal(l.rows[0].places, 3);
        assert_int_equal(other.count, 0);
        listing_done(&l);
}

/* Every key once, whatever the size of a page and however the keys are spread. */
static void pages_of_many_shards_have_every_key_once(void **state)
{
        enum { KEYS = 257, SHARDS = 5 };
        UNUSED(state);
        for (uint32_t limit = 1; limit <= LISTING_ROWS_MAX; limit += 7) {
                char after[LISTING_KEY_MAX] = "";
                unsigned seen = 0;
                for (;;) {
                        struct listing all = page("", after, limit);
                        for (unsigned s = 0; s < SHARDS; s++) {
                                struct listing one = page("", after, limit);
                                for (unsigned k = 0; k < KEYS; k++) {
                                        char key[16];
                                        unsigned n = (k * 101) % KEYS;
                                        snprintf(key, sizeof(key), "k%05u", n);
                                        if (n * 7 % SHARDS == s)
                                                put(&one, key, 1);
                                }
                                listing_merge(&all, &one, 1);
                        }
                        for (uint32_t i = 0; i < all.count; i++) {
                                char want[16];
                                snprintf(want, sizeof(want), "k%05u", seen++);
                                assert_string_equal(all.rows[i].key, want);
                        }
                        bool more = all.more;
                        if (more)
                                snprintf(after, sizeof(after), "%s", all.rows[all.count - 1].key);
                        listing_done(&all);
                        if (!more)
                                break;
                }
                assert_int_equal(seen, KEYS);
        }
}

static void a_full_part_beside_empty_ones_has_more(void **state)
{
        UNUSED(state);
        struct listing all = page("", "", 2), full = page("", "", 2), empty = page("", "", 2);
        put(&full, "a", 1);
        put(&full, "b", 1);
        put(&full, "c", 1);
        listing_merge(&all, &full, 1);
        expect(&all, "a,b", true);
        listing_merge(&all, &empty, 1);
        expect(&all, "a,b", true);
        listing_done(&all);
}

/* An answer that was cut short says nothing of what comes after its last row: neither does the page. */
static void a_part_that_ended_early_bounds_the_page(void **state)
{
        UNUSED(state);
        struct listing l = page("", "", 10), part = page("", "", 10);
        put(&l, "a", 1);
        put(&l, "f", 1);
        put(&l, "g", 1);
        put(&part, "b", 1);
        put(&part, "c", 1);
        part.more = true;
        listing_bound(&l, SLICE_LIT("c"));
        listing_merge(&l, &part, 1);
        listing_trim(&l);
        expect(&l, "a,b,c", true);
        listing_done(&l);
}

static void what_is_too_long_for_a_key_is_refused(void **state)
{
        UNUSED(state);
        char text[LISTING_KEY_MAX + 1];
        memset(text, 'a', sizeof(text));
        struct listing l;
        assert_false(listing_init(&l, slice_of(text, LISTING_KEY_MAX), SLICE_NONE, 1));
        l = page("", "", 1);
        assert_false(listing_wants(&l, slice_of(text, LISTING_KEY_MAX)));
        assert_true(listing_wants(&l, slice_of(text, LISTING_KEY_MAX - 1)));
        assert_int_equal(page("", "", 100000).limit, LISTING_ROWS_MAX);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_smallest_keys_behind_the_cursor_come_in_order),
                cmocka_unit_test(only_what_begins_with_the_prefix_counts),
                cmocka_unit_test(a_key_that_comes_twice_adds_up),
                cmocka_unit_test(pages_of_many_shards_have_every_key_once),
                cmocka_unit_test(a_full_part_beside_empty_ones_has_more),
                cmocka_unit_test(a_part_that_ended_early_bounds_the_page),
                cmocka_unit_test(what_is_too_long_for_a_key_is_refused),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
