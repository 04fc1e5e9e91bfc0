/* Addresses, networks, and whom trusted proxies speak for. */
#include "base/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static struct networks *nets(const char *list)
{
        struct networks *n = NULL;
        struct slice bad;
        assert_int_equal(networks_new(list, &n, &bad), 0);
        return n;
}

static void numeric_addresses_only(void **state)
{
        UNUSED(state);
        uint8_t b[16];
        assert_int_equal(address_bytes(SLICE_LIT("192.0.2.1"), b), 4);
        assert_int_equal(address_bytes(SLICE_LIT("2001:db8::1"), b), 16);
        assert_int_equal(address_bytes(SLICE_LIT("::ffff:192.0.2.1"), b), 4);
        assert_int_equal(b[0], 192);
        assert_int_equal(address_key(SLICE_LIT("2001:db8::1"), b), 8);
        const char *const none[] = {"", "1.2.3", "1.2.3.4:80", "[::1]", "localhost", "1.2.3.4 ", "unknown"};
        for (size_t i = 0; i < ARRAY_LEN(none); i++)
                assert_int_equal(address_bytes(slice_str(none[i]), b), 0);
        assert_int_equal(address_bytes(slice_of("1.2.3.4\0x", 9), b), 0);
}

static void networks_hold_their_own(void **state)
{
        UNUSED(state);
        struct networks *n = nets("10.0.0.0/8, 192.0.2.7,fd00::/9,0.0.0.0/32");
        assert_true(networks_hold(n, SLICE_LIT("10.255.0.1")));
        assert_true(networks_hold(n, SLICE_LIT("::ffff:10.1.1.1")));
        assert_true(networks_hold(n, SLICE_LIT("192.0.2.7")));
        assert_true(networks_hold(n, SLICE_LIT("fd7f::1")));
        assert_false(networks_hold(n, SLICE_LIT("fd80::1")));
        assert_false(networks_hold(n, SLICE_LIT("192.0.2.8")));
        assert_false(networks_hold(n, SLICE_LIT("11.0.0.1")));
        assert_false(networks_hold(n, SLICE_LIT("")));
        assert_false(networks_hold(NULL, SLICE_LIT("10.0.0.1")));
        networks_free(n);
        n = nets("0.0.0.0/0");
        assert_true(networks_hold(n, SLICE_LIT("8.8.8.8")));
        assert_false(networks_hold(n, SLICE_LIT("::1")));
        networks_free(n);
        const char *const bad[] = {"10.0.0.0/33", "x", "10.0.0.0/", "10.0.0.0/8/8", "::/129", "10.0.0.0/8,nobody"};
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                struct slice what;
                assert_true(networks_new(bad[i], &n, &what) < 0);
                assert_true(what.n > 0);
        }
}

static void behind(const char *peer, const char *forwarded, const char *want)
{
        struct networks *n = nets("10.0.0.0/8");
        struct slice got = address_behind(n, slice_str(peer), slice_str(forwarded));
        assert_int_equal(got.n, strlen(want));
        assert_memory_equal(got.p, want, got.n);
        networks_free(n);
}

static void only_what_trusted_proxies_say_counts(void **state)
{
        UNUSED(state);
        behind("192.0.2.1", "1.1.1.1", "192.0.2.1"); /* who is no proxy may say what he likes */
        behind("10.0.0.1", "1.1.1.1", "1.1.1.1");
        behind("10.0.0.1", "6.6.6.6, 1.1.1.1", "1.1.1.1"); /* the client's own words stand first */
        behind("10.0.0.1", "1.1.1.1,10.0.0.2 , 10.3.0.1", "1.1.1.1");
        behind("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3");
        behind("10.0.0.1", "1.1.1.1, unknown", "10.0.0.1");
        behind("10.0.0.1", "", "10.0.0.1");
        behind("10.0.0.1", ",,", "10.0.0.1");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(numeric_addresses_only),
                cmocka_unit_test(networks_hold_their_own),
                cmocka_unit_test(only_what_trusted_proxies_say_counts),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
