#include "peer/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static int parse(const char *text, struct peer_keys *keys)
{
        const char *why = NULL;
        int r = peer_keys_parse(slice_str(text), keys, &why);
        assert_true(r == 0 || why != NULL);
        return r;
}

static void one_or_two_keys_are_read(void **state)
{
        UNUSED(state);
        struct peer_keys keys;
        assert_int_equal(parse(KEY_A, &keys), 0);
        assert_int_equal(keys.count, 1);
        assert_int_equal(parse("\n" KEY_A "\r\n\n" KEY_B "\n", &keys), 0);
        assert_int_equal(keys.count, 2);
        assert_int_equal(keys.keys[0].n, 32);
        assert_memory_equal(keys.keys[1].bytes, KEY_B, 32);
}

static void other_files_are_refused(void **state)
{
        UNUSED(state);
        struct peer_keys keys;
        char longest[PEER_KEY_MAX + 2];
        memset(longest, 'k', sizeof(longest));
        longest[PEER_KEY_MAX] = '\0';
        assert_int_equal(parse(longest, &keys), 0);
        longest[PEER_KEY_MAX] = 'k';
        longest[PEER_KEY_MAX + 1] = '\0';
        assert_int_equal(parse(longest, &keys), -EINVAL);
        assert_int_equal(parse("", &keys), -EINVAL);
        assert_int_equal(parse("\n\r\n", &keys), -EINVAL);
        assert_int_equal(parse("too short", &keys), -EINVAL);
        assert_int_equal(parse(KEY_A "\nshort", &keys), -EINVAL);
        assert_int_equal(parse(KEY_A "\n" KEY_B "\n" KEY_A, &keys), -EINVAL);
}

/* RFC 4231 has no case of this form; the value is openssl's: printf 'line\0data' | openssl dgst
 * -sha256 -mac HMAC -macopt key:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa */
static void the_mac_is_hmac_sha256_over_purpose_and_data(void **state)
{
        UNUSED(state);
        struct peer_keys keys;
        uint8_t mac[PEER_MAC_BYTES], other[PEER_MAC_BYTES];
        char hex[2 * PEER_MAC_BYTES + 1];
        assert_int_equal(parse(KEY_A "\n" KEY_B, &keys), 0);
        peer_mac(&keys, 0, "line", SLICE_LIT("data"), mac);
        for (size_t i = 0; i < sizeof(mac); i++)
                snprintf(hex + 2 * i, 3, "%02x", mac[i]);
        assert_string_equal(
                hex, "e6e3746f4f8bd4bf53cc62b2f29792e7ffc71d07aedda55b90f9210852f1c409");
        peer_mac(&keys, 1, "line", SLICE_LIT("data"), other);
        assert_false(peer_mac_equal(mac, other, sizeof(mac)));
        peer_mac(&keys, 0, "place", SLICE_LIT("data"), other);
        assert_false(peer_mac_equal(mac, other, sizeof(mac)));
        peer_mac(&keys, 0, "line", SLICE_LIT("data"), other);
        assert_true(peer_mac_equal(mac, other, sizeof(mac)));
}

static char *faults_of(const char *name, ...)
{
        char *env[8];
        size_t n = 0;
        va_list ap;
        va_start(ap, name);
        for (const char *e = name; e; e = va_arg(ap, const char *))
                env[n++] = (char *)(uintptr_t)e;
        va_end(ap);
        env[n] = NULL;
        struct peer_settings s = {0};
        struct config_group g = {"x", peer_settings_rows, peer_settings_count, &s};
        struct config_result result;
        assert_int_equal(config_load(&g, 1, env, &result), 0);
        peer_settings_check(&s, &result.faults);
        char *text = xstrdup(buf_cstr(&result.faults));
        config_result_done(&result);
        config_free(&g, 1);
        return text;
}

static void settings_that_cannot_work_are_named(void **state)
{
        UNUSED(state);
        char path[] = "/tmp/tern-key-XXXXXX", key[64];
        int fd = mkstemp(path);
        assert_int_equal(write(fd, KEY_A "\n", 33), 33);
        close(fd);
        snprintf(key, sizeof(key), "TERN_SPLICE_KEY_FILE=%s", path);
        char *none[] = {
                faults_of("TERN_SPLICE_PORT=1", NULL), /* without a key nothing is judged */
                faults_of(key, "TERN_SPLICE_ADDRESS=10.0.0.1", NULL),
                faults_of(key, "TERN_SPLICE_BIND=127.0.0.1", NULL),
                faults_of(key, "TERN_SPLICE_BIND=::1", "TERN_SPLICE_PORT=0", NULL),
        };
        for (size_t i = 0; i < ARRAY_LEN(none); i++) {
                assert_string_equal(none[i], "");
                free(none[i]);
        }
        struct {
                char *faults;
                const char *name;
        } some[] = {
                {faults_of(key, NULL), "TERN_SPLICE_ADDRESS"},
                {faults_of(key, "TERN_SPLICE_ADDRESS=gateway-7", NULL), "TERN_SPLICE_ADDRESS"},
                {faults_of(key, "TERN_SPLICE_ADDRESS=::", NULL), "TERN_SPLICE_ADDRESS"},
                {faults_of(key, "TERN_SPLICE_BIND=::1", "TERN_SPLICE_PORT=4000", NULL),
                        "TERN_SPLICE_PORT"},
                {faults_of(key, "TERN_SPLICE_BIND=::1", "TERN_SPLICE_PORT_MIN=4000", NULL),
                        "TERN_SPLICE_PORT_MIN"},
        };
        for (size_t i = 0; i < ARRAY_LEN(some); i++) {
                assert_non_null(strstr(some[i].faults, some[i].name));
                free(some[i].faults);
        }
        assert_int_equal(truncate(path, 10), 0);
        char *faults = faults_of(key, "TERN_SPLICE_ADDRESS=10.0.0.1", NULL);
        assert_non_null(strstr(faults, "TERN_SPLICE_KEY_FILE"));
        assert_null(strstr(faults, "aaaa"));
        free(faults);
        unlink(path);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_or_two_keys_are_read),
                cmocka_unit_test(other_files_are_refused),
                cmocka_unit_test(the_mac_is_hmac_sha256_over_purpose_and_data),
                cmocka_unit_test(settings_that_cannot_work_are_named),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
