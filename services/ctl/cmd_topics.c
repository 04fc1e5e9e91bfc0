#include "ctl/ctl.h"

#include "base/clock.h"
#include "topics/epoch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define APPEAR_MS 10000 /* a new topic is known to every broker by then */

static const struct admin_topic *found_of(
        const struct admin_topic *topics, size_t count, const char *name)
{
        for (size_t i = 0; i < count; i++)
                if (strcmp(topics[i].name, name) == 0)
                        return &topics[i];
        return NULL;
}

/* Waits until metadata shows every topic that is there by now. */
static int wait_for_topics(struct ctl *ctl, const struct admin_result *results,
        struct admin_topic **ret, size_t *ret_count)
{
        int64_t until = clock_mono_ms() + APPEAR_MS;
        for (;;) {
                int err = admin_list(ctl->bus, CTL_KAFKA_MS, ret, ret_count);
                if (err)
                        return err;
                bool all = true;
                for (size_t i = 0; i < topic_row_count && all; i++) {
                        const struct admin_topic *t =
                                found_of(*ret, *ret_count, topic_rows[i].name);
                        all = (t && t->leaderless == 0) ||
                              (results[i].err != 0 && results[i].err != -EEXIST);
                }
                if (all || clock_mono_ms() >= until)
                        return 0;
                admin_list_free(*ret, *ret_count);
                const struct timespec nap = {0, 200000000};
                nanosleep(&nap, NULL);
        }
}

static const struct epoch *epoch_of(const struct epoch *epochs, size_t count, const char *topic)
{
        for (size_t i = 0; i < count; i++)
                if (strcmp(epochs[i].topic, topic) == 0)
                        return &epochs[i];
        return NULL;
}

struct made {
        struct admin_result *results;
        struct admin_topic *topics;
        size_t topic_count;
        struct epoch *renewed; /* known topics that were missing */
        size_t renewed_count;
        struct epoch *epochs;
        size_t epoch_count;
};

/* One topic's line; false if something is wrong with it. */
static bool report_created(
        struct ctl *ctl, const struct made *m, size_t i, struct table *t, struct buf *json)
{
        const struct topic_row *row = &topic_rows[i];
        const struct admin_topic *found = found_of(m->topics, m->topic_count, row->name);
        const struct epoch *e = epoch_of(m->renewed, m->renewed_count, row->name);
        if (!e || m->results[i].err != 0)
                e = epoch_of(m->epochs, m->epoch_count, row->name);
        uint32_t want = topic_row_partitions(row, &ctl->topics_settings);
        const char *state = m->results[i].err == 0         ? "created"
                            : m->results[i].err == -EEXIST ? "exists"
                                                           : "failed";
        char note[400] = "";
        bool good = strcmp(state, "failed") != 0;
        if (!good)
                snprintf(note, sizeof(note), "%s", m->results[i].text);
        else if (found && found->partitions != want)
                snprintf(note, sizeof(note), "it has %u partitions, the setting says %u",
                        found->partitions, want);
        else if (e && e->change == EPOCH_RAISED)
                snprintf(note, sizeof(note), "a new life: %s", e->why);
        if (good && found && found->partitions != want)
                good = false;
        if (json) {
                buf_add_str(json, json->p[json->n - 1] == '[' ? "{" : ",{");
                json_text(json, "topic", row->name);
                json_text(json, "state", state);
                json_number(json, "partitions", found ? (int64_t)found->partitions : 0);
                json_number(json, "epoch", e ? e->epoch : 0);
                json_flag(json, "raised", e && e->change == EPOCH_RAISED);
                json_text(json, "note", note);
                buf_add_char(json, '}');
        } else {
                table_cell(t, "%s", state);
                table_cell(t, "%s", row->name);
                table_cell(t, found && found->partitions == 1 ? "%u partition" : "%u partitions",
                        found ? found->partitions : 0);
                if (e)
                        table_cell(t, "epoch %" PRId64, e->epoch);
                else
                        table_cell(t, "%s", "");
                table_cell(t, "%s", note);
        }
        return good;
}

static int report_all(struct ctl *ctl, const struct made *m, bool as_json)
{
        struct table t = TABLE_OF(5);
        struct buf json = BUF_EMPTY;
        size_t good = 0;
        buf_add_char(&json, '[');
        for (size_t i = 0; i < topic_row_count; i++)
                good += report_created(ctl, m, i, &t, as_json ? &json : NULL);
        if (as_json) {
                buf_add_char(&json, ']');
                print_line(&json);
        }
        table_print(&t);
        buf_done(&json);
        return good == topic_row_count ? EXIT_DONE : good ? EXIT_PARTLY : EXIT_FAILED;
}

static int create(struct ctl *ctl, const struct args *a, struct made *m)
{
        char fault[256] = "";
        const struct epoch_options before = {.bus = ctl->bus,
                .db = ctl->db,
                .missing = &ctl->topics_settings,
                .timeout_ms = CTL_KAFKA_MS};
        if (epoch_register(&before, false, &m->renewed, &m->renewed_count, fault) != 0)
                return ctl_fail("the topics' epochs cannot be registered: %s", fault);
        int err = topics_create(ctl->bus, &ctl->topics_settings, 3 * CTL_KAFKA_MS, m->results);
        if (err)
                return ctl_fail("the topics cannot be created: %s",
                        m->results[0].text[0] ? m->results[0].text : kafka_error(err));
        err = wait_for_topics(ctl, m->results, &m->topics, &m->topic_count);
        if (err)
                return ctl_fail("the topics cannot be listed: %s", kafka_error(err));
        const struct epoch_options o = {.bus = ctl->bus, .db = ctl->db, .timeout_ms = CTL_KAFKA_MS};
        bool registered = epoch_register(&o, false, &m->epochs, &m->epoch_count, fault) == 0;
        int code = report_all(ctl, m, args_flag(a, "json"));
        if (registered)
                return code;
        ctl_fail("the topics' epochs cannot be registered: %s", fault);
        return code == EXIT_FAILED ? EXIT_FAILED : EXIT_PARTLY;
}

int cmd_topics_create(struct ctl *ctl, const struct args *a)
{
        uint32_t wait_s = 0;
        char fault[256];
        struct admin_cluster cluster;
        if (args_u32(a, "wait", 86400, &wait_s, fault) != 0) {
                ctl_fail("%s", fault);
                return EXIT_USAGE;
        }
        int code = ctl_bus(ctl, wait_s * INT64_C(1000), &cluster);
        if (!code && bus_is_embedded(ctl->bus))
                code = ctl_not_embedded("topics create");
        if (!code && ctl_has_postgres(ctl))
                code = ctl_db(ctl, wait_s * INT64_C(1000));
        if (code)
                return code;
        struct made m = {.results = xcalloc(topic_row_count, sizeof(*m.results))};
        code = create(ctl, a, &m);
        admin_list_free(m.topics, m.topic_count);
        free(m.renewed);
        free(m.epochs);
        free(m.results);
        return code;
}

/* ---- list ---- */

static void list_one(const struct admin_topic *t, const char *name, const char *note,
        struct table *table, struct buf *json)
{
        if (json) {
                buf_add_str(json, json->p[json->n - 1] == '[' ? "{" : ",{");
                json_text(json, "topic", name);
                json_flag(json, "exists", t != NULL);
                json_number(json, "partitions", t ? t->partitions : 0);
                json_number(json, "replication", t ? t->replication : 0);
                json_number(json, "inSync", t ? t->in_sync : 0);
                json_text(json, "text", note);
                buf_add_char(json, '}');
                return;
        }
        table_cell(table, "%s", name);
        table_cell(table, "%u", t ? t->partitions : 0);
        table_cell(table, "%u", t ? t->replication : 0);
        table_cell(table, "%u", t ? t->in_sync : 0);
        table_cell(table, "%s%s", t ? "" : "MISSING: ", note);
}

int cmd_topics_list(struct ctl *ctl, const struct args *a)
{
        struct admin_cluster cluster;
        struct admin_topic *topics = NULL;
        size_t count = 0, missing = 0;
        int code = ctl_bus(ctl, CTL_KAFKA_MS, &cluster);
        if (code)
                return code;
        int err = admin_list(ctl->bus, CTL_KAFKA_MS, &topics, &count);
        if (err)
                return ctl_fail("the topics cannot be listed: %s", kafka_error(err));
        bool as_json = args_flag(a, "json");
        struct table t = TABLE_OF(5);
        struct buf json = BUF_EMPTY;
        buf_add_char(&json, '[');
        if (!as_json) {
                static const char *const heads[] = {
                        "TOPIC", "PARTITIONS", "REPLICAS", "IN SYNC", ""};
                for (size_t i = 0; i < ARRAY_LEN(heads); i++)
                        table_cell(&t, "%s", heads[i]);
        }
        for (size_t i = 0; i < topic_row_count; i++) {
                const struct admin_topic *found = found_of(topics, count, topic_rows[i].name);
                missing += found == NULL;
                list_one(found, topic_rows[i].name, topic_rows[i].text, &t, as_json ? &json : NULL);
        }
        if (as_json) {
                buf_add_char(&json, ']');
                print_line(&json);
        }
        table_print(&t);
        buf_done(&json);
        admin_list_free(topics, count);
        return missing ? EXIT_PARTLY : EXIT_DONE;
}
