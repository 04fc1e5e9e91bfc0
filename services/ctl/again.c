#include "ctl/again.h"

#include "ctl/validate.h"

#include "proto/deadletter.h"

#include "base/clock.h"
#include "base/hash.h"

#include <inttypes.h>

#define DATA_MAX_BYTES 900000
#define OWN_HEADERS 8
#define SEQ_EPOCH_SHIFT 40

static bool is_one_of(const char *topic, const char *const *names, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(names[i], topic) == 0)
                        return true;
        return false;
}

const char *again_refuses(const struct again *ag, const char *topic, bool to_store)
{
        static const char *const stored[] = {
                "chat.events", "chat.receipts", "chat.sessions", "notifications", "broadcasts"};
        static const char *const for_users[] = {
                "chat.events", "chat.receipts", "notifications", "broadcasts"};
        if (to_store)
                return is_one_of(topic, stored, ARRAY_LEN(stored))
                               ? NULL
                               : "only Tern's stored topics can be replayed to Postgres: a copy's "
                                 "records stand under other places";
        if (!is_one_of(topic, for_users, ARRAY_LEN(for_users)))
                return "clients are shown chat.events, chat.receipts, notifications and broadcasts "
                       "only";
        if (ag->conversation && strncmp(topic, "chat.", 5) != 0)
                return "notifications are for users: --to-clients user:U";
        return NULL;
}

void again_done(struct again *ag)
{
        buf_done(&ag->value);
        buf_done(&ag->key);
}

static void put(struct again *ag, size_t at, const char *name, struct slice value)
{
        ag->headers[at] = (struct bus_header){slice_str(name), value};
}

static struct slice number(struct again *ag, size_t at, int64_t v)
{
        snprintf(ag->numbers[at], sizeof(ag->numbers[at]), "%" PRId64, v);
        return slice_str(ag->numbers[at]);
}

enum copy_verdict again_to_store(
        struct again *ag, const struct bus_record *in, struct bus_record *out)
{
        struct event e;
        struct event_error err;
        size_t n = 0;
        if (in->header_count > ARRAY_LEN(ag->headers) - OWN_HEADERS ||
                validate_record(in, &e, &err) != 0)
                return COPY_SKIP;
        /* One under a wrong key or in a wrong partition was published again by the writer; that copy is stored. */
        bool placed = event_key_fits(&e, in->key) && in->key.p &&
                      (int32_t)partition_of(in->key, ag->partitions) == in->partition;
        event_done(&e);
        if (!placed)
                return COPY_SKIP;
        for (size_t i = 0; i < in->header_count; i++)
                if (!slice_starts(in->headers[i].name, "tern-"))
                        ag->headers[n++] = in->headers[i];
        put(ag, n++, DEADLETTER_TOPIC, in->topic);
        put(ag, n++, DEADLETTER_PARTITION, number(ag, 0, in->partition));
        put(ag, n++, DEADLETTER_OFFSET, number(ag, 1, in->offset));
        put(ag, n++, DEADLETTER_TIMESTAMP, number(ag, 2, in->timestamp_ms));
        put(ag, n++, DEADLETTER_EPOCH, number(ag, 3, ag->epoch));
        *out = (struct bus_record){.topic = SLICE_LIT(REDRIVE_TOPIC),
                .partition = 0,
                .key = in->key,
                .value = in->value,
                .headers = ag->headers,
                .header_count = n};
        return COPY_TAKE;
}

static bool is_shown(const struct event *e)
{
        return e->type == EVENT_MESSAGE_CREATED || e->type == EVENT_EMIT ||
               e->type == EVENT_MEMBER_ADDED || e->type == EVENT_MEMBER_REMOVED ||
               e->type == EVENT_RECEIPT_READ || e->type == EVENT_NOTIFICATION_CREATED ||
               e->type == EVENT_BROADCAST;
}

/* Does it concern them at all? Who may see it the gateways know. */
static bool is_theirs(const struct again *ag, const struct event *e, struct slice key)
{
        if (ag->conversation)
                return e->type == EVENT_EMIT ? slice_is(key, ag->conversation)
                                             : e->conversation_id && strcmp(e->conversation_id,
                                                                             ag->conversation) == 0;
        if (e->type == EVENT_NOTIFICATION_CREATED)
                return strcmp(e->user_id, ag->user) == 0;
        return e->type != EVENT_EMIT || !slice_starts(key, "user:") ||
               slice_is(slice_from(key, 5), ag->user);
}

static void encode(struct again *ag, const struct event *e, const struct bus_record *in)
{
        struct buf *v = &ag->value;
        buf_reset(v);
        buf_add_char(v, '{');
        json_slice(v, "topic", in->topic);
        json_text(v, "type", event_type_name(e->type));
        json_text(v, "id", e->id ? e->id : "");
        json_slice(v, "key", in->key);
        json_number(v, "seq", (ag->epoch << SEQ_EPOCH_SHIFT) + in->offset);
        json_number(v, "createdAt", in->timestamp_ms > 0 ? in->timestamp_ms : 0);
        buf_add_str(v, ",\"data\":");
        event_encode(e, v);
        buf_add_char(v, '}');
}

enum copy_verdict again_to_clients(
        struct again *ag, const struct bus_record *in, struct bus_record *out)
{
        struct event e;
        struct event_error err;
        size_t n = 0;
        if (validate_record(in, &e, &err) != 0)
                return COPY_SKIP;
        bool theirs = is_shown(&e) && event_key_fits(&e, in->key) && is_theirs(ag, &e, in->key);
        if (theirs)
                encode(ag, &e, in);
        event_done(&e);
        if (!theirs || ag->value.n > DATA_MAX_BYTES)
                return COPY_SKIP;
        buf_reset(&ag->key);
        if (ag->conversation)
                buf_printf(&ag->key, "conversation:%s", ag->conversation);
        else
                buf_add_str(&ag->key, ag->user);
        uuid_v7(clock_wall_ms(), ag->id);
        put(ag, n++, "ce_specversion", SLICE_LIT("1.0"));
        put(ag, n++, "ce_id", slice_str(ag->id));
        put(ag, n++, "ce_type", slice_str(event_type_name(EVENT_REPLAY)));
        put(ag, n++, "ce_source", SLICE_LIT("ternctl"));
        put(ag, n++, "content-type", SLICE_LIT("application/json"));
        *out = (struct bus_record){.topic = SLICE_LIT("control"),
                .partition = -1,
                .key = buf_slice(&ag->key),
                .value = buf_slice(&ag->value),
                .headers = ag->headers,
                .header_count = n};
        return COPY_TAKE;
}
