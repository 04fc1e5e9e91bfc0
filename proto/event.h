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
        EVENT_BAD_JSON,     /* not JSON, not UTF-8, \u0000, too deep */
        EVENT_INVALID,      /* a field missing, of the wrong type or outside its range */
        EVENT_BAD_TYPE,     /* no type of this topic */
        EVENT_TOO_LARGE,
        EVENT_KEY_MISMATCH, /* the key is not the subject's */
        EVENT_TOMBSTONE,
};
const char *event_fault_name(enum event_fault f);

struct event_error {
        enum event_fault fault;
        char field[64];   /* "content"; "" if none */
        char message[160]; /* "content is 70001 bytes, the limit is 65536" */
};

/* Everything any event carries; what a type lacks is empty. Strings are decoded, NUL-terminated, owned by the arena inside. */
struct event {
        enum event_type type;
        char *id;               /* ce_id */
        char *source;
        int64_t time_ms;        /* ce_time; 0 if absent */
        /* chat */
        char *conversation_id, *user_id, *sender_id, *content, *content_type, *reply_to, *client_id, *title;
        char *metadata_json;    /* compact JSON object text, or NULL */
        char *role;             /* member: "member" or "owner" */
        int64_t seq;            /* receipt.read: up to this seq */
        bool is_typing;
        bool open;              /* conversation: anyone may enter */
        /* tern.emit */
        char *event_name, *args_json; /* args_json: "a,b" without brackets */
        char *except_json;            /* array text, or NULL */
        /* notification, broadcast */
        char *notification_id, *kind /* "type" in the JSON */, *body, *data_json, *audience;
        /* session */
        char *sid, *sub, *gateway, *rooms_json;
        int64_t gen;
        void *arena;
};
void event_done(struct event *e);

/* Parses and validates. topic without prefix. 0, or -EINVAL with *err. */
MUST_CHECK int event_parse(struct slice topic, struct slice type, struct slice id, struct slice key, struct slice value, struct event *ret, struct event_error *err);
/* The key a valid event must have ("" if any): conversation id, user id… Borrowed from e. */
struct slice event_key(const struct event *e);
/* The data of an event as compact JSON, for producing. Fields by type as in proto/schemas. Appends. */
void event_encode(const struct event *e, struct buf *out);

/* ---- what clients see ---- */

/* JSON object of new_message, typing, message_read, notification … for clients. Appends. seq/created_ms from the record. */
void event_client_json(const struct event *e, int64_t seq, int64_t created_ms, struct buf *out);

/* The id of a message: from (conversation, sender, clientId), or random if client_id is empty. */
void event_message_id(struct slice conversation_id, struct slice sender_id, struct slice client_id, int64_t now_ms, char ret[37]);

/* ---- normalizing foreign records ---- */

struct bus_header;
/* notifications and broadcasts: structured mode and bare JSON become id, type, key, value as if binary. Output goes into scratch, slices
 * point there or into the input. 0 (also when nothing was to do), or -EINVAL with *err. */
struct event_envelope {
        struct slice topic, key, id, type, source, content_type, value;
        int64_t time_ms;
        int32_t partition;
        int64_t offset;
};
MUST_CHECK int event_normalize(struct event_envelope *env, struct buf *scratch, struct event_error *err);

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
