#include "bus/txn.h"
#include "bus/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

#define QUEUE_WAIT_MS 5
#define TXN_TIMEOUT_MS "60000"
#define RECORD_BYTES_MAX "104857600" /* what a broker takes is its own to say */

struct txn {
        struct bus *bus; /* borrowed */
        rd_kafka_t *rk;  /* owned */
        bool open;
};

/* What to do about an error: 0 none, -EAGAIN abort and repeat, else the end. Frees it. */
static int fate_of(rd_kafka_error_t *e, char fault[256])
{
        if (!e)
                return 0;
        int err = bus_errno(rd_kafka_error_code(e));
        snprintf(fault, 256, "%s", rd_kafka_error_string(e));
        if (rd_kafka_error_txn_requires_abort(e))
                err = -EAGAIN;
        rd_kafka_error_destroy(e);
        return err ? err : -EIO;
}

enum step { STEP_INIT, STEP_ABORT, STEP_OFFSETS, STEP_COMMIT };

struct place { /* of STEP_OFFSETS */
        const rd_kafka_topic_partition_list_t *list;
        const rd_kafka_consumer_group_metadata_t *group;
};

/* One step, repeated as long as Kafka says that it may be. */
static int run(
        struct txn *t, enum step step, const struct place *place, int timeout_ms, char fault[256])
{
        int64_t until = clock_mono_ms() + timeout_ms;
        for (;;) {
                rd_kafka_error_t *e = NULL;
                switch (step) {
                case STEP_INIT:
                        e = rd_kafka_init_transactions(t->rk, timeout_ms);
                        break;
                case STEP_ABORT:
                        e = rd_kafka_abort_transaction(t->rk, timeout_ms);
                        break;
                case STEP_OFFSETS:
                        e = rd_kafka_send_offsets_to_transaction(
                                t->rk, place->list, place->group, timeout_ms);
                        break;
                case STEP_COMMIT:
                        e = rd_kafka_commit_transaction(t->rk, timeout_ms);
                        break;
                }
                if (!e || !rd_kafka_error_is_retriable(e) || clock_mono_ms() >= until)
                        return fate_of(e, fault);
                rd_kafka_error_destroy(e);
        }
}

int txn_new(struct bus *b, const char *name, int timeout_ms, struct txn **ret, char fault[256])
{
        if (bus_is_embedded(b)) {
                snprintf(fault, 256, "transactions are not supported by the embedded broker");
                return -ENOTSUP;
        }
        const struct bus_conf_extra extra[] = {
                {"transactional.id", name},
                {"transaction.timeout.ms", TXN_TIMEOUT_MS},
                {"message.timeout.ms", TXN_TIMEOUT_MS},
                {"message.max.bytes", RECORD_BYTES_MAX},
                {"linger.ms", "20"},
        };
        struct txn *t = xcalloc(1, sizeof(*t));
        t->bus = b;
        t->rk = bus_handle_new(b, BUS_ROLE_DURABLE, extra, ARRAY_LEN(extra), NULL, NULL, fault);
        int err = t->rk ? 0 : -EINVAL;
        if (!err)
                err = run(t, STEP_INIT, NULL, timeout_ms, fault);
        if (err) {
                txn_free(t);
                return err == -EAGAIN ? -EIO : err;
        }
        *ret = t;
        return 0;
}

struct txn *txn_free(struct txn *t)
{
        char fault[256];
        if (!t)
                return NULL;
        if (t->open && txn_abort(t, 5000, fault) != 0)
                bus_log(t->bus, 4, "TXN", fault);
        bus_handle_free(t->rk, 0);
        free(t);
        return NULL;
}

void txn_warm(struct txn *t, const char *topic, int timeout_ms)
{
        const struct bus_topic *of = bus_topic_get(t->bus, slice_str(topic));
        const struct rd_kafka_metadata *md = NULL;
        rd_kafka_topic_t *rkt = of ? rd_kafka_topic_new(t->rk, of->name, NULL) : NULL;
        if (rkt && rd_kafka_metadata(t->rk, 0, rkt, &md, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR)
                rd_kafka_metadata_destroy(md);
        if (rkt)
                rd_kafka_topic_destroy(rkt);
}

int txn_begin(struct txn *t, char fault[256])
{
        int err = fate_of(rd_kafka_begin_transaction(t->rk), fault);
        t->open = err == 0;
        return err;
}

int txn_abort(struct txn *t, int timeout_ms, char fault[256])
{
        t->open = false;
        return run(t, STEP_ABORT, NULL, timeout_ms, fault);
}

/* ---- records ---- */

static rd_kafka_resp_err_t produce(
        struct txn *t, const char *topic, const struct bus_record *r, char fault[256])
{
        rd_kafka_headers_t *headers = r->header_count ? bus_headers_of(r) : NULL;
        rd_kafka_vu_t vu[7] = {
                {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
                {.vtype = RD_KAFKA_VTYPE_PARTITION,
                        .u.i32 = r->partition < 0 ? RD_KAFKA_PARTITION_UA : r->partition},
                {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {bus_unconst(r->value.p), r->value.n}},
                {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {bus_unconst(r->key.p), r->key.n}},
                {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
                {.vtype = RD_KAFKA_VTYPE_TIMESTAMP,
                        .u.i64 = r->timestamp_ms > 0 ? r->timestamp_ms : 0},
                {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
        };
        rd_kafka_error_t *error = rd_kafka_produceva(t->rk, vu, headers ? 7 : 6);
        if (!error)
                return RD_KAFKA_RESP_ERR_NO_ERROR;
        rd_kafka_resp_err_t err = rd_kafka_error_code(error);
        snprintf(fault, 256, "%s", rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        if (headers)
                rd_kafka_headers_destroy(headers);
        return err;
}

int txn_produce(struct txn *t, const struct bus_record *r, char fault[256])
{
        const struct bus_topic *topic = bus_topic_get(t->bus, r->topic);
        if (!topic) {
                snprintf(fault, 256, "not a topic's name");
                return -EINVAL;
        }
        for (;;) {
                rd_kafka_resp_err_t err = produce(t, topic->name, r, fault);
                if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
                        return 0;
                if (err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
                        return -EMSGSIZE;
                /* A transaction that has failed refuses records; its end says why. */
                if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
                        return err == RD_KAFKA_RESP_ERR__STATE ? -EAGAIN : bus_errno(err);
                rd_kafka_poll(t->rk, QUEUE_WAIT_MS);
        }
}

/* ---- the end ---- */

static rd_kafka_topic_partition_list_t *list_of(
        struct bus *b, const char *topic, const struct txn_offset *offsets, size_t count)
{
        const struct bus_topic *t = bus_topic_get(b, slice_str(topic));
        if (!t)
                return NULL;
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
        for (size_t i = 0; i < count; i++) {
                rd_kafka_topic_partition_t *p =
                        rd_kafka_topic_partition_list_add(list, t->name, offsets[i].partition);
                p->offset = offsets[i].offset;
                p->metadata_size = strlen(offsets[i].note);
                if (p->metadata_size)
                        p->metadata = xstrdup(offsets[i].note);
        }
        return list;
}

int txn_commit(struct txn *t, const char *group, const char *topic,
        const struct txn_offset *offsets, size_t count, int timeout_ms, char fault[256])
{
        int err = 0;
        if (group && count) {
                rd_kafka_topic_partition_list_t *list = list_of(t->bus, topic, offsets, count);
                rd_kafka_consumer_group_metadata_t *who =
                        rd_kafka_consumer_group_metadata_new(group);
                const struct place place = {list, who};
                err = list ? run(t, STEP_OFFSETS, &place, timeout_ms, fault) : -EINVAL;
                rd_kafka_consumer_group_metadata_destroy(who);
                if (list)
                        rd_kafka_topic_partition_list_destroy(list);
        }
        if (!err)
                err = run(t, STEP_COMMIT, NULL, timeout_ms, fault);
        if (!err)
                t->open = false;
        return err;
}

int txn_offsets(struct bus *b, const char *group, const char *topic, struct txn_offset *offsets,
        size_t count, int timeout_ms, char fault[256])
{
        const struct bus_conf_extra extra[] = {{"group.id", group}};
        rd_kafka_t *rk = bus_handle_new(b, BUS_ROLE_QUERY, extra, 1, NULL, NULL, fault);
        rd_kafka_topic_partition_list_t *list = rk ? list_of(b, topic, offsets, count) : NULL;
        int err = list ? bus_errno(rd_kafka_committed(rk, list, timeout_ms)) : -EINVAL;
        for (int i = 0; !err && i < list->cnt; i++)
                err = bus_errno(list->elems[i].err);
        if (err && list)
                snprintf(fault, 256, "the group %s cannot be read", group);
        for (int i = 0; !err && i < list->cnt; i++) {
                const rd_kafka_topic_partition_t *p = &list->elems[i];
                offsets[i].offset = p->offset >= 0 ? p->offset : -1;
                (void)!slice_copy(slice_of(p->metadata, p->metadata ? p->metadata_size : 0),
                        offsets[i].note, sizeof(offsets[i].note));
        }
        if (list)
                rd_kafka_topic_partition_list_destroy(list);
        bus_handle_free(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        return err;
}
