#include "writer/deadletter.h"

#include "proto/deadletter.h"

#include <inttypes.h>
#include <stdio.h>

#define OWN_HEADERS 9

static const char *const own_names[OWN_HEADERS] = {
        DEADLETTER_REASON,
        DEADLETTER_FIELD,
        DEADLETTER_MESSAGE,
        DEADLETTER_TOPIC,
        DEADLETTER_PARTITION,
        DEADLETTER_OFFSET,
        DEADLETTER_TIMESTAMP,
        DEADLETTER_EPOCH,
        DEADLETTER_TRUNCATED,
};

const char *deadletter_reason(const struct event_error *err)
{
        return err->fault == EVENT_OK ? "refused" : event_fault_name(err->fault);
}

/* A record that was redriven and died again carries those of its first death. */
static bool is_own(struct slice name)
{
        for (size_t i = 0; i < OWN_HEADERS; i++)
                if (slice_is(name, own_names[i]))
                        return true;
        return false;
}

static struct slice number(struct arena *a, int64_t v)
{
        char text[24];
        snprintf(text, sizeof(text), "%" PRId64, v);
        return arena_slice(a, slice_str(text));
}

static struct slice topic_of(const struct part *p)
{
        return slice_str(writer_topics[p->topic]);
}

static struct slice dlq_name(struct arena *a, const struct part *p)
{
        char text[64];
        snprintf(text, sizeof(text), "%s.dlq", writer_topics[p->topic]);
        return slice_str(arena_text(a, slice_str(text)));
}

void deadletter_make(struct arena *a, const struct part *p, const struct item *it,
        int32_t partition, bool truncated, struct bus_record *ret)
{
        const struct bus_record *r = &it->record;
        struct bus_header *h = arena_take(a, (r->header_count + OWN_HEADERS) * sizeof(*h));
        size_t n = 0;
        for (size_t i = 0; i < r->header_count; i++)
                if (!is_own(r->headers[i].name))
                        h[n++] = r->headers[i];
        const struct slice values[OWN_HEADERS] = {
                slice_str(deadletter_reason(it->error)),
                slice_str(it->error->field),
                slice_str(it->error->message),
                topic_of(p),
                number(a, p->partition),
                number(a, r->offset),
                number(a, r->timestamp_ms),
                number(a, p->epoch),
                truncated ? SLICE_LIT("1") : SLICE_NONE,
        };
        for (size_t i = 0; i < OWN_HEADERS; i++)
                if (values[i].n)
                        h[n++] = (struct bus_header){slice_str(own_names[i]), values[i]};
        *ret = (struct bus_record){
                .topic = dlq_name(a, p),
                .partition = partition,
                .key = r->key,
                .value = truncated ? SLICE_NONE : r->value,
                .headers = h,
                .header_count = n,
        };
}

static bool header_is(const struct bus_record *r, const char *name, int64_t v)
{
        uint64_t got = 0;
        return slice_to_u64(bus_record_header(r, name), INT64_MAX, &got) && (int64_t)got == v;
}

bool deadletter_is_of(const struct bus_record *r, const struct part *p, int64_t *ret_offset)
{
        uint64_t offset = 0;
        if (!slice_eq(bus_record_header(r, DEADLETTER_TOPIC), topic_of(p)) ||
                !header_is(r, DEADLETTER_PARTITION, p->partition) ||
                !header_is(r, DEADLETTER_EPOCH, p->epoch))
                return false;
        if (!slice_to_u64(bus_record_header(r, DEADLETTER_OFFSET), INT64_MAX, &offset))
                return false;
        *ret_offset = (int64_t)offset;
        return true;
}
