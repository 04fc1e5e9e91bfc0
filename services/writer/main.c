/*
 * tern-writer: Kafka to Postgres, exactly once.
 *
 * Start: settings, the ops port, then it waits for Postgres, a schema of this build and the topics; then the intake, the
 * committer, the janitor and the relay run. Stop: SIGTERM writes what was read and leaves; a second one ends at once.
 */
#include "writer/batch.h"
#include "writer/intake.h"
#include "writer/janitor.h"
#include "writer/relay.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/hash.h"
#include "http/ops.h"
#include "store/db.h"
#include "store/migrate.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_SETTINGS 2
#define ASK_AGAIN_MS 500
#define LOG_EVERY_MS 10000
#define KAFKA_TIMEOUT_MS 2000
#define FLUSH_MS 3000

struct writer_settings {
#define CONFIG(type, field, ...) CONFIG_FIELD_##type(field)
#include "writer/settings.def"
};

static const struct config_row writer_rows[] = {
#define CONFIG(type, field, ...) CONFIG_ROW(struct writer_settings, type, field, __VA_ARGS__)
#include "writer/settings.def"
};

struct app {
        struct writer_settings settings;
        struct bus_settings bus_settings;
        struct store_settings store_settings;
        struct config_result config;
        struct lifecycle lifecycle;
        struct log *log;
        struct metrics *metrics;
        struct ops_server *ops;
        struct bus *bus;
        _Atomic(struct intake *) intake; /* owned; the ops thread looks at it */
        struct janitor *janitor;
        struct relay *relay;
        const char *dsn; /* borrowed from the settings */
        atomic_bool died;
        _Atomic int64_t bus_logged_ms;
        int64_t logged_ms;
};

#define GROUPS 3

static void groups(struct app *app, struct config_group ret[GROUPS])
{
        ret[0] = (struct config_group){
                "Writer", writer_rows, ARRAY_LEN(writer_rows), &app->settings};
        ret[1] = (struct config_group){
                "Kafka", bus_settings_rows, bus_settings_count, &app->bus_settings};
        ret[2] = (struct config_group){
                "Postgres", store_settings_rows, store_settings_count, &app->store_settings};
}

/* ---- settings ---- */

static enum log_level level_of(const char *text)
{
        static const char *const names[] = {"error", "warn", "info", "debug"};
        for (unsigned i = 0; i < ARRAY_LEN(names); i++)
                if (strcmp(text, names[i]) == 0)
                        return (enum log_level)i;
        return LOG_LEVEL_INFO;
}

/* What no single row can judge. */
static void check_together(struct app *app, struct buf *faults)
{
        char fault[256];
        app->dsn = db_dsn(&app->store_settings, fault);
        if (!app->dsn)
                buf_printf(faults, "%s\n", fault);
}

/* only_print: what is there is shown even if more is needed to run. */
static int load(struct app *app, const struct config_group all[GROUPS], bool only_print)
{
        int r = config_load(all, GROUPS, environ, &app->config);
        if (r == 0 && !only_print)
                check_together(app, &app->config.faults);
        if (app->config.faults.n == 0)
                return -1;
        fputs(buf_cstr(&app->config.faults), stderr);
        return EXIT_SETTINGS;
}

/* -1 to go on, else the exit code. */
static int arguments(int argc, char **argv, struct app *app, const struct config_group all[GROUPS])
{
        struct buf out = BUF_EMPTY;
        int code = 0;
        if (argc > 1 && strcmp(argv[1], "--version") == 0) {
                buf_add_str(&out, "tern-writer " TERN_VERSION "\n");
        } else if (argc > 1 && strcmp(argv[1], "--help") == 0) {
                buf_add_str(&out,
                        "tern-writer: writes the log to Postgres, exactly once.\n\nusage: "
                        "tern-writer [--help|--version|--print-settings]\n\nSettings come "
                        "from the environment:\n\n");
                config_help(all, GROUPS, &out);
        } else if (argc > 1 && strcmp(argv[1], "--print-settings") != 0) {
                fprintf(stderr, "tern-writer: unknown argument %s (try --help)\n", argv[1]);
                code = EXIT_SETTINGS;
        } else {
                code = load(app, all, argc > 1);
                if (code < 0 && argc > 1) {
                        config_print(all, GROUPS, &out);
                        code = 0;
                }
        }
        if (out.n)
                fputs(buf_cstr(&out), stdout);
        buf_done(&out);
        return code;
}

/* ---- starting ---- */

static int failed(const char *what, const char *why)
{
        fprintf(stderr, "tern-writer: %s: %s\n", what, why);
        return 1;
}

/* Says what is waited for, now and then. True if a signal came instead. */
static bool wait_more(struct app *app, const char *event, const char *why)
{
        int64_t now = clock_mono_ms();
        if (!app->logged_ms || now - app->logged_ms >= LOG_EVERY_MS) {
                log_warn(app->log, event, F_STR("error", why));
                app->logged_ms = now;
        }
        return lifecycle_wait(&app->lifecycle, ASK_AGAIN_MS) > 0;
}

/* -1: Postgres is there, and its schema is ours. Else the exit code. */
static int wait_for_postgres(struct app *app)
{
        app->logged_ms = 0;
        for (;;) {
                struct db *db = NULL;
                char fault[256] = "";
                const struct db_options o = {.dsn = app->dsn,
                        .application = "tern-writer",
                        .connect_ms = app->store_settings.timeout_ms,
                        .stop_fd = -1};
                int r = db_connect(&o, &db, fault);
                if (r == 0) {
                        db_deadline(db, clock_mono_ms() + app->store_settings.timeout_ms);
                        r = db_schema_check(db, fault);
                        db_free(db);
                }
                if (r == 0)
                        return -1;
                if (r == -EINVAL || r == -EPROTO)
                        return failed("Postgres", fault);
                if (wait_more(app, "waiting_for_postgres", fault))
                        return 0;
        }
}

/* -1: all topics are there. Else the exit code. */
static int wait_for_topics(struct app *app)
{
        app->logged_ms = 0;
        for (size_t t = 0; t < TOPIC_COUNT;) {
                uint32_t partitions = 0;
                int r = bus_partitions(app->bus, writer_topics[t], KAFKA_TIMEOUT_MS, &partitions);
                char why[160];
                snprintf(why, sizeof(why), "%s: %s", writer_topics[t],
                        r == -ENOENT ? "no such topic (ternctl topics create)"
                                     : "Kafka does not answer");
                if (r == 0)
                        t++;
                else if (wait_more(app, "waiting_for_kafka", why))
                        return 0;
        }
        return -1;
}

/* While Kafka is away librdkafka has much to say, all of it the same. */
static void on_bus_log(void *arg, int level, const char *facility, const char *text)
{
        struct app *app = arg;
        int64_t now = clock_mono_ms(), last = atomic_load(&app->bus_logged_ms);
        bool loud = level <= 3 && (last == 0 || now - last >= LOG_EVERY_MS) &&
                    atomic_compare_exchange_strong(&app->bus_logged_ms, &last, now);
        if (loud)
                log_warn(app->log, "librdkafka", F_STR("facility", facility), F_STR("text", text));
        else
                log_debug(app->log, "librdkafka", F_STR("facility", facility), F_STR("text", text));
}

static const char *not_ready(void *arg)
{
        struct app *app = arg;
        if (atomic_load(&app->lifecycle.draining))
                return "stopping";
        struct intake *in = atomic_load(&app->intake);
        return in ? intake_not_ready(in) : "waiting for Postgres and Kafka";
}

static void on_died(void *arg)
{
        struct app *app = arg;
        atomic_store(&app->died, true);
}

static int start_intake(struct app *app)
{
        const struct writer_settings *s = &app->settings;
        char group[320], fault[256] = "";
        snprintf(group, sizeof(group), "%s%s", app->bus_settings.topic_prefix, s->group);
        const struct intake_options o = {
                .dsn = app->dsn,
                .group = group,
                .instance = s->instance[0] ? s->instance : NULL,
                .timeout_ms = app->store_settings.timeout_ms,
                .session_timeout_ms = s->session_timeout_ms,
                .batch_max = s->batch_max,
                .batch_bytes_max = s->batch_bytes_max,
                .linger_ms = s->linger_ms,
                .commit_timeout_ms = s->commit_timeout_ms,
                .retry_max_ms = s->retry_max_ms,
                .resume_window_days = s->resume_window_days,
                .stop_ms = s->stop_ms,
                .bus = app->bus,
                .metrics = app->metrics,
                .log = app->log,
                .lifecycle = &app->lifecycle,
                .died = on_died,
                .arg = app,
        };
        struct intake *in = NULL;
        if (intake_new(&o, &in, fault) < 0)
                return failed("Kafka", fault);
        atomic_store(&app->intake, in);
        return -1;
}

/* What is only written finds its leaders before the first dead letter. */
static void warm(struct bus *bus)
{
        for (size_t t = 0; t < TOPIC_COUNT; t++) {
                char dlq[64];
                snprintf(dlq, sizeof(dlq), "%s.dlq", writer_topics[t]);
                bus_warm(bus, dlq);
        }
}

static int start_relay(struct app *app)
{
        const struct relay_options o = {
                .dsn = app->dsn,
                .poll_ms = app->settings.relay_poll_ms,
                .silent_ms = app->settings.relay_silent_ms,
                .batch_max = app->settings.relay_batch_max,
                .bus = app->bus,
                .metrics = app->metrics,
                .log = app->log,
        };
        return relay_new(&o, &app->relay);
}

static int start(struct app *app)
{
        const struct writer_settings *s = &app->settings;
        uint32_t port = 0;
        char fault[256] = "";
        const struct ops_options oo = {.bind = s->ops_bind,
                .port = s->ops_port,
                .lifecycle = &app->lifecycle,
                .metrics = app->metrics,
                .not_ready = not_ready,
                .arg = app};
        int r = ops_server_new(&oo, &app->ops, &port);
        if (r < 0)
                return failed("the ops port cannot be opened", strerror(-r));
        if (bus_new(&app->bus_settings, app->config.kafka, app->config.kafka_count, "tern-writer",
                    app->metrics, &app->bus, fault) < 0) {
                failed("Kafka", fault);
                return EXIT_SETTINGS;
        }
        bus_set_log(app->bus, on_bus_log, app);
        warm(app->bus);
        log_info(app->log, "starting", F_INT("ops_port", port));
        int code = wait_for_postgres(app);
        if (code < 0)
                code = wait_for_topics(app);
        if (code < 0 && janitor_new(app->dsn, app->store_settings.timeout_ms, s->resume_window_days,
                                app->log, &app->janitor) < 0)
                code = failed("the janitor", "no thread");
        if (code < 0 && s->relay && start_relay(app) < 0)
                code = failed("the relay", "no thread");
        return code < 0 ? start_intake(app) : code;
}

/* ---- running ---- */

static void stop(struct app *app)
{
        lifecycle_end_at_signal(&app->lifecycle);
        struct intake *in = atomic_load(&app->intake);
        intake_stop(in);
        janitor_free(app->janitor);
        relay_free(app->relay);
        /* Who looks at the intake goes before it. */
        ops_server_free(app->ops);
        intake_free(in);
        bus_free(app->bus, FLUSH_MS);
}

static int run(struct app *app)
{
        int code = start(app);
        bool ready = false;
        while (code < 0) {
                bool now = not_ready(app) == NULL;
                if (now != ready)
                        log_info(app->log, now ? "ready" : "not_ready",
                                F_STR("reason", now ? "" : not_ready(app)));
                ready = now;
                atomic_store(&app->lifecycle.ready, ready);
                if (atomic_load(&app->died))
                        code = 1;
                else if (lifecycle_wait(&app->lifecycle, ASK_AGAIN_MS) > 0)
                        code = 0;
        }
        atomic_store(&app->lifecycle.draining, true);
        log_info(app->log, "stopping");
        stop(app);
        log_info(app->log, "stopped", F_INT("code", code));
        return code;
}

int main(int argc, char **argv)
{
        static struct app app;
        struct config_group all[GROUPS];
        groups(&app, all);
        int code = arguments(argc, argv, &app, all);
        if (code >= 0)
                return code;
        lifecycle_init(&app.lifecycle);
        lifecycle_raise_nofile();
        char instance[80];
        snprintf(instance, sizeof(instance), "%s", app.settings.instance);
        if (!instance[0])
                snprintf(instance, sizeof(instance), "writer-%08x", (unsigned)random_u64());
        app.log = log_new("writer", instance, level_of(app.settings.log_level), STDERR_FILENO);
        config_log_warnings(&app.config, app.log);
        app.metrics = metrics_new(METRICS_WRITER);
        metrics_set(app.metrics, M_build_info, 0, 1);
        code = run(&app);
        config_result_done(&app.config);
        config_free(all, GROUPS);
        metrics_free(app.metrics);
        lifecycle_done(&app.lifecycle);
        log_free(app.log);
        return code;
}
