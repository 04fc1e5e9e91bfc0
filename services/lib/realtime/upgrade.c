/*
 * upgrade - from polling to WebSocket without losing or reordering a packet.
 *
 * The candidate opens beside the poll; the client probes it (2probe, 3probe), lets its polls run
 * out (each parked GET is answered with a noop so that this is quick) and sends 5. Until then every
 * packet goes by polling; what is queued at the 5 goes out on the WebSocket, in order. Any other
 * first packet, the candidate's end or the time-out close the candidate only.
 */
#include "realtime/engine_internal.h"

#include <stdlib.h>

struct upgrade {
        struct engine_session *session; /* borrowed; ends the upgrade when it ends */
        struct ws_link *link;           /* borrowed likewise */
        struct shard_timer timeout, noop;
        bool probed;
};

static void done(struct upgrade *u)
{
        struct shard *sh = u->session->es->shard;
        shard_timer_stop(sh, &u->timeout);
        shard_timer_stop(sh, &u->noop);
        u->session->upgrade = NULL;
        u->link->upgrade = NULL;
        free(u);
}

void upgrade_abort(struct upgrade *u, bool peer_gone)
{
        struct ws_link *l = u->link;
        done(u);
        if (peer_gone)
                conn_close(&l->conn);
        else
                websocket_close(l, false);
}

static void on_timeout(struct shard *sh, struct shard_timer *t)
{
        UNUSED(sh);
        upgrade_abort(container_of(t, struct upgrade, timeout), false);
}

static void release_poll(struct engine_session *s)
{
        if (s->get && engine_idle(s))
                polling_release(s, s->es->noop);
}

static void on_noop(struct shard *sh, struct shard_timer *t)
{
        struct upgrade *u = container_of(t, struct upgrade, noop);
        shard_timer_set(sh, t, ENGINE_NOOP_MS);
        release_poll(u->session);
}

static void answer_probe(struct upgrade *u)
{
        static const char pong_probe[] = "\x81\x06"
                                         "3probe";
        struct slice frame = SLICE_LIT(pong_probe);
        if (conn_write(&u->link->conn, frame) != (ssize_t)frame.n) {
                upgrade_abort(u, true);
                return;
        }
        if (u->probed)
                return;
        u->probed = true;
        shard_timer_set(u->session->es->shard, &u->noop, ENGINE_NOOP_MS);
        release_poll(u->session);
}

static void switch_over(struct upgrade *u)
{
        struct engine_session *s = u->session;
        struct ws_link *l = u->link;
        done(u);
        if (s->get)
                polling_release(s, s->es->noop);
        s->ws = l;
        l->session = s;
        engine_show(s);
        engine_restart_pong(s);
        shard_later(s->es->shard, &s->later);
        engine_flush(s);
}

void upgrade_receive(struct upgrade *u, struct slice data, bool binary)
{
        if (!binary && slice_is(data, "2probe"))
                answer_probe(u);
        else if (!binary && data.n && data.p[0] == '5')
                switch_over(u);
        else
                upgrade_abort(u, false);
}

void upgrade_start(struct engine_session *s, struct ws_link *l)
{
        struct upgrade *u = xcalloc(1, sizeof(*u));
        u->session = s;
        u->link = l;
        s->upgrade = u;
        l->upgrade = u;
        shard_timer_init(&u->timeout, on_timeout);
        shard_timer_init(&u->noop, on_noop);
        shard_timer_set(s->es->shard, &u->timeout, s->es->srv->o.upgrade_timeout_ms);
}
