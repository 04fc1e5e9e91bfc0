#include "messaging/overview.h"

#include "messaging/session.h"

#include "admin/admin.h"

#include <stdio.h>

static void offer_session(struct admin_scan *scan, struct list *node)
{
        const struct session *s = list_entry(node, struct session, in_gateway);
        char text[LISTING_KEY_MAX];
        struct buf json = BUF_EMPTY;
        if (!s->user)
                return;
        int n = snprintf(text, sizeof(text), "%.*s %s", SLICE_ARG(session_user(s)), s->sid);
        struct slice key = slice_of(text, (size_t)n);
        if (!listing_wants(&scan->listing, key))
                return;
        struct sio_socket *so = sio_socket_of((void *)(uintptr_t)s);
        const struct admin_connection c = {.user = session_user(s),
                .about = sio_nsp(so),
                .gateway = s->gw->app->instance,
                .transport = sio_on_websocket(so) ? "websocket" : "polling",
                .sub = &s->sub,
                .rooms = s->room_count,
                .since_ms = s->since_ms,
                .address_n = s->address_n,
                .address = s->address};
        admin_row(&json, &c);
        listing_put(&scan->listing, key, 1, buf_slice(&json));
        buf_done(&json);
}

static bool scan_slice(void *gateway, struct admin_scan *scan)
{
        struct gateway *gw = gateway;
        if (scan->what == ADMIN_CONNECTIONS)
                return admin_scan_nodes(scan, &gw->scans, &gw->sessions, offer_session);
        return admin_scan_rooms(scan, gw->fanout, TOPIC_EVENTS, "user:");
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
        const struct admin_options o = {.service = "messaging",
                .instance = app->instance,
                .bus = app->bus,
                .auth = app->auth,
                .revocations = app->revocations,
                .metrics = app->metrics,
                .fleet = app->fleet,
                .shard_count = app->shard_count,
                .mailbox = mailbox_of,
                .gateway = gateway_of,
                .lists = 1u << ADMIN_CONNECTIONS | 1u << ADMIN_CONVERSATIONS,
                .scan = scan_slice,
                .arg = app};
        return admin_new(&o, &app->admin);
}
