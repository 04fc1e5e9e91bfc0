/*
 * The parts of a chat gateway, from the first to the last: made in the order in which they lean on each
 * other, and taken apart so that whoever is answered by another is still there.
 */
#include "messaging/parts.h"

#include "messaging/call.h"
#include "messaging/gateway.h"
#include "messaging/limits.h"
#include "messaging/overview.h"
#include "messaging/page.h"
#include "messaging/routes.h"

#include "feed_sql.h"
#include "messaging_sql.h"

#include "admin/admin.h"
#include "auth/revocations.h"
#include "base/clock.h"
#include "http/ops.h"
#include "net/intake.h"
#include "realtime/splice.h"
#include "store/migrate.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SOCKETIO_PATH "/socket.io/"
#define HEAD_BYTES_MAX 16384

/* ---- between threads ---- */

struct errand {
        struct mail mail;
        struct gateway *gw;
        void (*fn)(struct gateway *gw);
        sem_t *done; /* NULL: nobody waits */
};

static void run_errand(struct mail *m)
{
        struct errand *e = container_of(m, struct errand, mail);
        sem_t *done = e->done;
        e->fn(e->gw);
        free(e);
        if (done)
                sem_post(done);
}

/* Calls fn for each gateway on its shard; waits for all of them if wait is set. */
static void send_round(struct app *app, void (*fn)(struct gateway *gw), bool wait)
{
        sem_t done;
        unsigned sent = 0;
        sem_init(&done, 0, 0);
        for (unsigned i = 0; i < app->shard_count; i++) {
                if (!app->gateways[i])
                        continue;
                struct errand *e = xcalloc(1, sizeof(*e));
                e->mail.run = run_errand;
                e->gw = app->gateways[i];
                e->fn = fn;
                e->done = wait ? &done : NULL;
                if (mailbox_post(shard_mailbox(app->shards[i]), &e->mail))
                        sent++;
                else
                        free(e);
        }
        for (; wait && sent > 0; sent--)
                while (sem_wait(&done) < 0)
                        ;
        sem_destroy(&done);
}

/* On the bus thread: what was sent before the pause is stale, and so is what clients said meanwhile. */
static void paused(void *arg, int64_t ms)
{
        struct app *app = arg;
        log_warn(app->log, "paused", F_INT("ms", ms));
        bus_purge(app->bus);
        send_round(app, gateway_drop_all, false);
}

/* ---- making ---- */

/* A part could not be made: one sentence, exit 1. */
static bool failed(const char *what, const char *why)
{
        fprintf(stderr, "tern-messaging: %s: %s\n", what, why);
        return false;
}

/* What librdkafka has to say; its threads call it. */
static void kafka_says(void *arg, int level, const char *facility, const char *text)
{
        struct app *app = arg;
        if (level <= 3)
                log_warn(app->log, "kafka", F_STR("what", facility), F_STR("text", text));
        else
                log_info(app->log, "kafka", F_STR("what", facility), F_STR("text", text));
}

/* Else the first write to each topic would wait for its leaders. */
static void warm_up(struct app *app)
{
        for (unsigned i = TOPIC_EVENTS; i <= TOPIC_SESSIONS; i++)
                bus_warm(app->bus, messaging_topics[i].name);
        if (app->settings.client_events[0])
                bus_warm(app->bus, "client.events");
}

static bool make_clients(struct app *app, const struct config_result *result, int *ret_code)
{
        char fault[256];
        app->revocations = revocations_new();
        const struct store_set sets[] = {
                {feed_sql, FEED_SQL_COUNT}, {messaging_sql, MESSAGING_SQL_COUNT}};
        bool fine = true;
        if (auth_new(&app->auth_settings, &app->auth, fault) < 0)
                fine = failed("authentication", fault);
        if (bus_new(&app->bus_settings, result->kafka, result->kafka_count, "tern-messaging",
                    app->metrics, &app->bus, fault) < 0)
                fine = failed("Kafka", fault);
        if (store_new(&app->store_settings, sets, ARRAY_LEN(sets), app->metrics, &app->store,
                    fault) < 0)
                fine = failed("Postgres", fault);
        /* What these three refuse is a setting; all of them are named at once. */
        if (!fine) {
                *ret_code = EXIT_SETTINGS;
                return false;
        }
        bus_set_log(app->bus, kafka_says, app);
        struct fleet_options fo = {.settings = &app->fleet_settings,
                .bus = app->bus,
                .service = "messaging",
                .instance = app->instance,
                .ops_bind = app->settings.ops_bind,
                .connections_max = app->settings.connections_max,
                .metrics = app->metrics};
        app->fleet = fleet_new(&fo);
        warm_up(app);
        struct feed_options options = {
                .settings = &app->feed_settings,
                .topics = messaging_topics,
                .topic_count = TOPIC_COUNT,
                .bus = app->bus,
                .store = app->store,
                .metrics = app->metrics,
                .lifecycle = &app->lifecycle,
                .log = app->log,
                .on_pause = paused,
                .pause_arg = app,
        };
        int r = feed_new(&options, app->shard_count, &app->feed);
        return r == 0 || failed("the log's tail", strerror(-r));
}

struct shard_start {
        struct app *app;
        sem_t made;
        int result;
};

static void start_shard(struct shard *sh, void *arg)
{
        struct shard_start *st = arg;
        unsigned i = shard_index(sh);
        st->result = gateway_new(st->app, i, sh, &st->app->gateways[i]);
        sem_post(&st->made);
}

static void stop_shard(struct shard *sh, void *arg)
{
        struct shard_start *st = arg;
        unsigned i = shard_index(sh);
        st->app->gateways[i] = gateway_free(st->app->gateways[i]);
}

static bool make_shards(struct app *app, struct shard_start *st)
{
        st->app = app;
        sem_init(&st->made, 0, 0);
        for (unsigned i = 0; i < app->shard_count; i++) {
                int r = shard_new(i, &app->lifecycle, start_shard, stop_shard, st, &app->shards[i]);
                if (r < 0)
                        return failed("a shard", strerror(-r));
                sem_wait(&st->made);
                if (st->result < 0)
                        return failed("a shard", strerror(-st->result));
        }
        return true;
}

static bool feed_head(void *arg, int fd, const char *client_addr)
{
        struct app *app = arg;
        return http_server_feed(app->http, fd, client_addr);
}

/* What came from another gateway carries this request only: see realtime/splice.h. */
static bool feed_spliced(void *arg, int fd, const char *client_addr)
{
        struct app *app = arg;
        return http_server_feed_last(app->http, fd, client_addr);
}

static bool claim_head(
        void *arg, struct shard *sh, int fd, const char *client_addr, struct slice head)
{
        struct app *app = arg;
        return splice_claim(app->splice, sh, fd, client_addr, head);
}

static void return_socket(void *arg, struct shard *sh, int fd, const char *client_addr)
{
        struct app *app = arg;
        intake_return(app->intake, sh, fd, client_addr);
}

static void rest_socket(void *arg, int fd, const char *client_addr)
{
        struct app *app = arg;
        intake_rest(app->intake, fd, client_addr);
}

static const struct sio_ops socket_ops = {
        .connect = session_connect,
        .event = events_receive,
        .closed = session_closed,
        .drained = session_drained,
        .dropped = session_dropped,
};

static bool make_splice(struct app *app)
{
        const struct messaging_settings *s = &app->settings;
        if (!app->peer_settings.key[0])
                return true;
        struct splice_options o = {
                .settings = &app->peer_settings,
                .path = SOCKETIO_PATH,
                .idle_ms_min = 2 * (s->ping_interval_ms + s->ping_timeout_ms),
                .head_bytes_max = HEAD_BYTES_MAX,
                .feed = feed_spliced,
                .back = return_socket,
                .arg = app,
                .departures = &app->departures,
                .metrics = app->metrics,
        };
        char fault[256];
        int r = splice_new(&o, app->shards, app->shard_count, &app->splice, fault);
        return r == 0 || failed("splices", fault);
}

static void show_bounds(const struct app *app)
{
        const struct messaging_settings *s = &app->settings;
        metrics_entries_limit(app->metrics, ENTRIES_CONNECTIONS, s->connections_max);
        metrics_memory_limit(
                app->metrics, MEMORY_OUTBOXES, (int64_t)s->connections_max * s->outbox_bytes_max);
        metrics_entries_limit(app->metrics, ENTRIES_CLIENT_EVENTS,
                (int64_t)s->client_events_waiting_max * app->shard_count);
}

static bool make_servers(struct app *app, uint32_t *ret_port)
{
        const struct messaging_settings *s = &app->settings;
        show_bounds(app);
        app->limits = limits_new(s);
        struct sio_options so = {
                .path = SOCKETIO_PATH,
                .ping_interval_ms = s->ping_interval_ms,
                .ping_timeout_ms = s->ping_timeout_ms,
                .connect_timeout_ms = s->connect_timeout_ms,
                .upgrade_timeout_ms = s->upgrade_timeout_ms,
                .stall_ms = s->stall_ms,
                .max_payload = s->max_payload,
                .outbox_bytes_max = s->outbox_bytes_max,
                .catchup_bytes_max = s->catchup_bytes_max,
                .namespaces = s->namespaces,
                .origins = app->http_settings.origins,
                .max_attachments = 10,
                .socket_user_size = sizeof(struct session),
                .rest = rest_socket,
                .rest_arg = app,
                .departures = &app->departures,
                .splice = app->splice,
        };
        limits_serve(app->limits, &so);
        int r = sio_server_new(&so, &socket_ops, app->shards, (void *const *)app->gateways,
                app->shard_count, app->metrics, &app->sio);
        if (r < 0)
                return failed("the Socket.IO server", strerror(-r));
        struct http_options ho = {.settings = &app->http_settings,
                .metrics = app->metrics,
                .rest = rest_socket,
                .rest_arg = app};
        r = http_server_new(&ho, &app->http);
        if (r < 0)
                return failed("TERN_TRUSTED_PROXIES", "it holds what is no network");
        sio_server_mount(app->sio, app->http);
        routes_add(app);
        app->page = page_new(app);
        r = http_server_start(app->http);
        if (r < 0)
                return failed("the HTTP server", strerror(-r));
        struct intake_options io = {
                .bind = s->bind,
                .port = s->port,
                .head_ms = s->head_ms,
                .idle_ms = s->idle_ms,
                .head_bytes_max = HEAD_BYTES_MAX,
                .per_address_max = s->per_address_max,
                .proxies = http_proxies(app->http),
                .connections_max = s->connections_max,
                .feed = feed_head,
                .claim = app->splice ? claim_head : NULL,
                .arg = app,
                .metrics = app->metrics,
        };
        r = intake_new(&io, app->shards, app->shard_count, &app->intake, ret_port);
        if (r < 0) {
                char what[128];
                snprintf(what, sizeof(what), "port %u on %s cannot be opened", s->port, s->bind);
                return failed(what, strerror(-r));
        }
        return true;
}

/* ---- running ---- */

static const char *not_ready(void *arg)
{
        struct app *app = arg;
        if (atomic_load(&app->lifecycle.draining))
                return "draining";
        if (!app->feed || !feed_ready(app->feed))
                return "filling the tail";
        if (!auth_ready(app->auth))
                return "no keys yet";
        return atomic_load(&app->lifecycle.ready) ? NULL : "starting";
}

/* The public port opens only when the tail is filled. False when a signal came first. */
static bool wait_until_ready(struct app *app)
{
        while (!feed_ready(app->feed))
                if (lifecycle_wait(&app->lifecycle, 20) > 0)
                        return false;
        return true;
}

static unsigned splices_open(const struct app *app)
{
        return app->splice ? splice_count(app->splice) : 0;
}

/* A second signal ends the process at once. */
static void drain(struct app *app)
{
        atomic_store(&app->lifecycle.draining, true);
        fleet_leave(app->fleet);
        unsigned open = sio_server_connections(app->sio);
        log_info(app->log, "draining", F_INT("connections", open),
                F_INT("splices", splices_open(app)));
        sio_server_drain(app->sio, app->settings.drain_ms);
        if (app->splice)
                splice_drain(app->splice, app->settings.drain_ms);
        int64_t until = clock_mono_ms() + (int64_t)app->settings.drain_ms + 1000;
        while (sio_server_connections(app->sio) + splices_open(app) > 0 && clock_mono_ms() < until)
                if (lifecycle_wait(&app->lifecycle, 50) > 0)
                        _exit(0);
        log_info(app->log, "drained", F_INT("left", sio_server_connections(app->sio) + splices_open(app)),
                F_INT("most_per_second", atomic_load(&app->departures.most)));
}

static void tear_down(struct app *app)
{
        /* Kafka may take its time with what was not yet confirmed. */
        lifecycle_end_at_signal(&app->lifecycle);
        atomic_store(&app->lifecycle.draining, true);
        if (app->intake)
                intake_shut(app->intake);
        if (app->splice) {
                splice_shut(app->splice);
                splice_stop(app->splice);
        }
        app->http = http_server_free(app->http);
        if (app->sio)
                sio_server_stop(app->sio);
        if (app->feed)
                feed_stop(app->feed);
        /* Bus and store answer into the shards' mailboxes, so they go before the shards do; and nobody
         * asks them anything after the round. */
        atomic_store(&app->bus_closing, true);
        if (app->fleet)
                fleet_hush(app->fleet);
        send_round(app, gateway_stop, true);
        app->bus = bus_free(app->bus, 5000);
        app->store = store_free(app->store);
        for (unsigned i = 0; i < app->shard_count; i++)
                app->shards[i] = shard_free(app->shards[i]);
        app->sio = sio_server_free(app->sio);
        app->intake = intake_free(app->intake);
        app->splice = splice_free(app->splice);
        app->limits = limits_free(app->limits);
        app->page = page_free(app->page);
        app->feed = feed_free(app->feed);
        app->fleet = fleet_free(app->fleet);
        app->auth = auth_free(app->auth);
        app->revocations = revocations_free(app->revocations);
}

int parts_run(struct app *app, const struct config_result *result)
{
        struct shard_start st = {0};
        uint32_t port = 0, ops_port = 0;
        struct ops_server *ops = NULL;
        int code = 1;
        struct ops_options oo = {.bind = app->settings.ops_bind,
                .port = app->settings.ops_port,
                .lifecycle = &app->lifecycle,
                .metrics = app->metrics,
                .not_ready = not_ready,
                .arg = app};
        departures_init(&app->departures, app->settings.drain_per_second, app->metrics);
        if (!make_clients(app, result, &code) || !make_shards(app, &st) || !make_splice(app) ||
                !make_servers(app, &port))
                goto out;
        int r = overview_new(app);
        if (r < 0) {
                failed("the admin page", strerror(-r));
                goto out;
        }
        oo.guest = (struct ops_guest){"/admin", admin_serve, app->admin};
        r = ops_server_new(&oo, &ops, &ops_port);
        if (r < 0) {
                char what[128];
                snprintf(what, sizeof(what), "ops port %u on %s cannot be opened",
                        app->settings.ops_port, app->settings.ops_bind);
                failed(what, strerror(-r));
                goto out;
        }
        char fault[256];
        if (schema_check(&app->store_settings, fault) < 0) {
                failed("Postgres", fault);
                goto out;
        }
        r = feed_start(app->feed);
        if (r < 0) {
                failed("the log", strerror(-r));
                goto out;
        }
        code = 0;
        if (!wait_until_ready(app))
                goto out;
        r = app->splice ? splice_listen(app->splice) : 0;
        if (r == 0)
                r = intake_open(app->intake);
        if (r < 0) {
                failed("the port cannot be opened", strerror(-r));
                code = 1;
                goto out;
        }
        fleet_join(app->fleet, ops_port);
        atomic_store(&app->lifecycle.ready, true);
        log_info(app->log, "ready", F_STR("addr", app->settings.bind), F_INT("port", port),
                F_INT("ops_port", ops_port), F_INT("shards", app->shard_count));
        lifecycle_wait(&app->lifecycle, -1);
        drain(app);
out:
        admin_stop(app->admin);
        tear_down(app);
        ops_server_free(ops);
        app->admin = admin_free(app->admin);
        log_info(app->log, "stopped", F_INT("code", code));
        return code;
}
