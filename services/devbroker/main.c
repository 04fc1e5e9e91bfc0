/*
 * tern-devbroker: an embedded Kafka for trying Tern out.
 *
 * librdkafka's mock cluster behind a fixed port, with all of Tern's topics. It forgets everything when it ends, so
 * each start begins a new life of every topic: the epochs are raised in Postgres, if one is named, and in
 * `access` before anybody is let in. Not for production, and not for a test of a promise: it keeps 5 MB a
 * partition, knows no timestamps and answers no admin calls.
 *
 * Start: `ready bootstrap=127.0.0.1:PORT` on stdout. Stop: SIGTERM or SIGINT.
 */
#include "devbroker/forward.h"

#include "base/clock.h"
#include "base/lifecycle.h"
#include "base/log.h"
#include "bus/bus.h"
#include "bus/mock.h"
#include "store/db.h"
#include "store/store.h"
#include "topics/epoch.h"
#include "topics/topics.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_SETTINGS 2
#define KAFKA_TIMEOUT_MS 10000
#define POSTGRES_WAIT_MS 10000

struct devbroker_settings {
#define CONFIG(type, field, ...) CONFIG_FIELD_##type(field)
#include "devbroker/settings.def"
};

static const struct config_row devbroker_rows[] = {
#define CONFIG(type, field, ...) CONFIG_ROW(struct devbroker_settings, type, field, __VA_ARGS__)
#include "devbroker/settings.def"
};

struct app {
        struct devbroker_settings settings;
        struct topics_settings topics_settings;
        struct bus_settings bus_settings;
        struct store_settings store_settings;
        struct config_result config;
        struct lifecycle lifecycle;
        struct log *log;
        struct mock *mock;
        struct forward *forward;
};

#define GROUPS 4

static void groups(struct app *app, struct config_group ret[GROUPS])
{
        ret[0] = (struct config_group){
                "Embedded broker", devbroker_rows, ARRAY_LEN(devbroker_rows), &app->settings};
        ret[1] = (struct config_group){
                "Topics", topics_settings_rows, topics_settings_count, &app->topics_settings};
        ret[2] = (struct config_group){
                "Kafka", bus_settings_rows, bus_settings_count, &app->bus_settings};
        ret[3] = (struct config_group){
                "Postgres", store_settings_rows, store_settings_count, &app->store_settings};
}

/* -1 to go on, else the exit code. */
static int arguments(int argc, char **argv, struct app *app)
{
        struct config_group all[GROUPS];
        groups(app, all);
        struct buf out = BUF_EMPTY;
        int code = -1;
        if (argc > 1 && strcmp(argv[1], "--version") == 0) {
                buf_add_str(&out, "tern-devbroker " TERN_VERSION "\n");
                code = 0;
        } else if (argc > 1 && strcmp(argv[1], "--help") == 0) {
                buf_add_str(&out,
                        "tern-devbroker: an embedded Kafka for trying Tern out; it forgets "
                        "everything when it ends.\n\n"
                        "usage: tern-devbroker [--help|--version|--print-settings]\n\nSettings "
                        "come from the environment:\n\n");
                config_help(all, GROUPS, &out);
                code = 0;
        } else if (argc > 1 && strcmp(argv[1], "--print-settings") != 0) {
                fprintf(stderr, "tern-devbroker: unknown argument %s (try --help)\n", argv[1]);
                code = EXIT_SETTINGS;
        } else if (config_load(all, GROUPS, environ, &app->config) != 0) {
                fputs(buf_cstr(&app->config.faults), stderr);
                code = EXIT_SETTINGS;
        } else if (argc > 1) {
                config_print(all, GROUPS, &out);
                code = 0;
        }
        if (out.n)
                fputs(buf_cstr(&out), stdout);
        buf_done(&out);
        return code;
}

static bool failed(const char *what, const char *why)
{
        fprintf(stderr, "tern-devbroker: %s%s%s\n", what, why[0] ? ": " : "", why);
        return false;
}

static enum log_level level_of(const char *text)
{
        static const char *const names[] = {"error", "warn", "info", "debug"};
        for (unsigned i = 0; i < ARRAY_LEN(names); i++)
                if (strcmp(text, names[i]) == 0)
                        return (enum log_level)i;
        return LOG_LEVEL_INFO;
}

static bool make_topics(struct app *app)
{
        for (size_t i = 0; i < topic_row_count; i++) {
                char name[256];
                int n = snprintf(name, sizeof(name), "%s%s", app->bus_settings.topic_prefix,
                        topic_rows[i].name);
                int err = n < (int)sizeof(name) ? mock_topic(app->mock, name,
                                                          topic_row_partitions(&topic_rows[i],
                                                                  &app->topics_settings))
                                                : -EINVAL;
                if (err)
                        return failed(topic_rows[i].name, "the topic cannot be made");
        }
        return true;
}

/* Postgres may be starting beside us. True with *ret NULL if none is named. */
static bool connect_store(struct app *app, struct db **ret)
{
        char fault[256] = "";
        *ret = NULL;
        if (!app->store_settings.dsn[0] && !app->store_settings.dsn_secret[0])
                return true;
        const char *dsn = db_dsn(&app->store_settings, fault);
        if (!dsn)
                return failed("Postgres", fault);
        const struct db_options o = {.dsn = dsn,
                .application = "tern-devbroker",
                .connect_ms = 2000,
                .statement_ms = 5000,
                .stop_fd = app->lifecycle.signal_fd};
        int64_t until = clock_mono_ms() + POSTGRES_WAIT_MS;
        int err;
        while ((err = db_connect(&o, ret, fault)) != 0 && err != -ECANCELED &&
                clock_mono_ms() < until) {
                const struct timespec nap = {0, 200000000};
                nanosleep(&nap, NULL);
        }
        return err == 0 || failed("Postgres", fault);
}

static void bus_said(void *arg, int level, const char *facility, const char *text)
{
        struct log *lg = arg;
        if (level <= 4)
                log_warn(lg, "kafka", F_STR("facility", facility), F_STR("text", text));
}

static bool raise_epochs(struct app *app)
{
        char name[] = "bootstrap.servers", fault[256] = "";
        struct config_passthrough prop = {name, xstrdup(mock_bootstrap(app->mock))};
        struct bus *bus = NULL;
        struct db *db = NULL;
        struct epoch *epochs = NULL;
        size_t n = 0;
        bool ok = connect_store(app, &db);
        if (ok && bus_new(&app->bus_settings, &prop, 1, "tern-devbroker", NULL, &bus, fault) != 0)
                ok = failed("the embedded broker", fault);
        if (ok)
                bus_set_log(bus, bus_said, app->log);
        const struct epoch_options o = {
                .bus = bus, .db = db, .force = true, .timeout_ms = KAFKA_TIMEOUT_MS};
        if (ok && epoch_register(&o, false, &epochs, &n, fault) != 0)
                ok = failed("the topics' epochs cannot be raised", fault);
        for (size_t i = 0; i < n && ok; i++)
                log_debug(app->log, "epoch", F_STR("topic", epochs[i].topic),
                        F_INT("epoch", epochs[i].epoch));
        free(epochs);
        free(prop.value);
        bus_free(bus, 1000);
        db_free(db);
        return ok;
}

static bool start(struct app *app)
{
        char fault[256] = "";
        int err = forward_open((uint16_t)app->settings.port, &app->forward);
        if (err == -EADDRINUSE) {
                fprintf(stderr, "tern-devbroker: port %u (TERN_DEVBROKER_PORT) is in use\n",
                        app->settings.port);
                return false;
        }
        if (err)
                return failed("the port cannot be opened", strerror(-err));
        if (mock_new(1, &app->mock, fault) != 0)
                return failed(fault, "");
        if (!make_topics(app) || !raise_epochs(app))
                return false;
        const char *colon = strrchr(mock_bootstrap(app->mock), ':');
        err = forward_start(app->forward, (uint16_t)strtoul(colon + 1, NULL, 10));
        return err == 0 || failed("the forwarding thread cannot be started", strerror(-err));
}

int main(int argc, char **argv)
{
        struct app app = {0};
        struct config_group all[GROUPS];
        groups(&app, all);
        int code = arguments(argc, argv, &app);
        if (code < 0) {
                lifecycle_init(&app.lifecycle);
                app.log =
                        log_new("devbroker", NULL, level_of(app.settings.log_level), STDERR_FILENO);
                code = 1;
                if (start(&app)) {
                        printf("ready bootstrap=127.0.0.1:%u\n", forward_port(app.forward));
                        fflush(stdout);
                        log_info(app.log, "ready", F_INT("port", forward_port(app.forward)));
                        int sig = lifecycle_wait(&app.lifecycle, -1);
                        log_info(app.log, "stopping", F_INT("signal", sig));
                        /* There is nothing to keep, and the mock cluster takes seconds to take itself apart. */
                        _exit(0);
                }
                forward_free(app.forward);
                mock_free(app.mock);
                log_free(app.log);
                lifecycle_done(&app.lifecycle);
        }
        config_result_done(&app.config);
        config_free(all, GROUPS);
        return code;
}
