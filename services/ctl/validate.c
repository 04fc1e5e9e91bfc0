#include "ctl/validate.h"

#include <errno.h>

int validate_record(const struct bus_record *r, struct event *ret, struct event_error *err)
{
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
        int r2 = event_normalize(&env, &scratch, err);
        if (r2 == 0)
                r2 = event_parse(env.topic, env.type, env.id, env.key, env.value, ret, err);
        buf_done(&scratch);
        return r2;
}
