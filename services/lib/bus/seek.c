#include "bus/seek.h"
#include "bus/consumer.h"

#include <errno.h>
#include <stdlib.h>

struct seek {
        struct consumer *consumer; /* owned */
        char *topic;               /* owned; NULL when idle */
        int32_t partition;
        int64_t to;
        bool complete;
        int64_t end;                /* of the partition, once met; -1 */
        struct bus_record *records; /* owned array of cap */
        size_t cap;
};

int seek_new(struct bus *b, struct seek **ret, char fault[256])
{
        struct seek *sk = xcalloc(1, sizeof(*sk));
        const struct consumer_options by_hand = {0};
        int err = consumer_new(b, &by_hand, &sk->consumer, fault);
        if (err) {
                free(sk);
                return err;
        }
        *ret = sk;
        return 0;
}

struct seek *seek_free(struct seek *sk)
{
        if (!sk)
                return NULL;
        consumer_free(sk->consumer);
        free(sk->topic);
        free(sk->records);
        free(sk);
        return NULL;
}

void seek_stop(struct seek *sk)
{
        if (!sk->topic)
                return;
        consumer_unassign(
                sk->consumer, &(struct consumer_partition){sk->topic, sk->partition, 0}, 1);
        free(sk->topic);
        sk->topic = NULL;
}

int seek_start(struct seek *sk, const char *topic, int32_t partition, int64_t from, int64_t to)
{
        if (from < 0 || partition < 0)
                return -EINVAL;
        seek_stop(sk);
        sk->complete = from >= to;
        sk->end = -1;
        if (!sk->complete) {
                int err = consumer_assign(
                        sk->consumer, &(struct consumer_partition){topic, partition, from}, 1);
                if (err)
                        return err;
        }
        sk->topic = xstrdup(topic);
        sk->partition = partition;
        sk->to = to;
        return 0;
}

static bool is_ours(const struct seek *sk, const struct bus_record *r)
{
        return r->partition == sk->partition && slice_is(r->topic, sk->topic);
}

int seek_poll(struct seek *sk, int timeout_ms, size_t max, const struct bus_record **ret,
        size_t *ret_count)
{
        *ret_count = 0;
        *ret = NULL;
        if (!sk->topic)
                return -EINVAL;
        if (sk->complete)
                return 1;
        if (max > sk->cap) {
                sk->records = xrealloc(sk->records, max * sizeof(*sk->records));
                sk->cap = max;
        }
        const struct consumer_event *events;
        size_t n = consumer_poll(sk->consumer, timeout_ms, max, &events), count = 0;
        for (size_t i = 0; i < n && !sk->complete; i++) {
                const struct bus_record *r = &events[i].record;
                if (events[i].kind == CONSUMER_ERROR)
                        continue; /* brokers come and go; the caller's deadline decides */
                if (events[i].kind == CONSUMER_DEAD)
                        return -EIO;
                if (!is_ours(sk, r))
                        continue;
                if (events[i].kind == CONSUMER_RANGE)
                        return -ERANGE;
                if (events[i].kind == CONSUMER_RECORD && r->offset < sk->to)
                        sk->records[count++] = *r;
                if (events[i].kind == CONSUMER_EOF)
                        sk->end = r->offset;
                sk->complete = events[i].kind == CONSUMER_EOF || r->offset >= sk->to - 1;
        }
        *ret = sk->records;
        *ret_count = count;
        return sk->complete ? 1 : 0;
}

int64_t seek_end(const struct seek *sk)
{
        return sk->end;
}

void seek_wake(struct seek *sk)
{
        consumer_wake(sk->consumer);
}
