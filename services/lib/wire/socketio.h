/*
 * socketio - Socket.IO protocol 5 as bytes: the packet behind Engine.IO's `4`.
 *
 *     <type>[<attachments>-][<namespace>,][<ack id>][JSON]
 *
 * Decoding validates: what comes out of sio_decode() has a payload of the kind its type demands, as
 * JSON that may be relayed as it is. Where the reference and the document differ, this follows the
 * reference. Pure; slices borrow from the input.
 */
#ifndef TERN_WIRE_SOCKETIO_H
#define TERN_WIRE_SOCKETIO_H

#include "base/buf.h"
#include "base/slice.h"

enum sio_type {
        SIO_CONNECT,
        SIO_DISCONNECT,
        SIO_EVENT,
        SIO_ACK,
        SIO_CONNECT_ERROR,
        SIO_BINARY_EVENT,
        SIO_BINARY_ACK
};

#define SIO_DEPTH_MAX 64
#define SIO_NSP_MAX 256
#define SIO_ACK_MAX 9007199254740991LL /* larger ids are no numbers to a JavaScript client */

struct sio_packet {
        enum sio_type type;
        uint32_t attachments; /* announced; 0 unless binary */
        struct slice nsp;     /* "/" if none was given */
        int64_t ack_id;       /* -1 = none */
        struct slice payload; /* JSON text, white space around it cut; may be empty */
};

/* text is what follows Engine.IO's `4`. False: a parse error, which closes the connection. */
bool sio_decode(struct slice text, uint32_t attachments_max, struct sio_packet *ret);

/* An event's payload as sio_decode() gave it: name (raw, a string with quotes or a number) and the
 * text of the arguments behind it ("a,b", may be empty, white space around it cut). False if the
 * name is a reserved one. An empty payload (a bare `42`) gives an empty name: nothing happens. */
bool sio_event_split(struct slice payload, struct slice *ret_name, struct slice *ret_args);
/* Names that mean something to the libraries themselves: nobody may emit them. name is decoded. */
bool sio_name_reserved(struct slice name);
/* True if each placeholder ({"_placeholder":true,"num":k}, at any depth) of a binary payload names
 * one of count attachments. */
bool sio_placeholders_valid(struct slice payload, uint32_t count);

/* ---- encoding; all begin with Engine.IO's `4` and append ---- */
void sio_encode_connect(struct buf *out, struct slice nsp, struct slice sid, struct slice pid);
/* data_json may be empty. */
void sio_encode_connect_error(
        struct buf *out, struct slice nsp, struct slice message, struct slice data_json);
void sio_encode_disconnect(struct buf *out, struct slice nsp);
/* args: "a,b" without brackets; cursor: plain text, empty = none; attachments > 0 makes it binary
 * (args then hold the placeholders). */
void sio_encode_event(struct buf *out, struct slice nsp, struct slice name, struct slice args,
        struct slice cursor, size_t attachments, int64_t ack_id);
void sio_encode_ack(
        struct buf *out, struct slice nsp, int64_t ack_id, struct slice args, size_t attachments);

#endif
