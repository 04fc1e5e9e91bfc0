/*
 * kafka_floor - the bare produce-to-consume time of Kafka: what any gateway in front of it has to add to.
 *
 * Produces records of 300 B to a topic at a rate, keyed over many keys so that all partitions are used, consumes
 * the same topic from its end, and prints the percentiles of the time between. Same client settings as the gateways'.
 *
 *   kafka_floor BOOTSTRAP TOPIC PARTITIONS RATE SECS
 */
#include <librdkafka/rdkafka.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BUCKETS 1000000 /* of 10 us */
static uint32_t buckets[BUCKETS];

static int64_t now_ns(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void set(rd_kafka_conf_t *c, const char *name, const char *value)
{
        char why[256];
        if (rd_kafka_conf_set(c, name, value, why, sizeof(why)) != RD_KAFKA_CONF_OK) {
                fprintf(stderr, "kafka_floor: %s\n", why);
                exit(1);
        }
}

static double percentile(double p, uint64_t total)
{
        uint64_t seen = 0;
        for (size_t i = 0; i < BUCKETS; i++) {
                seen += buckets[i];
                if ((double)seen >= p * (double)total)
                        return (double)i / 100.0;
        }
        return 0;
}

int main(int argc, char **argv)
{
        if (argc < 6) {
                fprintf(stderr, "usage: kafka_floor BOOTSTRAP TOPIC PARTITIONS RATE SECS\n");
                return 2;
        }
        const char *topic = argv[2];
        int partitions = atoi(argv[3]);
        double rate = atof(argv[4]), secs = atof(argv[5]);
        char why[256];

        rd_kafka_conf_t *pc = rd_kafka_conf_new();
        set(pc, "bootstrap.servers", argv[1]);
        set(pc, "enable.idempotence", "true");
        set(pc, "linger.ms", "0.5");
        set(pc, "partitioner", "murmur2_random");
        rd_kafka_t *p = rd_kafka_new(RD_KAFKA_PRODUCER, pc, why, sizeof(why));
        rd_kafka_conf_t *cc = rd_kafka_conf_new();
        set(cc, "bootstrap.servers", argv[1]);
        set(cc, "group.id", "floor");
        set(cc, "enable.auto.commit", "false");
        set(cc, "fetch.wait.max.ms", "100");
        rd_kafka_t *c = rd_kafka_new(RD_KAFKA_CONSUMER, cc, why, sizeof(why));
        rd_kafka_poll_set_consumer(c);
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
        for (int i = 0; i < partitions; i++)
                rd_kafka_topic_partition_list_add(list, topic, i)->offset = RD_KAFKA_OFFSET_END;
        rd_kafka_incremental_assign(c, list);
        rd_kafka_queue_t *q = rd_kafka_queue_get_consumer(c);
        int64_t warm = now_ns() + 3000000000LL;
        rd_kafka_message_t *ms[1000];
        while (now_ns() < warm)
                rd_kafka_consume_batch_queue(q, 100, ms, 1000);

        int64_t start = now_ns(), end = start + (int64_t)(secs * 1e9), skip = start + 1000000000;
        uint64_t sent = 0, got = 0;
        char value[300];
        memset(value, 'x', sizeof(value));
        while (now_ns() < end + 500000000) {
                int64_t now = now_ns();
                uint64_t due = now < end ? (uint64_t)((double)(now - start) / 1e9 * rate) : sent;
                for (; sent < due; sent++) {
                        char key[32];
                        int k = snprintf(key, sizeof(key), "bench-%llu", (unsigned long long)(sent * 7919 % 1000));
                        int64_t at = now_ns();
                        memcpy(value, &at, sizeof(at));
                        rd_kafka_producev(p, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(key, (size_t)k), RD_KAFKA_V_VALUE(value, sizeof(value)), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
                }
                rd_kafka_poll(p, 0);
                ssize_t n = rd_kafka_consume_batch_queue(q, 1, ms, 1000);
                now = now_ns();
                for (ssize_t i = 0; i < n; i++) {
                        int64_t at;
                        if (!ms[i]->err && ms[i]->len == sizeof(value)) {
                                memcpy(&at, ms[i]->payload, sizeof(at));
                                int64_t b = (now - at) / 10000;
                                if (at > skip) {
                                        buckets[b < 0 ? 0 : b >= BUCKETS ? BUCKETS - 1 : b]++;
                                        got++;
                                }
                        }
                        rd_kafka_message_destroy(ms[i]);
                }
        }
        printf("{\"sent\":%llu,\"measured\":%llu,\"latency_ms\":{\"p50\":%.2f,\"p99\":%.2f}}\n", (unsigned long long)sent, (unsigned long long)got, percentile(.5, got), percentile(.99, got));
        return 0;
}
