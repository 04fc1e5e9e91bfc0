/* The hash table against a plain array, through growth and removal. */
#include "base/map.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

struct item {
        char key[16];
        bool in;
};

static struct slice key_of(const struct item *it)
{
        return slice_str(it->key);
}

static void what_was_put_is_found_and_nothing_else(void **state)
{
        UNUSED(state);
        struct map m = MAP_EMPTY;
        struct item items[3] = {{"a", false}, {"", false}, {"a\xff", false}};
        assert_null(map_get(&m, SLICE_LIT("a")));
        assert_null(map_remove(&m, SLICE_LIT("a")));
        for (int i = 0; i < 3; i++)
                assert_null(map_put(&m, key_of(&items[i]), &items[i]));
        for (int i = 0; i < 3; i++)
                assert_ptr_equal(map_get(&m, key_of(&items[i])), &items[i]);
        assert_null(map_get(&m, SLICE_LIT("b")));
        assert_int_equal(m.count, 3);
        map_done(&m);
}

static void putting_again_replaces_the_value_and_the_borrowed_key(void **state)
{
        UNUSED(state);
        struct map m = MAP_EMPTY;
        struct item *old = xcalloc(1, sizeof(*old));
        old->key[0] = 'k';
        struct item fresh = {"k", false};
        map_put(&m, key_of(old), old);
        assert_ptr_equal(map_put(&m, key_of(&fresh), &fresh), old);
        /* If the table still read the old key, the address sanitizer would say so. */
        free(old);
        assert_ptr_equal(map_get(&m, SLICE_LIT("k")), &fresh);
        assert_int_equal(m.count, 1);
        map_done(&m);
}

static void a_long_random_life_agrees_with_a_plain_array(void **state)
{
        UNUSED(state);
        enum { N = 300, STEPS = 60000 };
        static struct item items[N];
        struct map m = MAP_EMPTY;
        uint64_t seed = 88172645463325252ULL;
        size_t in = 0;
        for (int i = 0; i < N; i++)
                snprintf(items[i].key, sizeof(items[i].key), "key-%d", i);
        for (int step = 0; step < STEPS; step++) {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                struct item *it = &items[seed % N];
                assert_ptr_equal(map_get(&m, key_of(it)), it->in ? it : NULL);
                if (it->in)
                        assert_ptr_equal(map_remove(&m, key_of(it)), it);
                else
                        assert_null(map_put_hashed(&m, key_of(it), hash_key(key_of(it)), it));
                it->in = !it->in;
                in += it->in ? 1 : (size_t)-1;
                assert_int_equal(m.count, in);
        }
        size_t seen = 0, at = 0;
        struct item *it;
        while ((it = map_next(&m, &at))) {
                assert_true(it->in);
                seen++;
        }
        assert_int_equal(seen, in);
        /* Removed slots do not make the table grow for ever. */
        assert_true(m.cap <= 4096);
        map_done(&m);
}

static void the_element_under_the_iterator_may_be_removed(void **state)
{
        UNUSED(state);
        struct map m = MAP_EMPTY;
        struct item items[50];
        for (int i = 0; i < 50; i++) {
                snprintf(items[i].key, sizeof(items[i].key), "%d", i);
                map_put(&m, key_of(&items[i]), &items[i]);
        }
        size_t at = 0, seen = 0;
        struct item *it;
        while ((it = map_next(&m, &at))) {
                assert_ptr_equal(map_remove(&m, key_of(it)), it);
                seen++;
        }
        assert_int_equal(seen, 50);
        assert_true(m.count == 0 && m.slots == NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_was_put_is_found_and_nothing_else),
                cmocka_unit_test(putting_again_replaces_the_value_and_the_borrowed_key),
                cmocka_unit_test(a_long_random_life_agrees_with_a_plain_array),
                cmocka_unit_test(the_element_under_the_iterator_may_be_removed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
