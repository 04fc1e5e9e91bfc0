#include "writer/judge.h"
#include "writer/batch.h"

#include "base/hash.h"
#include "base/utf8.h"

#define TYPE_BYTES_MAX 255
#define PID_HASH_TEXT 64 /* hexadecimal SHA-256 */

static enum id_class class_of(enum event_type t)
{
        switch (t) {
        case EVENT_MESSAGE_CREATED:
                return ID_MESSAGE;
        case EVENT_NOTIFICATION_CREATED:
                return ID_NOTIFICATION;
        case EVENT_BROADCAST:
                return ID_BROADCAST;
        case EVENT_CONVERSATION_CREATED:
        case EVENT_MEMBER_ADDED:
        case EVENT_MEMBER_REMOVED:
        case EVENT_EMIT:
        case EVENT_NOTIFICATION_READ:
        case EVENT_NOTIFICATION_READ_ALL:
                return ID_EVENT;
        case EVENT_RECEIPT_READ: /* states: the newest counts, whatever its id */
        case EVENT_SESSION:
        case EVENT_TYPING:
        case EVENT_KICK:
        case EVENT_GATEWAY:
        case EVENT_AUDIT:
        case EVENT_ACK:
        case EVENT_CLIENT_EVENT:
        case EVENT_NOTICE:
        case EVENT_REPLAY:
        case EVENT_ASK:
        case EVENT_ANSWER:
        case EVENT_ERASED:
        case EVENT_REVOKED:
        case EVENT_EPOCH:
        case EVENT_UNKNOWN:
        case EVENT_TYPE_COUNT:
                break;
        }
        return ID_NONE;
}

static bool is_pid_hash(struct slice key)
{
        if (key.n != PID_HASH_TEXT)
                return false;
        for (size_t i = 0; i < key.n; i++)
                if (!((key.p[i] >= '0' && key.p[i] <= '9') || (key.p[i] >= 'a' && key.p[i] <= 'f')))
                        return false;
        return true;
}

/* Binary mode, whatever it came as. False: the item is dead. */
static bool normalize(struct batch *b, struct item *it)
{
        const struct bus_record *r = &it->record;
        struct event_envelope env = {
                .topic = r->topic,
                .key = r->key,
                .id = bus_record_header(r, "ce_id"),
                .type = bus_record_header(r, "ce_type"),
                .source = bus_record_header(r, "ce_source"),
                .content_type = bus_record_header(r, "content-type"),
                .value = r->value,
                .partition = r->partition,
                .offset = r->offset,
        };
        struct buf scratch = BUF_EMPTY;
        struct event_error err;
        bool ok = event_normalize(&env, &scratch, &err) == 0;
        if (ok) {
                it->id = arena_slice(&b->arena, env.id);
                it->type = arena_slice(&b->arena, env.type);
                it->source = arena_slice(&b->arena, env.source);
                it->value =
                        env.value.p == r->value.p ? r->value : arena_slice(&b->arena, env.value);
                it->key = r->key;
        } else {
                item_kill(b, it, err.fault, err.field, err.message);
        }
        buf_done(&scratch);
        return ok;
}

/* The key that the record should have, in the arena; n 0 if its subject is not known. */
static struct slice right_key(struct batch *b, const struct item *it)
{
        if (event_key_fits(&it->event, it->key))
                return it->key;
        struct buf want = BUF_EMPTY;
        event_key(&it->event, &want);
        struct slice key = arena_slice(&b->arena, buf_slice(&want));
        buf_done(&want);
        return key;
}

/* It is stored where it stood, whatever its key says now. */
static void judge_origin(struct batch *b, struct item *it)
{
        it->key = right_key(b, it);
        if (it->key.n == 0 || (it->event.type == EVENT_SESSION && !is_pid_hash(it->key)))
                item_kill(b, it, EVENT_KEY_MISMATCH, "key",
                        "the key names no subject, and nor does the data");
}

static bool lies_right(const struct part *p, struct slice key, const struct bus_record *r)
{
        if (partition_of(key, p->partitions) == (uint32_t)r->partition)
                return true;
        return r->offset < p->grown_from &&
               partition_of(key, p->partitions_before) == (uint32_t)r->partition;
}

/* Does it stand where readers look for it? */
static void judge_place(struct batch *b, struct item *it)
{
        const struct part *p = &b->parts[it->part];
        struct slice key = right_key(b, it);
        if (it->event.type == EVENT_SESSION && !is_pid_hash(key)) {
                item_kill(b, it, EVENT_KEY_MISMATCH, "key", "the key is no hexadecimal SHA-256");
                return;
        }
        if (key.n == 0) {
                item_kill(b, it, EVENT_KEY_MISMATCH, "key",
                        "the key names no subject, and nor does the data");
                return;
        }
        if (slice_eq(key, it->key) && lies_right(p, key, &it->record))
                return;
        if (bus_record_header(&it->record, HEADER_REKEYED).p) {
                item_kill(b, it, EVENT_KEY_MISMATCH, "key",
                        "a record that was published again still has another's key or partition");
                return;
        }
        it->kind = ITEM_REKEY;
        it->key = key;
        it->target = (int32_t)partition_of(key, p->partitions);
}

void judge(struct batch *b, struct item *it)
{
        it->kind = ITEM_STORE;
        if (!normalize(b, it))
                return;
        /* Another backend's own type is stored as it is, so it has to be text. */
        if (it->type.n > TYPE_BYTES_MAX || !utf8_valid(it->type) ||
                (it->type.n && memchr(it->type.p, '\0', it->type.n))) {
                item_kill(b, it, EVENT_INVALID, "ce_type",
                        "ce_type is no UTF-8 of at most 255 bytes");
                return;
        }
        struct event_error err;
        if (event_parse(it->record.topic, it->type, it->id, it->key, it->value, &it->event, &err) <
                0) {
                it->event = (struct event){0};
                item_kill(b, it, err.fault, err.field, err.message);
                return;
        }
        it->id_class = class_of(it->event.type);
        if (it->origin)
                judge_origin(b, it);
        else
                judge_place(b, it);
}
