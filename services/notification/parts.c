/*
 * The parts of a notification gateway, from the first to the last: made in the order in which they lean
 * on each other, and taken apart so that whoever is answered by another is still there.
 */
#include "notification/parts.h"

#include "notification/gateway.h"
#include "notification/overview.h"
#include "notification/stream.h"

#include "feed_sql.h"
#include "notification_sql.h"

#include "admin/admin.h"
#include "auth/revocations.h"
#include "base/clock.h"
#include "base/quota.h"
#include "http/ops.h"
#include "net/intake.h"
#include "store/migrate.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

static const struct feed_topic feed_topics[TOPIC_COUNT] = {
        [TOPIC_NOTIFICATIONS] = {.name = "notifications",
                .cursor = true,
                .rooms = true,
                .by_key = true,
                .dedupe = true,
                .foreign_check = true,
                .fill = true,
                .room_class = ROOMS_USERS,
                .event_table_topic = "notifications"},
        [TOPIC_BROADCASTS] = {.name = "broadcasts",
                .cursor = true,
                .rooms = true,
                .by_key = true,
                .dedupe = true,
                .fill = true,
                .room_class = ROOMS_AUDIENCES,
                .event_table_topic = "broadcasts"},
        [TOPIC_CONTROL] = {.name = "control",
                .all = true,
                .foreign_check = true,
                .room_class = ROOMS_NONE},
        [TOPIC_ACCESS] = {.name = "access",
                .all = true,
                .from_start = true,
                .room_class = ROOMS_NONE},
};

/* A part could not be made: one sentence, exit 1. */
static bool failed(const char *what, const char *why)
{
        fprintf(stderr, "tern-notification: %s: %s\n", what, why);
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
        for (unsigned i = TOPIC_NOTIFICATIONS; i <= TOPIC_BROADCASTS; i++)
                bus_warm(app->bus, feed_topics[i].name);
}

static bool make_clients(struct app *app, const struct config_result *result, int *ret_code)
{
        char fault[256];
        app->revocations = revocations_new();
        const struct store_set sets[] = {
                {feed_sql, FEED_SQL_COUNT}, {notification_sql, NOTIFICATION_SQL_COUNT}};
        bool fine = true;
        if (auth_new(&app->auth_settings, &app->auth, fault) < 0)
                fine = failed("authentication", fault);
        if (bus_new(&app->bus_settings, result->kafka, result->kafka_count, "tern-notification",
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
                .service = "notification",
                .instance = app->instance,
                .ops_bind = app->settings.ops_bind,
                .connections_max = app->settings.connections_max,
                .metrics = app->metrics};
        app->fleet = fleet_new(&fo);
        warm_up(app);
        struct feed_options options = {
                .settings = &app->feed_settings,
                .topics = feed_topics,
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

static void rest_socket(void *arg, int fd, const char *client_addr)
{
        struct app *app = arg;
        intake_rest(app->intake, fd, client_addr);
}

static void show_bounds(const struct app *app)
{
        const struct notification_settings *s = &app->settings;
        metrics_entries_limit(app->metrics, ENTRIES_CONNECTIONS, s->connections_max);
        metrics_memory_limit(
                app->metrics, MEMORY_OUTBOXES, (int64_t)s->connections_max * s->outbox_bytes_max);
}

static bool make_servers(struct app *app, uint32_t *ret_port)
{
        const struct notification_settings *s = &app->settings;
        struct es_options eo = {
                .departures = &app->departures,
                .heartbeat_ms = s->heartbeat_ms,
                .retry_ms = s->retry_ms,
                .retry_jitter_ms = s->retry_jitter_ms,
                .stall_ms = s->stall_ms,
                .outbox_bytes_max = s->outbox_bytes_max,
                .catchup_bytes_max = s->catchup_bytes_max,
        };
        show_bounds(app);
        int r = es_server_new(&eo, &stream_ops, app->shards, (void *const *)app->gateways,
                app->shard_count, app->metrics, &app->es);
        if (r < 0)
                return failed("the event-stream server", strerror(-r));
        struct http_options ho = {.settings = &app->http_settings,
                .metrics = app->metrics,
                .rest = rest_socket,
                .rest_arg = app};
        r = http_server_new(&ho, &app->http);
        if (r < 0)
                return failed("TERN_TRUSTED_PROXIES", "it holds what is no network");
        app->users = tally_new();
        app->addresses = tally_new();
        routes_add(app);
        r = http_server_start(app->http);
        if (r < 0)
                return failed("the HTTP server", strerror(-r));
        struct intake_options io = {
                .bind = s->bind,
                .port = s->port,
                .head_ms = s->head_ms,
                .idle_ms = s->idle_ms,
                .head_bytes_max = 16384,
                .per_address_max = s->per_address_max,
                .proxies = http_proxies(app->http),
                .connections_max = s->connections_max,
                .feed = feed_head,
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

/* A second signal ends the process at once. */
static void drain(struct app *app)
{
        atomic_store(&app->lifecycle.draining, true);
        fleet_leave(app->fleet);
        unsigned open = es_server_connections(app->es);
        log_info(app->log, "draining", F_INT("connections", open));
        es_server_drain(app->es, app->settings.drain_ms);
        int64_t until = clock_mono_ms() + (int64_t)app->settings.drain_ms + 1000;
        while (es_server_connections(app->es) > 0 && clock_mono_ms() < until)
                if (lifecycle_wait(&app->lifecycle, 50) > 0)
                        _exit(0);
        log_info(app->log, "drained", F_INT("left", es_server_connections(app->es)),
                F_INT("most_per_second", atomic_load(&app->departures.most)));
}

static void tear_down(struct app *app)
{
        /* Kafka may take its time with what was not yet confirmed. */
        lifecycle_end_at_signal(&app->lifecycle);
        atomic_store(&app->lifecycle.draining, true);
        if (app->intake)
                intake_shut(app->intake);
        app->http = http_server_free(app->http);
        if (app->es)
                es_server_stop(app->es);
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
        app->es = es_server_free(app->es);
        app->intake = intake_free(app->intake);
        app->feed = feed_free(app->feed);
        app->fleet = fleet_free(app->fleet);
        app->auth = auth_free(app->auth);
        app->revocations = revocations_free(app->revocations);
        app->users = tally_free(app->users);
        app->addresses = tally_free(app->addresses);
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
        if (!make_clients(app, result, &code) || !make_shards(app, &st) ||
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
