#include "realtime/engine_sid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static void a_sid_names_its_shard_and_its_instance(void **state)
{
        (void)state;
        uint8_t sid[ENGINE_SID_BYTES], back[ENGINE_SID_BYTES];
        char text[ENGINE_SID_TEXT];
        engine_sid_draw(sid, 3, 0xdeadbeef);
        engine_sid_text(sid, text);
        assert_true(engine_sid_parse(slice_of(text, sizeof(text)), 0xdeadbeef, 4, back));
        assert_memory_equal(sid, back, sizeof(sid));
        assert_int_equal(engine_sid_shard(back), 3);
}

static void sids_of_others_are_refused(void **state)
{
        (void)state;
        uint8_t sid[ENGINE_SID_BYTES], back[ENGINE_SID_BYTES];
        char text[ENGINE_SID_TEXT];
        engine_sid_draw(sid, 3, 1);
        engine_sid_text(sid, text);
        struct slice s = slice_of(text, sizeof(text));
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_sid_names_its_shard_and_its_instance),
                cmocka_unit_test(sids_of_others_are_refused),
                cmocka_unit_test(sids_differ),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
