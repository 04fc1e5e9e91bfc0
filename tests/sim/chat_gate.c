#include "chat_internal.h"

#include "auth/revocations.h"
#include "messaging/call.h"
#include "messaging/limits.h"

#include <stdio.h>
#include <stdlib.h>

enum { TURN_MS = 20, NOTICE_MS = 1500 /* until a client that has gone is missed */ };

/* ---- what clients say ---- */

enum errand { CONNECT, EMIT, HANG_UP, WRITABLE };
struct letter {
        struct mail mail;
        struct shard *shard;
        enum errand errand;
        struct wire *wire;
        char *name, *args; /* owned */
        int64_t ack_id;
};

static void letter_free(struct letter *l)
{
        free(l->name);
        free(l->args);
        free(l);
}

static struct sio_socket *socket_of(struct shard *sh, const struct wire *wire)
{
        list_for_each(it, &sh->sockets)
        {
                struct sio_socket *so = list_entry(it, struct sio_socket, in_shard);
                if (so->wire == wire)
                        return so;
        }
        return NULL;
}

static void run_letter(struct mail *m)
{
        struct letter *l = container_of(m, struct letter, mail);
        struct shard *sh = l->shard;
        struct sio_socket *so = socket_of(sh, l->wire);
        const struct sio_handshake handshake = {.client_addr = SLICE_LIT("127.0.0.1")};
        if (l->errand == CONNECT && !sh->gate->stop) {
                so = socket_new(sh, l->wire);
                session_connect(sh->gw, so, SLICE_LIT("/"), slice_str(l->args), &handshake);
        } else if (so && l->errand == EMIT && so->state == SOCKET_CONNECTED) {
                const struct sio_event ev = {.name = slice_str(l->name),
                        .args = slice_str(l->args),
                        .ack_id = l->ack_id};
                events_receive(sh->gw, so, &ev);
        } else if (so && l->errand == HANG_UP) {
                sio_close_transport(so, SIO_CLOSE_TRANSPORT_CLOSE);
        }
        if (so)
                socket_go_on(so);
        letter_free(l);
}

static void post(struct chat_gate *g, struct wire *wire, enum errand errand, const char *name, struct slice args, int64_t ack_id)
{
        if (g->process.dead || g->gone)
                return;
        struct letter *l = xcalloc(1, sizeof(*l));
        l->mail.run = run_letter;
        list_init(&l->mail.link);
        l->shard = &g->shards[wire->number % g->w->shape.shards];
        l->errand = errand;
        l->wire = wire;
        l->name = name ? xstrdup(name) : NULL;
        l->args = slice_dup(args);
        l->ack_id = ack_id;
        if (!mailbox_post(l->shard->box, &l->mail))
                letter_free(l);
}

struct wire *chat_connect(struct chat_gate *g, struct chat_client *c, struct slice payload)
{
        struct wire *wire = xcalloc(1, sizeof(*wire));
        wire->number = c->w->wires++;
        list_init(&wire->to_client);
        post(g, wire, CONNECT, NULL, payload, -1);
        return wire;
}

void chat_emit(struct chat_gate *g, struct wire *wire, const char *name, struct slice args, int64_t ack_id)
{
        post(g, wire, EMIT, name, args, ack_id);
}

void chat_hang_up(struct chat_gate *g, struct wire *wire)
{
        post(g, wire, HANG_UP, NULL, SLICE_NONE, -1);
}

void chat_read_some(struct chat_gate *g, struct wire *wire)
{
        post(g, wire, WRITABLE, NULL, SLICE_NONE, -1);
}

/* ---- the shard's loop ---- */

static void look_after(struct shard *sh)
{
        list_for_each_safe(it, &sh->sockets)
        {
                struct sio_socket *so = list_entry(it, struct sio_socket, in_shard);
                int64_t gone = so->wire->gone_ms;
                if (gone && machine_now_ms() > gone + NOTICE_MS)
                        sio_close_transport(so, SIO_CLOSE_PING_TIMEOUT);
                socket_go_on(so);
        }
        /* At the end of the turn, as the real one does it: closing one may close others. */
        for (bool found = true; found;) {
                found = false;
                list_for_each(it, &sh->sockets)
                {
                        struct sio_socket *so = list_entry(it, struct sio_socket, in_shard);
                        if (so->state != SOCKET_ENDING)
                                continue;
                        socket_end(so);
                        found = true;
                        break;
                }
        }
}

static void drop_all(struct shard *sh)
{
        list_for_each(it, &sh->sockets)
                sio_close_transport(list_entry(it, struct sio_socket, in_shard), SIO_CLOSE_DRAIN);
        look_after(sh);
}

static void shard_main(void *arg)
{
        struct shard *sh = arg;
        while (!sh->gate->stop) {
                int ms = shard_run_timers(sh, TURN_MS);
                look_after(sh);
                mailbox_wait(sh->box, ms);
                look_after(sh);
        }
        drop_all(sh);
        gateway_stop(sh->gw);
        while (mailbox_wait(sh->box, TURN_MS))
                drop_all(sh);
        sh->gw = gateway_free(sh->gw);
        sh->over = true;
}

/* ---- life ---- */

struct round {
        struct mail mail;
        struct shard *shard;
};

static void run_drop(struct mail *m)
{
        struct round *r = container_of(m, struct round, mail);
        gateway_drop_all(r->shard->gw);
        free(r);
}

static void on_pause(void *arg, int64_t ms)
{
        struct chat_gate *g = arg;
        trace(NULL, "%s stood still for %lld ms", g->name, (long long)ms);
        bus_purge(g->app.bus);
        for (unsigned i = 0; i < g->w->shape.shards; i++) {
                struct round *r = xcalloc(1, sizeof(*r));
                r->mail.run = run_drop;
                list_init(&r->mail.link);
                r->shard = &g->shards[i];
                if (!mailbox_post(g->shards[i].box, &r->mail))
                        free(r);
        }
}

static void fill_app(struct chat_gate *g)
{
        struct app *app = &g->app;
        struct buf faults = BUF_EMPTY;
        char fault[256];
        app->settings.rooms_max = 1000;
        app->settings.calls_max = 4096;
        app->settings.connections_max = 1000;
        app->settings.refusals_max = 1000;
        app->settings.rate_burst_ms = 10000;
        app->bus_settings.delivery_timeout_ms = 10000;
        app->settings.client_events = (char *)(uintptr_t) "";
        app->auth_settings.auth = (char *)(uintptr_t) "off";
        app->feed_settings = g->w->settings;
        namespaces_read(&app->namespaces, "/", &faults);
        buf_done(&faults);
        snprintf(app->instance, sizeof(app->instance), "%s", g->name);
        snprintf(app->source, sizeof(app->source), "tern-messaging/%s", g->name);
        app->log = trace_log(g->name);
        app->bus = kafka_bus(g->w->kafka, &g->process);
        app->store = postgres_store(g->w->pg, &g->process);
        app->revocations = revocations_new();
        app->limits = limits_new(&app->settings);
        app->shard_count = g->w->shape.shards;
        int err = auth_new(&app->auth_settings, &app->auth, fault);
        CHECK(err == 0);
}

static void main_main(void *arg)
{
        struct chat_gate *g = arg;
        fill_app(g);
        const struct feed_options o = {.settings = &g->app.feed_settings,
                .topics = messaging_topics,
                .topic_count = TOPIC_COUNT,
                .bus = g->app.bus,
                .store = g->app.store,
                .log = g->app.log,
                .on_pause = on_pause,
                .pause_arg = g};
        int err = feed_new(&o, g->app.shard_count, &g->app.feed);
        CHECK(err == 0);
        for (unsigned i = 0; i < g->app.shard_count; i++) {
                struct shard *sh = &g->shards[i];
                *sh = (struct shard){.index = i, .gate = g};
                list_init(&sh->sockets);
                sh->box = mailbox_new(NULL, NULL);
                err = gateway_new(&g->app, i, sh, &sh->gw);
                CHECK(err == 0);
                fiber_start(&g->process, "shard", shard_main, sh);
        }
        err = feed_start(g->app.feed);
        CHECK(err == 0);
        while (!g->stop && g->process.signals == 0)
                fiber_wait(g, machine_now_ms() + 500);
        g->stop = true;
        feed_stop(g->app.feed);
        for (unsigned i = 0; i < g->app.shard_count; i++)
                mailbox_close(g->shards[i].box);
        for (unsigned i = 0; i < g->app.shard_count; i++)
                while (!g->shards[i].over)
                        fiber_wait(NULL, machine_now_ms() + 5);
        g->app.feed = feed_free(g->app.feed);
        g->gone = true;
        process_kill(&g->process);
}

struct chat_gate *chat_gate_start(struct chat_world *w, unsigned index)
{
        struct chat_gate *g = xcalloc(1, sizeof(*g));
        g->w = w;
        snprintf(g->name, sizeof(g->name), "g%u.%llu", index, (unsigned long long)++w->starts);
        g->process = (struct process){.name = g->name};
        fiber_start(&g->process, "main", main_main, g);
        trace(NULL, "%s starts", g->name);
        return g;
}

void chat_gate_kill(struct chat_gate *g)
{
        trace(NULL, "%s is killed", g->name);
        process_kill(&g->process);
}

void chat_gate_stop(struct chat_gate *g)
{
        trace(NULL, "%s is told to stop", g->name);
        g->stop = true;
        fiber_wake(g);
}

bool chat_gate_ready(const struct chat_gate *g)
{
        return !g->process.dead && !g->stop && g->app.feed && feed_ready(g->app.feed);
}

bool chat_gate_gone(const struct chat_gate *g)
{
        return g->process.dead;
}

struct process *chat_gate_process(struct chat_gate *g)
{
        return &g->process;
}

/* ---- the fence ---- */

/* The highest gen of the session that stands in the log before the gateway's place. */
static int64_t known_gen(const struct gateway *gw, struct topic *t, struct slice key)
{
        uint32_t count = t->lives[t->epoch].partitions;
        uint16_t at = (uint16_t)partition_of(key, count);
        const struct partition *p = log_partition(t, at);
        int64_t position = fanout_position(gw->fanout, TOPIC_SESSIONS, at), gen = 0;
        for (size_t i = 0; i < p->count && p->entries[i]->offset < position; i++)
                if (slice_eq(p->entries[i]->key, key) &&
                        chat_number(p->entries[i]->value, "gen") > gen)
                        gen = chat_number(p->entries[i]->value, "gen");
        return gen;
}

void chat_produced(void *arg, struct process *p, const struct topic *t, const struct bus_record *r)
{
        struct chat_world *w = arg;
        if (t != w->topics[CHAT_SESSIONS] || !p)
                return;
        for (unsigned i = 0; i < w->shape.gates; i++) {
                struct chat_gate *g = w->gates[i];
                if (!g || &g->process != p || g->stop)
                        continue;
                int64_t gen = chat_number(r->value, "gen");
                /* Which shard writes is not told; what none of them may write is. */
                int64_t least = INT64_MAX;
                for (unsigned k = 0; k < w->shape.shards; k++) {
                        int64_t known = known_gen(g->shards[k].gw, w->topics[CHAT_SESSIONS], r->key);
                        least = known < least ? known : least;
                }
                if (gen < least)
                        fail(NULL, "%s writes gen %lld of a session of which it has seen gen %lld",
                                g->name, (long long)gen, (long long)least);
        }
}
