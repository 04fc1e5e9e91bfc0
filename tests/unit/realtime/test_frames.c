#include "realtime/frames.h"
#include "realtime/socketio_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static void expect(const struct msg *m, struct slice ws, const char *poll)
{
        assert_int_equal(m->ws_n, ws.n);
        assert_memory_equal(m->bytes, ws.p, ws.n);
        assert_int_equal(m->poll_n, strlen(poll));
        assert_memory_equal(m->bytes + m->poll_at, poll, m->poll_n);
}

static void text_lies_in_a_message_once(void **state)
{
        (void)state;
        struct msg *m = sio_frame(
                SLICE_LIT("/"), SLICE_LIT("a\"b"), SLICE_LIT("1,{\"x\":2}"), SLICE_NONE, NULL, 0);
        expect(m,
                SLICE_LIT("\x81\x14"
                          "42[\"a\\\"b\",1,{\"x\":2}]"),
                "42[\"a\\\"b\",1,{\"x\":2}]");
        assert_int_equal(m->poll_at, 2);
        assert_int_equal(m->cursor_n, 0);
        assert_int_equal(m->flags, 0);
        msg_unref(m);
}

static void a_namespace_and_a_cursor_stand_where_they_should(void **state)
{
        (void)state;
        struct msg *m = sio_frame(
                SLICE_LIT("/adm"), SLICE_LIT("e"), SLICE_NONE, SLICE_LIT("Q8BY"), NULL, 0);
        expect(m,
                SLICE_LIT("\x81\x13"
                          "42/adm,[\"e\",\"Q8BY\"]"),
                "42/adm,[\"e\",\"Q8BY\"]");
        assert_int_equal(m->cursor_n, 4);
        assert_memory_equal(m->bytes + m->cursor_at, "Q8BY", 4);
        msg_unref(m);
}

static void attachments_are_frames_of_their_own_and_base64_when_polled(void **state)
{
        (void)state;
        struct slice parts[] = {SLICE_LIT("\x01\x02\x03"), SLICE_NONE};
        struct msg *m = sio_frame(SLICE_LIT("/"), SLICE_LIT("b"),
                SLICE_LIT("{\"_placeholder\":true,\"num\":0},1"), SLICE_LIT("C"), parts, 2);
        const char *text = "452-[\"b\",{\"_placeholder\":true,\"num\":0},1,\"C\"]";
        char ws[128], poll[128];
        int n = snprintf(
                ws, sizeof(ws), "\x81%c%s\x82\x03\x01\x02\x03\x82", (char)strlen(text), text);
        ws[n] = '\0'; /* the empty frame's length */
        (void)snprintf(poll, sizeof(poll),
                "%s\x1e"
                "bAQID\x1e"
                "b",
                text);
        expect(m, slice_of(ws, (size_t)n + 1), poll);
        assert_memory_equal(m->bytes + m->cursor_at, "C", 1);
        msg_unref(m);
}

static void long_texts_have_long_headers(void **state)
{
        (void)state;
        static const size_t sizes[] = {125, 126, 65535, 65536};
        static const size_t headers[] = {2, 4, 4, 10};
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                char *text = malloc(sizes[i]);
                memset(text, 'x', sizes[i]);
                struct msg *m = frame_packet(slice_of(text, sizes[i]), NULL, 0);
                assert_int_equal(m->poll_at, headers[i]);
                assert_int_equal(m->ws_n, headers[i] + sizes[i]);
                assert_memory_equal(m->bytes + m->poll_at, text, sizes[i]);
                msg_unref(m);
                m = frame_binary(slice_of(text, sizes[i]));
                assert_int_equal(m->ws_n, headers[i] + sizes[i]);
                assert_int_equal(m->bytes[m->poll_at], 'b');
                msg_unref(m);
                free(text);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(text_lies_in_a_message_once),
                cmocka_unit_test(a_namespace_and_a_cursor_stand_where_they_should),
                cmocka_unit_test(attachments_are_frames_of_their_own_and_base64_when_polled),
                cmocka_unit_test(long_texts_have_long_headers),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
