#include "notification/gateway.h"

#include "notification/ask.h"
#include "notification/stream.h"

#include "base/clock.h"
#include "base/trace.h"
#include "realtime/eventstream_server.h"
#include "wire/cursor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SWEEP_MS 100
#define SWEEP_STREAMS 500

unsigned gateway_shard_of(const struct app *app, struct slice user)
{
        return hash_murmur2(user) / 64 % app->shard_count;
}

uint16_t gateway_partition_of(const struct app *app, struct slice user)
{
        return (uint16_t)partition_of(user, feed_partitions(app->feed, TOPIC_NOTIFICATIONS));
}

static int64_t raw_offset(struct slice raw, int32_t slot)
{
        int64_t offset;
        size_t at = sizeof(struct raw_cursor) + (size_t)slot * sizeof(offset);
        CHECK(at + sizeof(offset) <= raw.n);
        memcpy(&offset, raw.p + at, sizeof(offset));
        return offset;
}

size_t gateway_sse_id(
        const struct gateway *gw, uint16_t partition, struct slice raw, char ret[SSE_ID_TEXT])
{
        struct raw_cursor head;
        CHECK(raw.n >= sizeof(head));
        memcpy(&head, raw.p, sizeof(head));
        const int64_t offset[2] = {
                raw_offset(raw, fanout_slot(gw->fanout, TOPIC_NOTIFICATIONS, partition)),
                raw_offset(raw, fanout_slot(gw->fanout, TOPIC_BROADCASTS, 0)),
        };
        return cursor_sse_encode(head.epoch, offset, ret);
}

int gateway_produce(struct app *app, const char *topic, enum event_type type, struct slice id,
        struct slice key, struct slice value, struct slice trace, struct bus_send *send)
{
        if (atomic_load(&app->bus_closing))
                return -ENOBUFS;
        char iso[CLOCK_ISO_TEXT], source[96];
        clock_iso(clock_wall_ms(), iso);
        snprintf(source, sizeof(source), "tern-notification/%s", app->instance);
        const struct bus_header headers[] = {
                {SLICE_LIT("ce_specversion"), SLICE_LIT("1.0")}, {SLICE_LIT("ce_id"), id},
                {SLICE_LIT("ce_type"), slice_str(event_type_name(type))},
                {SLICE_LIT("ce_source"), slice_str(source)}, {SLICE_LIT("ce_time"), slice_str(iso)},
                {SLICE_LIT("content-type"), SLICE_LIT("application/json")},
                {SLICE_LIT("traceparent"), trace}, /* the last: it may be missing */
        };
        if (trace.n)
                log_debug(app->log, "produced", F_STR("topic", topic), F_SLICE("id", id),
                        F_SLICE("trace_id", trace_id(trace)));
        struct bus_record r = {
                .topic = slice_str(topic),
                .partition = -1,
                .key = key,
                .value = value,
                .headers = headers,
                .header_count = ARRAY_LEN(headers) - (trace.n == 0),
        };
        return bus_produce(app->bus, &r, send);
}

static void sweep_streams(struct gateway *gw, int64_t now)
{
        for (unsigned i = 0; i < SWEEP_STREAMS; i++) {
                if (!gw->sweep_at || gw->sweep_at == &gw->streams) {
                        if (now - gw->refreshed_ms <
                                (int64_t)gw->app->feed_settings.tail_fill_ms / 16)
                                return;
                        gw->refreshed_ms = now;
                        gw->sweep_at = list_first(&gw->streams);
                        if (!gw->sweep_at)
                                return;
                }
                struct list *at = gw->sweep_at;
                gw->sweep_at = at->next;
                stream_refresh(list_entry(at, struct stream, in_gateway), now);
        }
}

/* One shard speaks for all, and only when the servers stand. */
static void tell_fleet(struct gateway *gw, int64_t now)
{
        struct app *app = gw->app;
        if (gw->index != 0 || !atomic_load(&app->lifecycle.ready))
                return;
        unsigned n = fleet_tick(app->fleet, es_server_connections(app->es), now);
        if (n > 0)
                es_server_shed(app->es, n);
}

static void sweep(struct shard *sh, struct shard_timer *t)
{
        struct gateway *gw = container_of(t, struct gateway, sweep);
        int64_t now = shard_now_ms(sh);
        tell_fleet(gw, now);
        asks_expire(gw, now);
        sweep_streams(gw, now);
        feed_shard_count(gw->feed);
        shard_timer_set(sh, t, SWEEP_MS);
}

int gateway_new(struct app *app, unsigned index, struct shard *shard, struct gateway **ret)
{
        struct gateway *gw = xcalloc(1, sizeof(*gw));
        gw->app = app;
        gw->index = index;
        gw->shard = shard;
        list_init(&gw->streams);
        list_init(&gw->scans);
        list_init(&gw->asks);
        int r = feed_shard_new(app->feed, index, shard_mailbox(shard), &egress_ops, gw, &gw->feed);
        if (r < 0) {
                free(gw);
                return r;
        }
        gw->fanout = feed_fanout(gw->feed);
        shard_timer_init(&gw->sweep, sweep);
        shard_timer_set(shard, &gw->sweep, SWEEP_MS);
        *ret = gw;
        return 0;
}

void gateway_stop(struct gateway *gw)
{
        asks_expire(gw, INT64_MAX);
}

void gateway_drop_all(struct gateway *gw)
{
        list_for_each(it, &gw->streams)
                stream_close(list_entry(it, struct stream, in_gateway), ES_CLOSE_TRANSPORT_ERROR);
}

struct gateway *gateway_free(struct gateway *gw)
{
        if (!gw)
                return NULL;
        shard_timer_stop(gw->shard, &gw->sweep);
        asks_expire(gw, INT64_MAX);
        if (gw->current_ok)
                event_done(&gw->current);
        feed_shard_free(gw->feed);
        free(gw);
        return NULL;
}
