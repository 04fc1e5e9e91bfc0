#include "ctl/record_json.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/jsonscan.h"

#include <inttypes.h>

#define JSON_DEPTH_MAX 64

void record_json_bytes(struct buf *out, const char *name, const char *name_base64, struct slice v)
{
        struct buf quoted = BUF_EMPTY;
        if (!v.p) {
                buf_printf(out, ",\"%s\":null", name);
                return;
        }
        buf_add_json_str(&quoted, v);
        if (json_check(buf_slice(&quoted), 1, 0)) {
                buf_printf(out, ",\"%s\":", name);
                buf_add_slice(out, buf_slice(&quoted));
        } else {
                buf_printf(out, ",\"%s\":\"", name_base64);
                size_t n = base64_encode(v.p, v.n, buf_reserve(out, base64_len(v.n)));
                buf_commit(out, n);
                buf_add_char(out, '"');
        }
        buf_done(&quoted);
}

static void add_headers(struct buf *out, const struct bus_record *r)
{
        buf_add_str(out, ",\"headers\":{");
        for (size_t i = 0; i < r->header_count; i++) {
                struct buf name = BUF_EMPTY, value = BUF_EMPTY;
                buf_add_json_str(&name, r->headers[i].name);
                buf_add_json_str(&value, r->headers[i].value);
                if (json_check(buf_slice(&name), 1, 0) && json_check(buf_slice(&value), 1, 0)) {
                        if (out->p[out->n - 1] != '{')
                                buf_add_char(out, ',');
                        buf_add_slice(out, buf_slice(&name));
                        buf_add_char(out, ':');
                        buf_add_slice(out, buf_slice(&value));
                }
                buf_done(&name);
                buf_done(&value);
        }
        buf_add_char(out, '}');
}

static void add_value(struct buf *out, struct slice v)
{
        if (v.p && json_check(v, JSON_DEPTH_MAX, 0)) {
                buf_add_str(out, ",\"value\":");
                json_compact(json_first(v), out);
        } else {
                record_json_bytes(out, "value", "valueBase64", v);
        }
}

void record_json(const struct bus_record *r, struct buf *out)
{
        char time[CLOCK_ISO_TEXT];
        buf_add_str(out, "{\"topic\":");
        buf_add_json_str(out, r->topic);
        buf_printf(out, ",\"partition\":%d,\"offset\":%" PRId64, r->partition, r->offset);
        if (r->timestamp_ms >= 0) {
                clock_iso(r->timestamp_ms, time);
                buf_printf(out, ",\"time\":\"%s\"", time);
        }
        record_json_bytes(out, "key", "keyBase64", r->key);
        add_headers(out, r);
        add_value(out, r->value);
        buf_add_char(out, '}');
}
