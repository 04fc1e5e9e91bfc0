#include "ctl/ctl.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/jsonscan.h"
#include "base/lifecycle.h"
#include "bus/consumer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define JSON_DEPTH_MAX 64
#define BATCH 500

struct tail {
        struct consumer *consumer;
        struct consumer_partition *parts; /* owned; offset -1 once its end was told */
        size_t count;
        size_t ended;
        const char *key, *type;
        uint64_t left; /* records still to print */
        bool follow, broken;
        struct buf line;
};

/* ---- one record as JSON ---- */

/* Text if it is valid UTF-8, else its bytes under another name. */
static void add_bytes(struct buf *out, const char *name, const char *name_base64, struct slice v)
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
                add_bytes(out, "value", "valueBase64", v);
        }
}

static void print_record(struct tail *t, const struct bus_record *r)
{
        struct buf *out = &t->line;
        char time[CLOCK_ISO_TEXT];
        buf_add_str(out, "{\"topic\":");
        buf_add_json_str(out, r->topic);
        buf_printf(out, ",\"partition\":%d,\"offset\":%" PRId64, r->partition, r->offset);
        if (r->timestamp_ms >= 0) {
                clock_iso(r->timestamp_ms, time);
                buf_printf(out, ",\"time\":\"%s\"", time);
        }
        add_bytes(out, "key", "keyBase64", r->key);
        add_headers(out, r);
        add_value(out, r->value);
        buf_add_char(out, '}');
        if (!print_line(out))
                t->broken = true;
}

static bool is_wanted(const struct tail *t, const struct bus_record *r)
{
        if (t->key[0] && !(r->key.p && slice_is(r->key, t->key)))
                return false;
        if (!t->type[0])
                return true;
        struct slice type = bus_record_header(r, "ce_type");
        return slice_is(type, t->type) ||
               (slice_starts(type, "tern.") && slice_is(slice_from(type, 5), t->type));
}

/* ---- where to begin ---- */

/* The offset of "--from" in one partition. 0 or -errno. */
static int begin_at(struct ctl *ctl, const char *from, struct consumer_partition *p, int64_t now_ms)
{
        int64_t at = 0;
        if (strcmp(from, "beginning") == 0 || strcmp(from, "end") == 0) {
                p->offset = from[0] == 'b' ? CONSUMER_BEGINNING : CONSUMER_END;
                return 0;
        }
        if (from[0] == '-' && parse_duration(from + 1, &at) == 0)
                at = now_ms - at;
        else if (clock_parse_iso(from, strlen(from), &at) != 0)
                return -EINVAL;
        return bus_offset_for_time(ctl->bus, p->topic, p->partition, at, CTL_KAFKA_MS, &p->offset);
}

static int add_topic(struct ctl *ctl, struct tail *t, const char *topic, const char *from)
{
        uint32_t n = 0;
        int64_t now = clock_wall_ms();
        int err = bus_partitions(ctl->bus, topic, CTL_KAFKA_MS, &n);
        if (err)
                return ctl_fail("%s: %s", topic, kafka_error(err));
        t->parts = xrealloc(t->parts, (t->count + n) * sizeof(*t->parts));
        for (uint32_t p = 0; p < n; p++) {
                struct consumer_partition *part = &t->parts[t->count + p];
                *part = (struct consumer_partition){topic, (int32_t)p, 0};
                err = begin_at(ctl, from, part, now);
                if (err == -EINVAL) {
                        ctl_fail("--from is %s, it has to be beginning, end, a time "
                                 "(2026-01-31T12:00:00Z) or an age (-10m)",
                                from);
                        return EXIT_USAGE;
                }
                if (err)
                        return ctl_fail("%s: %s", topic, kafka_error(err));
        }
        t->count += n;
        return EXIT_DONE;
}

/* ---- the loop ---- */

static void end_reached(struct tail *t, const struct bus_record *r)
{
        for (size_t i = 0; i < t->count; i++) {
                struct consumer_partition *p = &t->parts[i];
                if (p->partition == r->partition && slice_is(r->topic, p->topic) &&
                        p->offset != INT64_MAX) {
                        p->offset = INT64_MAX;
                        t->ended++;
                }
        }
}

static bool is_over(const struct tail *t)
{
        return t->broken || t->left == 0 || (!t->follow && t->ended == t->count);
}

static void on_event(struct tail *t, const struct consumer_event *e)
{
        switch (e->kind) {
        case CONSUMER_RECORD:
                if (t->left > 0 && is_wanted(t, &e->record)) {
                        print_record(t, &e->record);
                        t->left--;
                }
                break;
        case CONSUMER_EOF:
                end_reached(t, &e->record);
                break;
        case CONSUMER_RANGE:
                /* Deleted between the question and the read: the oldest that is there. */
                if (consumer_seek(t->consumer, &(struct consumer_partition){e->record.topic.p,
                                                       e->record.partition, CONSUMER_BEGINNING}) !=
                        0)
                        end_reached(t, &e->record);
                break;
        case CONSUMER_ERROR:
        case CONSUMER_DEAD:
                ctl_fail("%s", e->error ? e->error : "Kafka is away");
                break;
        }
}

static int run(struct ctl *ctl, const struct args *a, struct tail *t)
{
        const char *from = args_text(a, "from");
        if (!from[0])
                from = t->follow ? "end" : "beginning";
        for (size_t i = 0; i < a->word_count; i++) {
                int code = add_topic(ctl, t, a->words[i], from);
                if (code)
                        return code;
        }
        char fault[256] = "";
        const struct consumer_options by_hand = {0};
        if (consumer_new(ctl->bus, &by_hand, &t->consumer, fault) != 0)
                return ctl_fail("%s", fault);
        if (consumer_assign(t->consumer, t->parts, t->count) != 0)
                return ctl_fail("the partitions cannot be read");
        struct lifecycle lc;
        lifecycle_init(&lc);
        while (!is_over(t) && lifecycle_wait(&lc, 0) == 0) {
                const struct consumer_event *e;
                size_t n = consumer_poll(t->consumer, 100, BATCH, &e);
                for (size_t i = 0; i < n; i++)
                        on_event(t, &e[i]);
        }
        lifecycle_done(&lc);
        return EXIT_DONE;
}

int cmd_tail(struct ctl *ctl, const struct args *a)
{
        struct admin_cluster cluster;
        char fault[256] = "";
        uint32_t count = UINT32_MAX;
        if (a->word_count == 0 || (args_text(a, "count")[0] &&
                                          args_u32(a, "count", UINT32_MAX, &count, fault) != 0)) {
                ctl_fail("%s", a->word_count == 0 ? "tail needs a topic (try --help)" : fault);
                return EXIT_USAGE;
        }
        int code = ctl_bus(ctl, CTL_KAFKA_MS, &cluster);
        if (code)
                return code;
        struct tail t = {.key = args_text(a, "key"),
                .type = args_text(a, "type"),
                .follow = args_flag(a, "follow"),
                .left = args_text(a, "count")[0] ? count : UINT64_MAX};
        code = run(ctl, a, &t);
        consumer_free(t.consumer);
        free(t.parts);
        buf_done(&t.line);
        return code;
}
