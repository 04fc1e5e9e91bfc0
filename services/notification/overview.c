#include "notification/overview.h"

#include "notification/stream.h"

#include "admin/admin.h"

#include <inttypes.h>
#include <stdio.h>

/* A stream has no name of its own: its number on its shard makes one, which orders a user's streams by age. */
static void offer_stream(struct admin_scan *scan, struct list *node)
{
        const struct stream *st = list_entry(node, struct stream, in_gateway);
        char text[LISTING_KEY_MAX];
        struct buf json = BUF_EMPTY;
        int n = snprintf(text, sizeof(text), "%s %s.%u.%012" PRIu64, st->user,
                st->gw->app->instance, st->gw->index, st->number);
        struct slice key = slice_of(text, (size_t)n);
        if (!listing_wants(&scan->listing, key))
                return;
        unsigned rooms = 0;
        list_for_each(it, &st->sub.rooms) rooms++;
        const struct admin_connection c = {.user = slice_str(st->user),
                .about = slice_str(st->topics),
                .gateway = st->gw->app->instance,
                .transport = "sse",
                .sub = &st->sub,
                .rooms = rooms > 0 ? rooms - 1 : 0, /* the user's own is none */
                .since_ms = st->opened_ms,
                .address_n = st->address_n,
                .address = st->address};
        admin_row(&json, &c);
        listing_put(&scan->listing, key, 1, buf_slice(&json));
        buf_done(&json);
}

static bool scan_slice(void *gateway, struct admin_scan *scan)
{
        struct gateway *gw = gateway;
        if (scan->what == ADMIN_CONNECTIONS)
                return admin_scan_nodes(scan, &gw->scans, &gw->streams, offer_stream);
        return admin_scan_rooms(scan, gw->fanout, TOPIC_BROADCASTS, NULL);
}

static struct mailbox *mailbox_of(void *arg, unsigned shard)
{
        const struct app *app = arg;
        return shard_mailbox(app->shards[shard]);
}

static void *gateway_of(void *arg, unsigned shard)
{
        const struct app *app = arg;
        return app->gateways[shard];
}

int overview_new(struct app *app)
{
        const struct admin_options o = {.service = "notification",
                .instance = app->instance,
                .bus = app->bus,
                .auth = app->auth,
                .revocations = app->revocations,
                .metrics = app->metrics,
                .fleet = app->fleet,
                .shard_count = app->shard_count,
                .mailbox = mailbox_of,
                .gateway = gateway_of,
                .lists = 1u << ADMIN_CONNECTIONS | 1u << ADMIN_AUDIENCES,
                .scan = scan_slice,
                .arg = app};
        return admin_new(&o, &app->admin);
}
