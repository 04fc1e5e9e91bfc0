#include "writer/batch.h"
#include "writer/judge.h"

#include "proto/deadletter.h"

#include "base/clock.h"

#include <stdlib.h>

#define OFFSET_MAX ((INT64_C(1) << SEQ_EPOCH_SHIFT) - 1)
#define EPOCH_MAX 8191                       /* seq stays exact in JavaScript */
#define TIME_MS_MAX INT64_C(253402300799999) /* the year 9999 */

const char *const writer_topics[TOPIC_COUNT] = {
        [TOPIC_EVENTS] = "chat.events",
        [TOPIC_RECEIPTS] = "chat.receipts",
        [TOPIC_SESSIONS] = "chat.sessions",
        [TOPIC_NOTIFICATIONS] = "notifications",
        [TOPIC_BROADCASTS] = "broadcasts",
        [TOPIC_REDRIVE] = REDRIVE_TOPIC,
};

enum writer_topic writer_topic_of(struct slice name)
{
        for (int t = 0; t < TOPIC_COUNT; t++)
                if (slice_is(name, writer_topics[t]))
                        return (enum writer_topic)t;
        return TOPIC_COUNT;
}

struct batch *batch_new(void)
{
        return xcalloc(1, sizeof(struct batch));
}

void batch_reset(struct batch *b)
{
        for (size_t i = 0; i < b->count; i++)
                event_done(&b->items[i].event);
        for (size_t i = 0; i < ID_CLASS_COUNT; i++)
                map_done(&b->ids[i]); /* leaves an empty one */
        arena_reset(&b->arena);
        b->count = b->part_count = b->committed = 0;
        b->opened_ms = 0;
        b->abandoned = false;
}

struct batch *batch_free(struct batch *b)
{
        if (!b)
                return NULL;
        batch_reset(b);
        free(b->items);
        free(b->parts);
        free(b);
        return NULL;
}

uint32_t batch_part(struct batch *b, const struct part *of)
{
        for (uint32_t i = 0; i < b->part_count; i++) {
                const struct part *p = &b->parts[i];
                if (p->topic == of->topic && p->partition == of->partition &&
                        p->epoch == of->epoch && p->assignment == of->assignment)
                        return i;
        }
        if (b->part_count == b->part_cap) {
                b->part_cap = b->part_cap ? b->part_cap * 2 : 64;
                b->parts = xrealloc(b->parts, b->part_cap * sizeof(*b->parts));
        }
        b->parts[b->part_count] = *of;
        b->parts[b->part_count].committed = -1;
        b->parts[b->part_count].fenced = false;
        return (uint32_t)b->part_count++;
}

static struct item *new_item(struct batch *b, uint32_t part, int64_t before, int64_t after)
{
        CHECK(part < b->part_count && before < after);
        if (b->count == b->cap) {
                b->cap = b->cap ? b->cap * 2 : 1024;
                b->items = xrealloc(b->items, b->cap * sizeof(*b->items));
        }
        struct item *it = &b->items[b->count++];
        *it = (struct item){.part = part, .before = before, .after = after};
        b->parts[part].after = after;
        return it;
}

static void copy_record(struct arena *a, const struct bus_record *r, struct bus_record *ret)
{
        struct bus_header *headers = arena_take(a, (r->header_count + 1) * sizeof(*headers));
        for (size_t i = 0; i < r->header_count; i++) {
                headers[i].name = arena_slice(a, r->headers[i].name);
                headers[i].value = arena_slice(a, r->headers[i].value);
        }
        *ret = *r;
        ret->key = arena_slice(a, r->key);
        ret->value = arena_slice(a, r->value);
        ret->headers = headers;
}

/* The first of an id counts. Partitions are read side by side, so between two of them "first" is what came first here. An item whose
 * partition was let go since counts no more: it may be this very record, read again. */
static void note_id(struct batch *b, struct item *it)
{
        if (it->id_class == ID_NONE)
                return;
        struct map *ids = &b->ids[it->id_class];
        uintptr_t first = (uintptr_t)map_get(ids, it->id);
        if (first && !b->parts[b->items[first - 1].part].fenced)
                it->kind = ITEM_REPEATED;
        else
                map_put(ids, it->id, (void *)(uintptr_t)(it - b->items + 1));
}

/* The log's time; on the embedded broker, which has none, the event's own, else that of its arrival. A producer's clock may say
 * anything, so only what Postgres can hold counts. */
static int64_t created_ms(const struct bus_record *r, int64_t now_wall_ms)
{
        int64_t ms = r->timestamp_ms;
        if (ms < 0) {
                struct slice text = bus_record_header(r, "ce_time");
                if (!text.p || clock_parse_iso(text.p, text.n, &ms) < 0)
                        ms = now_wall_ms;
        }
        return ms >= 0 && ms <= TIME_MS_MAX ? ms : now_wall_ms;
}

static bool place_header(const struct bus_record *r, const char *name, uint64_t max, uint64_t *ret)
{
        return slice_to_u64(bus_record_header(r, name), max, ret);
}

/* A redriven record takes the place of the one that it stands for, in the item as in Postgres. False: it names none. */
static bool take_origin(struct batch *b, struct item *it)
{
        struct bus_record *r = &it->record;
        enum writer_topic topic = writer_topic_of(bus_record_header(r, DEADLETTER_TOPIC));
        uint64_t partition = 0, offset = 0, epoch = 0, ms = 0;
        if (topic >= TOPIC_REDRIVE ||
                !place_header(r, DEADLETTER_PARTITION, INT32_MAX, &partition) ||
                !place_header(r, DEADLETTER_OFFSET, OFFSET_MAX, &offset) ||
                !place_header(r, DEADLETTER_EPOCH, EPOCH_MAX, &epoch))
                return false;
        struct part *origin = arena_take(&b->arena, sizeof(*origin));
        *origin = (struct part){.topic = topic,
                .partition = (int32_t)partition,
                .epoch = (uint32_t)epoch,
                .assignment = b->parts[it->part].assignment};
        it->origin = origin;
        r->topic = slice_str(writer_topics[topic]);
        r->partition = (int32_t)partition;
        r->offset = (int64_t)offset;
        if (place_header(r, DEADLETTER_TIMESTAMP, TIME_MS_MAX, &ms))
                r->timestamp_ms = (int64_t)ms;
        it->seq = seq_of(origin->epoch, r->offset);
        return true;
}

void batch_add(struct batch *b, uint32_t part, const struct bus_record *r, int64_t before,
        int64_t now_wall_ms)
{
        struct item *it = new_item(b, part, before, r->offset + 1);
        const struct part *p = &b->parts[part];
        copy_record(&b->arena, r, &it->record);
        it->record.topic = slice_str(writer_topics[p->topic]);
        it->seq = seq_of(p->epoch, r->offset);
        if (p->topic == TOPIC_REDRIVE && !take_origin(b, it)) {
                it->kind = ITEM_IGNORED;
                return;
        }
        it->created_ms = created_ms(&it->record, now_wall_ms);
        judge(b, it);
        if (it->kind == ITEM_STORE)
                note_id(b, it);
}

void batch_add_place(struct batch *b, uint32_t part, int64_t before, int64_t after)
{
        struct item *it = new_item(b, part, before, after);
        it->kind = ITEM_PLACE;
}

void item_kill(struct batch *b, struct item *it, enum event_fault fault, const char *field,
        const char *message)
{
        it->kind = ITEM_DEAD;
        it->error = arena_take(&b->arena, sizeof(*it->error));
        *it->error = (struct event_error){.fault = fault};
        snprintf(it->error->field, sizeof(it->error->field), "%s", field);
        snprintf(it->error->message, sizeof(it->error->message), "%s", message);
}
