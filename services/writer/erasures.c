#include "writer/erasures.h"
#include "writer/rows.h"
#include "writer_sql.h"

#include "store/db.h"

#include <stdlib.h>

struct erased_user {
        char *id; /* owned */
        int64_t before_ms;
        struct erased_user *next;
};

void erasures_done(struct erasures *er)
{
        map_done(&er->by_id);
        while (er->all) {
                struct erased_user *u = er->all;
                er->all = u->next;
                free(u->id);
                free(u);
        }
        *er = (struct erasures){.by_id = MAP_EMPTY};
}

int erasures_refresh(struct erasures *er, struct db *db, int64_t version)
{
        if (version == er->version)
                return 0;
        struct db_result res = DB_RESULT_NONE;
        int r = db_run(db, &writer_sql[WRITER_SQL_ERASED], NULL, 0, &res);
        if (r < 0)
                return r;
        erasures_done(er);
        for (size_t i = 0; i < res.rows; i++) {
                struct erased_user *u = xcalloc(1, sizeof(*u));
                *u = (struct erased_user){
                        xstrdup(db_value(&res, i, 0)), db_int(&res, i, 1), er->all};
                er->all = u;
                map_put(&er->by_id, slice_str(u->id), u);
                if (db_int(&res, i, 2) > er->version)
                        er->version = db_int(&res, i, 2);
        }
        db_result_done(&res);
        return 0;
}

static void apply(const struct erasures *er, struct batch *b, struct item *it)
{
        struct slice user = event_erasable(&it->event, it->key);
        const struct erased_user *u = user.n ? map_get(&er->by_id, user) : NULL;
        if (!u || it->created_ms > u->before_ms)
                return;
        it->erased = it->origin || !event_blank(&it->event);
        if (it->erased)
                return;
        struct buf data = BUF_EMPTY;
        event_encode(&it->event, &data);
        it->value = arena_slice(&b->arena, buf_slice(&data));
        buf_done(&data);
}

void erasures_apply(const struct erasures *er, struct batch *b, size_t from, size_t to)
{
        if (!er->all)
                return;
        for (size_t i = from; i < to; i++)
                if (item_counts(b, &b->items[i]))
                        apply(er, b, &b->items[i]);
}
