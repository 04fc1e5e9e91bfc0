#include "realtime/engine_internal.h"

#include "base/hash.h"
#include "base/utf8.h"

#include <stdlib.h>

static void message(struct engine_session *s, const struct eio_packet *p)
{
        const struct engine_ops *ops = &s->es->srv->ops;
        if (!p->base64) {
                ops->message(s->es->app, s, p->data, false);
                return;
        }
        char *bytes = xmalloc(p->data.n * 3 / 4 + 3);
        size_t n = base64_decode_lenient(p->data, bytes);
        ops->message(s->es->app, s, slice_of(bytes, n), true);
        free(bytes);
}

static void packet(struct engine_session *s, struct slice text)
{
        struct eio_packet p;
        if (!eio_decode(text, &p)) {
                engine_end(s, ENGINE_CLOSE_PARSE_ERROR, FAREWELL_CLOSE);
                return;
        }
        switch (p.type) {
        case EIO_PING: /* only a server pings */
                engine_end(s, ENGINE_CLOSE_TRANSPORT_ERROR, FAREWELL_CLOSE);
                return;
        case EIO_PONG:
                engine_pong(s);
                return;
        case EIO_MESSAGE:
                message(s, &p);
                return;
        case EIO_CLOSE: /* over a WebSocket its close frame says it, and the packet is ignored */
                if (!s->ws)
                        engine_end(s, ENGINE_CLOSE_TRANSPORT_CLOSE, FAREWELL_NOOP);
                return;
        case EIO_OPEN:
        case EIO_UPGRADE:
        case EIO_NOOP:
                return;
        }
}

struct slice engine_post_cookie(const struct engine_session *s)
{
        return s->es->post_cookie;
}

void engine_receive(struct engine_session *s, struct slice data, bool binary)
{
        if (s->state != ENGINE_OPEN)
                return;
        if (binary)
                s->es->srv->ops.message(s->es->app, s, data, true);
        else
                packet(s, data);
}

/* The reference decodes a body as browsers do: what is no UTF-8 becomes U+FFFD. */
static void repair(struct slice in, struct buf *out)
{
        while (in.n) {
                size_t n = utf8_length(in);
                if (n)
                        buf_add(out, in.p, n);
                else
                        buf_add_str(out, "\xef\xbf\xbd");
                in = slice_from(in, n ? n : 1);
        }
}

bool engine_receive_payload(struct engine_session *s, struct slice body)
{
        struct buf repaired = BUF_EMPTY;
        if (!utf8_valid(body)) {
                repair(body, &repaired);
                body = buf_slice(&repaired);
        }
        size_t at = 0;
        struct slice text;
        while (s->state == ENGINE_OPEN && eio_payload_next(body, &at, &text))
                packet(s, text);
        buf_done(&repaired);
        return s->state != ENGINE_CLOSED ||
               (s->reason != ENGINE_CLOSE_PARSE_ERROR && s->reason != ENGINE_CLOSE_TRANSPORT_ERROR);
}
