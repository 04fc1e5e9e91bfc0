#include "realtime/engine_sid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void a_sid_names_its_shard_and_its_instance(void **state)
{
        (void)state;
        uint8_t sid[ENGINE_SID_BYTES], back[ENGINE_SID_BYTES];
        char text[ENGINE_SID_TEXT_MAX];
        engine_sid_draw(sid, 3, 0xdeadbeef);
        assert_int_equal(engine_sid_text(sid, NULL, NULL, text), ENGINE_SID_TEXT);
        assert_true(engine_sid_parse(slice_of(text, ENGINE_SID_TEXT), 0xdeadbeef, 4, back));
        assert_memory_equal(sid, back, sizeof(sid));
        assert_int_equal(engine_sid_shard(back), 3);
}

static void sids_of_others_are_refused(void **state)
{
        (void)state;
        uint8_t sid[ENGINE_SID_BYTES], back[ENGINE_SID_BYTES];
        char text[ENGINE_SID_TEXT_MAX];
        engine_sid_draw(sid, 3, 1);
        struct slice s = slice_of(text, engine_sid_text(sid, NULL, NULL, text));
        assert_false(engine_sid_parse(s, 2, 4, back));
        assert_false(engine_sid_parse(s, 1, 3, back));
        assert_false(engine_sid_parse(slice_of(text, 19), 1, 4, back));
        assert_false(engine_sid_parse(SLICE_LIT("AAAAAAAAAAAAAAAAAAA="), 1, 4, back));
        assert_false(engine_sid_parse(SLICE_LIT("?"), 1, 4, back));
        assert_false(engine_sid_parse(SLICE_NONE, 1, 4, back));
}

static void sids_differ(void **state)
{
        (void)state;
        uint8_t a[ENGINE_SID_BYTES], b[ENGINE_SID_BYTES];
        engine_sid_draw(a, 0, 1);
        engine_sid_draw(b, 0, 1);
        assert_memory_not_equal(a, b, sizeof(a));
}

static struct peer_keys one_key(const char *text)
{
        struct peer_keys keys;
        const char *why;
        int r = peer_keys_parse(slice_str(text), &keys, &why);
        assert_int_equal(r, 0);
        return keys;
}

static void a_sid_with_a_place_leads_others_to_its_owner(void **state)
{
        (void)state;
        static const char *const addresses[] = {"10.1.2.3", "fd00::17"};
        struct peer_keys keys = one_key("0123456789abcdef0123456789abcdef");
        for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
                uint8_t sid[ENGINE_SID_BYTES], back[ENGINE_SID_BYTES];
                char text[ENGINE_SID_TEXT_MAX];
                struct peer_place place, found;
                assert_true(peer_place_parse(addresses[i], 3106, &place));
                engine_sid_draw(sid, 3, 7);
                struct slice s = slice_of(text, engine_sid_text(sid, &keys, &place, text));
                assert_int_equal(s.n, i == 0 ? 44 : 60);
                assert_true(engine_sid_parse(s, 7, 4, back));
                assert_memory_equal(sid, back, sizeof(sid));
                assert_true(engine_sid_foreign(s, 8, &keys, &found));
                assert_true(peer_place_equal(&place, &found));
                assert_false(engine_sid_foreign(s, 7, &keys, &found)); /* its own */
                assert_false(engine_sid_foreign(slice_of(s.p, s.n - 1), 8, &keys, &found));
        }
}

static void a_sid_that_was_tampered_with_leads_nowhere(void **state)
{
        (void)state;
        struct peer_keys keys = one_key("0123456789abcdef0123456789abcdef");
        struct peer_keys others = one_key("0123456789abcdef0123456789abcdeg");
        uint8_t sid[ENGINE_SID_BYTES], other[ENGINE_SID_BYTES];
        char text[ENGINE_SID_TEXT_MAX], plain[ENGINE_SID_TEXT_MAX];
        struct peer_place place, found;
        assert_true(peer_place_parse("10.1.2.3", 3106, &place));
        engine_sid_draw(sid, 3, 7);
        struct slice s = slice_of(text, engine_sid_text(sid, &keys, &place, text));
        assert_false(engine_sid_foreign(s, 8, &others, &found));
        /* Any character of it: the id, the address, the port, the MAC. */
        for (size_t i = 0; i < s.n; i++) {
                char was = text[i];
                text[i] = was == 'A' ? 'B' : 'A';
                assert_false(engine_sid_foreign(s, 8, &keys, &found));
                text[i] = was;
        }
        /* The place of one session behind the id of another. */
        engine_sid_draw(other, 3, 7);
        (void)engine_sid_text(other, NULL, NULL, plain);
        memcpy(text, plain, ENGINE_SID_TEXT);
        assert_false(engine_sid_foreign(s, 8, &keys, &found));
        /* No place at all. */
        assert_false(engine_sid_foreign(slice_of(plain, ENGINE_SID_TEXT), 8, &keys, &found));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_sid_names_its_shard_and_its_instance),
                cmocka_unit_test(sids_of_others_are_refused),
                cmocka_unit_test(sids_differ),
                cmocka_unit_test(a_sid_with_a_place_leads_others_to_its_owner),
                cmocka_unit_test(a_sid_that_was_tampered_with_leads_nowhere),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
