#include "bus/consumer.h"
#include "bus/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

#define ASK_AGAIN_MS 500
#define SESSION_TIMEOUT_MS 6000 /* the least that brokers accept by default */
#define SEEK_TIMEOUT_MS 2000

struct consumer {
        struct bus *bus; /* borrowed */
        rd_kafka_t *rk;  /* owned */
        rd_kafka_queue_t *queue;
        bool member; /* of a group */
        int (*assigned)(void *arg, struct consumer_partition *parts, size_t count);
        void (*revoked)(void *arg, const struct consumer_partition *parts, size_t count, bool lost);
        void *arg;

        /* held: what is assigned and read. pending: what the group gave and the callee has not taken yet. Never both
         * for one partition; pending is NULL when there is none. */
        rd_kafka_topic_partition_list_t *held, *pending;
        int64_t ask_ms; /* when to offer pending again */

        rd_kafka_message_t **
                messages; /* owned array of cap; the first message_count are held until the next poll */
        struct consumer_event *events; /* owned array of cap */
        size_t message_count, cap;
        struct bus_header *headers; /* owned; what the events' records point into */
        size_t header_cap;

        const rd_kafka_topic_t *last_rkt; /* the topic of the last message seen, a cache of one */
        const struct bus_topic *last_topic;
};

/* ---- lists of partitions ---- */

static rd_kafka_topic_partition_list_t *list_of(
        struct consumer *c, const struct consumer_partition *parts, size_t count)
{
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
        for (size_t i = 0; i < count; i++) {
                const struct bus_topic *t = bus_topic_get(c->bus, slice_str(parts[i].topic));
                if (!t) {
                        rd_kafka_topic_partition_list_destroy(list);
                        return NULL;
                }
                rd_kafka_topic_partition_list_add(list, t->name, parts[i].partition)->offset =
                        parts[i].offset;
        }
        return list;
}

/* Topics point into the bus's table, which outlives the consumer. The caller frees. */
static struct consumer_partition *parts_of(
        struct consumer *c, const rd_kafka_topic_partition_list_t *list, size_t *ret_count)
{
        struct consumer_partition *parts = xcalloc((size_t)list->cnt + 1, sizeof(*parts));
        size_t n = 0;
        for (int i = 0; i < list->cnt; i++) {
                const struct bus_topic *t = bus_topic_of_full(c->bus, list->elems[i].topic);
                if (t)
                        parts[n++] = (struct consumer_partition){
                                t->bare.p, list->elems[i].partition, list->elems[i].offset};
        }
        *ret_count = n;
        return parts;
}

static bool holds(const rd_kafka_topic_partition_list_t *list, const char *topic, int32_t partition)
{
        return rd_kafka_topic_partition_list_find(list, topic, partition) != NULL;
}

/* ---- the group ---- */

/* Offers pending to the callee; what it takes is read from the offsets it names. */
static void offer_pending(struct consumer *c)
{
        size_t n = 0;
        struct consumer_partition *parts = parts_of(c, c->pending, &n);
        for (size_t i = 0; i < n; i++)
                parts[i].offset = CONSUMER_BEGINNING;
        rd_kafka_topic_partition_list_t *list = NULL;
        if (n == 0 || !c->assigned || c->assigned(c->arg, parts, n) == 0)
                list = list_of(c, parts, n);
        if (list && rd_kafka_assign(c->rk, list) == RD_KAFKA_RESP_ERR_NO_ERROR) {
                rd_kafka_topic_partition_list_destroy(c->held);
                c->held = list;
                rd_kafka_topic_partition_list_destroy(c->pending);
                c->pending = NULL;
        } else {
                if (list)
                        rd_kafka_topic_partition_list_destroy(list);
                c->ask_ms = clock_mono_ms() + ASK_AGAIN_MS;
        }
        free(parts);
}

static void give_back(struct consumer *c, bool lost)
{
        if (c->pending) {
                rd_kafka_topic_partition_list_destroy(c->pending);
                c->pending = NULL;
        }
        if (c->held->cnt == 0)
                return;
        size_t n = 0;
        struct consumer_partition *parts = parts_of(c, c->held, &n);
        if (c->revoked && n)
                c->revoked(c->arg, parts, n, lost);
        free(parts);
        rd_kafka_topic_partition_list_destroy(c->held);
        c->held = rd_kafka_topic_partition_list_new(0);
}

/*
 * Runs inside consume_batch, between messages that were taken before it. So an assignment is only acknowledged here,
 * with nothing in it, and offered to the callee once the batch is judged: a message of an earlier
 * assignment can then never be taken for one of the new.
 */
static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err,
        rd_kafka_topic_partition_list_t *list, void *opaque)
{
        struct consumer *c = ((struct bus_opaque *)opaque)->owner;
        give_back(c, rd_kafka_assignment_lost(rk) != 0);
        if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
                rd_kafka_topic_partition_list_t *none = rd_kafka_topic_partition_list_new(0);
                c->pending = rd_kafka_topic_partition_list_copy(list);
                c->ask_ms = 0;
                rd_kafka_assign(rk, none);
                rd_kafka_topic_partition_list_destroy(none);
        } else {
                rd_kafka_assign(rk, NULL);
        }
}

static void member_conf(rd_kafka_conf_t *conf)
{
        rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
}

/* ---- life ---- */

static int subscribe(struct consumer *c, const struct consumer_options *o, char fault[256])
{
        rd_kafka_topic_partition_list_t *list =
                rd_kafka_topic_partition_list_new((int)o->topic_count);
        int err = 0;
        for (size_t i = 0; i < o->topic_count && !err; i++) {
                const struct bus_topic *t = bus_topic_get(c->bus, slice_str(o->topics[i]));
                if (t)
                        rd_kafka_topic_partition_list_add(list, t->name, RD_KAFKA_PARTITION_UA);
                else
                        err = -EINVAL;
        }
        if (!err)
                err = bus_errno(rd_kafka_subscribe(c->rk, list));
        if (err)
                snprintf(fault, 256, "the topics cannot be subscribed to");
        rd_kafka_topic_partition_list_destroy(list);
        return err;
}

int consumer_new(
        struct bus *b, const struct consumer_options *o, struct consumer **ret, char fault[256])
{
        struct consumer *c = xcalloc(1, sizeof(*c));
        c->bus = b;
        c->member = o->group != NULL;
        c->assigned = o->assigned;
        c->revoked = o->revoked;
        c->arg = o->arg;
        c->held = rd_kafka_topic_partition_list_new(0);
        uint32_t session = o->session_timeout_ms ? o->session_timeout_ms : SESSION_TIMEOUT_MS;
        char session_text[16], heartbeat_text[16];
        snprintf(session_text, sizeof(session_text), "%u", session);
        snprintf(heartbeat_text, sizeof(heartbeat_text), "%u", session / 6);
        /* Without a group the id is never sent anywhere: assigning by hand needs one in librdkafka's own books. */
        const struct bus_conf_extra extra[] = {
                {"group.id", c->member ? o->group : "tern-by-hand"},
                {"session.timeout.ms", session_text},
                {"heartbeat.interval.ms", heartbeat_text},
                {"partition.assignment.strategy", "range"},
                {"group.instance.id", o->instance_id},
        };
        bool fixed = c->member && o->instance_id;
        c->rk = bus_handle_new(b, c->member ? BUS_ROLE_MEMBER : BUS_ROLE_CONSUMER, extra,
                fixed ? ARRAY_LEN(extra) : ARRAY_LEN(extra) - 1, c->member ? member_conf : NULL, c,
                fault);
        if (!c->rk) {
                consumer_free(c);
                return -EINVAL;
        }
        rd_kafka_poll_set_consumer(c->rk);
        c->queue = rd_kafka_queue_get_consumer(c->rk);
        int err = c->member ? subscribe(c, o, fault) : 0;
        if (err) {
                consumer_free(c);
                return err;
        }
        *ret = c;
        return 0;
}

static void release_messages(struct consumer *c)
{
        for (size_t i = 0; i < c->message_count; i++)
                rd_kafka_message_destroy(c->messages[i]);
        c->message_count = 0;
}

struct consumer *consumer_free(struct consumer *c)
{
        if (!c)
                return NULL;
        release_messages(c);
        if (c->rk && c->member) {
                rd_kafka_consumer_close(c->rk);
                give_back(c, true); /* a member that another one has replaced is not told */
        }
        if (c->queue)
                rd_kafka_queue_destroy(c->queue);
        bus_handle_free(c->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        rd_kafka_topic_partition_list_destroy(c->held);
        if (c->pending)
                rd_kafka_topic_partition_list_destroy(c->pending);
        free(c->messages);
        free(c->events);
        free(c->headers);
        free(c);
        return NULL;
}

/* ---- positions ---- */

static int error_errno(rd_kafka_error_t *error)
{
        if (!error)
                return 0;
        int err = bus_errno(rd_kafka_error_code(error));
        rd_kafka_error_destroy(error);
        return err ? err : -EIO;
}

static int unassign_list(struct consumer *c, const rd_kafka_topic_partition_list_t *list)
{
        rd_kafka_topic_partition_list_t *known = rd_kafka_topic_partition_list_new(list->cnt);
        for (int i = 0; i < list->cnt; i++) {
                const rd_kafka_topic_partition_t *p = &list->elems[i];
                if (rd_kafka_topic_partition_list_del(c->held, p->topic, p->partition))
                        rd_kafka_topic_partition_list_add(known, p->topic, p->partition);
        }
        int err = known->cnt ? error_errno(rd_kafka_incremental_unassign(c->rk, known)) : 0;
        rd_kafka_topic_partition_list_destroy(known);
        return err;
}

int consumer_assign(struct consumer *c, const struct consumer_partition *parts, size_t count)
{
        CHECK(!c->member);
        rd_kafka_topic_partition_list_t *list = list_of(c, parts, count);
        if (!list)
                return -EINVAL;
        int err = unassign_list(c, list);
        if (!err && count)
                err = error_errno(rd_kafka_incremental_assign(c->rk, list));
        for (int i = 0; !err && i < list->cnt; i++)
                rd_kafka_topic_partition_list_add(
                        c->held, list->elems[i].topic, list->elems[i].partition);
        rd_kafka_topic_partition_list_destroy(list);
        return err ? -EINVAL : 0;
}

void consumer_unassign(struct consumer *c, const struct consumer_partition *parts, size_t count)
{
        CHECK(!c->member);
        rd_kafka_topic_partition_list_t *list = list_of(c, parts, count);
        if (!list)
                return;
        if (unassign_list(c, list) != 0)
                bus_log(c->bus, 4, "CONSUMER", "partitions could not be unassigned");
        rd_kafka_topic_partition_list_destroy(list);
}

int consumer_seek(struct consumer *c, const struct consumer_partition *part)
{
        rd_kafka_topic_partition_list_t *list = list_of(c, part, 1);
        if (!list)
                return -EINVAL;
        int err = 0;
        if (!holds(c->held, list->elems[0].topic, part->partition)) {
                err = -EINVAL;
        } else if (c->member) {
                err = error_errno(rd_kafka_seek_partitions(c->rk, list, SEEK_TIMEOUT_MS));
                if (!err)
                        err = bus_errno(list->elems[0].err);
        } else {
                /* A seek is refused once the position was outside the log; an assignment never is. */
                err = consumer_assign(c, part, 1);
        }
        rd_kafka_topic_partition_list_destroy(list);
        return err;
}

int consumer_pause(struct consumer *c, const struct consumer_partition *parts, size_t count)
{
        rd_kafka_topic_partition_list_t *list = list_of(c, parts, count);
        if (!list)
                return -EINVAL;
        int err = bus_errno(rd_kafka_pause_partitions(c->rk, list));
        rd_kafka_topic_partition_list_destroy(list);
        return err;
}

int consumer_resume(struct consumer *c, const struct consumer_partition *parts, size_t count)
{
        rd_kafka_topic_partition_list_t *list = list_of(c, parts, count);
        if (!list)
                return -EINVAL;
        int err = bus_errno(rd_kafka_resume_partitions(c->rk, list));
        rd_kafka_topic_partition_list_destroy(list);
        return err;
}

void consumer_commit(struct consumer *c, const struct consumer_partition *parts, size_t count)
{
        rd_kafka_topic_partition_list_t *list =
                c->member && count ? list_of(c, parts, count) : NULL;
        if (!list)
                return;
        /* For lag tools only: a failed one is made good by the next. */
        rd_kafka_commit(c->rk, list, 1);
        rd_kafka_topic_partition_list_destroy(list);
}

int64_t consumer_high(struct consumer *c, const char *topic, int32_t partition)
{
        const struct bus_topic *t = bus_topic_get(c->bus, slice_str(topic));
        int64_t low = 0, high = 0;
        if (!t || rd_kafka_get_watermark_offsets(c->rk, t->name, partition, &low, &high) !=
                          RD_KAFKA_RESP_ERR_NO_ERROR)
                return -1;
        return high >= 0 ? high : -1;
}

void consumer_wake(struct consumer *c)
{
        rd_kafka_queue_yield(c->queue);
}

/* ---- poll ---- */

static void reserve(struct consumer *c, size_t max)
{
        if (max <= c->cap)
                return;
        c->messages = xrealloc(c->messages, max * sizeof(*c->messages));
        c->events = xrealloc(c->events, max * sizeof(*c->events));
        c->cap = max;
}

/* Waits for one, then takes what is there: a batch call alone would wait until it is full or the time is over. */
static size_t take(struct consumer *c, int timeout_ms, size_t max)
{
        ssize_t n = rd_kafka_consume_batch_queue(c->queue, timeout_ms, c->messages, 1);
        if (n <= 0)
                return 0;
        if (max == 1)
                return 1;
        ssize_t more = rd_kafka_consume_batch_queue(c->queue, 0, c->messages + 1, max - 1);
        return more > 0 ? (size_t)more + 1 : 1;
}

static const struct bus_topic *topic_of(struct consumer *c, const rd_kafka_message_t *m)
{
        if (m->rkt && m->rkt != c->last_rkt) {
                c->last_topic = bus_topic_of_full(c->bus, rd_kafka_topic_name(m->rkt));
                c->last_rkt = m->rkt;
        }
        return m->rkt ? c->last_topic : NULL;
}

/* Appends m's headers at used; returns how many. */
static size_t read_headers(struct consumer *c, const rd_kafka_message_t *m, size_t used)
{
        rd_kafka_headers_t *h = NULL;
        if (rd_kafka_message_headers(m, &h) != RD_KAFKA_RESP_ERR_NO_ERROR)
                return 0;
        size_t count = rd_kafka_header_cnt(h), n = 0;
        if (used + count > c->header_cap) {
                c->header_cap = (used + count) * 2;
                c->headers = xrealloc(c->headers, c->header_cap * sizeof(*c->headers));
        }
        for (size_t i = 0; i < count; i++) {
                const char *name = NULL;
                const void *value = NULL;
                size_t size = 0;
                if (rd_kafka_header_get_all(h, i, &name, &value, &size) !=
                        RD_KAFKA_RESP_ERR_NO_ERROR)
                        break;
                c->headers[used + n++] =
                        (struct bus_header){slice_str(name), slice_of(value, value ? size : 0)};
        }
        return n;
}

static enum consumer_event_kind kind_of(const rd_kafka_message_t *m)
{
        if (!m->err)
                return CONSUMER_RECORD;
        if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
                return CONSUMER_EOF;
        if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
                m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
                return CONSUMER_RANGE;
        return m->err == RD_KAFKA_RESP_ERR__FATAL ? CONSUMER_DEAD : CONSUMER_ERROR;
}

/* Fills *e. False if the message is nobody's: of a partition that went while the batch was being taken. */
static bool translate(
        struct consumer *c, rd_kafka_message_t *m, struct consumer_event *e, size_t *used)
{
        const struct bus_topic *t = topic_of(c, m);
        *e = (struct consumer_event){.kind = kind_of(m)};
        if (m->rkt) {
                if (!t || (e->kind != CONSUMER_ERROR && e->kind != CONSUMER_DEAD &&
                                  !holds(c->held, t->name, m->partition)))
                        return false;
                e->record.topic = t->bare;
                e->record.partition = m->partition;
                e->record.offset = m->offset;
        }
        e->record.timestamp_ms = -1;
        if (e->kind != CONSUMER_RECORD) {
                e->error = m->err ? rd_kafka_message_errstr(m) : NULL;
                return true;
        }
        rd_kafka_timestamp_type_t type;
        e->record.timestamp_ms = rd_kafka_message_timestamp(m, &type);
        e->record.key = slice_of(m->key, m->key ? m->key_len : 0);
        e->record.value = slice_of(m->payload, m->payload ? m->len : 0);
        size_t n = read_headers(c, m, *used);
        e->record.header_count = n;
        *used += n;
        return true;
}

size_t consumer_poll(
        struct consumer *c, int timeout_ms, size_t max, const struct consumer_event **ret)
{
        CHECK(max > 0);
        release_messages(c);
        reserve(c, max);
        if (c->pending) {
                int64_t now = clock_mono_ms();
                if (now >= c->ask_ms)
                        offer_pending(c);
                if (c->pending && timeout_ms > c->ask_ms - now)
                        timeout_ms = c->ask_ms > now ? (int)(c->ask_ms - now) : 0;
        }
        c->message_count = take(c, timeout_ms, max);
        size_t n = 0, used = 0;
        for (size_t i = 0; i < c->message_count; i++)
                if (translate(c, c->messages[i], &c->events[n], &used))
                        n++;
        /* The array stands still only now. */
        size_t at = 0;
        for (size_t i = 0; i < n; i++) {
                c->events[i].record.headers = c->headers + at;
                at += c->events[i].record.header_count;
        }
        if (c->pending && c->ask_ms == 0)
                offer_pending(c);
        *ret = c->events;
        return n;
}
