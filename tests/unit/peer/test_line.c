#include "peer/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#define OLD "oooooooooooooooooooooooooooooooo"
#define NEW "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
#define SID SLICE_LIT("AAECAwQFBgcICQoLDA0OabcdefghijklmnopqrstuvwxABCD")
#define NOW INT64_C(1790000000000)
#define WINDOW 10000

static struct peer_keys keys_of(const char *text)
{
        struct peer_keys keys;
        const char *why;
        int r = peer_keys_parse(slice_str(text), &keys, &why);
        assert_int_equal(r, 0);
        return keys;
}

static void a_line_says_what_was_written(void **state)
{
        UNUSED(state);
        struct peer_keys keys = keys_of(NEW);
        static const char *const addresses[] = {
                "203.0.113.7", "2001:db8::1", "", "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"};
        for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
                char text[PEER_LINE_MAX];
                struct peer_line l;
                size_t n = peer_line_write(&keys, SID, slice_str(addresses[i]), NOW, text);
                assert_true(n > 100 && n <= sizeof(text) && text[n - 1] == '\n');
                assert_int_equal(
                        peer_line_read(&keys, slice_of(text, n), NOW, WINDOW, &l), PEER_ACCEPTED);
                assert_true(slice_is(SID, l.sid));
                assert_string_equal(l.client_addr, addresses[i]);
                assert_int_equal(l.time_ms, NOW);
        }
}

static void no_two_lines_have_one_nonce(void **state)
{
        UNUSED(state);
        struct peer_keys keys = keys_of(NEW);
        char text[2][PEER_LINE_MAX];
        struct peer_line l[2];
        for (int i = 0; i < 2; i++) {
                size_t n = peer_line_write(&keys, SID, SLICE_NONE, NOW, text[i]);
                assert_int_equal(peer_line_read(&keys, slice_of(text[i], n), NOW, WINDOW, &l[i]),
                        PEER_ACCEPTED);
        }
        assert_memory_not_equal(l[0].nonce, l[1].nonce, PEER_NONCE_BYTES);
}

static void a_line_is_good_for_its_window(void **state)
{
        UNUSED(state);
        struct peer_keys keys = keys_of(NEW);
        char text[PEER_LINE_MAX];
        struct peer_line l;
        size_t n = peer_line_write(&keys, SID, SLICE_NONE, NOW, text);
        struct slice line = slice_of(text, n);
        static const struct {
                int64_t late;
                enum peer_verdict verdict;
        } rows[] = {{WINDOW, PEER_ACCEPTED}, {-WINDOW, PEER_ACCEPTED}, {WINDOW + 1, PEER_STALE},
                {-WINDOW - 1, PEER_STALE}, {86400000, PEER_STALE}};
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                assert_int_equal(peer_line_read(&keys, line, NOW + rows[i].late, WINDOW, &l),
                        rows[i].verdict);
}

static void two_keys_are_good_during_a_rotation(void **state)
{
        UNUSED(state);
        static const char *const steps[] = {OLD, OLD "\n" NEW, NEW "\n" OLD, NEW};
        for (size_t of = 0; of < ARRAY_LEN(steps); of++) {
                for (size_t by = 0; by < ARRAY_LEN(steps); by++) {
                        struct peer_keys writer = keys_of(steps[of]), reader = keys_of(steps[by]);
                        char text[PEER_LINE_MAX];
                        struct peer_line l;
                        size_t n = peer_line_write(&writer, SID, SLICE_NONE, NOW, text);
                        /* The first two sign with the old key. Neighbours always understand. */
                        bool known = of < 2 ? by != 3 : by != 0;
                        assert_int_equal(
                                peer_line_read(&reader, slice_of(text, n), NOW, WINDOW, &l),
                                known ? PEER_ACCEPTED : PEER_WRONG_KEY);
                }
        }
}

static void a_line_with_any_other_byte_is_refused(void **state)
{
        UNUSED(state);
        struct peer_keys keys = keys_of(NEW);
        char text[PEER_LINE_MAX];
        struct peer_line l;
        size_t n = peer_line_write(&keys, SID, SLICE_LIT("10.0.0.1"), NOW, text);
        /* The last character of the MAC carries two bits that are none. */
        for (size_t i = 0; i + 2 < n; i++) {
                for (int bit = 0; bit < 8; bit++) {
                        text[i] = (char)(text[i] ^ 1 << bit);
                        enum peer_verdict v =
                                peer_line_read(&keys, slice_of(text, n), NOW, WINDOW, &l);
                        assert_true(v == PEER_MALFORMED || v == PEER_WRONG_KEY);
                        text[i] = (char)(text[i] ^ 1 << bit);
                }
                assert_int_equal(
                        peer_line_read(&keys, slice_of(text, i), NOW, WINDOW, &l), PEER_MALFORMED);
        }
        assert_int_equal(peer_line_read(&keys, slice_of(text, n), NOW, WINDOW, &l), PEER_ACCEPTED);
}

static void what_cannot_stand_in_a_line_is_not_written(void **state)
{
        UNUSED(state);
        struct peer_keys keys = keys_of(NEW);
        char text[PEER_LINE_MAX], sid[PEER_SID_MAX + 1];
        memset(sid, 'a', sizeof(sid));
        assert_true(peer_line_write(
                            &keys, slice_of(sid, PEER_SID_MAX), SLICE_LIT("::1"), NOW, text) > 0);
        static const struct {
                const char *sid, *addr;
                int64_t time;
        } bad[] = {{"", "::1", NOW}, {"a b", "::1", NOW}, {"a\n", "::1", NOW}, {"a", "host", NOW},
                {"a", "1.2.3.4 ", NOW}, {"a", "::1", -1}, {"a", "::1", INT64_MAX}};
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                assert_int_equal(peer_line_write(&keys, slice_str(bad[i].sid),
                                         slice_str(bad[i].addr), bad[i].time, text),
                        0);
        assert_int_equal(
                peer_line_write(&keys, slice_of(sid, sizeof(sid)), SLICE_NONE, NOW, text), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_line_says_what_was_written),
                cmocka_unit_test(no_two_lines_have_one_nonce),
                cmocka_unit_test(a_line_is_good_for_its_window),
                cmocka_unit_test(two_keys_are_good_during_a_rotation),
                cmocka_unit_test(a_line_with_any_other_byte_is_refused),
                cmocka_unit_test(what_cannot_stand_in_a_line_is_not_written),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
