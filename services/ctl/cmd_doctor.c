#include "ctl/ctl.h"

#include "store/migrate.h"
#include "topics/epoch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

/* What was found; printed as it comes, or as one JSON array at the end. */
struct findings {
        bool as_json;
        unsigned faults;
        struct buf json;
};

static void find(struct findings *f, const char *state, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void find(struct findings *f, const char *state, const char *fmt, ...)
{
        char text[512];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        f->faults += strcmp(state, "FAULT") == 0;
        if (!f->as_json) {
                printf("%-5s  %s\n", state, text);
                fflush(stdout);
                return;
        }
        buf_add_str(&f->json, f->json.p[f->json.n - 1] == '[' ? "{" : ",{");
        json_text(&f->json, "state", state[0] == 'F' ? "fault" : state);
        json_text(&f->json, "text", text);
        buf_add_char(&f->json, '}');
}

/* ---- Kafka ---- */

static void check_topic(struct ctl *ctl, struct findings *f, const struct topic_row *row,
        const struct admin_topic *found, unsigned *good)
{
        struct buf lines = BUF_EMPTY;
        int n = topics_faults(ctl->bus, row, found, &ctl->topics_settings, CTL_KAFKA_MS, &lines);
        if (n < 0 && n != -ENOTSUP)
                find(f, "FAULT", "the settings of %s cannot be asked for: %s", row->name,
                        kafka_error(n));
        struct slice rest = buf_slice(&lines);
        while (rest.n > 0) {
                ptrdiff_t end = slice_find(rest, '\n');
                struct slice line = end < 0 ? rest : slice_of(rest.p, (size_t)end);
                find(f, "FAULT", "%.*s", SLICE_ARG(line));
                rest = slice_from(rest, line.n + 1);
        }
        *good += n == 0 || (n == -ENOTSUP && lines.n == 0);
        buf_done(&lines);
}

static bool check_topics(struct ctl *ctl, struct findings *f)
{
        struct admin_topic *topics = NULL;
        size_t count = 0;
        unsigned good = 0;
        bool access = false;
        int err = admin_list(ctl->bus, CTL_KAFKA_MS, &topics, &count);
        if (err) {
                find(f, "FAULT", "the topics cannot be listed: %s", kafka_error(err));
                return false;
        }
        for (size_t i = 0; i < topic_row_count; i++) {
                const struct admin_topic *found = NULL;
                for (size_t k = 0; k < count; k++)
                        if (strcmp(topics[k].name, topic_rows[i].name) == 0)
                                found = &topics[k];
                if (found)
                        check_topic(ctl, f, &topic_rows[i], found, &good);
                else
                        find(f, "FAULT", "the topic %s is missing, run ternctl topics create",
                                topic_rows[i].name);
                access = access || (found && strcmp(topic_rows[i].name, "access") == 0);
        }
        if (good == topic_row_count)
                find(f, "ok", "%zu topics with the right partitions and settings%s",
                        topic_row_count,
                        bus_is_embedded(ctl->bus)
                                ? " (settings are not supported by the embedded broker)"
                                : "");
        admin_list_free(topics, count);
        return access;
}

static void check_epochs(struct ctl *ctl, struct findings *f)
{
        const struct epoch_options o = {.bus = ctl->bus, .db = ctl->db, .timeout_ms = CTL_KAFKA_MS};
        struct epoch *epochs = NULL;
        size_t n = 0;
        char fault[256] = "";
        if (epoch_register(&o, true, &epochs, &n, fault) != 0) {
                find(f, "FAULT", "the topics' epochs cannot be read: %s", fault);
                return;
        }
        unsigned kept = 0;
        for (size_t i = 0; i < n; i++) {
                if (epochs[i].change == EPOCH_FIRST)
                        find(f, "FAULT", "%s has no epoch, run ternctl topics create",
                                epochs[i].topic);
                else if (epochs[i].change == EPOCH_RAISED)
                        find(f, "FAULT",
                                "%s is another log than before (%s), run ternctl topics create",
                                epochs[i].topic, epochs[i].why);
                kept += epochs[i].change == EPOCH_KEPT;
        }
        if (kept == n)
                find(f, "ok", "%zu topics are the logs that they were%s", n,
                        ctl->db ? "" : " (as far as Kafka alone can tell)");
        free(epochs);
}

/* ---- Postgres ---- */

static void check_store(struct ctl *ctl, struct findings *f)
{
        char fault[256] = "";
        if (!ctl_has_postgres(ctl)) {
                find(f, "skip",
                        "Postgres: neither TERN_POSTGRES_DSN nor TERN_POSTGRES_DSN_FILE is set");
                return;
        }
        const char *dsn = db_dsn(&ctl->store_settings, fault);
        const struct db_options o = {.dsn = dsn,
                .application = "ternctl",
                .connect_ms = 5000,
                .statement_ms = 10000,
                .stop_fd = -1};
        if (!dsn || db_connect(&o, &ctl->db, fault) != 0) {
                find(f, "FAULT", "Postgres: %s", fault);
                return;
        }
        find(f, "ok", "Postgres answers");
        int err = db_schema_check(ctl->db, fault);
        if (err)
                find(f, "FAULT", "%s", fault[0] ? fault : db_error(ctl->db)->text);
        else
                find(f, "ok", "the schema is this build's, version %d",
                        migrations_embedded[migrations_embedded_count - 1].version);
        if (err)
                ctl->db = db_free(ctl->db); /* epochs can be judged without it */
}

static void check_kafka(struct ctl *ctl, struct findings *f)
{
        struct admin_cluster cluster;
        if (ctl_bus(ctl, CTL_KAFKA_MS, &cluster) != 0) {
                find(f, "FAULT", "Kafka does not answer");
                return;
        }
        find(f, "ok", "Kafka answers: cluster %s, %u broker%s%s", cluster.id, cluster.brokers,
                cluster.brokers == 1 ? "" : "s",
                bus_is_embedded(ctl->bus) ? " (embedded: for trying out only)" : "");
        if (check_topics(ctl, f))
                check_epochs(ctl, f);
}

int cmd_doctor(struct ctl *ctl, const struct args *a)
{
        struct findings f = {.as_json = args_flag(a, "json")};
        buf_add_char(&f.json, '[');
        check_store(ctl, &f);
        check_kafka(ctl, &f);
        if (f.as_json) {
                buf_add_char(&f.json, ']');
                print_line(&f.json);
        } else if (f.faults) {
                printf("%u fault%s\n", f.faults, f.faults == 1 ? "" : "s");
        }
        buf_done(&f.json);
        return f.faults ? EXIT_FAILED : EXIT_DONE;
}
