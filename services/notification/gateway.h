/*
 * gateway - one shard's half of the notification gateway: its streams and questions, and the callbacks
 * by which the fan-out core speaks to them.
 *
 * The cursor text that the fan-out core carries is struct raw_cursor (private to this process); the
 * frames turn it into the two pairs of an SSE id: the user's partition of notifications, and broadcasts.
 * The variant of a stream is its user's partition, so that a broadcast is framed once for each partition.
 *
 * Owner: the shard's loop thread.
 */
#ifndef TERN_NOTIFICATION_GATEWAY_H
#define TERN_NOTIFICATION_GATEWAY_H

#include "notification/app.h"
#include "notification/topics.h"

#include "base/hash.h"
#include "base/list.h"
#include "base/map.h"
#include "fanout/fanout.h"
#include "net/shard.h"
#include "proto/event.h"

#define SSE_ID_TEXT 128

struct gateway {
        struct app *app; /* borrowed, frozen */
        unsigned index;
        struct shard *shard;     /* borrowed */
        struct feed_shard *feed; /* owned */
        struct fanout *fanout;   /* feed's */
        struct list streams;     /* struct stream.in_gateway */
        struct list asks;        /* struct ask.in_gateway, oldest first */
        struct event current;    /* the record that is being handed out, parsed once */
        bool current_ok;
        const struct record *current_of; /* only compared, never followed */
        struct shard_timer sweep;
        struct list *sweep_at;
        struct list scans; /* of the admin page: admin/admin.h */
        uint64_t opened;   /* streams so far */
        int64_t refreshed_ms;
};

MUST_CHECK int gateway_new(
        struct app *app, unsigned index, struct shard *shard, struct gateway **ret);
/* The bus will be gone: what still runs is answered. On the shard's thread, as the next. */
void gateway_stop(struct gateway *gw);
/* This process stood still for long: every client comes back by itself. */
void gateway_drop_all(struct gateway *gw);
struct gateway *gateway_free(struct gateway *gw);
static inline int64_t gateway_now(const struct gateway *gw)
{
        return shard_now_ms(gw->shard);
}
/* A user's shard, and the partition of notifications that holds the user's records. */
unsigned gateway_shard_of(const struct app *app, struct slice user);
uint16_t gateway_partition_of(const struct app *app, struct slice user);

/* The SSE id of a raw cursor (see above) for a user's partition. */
size_t gateway_sse_id(
        const struct gateway *gw, uint16_t partition, struct slice raw, char ret[SSE_ID_TEXT]);

/* What the fan-out core carries as cursor text: the epochs of the two topics and the next offsets by slot. */
struct raw_cursor {
        uint32_t epoch[2];
        int64_t offset[]; /* fanout_slot_count() */
};

/* A record; send may be NULL. trace: a valid traceparent, or empty. 0, -ENOBUFS or -EMSGSIZE. Any thread. */
MUST_CHECK int gateway_produce(struct app *app, const char *topic, enum event_type type,
        struct slice id, struct slice key, struct slice value, struct slice trace,
        struct bus_send *send);

extern const struct fanout_ops egress_ops; /* egress.c */

/* ---- access.c ---- */
void access_record(struct gateway *gw, const struct record *r);
void control_record(struct gateway *gw, const struct record *r);

/* ---- routes.c ---- */
void routes_add(struct app *app);

#endif
