/*
 * event - what stands in a record, and whether it counts.
 *
 * A record is a CloudEvent in Kafka's binary mode (headers ce_id ce_type ce_source ce_specversion ce_time content-type, the
 * data as compact JSON in the value). event_check() is the one validator that all services link; valid means storable:
 * UTF-8, no \u0000, sizes and number ranges within the limits of limits.def. Pure: bytes in, struct out. Any thread.
 *
 * notifications and broadcasts also accept structured mode and a bare JSON object (event_normalize).
 */
#ifndef TERN_PROTO_EVENT_H
#define TERN_PROTO_EVENT_H

#include "base/buf.h"
#include "base/slice.h"

/* Kafka header of a record that the writer published again under its right key and partition. Its value names the original:
 * "<topic>/<partition>/<offset>/<epoch>". */
#define HEADER_REKEYED "tern-rekeyed"

enum event_type {
        EVENT_UNKNOWN,
#define EVENT(id, topic, name, text) EVENT_##id,
#include "proto/events.def"
        EVENT_TYPE_COUNT,
};
/* "message.created" etc; EVENT_UNKNOWN if none. */
enum event_type event_type_of(struct slice ce_type);
const char *event_type_name(enum event_type t);

/* Why a record does not count: also the reason header of a dead letter and a metric label. */
enum event_fault {
        EVENT_OK,
        EVENT_BAD_JSON, /* not JSON, not UTF-8, \u0000, too deep */
        EVENT_INVALID,  /* a field missing, of the wrong type or outside its range */
        EVENT_BAD_TYPE, /* no type of this topic */
        EVENT_TOO_LARGE,
        EVENT_KEY_MISMATCH, /* the key is not the subject's */
        EVENT_TOMBSTONE,
};
const char *event_fault_name(enum event_fault f);

struct event_error {
        enum event_fault fault;
        char field[64];    /* "content"; "" if none */
        char message[160]; /* "content is 70001 bytes, the limit is 65536" */
};

/* Everything any event carries; what a type lacks is NULL or 0. Strings are decoded UTF-8,
 * NUL-terminated, owned by the arena inside; X_json members are compact JSON text. Which type has
 * which field: fields.def. */
struct event {
        enum event_type type;
        char *id, *source; /* ce_id, ce_source */
        char *conversation_id, *user_id, *title;
        /* chat */
        char *sender_id; /* senderId, createdBy, by */
        char *content, *content_type, *reply_to, *client_id, *metadata_json, *role;
        int64_t seq; /* receipts and read_all: up to this one */
        bool is_typing;
        bool open; /* conversation: anyone may enter */
        /* tern.emit; args_json is "a,b" without brackets */
        char *event_name, *args_json, *except_json;
        char *attachments_json; /* array of base64, at most EVENT_ATTACHMENTS_MAX; NULL: none */
        char *nsp;              /* namespace; NULL: "/" */
        char *ack_token;        /* of an event that asks for an answer, and of the answer */
        /* notification and broadcast; kind is "type" in the JSON */
        char *notification_id, *kind, *body, *data_json, *audience;
        /* session */
        char *sid, *sub, *gateway, *rooms_json;
        int64_t gen;
        bool closed;
        /* control and access */
        char *reason, *topic, *cluster_id, *record_key;
        int64_t before_ms, epoch, partitions;
        /* gateways of themselves; audit */
        char *ops; /* host:port */
        char *version;
        int64_t connections, connections_max; /* before_ms: since when it runs */
        char *run, *state, *command, *operator, *at;
        void *arena; /* owned */
};
void event_done(struct event *e);

/* Parses and validates a record's parts. topic without prefix; type is ce_type. 0, or -EINVAL with *err filled.
 * The key is not compared here: a record whose key is not event_key()'s is another partitioner's or
 * another key's (see event_key_fits). event_done() *ret after success only. */
MUST_CHECK int event_parse(struct slice topic, struct slice type, struct slice id, struct slice key,
        struct slice value, struct event *ret, struct event_error *err);
/* The key that the event's record must have, appended; nothing for types that may have any (emit, session, notice, epoch …). */
void event_key(const struct event *e, struct buf *out);
/* True if key is what event_key() says, or the type may have any key. */
bool event_key_fits(const struct event *e, struct slice key);
/* The data of an event as compact JSON, for producing. Fields by type as in proto/schemas. Appends. */
void event_encode(const struct event *e, struct buf *out);

/* ---- binary arguments ---- */

#define EVENT_ATTACHMENTS_MAX 10
/* Decodes the event's attachments, which its args name by placeholders: ret[i] borrows from bytes. How many there are. */
size_t event_attachments(
        const struct event *e, struct buf *bytes, struct slice ret[EVENT_ATTACHMENTS_MAX]);
/* Appends attachments as they stand in a record: ["<base64>",…]. */
void event_attachments_json(const struct slice *attachments, size_t count, struct buf *out);

/* ---- erasure ---- */

/* The user whose erasure takes this record's content away: a message's sender, whom a notification or an event of user:<id> is for, whose
 * receipt or session it is. None for what others' rights and the order of a room rest on. Borrowed. */
struct slice event_erasable(const struct event *e, struct slice key);
/* Takes the content out of a message, a notification or an emitted event, which stay valid. False: it is to be left out as a whole. */
bool event_blank(struct event *e);

/* ---- what clients see ---- */

/* JSON object of new_message, typing, message_read, notification … for clients. Appends. seq/created_ms from the record. */
void event_client_json(const struct event *e, int64_t seq, int64_t created_ms, struct buf *out);

/* The id of a message: from (conversation, sender, clientId), or random if client_id is empty. */
void event_message_id(struct slice conversation_id, struct slice sender_id, struct slice client_id,
        int64_t now_ms, char ret[37]);

/* ---- normalizing foreign records ---- */

/* notifications and broadcasts: structured mode and bare JSON become id, type, key, value as if binary. Output goes into scratch, slices
 * point there or into the input. 0 (also when nothing was to do), or -EINVAL with *err. */
struct event_envelope {
        struct slice topic, key, id, type, source, content_type, value;
        int32_t partition;
        int64_t offset;
};
MUST_CHECK int event_normalize(
        struct event_envelope *env, struct buf *scratch, struct event_error *err);

/* ---- checks shared with requests ---- */
bool event_conversation_id_valid(struct slice id); /* 1 to 128 of [A-Za-z0-9._~-] */
bool event_user_id_valid(struct slice id);         /* 1 to 128 of [A-Za-z0-9._~@:|-] */
/* Valid UTF-8 JSON of one value, without \u0000 and lone surrogates, depth at most depth_max. */
bool event_json_valid(struct slice json, unsigned depth_max);

/* Error codes of acks and REST: proto/errors.def */
enum error_code {
#define ERROR_CODE(id, name, http, text) ERR_##id,
#include "proto/errors.def"
};
const char *error_code_name(enum error_code c);
int error_code_http(enum error_code c);

#endif
