#include "peer/place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/hash.h"

#define OLD "oooooooooooooooooooooooooooooooo"
#define NEW "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
#define OWNER SLICE_LIT("fifteen bytes..")

static struct peer_keys keys_of(const char *text)
{
        struct peer_keys keys;
        const char *why;
        int r = peer_keys_parse(slice_str(text), &keys, &why);
        assert_int_equal(r, 0);
        return keys;
}

static void addresses_are_numbers(void **state)
{
        UNUSED(state);
        struct peer_place a, b;
        assert_true(peer_place_parse("10.1.2.3", 65535, &a));
        assert_int_equal(a.addr_n, 4);
        assert_true(peer_place_parse("::ffff:10.1.2.3", 65535, &b));
        assert_true(peer_place_equal(&a, &b));
        assert_true(peer_place_parse("fe80::1", 1, &b));
        assert_int_equal(b.addr_n, 16);
        assert_false(peer_place_equal(&a, &b));
        static const char *const bad[] = {"", "localhost", "10.1.2", "10.1.2.3:80", "fe80::1%eth0"};
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                assert_false(peer_place_parse(bad[i], 80, &a));
        assert_false(peer_place_parse("10.1.2.3", 0, &a));
        assert_false(peer_place_parse("10.1.2.3", 65536, &a));
}

static void what_was_sealed_is_opened_by_who_has_the_key(void **state)
{
        UNUSED(state);
        struct peer_keys keys = keys_of(NEW);
        struct peer_place place, back;
        char text[PEER_PLACE_TEXT_MAX];
        static const char *const addresses[] = {"192.168.7.1", "2001:db8::77"};
        for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
                assert_true(peer_place_parse(addresses[i], 3106, &place));
                size_t n = peer_place_seal(&keys, OWNER, &place, text);
                assert_int_equal(n, i == 0 ? PEER_PLACE_TEXT_V4 : PEER_PLACE_TEXT_V6);
                assert_true(peer_place_open(&keys, OWNER, slice_of(text, n), &back));
                assert_true(peer_place_equal(&place, &back));
                assert_false(peer_place_open(
                        &keys, SLICE_LIT("fifteen bytes.,"), slice_of(text, n), &back));
        }
}

/* Old and new key in the three steps of a rotation: each gateway opens what the others seal. */
static void two_keys_are_good_during_a_rotation(void **state)
{
        UNUSED(state);
        static const char *const steps[] = {OLD, OLD "\n" NEW, NEW "\n" OLD, NEW};
        struct peer_place place, back;
        assert_true(peer_place_parse("10.0.0.1", 3106, &place));
        for (size_t of = 0; of < ARRAY_LEN(steps); of++) {
                for (size_t by = 0; by < ARRAY_LEN(steps); by++) {
                        struct peer_keys sealer = keys_of(steps[of]), opener = keys_of(steps[by]);
                        char text[PEER_PLACE_TEXT_MAX];
                        size_t n = peer_place_seal(&sealer, OWNER, &place, text);
                        /* The first two sign with the old key. Neighbours always understand. */
                        bool known = of < 2 ? by != 3 : by != 0;
                        assert_int_equal(
                                peer_place_open(&opener, OWNER, slice_of(text, n), &back), known);
                }
        }
}

static void the_client_does_not_see_the_address(void **state)
{
        UNUSED(state);
        struct peer_keys keys = keys_of(NEW);
        struct peer_place place;
        char text[PEER_PLACE_TEXT_MAX];
        uint8_t bytes[64];
        assert_true(peer_place_parse("1.2.3.4", 0x0506, &place));
        size_t n = peer_place_seal(&keys, OWNER, &place, text);
        ptrdiff_t bytes_n = base64url_decode(slice_of(text, n), bytes, sizeof(bytes));
        assert_int_equal(bytes_n, 18);
        assert_null(memmem(bytes, 18, "\1\2\3\4", 4));
        assert_null(memmem(bytes, 18, "\5\6", 2));
        /* Nor that two sessions live in one place. */
        char other[PEER_PLACE_TEXT_MAX];
        (void)peer_place_seal(&keys, SLICE_LIT("fifteen others.."), &place, other);
        assert_memory_not_equal(text + 2, other + 2, 8);
}

static void random_texts_open_nowhere(void **state)
{
        UNUSED(state);
        struct peer_keys keys = keys_of(OLD "\n" NEW);
        struct peer_place back;
        for (int i = 0; i < 20000; i++) {
                uint8_t bytes[48];
                char text[64];
                random_bytes(bytes, sizeof(bytes));
                bytes[0] = i % 2 ? 4 : 16;
                size_t n = base64url_encode(bytes, i % 2 ? 18 : 30, text);
                assert_false(peer_place_open(&keys, OWNER, slice_of(text, n), &back));
        }
        assert_false(peer_place_open(&keys, OWNER, SLICE_NONE, &back));
        assert_false(peer_place_open(&keys, OWNER, SLICE_LIT("????????????????????????"), &back));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(addresses_are_numbers),
                cmocka_unit_test(what_was_sealed_is_opened_by_who_has_the_key),
                cmocka_unit_test(two_keys_are_good_during_a_rotation),
                cmocka_unit_test(the_client_does_not_see_the_address),
                cmocka_unit_test(random_texts_open_nowhere),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
