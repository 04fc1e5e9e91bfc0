/*
 * tern-messaging: the chat gateway.
 *
 * Start: settings, parts, shards (each makes its struct gateway), the bus thread fills the tail; only
 * when the gateway is ready its public port opens. Stop: SIGTERM drains, a second one ends at once.
 */
#include "messaging/parts.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct config_row messaging_rows[] = {
#define CONFIG(type, field, ...) CONFIG_ROW(struct messaging_settings, type, field, __VA_ARGS__)
#include "messaging/settings.def"
};

#define GROUPS 8

static void groups(struct app *app, struct config_group ret[GROUPS])
{
        ret[0] = (struct config_group){
                "Messaging gateway", messaging_rows, ARRAY_LEN(messaging_rows), &app->settings};
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
        ret[6] = (struct config_group){"Splices between gateways", peer_settings_rows,
                peer_settings_count, &app->peer_settings};
        ret[7] = (struct config_group){
                "The fleet", fleet_settings_rows, fleet_settings_count, &app->fleet_settings};
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
        if (strcmp(app->auth_settings.auth, "off") == 0 && app->peer_settings.key[0] &&
                !is_loopback(app->peer_settings.bind))
                buf_printf(faults,
                        "TERN_AUTH=off needs TERN_SPLICE_BIND on a loopback address, it is %s\n",
                        app->peer_settings.bind);
        peer_settings_check(&app->peer_settings, faults);
        departures_check(app->settings.drain_per_second, app->settings.drain_ms,
                DEPARTURES_SOCKETIO_BACK_MS,
                app->settings.connections_max +
                        (app->peer_settings.key[0] ? app->peer_settings.splices_max : 0),
                faults);
        namespaces_read(&app->namespaces, app->settings.namespaces, faults);
        if (app->http_settings.body_bytes_max < app->settings.max_payload)
                app->http_settings.body_bytes_max = app->settings.max_payload; /* long polling */
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
                printf("tern-messaging " TERN_VERSION "\n");
                code = 0;
        } else if (argc > 1 && strcmp(argv[1], "--help") == 0) {
                buf_add_str(&out, "tern-messaging: the Socket.IO chat gateway.\n\nusage: "
                                  "tern-messaging [--help|--version|--print-settings]\n\nSettings "
                                  "come from the environment:\n\n");
                config_help(all, GROUPS, &out);
                fputs(buf_cstr(&out), stdout);
                code = 0;
        } else if (argc > 1 && strcmp(argv[1], "--print-settings") != 0) {
                fprintf(stderr, "tern-messaging: unknown argument %s (try --help)\n", argv[1]);
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

int main(int argc, char **argv)
{
        static struct app app;
        struct config_result result = {0};
        int code = arguments(argc, argv, &app, &result);
        struct config_group all[GROUPS];
        groups(&app, all);
        if (code >= 0) {
                config_result_done(&result);
                return code;
        }
        lifecycle_init(&app.lifecycle);
        lifecycle_raise_nofile();
        if (app.settings.instance[0])
                snprintf(app.instance, sizeof(app.instance), "%s", app.settings.instance);
        else
                snprintf(app.instance, sizeof(app.instance), "messaging-%08x",
                        (unsigned)random_u64());
        snprintf(app.source, sizeof(app.source), "tern-messaging/%s", app.instance);
        app.log =
                log_new("messaging", app.instance, level_of(app.settings.log_level), STDERR_FILENO);
        config_log_warnings(&result, app.log);
        app.metrics = metrics_new(METRICS_MESSAGING);
        metrics_set(app.metrics, M_build_info, 0, 1);
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        app.shard_count =
                app.settings.shards ? app.settings.shards : (unsigned)(cores > 0 ? cores : 1);
        app.shards = xcalloc(app.shard_count, sizeof(*app.shards));
        app.gateways = xcalloc(app.shard_count, sizeof(*app.gateways));
        if (strcmp(app.auth_settings.auth, "off") == 0)
                log_warn(app.log, "auth_off",
                        F_STR("text", "anybody may be anybody; for trying out only"));
        code = parts_run(&app, &result);
        free(app.shards);
        free(app.gateways);
        config_result_done(&result);
        config_free(all, GROUPS);
        metrics_free(app.metrics);
        lifecycle_done(&app.lifecycle);
        log_free(app.log);
        return code;
}
