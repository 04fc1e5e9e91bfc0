#include "writer/commit.h"

#include "writer/sessions.h"
#include "writer_sql.h"

#include "base/clock.h"
#include "base/hash.h"
#include "store/db.h"
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>

#define CAREFUL_MAX 64
#define NO_LABEL (-1)
#define COPY(table) "COPY " table " FROM STDIN (FORMAT binary)"

static const struct {
        const char *straight; /* NULL: always by way of staging */
        const char *staged;
        int merge; /* the statement that brings the staged rows home */
        int label; /* of the metric writer_rows */
} tables[TABLE_COUNT] = {
        [TABLE_MESSAGE] = {COPY("message"), COPY("stage_message"), WRITER_SQL_MERGE_MESSAGE, 1},
        [TABLE_NOTIFICATION] = {COPY("notification"), COPY("stage_notification"),
                WRITER_SQL_MERGE_NOTIFICATION, 5},
        [TABLE_BROADCAST] = {COPY("broadcast"), COPY("stage_broadcast"), WRITER_SQL_MERGE_BROADCAST,
                5},
        [TABLE_EVENT_ID] = {NULL, COPY("stage_event_id"), WRITER_SQL_MERGE_EVENT_ID, 7},
        [TABLE_CHAT_EVENT] = {COPY("chat_event"), COPY("stage_chat_event"),
                WRITER_SQL_MERGE_CHAT_EVENT, 0},
        [TABLE_NOTIFICATION_EVENT] = {COPY("notification_event"), COPY("stage_notification_event"),
                WRITER_SQL_MERGE_NOTIFICATION_EVENT, NO_LABEL},
        [TABLE_CONVERSATION] = {NULL, COPY("stage_conversation"), WRITER_SQL_MERGE_CONVERSATION, 3},
        [TABLE_MEMBER] = {NULL, COPY("stage_member"), WRITER_SQL_MERGE_MEMBER, 2},
        [TABLE_RECEIPT] = {NULL, COPY("stage_receipt"), WRITER_SQL_MERGE_RECEIPT, 4},
        [TABLE_SESSION] = {NULL, COPY("stage_session"), WRITER_SQL_MERGE_SESSION, 6},
        [TABLE_READ] = {NULL, COPY("stage_read"), WRITER_SQL_MERGE_READ, NO_LABEL},
        [TABLE_READ_ALL] = {NULL, COPY("stage_read_all"), WRITER_SQL_MERGE_READ_ALL, NO_LABEL},
};

void commit_done(struct commit *c)
{
        rows_done(&c->rows);
        days_done(&c->days);
        erasures_done(&c->erasures);
}

int commit_prepare(struct commit *c, struct db *db)
{
        int r = db_exec(db, writer_sql[WRITER_SQL_STAGE].text, NULL);
        return r < 0 ? r : days_load(&c->days, db);
}

/* ---- places ---- */

struct move { /* of one partition in one transaction */
        int64_t before, after, timestamp_ms, id_hash;
        bool moves, has_record; /* has_record: the last thing before `after` is one */
};

static struct move *moves_of(const struct batch *b, size_t from, size_t to)
{
        struct move *m = xcalloc(b->part_count, sizeof(*m));
        for (size_t i = from; i < to; i++) {
                const struct item *it = &b->items[i];
                if (b->parts[it->part].fenced)
                        continue;
                struct move *one = &m[it->part];
                if (!one->moves)
                        one->before = it->before;
                one->moves = true;
                one->after = it->after;
                /* A redriven record wears another one's time and id. */
                one->has_record = it->kind != ITEM_PLACE && !it->origin;
                if (one->has_record) {
                        one->timestamp_ms = it->record.timestamp_ms;
                        one->id_hash =
                                (int64_t)hash_murmur2(bus_record_header(&it->record, "ce_id"));
                }
        }
        return m;
}

struct columns { /* array literals */
        struct buf column[7];
        size_t rows;
};

static void put(struct columns *c, size_t i, int64_t v, bool null)
{
        buf_add_char(&c->column[i], c->rows ? ',' : '{');
        if (null)
                buf_add_str(&c->column[i], "NULL");
        else
                buf_add_i64(&c->column[i], v);
}

static void put_topic(struct columns *c, enum writer_topic topic)
{
        buf_add_char(&c->column[0], c->rows ? ',' : '{');
        buf_add_str(&c->column[0], writer_topics[topic]);
}

static void finish(struct columns *c, size_t count, const char **params)
{
        for (size_t i = 0; i < count; i++) {
                buf_add_str(&c->column[i], c->rows ? "}" : "{}");
                params[i] = buf_cstr(&c->column[i]);
        }
}

static void columns_done(struct columns *c)
{
        for (size_t i = 0; i < ARRAY_LEN(c->column); i++)
                buf_done(&c->column[i]);
}

/* Marks the partitions that did not come back. */
static int mark_fenced(struct batch *b, const struct move *m, const struct db_result *res)
{
        bool any = false;
        for (size_t i = 0; i < b->part_count; i++) {
                struct part *p = &b->parts[i];
                bool back = !m[i].moves;
                for (size_t k = 0; !back && k < res->rows; k++)
                        back = strcmp(db_value(res, k, 0), writer_topics[p->topic]) == 0 &&
                               db_int(res, k, 1) == p->partition;
                if (!back)
                        p->fenced = any = true;
        }
        return any ? -ESTALE : 0;
}

static int fence(struct commit *c, struct db *db, struct batch *b, const struct move *m)
{
        struct columns cols = {.rows = 0};
        for (size_t i = 0; i < b->part_count; i++) {
                const struct part *p = &b->parts[i];
                if (!m[i].moves)
                        continue;
                put_topic(&cols, p->topic);
                put(&cols, 1, p->partition, false);
                put(&cols, 2, p->epoch, false);
                put(&cols, 3, m[i].before, false);
                put(&cols, 4, m[i].after, false);
                put(&cols, 5, m[i].timestamp_ms, !m[i].has_record);
                put(&cols, 6, m[i].id_hash, !m[i].has_record);
                cols.rows++;
        }
        const char *params[7];
        finish(&cols, 7, params);
        struct db_result res = DB_RESULT_NONE;
        int r = cols.rows
                        ? db_run(db, &writer_sql[WRITER_SQL_FENCE], params, ARRAY_LEN(params), &res)
                        : 0;
        if (r == 0)
                r = mark_fenced(b, m, &res);
        if (r == 0 && res.rows)
                r = erasures_refresh(&c->erasures, db, db_int(&res, 0, 2));
        db_result_done(&res);
        columns_done(&cols);
        return r;
}

static void note_committed(struct batch *b, const struct move *m)
{
        for (size_t i = 0; i < b->part_count; i++)
                if (m[i].moves)
                        b->parts[i].committed = m[i].after;
}

static int load_places(struct db *db, struct db_result *ret)
{
        const char *params[] = {
                "{chat.events,chat.receipts,chat.sessions,notifications,broadcasts,redrive}"};
        return db_run(db, &writer_sql[WRITER_SQL_PLACES], params, 1, ret);
}

/* The partition's place, or -1. */
static int64_t place_of(const struct db_result *res, const struct part *p)
{
        for (size_t i = 0; i < res->rows; i++)
                if (strcmp(db_value(res, i, 0), writer_topics[p->topic]) == 0 &&
                        db_int(res, i, 1) == p->partition && db_int(res, i, 2) == p->epoch)
                        return db_int(res, i, 3);
        return -1;
}

int commit_check(struct commit *c, struct db *db, struct batch *b, size_t from, size_t to)
{
        UNUSED(c);
        struct db_result res = DB_RESULT_NONE;
        int r = load_places(db, &res);
        if (r < 0)
                return r;
        struct move *m = moves_of(b, from, to);
        for (size_t i = 0; i < b->part_count; i++)
                if (m[i].moves && place_of(&res, &b->parts[i]) != m[i].before)
                        b->parts[i].fenced = true;
        free(m);
        db_result_done(&res);
        return 0;
}

int commit_happened(struct commit *c, struct db *db, struct batch *b, size_t from, size_t to)
{
        UNUSED(c);
        struct db_result res = DB_RESULT_NONE;
        int r = load_places(db, &res);
        if (r < 0)
                return r;
        struct move *m = moves_of(b, from, to);
        /* All places of a transaction move together: any one of them tells. One that stands elsewhere was moved since by another,
         * and whether we were before it no longer matters to it. */
        bool happened = false, told = false;
        for (size_t i = 0; !told && i < b->part_count; i++) {
                int64_t at = m[i].moves ? place_of(&res, &b->parts[i]) : -1;
                happened = m[i].moves && at == m[i].after;
                told = happened || (m[i].moves && at == m[i].before);
        }
        if (happened)
                note_committed(b, m);
        db_result_done(&res);
        free(m);
        return happened ? 0 : -ENOENT;
}

/* ---- rows ---- */

static bool goes_straight(const struct commit *c, enum table t)
{
        return tables[t].straight && c->careful == 0;
}

static void be_careful(struct commit *c)
{
        unsigned n = c->careful_next ? c->careful_next : 1;
        c->careful = n;
        c->careful_next = n * 2 < CAREFUL_MAX ? n * 2 : CAREFUL_MAX;
}

/* Copies a table's rows and merges them. ret may be NULL. */
static int write_table(struct commit *c, struct db *db, enum table t, uint64_t written[TABLE_COUNT],
        struct db_result *ret)
{
        if (c->rows.count[t] == 0)
                return 0;
        bool straight = goes_straight(c, t);
        uint64_t rows = 0;
        int r = db_copy_in(db, straight ? tables[t].straight : tables[t].staged,
                buf_slice(&c->rows.data[t]), &rows);
        if (straight && r == -EINVAL && strcmp(db_error(db)->sqlstate, "23505") == 0) {
                be_careful(c);
                return -ESTALE;
        }
        if (r == 0 && !straight) {
                struct db_result res = DB_RESULT_NONE;
                r = db_run(db, &writer_sql[tables[t].merge], NULL, 0, &res);
                rows = res.affected;
                if (r == 0 && ret)
                        *ret = res;
                else
                        db_result_done(&res);
        }
        if (r == 0)
                written[t] += rows;
        return r;
}

/* ids are those of result's first column; the items of this class whose id is among them (or is not) are known. */
static void mark_known(struct batch *b, size_t from, size_t to, enum id_class class,
        const struct db_result *ids, bool among)
{
        struct map set = MAP_EMPTY;
        for (size_t i = 0; i < ids->rows; i++)
                map_put(&set, slice_of(db_value(ids, i, 0), db_length(ids, i, 0)), ids->handle);
        for (size_t i = from; i < to; i++) {
                struct item *it = &b->items[i];
                if (it->id_class == class && item_counts(b, it) &&
                        (map_get(&set, it->id) != NULL) == among)
                        it->known = true;
        }
        map_done(&set);
}

/* Tables whose own key keeps an id unique: what was not inserted is asked for, which hardly ever happens. */
static int write_unique(struct commit *c, struct db *db, struct batch *b, size_t from, size_t to,
        enum table t, enum id_class class, int known_sql, uint64_t written[TABLE_COUNT])
{
        uint64_t before = written[t];
        int r = write_table(c, db, t, written, NULL);
        if (r < 0 || written[t] - before == c->rows.count[t])
                return r;
        struct db_result res = DB_RESULT_NONE;
        r = db_run(db, &writer_sql[known_sql], NULL, 0, &res);
        if (r == 0)
                mark_known(b, from, to, class, &res, true);
        db_result_done(&res);
        return r;
}

static int write_event_ids(struct commit *c, struct db *db, struct batch *b, size_t from, size_t to,
        uint64_t written[TABLE_COUNT])
{
        struct db_result fresh = DB_RESULT_NONE;
        int r = write_table(c, db, TABLE_EVENT_ID, written, &fresh);
        if (r == 0 && fresh.rows < c->rows.count[TABLE_EVENT_ID])
                mark_known(b, from, to, ID_EVENT, &fresh, false);
        db_result_done(&fresh);
        return r;
}

static int write_ids(struct commit *c, struct db *db, struct batch *b, size_t from, size_t to,
        uint64_t written[TABLE_COUNT])
{
        for (size_t i = from; i < to; i++)
                b->items[i].known = false;
        rows_ids(&c->rows, b, from, to);
        rows_finish(&c->rows, TABLE_MESSAGE, TABLE_EVENT_ID);
        int r = write_unique(
                c, db, b, from, to, TABLE_MESSAGE, ID_MESSAGE, WRITER_SQL_KNOWN_MESSAGE, written);
        if (r == 0)
                r = write_unique(c, db, b, from, to, TABLE_NOTIFICATION, ID_NOTIFICATION,
                        WRITER_SQL_KNOWN_NOTIFICATION, written);
        if (r == 0)
                r = write_unique(c, db, b, from, to, TABLE_BROADCAST, ID_BROADCAST,
                        WRITER_SQL_KNOWN_BROADCAST, written);
        return r < 0 ? r : write_event_ids(c, db, b, from, to, written);
}

static int write_rest(struct commit *c, struct db *db, struct batch *b, size_t from, size_t to,
        uint64_t written[TABLE_COUNT])
{
        rows_rest(&c->rows, b, from, to);
        int r = sessions_fold(db, &c->rows, b, from, to);
        rows_finish(&c->rows, TABLE_CHAT_EVENT, TABLE_READ_ALL);
        for (int t = TABLE_CHAT_EVENT; r == 0 && t <= TABLE_READ_ALL; t++)
                r = write_table(c, db, (enum table)t, written, NULL);
        return r;
}

/* The intents whose copies stand in the log have done their duty. */
static int forget_intents(struct db *db, const struct batch *b, size_t from, size_t to)
{
        struct columns c = {.rows = 0};
        for (size_t i = from; i < to; i++) {
                const struct item *it = &b->items[i];
                const struct part *p = &b->parts[it->part];
                if (it->kind != ITEM_REKEY || p->fenced)
                        continue;
                put_topic(&c, p->topic);
                put(&c, 1, p->partition, false);
                put(&c, 2, p->epoch, false);
                put(&c, 3, it->record.offset, false);
                c.rows++;
        }
        const char *params[4];
        finish(&c, 4, params);
        int r = c.rows ? db_run(db, &writer_sql[WRITER_SQL_REKEY_DONE], params, ARRAY_LEN(params),
                                 NULL)
                       : 0;
        columns_done(&c);
        return r;
}

/* ---- the transaction ---- */

static int need_days(struct commit *c, struct db *db, const struct batch *b, size_t from, size_t to)
{
        int64_t now = clock_wall_ms();
        int32_t last = INT32_MIN;
        int r = 0;
        for (size_t i = from; r == 0 && i < to; i++) {
                const struct item *it = &b->items[i];
                int32_t day = day_of(it->created_ms);
                if (it->kind == ITEM_STORE && day != last)
                        r = days_need(&c->days, db, day, now);
                last = it->kind == ITEM_STORE ? day : last;
        }
        /* Whatever is wrong with a table is not the records' fault. */
        return r == -EINVAL ? -EPROTO : r;
}

static void count_rows(struct commit *c, struct batch *b, size_t from, size_t to,
        const uint64_t written[TABLE_COUNT])
{
        for (size_t t = 0; t < TABLE_COUNT; t++)
                if (tables[t].label != NO_LABEL && written[t])
                        metrics_add(c->metrics, M_writer_rows, (unsigned)tables[t].label,
                                (int64_t)written[t]);
        int64_t repeated = 0;
        for (size_t i = from; i < to; i++)
                repeated += b->items[i].kind == ITEM_REPEATED || b->items[i].known;
        metrics_add(c->metrics, M_dedupe_hits, 0, repeated);
}

static int transaction(struct commit *c, struct db *db, struct batch *b, size_t from, size_t to,
        const struct move *m, uint64_t written[TABLE_COUNT])
{
        int r = db_begin(db);
        if (r == 0)
                r = fence(c, db, b, m);
        if (r == 0)
                erasures_apply(&c->erasures, b, from, to);
        if (r == 0)
                r = write_ids(c, db, b, from, to, written);
        if (r == 0)
                r = write_rest(c, db, b, from, to, written);
        if (r == 0)
                r = forget_intents(db, b, from, to);
        if (r == 0)
                r = db_commit(db);
        if (r < 0 && r != -EINPROGRESS)
                db_rollback(db);
        return r;
}

int commit_run(struct commit *c, struct db *db, struct batch *b, size_t from, size_t to)
{
        uint64_t written[TABLE_COUNT] = {0};
        int r = need_days(c, db, b, from, to);
        if (r < 0)
                return r;
        struct move *m = moves_of(b, from, to);
        r = transaction(c, db, b, from, to, m, written);
        if (r == 0) {
                note_committed(b, m);
                count_rows(c, b, from, to, written);
                if (c->careful > 0)
                        c->careful--;
                else
                        c->careful_next = 0;
        }
        free(m);
        return r;
}
