/* Binary packets while their attachments come in. */
#include "wire/attachments.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static struct sio_packet decode(const char *text)
{
        struct sio_packet p;
        assert_true(sio_decode(slice_str(text), 10, &p));
        return p;
}

static void a_packet_is_whole_with_its_last_attachment(void **state)
{
        UNUSED(state);
        char *text = xstrdup(
                "52-/"
                "n,7[\"a\",{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]");
        struct sio_packet p = decode(text);
        struct sio_assembly *a;
        assert_int_equal(sio_assembly_new(&p, 1000, &a), 0);
        /* The input is the connection's buffer and moves on. */
        memset(text, 'x', strlen(text));
        free(text);
        char first[] = "\1\2\3";
        assert_int_equal(sio_assembly_add(a, slice_of(first, 3)), 0);
        memset(first, 'x', 3);
        assert_int_equal(sio_assembly_add(a, SLICE_LIT("\0z")), 1);
        const struct sio_packet *whole = sio_assembly_packet(a);
        const struct slice *at = sio_assembly_attachments(a);
        assert_true(
                whole->type == SIO_BINARY_EVENT && whole->ack_id == 7 && whole->attachments == 2);
        assert_true(slice_is(whole->nsp, "/n"));
        assert_true(slice_is(whole->payload,
                "[\"a\",{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]"));
        assert_true(slice_is(at[0], "\1\2\3"));
        assert_true(slice_eq(at[1], SLICE_LIT("\0z")));
        assert_null(sio_assembly_free(a));
        assert_null(sio_assembly_free(NULL));
}

static void empty_attachments_are_valid(void **state)
{
        UNUSED(state);
        struct sio_packet p = decode("63-1[]");
        struct sio_assembly *a;
        assert_int_equal(sio_assembly_new(&p, 1000, &a), 0);
        assert_int_equal(sio_assembly_add(a, SLICE_NONE), 0);
        assert_int_equal(sio_assembly_add(a, SLICE_LIT("")), 0);
        assert_int_equal(sio_assembly_add(a, SLICE_NONE), 1);
        for (int i = 0; i < 3; i++)
                assert_int_equal(sio_assembly_attachments(a)[i].n, 0);
        sio_assembly_free(a);
}

static void placeholders_that_name_nothing_are_refused_at_once(void **state)
{
        UNUSED(state);
        struct sio_assembly *a;
        static const char *const rows[] = {"51-[\"a\",{\"_placeholder\":true,\"num\":1}]",
                "51-[\"a\",{\"_placeholder\":true,\"num\":-1}]",
                "510-[\"a\",{\"_placeholder\":true,\"num\":1000000000}]",
                "51-[\"a\",{\"_placeholder\":true,\"num\":\"0\"}]",
                "61-1[{\"_placeholder\":true}]"};
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct sio_packet p = decode(rows[i]);
                assert_int_equal(sio_assembly_new(&p, 1000, &a), -EINVAL);
        }
}

static void header_and_attachments_share_one_bound(void **state)
{
        UNUSED(state);
        struct sio_packet p = decode("52-[\"a\"]"); /* 6 bytes: namespace and payload */
        struct sio_assembly *a;
        assert_int_equal(sio_assembly_new(&p, 5, &a), -EMSGSIZE);
        assert_int_equal(sio_assembly_new(&p, 0, &a), -EMSGSIZE);
        assert_int_equal(sio_assembly_new(&p, 10, &a), 0);
        assert_int_equal(sio_assembly_add(a, SLICE_LIT("abc")), 0);
        assert_int_equal(sio_assembly_add(a, SLICE_LIT("de")), -EMSGSIZE);
        assert_int_equal(sio_assembly_add(a, SLICE_LIT("d")), 1);
        sio_assembly_free(a);
        assert_int_equal(sio_assembly_new(&p, 10, &a), 0);
        /* Left half-way, as when its connection closes. */
        assert_int_equal(sio_assembly_add(a, SLICE_LIT("abc")), 0);
        sio_assembly_free(a);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_packet_is_whole_with_its_last_attachment),
                cmocka_unit_test(empty_attachments_are_valid),
                cmocka_unit_test(placeholders_that_name_nothing_are_refused_at_once),
                cmocka_unit_test(header_and_attachments_share_one_bound),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
