#include "bus/mock.h"
#include "bus/internal.h"

#include <librdkafka/rdkafka_mock.h>

#include <errno.h>
#include <stdlib.h>

struct mock {
        rd_kafka_t *rk; /* owned: the handle that the cluster hangs on */
        rd_kafka_mock_cluster_t *cluster;
};

/* The cluster's thread throws away a wake-up that comes while it is still busy with the order before, and sleeps up to a
 * second on it: so it gets a moment to go to sleep. */
static void let_it_sleep(void)
{
        const struct timespec nap = {0, 1000000};
        nanosleep(&nap, NULL);
}

static void no_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
        UNUSED(rk);
        UNUSED(level);
        UNUSED(facility);
        UNUSED(text);
}

int mock_new(unsigned brokers, struct mock **ret, char fault[256])
{
        struct mock *m = xcalloc(1, sizeof(*m));
        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        rd_kafka_conf_set_log_cb(conf, no_log);
        char why[200] = "";
        m->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
        if (!m->rk) {
                rd_kafka_conf_destroy(conf);
                snprintf(fault, 256, "the embedded broker cannot be made: %s", why);
                free(m);
                return -EIO;
        }
        m->cluster = rd_kafka_mock_cluster_new(m->rk, (int)brokers);
        if (!m->cluster) {
                snprintf(fault, 256, "the embedded broker cannot listen on a loopback port");
                mock_free(m);
                return -EIO;
        }
        *ret = m;
        return 0;
}

struct mock *mock_free(struct mock *m)
{
        if (!m)
                return NULL;
        let_it_sleep();
        if (m->cluster)
                rd_kafka_mock_cluster_destroy(m->cluster);
        rd_kafka_destroy(m->rk);
        free(m);
        return NULL;
}

const char *mock_bootstrap(const struct mock *m)
{
        return rd_kafka_mock_cluster_bootstraps(m->cluster);
}

int mock_topic(struct mock *m, const char *topic, uint32_t partitions)
{
        let_it_sleep();
        rd_kafka_resp_err_t err = rd_kafka_mock_topic_create(m->cluster, topic, (int)partitions, 1);
        return err ? bus_errno(err) : 0;
}

static rd_kafka_resp_err_t error_of(enum mock_error error)
{
        switch (error) {
        case MOCK_DISCONNECT:
                return RD_KAFKA_RESP_ERR__TRANSPORT;
        case MOCK_TIMED_OUT:
                return RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT;
        case MOCK_OUT_OF_ORDER:
                return RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        case MOCK_NOT_LEADER:
                return RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
        case MOCK_NOT_ENOUGH_REPLICAS:
                return RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;
        }
        return RD_KAFKA_RESP_ERR_UNKNOWN;
}

void mock_fail(struct mock *m, enum mock_request kind, enum mock_error error, unsigned count)
{
        rd_kafka_resp_err_t err = error_of(error);
        for (unsigned i = 0; i < count; i++)
                rd_kafka_mock_push_request_errors_array(m->cluster, (int16_t)kind, 1, &err);
}

void mock_down(struct mock *m, bool down)
{
        let_it_sleep();
        if (down)
                rd_kafka_mock_broker_set_down(m->cluster, -1);
        else
                rd_kafka_mock_broker_set_up(m->cluster, -1);
}

void mock_delay(struct mock *m, int ms)
{
        let_it_sleep();
        rd_kafka_mock_broker_set_rtt(m->cluster, -1, ms);
}

void mock_break_producer(struct bus *b)
{
        pthread_rwlock_rdlock(&b->durable.lock);
        rd_kafka_test_fatal_error(
                b->durable.rk, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "broken by a test");
        pthread_rwlock_unlock(&b->durable.lock);
}
