#include "bus/internal.h"

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
        return err;
}

int bus_watermarks(struct bus *b, const char *topic, int32_t partition, int timeout_ms, int64_t *ret_low, int64_t *ret_high)
{
        const struct bus_topic *t = bus_topic_get(b, slice_str(topic));
        if (!t)
                return -EINVAL;
        int64_t low = 0, high = 0;
        int err = bus_errno(rd_kafka_query_watermark_offsets(b->query, t->name, partition, &low, &high, timeout_ms));
        if (err)
                return err;
        *ret_low = low;
        *ret_high = high;
        return 0;
}

int bus_offset_for_time(struct bus *b, const char *topic, int32_t partition, int64_t time_ms, int timeout_ms, int64_t *ret)
{
        const struct bus_topic *t = bus_topic_get(b, slice_str(topic));
        if (!t)
                return -EINVAL;
        int64_t low = 0, high = 0, offset = -1;
        int err = bus_watermarks(b, topic, partition, timeout_ms, &low, &high);
        if (err)
                return err;
        if (bus_is_embedded(b)) {
                *ret = low;
                return 0;
        }
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_t *p = rd_kafka_topic_partition_list_add(list, t->name, partition);
        p->offset = time_ms < 0 ? 0 : time_ms;
        err = bus_errno(rd_kafka_offsets_for_times(b->query, list, timeout_ms));
        if (!err)
                err = bus_errno(list->elems[0].err);
        if (!err)
                offset = list->elems[0].offset;
        rd_kafka_topic_partition_list_destroy(list);
        if (err)
                return err;
        *ret = offset >= 0 ? offset : high; /* nothing as young: the end as of the question */
        return 0;
}
