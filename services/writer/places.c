#include "writer/places.h"
#include "writer_sql.h"

#include "bus/admin.h"
#include "store/db.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define KAFKA_TIMEOUT_MS 2000
#define ALL_TOPICS "{chat.events,chat.receipts,chat.sessions,notifications,broadcasts,redrive}"

struct life {
        uint32_t epoch, partitions; /* epoch 0: none is registered */
};

void places_done(struct places *p)
{
        for (size_t t = 0; t < TOPIC_COUNT; t++) {
                free(p->of[t]);
                p->of[t] = NULL;
                p->count[t] = 0;
        }
}

struct place *places_get(struct places *p, enum writer_topic topic, int32_t partition)
{
        if (topic >= TOPIC_COUNT || partition < 0 || (size_t)partition >= p->count[topic])
                return NULL;
        struct place *place = &p->of[topic][partition];
        return place->state == PLACE_NOT_OURS ? NULL : place;
}

void places_clear(struct places *p)
{
        for (size_t t = 0; t < TOPIC_COUNT; t++)
                for (size_t i = 0; i < p->count[t]; i++)
                        p->of[t][i].state = PLACE_NOT_OURS;
        p->owned = 0;
}

static struct place *slot(struct places *p, enum writer_topic topic, int32_t partition)
{
        size_t need = (size_t)partition + 1;
        if (need > p->count[topic]) {
                p->of[topic] = xrealloc(p->of[topic], need * sizeof(*p->of[topic]));
                memset(p->of[topic] + p->count[topic], 0,
                        (need - p->count[topic]) * sizeof(*p->of[topic]));
                p->count[topic] = need;
        }
        return &p->of[topic][partition];
}

static int postgres_fault(struct db *db, int r, char why[256])
{
        snprintf(why, 256, "Postgres: %.200s", db_error(db)->text);
        return r;
}

/* ---- lives ---- */

static int load_lives(struct db *db, struct life lives[TOPIC_COUNT])
{
        const char *params[] = {ALL_TOPICS};
        struct db_result res = DB_RESULT_NONE;
        int r = db_run(db, &writer_sql[WRITER_SQL_EPOCHS], params, 1, &res);
        if (r < 0)
                return r;
        memset(lives, 0, TOPIC_COUNT * sizeof(*lives));
        for (size_t i = 0; i < res.rows; i++) {
                enum writer_topic t = writer_topic_of(slice_str(db_value(&res, i, 0)));
                if (t < TOPIC_COUNT)
                        lives[t] = (struct life){
                                (uint32_t)db_int(&res, i, 1), (uint32_t)db_int(&res, i, 2)};
        }
        db_result_done(&res);
        return 0;
}

static int register_first(
        struct places *p, struct db *db, enum writer_topic t, struct life *ret, char why[256])
{
        struct admin_cluster cluster;
        uint32_t partitions = 0;
        int r = admin_cluster(p->bus, KAFKA_TIMEOUT_MS, &cluster);
        if (r == 0)
                r = bus_partitions(p->bus, writer_topics[t], KAFKA_TIMEOUT_MS, &partitions);
        if (r < 0) {
                snprintf(why, 256, "Kafka does not tell about %s", writer_topics[t]);
                return r;
        }
        char count[16];
        snprintf(count, sizeof(count), "%u", partitions);
        const char *params[] = {writer_topics[t], cluster.id, count};
        r = db_run(db, &writer_sql[WRITER_SQL_EPOCH_FIRST], params, ARRAY_LEN(params), NULL);
        if (r < 0)
                return postgres_fault(db, r, why);
        *ret = (struct life){1, partitions};
        return 0;
}

int places_epochs_changed(struct places *p, struct db *db)
{
        struct life lives[TOPIC_COUNT];
        int r = load_lives(db, lives);
        for (size_t t = 0; r == 0 && t < TOPIC_COUNT; t++)
                for (size_t i = 0; r == 0 && i < p->count[t]; i++)
                        if (p->of[t][i].state != PLACE_NOT_OURS &&
                                lives[t].epoch > p->of[t][i].part.epoch)
                                r = 1;
        return r;
}

/* ---- places ---- */

static bool find_place(const struct db_result *res, enum writer_topic t, int32_t partition,
        uint32_t epoch, int64_t *ret, int64_t *ret_sent)
{
        for (size_t i = 0; i < res->rows; i++)
                if (strcmp(db_value(res, i, 0), writer_topics[t]) == 0 &&
                        db_int(res, i, 1) == partition && db_int(res, i, 2) == epoch) {
                        *ret = db_int(res, i, 3);
                        *ret_sent = db_int(res, i, 4);
                        return true;
                }
        return false;
}

static int run_place(struct db *db, int sql, const struct part *part, int64_t a, int64_t b,
        size_t count, char why[256])
{
        char partition[16], epoch[16], first[24], second[24];
        snprintf(partition, sizeof(partition), "%d", part->partition);
        snprintf(epoch, sizeof(epoch), "%u", part->epoch);
        snprintf(first, sizeof(first), "%" PRId64, a);
        snprintf(second, sizeof(second), "%" PRId64, b);
        const char *params[] = {writer_topics[part->topic], partition, epoch, first, second};
        int r = db_run(db, &writer_sql[sql], params, count, NULL);
        return r < 0 ? postgres_fault(db, r, why) : 0;
}

static int log_start(struct places *p, const struct part *part, int64_t *ret, char why[256])
{
        int r = bus_watermarks(
                p->bus, writer_topics[part->topic], part->partition, KAFKA_TIMEOUT_MS, ret, NULL);
        if (r < 0)
                snprintf(why, 256, "Kafka does not tell where partition %d of %s starts",
                        part->partition, writer_topics[part->topic]);
        return r < 0 ? -EIO : 0;
}

/* The log no longer has what was to be read next: that is lost to the archive, and both say so. */
static int skip_lost(struct places *p, struct db *db, struct place *place, char why[256])
{
        int64_t low = 0;
        int r = log_start(p, &place->part, &low, why);
        if (r < 0 || low <= place->next)
                return r;
        log_error(p->log, "records_lost", F_STR("topic", writer_topics[place->part.topic]),
                F_INT("partition", place->part.partition), F_INT("from", place->next),
                F_INT("to", low), F_STR("message", "the log was cut before they were written"));
        return run_place(db, WRITER_SQL_PLACE_SKIP, &place->part, place->next, low, 5, why);
}

int places_skip_lost(struct places *p, struct db *db, char why[256])
{
        for (size_t t = 0; t < TOPIC_COUNT; t++)
                for (size_t i = 0; i < p->count[t]; i++) {
                        struct place *place = &p->of[t][i];
                        if (place->state == PLACE_NOT_OURS || !place->outside)
                                continue;
                        int r = skip_lost(p, db, place, why);
                        if (r < 0)
                                return r;
                        place->outside = false;
                }
        return 0;
}

/* Of a topic that has grown: what its partition was before. *ret_next: how far that was written. */
static void find_grown(const struct db_result *res, struct part *part, int64_t *ret_next)
{
        for (size_t i = 0; i < res->rows; i++)
                if (strcmp(db_value(res, i, 0), writer_topics[part->topic]) == 0 &&
                        db_int(res, i, 1) == part->epoch && db_int(res, i, 2) == part->partition) {
                        part->grown_from = db_int(res, i, 3);
                        part->partitions_before = (uint32_t)db_int(res, i, 4);
                        *ret_next = db_int(res, i, 5);
                }
}

/* The log's start, or where the life before ended if the log is still the same. */
static int first_place(
        struct places *p, struct db *db, struct place *place, int64_t written, char why[256])
{
        int64_t low = 0;
        int r = log_start(p, &place->part, &low, why);
        low = written > low ? written : low;
        if (r == 0)
                r = run_place(db, WRITER_SQL_PLACE_FIRST, &place->part, low, 0, 4, why);
        place->next = place->committed = low;
        return r;
}

static void beyond_end(struct places *p, struct place *place, int64_t high)
{
        place->state = PLACE_STOPPED;
        log_error(p->log, "beyond_the_logs_end", F_STR("topic", writer_topics[place->part.topic]),
                F_INT("partition", place->part.partition), F_INT("next", place->next),
                F_INT("end", high),
                F_STR("message", "the archive has read further than the log reaches: was the topic "
                                 "made anew? (ternctl topics create registers that)"));
}

struct asking { /* what one assignment has been told so far */
        struct life lives[TOPIC_COUNT];
        int64_t *highs[TOPIC_COUNT]; /* owned */
        uint32_t high_count[TOPIC_COUNT];
        struct db_result places, grown;
};

static int load_highs(struct places *p, struct asking *a, enum writer_topic t, char why[256])
{
        if (a->highs[t])
                return 0;
        uint32_t n = 0;
        int r = bus_partitions(p->bus, writer_topics[t], KAFKA_TIMEOUT_MS, &n);
        if (r == 0) {
                a->highs[t] = xcalloc(n + 1, sizeof(int64_t));
                a->high_count[t] = n;
                r = bus_highs(p->bus, writer_topics[t], n, KAFKA_TIMEOUT_MS, a->highs[t]);
        }
        if (r < 0)
                snprintf(why, 256, "Kafka does not tell where %s ends", writer_topics[t]);
        return r < 0 ? -EIO : 0;
}

static int assign_one(struct places *p, struct db *db, struct asking *a,
        struct consumer_partition *one, char why[256])
{
        enum writer_topic t = writer_topic_of(slice_str(one->topic));
        CHECK(t < TOPIC_COUNT);
        int r = a->lives[t].epoch ? 0 : register_first(p, db, t, &a->lives[t], why);
        if (r == 0)
                r = load_highs(p, a, t, why);
        if (r < 0)
                return r;
        struct place *place = slot(p, t, one->partition);
        *place = (struct place){
                .part = {.topic = t,
                        .partition = one->partition,
                        .epoch = a->lives[t].epoch,
                        .partitions = a->lives[t].partitions,
                        .assignment = p->assignment},
                .state = PLACE_READING,
        };
        int64_t written = 0;
        find_grown(&a->grown, &place->part, &written);
        if (!find_place(&a->places, t, one->partition, place->part.epoch, &place->next,
                    &place->part.sent_before))
                r = first_place(p, db, place, written, why);
        place->committed = place->next;
        if (r == 0 && (uint32_t)one->partition < a->high_count[t] &&
                place->next > a->highs[t][one->partition])
                beyond_end(p, place, a->highs[t][one->partition]);
        one->offset = place->state == PLACE_STOPPED ? CONSUMER_END : place->next;
        return r;
}

int places_assign(struct places *p, struct db *db, struct consumer_partition *parts, size_t count,
        char why[256])
{
        struct asking a = {.places = DB_RESULT_NONE, .grown = DB_RESULT_NONE};
        const char *params[] = {ALL_TOPICS};
        p->assignment++;
        places_clear(p);
        int r = load_lives(db, a.lives);
        if (r == 0)
                r = db_run(db, &writer_sql[WRITER_SQL_PLACES], params, 1, &a.places);
        if (r == 0)
                r = db_run(db, &writer_sql[WRITER_SQL_GROWN], params, 1, &a.grown);
        if (r < 0)
                postgres_fault(db, r, why);
        for (size_t i = 0; r == 0 && i < count; i++)
                r = assign_one(p, db, &a, &parts[i], why);
        if (r == 0) {
                p->owned = count;
        } else {
                places_clear(p);
        }
        for (size_t t = 0; t < TOPIC_COUNT; t++)
                free(a.highs[t]);
        db_result_done(&a.places);
        db_result_done(&a.grown);
        return r;
}

int places_reload(struct places *p, struct db *db, struct place *place)
{
        int changed = places_epochs_changed(p, db);
        if (changed)
                return changed < 0 ? changed : -ESTALE;
        const char *params[] = {ALL_TOPICS};
        struct db_result res = DB_RESULT_NONE;
        int r = db_run(db, &writer_sql[WRITER_SQL_PLACES], params, 1, &res);
        if (r < 0)
                return r;
        int64_t next = 0;
        /* The row is gone: as good as a new life. */
        r = find_place(&res, place->part.topic, place->part.partition, place->part.epoch, &next,
                    &place->part.sent_before)
                    ? 0
                    : -ESTALE;
        if (r == 0) {
                place->next = place->committed = next;
                place->part.assignment = ++p->assignment;
                place->state = PLACE_READING;
        }
        db_result_done(&res);
        return r;
}

int places_set_back(
        struct places *p, struct db *db, void (*fn)(void *arg, struct place *place), void *arg)
{
        const char *params[] = {ALL_TOPICS};
        struct db_result res = DB_RESULT_NONE;
        int r = db_run(db, &writer_sql[WRITER_SQL_PLACES], params, 1, &res);
        if (r < 0)
                return r;
        for (int t = 0; t < TOPIC_COUNT; t++)
                for (size_t i = 0; i < p->count[t]; i++) {
                        struct place *place = &p->of[t][i];
                        int64_t next = 0, sent = 0;
                        if (place->state == PLACE_READING &&
                                find_place(&res, (enum writer_topic)t, (int32_t)i,
                                        place->part.epoch, &next, &sent) &&
                                next < place->committed)
                                fn(arg, place);
                }
        db_result_done(&res);
        return 0;
}
