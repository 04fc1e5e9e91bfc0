#include "realtime/frames.h"

#include "base/hash.h"
#include "net/ws.h"
#include "wire/engineio.h"

static size_t header_size(size_t n)
{
        char unused[WS_HEADER_MAX];
        return ws_frame_header(WS_OP_TEXT, n, unused);
}

static char *put(char *p, struct slice s)
{
        if (s.n)
                memcpy(p, s.p, s.n);
        return p + s.n;
}

/* Separator, 'b' and base64. */
static size_t poll_size(struct slice bytes)
{
        return 2 + base64_len(bytes.n);
}

static char *put_poll(char *p, struct slice bytes)
{
        *p++ = 'b';
        return p + base64_encode(bytes.p, bytes.n, p);
}

static char *put_ws(char *p, enum ws_opcode op, struct slice bytes)
{
        p += ws_frame_header(op, bytes.n, p);
        return put(p, bytes);
}

/* A header may take fewer than its WS_HEADER_MAX bytes, but ws_frame_header() is given that room:
 * see the slack. */
struct msg *frame_packet(struct slice text, const struct slice *binary, size_t count)
{
        size_t ws_n = header_size(text.n) + text.n, poll_n = text.n;
        for (size_t i = 0; i < count; i++) {
                ws_n += header_size(binary[i].n) + binary[i].n;
                poll_n += poll_size(binary[i]);
        }
        struct msg *m = msg_new(ws_n + WS_HEADER_MAX + (count ? poll_n : 0));
        m->ws_n = (uint32_t)ws_n;
        char *p = put_ws(m->bytes, WS_OP_TEXT, text);
        for (size_t i = 0; i < count; i++)
                p = put_ws(p, WS_OP_BINARY, binary[i]);
        CHECK(p == m->bytes + ws_n);
        m->poll_at = count ? (uint32_t)ws_n : (uint32_t)(ws_n - text.n);
        if (count) {
                p = put(p, text);
                for (size_t i = 0; i < count; i++) {
                        *p++ = EIO_SEPARATOR;
                        p = put_poll(p, binary[i]);
                }
        }
        m->poll_n = count ? (uint32_t)(p - (m->bytes + ws_n)) : (uint32_t)text.n;
        return m;
}

struct msg *frame_binary(struct slice bytes)
{
        size_t ws_n = header_size(bytes.n) + bytes.n;
        struct msg *m = msg_new(ws_n + WS_HEADER_MAX + poll_size(bytes));
        m->ws_n = (uint32_t)ws_n;
        char *p = put_ws(m->bytes, WS_OP_BINARY, bytes);
        m->poll_at = (uint32_t)ws_n;
        m->poll_n = (uint32_t)(put_poll(p, bytes) - p);
        return m;
}

struct msg *frame_raw(struct slice bytes)
{
        struct msg *m = msg_new(bytes.n);
        put(m->bytes, bytes);
        m->ws_n = (uint32_t)bytes.n;
        return m;
}
