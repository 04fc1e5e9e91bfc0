/* The partitioner against Java's vectors, SipHash, base64 and UUIDs. */
#include "base/hash.h"

#include "base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void murmur2_is_the_java_clients(void **state)
{
        UNUSED(state);
        static const struct {
                const char *key;
                int32_t hash;
        } rows[] = {
                {"21", -973932308},
                {"foobar", -790332482},
                {"a-little-bit-long-string", -985981536},
                {"a-little-bit-longer-string", -1486304829},
                {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                {"abc", 479470107},
        };
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                assert_int_equal((int32_t)hash_murmur2(slice_str(rows[i].key)), rows[i].hash);
}

static void a_negative_hash_gives_a_partition_as_java_makes_it_positive(void **state)
{
        UNUSED(state);
        /* toPositive() clears the sign bit, it does not negate. */
        assert_int_equal(partition_of(SLICE_LIT("21"), 16), (-973932308 & 0x7fffffff) % 16);
        assert_int_equal(partition_of(SLICE_LIT("abc"), 16), 479470107 % 16);
        assert_int_equal(partition_of(SLICE_NONE, 1), 0);
        for (uint32_t n = 1; n < 70; n++)
                assert_true(partition_of(SLICE_LIT("foobar"), n) < n);
}

static void siphash_1_3_matches_an_independent_implementation(void **state)
{
        UNUSED(state);
        static const struct {
                size_t n;
                uint64_t hash;
        } rows[] = {
                {0, 0xabac0158050fc4dcULL},
                {1, 0xc9f49bf37d57ca93ULL},
                {7, 0xd3927d989bb11140ULL},
                {8, 0x369095118d299a8eULL},
                {15, 0xd320d86d2a519956ULL},
                {63, 0x9d199062b7bbb3a8ULL},
        };
        const uint64_t secret[2] = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};
        char input[64];
        for (size_t i = 0; i < sizeof(input); i++)
                input[i] = (char)i;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                assert_true(hash_siphash13(secret, slice_of(input, rows[i].n)) == rows[i].hash);
}

static void a_key_hashes_the_same_within_a_process(void **state)
{
        UNUSED(state);
        char copy[] = "conversation";
        assert_true(hash_key(SLICE_LIT("conversation")) == hash_key(slice_str(copy)));
        assert_true(hash_key(SLICE_LIT("conversation")) != hash_key(SLICE_LIT("conversatioN")));
        assert_true(hash_key(SLICE_NONE) == hash_key(SLICE_LIT("")));
}

static void random_numbers_differ(void **state)
{
        UNUSED(state);
        assert_true(random_u64() != random_u64());
}

static void base64_follows_the_rfcs_examples(void **state)
{
        UNUSED(state);
        static const char *const rows[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
                {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                char text[16], back[16];
                size_t n = base64_encode(rows[i][0], strlen(rows[i][0]), text);
                assert_true(slice_is(slice_of(text, n), rows[i][1]));
                assert_int_equal(n, base64_len(strlen(rows[i][0])));
                n = base64_decode_lenient(slice_of(text, n), back);
                assert_true(slice_is(slice_of(back, n), rows[i][0]));
        }
}

static void lenient_base64_takes_what_node_takes(void **state)
{
        UNUSED(state);
        char out[16];
        assert_int_equal(base64_decode_lenient(SLICE_LIT("AQID"), out), 3);
        assert_memory_equal(out, "\1\2\3", 3);
        assert_int_equal(base64_decode_lenient(SLICE_LIT("-_-_"), out), 3);
        assert_memory_equal(out, "\xfb\xff\xbf", 3);
        assert_int_equal(base64_decode_lenient(SLICE_LIT("+/+/"), out), 3);
        assert_memory_equal(out, "\xfb\xff\xbf", 3);
        assert_int_equal(base64_decode_lenient(SLICE_LIT("Zm 9*v"), out), 3);
        assert_int_equal(base64_decode_lenient(SLICE_LIT("Zg"), out), 1);
        assert_int_equal(base64_decode_lenient(SLICE_LIT("Z"), out), 0);
        assert_int_equal(base64_decode_lenient(SLICE_NONE, out), 0);
}

static void strict_base64url_takes_one_text_per_value(void **state)
{
        UNUSED(state);
        char text[8], out[8];
        size_t n = base64url_encode("\xfb\xff\xbf\x01", 4, text);
        assert_true(slice_is(slice_of(text, n), "-_-_AQ"));
        assert_int_equal(base64url_decode(slice_of(text, n), out, sizeof(out)), 4);
        assert_int_equal(base64url_decode(SLICE_LIT("-_-_AQ"), out, 3), -1);
        assert_int_equal(base64url_decode(SLICE_LIT("-_-_AR"), out, sizeof(out)), -1);
        assert_int_equal(base64url_decode(SLICE_LIT("AQ=="), out, sizeof(out)), -1);
        assert_int_equal(base64url_decode(SLICE_LIT("+/+/"), out, sizeof(out)), -1);
        assert_int_equal(base64url_decode(SLICE_LIT("A"), out, sizeof(out)), -1);
        assert_int_equal(base64url_decode(SLICE_NONE, out, 0), 0);
}

static void uuids_bear_their_version(void **state)
{
        UNUSED(state);
        char a[UUID_TEXT], b[UUID_TEXT];
        uuid_v7(1769860800000, a);
        uuid_v7(1769860800001, b);
        assert_true(uuid_valid(slice_str(a)) && a[14] == '7' && strchr("89ab", a[19]));
        assert_true(strcmp(a, b) < 0);
        const uint8_t digest[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
        uuid_from_digest(digest, a);
        assert_string_equal(a, "ffffffff-ffff-8fff-bfff-ffffffffffff");
}

static void other_text_is_no_uuid(void **state)
{
        UNUSED(state);
        assert_true(uuid_valid(SLICE_LIT("0190A5C1-7e1b-7000-8000-00000000000F")));
        assert_false(uuid_valid(SLICE_LIT("0190a5c1-7e1b-7000-8000-00000000000g")));
        assert_false(uuid_valid(SLICE_LIT("0190a5c107e1b-7000-8000-00000000000f")));
        assert_false(uuid_valid(SLICE_LIT("0190a5c1-7e1b-7000-8000-00000000000")));
        assert_false(uuid_valid(SLICE_NONE));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(murmur2_is_the_java_clients),
                cmocka_unit_test(a_negative_hash_gives_a_partition_as_java_makes_it_positive),
                cmocka_unit_test(siphash_1_3_matches_an_independent_implementation),
                cmocka_unit_test(a_key_hashes_the_same_within_a_process),
                cmocka_unit_test(random_numbers_differ),
                cmocka_unit_test(base64_follows_the_rfcs_examples),
                cmocka_unit_test(lenient_base64_takes_what_node_takes),
                cmocka_unit_test(strict_base64url_takes_one_text_per_value),
                cmocka_unit_test(uuids_bear_their_version),
                cmocka_unit_test(other_text_is_no_uuid),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
