/* Engine.IO: the first byte chooses between a polling payload and a request's query. */
#include "base/check.h"
#include "base/hash.h"
#include "wire/engineio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The packets and their separators are the payload, nothing lost and nothing read twice. */
static void read_payload(struct slice payload)
{
        struct buf again = BUF_EMPTY;
        struct slice text;
        size_t at = 0, count = 0;
        while (eio_payload_next(payload, &at, &text)) {
                if (count++ > 0)
                        buf_add_char(&again, EIO_SEPARATOR);
                buf_add_slice(&again, text);
                struct eio_packet p;
                if (!eio_decode(text, &p))
                        continue;
                CHECK(p.data.n + 1 == text.n && p.type <= EIO_NOOP);
                if (p.base64) {
                        char *bytes = xmalloc(p.data.n * 3 / 4 + 3);
                        CHECK(base64_decode_lenient(p.data, bytes) <= p.data.n * 3 / 4 + 3);
                        free(bytes);
                }
        }
        CHECK(count > 0 && slice_eq(buf_slice(&again), payload));
        buf_done(&again);
}

static void read_query(struct slice query)
{
        struct eio_query q;
        eio_query_parse(query, &q);
        CHECK(strlen(q.sid) < sizeof(q.sid));
        CHECK(q.transport <= EIO_TRANSPORT_WEBSOCKET);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size == 0)
                return 0;
        struct slice rest = slice_of((const char *)data + 1, size - 1);
        if (data[0] == '?')
                read_query(rest);
        else
                read_payload(rest);
        return 0;
}
