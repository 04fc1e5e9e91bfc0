#include "messaging/gateway.h"

#include "messaging/call.h"
#include "messaging/session.h"

#include "realtime/socketio_server.h"

#include <stdlib.h>

#define SWEEP_MS 100
/* Sessions looked at in one sweep, so that no turn of the loop is long. */
#define SWEEP_SESSIONS 500

static void sweep_sessions(struct gateway *gw, int64_t now)
{
        for (unsigned i = 0; i < SWEEP_SESSIONS; i++) {
                if (!gw->sweep_at || gw->sweep_at == &gw->sessions) {
                        /* One round at most in each sixteenth of the tail's age. */
                        if (now - gw->refreshed_ms <
                                (int64_t)gw->app->feed_settings.tail_fill_ms / 16)
                                return;
                        gw->refreshed_ms = now;
                        gw->sweep_at = list_first(&gw->sessions);
                        if (!gw->sweep_at)
                                return;
                }
                struct list *at = gw->sweep_at;
                gw->sweep_at = at->next;
                session_refresh(list_entry(at, struct session, in_gateway), now);
        }
}

/* One shard speaks for all, and only when the servers stand. */
static void tell_fleet(struct gateway *gw, int64_t now)
{
        struct app *app = gw->app;
        if (gw->index != 0 || !atomic_load(&app->lifecycle.ready))
                return;
        unsigned n = fleet_tick(app->fleet, sio_server_connections(app->sio), now);
        if (n > 0)
                sio_server_shed(app->sio, n);
}

static void sweep(struct shard *sh, struct shard_timer *t)
{
        struct gateway *gw = container_of(t, struct gateway, sweep);
        int64_t now = shard_now_ms(sh);
        tell_fleet(gw, now);
        calls_expire(gw, now);
        sweep_sessions(gw, now);
        feed_shard_count(gw->feed);
        shard_timer_set(sh, t, SWEEP_MS);
}

int gateway_new(struct app *app, unsigned index, struct shard *shard, struct gateway **ret)
{
        struct gateway *gw = xcalloc(1, sizeof(*gw));
        gw->app = app;
        gw->index = index;
        gw->shard = shard;
        gw->users = gw->pids = gw->rooms = MAP_EMPTY;
        list_init(&gw->sessions);
        list_init(&gw->scans);
        list_init(&gw->calls);
        list_init(&gw->asks);
        gw->asks_by_token = MAP_EMPTY;
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
        calls_expire(gw, INT64_MAX);
}

void gateway_drop_all(struct gateway *gw)
{
        list_for_each(it, &gw->sessions)
                session_drop(list_entry(it, struct session, in_gateway), SIO_CLOSE_TRANSPORT_ERROR);
}

struct gateway *gateway_free(struct gateway *gw)
{
        if (!gw)
                return NULL;
        shard_timer_stop(gw->shard, &gw->sweep);
        calls_expire(gw, INT64_MAX);
        if (gw->current_ok)
                event_done(&gw->current);
        emit_done(&gw->emit);
        map_done(&gw->users);
        map_done(&gw->pids);
        map_done(&gw->asks_by_token);
        map_done(&gw->rooms);
        feed_shard_free(gw->feed);
        free(gw);
        return NULL;
}
