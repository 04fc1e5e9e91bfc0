#include "bus/internal.h"

#include <errno.h>
#include <stdlib.h>

const struct config_row bus_settings_rows[] = {
#define CONFIG(type, field, ...) CONFIG_ROW(struct bus_settings, type, field, __VA_ARGS__)
#include "bus/settings.def"
};
const size_t bus_settings_count = ARRAY_LEN(bus_settings_rows);

struct slice bus_record_header(const struct bus_record *r, const char *name)
{
        for (size_t i = r->header_count; i-- > 0;)
                if (slice_is(r->headers[i].name, name))
                        return r->headers[i].value;
        return SLICE_NONE;
}

int bus_errno(rd_kafka_resp_err_t err)
{
        /* Not a switch: librdkafka's enum grows with each version. */
        if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
                return 0;
        if (err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
                err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
                err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
                return -ENOENT;
        if (err == RD_KAFKA_RESP_ERR__TIMED_OUT || err == RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE ||
                err == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT)
                return -ETIMEDOUT;
        if (err == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE ||
                err == RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION ||
                err == RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED)
                return -ENOTSUP;
        if (err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
                err == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED ||
                err == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
                err == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED)
                return -EACCES;
        if (err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
                return -EEXIST;
        if (err == RD_KAFKA_RESP_ERR__INVALID_ARG || err == RD_KAFKA_RESP_ERR_INVALID_CONFIG ||
                err == RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR ||
                err == RD_KAFKA_RESP_ERR_INVALID_PARTITIONS ||
                err == RD_KAFKA_RESP_ERR_POLICY_VIOLATION ||
                err == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION)
                return -EINVAL;
        return -EIO;
}

/* ---- topics by name ---- */

bool bus_topic_name(const struct bus *b, struct slice topic, char *dst, size_t cap)
{
        size_t prefix = strlen(b->settings.topic_prefix);
        if (topic.n == 0 || prefix + topic.n >= cap || (topic.n && memchr(topic.p, 0, topic.n)))
                return false;
        memcpy(dst, b->settings.topic_prefix, prefix);
        memcpy(dst + prefix, topic.p, topic.n);
        dst[prefix + topic.n] = 0;
        return true;
}

static int label_of(struct slice bare)
{
        char name[BUS_TOPIC_NAME_MAX];
        if (!slice_copy(bare, name, sizeof(name)))
                return -1;
        if (bare.n > 4 && slice_is(slice_from(bare, bare.n - 4), ".dlq"))
                return metrics_label(M_records_out, "dlq");
        return metrics_label(M_records_out, name);
}

static const struct bus_topic *topic_find(struct bus *b, struct slice bare)
{
        unsigned n = atomic_load_explicit(&b->topic_count, memory_order_acquire);
        for (unsigned i = 0; i < n; i++)
                if (slice_eq(b->topics[i].bare, bare))
                        return &b->topics[i];
        return NULL;
}

const struct bus_topic *bus_topic_get(struct bus *b, struct slice bare)
{
        const struct bus_topic *found = topic_find(b, bare);
        if (found)
                return found;
        pthread_mutex_lock(&b->topics_lock);
        found = topic_find(b, bare);
        unsigned n = atomic_load_explicit(&b->topic_count, memory_order_relaxed);
        if (!found && n < BUS_TOPICS_MAX) {
                struct bus_topic *t = &b->topics[n];
                if (bus_topic_name(b, bare, t->name, sizeof(t->name))) {
                        t->bare = slice_of(t->name + strlen(b->settings.topic_prefix), bare.n);
                        t->label = label_of(bare);
                        atomic_store_explicit(&b->topic_count, n + 1, memory_order_release);
                        found = t;
                }
        }
        pthread_mutex_unlock(&b->topics_lock);
        return found;
}

const struct bus_topic *bus_topic_of_full(struct bus *b, const char *full)
{
        size_t prefix = strlen(b->settings.topic_prefix);
        if (strncmp(full, b->settings.topic_prefix, prefix) != 0)
                return NULL;
        return bus_topic_get(b, slice_str(full + prefix));
}

/* ---- log ---- */

void bus_set_log(struct bus *b,
        void (*fn)(void *arg, int level, const char *facility, const char *text), void *arg)
{
        pthread_mutex_lock(&b->log_lock);
        b->log_fn = fn;
        b->log_arg = arg;
        pthread_mutex_unlock(&b->log_lock);
}

void bus_log(struct bus *b, int level, const char *facility, const char *text)
{
        pthread_mutex_lock(&b->log_lock);
        if (b->log_fn)
                b->log_fn(b->log_arg, level, facility, text);
        pthread_mutex_unlock(&b->log_lock);
}

/* ---- life ---- */

static void bus_release(struct bus *b)
{
        if (b->query_queue)
                rd_kafka_queue_destroy(b->query_queue);
        bus_handle_free(b->query, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        for (size_t i = 0; i < b->prop_count; i++) {
                free(b->props[i].name);
                free(b->props[i].value);
        }
        free(b->props);
        pthread_rwlock_destroy(&b->durable.lock);
        pthread_rwlock_destroy(&b->volatile_.lock);
        pthread_mutex_destroy(&b->topics_lock);
        pthread_mutex_destroy(&b->log_lock);
        free(b->settings.topic_prefix);
        free(b);
}

static void query_conf(rd_kafka_conf_t *conf)
{
        rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_STATS | RD_KAFKA_EVENT_ERROR);
}

int bus_new(const struct bus_settings *s, const struct config_passthrough *props, size_t prop_count,
        const char *client_id, struct metrics *metrics, struct bus **ret, char fault[256])
{
        struct bus *b = xcalloc(1, sizeof(*b));
        b->settings = *s;
        b->settings.topic_prefix = xstrdup(s->topic_prefix ? s->topic_prefix : "");
        b->metrics = metrics;
        metrics_memory_limit(metrics, MEMORY_PRODUCER, (int64_t)s->producer_kbytes_max * 1024);
        metrics_memory_limit(
                metrics, MEMORY_VOLATILE_PRODUCER, (int64_t)s->volatile_kbytes_max * 1024);
        metrics_entries_limit(metrics, ENTRIES_PRODUCER, s->producer_records_max);
        metrics_entries_limit(metrics, ENTRIES_VOLATILE_PRODUCER, s->volatile_records_max);
        snprintf(b->client_id, sizeof(b->client_id), "%s", client_id);
        pthread_rwlock_init(&b->durable.lock, NULL);
        pthread_rwlock_init(&b->volatile_.lock, NULL);
        pthread_mutex_init(&b->topics_lock, NULL);
        pthread_mutex_init(&b->log_lock, NULL);
        int err = bus_conf_props(b, props, prop_count, fault);
        if (!err) {
                b->query = bus_handle_new(b, BUS_ROLE_QUERY, NULL, 0, query_conf, NULL, fault);
                err = b->query ? 0 : -EINVAL;
        }
        if (!err) {
                b->query_queue = rd_kafka_queue_get_main(b->query);
                err = producers_start(b, fault);
        }
        if (err) {
                bus_release(b);
                return err;
        }
        *ret = b;
        return 0;
}

struct bus *bus_free(struct bus *b, int flush_ms)
{
        if (!b)
                return NULL;
        producers_stop(b, flush_ms);
        bus_release(b);
        return NULL;
}

bool bus_up(const struct bus *b)
{
        return atomic_load_explicit(&b->up, memory_order_relaxed);
}
