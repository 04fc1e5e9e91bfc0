#include "feed/envelope.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/trace.h"
#include "proto/event.h"

#include <errno.h>

#define VALUE_BYTES_MAX 1000000

void envelope_done(struct envelope *e)
{
        buf_done(&e->scratch);
}

/* The last header of a name counts, as bus_record_header() says. */
static void read_headers(struct envelope *e, const struct bus_record *r, struct event_envelope *env)
{
        e->trace = SLICE_NONE;
        for (size_t i = 0; i < r->header_count; i++) {
                const struct bus_header *h = &r->headers[i];
                if (slice_is(h->name, "ce_id"))
                        env->id = h->value;
                else if (slice_is(h->name, "ce_type"))
                        env->type = h->value;
                else if (slice_is(h->name, "ce_source"))
                        env->source = h->value;
                else if (slice_is(h->name, "content-type"))
                        env->content_type = h->value;
                else if (slice_is(h->name, "traceparent") && h->value.n <= TRACE_MAX)
                        e->trace = h->value;
        }
}

int envelope_read(struct envelope *e, const struct feed_topic *topic, uint32_t partitions,
        const struct bus_record *r)
{
        struct event_envelope env = {.topic = r->topic,
                .key = r->key,
                .value = r->value,
                .partition = r->partition,
                .offset = r->offset};
        if (r->value.n > VALUE_BYTES_MAX)
                return -EINVAL;
        read_headers(e, r, &env);
        buf_reset(&e->scratch);
        struct event_error err;
        if (event_normalize(&env, &e->scratch, &err) < 0)
                return -EINVAL;
        e->key = env.key;
        e->id = env.id;
        e->type = env.type;
        e->value = env.value;
        e->foreign = (topic->rooms && !env.key.p) ||
                     (topic->foreign_check && (!env.key.p || partition_of(env.key, partitions) !=
                                                                     (uint32_t)r->partition));
        return 0;
}

size_t envelope_bytes(const struct envelope *e, bool with_value)
{
        return e->key.n + e->id.n + e->type.n + (with_value ? e->trace.n + e->value.n : 0);
}

/* The embedded broker stamps nothing; then the producer's own time has to do. */
static int64_t timestamp_of(const struct bus_record *r)
{
        struct slice time = bus_record_header(r, "ce_time");
        int64_t ms;
        if (r->timestamp_ms >= 0)
                return r->timestamp_ms;
        return time.n > 0 && clock_parse_iso(time.p, time.n, &ms) == 0 ? ms : clock_wall_ms();
}

static char *append(char *at, struct slice s)
{
        if (s.n > 0)
                memcpy(at, s.p, s.n);
        return at + s.n;
}

void envelope_write(const struct envelope *e, const struct bus_record *r, uint32_t epoch,
        bool with_value, struct record *dst)
{
        dst->key_hash = hash_key(e->key);
        dst->offset = dst->original_offset = r->offset;
        dst->timestamp_ms = timestamp_of(r);
        dst->epoch = epoch;
        dst->partition = (uint16_t)r->partition;
        dst->key_n = (uint32_t)e->key.n;
        dst->id_n = (uint32_t)e->id.n;
        dst->type_n = (uint32_t)e->type.n;
        char *at = append(append(append(dst->bytes, e->key), e->id), e->type);
        if (!with_value)
                return;
        dst->trace_n = (uint32_t)e->trace.n;
        dst->value_n = (uint32_t)e->value.n;
        append(append(at, e->trace), e->value);
}

bool envelope_replaces(const struct bus_record *r, int64_t offset)
{
        struct slice origin = bus_record_header(r, HEADER_REKEYED);
        if (origin.n == 0)
                return false;
        struct buf place = BUF_EMPTY;
        buf_add_slice(&place, r->topic);
        buf_add_char(&place, '/');
        buf_add_i64(&place, r->partition);
        buf_add_char(&place, '/');
        buf_add_i64(&place, offset);
        buf_add_char(&place, '/');
        bool same = slice_starts(origin, buf_cstr(&place));
        buf_done(&place);
        return same;
}
