#include "topics/topics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define REPLICATION_WANTED 3
#define DAY_MS (INT64_C(24) * 3600 * 1000)
#define CONFIGS_MAX 6

const struct config_row topics_settings_rows[] = {
#define CONFIG(type, field, ...) CONFIG_ROW(struct topics_settings, type, field, __VA_ARGS__)
#include "topics/settings.def"
};
const size_t topics_settings_count = ARRAY_LEN(topics_settings_rows);

const struct topic_row topic_rows[] = {
#define TOPIC(name, partitions, cleanup, retention_ms, text)                                       \
        {name, partitions, cleanup, retention_ms, text},
#include "proto/topics.def"
};
const size_t topic_row_count = ARRAY_LEN(topic_rows);

uint32_t topic_row_partitions(const struct topic_row *row, const struct topics_settings *s)
{
        return row->partitions ? row->partitions : s->partitions;
}

bool topic_row_has_epoch(const struct topic_row *row)
{
        size_t n = strlen(row->name);
        return n < 4 || strcmp(row->name + n - 4, ".dlq") != 0;
}

/* The settings of one topic; texts live in here as long as the request. */
struct plan {
        struct admin_config configs[CONFIGS_MAX];
        size_t count;
        char retention[24], segment[24];
};

static void plan_add(struct plan *p, const char *name, const char *value)
{
        CHECK(p->count < CONFIGS_MAX);
        p->configs[p->count++] = (struct admin_config){name, value};
}

static void plan_fill(struct plan *p, const struct topic_row *row, uint32_t replication)
{
        plan_add(p, "cleanup.policy", row->cleanup);
        plan_add(p, "message.timestamp.type", "LogAppendTime");
        plan_add(p, "unclean.leader.election.enable", "false");
        if (replication > 1)
                plan_add(p, "min.insync.replicas", "2");
        if (row->retention_ms >= 0) {
                snprintf(p->retention, sizeof(p->retention), "%" PRId64, row->retention_ms);
                plan_add(p, "retention.ms", p->retention);
        }
        /* Only closed segments are deleted, and a week is the default: minutes need short ones. */
        if (row->retention_ms >= 0 && row->retention_ms < DAY_MS) {
                snprintf(p->segment, sizeof(p->segment), "%" PRId64, row->retention_ms / 2);
                plan_add(p, "segment.ms", p->segment);
        }
}

/* Rows [first, first + count). */
static int create_rows(struct bus *b, const struct topics_settings *s, size_t first, size_t count,
        int timeout_ms, struct admin_result *results)
{
        struct admin_cluster cluster;
        int err = admin_cluster(b, timeout_ms, &cluster);
        if (err)
                return err;
        uint32_t replication = s->replication;
        if (replication == 0)
                replication =
                        cluster.brokers < REPLICATION_WANTED ? cluster.brokers : REPLICATION_WANTED;
        struct plan *plans = xcalloc(count, sizeof(*plans));
        struct admin_topic_spec *specs = xcalloc(count, sizeof(*specs));
        for (size_t i = 0; i < count; i++) {
                const struct topic_row *row = &topic_rows[first + i];
                plan_fill(&plans[i], row, replication);
                specs[i] = (struct admin_topic_spec){row->name, topic_row_partitions(row, s),
                        replication, plans[i].configs, plans[i].count};
        }
        err = admin_create(b, specs, count, timeout_ms, results);
        free(specs);
        free(plans);
        return err;
}

int topics_create(struct bus *b, const struct topics_settings *s, int timeout_ms,
        struct admin_result *results)
{
        return create_rows(b, s, 0, topic_row_count, timeout_ms, results);
}

int topics_create_one(struct bus *b, const struct topics_settings *s, const char *name,
        int timeout_ms, struct admin_result *result)
{
        for (size_t i = 0; i < topic_row_count; i++)
                if (strcmp(topic_rows[i].name, name) == 0)
                        return create_rows(b, s, i, 1, timeout_ms, result);
        return -EINVAL;
}

int topics_faults(struct bus *b, const struct topic_row *row, const struct admin_topic *found,
        const struct topics_settings *s, int timeout_ms, struct buf *out)
{
        int n = 0;
        uint32_t want = topic_row_partitions(row, s);
        if (found->partitions != want) {
                buf_printf(out, "%s has %u partitions, it should have %u\n", row->name,
                        found->partitions, want);
                n++;
        }
        if (found->leaderless) {
                buf_printf(out, "%s has %u partitions without a leader\n", row->name,
                        found->leaderless);
                n++;
        }
        struct admin_setting set[] = {{.name = "message.timestamp.type"},
                {.name = "unclean.leader.election.enable"}, {.name = "min.insync.replicas"},
                {.name = "cleanup.policy"}};
        int err = admin_settings(b, row->name, set, ARRAY_LEN(set), timeout_ms);
        if (err)
                return err;
        if (set[0].found && strcmp(set[0].value, "LogAppendTime") != 0) {
                buf_printf(out,
                        "%s has message.timestamp.type=%s, it should be LogAppendTime: duplicates "
                        "are judged by the broker's time\n",
                        row->name, set[0].value);
                n++;
        }
        if (set[1].found && strcmp(set[1].value, "false") != 0) {
                buf_printf(out,
                        "%s has unclean.leader.election.enable=%s, it should be false: confirmed "
                        "messages could vanish\n",
                        row->name, set[1].value);
                n++;
        }
        if (set[2].found && found->replication > 1 && strtol(set[2].value, NULL, 10) < 2) {
                buf_printf(out,
                        "%s has %u replicas and min.insync.replicas=%s, it should be at least 2: "
                        "one disk could hold the only copy\n",
                        row->name, found->replication, set[2].value);
                n++;
        }
        if (set[3].found && strcmp(set[3].value, row->cleanup) != 0) {
                buf_printf(out, "%s has cleanup.policy=%s, it should be %s\n", row->name,
                        set[3].value, row->cleanup);
                n++;
        }
        return n;
}
