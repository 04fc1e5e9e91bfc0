/*
 * tern-notification: the notification gateway.
 *
 * Start: settings, parts, shards (each makes its struct gateway), the bus thread fills the tail; only
 * when the gateway is ready its public port opens. Stop: SIGTERM drains, a second one ends at once.
 */
#include "notification/app.h"
#include "notification/gateway.h"
#include "notification/stream.h"

#include "feed_sql.h"
#include "notification_sql.h"

#include "base/clock.h"
#include "base/hash.h"
#include "http/ops.h"
#include "net/intake.h"
#include "store/migrate.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_SETTINGS 2

static const struct config_row notification_rows[] = {
#define CONFIG(type, field, ...) CONFIG_ROW(struct notification_settings, type, field, __VA_ARGS__)
#include "notification/settings.def"
};

#define GROUPS 6

static void groups(struct app *app, struct config_group ret[GROUPS])
{
        ret[0] = (struct config_group){"Notification gateway", notification_rows,
                ARRAY_LEN(notification_rows), &app->settings};
        ret[1] = (struct config_group){
                "Authentication", auth_settings_rows, auth_settings_count, &app->auth_settings};
        ret[2] = (struct config_group){
                "Kafka", bus_settings_rows, bus_settings_count, &app->bus_settings};
        ret[3] = (struct config_group){
                "The log's tail", feed_settings_rows, feed_settings_count, &app->feed_settings};
        ret[4] = (struct config_group){
                "HTTP", http_settings_rows, http_settings_count, &app->http_settings};
        ret[5] = (struct config_group){
                "Postgres", store_settings_rows, store_settings_count, &app->store_settings};
}

/* ---- settings ---- */

static bool is_loopback(const char *address)
{
        return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
               strcmp(address, "localhost") == 0;
}

/* What no single row can judge. Appends a line for each fault. */
static void check_together(struct app *app, struct buf *faults)
{
        if (strcmp(app->auth_settings.auth, "off") == 0 &&
                (!is_loopback(app->settings.bind) || !is_loopback(app->settings.ops_bind)))
                buf_printf(faults,
                        "TERN_AUTH=off needs TERN_BIND and TERN_OPS_BIND on a loopback address, "
                        "they are %s and %s\n",
                        app->settings.bind, app->settings.ops_bind);
        if (app->settings.catchup_bytes_max >= app->settings.outbox_bytes_max)
                buf_printf(faults,
                        "TERN_CATCHUP_BYTES_MAX is %u, it has to be below TERN_OUTBOX_BYTES_MAX "
                        "(%u)\n",
                        app->settings.catchup_bytes_max, app->settings.outbox_bytes_max);
}

static enum log_level level_of(const char *text)
{
        static const char *const names[] = {"error", "warn", "info", "debug"};
        for (unsigned i = 0; i < ARRAY_LEN(names); i++)
                if (strcmp(text, names[i]) == 0)
                        return (enum log_level)i;
        return LOG_LEVEL_INFO;
}

/* -1 to go on, else the exit code. */
static int arguments(int argc, char **argv, struct app *app, struct config_result *result)
{
        struct config_group all[GROUPS];
        groups(app, all);
        struct buf out = BUF_EMPTY;
        int code = -1;
        if (argc > 1 && strcmp(argv[1], "--version") == 0) {
                printf("tern-notification " TERN_VERSION "\n");
                code = 0;
        } else if (argc > 1 && strcmp(argv[1], "--help") == 0) {
                buf_add_str(&out,
                        "tern-notification: the Server-Sent Events notification gateway.\n\nusage: "
                        "tern-notification [--help|--version|--print-settings]\n\nSettings come "
                        "from the environment:\n\n");
                config_help(all, GROUPS, &out);
                fputs(buf_cstr(&out), stdout);
                code = 0;
        } else if (argc > 1 && strcmp(argv[1], "--print-settings") != 0) {
                fprintf(stderr, "tern-notification: unknown argument %s (try --help)\n", argv[1]);
                code = EXIT_SETTINGS;
        }
        if (code >= 0) {
                buf_done(&out);
                return code;
        }
        int r = config_load(all, GROUPS, environ, result);
        if (r == 0)
                check_together(app, &result->faults);
        if (result->faults.n > 0) {
                fputs(buf_cstr(&result->faults), stderr);
                return EXIT_SETTINGS;
        }
        if (argc > 1) {
                config_print(all, GROUPS, &out);
                fputs(buf_cstr(&out), stdout);
                buf_done(&out);
                return 0;
        }
        return -1;
}

/* ---- parts ---- */

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

static bool make_clients(struct app *app, const struct config_result *result)
{
        char fault[256];
        if (auth_new(&app->auth_settings, &app->auth, fault) < 0)
                return failed("authentication", fault);
        if (bus_new(&app->bus_settings, result->kafka, result->kafka_count, "tern-notification",
                    app->metrics, &app->bus, fault) < 0)
                return failed("Kafka", fault);
        const struct store_set sets[] = {
                {feed_sql, FEED_SQL_COUNT}, {notification_sql, NOTIFICATION_SQL_COUNT}};
        if (store_new(&app->store_settings, sets, ARRAY_LEN(sets), app->metrics, &app->store,
                    fault) < 0)
                return failed("Postgres", fault);
        struct feed_options options = {
                .settings = &app->feed_settings,
                .topics = feed_topics,
                .topic_count = TOPIC_COUNT,
                .bus = app->bus,
                .store = app->store,
                .metrics = app->metrics,
                .lifecycle = &app->lifecycle,
                .log = app->log,
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

static bool make_servers(struct app *app, uint32_t *ret_port)
{
        const struct notification_settings *s = &app->settings;
        struct es_options eo = {
                .heartbeat_ms = s->heartbeat_ms,
                .retry_ms = s->retry_ms,
                .retry_jitter_ms = s->retry_jitter_ms,
                .stall_ms = s->stall_ms,
                .outbox_bytes_max = s->outbox_bytes_max,
                .catchup_bytes_max = s->catchup_bytes_max,
        };
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
                return failed("the HTTP server", strerror(-r));
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
        unsigned open = es_server_connections(app->es);
        log_info(app->log, "draining", F_INT("connections", open));
        es_server_drain(app->es, app->settings.drain_ms);
        int64_t until = clock_mono_ms() + (int64_t)app->settings.drain_ms + 1000;
        while (es_server_connections(app->es) > 0 && clock_mono_ms() < until)
                if (lifecycle_wait(&app->lifecycle, 50) > 0)
                        _exit(0);
}

static void tear_down(struct app *app)
{
        if (app->intake)
                intake_shut(app->intake);
        app->http = http_server_free(app->http);
        if (app->feed)
                feed_stop(app->feed);
        if (app->es)
                es_server_stop(app->es);
        for (unsigned i = 0; i < app->shard_count; i++)
                app->shards[i] = shard_free(app->shards[i]);
        app->es = es_server_free(app->es);
        app->intake = intake_free(app->intake);
        app->feed = feed_free(app->feed);
        app->bus = bus_free(app->bus, 5000);
        app->store = store_free(app->store);
        app->auth = auth_free(app->auth);
}

static int run(struct app *app, const struct config_result *result)
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
        if (!make_clients(app, result) || !make_shards(app, &st) || !make_servers(app, &port))
                goto out;
        int r = ops_server_new(&oo, &ops, &ops_port);
        if (r < 0) {
                failed("the ops port cannot be opened", strerror(-r));
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
        atomic_store(&app->lifecycle.ready, true);
        log_info(app->log, "ready", F_STR("addr", app->settings.bind), F_INT("port", port),
                F_INT("ops_port", ops_port), F_INT("shards", app->shard_count));
        lifecycle_wait(&app->lifecycle, -1);
        drain(app);
out:
        tear_down(app);
        ops_server_free(ops);
        log_info(app->log, "stopped", F_INT("code", code));
        return code;
}

int main(int argc, char **argv)
{
        static struct app app;
        struct config_result result = {0};
        int code = arguments(argc, argv, &app, &result);
        struct config_group all[GROUPS];
        groups(&app, all);
        if (code >= 0)
                return code;
        lifecycle_init(&app.lifecycle);
        lifecycle_raise_nofile();
        if (app.settings.instance[0])
                snprintf(app.instance, sizeof(app.instance), "%s", app.settings.instance);
        else
                snprintf(app.instance, sizeof(app.instance), "notification-%08x",
                        (unsigned)random_u64());
        app.log = log_new(
                "notification", app.instance, level_of(app.settings.log_level), STDERR_FILENO);
        if (result.warnings.n)
                log_warn(app.log, "settings_unknown", F_SLICE("text", buf_slice(&result.warnings)));
        app.metrics = metrics_new(METRICS_NOTIFICATION);
        metrics_set(app.metrics, M_build_info, 0, 1);
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        app.shard_count =
                app.settings.shards ? app.settings.shards : (unsigned)(cores > 0 ? cores : 1);
        app.shards = xcalloc(app.shard_count, sizeof(*app.shards));
        app.gateways = xcalloc(app.shard_count, sizeof(*app.gateways));
        if (strcmp(app.auth_settings.auth, "off") == 0)
                log_warn(app.log, "auth_off",
                        F_STR("text", "anybody may be anybody; for trying out only"));
        code = run(&app, &result);
        free(app.shards);
        free(app.gateways);
        config_result_done(&result);
        config_free(all, GROUPS);
        metrics_free(app.metrics);
        lifecycle_done(&app.lifecycle);
        log_free(app.log);
        return code;
}
