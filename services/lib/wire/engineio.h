/*
 * engineio - Engine.IO protocol 4 as bytes: packets, polling payloads, the handshake, the query of
 * a request and the table of refusals.
 *
 * Source of the facts: the protocol document and the reference implementation (engine.io-parser,
 * engine.io/lib/server.ts). Pure; slices borrow from the input.
 */
#ifndef TERN_WIRE_ENGINEIO_H
#define TERN_WIRE_ENGINEIO_H

#include "base/buf.h"
#include "base/slice.h"

enum eio_type { EIO_OPEN, EIO_CLOSE, EIO_PING, EIO_PONG, EIO_MESSAGE, EIO_UPGRADE, EIO_NOOP };

#define EIO_SEPARATOR '\x1e'

struct eio_packet {
        enum eio_type type;
        bool base64;       /* a binary message: data is its base64 text */
        struct slice data; /* after the type character */
};

/* One packet's text: of a WebSocket text message, or of a polling payload. False on an empty packet
 * or an unknown type. A binary WebSocket message needs no decoding: its bytes are the data of a
 * message. */
bool eio_decode(struct slice text, struct eio_packet *ret);
/* The packets of a polling payload. *at starts at 0. False at the end. A trailing separator gives
 * an empty packet, and so does an empty payload: an error for eio_decode(). */
bool eio_payload_next(struct slice payload, size_t *at, struct slice *ret_text);

/* {"sid":…,"upgrades":[…],"pingInterval":…,"pingTimeout":…,"maxPayload":…}: exactly these keys. */
void eio_handshake(struct buf *out, struct slice sid, bool may_upgrade, uint32_t ping_interval_ms,
        uint32_t ping_timeout_ms, uint32_t max_payload);

/* ---- requests ---- */

enum eio_transport { EIO_TRANSPORT_NONE, EIO_TRANSPORT_POLLING, EIO_TRANSPORT_WEBSOCKET };

struct eio_query {
        enum eio_transport transport; /* NONE: absent or not served */
        bool version_4;               /* EIO is exactly "4" */
        bool jsonp;                   /* j is there: an answer as a script is asked for */
        char sid[64]; /* decoded; "" if absent or empty, "?" if it can be nobody's: too long, given
                         twice */
};
/* query: what follows the '?', raw. Never fails; unknown parameters are skipped. */
void eio_query_parse(struct slice query, struct eio_query *ret);

/* The reference's codes; 4 is 403, the others 400. */
enum eio_refusal {
        EIO_TRANSPORT_UNKNOWN,
        EIO_SESSION_UNKNOWN,
        EIO_BAD_METHOD,
        EIO_BAD_REQUEST,
        EIO_FORBIDDEN,
        EIO_BAD_VERSION,
};
const char *eio_refusal_text(enum eio_refusal r);
int eio_refusal_status(enum eio_refusal r);
/* {"code":N,"message":M} */
void eio_refusal_json(enum eio_refusal r, struct buf *out);

#endif
