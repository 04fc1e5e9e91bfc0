/*
 * websocket - the handshake, up to and including the 101.
 *
 * It is answered here rather than by civetweb, whose answer has no room for CORS headers and which
 * would go on to read frames. No extension is ever accepted, so no compressed frame can arrive. The
 * frames that follow belong to who takes the socket in the ready callback; those that came in one
 * segment with the handshake are still in the kernel.
 */
#include "http/internal.h"

#include "base/hash.h"
#include <openssl/sha.h>

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define KEY_TEXT 24 /* 16 bytes in base64 */

static const struct ws_route *find(const struct http_server *srv, struct slice path)
{
        for (size_t i = 0; i < srv->ws_routes_n; i++)
                if (slice_starts(path, srv->ws_routes[i].prefix))
                        return &srv->ws_routes[i];
        return NULL;
}

static bool key_valid(struct slice key)
{
        if (key.n != KEY_TEXT || key.p[22] != '=' || key.p[23] != '=')
                return false;
        for (size_t i = 0; i < 22; i++) {
                char c = key.p[i];
                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                            c == '+' || c == '/'))
                        return false;
        }
        return true;
}

/* The first subprotocol that the client offers, if it is a token; else nothing. */
static struct slice first_offer(const struct head *h)
{
        struct slice offer = head_get(h, "Sec-WebSocket-Protocol");
        ptrdiff_t comma = slice_find(offer, ',');
        if (comma >= 0)
                offer.n = (size_t)comma;
        while (offer.n && offer.p[offer.n - 1] == ' ')
                offer.n--;
        for (size_t i = 0; i < offer.n; i++)
                if (offer.p[i] <= 0x20 || offer.p[i] == 0x7f ||
                        strchr("()<>@;:\\\"/[]?={}", offer.p[i]))
                        return SLICE_NONE;
        return offer;
}

static bool write_101(struct http_request *rq, struct slice key)
{
        char text[KEY_TEXT + sizeof(GUID) - 1], accept[base64_len(SHA_DIGEST_LENGTH)];
        unsigned char digest[SHA_DIGEST_LENGTH];
        memcpy(text, key.p, KEY_TEXT);
        memcpy(text + KEY_TEXT, GUID, sizeof(GUID) - 1);
        SHA1((const unsigned char *)text, sizeof(text), digest);
        size_t n = base64_encode(digest, sizeof(digest), accept);
        struct slice offer = first_offer(rq->head);
        struct buf b = BUF_EMPTY;
        buf_add_str(&b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
                        "Upgrade\r\nSec-WebSocket-Accept: ");
        buf_add(&b, accept, n);
        buf_add_str(&b, "\r\n");
        if (offer.n) {
                buf_add_str(&b, "Sec-WebSocket-Protocol: ");
                buf_add_slice(&b, offer);
                buf_add_str(&b, "\r\n");
        }
        cors_headers(rq->hc, &b);
        buf_add_str(&b, "\r\n");
        bool ok = conn_write(rq->hc, buf_slice(&b), SLICE_NONE);
        buf_done(&b);
        return ok;
}

void websocket_run(struct http_request *rq)
{
        struct http_conn *hc = rq->hc;
        const struct ws_route *r = find(hc->srv, rq->path);
        struct slice key = head_get(rq->head, "Sec-WebSocket-Key");
        if (!r) {
                reply_error(hc, 404, reply_code(404), "no WebSocket here", SLICE_NONE);
                return;
        }
        if (!slice_is(head_get(rq->head, "Sec-WebSocket-Version"), "13")) {
                reply_error(hc, 426, reply_code(426), "WebSocket version 13 is needed",
                        SLICE_LIT("Sec-WebSocket-Version: 13\r\n"));
                return;
        }
        if (!key_valid(key)) {
                reply_error(hc, 400, reply_code(400), "malformed Sec-WebSocket-Key", SLICE_NONE);
                return;
        }
        rq->no_handover = true;
        bool go = r->check(r->arg, rq);
        rq->no_handover = false;
        if (!go) {
                if (!hc->answered)
                        reply_error(hc, 403, reply_code(403), "refused", SLICE_NONE);
                return;
        }
        CHECK(!hc->answered);
        hc->answered = true;
        if (!write_101(rq, key))
                return;
        rq->websocket = true;
        metrics_add(hc->srv->metrics, M_http_requests, 0, 1);
        r->ready(r->arg, rq);
}
