#include "proto/event.h"

#include "proto/digest.h"
#include "proto/event_tables.h"

#include "base/clock.h"
#include "base/hash.h"

static void name(struct buf *out, const char *field)
{
        if (out->p[out->n - 1] != '{')
                buf_add_char(out, ',');
        buf_add_char(out, '"');
        buf_add_str(out, field);
        buf_add(out, "\":", 2);
}

static void encode_field(const struct event *e, const struct field *f, struct buf *out)
{
        /* The accessors want a mutable event because the parser shares them; nothing is written here. */
        const char *at = (const char *)e + f->at;
        const char *text = NULL;
        switch (f->kind) {
        case FLAG: {
                bool v = *(const bool *)(const void *)at;
                if (!v && f->need == OPTIONAL)
                        return;
                name(out, f->name);
                buf_add_str(out, v ? "true" : "false");
                return;
        }
        case SEQ:
        case TIME:
                name(out, f->name);
                buf_add_i64(out, *(const int64_t *)(const void *)at);
                return;
        case TEXT:
        case TEXT0:
        case CONVERSATION:
        case USER:
        case AUDIENCE:
                text = *(const char *const *)(const void *)at;
                if (!text)
                        return;
                name(out, f->name);
                buf_add_json_str(out, slice_str(text));
                return;
        case OBJECT:
        case ARRAY:
                text = *(const char *const *)(const void *)at;
                if (!text)
                        return;
                name(out, f->name);
                buf_add_str(out, text);
                return;
        case ARGS:
                text = *(const char *const *)(const void *)at;
                name(out, f->name);
                buf_add_char(out, '[');
                buf_add_str(out, text ? text : "");
                buf_add_char(out, ']');
                return;
        }
}

static void encode_fields(const struct event *e, struct buf *out)
{
        for (size_t i = 0; i < event_field_count; i++)
                if (event_fields[i].type == e->type)
                        encode_field(e, &event_fields[i], out);
}

void event_encode(const struct event *e, struct buf *out)
{
        buf_add_char(out, '{');
        encode_fields(e, out);
        buf_add_char(out, '}');
}

void event_client_json(const struct event *e, int64_t seq, int64_t created_ms, struct buf *out)
{
        bool stored = e->type == EVENT_MESSAGE_CREATED || e->type == EVENT_NOTIFICATION_CREATED ||
                      e->type == EVENT_BROADCAST;
        bool has_seq = stored || e->type == EVENT_MEMBER_ADDED || e->type == EVENT_MEMBER_REMOVED ||
                       e->type == EVENT_CONVERSATION_CREATED;
        buf_add_char(out, '{');
        if (stored) {
                name(out, "id");
                buf_add_json_str(out, slice_str(e->id));
        }
        encode_fields(e, out);
        if (has_seq) {
                name(out, "seq");
                buf_add_i64(out, seq);
        }
        if (stored || e->type == EVENT_CONVERSATION_CREATED) {
                char iso[CLOCK_ISO_TEXT];
                clock_iso(created_ms, iso);
                name(out, "createdAt");
                buf_add_json_str(out, slice_str(iso));
        }
        buf_add_char(out, '}');
}

void event_key(const struct event *e, struct buf *out)
{
        switch (e->type) {
        case EVENT_CONVERSATION_CREATED:
        case EVENT_MEMBER_ADDED:
        case EVENT_MEMBER_REMOVED:
        case EVENT_MESSAGE_CREATED:
        case EVENT_TYPING:
                buf_add_str(out, e->conversation_id);
                break;
        case EVENT_RECEIPT_READ:
                buf_printf(out, "%s/%s", e->conversation_id, e->user_id);
                break;
        case EVENT_NOTIFICATION_CREATED:
        case EVENT_NOTIFICATION_READ:
        case EVENT_NOTIFICATION_READ_ALL:
        case EVENT_KICK:
        case EVENT_REVOKED:
        case EVENT_CLIENT_EVENT:
                buf_add_str(out, e->user_id);
                break;
        case EVENT_BROADCAST:
                buf_add_str(out, e->audience);
                break;
        case EVENT_GATEWAY:
                buf_printf(out, "instance:%s", e->gateway);
                break;
        case EVENT_AUDIT:
                buf_add_str(out, e->operator);
                break;
        case EVENT_UNKNOWN:
        case EVENT_EMIT:
        case EVENT_ACK:
        case EVENT_SESSION:
        case EVENT_NOTICE:
        case EVENT_REPLAY:
        case EVENT_ASK:
        case EVENT_ANSWER:
        case EVENT_ERASED:
        case EVENT_EPOCH:
        case EVENT_TYPE_COUNT:
                break;
        }
}

bool event_key_fits(const struct event *e, struct slice key)
{
        if (e->type == EVENT_EMIT || e->type == EVENT_ACK) {
                if (slice_starts(key, "user:"))
                        return event_user_id_valid(slice_from(key, 5));
                return e->type == EVENT_EMIT && event_conversation_id_valid(key);
        }
        struct buf want = BUF_EMPTY;
        event_key(e, &want);
        bool fits = want.n == 0 || slice_eq(buf_slice(&want), key);
        buf_done(&want);
        return fits;
}

void event_message_id(struct slice conversation_id, struct slice sender_id, struct slice client_id,
        int64_t now_ms, char ret[37])
{
        if (client_id.n == 0) {
                uuid_v7(now_ms, ret);
                return;
        }
        /* Lengths stand before the parts, so that no two triples give the same bytes. */
        struct buf b = BUF_EMPTY;
        buf_printf(&b, "%zu:", conversation_id.n);
        buf_add_slice(&b, conversation_id);
        buf_printf(&b, "%zu:", sender_id.n);
        buf_add_slice(&b, sender_id);
        buf_add_slice(&b, client_id);
        uint8_t digest[32];
        digest_sha256(buf_slice(&b), digest);
        uuid_from_digest(digest, ret);
        buf_done(&b);
}
