/*
 * admin - topics and their settings: what ternctl asks of a cluster.
 *
 * Blocking, any thread. The embedded broker answers none of the admin calls: -ENOTSUP; it answers the questions that
 * are plain metadata (admin_list, admin_cluster). Names are without prefix, and topics of other
 * prefixes are left out.
 */
#ifndef TERN_BUS_ADMIN_H
#define TERN_BUS_ADMIN_H

#include "bus/bus.h"

struct admin_config {
        const char *name, *value; /* "cleanup.policy", "compact" */
};

struct admin_topic_spec {
        const char *topic;
        uint32_t partitions;
        uint32_t replication; /* 0: the cluster's default */
        const struct admin_config *configs;
        size_t config_count;
};

struct admin_result {
        int err; /* 0, -EEXIST, -ENOENT, -EACCES, -EINVAL, -EIO … */
        char text[200];
};

/* 0 when each topic has its own result; else -errno for the whole, which stands in each result too. */
MUST_CHECK int admin_create(struct bus *b, const struct admin_topic_spec *specs, size_t count,
        int timeout_ms, struct admin_result *results);
MUST_CHECK int admin_delete(struct bus *b, const char *const *topics, size_t count, int timeout_ms,
        struct admin_result *results);

struct admin_topic {
        char *name; /* owned */
        uint32_t partitions;
        uint32_t replication; /* the smallest of its partitions */
        uint32_t in_sync;     /* the smallest of its partitions */
        uint32_t leaderless;  /* partitions without a leader */
};
/* By name, ascending. Release with admin_list_free(). */
MUST_CHECK int admin_list(
        struct bus *b, int timeout_ms, struct admin_topic **ret, size_t *ret_count);
void admin_list_free(struct admin_topic *topics, size_t count);

struct admin_cluster {
        char id[80];
        uint32_t brokers;
};
MUST_CHECK int admin_cluster(struct bus *b, int timeout_ms, struct admin_cluster *ret);

struct admin_setting {
        const char *name; /* asked for */
        char value[160];  /* in force, the cluster's defaults included */
        bool found;
};
/* Settings in force of one topic. 0 or -errno. */
MUST_CHECK int admin_settings(struct bus *b, const char *topic, struct admin_setting *settings,
        size_t count, int timeout_ms);

/* Forgets a consumer group's offsets. 0, -ENOENT, or -errno. */
MUST_CHECK int admin_group_delete(struct bus *b, const char *group, int timeout_ms);

#endif
