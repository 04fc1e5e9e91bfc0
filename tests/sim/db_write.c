/*
 * What the writer's statements say, on the simulated tables.
 */
#include "db_internal.h"

#include "base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define COLUMNS_MAX 8

/* A record with this text in it is one that Postgres does not take though it is valid. */
#define REFUSED "refuse me"

static int64_t number(const char *text)
{
        return strtoll(text, NULL, 10);
}

/* ---- arrays side by side, as unnest() gives them ---- */

struct unnest {
        const char *at[COLUMNS_MAX];
        struct buf value[COLUMNS_MAX];
        size_t columns;
};

static void unnest_begin(struct unnest *u, const char *const *params, size_t columns)
{
        *u = (struct unnest){.columns = columns};
        for (size_t i = 0; i < columns; i++)
                u->at[i] = params[i];
}

/* False at the end, when it is done with. */
static bool unnest_next(struct unnest *u)
{
        for (size_t i = 0; i < u->columns; i++)
                if (!array_next(&u->at[i], &u->value[i])) {
                        CHECK(i == 0);
                        for (size_t k = 0; k < u->columns; k++)
                                buf_done(&u->value[k]);
                        return false;
                }
        return true;
}

static int64_t unnest_int(struct unnest *u, size_t column)
{
        return number(buf_cstr(&u->value[column]));
}

static bool array_has(const char *array, const char *what)
{
        struct buf item = BUF_EMPTY;
        bool found = false;
        while (!found && array_next(&array, &item))
                found = strcmp(buf_cstr(&item), what) == 0;
        buf_done(&item);
        return found;
}

/* ---- COPY ---- */

static void stage(void *arg, enum table_id id, struct row *r)
{
        struct transaction *tx = arg;
        table_append(&tx->staged[id], r);
}

static bool is_refused(const struct table *t, size_t from)
{
        for (size_t i = from; i < t->count; i++)
                for (size_t k = 0; k < CELLS_MAX; k++)
                        if (t->rows[i]->cells[k].s.n &&
                                strstr(t->rows[i]->cells[k].s.p, REFUSED))
                                return true;
        return false;
}

/* Whether the key stands in the table as this transaction sees it; waits for those who are about to write it. */
static int is_there(struct db *db, enum table_id id, struct slice key, bool *ret)
{
        for (;;) {
                const struct transaction *other = NULL;
                transactions_reap(db->pg);
                list_for_each(it, &db->pg->open)
                {
                        const struct transaction *tx =
                                list_entry(it, struct transaction, in_postgres);
                        if (tx != db->tx && table_find(&tx->written[id], key))
                                other = tx;
                }
                *ret = table_find(&db->pg->tables[id], key) ||
                       table_find(&db->tx->written[id], key);
                if (!other || *ret)
                        return 0;
                int r = db_look_again(db);
                if (r < 0)
                        return r;
        }
}

static int copy_straight(struct db *db, enum table_id id, size_t from)
{
        struct table *staged = &db->tx->staged[id];
        for (size_t i = from; i < staged->count; i++) {
                bool there = false;
                int r = is_there(db, id, staged->rows[i]->key, &there);
                if (r < 0)
                        return r;
                if (there)
                        return db_refuse(db, -EINVAL, "23505", "duplicate key");
                table_add(&db->tx->written[id], row_new(id, staged->rows[i]->cells));
        }
        return 0;
}

int db_copy_in(struct db *db, const char *sql, struct slice data, uint64_t *ret_rows)
{
        char name[64] = "";
        int r = db_turn(db);
        if (r < 0)
                return r;
        CHECK(db->tx && sscanf(sql, "COPY %63s", name) == 1);
        bool staged = strncmp(name, "stage_", 6) == 0;
        enum table_id id = table_named(slice_str(staged ? name + 6 : name));
        CHECK(id < PG_TABLES);
        size_t from = db->tx->staged[id].count;
        if (!table_read_copy(id, data, stage, db->tx))
                return db_refuse(db, -EPROTO, "22P04", "no rows in COPY's format");
        if (is_refused(&db->tx->staged[id], from))
                return db_refuse(db, -EINVAL, "22P05", "the record is not taken");
        *ret_rows = db->tx->staged[id].count - from;
        return staged ? 0 : copy_straight(db, id, from);
}

/* ---- what was staged goes home ---- */

/* INSERT … ON CONFLICT DO NOTHING; the keys of those that are new into ret if it is not NULL. */
static int insert_staged(struct db *db, enum table_id id, struct cells *ret, uint64_t *ret_affected)
{
        struct table *staged = &db->tx->staged[id];
        for (size_t i = 0; i < staged->count; i++) {
                bool there = false, message = false;
                int r = is_there(db, id, staged->rows[i]->key, &there);
                if (r == 0 && id == PG_EVENT_ID && !there)
                        r = is_there(db, PG_MESSAGE, staged->rows[i]->key, &message);
                if (r < 0)
                        return r;
                if (there || message)
                        continue;
                table_add(&db->tx->written[id], row_new(id, staged->rows[i]->cells));
                (*ret_affected)++;
                if (ret)
                        cell_text(ret, staged->rows[i]->key);
        }
        return 0;
}

static int merge(struct db *db, const char *table, struct cells *ret, uint64_t *ret_affected)
{
        enum table_id id = table_named(slice_str(table));
        CHECK(id < PG_TABLES && db->tx);
        if (id < PG_CONVERSATION)
                return insert_staged(db, id, id == PG_EVENT_ID ? ret : NULL, ret_affected);
        db->tx->merges[id] = true;
        *ret_affected = db->tx->staged[id].count;
        return 0;
}

/* Staged ids that stand in the table with another seq. */
static void known(struct db *db, enum table_id id, struct cells *ret)
{
        const struct table *staged = &db->tx->staged[id];
        for (size_t i = 0; i < staged->count; i++) {
                const struct row *s = staged->rows[i];
                const struct row *there = table_find(&db->pg->tables[id], s->key);
                if (!there)
                        there = table_find(&db->tx->written[id], s->key);
                if (there && there->cells[1].i != s->cells[1].i)
                        cell_text(ret, s->key);
        }
}

/* ---- places ---- */

static void remember_move(struct transaction *tx, size_t place, int64_t before, int64_t after)
{
        tx->moves = xrealloc(tx->moves, (tx->move_count + 1) * sizeof(*tx->moves));
        tx->moves[tx->move_count++] = (struct move){place, before, after};
}

/* Waits until nobody else has the place locked. */
static int await_lock(struct db *db, size_t place)
{
        for (;;) {
                transactions_reap(db->pg);
                struct transaction *holder = db->pg->places[place].locked;
                if (!holder || holder == db->tx)
                        return 0;
                int r = db_look_again(db);
                if (r < 0)
                        return r;
        }
}

static int fence(struct db *db, const char *const *v, struct cells *ret)
{
        struct unnest u;
        int r = 0;
        ret->columns = 3;
        unnest_begin(&u, v, 7);
        while (unnest_next(&u)) {
                const char *topic = buf_cstr(&u.value[0]);
                uint32_t epoch = (uint32_t)unnest_int(&u, 2);
                const struct place_row *found = postgres_find_place(
                        db->pg, topic, (int32_t)unnest_int(&u, 1), epoch);
                if (r < 0 || !found)
                        continue;
                size_t place = (size_t)(found - db->pg->places);
                r = await_lock(db, place);
                if (r < 0 || db->pg->places[place].next_offset != unnest_int(&u, 3) ||
                        postgres_life(db->pg, topic).epoch > epoch)
                        continue;
                db->pg->places[place].locked = db->tx;
                remember_move(db->tx, place, unnest_int(&u, 3), unnest_int(&u, 4));
                cell_text(ret, slice_str(topic));
                cell_i64(ret, unnest_int(&u, 1));
                cell_i64(ret, 0);
        }
        return r;
}

static void places(const struct db *db, const char *const *v, struct cells *ret)
{
        ret->columns = 5;
        for (size_t i = 0; i < db->pg->place_count; i++) {
                const struct place_row *p = &db->pg->places[i];
                if (!array_has(v[0], p->topic))
                        continue;
                cell_text(ret, slice_str(p->topic));
                cell_i64(ret, p->partition);
                cell_i64(ret, p->epoch);
                cell_i64(ret, p->next_offset);
                cell_i64(ret, 0);
        }
}

static void place_first(struct db *db, const char *const *v)
{
        int32_t partition = (int32_t)number(v[1]);
        uint32_t epoch = (uint32_t)number(v[2]);
        if (postgres_find_place(db->pg, v[0], partition, epoch))
                return;
        struct place_row *p = postgres_place(db->pg, v[0], partition, epoch);
        p->next_offset = p->complete_from = number(v[3]);
}

static int place_skip(struct db *db, const char *const *v)
{
        const struct place_row *found = postgres_find_place(
                db->pg, v[0], (int32_t)number(v[1]), (uint32_t)number(v[2]));
        if (!found)
                return 0;
        size_t place = (size_t)(found - db->pg->places);
        int r = await_lock(db, place);
        struct place_row *p = &db->pg->places[place];
        if (r == 0 && p->next_offset == number(v[3]))
                p->next_offset = p->complete_from = number(v[4]);
        return r;
}

static void epochs(const struct db *db, const char *const *v, struct cells *ret)
{
        ret->columns = 3;
        for (size_t i = 0; i < db->pg->life_count; i++) {
                const struct life_row *l = &db->pg->lives[i];
                if (postgres_life(db->pg, l->topic).epoch != l->epoch ||
                        !array_has(v[0], l->topic))
                        continue;
                cell_text(ret, slice_str(l->topic));
                cell_i64(ret, l->epoch);
                cell_i64(ret, l->partitions);
        }
}

/* ---- sessions, copies ---- */

static void session_owners(const struct db *db, const char *const *v, struct cells *ret)
{
        struct buf key = BUF_EMPTY;
        const char *at = v[0];
        ret->columns = 4;
        while (array_next(&at, &key)) {
                const struct row *r = table_find(&db->pg->tables[PG_SESSION], buf_slice(&key));
                if (!r)
                        continue;
                cell_text(ret, r->key);
                cell_i64(ret, r->cells[1].i);
                cell_text(ret, r->cells[7].s);
                cell_i64(ret, r->cells[2].i);
        }
        buf_done(&key);
}

static struct intent_row *find_intent(struct postgres *pg, struct unnest *u)
{
        for (size_t i = 0; i < pg->intent_count; i++) {
                struct intent_row *r = &pg->intents[i];
                if (!r->done && strcmp(r->topic, buf_cstr(&u->value[0])) == 0 &&
                        r->partition == unnest_int(u, 1) && r->epoch == unnest_int(u, 2) &&
                        r->offset == unnest_int(u, 3))
                        return r;
        }
        return NULL;
}

static void rekey_intend(struct db *db, const char *const *v, struct cells *ret)
{
        struct unnest u;
        ret->columns = 3;
        unnest_begin(&u, v, 6);
        while (unnest_next(&u)) {
                struct intent_row *r = find_intent(db->pg, &u);
                if (r) {
                        cell_text(ret, slice_str(r->topic));
                        cell_i64(ret, r->target);
                        cell_i64(ret, r->target_offset);
                        continue;
                }
                r = postgres_add_intent(db->pg);
                snprintf(r->topic, sizeof(r->topic), "%s", buf_cstr(&u.value[0]));
                r->partition = (int32_t)unnest_int(&u, 1);
                r->epoch = (uint32_t)unnest_int(&u, 2);
                r->offset = unnest_int(&u, 3);
                r->target = (int32_t)unnest_int(&u, 4);
                r->target_offset = unnest_int(&u, 5);
        }
}

static void rekey_done(struct db *db, const char *const *v)
{
        struct unnest u;
        struct transaction *tx = db->tx;
        CHECK(tx);
        unnest_begin(&u, v, 4);
        while (unnest_next(&u)) {
                const struct intent_row *r = find_intent(db->pg, &u);
                if (!r)
                        continue;
                tx->done_intents = xrealloc(
                        tx->done_intents, (tx->done_count + 1) * sizeof(*tx->done_intents));
                tx->done_intents[tx->done_count++] = (size_t)(r - db->pg->intents);
        }
}

/* ---- all of them ---- */

int db_write_statement(struct db *db, const char *name, const char *const *params, struct cells *ret,
        uint64_t *ret_affected)
{
        CHECK(strncmp(name, "writer_", 7) == 0);
        name += 7;
        ret->columns = 1;
        if (strncmp(name, "merge_", 6) == 0)
                return merge(db, name + 6, ret, ret_affected);
        if (strcmp(name, "fence") == 0)
                return fence(db, params, ret);
        if (strcmp(name, "place_skip") == 0)
                return place_skip(db, params);
        if (strncmp(name, "known_", 6) == 0)
                known(db, table_named(slice_str(name + 6)), ret);
        else if (strcmp(name, "places") == 0)
                places(db, params, ret);
        else if (strcmp(name, "place_first") == 0)
                place_first(db, params);
        else if (strcmp(name, "epochs") == 0)
                epochs(db, params, ret);
        else if (strcmp(name, "session_owners") == 0)
                session_owners(db, params, ret);
        else if (strcmp(name, "rekey_intend") == 0)
                rekey_intend(db, params, ret);
        else if (strcmp(name, "rekey_done") == 0)
                rekey_done(db, params);
        else if (strcmp(name, "epoch_first") == 0)
                postgres_add_life(db->pg, params[0], 1, (uint32_t)number(params[2]));
        else if (strcmp(name, "days") != 0 && strcmp(name, "make_day") != 0 &&
                 strcmp(name, "erased") != 0 && strcmp(name, "grown") != 0) {
                printf("the simulated Postgres has no statement %s\n", name);
                CHECK(!"a statement that is not known");
        }
        return 0;
}
