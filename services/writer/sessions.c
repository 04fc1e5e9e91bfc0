#include "writer/sessions.h"
#include "writer_sql.h"

#include "store/db.h"

#include <stdlib.h>

struct session {
        struct slice key;        /* borrowed from an item */
        int64_t gen;             /* -1: nobody owns it yet */
        int64_t seq;             /* of the record that counts */
        struct slice gateway;    /* borrowed from an item or from the answer */
        const struct item *item; /* the one that counts; NULL: Postgres has it already */
};

struct fold {
        struct session *all; /* owned array of cap */
        size_t count, cap;
        struct map by_key; /* to index + 1 */
};

static struct session *session_of(struct fold *f, struct slice key)
{
        uintptr_t at = (uintptr_t)map_get(&f->by_key, key);
        return at ? &f->all[at - 1] : NULL;
}

static void add(struct fold *f, struct slice key)
{
        if (session_of(f, key))
                return;
        if (f->count == f->cap) {
                f->cap = f->cap ? f->cap * 2 : 64;
                f->all = xrealloc(f->all, f->cap * sizeof(*f->all));
        }
        f->all[f->count++] = (struct session){.key = key, .gen = -1};
        map_put(&f->by_key, key, (void *)(uintptr_t)f->count);
}

static bool is_session(const struct batch *b, const struct item *it)
{
        return item_counts(b, it) && it->event.type == EVENT_SESSION;
}

/* The keys are hexadecimal: an array of them needs no quotes. */
static int load_owners(struct db *db, struct fold *f, struct db_result *res)
{
        struct buf keys = BUF_EMPTY;
        buf_add_char(&keys, '{');
        for (size_t i = 0; i < f->count; i++) {
                if (i)
                        buf_add_char(&keys, ',');
                buf_add_slice(&keys, f->all[i].key);
        }
        buf_add_char(&keys, '}');
        const char *params[] = {buf_cstr(&keys)};
        int r = db_run(db, &writer_sql[WRITER_SQL_SESSION_OWNERS], params, 1, res);
        buf_done(&keys);
        if (r < 0)
                return r;
        for (size_t i = 0; i < res->rows; i++) {
                struct session *s = session_of(f, slice_str(db_value(res, i, 0)));
                CHECK(s);
                s->gen = db_int(res, i, 1);
                s->gateway = slice_str(db_value(res, i, 2));
                s->seq = db_int(res, i, 3);
        }
        return 0;
}

static void apply(struct session *s, const struct item *it)
{
        const struct event *e = &it->event;
        /* A record from before what is stored: a place that was set back. */
        if (it->seq <= s->seq && s->gen >= 0)
                return;
        if (e->gen < s->gen || (e->gen == s->gen && !slice_eq(slice_str(e->gateway), s->gateway)))
                return;
        s->gen = e->gen;
        s->gateway = slice_str(e->gateway);
        s->seq = it->seq;
        s->item = it;
}

int sessions_fold(struct db *db, struct rows *r, const struct batch *b, size_t from, size_t to)
{
        struct fold f = {.by_key = MAP_EMPTY};
        struct db_result res = DB_RESULT_NONE;
        for (size_t i = from; i < to; i++)
                if (is_session(b, &b->items[i]))
                        add(&f, b->items[i].key);
        int err = f.count ? load_owners(db, &f, &res) : 0;
        for (size_t i = from; err == 0 && i < to; i++)
                if (is_session(b, &b->items[i]))
                        apply(session_of(&f, b->items[i].key), &b->items[i]);
        for (size_t i = 0; err == 0 && i < f.count; i++)
                if (f.all[i].item)
                        rows_session(r, f.all[i].item);
        db_result_done(&res);
        map_done(&f.by_key);
        free(f.all);
        return err;
}
