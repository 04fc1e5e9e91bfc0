/* A client's bytes, whole and cut into pieces (the first byte says how): both have to give the same items, and every reply has to be a
 * frame that a server may send. */
#include "base/buf.h"
#include "net/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_reply(enum ws_kind kind, const struct ws_item *item)
{
        if (item->reply.n == 0) {
                CHECK(kind != WS_PING);
                return;
        }
        CHECK(kind == WS_PING || kind == WS_CLOSE || kind == WS_FAIL);
        const unsigned char *p = (const unsigned char *)item->reply.p;
        CHECK(item->reply.n >= 2 && p[1] <= 125 && item->reply.n == 2u + p[1]);
        CHECK(p[0] == (kind == WS_PING ? 0x8a : 0x88));
}

static void note(struct buf *out, enum ws_kind kind, const struct ws_item *item)
{
        check_reply(kind, item);
        if (kind == WS_FAIL)
                CHECK(item->code == 1002 || item->code == 1007 || item->code == 1009);
        if (kind == WS_TEXT) {
                struct utf8_check u = {0};
                CHECK(utf8_check_feed(&u, item->payload) && utf8_check_complete(&u));
        }
        buf_add_char(out, (char)kind);
        buf_add_u64(out, (uint64_t)item->code);
        buf_add_char(out, ' ');
        buf_add_u64(out, item->payload.n);
        buf_add_char(out, ' ');
        buf_add_slice(out, item->payload);
        buf_add_slice(out, item->reply);
}

static void feed(struct ws_pool *pool, struct ws *w, struct slice bytes, struct buf *out)
{
        struct ws_item item;
        enum ws_kind kind;
        while ((kind = ws_next(pool, w, &bytes, &item)) != WS_MORE)
                note(out, kind, &item);
        CHECK(bytes.n == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size < 1)
                return 0;
        const struct ws_limits limits = {.message_bytes_max = 9000, .fragments_max = 20};
        struct slice bytes = slice_of((const char *)data + 1, size - 1);
        struct ws_pool *pool = ws_pool_new(&limits);
        struct ws whole = {0}, cut = {0};
        struct buf want = BUF_EMPTY, got = BUF_EMPTY;
        if (data[0] & 0x80) {
                ws_close_sent(&whole);
                ws_close_sent(&cut);
        }
        feed(pool, &whole, bytes, &want);
        uint32_t x = data[0];
        while (bytes.n > 0) {
                x = x * 1664525 + 1013904223;
                size_t n = data[0] & 0x40 ? 1 : 1 + (x >> 8) % 40;
                if (n > bytes.n)
                        n = bytes.n;
                feed(pool, &cut, slice_of(bytes.p, n), &got);
                bytes = slice_from(bytes, n);
        }
        CHECK(slice_eq(buf_slice(&want), buf_slice(&got)));
        CHECK(whole.state == cut.state);
        ws_done(pool, &whole);
        ws_done(pool, &cut);
        CHECK(ws_pool_bytes(pool) == 0);
        ws_pool_free(pool);
        buf_done(&want);
        buf_done(&got);
        return 0;
}
