#include "bus/internal.h"

#include <errno.h>
#include <stdlib.h>

/* What the promises of this library rest on. A user who sets one of these is told so. */
static const char *const forced[] = {
        "acks",
        "request.required.acks",
        "enable.idempotence",
        "partitioner",
        "isolation.level",
        "auto.offset.reset",
        "enable.auto.commit",
        "auto.commit.enable",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "group.id",
        "group.instance.id",
        "transactional.id",
        "client.id",
        "delivery.timeout.ms",
        "message.timeout.ms",
        "partition.assignment.strategy",
        "allow.auto.create.topics",
        "log.queue",
        "statistics.interval.ms",
        "delivery.report.only.error",
};

static bool is_forced(const char *name)
{
        for (size_t i = 0; i < ARRAY_LEN(forced); i++)
                if (slice_is(slice_str(name), forced[i]))
                        return true;
        return false;
}

/* librdkafka only logs when a producer is given a consumer's property. Its own manual, which it prints on request,
 * says which is whose: "name   |  C  | …". */
static char scope_of(const char *manual, const char *name)
{
        size_t n = strlen(name);
        for (const char *line = manual; line;
                line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
                if (strncmp(line, name, n) != 0 || line[n] != ' ')
                        continue;
                const char *bar = strchr(line, '|');
                while (bar && (*++bar == ' '))
                        ;
                if (bar && (*bar == 'C' || *bar == 'P'))
                        return *bar;
                return '*';
        }
        return '*';
}

static char *print_manual(void)
{
        char *text = NULL;
        size_t n = 0;
        FILE *f = open_memstream(&text, &n);
        if (!f)
                return NULL;
        rd_kafka_conf_properties_show(f);
        fclose(f);
        return text;
}

/* How the user wrote it: TERN_KAFKA_A_B for a.b. */
static void env_name(const char *name, char ret[128])
{
        size_t n = (size_t)snprintf(ret, 128, "TERN_KAFKA_%s", name);
        for (size_t i = 0; i < n && i < 127; i++)
                ret[i] = ret[i] == '.'                    ? '_'
                         : ret[i] >= 'a' && ret[i] <= 'z' ? (char)(ret[i] - 'a' + 'A')
                                                          : ret[i];
}

int bus_conf_props(
        struct bus *b, const struct config_passthrough *props, size_t count, char fault[256])
{
        char *manual = print_manual();
        rd_kafka_conf_t *probe = rd_kafka_conf_new();
        bool brokers = false;
        int err = 0;
        b->props = xcalloc(count + 1, sizeof(*b->props));
        for (size_t i = 0; i < count && !err; i++) {
                const char *name = props[i].name, *value = props[i].value;
                char why[100] = "", env[128];
                env_name(name, env);
                if (is_forced(name)) {
                        snprintf(fault, 256, "%s may not be set: Tern depends on its own value",
                                env);
                        err = -EINVAL;
                } else if (rd_kafka_conf_set(probe, name, value, why, sizeof(why)) !=
                           RD_KAFKA_CONF_OK) {
                        snprintf(fault, 256, "%s: %s", env, why);
                        err = -EINVAL;
                } else {
                        b->props[b->prop_count++] = (struct bus_property){xstrdup(name),
                                xstrdup(value), manual ? scope_of(manual, name) : '*'};
                        brokers = brokers ||
                                  ((slice_is(slice_str(name), "bootstrap.servers") ||
                                           slice_is(slice_str(name), "metadata.broker.list")) &&
                                          *value);
                }
        }
        if (!err && !brokers) {
                snprintf(fault, 256, "TERN_KAFKA_BOOTSTRAP_SERVERS is not set");
                err = -EINVAL;
        }
        rd_kafka_conf_destroy(probe);
        free(manual);
        return err;
}

/* ---- one handle ---- */

struct setter {
        rd_kafka_conf_t *conf;
        char *fault;
        bool failed;
};

static void set(struct setter *s, const char *name, const char *value)
{
        char why[200] = "";
        if (s->failed ||
                rd_kafka_conf_set(s->conf, name, value, why, sizeof(why)) == RD_KAFKA_CONF_OK)
                return;
        snprintf(s->fault, 256, "%s: %s", name, why);
        s->failed = true;
}

static void set_u32(struct setter *s, const char *name, uint32_t value)
{
        char text[16];
        snprintf(text, sizeof(text), "%u", value);
        set(s, name, text);
}

/* A property of newer versions only: without it the older default holds. */
static void set_if_known(struct setter *s, const char *name, const char *value)
{
        char why[200];
        rd_kafka_conf_set(s->conf, name, value, why, sizeof(why));
}

static void defaults(struct setter *s)
{
        set(s, "log.connection.close", "false");
        set(s, "socket.nagle.disable", "true"); /* 2.0's default waits for acks of small requests */
        set(s, "socket.keepalive.enable", "true");
        set(s, "reconnect.backoff.ms", "50");
        set(s, "reconnect.backoff.max.ms",
                "1000"); /* a broker that is back is found within a second */
        set(s, "socket.connection.setup.timeout.ms", "5000");
        set(s, "topic.metadata.refresh.interval.ms", "60000");
}

static void producer_defaults(struct setter *s, const struct bus_settings *st, bool durable)
{
        char linger[32];
        snprintf(linger, sizeof(linger), "%.3f", st->linger_us / 1000.0);
        set(s, "linger.ms", linger);
        set_u32(s, "queue.buffering.max.messages",
                durable ? st->producer_records_max : st->volatile_records_max);
        set_u32(s, "queue.buffering.max.kbytes",
                durable ? st->producer_kbytes_max : st->volatile_kbytes_max);
        set(s, "retry.backoff.ms", "50");
        set(s, "topic.metadata.propagation.max.ms", "5000");
}

/*
 * Nobody waits for the writer, and each fetch costs the broker a look at every partition of it. So a
 * member of a group asks for a batch's worth, or for what has come within a moment.
 */
#define MEMBER_FETCH_BYTES_MIN 131072
#define MEMBER_FETCH_WAIT_MS 25

static void member_defaults(struct setter *s, bool embedded)
{
        if (embedded)
                return; /* it answers when its wait is over, whatever has come */
        set_u32(s, "fetch.min.bytes", MEMBER_FETCH_BYTES_MIN);
        set_u32(s, "fetch.wait.max.ms", MEMBER_FETCH_WAIT_MS);
}

static void consumer_defaults(struct setter *s, const struct bus *b, bool embedded)
{
        const struct bus_settings *st = &b->settings;
        /* The mock broker answers an empty fetch only when its wait is over, even if a record has come. */
        set_u32(s, "fetch.wait.max.ms", embedded && st->fetch_wait_ms > 5 ? 5 : st->fetch_wait_ms);
        set_u32(s, "queued.max.messages.kbytes", st->consumer_kbytes_max);
        set_u32(s, "fetch.max.bytes", st->fetch_bytes_max);
        set(s, "fetch.error.backoff.ms", "100");
        set_if_known(s, "fetch.queue.backoff.ms", "10");
        set(s, "check.crcs", "true");
}

static void role_forced(struct setter *s, const struct bus *b, enum bus_role role)
{
        set(s, "client.id", b->client_id);
        set(s, "allow.auto.create.topics", "false");
        switch (role) {
        case BUS_ROLE_DURABLE:
                set(s, "enable.idempotence", "true");
                set(s, "acks", "all");
                set(s, "partitioner", "murmur2_random");
                set_u32(s, "message.timeout.ms", b->settings.delivery_timeout_ms);
                break;
        case BUS_ROLE_VOLATILE:
                set(s, "acks", "1");
                set(s, "message.send.max.retries", "0");
                set(s, "partitioner", "murmur2_random");
                set(s, "message.timeout.ms", "2000");
                break;
        case BUS_ROLE_CONSUMER:
        case BUS_ROLE_MEMBER:
        case BUS_ROLE_QUERY:
                set(s, "isolation.level", "read_committed");
                set(s, "auto.offset.reset", "error");
                set(s, "enable.auto.commit", "false");
                set(s, "enable.auto.offset.store", "false");
                if (role != BUS_ROLE_QUERY)
                        set(s, "enable.partition.eof", "true");
                else
                        set(s, "statistics.interval.ms", "1000"); /* what bus_up() is read from */
                break;
        }
}

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
        const struct bus_opaque *o = rd_kafka_opaque(rk);
        /* A setting that is ours and does nothing for this kind of handle; what the mock broker cannot do. */
        if (!o || slice_is(slice_str(facility), "CONFWARN") ||
                slice_is(slice_str(facility), "AUTOCREATE"))
                return;
        bus_log(o->bus, level, facility, text);
}

rd_kafka_t *bus_handle_new(struct bus *b, enum bus_role role, const struct bus_conf_extra *extra,
        size_t extra_count, void (*on_conf)(rd_kafka_conf_t *conf), void *opaque_owner,
        char fault[256])
{
        bool producer = role == BUS_ROLE_DURABLE || role == BUS_ROLE_VOLATILE;
        struct setter s = {.conf = rd_kafka_conf_new(), .fault = fault};
        struct bus_opaque *opaque = xcalloc(1, sizeof(*opaque));
        *opaque = (struct bus_opaque){b, opaque_owner};
        defaults(&s);
        if (producer)
                producer_defaults(&s, &b->settings, role == BUS_ROLE_DURABLE);
        else if (role != BUS_ROLE_QUERY)
                consumer_defaults(&s, b, bus_is_embedded(b));
        if (role == BUS_ROLE_MEMBER)
                member_defaults(&s, bus_is_embedded(b));
        for (size_t i = 0; i < b->prop_count; i++)
                if (b->props[i].scope == '*' || (b->props[i].scope == 'P') == producer)
                        set(&s, b->props[i].name, b->props[i].value);
        role_forced(&s, b, role);
        for (size_t i = 0; i < extra_count; i++)
                set(&s, extra[i].name, extra[i].value);
        rd_kafka_conf_set_log_cb(s.conf, on_log);
        rd_kafka_conf_set_opaque(s.conf, opaque);
        if (on_conf)
                on_conf(s.conf);
        rd_kafka_t *rk = NULL;
        if (!s.failed) {
                char why[200] = "";
                rk = rd_kafka_new(
                        producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, s.conf, why, sizeof(why));
                if (!rk)
                        snprintf(fault, 256, "%s", why);
        }
        if (!rk) {
                rd_kafka_conf_destroy(s.conf); /* rd_kafka_new() takes it on success only */
                free(opaque);
        }
        return rk;
}

void bus_handle_free(rd_kafka_t *rk, int flags)
{
        if (!rk)
                return;
        struct bus_opaque *opaque = rd_kafka_opaque(rk);
        rd_kafka_destroy_flags(rk, flags);
        free(opaque);
}
