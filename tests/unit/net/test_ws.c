#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "net/ws.h"

/* ---- a client's frames ---- */

static void frame_as(struct buf *out, unsigned first, bool mask, unsigned length_bytes,
        const void *payload, size_t n)
{
        buf_add_char(out, (char)first);
        char mask_bit = mask ? (char)0x80 : 0;
        if (length_bytes == 0) {
                buf_add_char(out, (char)(mask_bit | (char)n));
        } else {
                buf_add_char(out, (char)(mask_bit | (length_bytes == 2 ? 126 : 127)));
                for (unsigned i = 0; i < length_bytes; i++)
                        buf_add_char(out, (char)((uint64_t)n >> (8 * (length_bytes - 1 - i))));
        }
        static const char key[4] = {0x12, (char)0xf4, 0x00, (char)0x9b};
        if (mask)
                buf_add(out, key, 4);
        const char *p = payload;
        for (size_t i = 0; p && i < n; i++)
                buf_add_char(out, mask ? (char)(p[i] ^ key[i % 4]) : p[i]);
}

static void frame(struct buf *out, unsigned first, const void *payload, size_t n)
{
        frame_as(out, first, true, n < 126 ? 0 : n < 65536 ? 2 : 8, payload, n);
}

static void text(struct buf *out, unsigned first, const char *payload)
{
        frame(out, first, payload, strlen(payload));
}

/* ---- what comes out, as a line ---- */

static const struct ws_limits limits = {.message_bytes_max = 100000, .fragments_max = 10};

static void tell(struct buf *out, enum ws_kind kind, const struct ws_item *item)
{
        static const char *const names[] = {"", "text", "binary", "ping", "pong", "close", "fail"};
        buf_printf(out, "%s", names[kind]);
        if (kind == WS_CLOSE || kind == WS_FAIL)
                buf_printf(out, " %d", item->code);
        if (item->payload.n > 200)
                buf_printf(out, " #%zu", item->payload.n);
        else if (item->payload.n)
                buf_printf(out, " %.*s", SLICE_ARG(item->payload));
        if (item->reply.n) {
                buf_add_str(out, " <");
                for (size_t i = 0; i < item->reply.n && i < 8; i++)
                        buf_printf(out, "%02x", (unsigned char)item->reply.p[i]);
                buf_add_str(out, ">");
        }
        buf_add_str(out, ";");
}

/* Feeds in pieces of the given size. */
static char *run_in(struct slice bytes, size_t piece, const struct ws_limits *lim, bool close_sent)
{
        struct ws_pool *pool = ws_pool_new(lim);
        struct ws w = {0};
        struct buf out = BUF_EMPTY;
        if (close_sent)
                ws_close_sent(&w);
        while (bytes.n > 0) {
                size_t n = bytes.n < piece ? bytes.n : piece;
                /* A copy of its own, so that the sanitizer sees every step beyond it. */
                char *copy = slice_dup(slice_of(bytes.p, n));
                struct slice in = slice_of(copy, n);
                struct ws_item item;
                enum ws_kind kind;
                while ((kind = ws_next(pool, &w, &in, &item)) != WS_MORE)
                        tell(&out, kind, &item);
                assert_int_equal(in.n, 0);
                free(copy);
                bytes = slice_from(bytes, n);
        }
        ws_done(pool, &w);
        assert_int_equal(ws_pool_bytes(pool), 0);
        ws_pool_free(pool);
        buf_add_char(&out, '\0');
        size_t n;
        return buf_take(&out, &n);
}

static void expect_limits(
        struct buf *in, const char *want, const struct ws_limits *lim, bool close_sent)
{
        static const size_t pieces[] = {SIZE_MAX, 1, 2, 3, 5, 7, 1000, 4096};
        for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
                if (in->n > 20000 && pieces[i] < 3)
                        continue;
                char *got = run_in(buf_slice(in), pieces[i], lim, close_sent);
                assert_string_equal(got, want);
                free(got);
        }
        buf_reset(in);
}

static void expect(struct buf *in, const char *want)
{
        expect_limits(in, want, &limits, false);
}

/* ---- the tests ---- */

static void whole_messages_come_out_however_they_come_in(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        text(&b, 0x81, "hello");
        text(&b, 0x82, "raw");
        text(&b, 0x81, "");
        text(&b, 0x8a, "unasked");
        expect(&b, "text hello;binary raw;text;pong unasked;");
        static const size_t sizes[] = {125, 126, 127, 200, 4090, 4096, 4097, 65535, 65536, 100000};
        char *big = xcalloc(1, 100000);
        memset(big, 'a', 100000);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                frame(&b, 0x81, big, sizes[i]);
                text(&b, 0x81, "next");
                char want[64];
                if (sizes[i] > 200) {
                        snprintf(want, sizeof(want), "text #%zu;text next;", sizes[i]);
                        expect(&b, want);
                } else {
                        buf_reset(&b);
                }
        }
        free(big);
        buf_done(&b);
}

static void fragments_are_joined_and_control_frames_answered_in_between(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        text(&b, 0x01, "one ");
        text(&b, 0x89, "p");
        text(&b, 0x00, "");
        text(&b, 0x00, "two ");
        text(&b, 0x8a, "q");
        text(&b, 0x80, "three");
        text(&b, 0x82, "after");
        expect(&b, "ping p <8a0170>;pong q;text one two three;binary after;");
        /* Ending in an empty fragment; beginning with one. */
        text(&b, 0x01, "");
        text(&b, 0x00, "x");
        text(&b, 0x80, "");
        expect(&b, "text x;");
        text(&b, 0x01, "");
        text(&b, 0x80, "");
        expect(&b, "text;");
        buf_done(&b);
}

static void pings_are_answered_up_to_125_bytes(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        text(&b, 0x89, "");
        expect(&b, "ping <8a00>;");
        char payload[126];
        memset(payload, 'p', 126);
        payload[125] = '\0';
        text(&b, 0x89, payload);
        char *got = run_in(buf_slice(&b), 4096, &limits, false);
        assert_non_null(strstr(got, "<8a7d7070"));
        free(got);
        buf_reset(&b);
        frame_as(&b, 0x89, true, 2, payload, 126);
        expect(&b, "fail 1002 <880203ea>;");
        buf_done(&b);
}

static void broken_frames_end_with_1002(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        static const unsigned firsts[] = {
                0xc1, 0xa1, 0x91, 0xf1,             /* reserved bits */
                0x83, 0x84, 0x85, 0x86, 0x87,       /* reserved opcodes */
                0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x03, /* reserved control opcodes */
                0x09, 0x0a, 0x08,                   /* fragmented control frames */
                0x80, 0x00,                         /* continuation of nothing */
        };
        for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
                text(&b, firsts[i], "x");
                expect(&b, "fail 1002 <880203ea>;");
                /* The first byte tells; nothing more is waited for. */
                buf_add_char(&b, (char)firsts[i]);
                expect(&b, "fail 1002 <880203ea>;");
        }
        frame_as(&b, 0x81, false, 0, "x", 1); /* not masked */
        expect(&b, "fail 1002 <880203ea>;");
        frame_as(&b, 0x81, true, 2, "x", 1); /* longer form than needed */
        expect(&b, "fail 1002 <880203ea>;");
        frame_as(&b, 0x81, true, 8, "x", 1);
        expect(&b, "fail 1002 <880203ea>;");
        text(&b, 0x01, "a"); /* a new message inside of one */
        text(&b, 0x81, "b");
        expect(&b, "fail 1002 <880203ea>;");
        text(&b, 0x01, "a");
        text(&b, 0x02, "b");
        expect(&b, "fail 1002 <880203ea>;");
        /* What follows a failure is not looked at. */
        text(&b, 0x81, "ok");
        text(&b, 0x83, "bad");
        text(&b, 0x81, "more");
        expect(&b, "text ok;fail 1002 <880203ea>;");
        buf_done(&b);
}

static void a_length_is_refused_when_the_header_is_there(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        frame_as(&b, 0x82, true, 8, NULL, 0x7fffffff);
        expect(&b, "fail 1009 <880203f1>;");
        frame_as(&b, 0x82, true, 8, NULL, 0x7fff0001);
        expect(&b, "fail 1009 <880203f1>;");
        frame_as(&b, 0x82, true, 8, NULL, (size_t)1 << 62);
        expect(&b, "fail 1009 <880203f1>;");
        frame_as(&b, 0x82, true, 8, NULL, (size_t)1 << 63);
        expect(&b, "fail 1002 <880203ea>;");
        frame_as(&b, 0x82, true, 8, NULL, SIZE_MAX);
        expect(&b, "fail 1002 <880203ea>;");
        frame_as(&b, 0x82, true, 8, NULL, 100001);
        expect(&b, "fail 1009 <880203f1>;");
        const struct ws_limits small = {.message_bytes_max = 100, .fragments_max = 10};
        char payload[101];
        memset(payload, 'x', sizeof(payload));
        frame(&b, 0x81, payload, 100);
        char *got = run_in(buf_slice(&b), 1, &small, false);
        assert_memory_equal(got, "text xxx", 8);
        free(got);
        buf_reset(&b);
        frame(&b, 0x81, payload, 101);
        expect_limits(&b, "fail 1009 <880203f1>;", &small, false);
        /* The sum of fragments, told by the header of the one that is too much. */
        frame(&b, 0x01, payload, 60);
        frame_as(&b, 0x80, true, 0, NULL, 41);
        expect_limits(&b, "fail 1009 <880203f1>;", &small, false);
        buf_done(&b);
}

static void endless_fragments_are_refused(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        text(&b, 0x01, "");
        for (int i = 0; i < 9; i++)
                text(&b, 0x00, "");
        char *got = run_in(buf_slice(&b), 100, &limits, false);
        assert_string_equal(got, "");
        free(got);
        text(&b, 0x80, "");
        expect(&b, "fail 1009 <880203f1>;");
        buf_done(&b);
}

static void text_is_checked_as_soon_as_a_byte_is_wrong(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        text(&b, 0x81,
                "Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xe2\x82\xac \xf0\x9f\x98\x80 "
                "\xf4\x8f\xbf\xbf \xee\x80\x80 \xed\x9f\xbf");
        expect(&b, "text Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xe2\x82\xac "
                   "\xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf \xee\x80\x80 \xed\x9f\xbf;");
        static const char *const bad[] = {
                "\x80",
                "\xbf",
                "\xc0\x80",
                "\xc1\xbf",
                "\xe0\x9f\x80",
                "\xed\xa0\x80",
                "\xed\xbf\xbf",
                "\xf0\x8f\xbf\xbf",
                "\xf4\x90\x80\x80",
                "\xf5\x80\x80\x80",
                "\xf8\x88\x80\x80\x80",
                "\xfe",
                "\xff",
                "\xc3(",
                "\xe2\x82(",
                "\xf0\x9f\x98(",
                "abcdefghijk\xffmno",
                "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"
                "edited",
        };
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                text(&b, 0x81, bad[i]);
                expect(&b, "fail 1007 <880203ef>;");
                text(&b, 0x01, bad[i]); /* before the message has ended */
                expect(&b, "fail 1007 <880203ef>;");
                text(&b, 0x82, bad[i]); /* binary is nobody's text */
                char *got = run_in(buf_slice(&b), 1, &limits, false);
                assert_memory_equal(got, "binary ", 7);
                free(got);
                buf_reset(&b);
        }
        /* A character may be cut by a fragment, not by the message's end. */
        text(&b, 0x01, "\xf0\x9f");
        text(&b, 0x89, "");
        text(&b, 0x00, "\x98");
        text(&b, 0x80, "\x80!");
        expect(&b, "ping <8a00>;text \xf0\x9f\x98\x80!;");
        text(&b, 0x81, "\xe2\x82");
        expect(&b, "fail 1007 <880203ef>;");
        text(&b, 0x01, "\xe2\x82");
        text(&b, 0x80, "");
        expect(&b, "fail 1007 <880203ef>;");
        /* In the middle of a frame that is not there yet. */
        frame_as(&b, 0x81, true, 2, "\xff", 1);
        b.p[2] = 0x03;
        b.p[3] = (char)0xe8;
        expect(&b, "fail 1007 <880203ef>;");
        buf_done(&b);
}

static void close_with(struct buf *b, int code, const char *reason)
{
        struct buf payload = BUF_EMPTY;
        buf_add_char(&payload, (char)(code >> 8));
        buf_add_char(&payload, (char)code);
        buf_add_str(&payload, reason);
        frame(b, 0x88, payload.p, payload.n);
        buf_done(&payload);
}

static void the_close_handshake_follows_the_rules(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        frame(&b, 0x88, "", 0);
        expect(&b, "close 1005 <8800>;");
        frame(&b, 0x88, "x", 1);
        expect(&b, "fail 1002 <880203ea>;");
        static const int good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013,
                1014, 3000, 3999, 4000, 4999};
        for (size_t i = 0; i < ARRAY_LEN(good); i++) {
                close_with(&b, good[i], "bye");
                text(&b, 0x81, "after the end");
                char want[64];
                snprintf(
                        want, sizeof(want), "close %d bye <8802%04x>;", good[i], (unsigned)good[i]);
                expect(&b, want);
        }
        static const int bad[] = {
                0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535};
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                close_with(&b, bad[i], "");
                expect(&b, "fail 1002 <880203ea>;");
        }
        close_with(&b, 1000, "\xce\xba\xe1\xbd\xb9\xff");
        expect(&b, "fail 1007 <880203ef>;");
        close_with(&b, 1000, "\xe2\x82");
        expect(&b, "fail 1007 <880203ef>;");
        /* Inside of a message. */
        text(&b, 0x01, "frag");
        close_with(&b, 1001, "");
        expect(&b, "close 1001 <880203e9>;");
        buf_done(&b);
}

static void after_our_close_only_the_peers_is_waited_for(void **state)
{
        UNUSED(state);
        struct buf b = BUF_EMPTY;
        text(&b, 0x81, "late");
        text(&b, 0x89, "p");
        text(&b, 0x01, "la");
        text(&b, 0x80, "te");
        close_with(&b, 1000, "");
        expect_limits(&b, "close 1000;", &limits, true);
        text(&b, 0x83, "");
        expect_limits(&b, "fail 1002;", &limits, true);
        buf_done(&b);
}

static void incomplete_messages_share_a_budget(void **state)
{
        UNUSED(state);
        const struct ws_limits tight = {
                .message_bytes_max = 100000, .fragments_max = 10, .partial_bytes_max = 150000};
        struct ws_pool *pool = ws_pool_new(&tight);
        struct ws ws[5] = {{0}};
        char *big = xcalloc(1, 40000);
        struct buf b = BUF_EMPTY;
        frame(&b, 0x02, big, 40000);
        int failed = 0;
        for (size_t i = 0; i < ARRAY_LEN(ws); i++) {
                struct slice in = buf_slice(&b);
                struct ws_item item;
                enum ws_kind kind = ws_next(pool, &ws[i], &in, &item);
                if (kind == WS_FAIL) {
                        assert_int_equal(item.code, 1009);
                        failed++;
                } else {
                        assert_int_equal(kind, WS_MORE);
                        assert_true(ws_is_partial(&ws[i]));
                }
                assert_true(ws_pool_bytes(pool) <= 150000);
        }
        assert_true(failed >= 1 && failed <= 4);
        for (size_t i = 0; i < ARRAY_LEN(ws); i++)
                ws_done(pool, &ws[i]);
        assert_int_equal(ws_pool_bytes(pool), 0);
        ws_pool_free(pool);
        buf_done(&b);
        free(big);
}

static void an_idle_connection_keeps_nothing(void **state)
{
        UNUSED(state);
        assert_int_equal(sizeof(struct ws), 16);
        struct ws_pool *pool = ws_pool_new(&limits);
        struct ws w = {0};
        struct buf b = BUF_EMPTY;
        text(&b, 0x81, "one");
        text(&b, 0x89, "two");
        struct slice in = buf_slice(&b);
        struct ws_item item;
        while (ws_next(pool, &w, &in, &item) != WS_MORE)
                ;
        assert_false(ws_is_partial(&w));
        assert_int_equal(ws_pool_bytes(pool), 0);
        /* Half a header costs little, half a frame its parser. */
        in = slice_of(b.p, 1);
        assert_int_equal(ws_next(pool, &w, &in, &item), WS_MORE);
        assert_true(ws_is_partial(&w));
        assert_true(ws_pool_bytes(pool) < 1000);
        ws_done(pool, &w);
        ws_pool_free(pool);
        buf_done(&b);
}

static void frames_of_the_server_have_the_shortest_header(void **state)
{
        UNUSED(state);
        char h[WS_HEADER_MAX];
        assert_int_equal(ws_frame_header(WS_OP_TEXT, 0, h), 2);
        assert_memory_equal(h, "\x81\x00", 2);
        assert_int_equal(ws_frame_header(WS_OP_TEXT, 125, h), 2);
        assert_memory_equal(h, "\x81\x7d", 2);
        assert_int_equal(ws_frame_header(WS_OP_BINARY, 126, h), 4);
        assert_memory_equal(h, "\x82\x7e\x00\x7e", 4);
        assert_int_equal(ws_frame_header(WS_OP_BINARY, 65535, h), 4);
        assert_memory_equal(h, "\x82\x7e\xff\xff", 4);
        assert_int_equal(ws_frame_header(WS_OP_BINARY, 65536, h), 10);
        assert_memory_equal(h, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
        char c[WS_CONTROL_MAX];
        assert_int_equal(ws_close_frame(1001, SLICE_LIT("bye"), c), 7);
        assert_memory_equal(c,
                "\x88\x05\x03\xe9"
                "bye",
                7);
        assert_int_equal(ws_close_frame(1005, SLICE_LIT("bye"), c), 2);
        char longest[200] = {0};
        assert_int_equal(ws_close_frame(1000, slice_of(longest, 200), c), WS_CONTROL_MAX);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(whole_messages_come_out_however_they_come_in),
                cmocka_unit_test(fragments_are_joined_and_control_frames_answered_in_between),
                cmocka_unit_test(pings_are_answered_up_to_125_bytes),
                cmocka_unit_test(broken_frames_end_with_1002),
                cmocka_unit_test(a_length_is_refused_when_the_header_is_there),
                cmocka_unit_test(endless_fragments_are_refused),
                cmocka_unit_test(text_is_checked_as_soon_as_a_byte_is_wrong),
                cmocka_unit_test(the_close_handshake_follows_the_rules),
                cmocka_unit_test(after_our_close_only_the_peers_is_waited_for),
                cmocka_unit_test(incomplete_messages_share_a_budget),
                cmocka_unit_test(an_idle_connection_keeps_nothing),
                cmocka_unit_test(frames_of_the_server_have_the_shortest_header),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
