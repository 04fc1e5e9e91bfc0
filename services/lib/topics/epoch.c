#include "topics/epoch.h"
#include "topics/topics.h"

#include "base/clock.h"
#include "base/hash.h"
#include "bus/seek.h"
#include "proto/event.h"
#include "store/db.h"
#include "topics_sql.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define KEY_PREFIX "epoch/"
#define NEVER_READ INT64_C(-1)

/* What a source knows of a topic's newest life; epoch 0: nothing. */
struct known {
        int64_t epoch;
        char cluster_id[80];
        uint32_t partitions;
};

struct registry {
        const struct epoch_options *o;
        struct admin_cluster cluster;
        struct admin_topic *topics; /* owned */
        size_t topic_count;
        struct known *of_log, *of_store; /* owned arrays, one for each row of topic_rows */
        struct seek *reader;             /* owned; NULL until it is needed */
        char *fault;
};

static int failed(struct registry *g, int err, const char *what, const char *detail)
{
        snprintf(g->fault, 256, "%s%s%.200s", what, detail[0] ? ": " : "", detail);
        return err;
}

static int kafka_failed(struct registry *g, int err, const char *what)
{
        return failed(
                g, err, what, err == -ETIMEDOUT ? "Kafka did not answer in time" : strerror(-err));
}

/* A missing table is a schema that was not made yet, which deserves its own sentence. */
static int store_failed(struct registry *g, int err)
{
        const struct db_error *e = db_error(g->o->db);
        if (strcmp(e->sqlstate, "42P01") == 0)
                return failed(
                        g, -EINVAL, "Postgres has no tables yet, run ternctl migrate first", "");
        return failed(g, err, "Postgres", e->text);
}

static size_t row_of(struct slice topic)
{
        for (size_t i = 0; i < topic_row_count; i++)
                if (slice_is(topic, topic_rows[i].name))
                        return i;
        return SIZE_MAX;
}

static const struct admin_topic *topic_found(const struct registry *g, const char *name)
{
        for (size_t i = 0; i < g->topic_count; i++)
                if (strcmp(g->topics[i].name, name) == 0)
                        return &g->topics[i];
        return NULL;
}

static int reader_of(struct registry *g, struct seek **ret)
{
        if (!g->reader) {
                int err = seek_new(g->o->bus, &g->reader, g->fault);
                if (err)
                        return err;
        }
        *ret = g->reader;
        return 0;
}

/* ---- what the log knows ---- */

static void read_epoch_record(struct registry *g, const struct bus_record *r)
{
        if (!slice_starts(r->key, KEY_PREFIX) || !r->value.p)
                return;
        struct event e;
        struct event_error err;
        if (event_parse(SLICE_LIT("access"), bus_record_header(r, "ce_type"),
                    bus_record_header(r, "ce_id"), r->key, r->value, &e, &err) < 0)
                return;
        if (e.type == EVENT_EPOCH) {
                size_t at = row_of(slice_str(e.topic));
                if (at != SIZE_MAX && e.epoch >= g->of_log[at].epoch) {
                        g->of_log[at].epoch = e.epoch;
                        g->of_log[at].partitions = (uint32_t)e.partitions;
                        snprintf(g->of_log[at].cluster_id, sizeof(g->of_log[at].cluster_id), "%s",
                                e.cluster_id);
                }
        }
        event_done(&e);
}

/* Reads [from, to) and gives each record to fn. */
static int read_range(struct registry *g, const char *topic, int32_t partition, int64_t from,
        int64_t to, void (*fn)(void *arg, const struct bus_record *r), void *arg)
{
        struct seek *sk;
        int err = reader_of(g, &sk);
        if (!err)
                err = seek_start(sk, topic, partition, from, to);
        int64_t until = clock_mono_ms() + g->o->timeout_ms;
        while (!err) {
                const struct bus_record *r;
                size_t n;
                int done = seek_poll(sk, 200, 500, &r, &n);
                for (size_t i = 0; done >= 0 && i < n; i++)
                        fn(arg, &r[i]);
                if (done == 1)
                        break;
                if (done < 0)
                        err = done;
                else if (clock_mono_ms() >= until)
                        err = -ETIMEDOUT;
        }
        if (g->reader)
                seek_stop(g->reader);
        return err;
}

static void on_access_record(void *arg, const struct bus_record *r)
{
        read_epoch_record(arg, r);
}

static int read_log(struct registry *g)
{
        if (!topic_found(g, "access"))
                return g->o->missing ? 0 : failed(g, -ENOENT, "the topic access is not there", "");
        bus_warm(g->o->bus, "access");
        int64_t low = 0, high = 0;
        int err = bus_watermarks(g->o->bus, "access", 0, g->o->timeout_ms, &low, &high);
        if (!err)
                err = read_range(g, "access", 0, low, high, on_access_record, g);
        return err ? kafka_failed(g, err, "access cannot be read") : 0;
}

/* ---- what Postgres knows ---- */

static int read_store(struct registry *g)
{
        struct db_result r = DB_RESULT_NONE;
        int err = db_run(g->o->db, &topics_sql[TOPICS_SQL_EPOCHS], NULL, 0, &r);
        if (err)
                return store_failed(g, err);
        for (size_t i = 0; i < r.rows; i++) {
                size_t at = row_of(slice_str(db_value(&r, i, 0)));
                if (at == SIZE_MAX)
                        continue;
                struct known *k = &g->of_store[at];
                k->epoch = db_int(&r, i, 1);
                k->partitions = (uint32_t)db_int(&r, i, 3);
                snprintf(k->cluster_id, sizeof(k->cluster_id), "%s", db_value(&r, i, 2));
        }
        db_result_done(&r);
        return 0;
}

/* ---- is it still the same log? ---- */

struct place {
        int32_t partition;
        int64_t next_offset, timestamp_ms, id_hash;
};

static void on_last_record(void *arg, const struct bus_record *r)
{
        struct place *found = arg;
        found->next_offset = r->offset + 1;
        found->timestamp_ms = r->timestamp_ms;
        found->id_hash = (int64_t)hash_murmur2(bus_record_header(r, "ce_id"));
}

/* True with a reason if the log cannot be the one that the archive read up to this place. */
static int place_differs(
        struct registry *g, const char *topic, const struct place *p, char why[240], bool *ret)
{
        int64_t low = 0, high = 0;
        int err = bus_watermarks(g->o->bus, topic, p->partition, g->o->timeout_ms, &low, &high);
        if (err)
                return kafka_failed(g, err, topic);
        *ret = false;
        if (p->next_offset > high) {
                snprintf(why, 240,
                        "partition %d ends at %" PRId64 ", the archive has read up to %" PRId64,
                        p->partition, high, p->next_offset);
                *ret = true;
        }
        if (*ret || p->timestamp_ms == NEVER_READ || p->next_offset - 1 < low)
                return 0;
        struct place found = {.next_offset = NEVER_READ};
        err = read_range(
                g, topic, p->partition, p->next_offset - 1, p->next_offset, on_last_record, &found);
        if (err == -ERANGE)
                return 0; /* deleted meanwhile: it was there */
        if (err)
                return kafka_failed(g, err, topic);
        if (found.next_offset != p->next_offset || found.timestamp_ms != p->timestamp_ms ||
                found.id_hash != p->id_hash) {
                snprintf(why, 240,
                        "the record at offset %" PRId64
                        " of partition %d is not the one that the archive read there",
                        p->next_offset - 1, p->partition);
                *ret = true;
        }
        return 0;
}

static int places_differ(struct registry *g, const char *topic, int64_t epoch, uint32_t partitions,
        char why[240], bool *ret)
{
        *ret = false;
        char epoch_text[24];
        snprintf(epoch_text, sizeof(epoch_text), "%" PRId64, epoch);
        const char *params[] = {topic, epoch_text};
        struct db_result r = DB_RESULT_NONE;
        int err = db_run(g->o->db, &topics_sql[TOPICS_SQL_PLACES], params, 2, &r);
        if (err)
                return store_failed(g, err);
        for (size_t i = 0; i < r.rows && !err && !*ret; i++) {
                bool known = db_value(&r, i, 2) && db_value(&r, i, 3);
                struct place p = {(int32_t)db_int(&r, i, 0), db_int(&r, i, 1),
                        known ? db_int(&r, i, 2) : NEVER_READ, db_int(&r, i, 3)};
                if (p.next_offset > 0 && p.partition >= 0 && (uint32_t)p.partition < partitions)
                        err = place_differs(g, topic, &p, why, ret);
        }
        db_result_done(&r);
        return err;
}

static const struct known *known_of(const struct registry *g, size_t row)
{
        return g->of_store[row].epoch >= g->of_log[row].epoch ? &g->of_store[row] : &g->of_log[row];
}

/* Whether a topic of more partitions than it had is still the log that was known. Only the archive can tell. */
static int judge_grown(struct registry *g, const struct known *k, struct epoch *e)
{
        if (!g->o->db || g->o->force || e->partitions <= k->partitions)
                return 0;
        char why[240];
        bool differs = true;
        int err = places_differ(g, e->topic, k->epoch, e->partitions, why, &differs);
        e->grown = !err && !differs;
        return err;
}

/* Fills e for one existing topic. */
static int judge(struct registry *g, size_t row, uint32_t partitions, struct epoch *e)
{
        const struct known *k = known_of(g, row);
        *e = (struct epoch){.topic = topic_rows[row].name,
                .epoch = k->epoch,
                .partitions = partitions,
                .change = EPOCH_KEPT};
        if (k->epoch == 0) {
                e->epoch = 1;
                e->change = EPOCH_FIRST;
                return 0;
        }
        bool differs = true;
        int err = 0;
        if (g->o->force)
                snprintf(e->why, sizeof(e->why), "the embedded broker was started");
        else if (strcmp(k->cluster_id, g->cluster.id) != 0)
                snprintf(e->why, sizeof(e->why), "the cluster is %s, it was %s", g->cluster.id,
                        k->cluster_id);
        else if (k->partitions != partitions) {
                snprintf(e->why, sizeof(e->why), "it has %u partitions, it had %u", partitions,
                        k->partitions);
                err = judge_grown(g, k, e);
        } else if (g->o->db)
                err = places_differ(g, e->topic, k->epoch, partitions, e->why, &differs);
        else
                differs = false;
        if (!err && differs) {
                e->epoch = k->epoch + 1;
                e->change = EPOCH_RAISED;
        }
        return err;
}

/* Fills e for one topic that is not there; false if nothing was ever known of it. */
static bool judge_missing(struct registry *g, size_t row, struct epoch *e)
{
        const struct known *k = known_of(g, row);
        if (k->epoch == 0)
                return false;
        *e = (struct epoch){.topic = topic_rows[row].name,
                .epoch = k->epoch + 1,
                .partitions = topic_row_partitions(&topic_rows[row], g->o->missing),
                .change = EPOCH_RAISED,
                .why = "it was missing"};
        return true;
}

/* ---- making it known ---- */

static bool says(const struct known *k, const struct registry *g, const struct epoch *e)
{
        return k->epoch == e->epoch && k->partitions == e->partitions &&
               strcmp(k->cluster_id, g->cluster.id) == 0;
}

/* Where the partitions end that the topic had before it grew, as an array literal; nothing for another life. */
static int grown_from(struct registry *g, const struct epoch *e, struct buf *ret)
{
        if (!e->grown)
                return 0;
        uint32_t count = known_of(g, row_of(slice_str(e->topic)))->partitions;
        int64_t *ends = xcalloc(count, sizeof(*ends));
        int err = bus_highs(g->o->bus, e->topic, count, g->o->timeout_ms, ends);
        for (uint32_t i = 0; !err && i < count; i++)
                buf_printf(ret, "%s%" PRId64, i ? "," : "{", ends[i]);
        buf_add_char(ret, '}');
        free(ends);
        return err ? kafka_failed(g, err, e->topic) : 0;
}

static int add_life(struct registry *g, const struct epoch *e)
{
        struct buf ends = BUF_EMPTY;
        char epoch[24], partitions[16];
        snprintf(epoch, sizeof(epoch), "%" PRId64, e->epoch);
        snprintf(partitions, sizeof(partitions), "%u", e->partitions);
        int err = grown_from(g, e, &ends);
        if (!err) {
                const char *params[] = {e->topic, epoch, g->cluster.id, partitions,
                        e->grown ? buf_cstr(&ends) : NULL};
                err = db_run(g->o->db, &topics_sql[TOPICS_SQL_EPOCH_ADD], params, ARRAY_LEN(params),
                        NULL);
        }
        buf_done(&ends);
        return err;
}

static int write_store(struct registry *g, const struct epoch *all, size_t count)
{
        int err = db_begin(g->o->db);
        for (size_t i = 0; i < count && !err; i++) {
                if (says(&g->of_store[row_of(slice_str(all[i].topic))], g, &all[i]))
                        continue;
                err = add_life(g, &all[i]);
        }
        if (!err)
                err = db_commit(g->o->db);
        if (err) {
                err = store_failed(g, err);
                db_rollback(g->o->db);
        }
        return err;
}

struct announcement {
        struct bus_send send;
        unsigned *left;
        bool *ok;
};

static void announced(struct bus_send *s)
{
        struct announcement *a = container_of(s, struct announcement, send);
        (*a->left)--;
        *a->ok = *a->ok && s->outcome == BUS_OK;
}

static int announce(
        struct registry *g, const struct epoch *e, struct mailbox *box, struct announcement *a)
{
        struct event ev = {.type = EVENT_EPOCH,
                .topic = xstrdup(e->topic),
                .cluster_id = xstrdup(g->cluster.id),
                .epoch = e->epoch,
                .partitions = e->partitions};
        struct buf key = BUF_EMPTY, value = BUF_EMPTY;
        char id[UUID_TEXT], time[CLOCK_ISO_TEXT];
        buf_printf(&key, KEY_PREFIX "%s", e->topic);
        event_encode(&ev, &value);
        uuid_v7(clock_wall_ms(), id);
        clock_iso(clock_wall_ms(), time);
        const struct bus_header headers[] = {
                {SLICE_LIT("ce_specversion"), SLICE_LIT("1.0")},
                {SLICE_LIT("ce_id"), slice_str(id)},
                {SLICE_LIT("ce_type"), slice_str(event_type_name(EVENT_EPOCH))},
                {SLICE_LIT("ce_source"), SLICE_LIT("/tern/topics")},
                {SLICE_LIT("ce_time"), slice_str(time)},
                {SLICE_LIT("content-type"), SLICE_LIT("application/json")},
        };
        const struct bus_record r = {.topic = SLICE_LIT("access"),
                .partition = 0,
                .key = buf_slice(&key),
                .value = buf_slice(&value),
                .headers = headers,
                .header_count = ARRAY_LEN(headers)};
        a->send = (struct bus_send){.reply = box, .done = announced};
        int err = bus_produce(g->o->bus, &r, &a->send);
        buf_done(&key);
        buf_done(&value);
        free(ev.topic);
        free(ev.cluster_id);
        return err;
}

static int write_log(struct registry *g, const struct epoch *all, size_t count)
{
        struct mailbox *box = mailbox_new(NULL, NULL);
        struct announcement *a = xcalloc(count + 1, sizeof(*a));
        unsigned left = 0;
        bool ok = true;
        for (size_t i = 0; i < count && ok; i++) {
                if (says(&g->of_log[row_of(slice_str(all[i].topic))], g, &all[i]))
                        continue;
                a[i].left = &left;
                a[i].ok = &ok;
                left++;
                if (announce(g, &all[i], box, &a[i]) != 0) {
                        left--;
                        ok = false;
                }
        }
        /* Each send is answered, sooner or later, so this ends. */
        while (left > 0)
                mailbox_wait(box, 1000);
        mailbox_close(box);
        mailbox_free(box);
        free(a);
        return ok ? 0 : failed(g, -EIO, "the epochs could not be written to the topic access", "");
}

/* ---- all of it ---- */

static int register_all(struct registry *g, bool check_only, struct epoch *all, size_t *ret_count)
{
        int err = admin_cluster(g->o->bus, g->o->timeout_ms, &g->cluster);
        if (!err)
                err = admin_list(g->o->bus, g->o->timeout_ms, &g->topics, &g->topic_count);
        if (err)
                return kafka_failed(g, err, "the topics cannot be listed");
        err = read_log(g);
        if (!err && g->o->db)
                err = read_store(g);
        size_t n = 0;
        for (size_t i = 0; i < topic_row_count && !err; i++) {
                if (!topic_row_has_epoch(&topic_rows[i]))
                        continue;
                const struct admin_topic *t = topic_found(g, topic_rows[i].name);
                if (t && !g->o->missing)
                        err = judge(g, i, t->partitions, &all[n++]);
                else if (!t && g->o->missing)
                        n += judge_missing(g, i, &all[n]);
        }
        if (!err && !check_only && g->o->db)
                err = write_store(g, all, n);
        if (!err && !check_only && topic_found(g, "access"))
                err = write_log(g, all, n);
        *ret_count = n;
        return err;
}

int epoch_register(const struct epoch_options *o, bool check_only, struct epoch **ret,
        size_t *ret_count, char fault[256])
{
        struct registry g = {.o = o, .fault = fault};
        g.of_log = xcalloc(topic_row_count, sizeof(*g.of_log));
        g.of_store = xcalloc(topic_row_count, sizeof(*g.of_store));
        struct epoch *all = xcalloc(topic_row_count, sizeof(*all));
        size_t n = 0;
        int err = register_all(&g, check_only, all, &n);
        if (err) {
                free(all);
        } else {
                *ret = all;
                *ret_count = n;
        }
        seek_free(g.reader);
        admin_list_free(g.topics, g.topic_count);
        free(g.of_log);
        free(g.of_store);
        return err;
}
