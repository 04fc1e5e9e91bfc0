#include "bus/admin.h"
#include "bus/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

static void result_set(struct admin_result *r, rd_kafka_resp_err_t err, const char *text)
{
        r->err = bus_errno(err);
        snprintf(r->text, sizeof(r->text), "%s",
                r->err ? (text ? text : rd_kafka_err2str(err)) : "");
}

static int fail_all(
        struct admin_result *results, size_t count, rd_kafka_resp_err_t err, const char *text)
{
        for (size_t i = 0; i < count; i++)
                result_set(&results[i], err, text);
        return bus_errno(err);
}

/* One admin question: its queue, its options, and the answer. */
struct ask {
        rd_kafka_queue_t *queue;
        rd_kafka_AdminOptions_t *options;
        int timeout_ms;
};

static void ask_init(struct ask *a, struct bus *b, rd_kafka_admin_op_t op, int timeout_ms)
{
        char why[200];
        a->queue = rd_kafka_queue_new(b->query);
        a->options = rd_kafka_AdminOptions_new(b->query, op);
        a->timeout_ms = timeout_ms;
        rd_kafka_AdminOptions_set_request_timeout(a->options, timeout_ms, why, sizeof(why));
        /* Until the topic stands on all brokers; not every operation knows it. */
        if (op == RD_KAFKA_ADMIN_OP_CREATETOPICS || op == RD_KAFKA_ADMIN_OP_DELETETOPICS)
                rd_kafka_AdminOptions_set_operation_timeout(
                        a->options, timeout_ms, why, sizeof(why));
}

static void ask_done(struct ask *a)
{
        rd_kafka_AdminOptions_destroy(a->options);
        rd_kafka_queue_destroy(a->queue);
}

/* NULL with *ret_err if there is no answer. The library answers its own timeouts, a little later than asked. */
static rd_kafka_event_t *ask_wait(struct ask *a, rd_kafka_resp_err_t *ret_err)
{
        rd_kafka_event_t *ev = rd_kafka_queue_poll(a->queue, a->timeout_ms + 2000);
        *ret_err = ev ? rd_kafka_event_error(ev) : RD_KAFKA_RESP_ERR__TIMED_OUT;
        return ev;
}

static size_t index_of(struct bus *b, const char *full, const char *const *names, size_t count)
{
        const struct bus_topic *t = bus_topic_of_full(b, full);
        for (size_t i = 0; t && i < count; i++)
                if (slice_is(t->bare, names[i]))
                        return i;
        return SIZE_MAX;
}

static void read_topic_results(struct bus *b, const rd_kafka_topic_result_t **topics, size_t n,
        const char *const *names, size_t count, struct admin_result *results)
{
        for (size_t i = 0; i < n; i++) {
                size_t at = index_of(b, rd_kafka_topic_result_name(topics[i]), names, count);
                if (at != SIZE_MAX)
                        result_set(&results[at], rd_kafka_topic_result_error(topics[i]),
                                rd_kafka_topic_result_error_string(topics[i]));
        }
}

/* ---- create ---- */

static rd_kafka_NewTopic_t *new_topic(
        struct bus *b, const struct admin_topic_spec *s, struct admin_result *r)
{
        char why[200] = "";
        const struct bus_topic *t = bus_topic_get(b, slice_str(s->topic));
        rd_kafka_NewTopic_t *nt = NULL;
        if (t)
                nt = rd_kafka_NewTopic_new(t->name, (int)s->partitions,
                        s->replication ? (int)s->replication : -1, why, sizeof(why));
        for (size_t i = 0; nt && i < s->config_count; i++) {
                rd_kafka_resp_err_t err =
                        rd_kafka_NewTopic_set_config(nt, s->configs[i].name, s->configs[i].value);
                if (err) {
                        rd_kafka_NewTopic_destroy(nt);
                        nt = NULL;
                        snprintf(why, sizeof(why), "%s: %s", s->configs[i].name,
                                rd_kafka_err2str(err));
                }
        }
        if (!nt)
                result_set(r, RD_KAFKA_RESP_ERR__INVALID_ARG, t ? why : "not a topic's name");
        return nt;
}

int admin_create(struct bus *b, const struct admin_topic_spec *specs, size_t count, int timeout_ms,
        struct admin_result *results)
{
        if (bus_is_embedded(b))
                return fail_all(results, count, RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE,
                        "not supported by the embedded broker");
        rd_kafka_NewTopic_t **topics = xcalloc(count + 1, sizeof(*topics));
        const char **names = xcalloc(count + 1, sizeof(*names));
        size_t n = 0;
        fail_all(results, count, RD_KAFKA_RESP_ERR__FAIL, "no answer");
        for (size_t i = 0; i < count; i++) {
                names[i] = specs[i].topic;
                rd_kafka_NewTopic_t *nt = new_topic(b, &specs[i], &results[i]);
                if (nt)
                        topics[n++] = nt;
        }
        int err = 0;
        if (n > 0) {
                struct ask a;
                ask_init(&a, b, RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout_ms);
                rd_kafka_CreateTopics(b->query, topics, n, a.options, a.queue);
                rd_kafka_resp_err_t kerr;
                rd_kafka_event_t *ev = ask_wait(&a, &kerr);
                if (kerr) {
                        err = fail_all(
                                results, count, kerr, ev ? rd_kafka_event_error_string(ev) : NULL);
                } else {
                        size_t answers = 0;
                        const rd_kafka_topic_result_t **list = rd_kafka_CreateTopics_result_topics(
                                rd_kafka_event_CreateTopics_result(ev), &answers);
                        read_topic_results(b, list, answers, names, count, results);
                }
                if (ev)
                        rd_kafka_event_destroy(ev);
                ask_done(&a);
        }
        rd_kafka_NewTopic_destroy_array(topics, n);
        free(topics);
        free(names);
        return err;
}

/* ---- delete ---- */

int admin_delete(struct bus *b, const char *const *topics, size_t count, int timeout_ms,
        struct admin_result *results)
{
        if (bus_is_embedded(b))
                return fail_all(results, count, RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE,
                        "not supported by the embedded broker");
        rd_kafka_DeleteTopic_t **list = xcalloc(count + 1, sizeof(*list));
        size_t n = 0;
        fail_all(results, count, RD_KAFKA_RESP_ERR__FAIL, "no answer");
        for (size_t i = 0; i < count; i++) {
                const struct bus_topic *t = bus_topic_get(b, slice_str(topics[i]));
                if (t)
                        list[n++] = rd_kafka_DeleteTopic_new(t->name);
                else
                        result_set(
                                &results[i], RD_KAFKA_RESP_ERR__INVALID_ARG, "not a topic's name");
        }
        int err = 0;
        if (n > 0) {
                struct ask a;
                ask_init(&a, b, RD_KAFKA_ADMIN_OP_DELETETOPICS, timeout_ms);
                rd_kafka_DeleteTopics(b->query, list, n, a.options, a.queue);
                rd_kafka_resp_err_t kerr;
                rd_kafka_event_t *ev = ask_wait(&a, &kerr);
                if (kerr) {
                        err = fail_all(
                                results, count, kerr, ev ? rd_kafka_event_error_string(ev) : NULL);
                } else {
                        size_t answers = 0;
                        const rd_kafka_topic_result_t **res = rd_kafka_DeleteTopics_result_topics(
                                rd_kafka_event_DeleteTopics_result(ev), &answers);
                        read_topic_results(b, res, answers, topics, count, results);
                }
                if (ev)
                        rd_kafka_event_destroy(ev);
                ask_done(&a);
        }
        rd_kafka_DeleteTopic_destroy_array(list, n);
        free(list);
        return err;
}

/* ---- metadata ---- */

static int by_name(const void *a, const void *b)
{
        return strcmp(((const struct admin_topic *)a)->name, ((const struct admin_topic *)b)->name);
}

static void describe(
        struct admin_topic *to, const char *name, const rd_kafka_metadata_topic_t *from)
{
        *to = (struct admin_topic){
                .name = xstrdup(name), .partitions = (uint32_t)from->partition_cnt};
        to->replication = to->in_sync = from->partition_cnt ? UINT32_MAX : 0;
        for (int i = 0; i < from->partition_cnt; i++) {
                const rd_kafka_metadata_partition_t *p = &from->partitions[i];
                if ((uint32_t)p->replica_cnt < to->replication)
                        to->replication = (uint32_t)p->replica_cnt;
                if ((uint32_t)p->isr_cnt < to->in_sync)
                        to->in_sync = (uint32_t)p->isr_cnt;
                if (p->leader < 0)
                        to->leaderless++;
        }
}

int admin_list(struct bus *b, int timeout_ms, struct admin_topic **ret, size_t *ret_count)
{
        const struct rd_kafka_metadata *md = NULL;
        int err = bus_errno(rd_kafka_metadata(b->query, 1, NULL, &md, timeout_ms));
        if (err)
                return err;
        struct admin_topic *topics = xcalloc((size_t)md->topic_cnt + 1, sizeof(*topics));
        size_t n = 0, prefix = strlen(b->settings.topic_prefix);
        for (int i = 0; i < md->topic_cnt; i++) {
                const char *name = md->topics[i].topic;
                if (strncmp(name, b->settings.topic_prefix, prefix) == 0 &&
                        strncmp(name, "__", 2) != 0 && name[prefix])
                        describe(&topics[n++], name + prefix, &md->topics[i]);
        }
        rd_kafka_metadata_destroy(md);
        qsort(topics, n, sizeof(*topics), by_name);
        *ret = topics;
        *ret_count = n;
        return 0;
}

void admin_list_free(struct admin_topic *topics, size_t count)
{
        for (size_t i = 0; i < count; i++)
                free(topics[i].name);
        free(topics);
}

int admin_cluster(struct bus *b, int timeout_ms, struct admin_cluster *ret)
{
        int64_t until = clock_mono_ms() + timeout_ms;
        const struct rd_kafka_metadata *md = NULL;
        int err = bus_errno(rd_kafka_metadata(b->query, 0, NULL, &md, timeout_ms));
        if (err)
                return err;
        ret->brokers = (uint32_t)md->broker_cnt;
        rd_kafka_metadata_destroy(md);
        int64_t left = until - clock_mono_ms();
        char *id = rd_kafka_clusterid(b->query, left > 0 ? (int)left : 0);
        if (!id)
                return -EIO;
        snprintf(ret->id, sizeof(ret->id), "%s", id);
        rd_kafka_mem_free(b->query, id);
        return 0;
}

/* ---- settings in force ---- */

static void read_settings(
        const rd_kafka_ConfigResource_t *resource, struct admin_setting *settings, size_t count)
{
        size_t n = 0;
        const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &n);
        for (size_t i = 0; i < n; i++) {
                const char *name = rd_kafka_ConfigEntry_name(entries[i]),
                           *value = rd_kafka_ConfigEntry_value(entries[i]);
                for (size_t k = 0; k < count; k++) {
                        if (!slice_is(slice_str(name), settings[k].name))
                                continue;
                        settings[k].found = value != NULL;
                        snprintf(settings[k].value, sizeof(settings[k].value), "%s",
                                value ? value : "");
                }
        }
}

int admin_settings(struct bus *b, const char *topic, struct admin_setting *settings, size_t count,
        int timeout_ms)
{
        for (size_t i = 0; i < count; i++) {
                settings[i].found = false;
                settings[i].value[0] = 0;
        }
        if (bus_is_embedded(b))
                return -ENOTSUP;
        const struct bus_topic *t = bus_topic_get(b, slice_str(topic));
        if (!t)
                return -EINVAL;
        rd_kafka_ConfigResource_t *resource =
                rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, t->name);
        struct ask a;
        ask_init(&a, b, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout_ms);
        rd_kafka_DescribeConfigs(b->query, &resource, 1, a.options, a.queue);
        rd_kafka_resp_err_t kerr;
        rd_kafka_event_t *ev = ask_wait(&a, &kerr);
        int err = bus_errno(kerr);
        if (!err) {
                size_t n = 0;
                const rd_kafka_ConfigResource_t **res = rd_kafka_DescribeConfigs_result_resources(
                        rd_kafka_event_DescribeConfigs_result(ev), &n);
                err = n == 1 ? bus_errno(rd_kafka_ConfigResource_error(res[0])) : -EIO;
                if (!err)
                        read_settings(res[0], settings, count);
        }
        if (ev)
                rd_kafka_event_destroy(ev);
        ask_done(&a);
        rd_kafka_ConfigResource_destroy(resource);
        return err;
}

/* ---- groups ---- */

int admin_group_delete(struct bus *b, const char *group, int timeout_ms)
{
        if (bus_is_embedded(b))
                return -ENOTSUP;
        rd_kafka_DeleteGroup_t *one = rd_kafka_DeleteGroup_new(group);
        struct ask a;
        ask_init(&a, b, RD_KAFKA_ADMIN_OP_DELETEGROUPS, timeout_ms);
        rd_kafka_DeleteGroups(b->query, &one, 1, a.options, a.queue);
        rd_kafka_resp_err_t kerr;
        rd_kafka_event_t *ev = ask_wait(&a, &kerr);
        int err = bus_errno(kerr);
        if (!err) {
                size_t n = 0;
                const rd_kafka_group_result_t **res = rd_kafka_DeleteGroups_result_groups(
                        rd_kafka_event_DeleteGroups_result(ev), &n);
                const rd_kafka_error_t *e = n == 1 ? rd_kafka_group_result_error(res[0]) : NULL;
                err = e ? bus_errno(rd_kafka_error_code(e)) : 0;
        }
        if (ev)
                rd_kafka_event_destroy(ev);
        ask_done(&a);
        rd_kafka_DeleteGroup_destroy(one);
        return err;
}
