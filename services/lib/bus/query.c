#include "bus/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

#define MOCK_CLUSTER_PREFIX "mockCluster"

bool bus_is_embedded(struct bus *b)
{
        int known = atomic_load_explicit(&b->embedded, memory_order_relaxed);
        if (known)
                return known == 2;
        char *id = rd_kafka_clusterid(b->query, 0);
        if (!id)
                return false;
        bool mock = strncmp(id, MOCK_CLUSTER_PREFIX, strlen(MOCK_CLUSTER_PREFIX)) == 0;
        atomic_store_explicit(&b->embedded, mock ? 2 : 1, memory_order_relaxed);
        rd_kafka_mem_free(b->query, id);
        return mock;
}

static void warm(rd_kafka_t *rk, const char *full)
{
        /* What it learns stays when this reference goes. */
        rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, full, NULL);
        if (rkt)
                rd_kafka_topic_destroy(rkt);
}

void bus_warm(struct bus *b, const char *topic)
{
        const struct bus_topic *t = bus_topic_get(b, slice_str(topic));
        if (!t)
                return;
        pthread_rwlock_rdlock(&b->durable.lock);
        warm(b->durable.rk, t->name);
        pthread_rwlock_unlock(&b->durable.lock);
        warm(b->volatile_.rk, t->name);
}

int bus_partitions(struct bus *b, const char *topic, int timeout_ms, uint32_t *ret)
{
        const struct bus_topic *t = bus_topic_get(b, slice_str(topic));
        if (!t)
                return -EINVAL;
        rd_kafka_topic_t *rkt = rd_kafka_topic_new(b->query, t->name, NULL);
        if (!rkt)
                return -EIO;
        const struct rd_kafka_metadata *md = NULL;
        int err = bus_errno(rd_kafka_metadata(b->query, 0, rkt, &md, timeout_ms));
        if (!err) {
                err = -ENOENT;
                if (md->topic_cnt == 1) {
                        err = bus_errno(md->topics[0].err);
                        if (!err && md->topics[0].partition_cnt <= 0)
                                err = -ENOENT;
                        if (!err)
                                *ret = (uint32_t)md->topics[0].partition_cnt;
                }
                rd_kafka_metadata_destroy(md);
        }
        rd_kafka_topic_destroy(rkt);
        if (!err)
                bus_warm(b, topic);
        return err;
}

/*
 * rd_kafka_query_watermark_offsets() waits past its timeout while a broker is away; offsets_for_times() does not, and
 * the times -1 and -2 mean end and beginning to every broker. All partitions of one call share a request.
 */
static int list_offsets_once(struct bus *b, const struct bus_topic *t, int32_t first,
        uint32_t count, int64_t time, int timeout_ms, int64_t *ret)
{
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
        for (uint32_t i = 0; i < count; i++)
                rd_kafka_topic_partition_list_add(list, t->name, first + (int32_t)i)->offset = time;
        int err = bus_errno(rd_kafka_offsets_for_times(b->query, list, timeout_ms));
        for (int i = 0; !err && i < list->cnt; i++)
                err = bus_errno(list->elems[i].err);
        for (int i = 0; !err && i < list->cnt; i++)
                ret[list->elems[i].partition - first] = list->elems[i].offset;
        rd_kafka_topic_partition_list_destroy(list);
        return err;
}

static int left_ms(int64_t until_ms)
{
        int64_t left = until_ms - clock_mono_ms();
        return left > 1 ? (int)left : 1;
}

/* A partition whose leader was just elected, or is being elected, answers in a moment. */
static int list_offsets(struct bus *b, const struct bus_topic *t, int32_t first, uint32_t count,
        int64_t time, int timeout_ms, int64_t *ret)
{
        int64_t until = clock_mono_ms() + timeout_ms;
        const struct timespec nap = {0, 50000000};
        for (;;) {
                int err = list_offsets_once(b, t, first, count, time, left_ms(until), ret);
                if (err != -EIO || clock_mono_ms() + 50 >= until)
                        return err;
                nanosleep(&nap, NULL);
        }
}

int bus_watermarks(struct bus *b, const char *topic, int32_t partition, int timeout_ms,
        int64_t *ret_low, int64_t *ret_high)
{
        const struct bus_topic *t = bus_topic_get(b, slice_str(topic));
        if (!t || partition < 0)
                return -EINVAL;
        int64_t until = clock_mono_ms() + timeout_ms, low = 0, high = 0;
        int err = 0;
        if (ret_low)
                err = list_offsets(b, t, partition, 1, RD_KAFKA_OFFSET_BEGINNING, timeout_ms, &low);
        if (!err && ret_high)
                err = list_offsets(b, t, partition, 1, RD_KAFKA_OFFSET_END, left_ms(until), &high);
        if (err)
                return err;
        if (ret_low)
                *ret_low = low;
        if (ret_high)
                *ret_high = high;
        return 0;
}

int bus_highs(struct bus *b, const char *topic, uint32_t count, int timeout_ms, int64_t *ret_highs)
{
        const struct bus_topic *t = bus_topic_get(b, slice_str(topic));
        return t && count ? list_offsets(b, t, 0, count, RD_KAFKA_OFFSET_END, timeout_ms, ret_highs)
                          : -EINVAL;
}

int bus_offset_for_time(struct bus *b, const char *topic, int32_t partition, int64_t time_ms,
        int timeout_ms, int64_t *ret)
{
        const struct bus_topic *t = bus_topic_get(b, slice_str(topic));
        if (!t || partition < 0)
                return -EINVAL;
        int64_t until = clock_mono_ms() + timeout_ms, low = 0, high = 0, offset = -1;
        int err = bus_watermarks(b, topic, partition, timeout_ms, &low, &high);
        if (err)
                return err;
        if (bus_is_embedded(b)) {
                *ret = low;
                return 0;
        }
        err = list_offsets(b, t, partition, 1, time_ms < 0 ? 0 : time_ms, left_ms(until), &offset);
        if (err)
                return err;
        *ret = offset >= 0 ? offset : high; /* nothing as young: the end as of the question */
        return 0;
}
