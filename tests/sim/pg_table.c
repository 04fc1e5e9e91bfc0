#include "pg_table.h"

#include <stdlib.h>

#define POSTGRES_EPOCH_MS INT64_C(946684800000)
#define COPY_HEAD 19

/* columns: t text, l bigint, i int, z timestamptz, b boolean. key: how many of the first columns the key is made of; -1: of seq and,
 * where there is one, the topic. */
static const struct {
        const char *name, *columns;
        int key;
} tables[PG_TABLES] = {
        [PG_MESSAGE] = {"message", "tlzttttttt", 1},
        [PG_NOTIFICATION] = {"notification", "tlzzttttt", 1},
        [PG_BROADCAST] = {"broadcast", "tlzttttt", 1},
        [PG_EVENT_ID] = {"event_id", "t", 1},
        [PG_CHAT_EVENT] = {"chat_event", "lziitttt", -1},
        [PG_NOTIFICATION_EVENT] = {"notification_event", "lziittttt", -1},
        [PG_CONVERSATION] = {"conversation", "tlztbt", 1},
        [PG_MEMBER] = {"member", "tttlb", 2},
        [PG_RECEIPT] = {"receipt", "ttlz", 2},
        [PG_SESSION] = {"session", "tllzbtttt", 1},
        [PG_READ] = {"read", "ttz", 2},
        [PG_READ_ALL] = {"read_all", "tlz", 1},
};

enum table_id table_named(struct slice name)
{
        for (int t = 0; t < PG_TABLES; t++)
                if (slice_is(name, tables[t].name))
                        return (enum table_id)t;
        return PG_TABLES;
}

size_t table_columns(enum table_id id)
{
        return strlen(tables[id].columns);
}

/* ---- rows ---- */

static void key_text(enum table_id id, const struct cell *cells, struct buf *out)
{
        if (tables[id].key < 0) {
                if (id == PG_NOTIFICATION_EVENT)
                        buf_add_slice(out, cells[4].s);
                buf_printf(out, "/%lld/%lld", (long long)cells[EVENT_PARTITION].i,
                        (long long)cells[EVENT_SEQ].i);
                return;
        }
        for (int i = 0; i < tables[id].key; i++) {
                if (i)
                        buf_add_char(out, '\n');
                buf_add_slice(out, cells[i].s);
        }
}

static struct slice put(char **at, struct slice s)
{
        char *p = *at;
        if (s.n)
                memcpy(p, s.p, s.n);
        p[s.n] = '\0';
        *at = p + s.n + 1;
        return slice_of(p, s.n);
}

struct row *row_new(enum table_id id, const struct cell *cells)
{
        struct buf key = BUF_EMPTY;
        size_t columns = table_columns(id);
        key_text(id, cells, &key);
        size_t bytes = key.n + 1;
        for (size_t i = 0; i < columns; i++)
                bytes += cells[i].s.n + 1;
        struct row *r = xcalloc(1, sizeof(*r) + bytes);
        char *at = r->bytes;
        r->key = put(&at, buf_slice(&key));
        for (size_t i = 0; i < columns; i++) {
                r->cells[i] = cells[i];
                if (!cells[i].null && tables[id].columns[i] == 't')
                        r->cells[i].s = put(&at, cells[i].s);
        }
        buf_done(&key);
        return r;
}

struct row *row_free(struct row *r)
{
        free(r);
        return NULL;
}

/* ---- COPY ---- */

static int64_t number(const char *p, size_t n)
{
        uint64_t v = 0;
        for (size_t i = 0; i < n; i++)
                v = v << 8 | (uint8_t)p[i];
        return n == 4 ? (int32_t)v : n == 2 ? (int16_t)v : (int64_t)v;
}

/* One field. The bytes behind it, or NULL. */
static const char *read_cell(char type, const char *p, const char *end, struct cell *ret)
{
        if (end - p < 4)
                return NULL;
        int64_t n = number(p, 4);
        p += 4;
        *ret = (struct cell){.null = n < 0};
        if (n < 0)
                return p;
        int64_t want = type == 'b' ? 1 : type == 'i' ? 4 : type == 't' ? n : 8;
        if (n != want || end - p < n)
                return NULL;
        if (type == 't')
                ret->s = slice_of(p, (size_t)n);
        else
                ret->i = number(p, (size_t)n);
        if (type == 'z')
                ret->i = ret->i / 1000 + POSTGRES_EPOCH_MS;
        return p + n;
}

bool table_read_copy(enum table_id id, struct slice data,
        void (*fn)(void *arg, enum table_id id, struct row *r), void *arg)
{
        const char *columns = tables[id].columns, *end = data.p + data.n;
        if (data.n < COPY_HEAD + 2)
                return false;
        const char *p = data.p + COPY_HEAD;
        while (p && end - p >= 2) {
                int64_t fields = number(p, 2);
                struct cell cells[CELLS_MAX] = {{0}};
                p += 2;
                if (fields < 0)
                        return p == end;
                if (fields != (int64_t)strlen(columns))
                        return false;
                for (int64_t i = 0; p && i < fields; i++)
                        p = read_cell(columns[i], p, end, &cells[i]);
                if (p)
                        fn(arg, id, row_new(id, cells));
        }
        return false;
}

/* ---- tables ---- */

struct row *table_find(const struct table *t, struct slice key)
{
        return map_get(&t->by_key, key);
}

void table_append(struct table *t, struct row *r)
{
        if (t->count == t->cap) {
                t->cap = t->cap ? t->cap * 2 : 64;
                t->rows = xrealloc(t->rows, t->cap * sizeof(*t->rows));
        }
        t->rows[t->count++] = r;
}

void table_add(struct table *t, struct row *r)
{
        CHECK(!table_find(t, r->key));
        table_append(t, r);
        map_put(&t->by_key, r->key, r);
}

void table_done(struct table *t)
{
        for (size_t i = 0; i < t->count; i++)
                row_free(t->rows[i]);
        free(t->rows);
        map_done(&t->by_key);
        *t = (struct table){.by_key = MAP_EMPTY};
}

static void replace(struct table *t, struct row *old, struct row *r)
{
        for (size_t i = 0; i < t->count; i++)
                if (t->rows[i] == old)
                        t->rows[i] = r;
        map_remove(&t->by_key, old->key);
        map_put(&t->by_key, r->key, r);
        row_free(old);
}

/* A member's row is kept as it was staged: role, added_seq, and in the last cell removed_seq (0: never). */
static void as_member(struct row *r)
{
        bool added = r->cells[4].i;
        int64_t seq = r->cells[3].i;
        r->cells[3].i = added ? seq : 0;
        r->cells[4] = (struct cell){.null = added, .i = added ? 0 : seq};
}

static bool is_newer(enum table_id id, const struct row *old, const struct row *r)
{
        if (id == PG_RECEIPT)
                return r->cells[2].i > old->cells[2].i;
        if (id == PG_READ_ALL)
                return r->cells[1].i > old->cells[1].i;
        return id == PG_SESSION;
}

static bool merge_member(struct row *old, const struct row *r)
{
        bool changed = false;
        if (r->cells[3].i > old->cells[3].i) {
                old->cells[3].i = r->cells[3].i;
                changed = true;
        }
        if (r->cells[4].i > old->cells[4].i) {
                old->cells[4] = r->cells[4];
                changed = true;
        }
        return changed;
}

bool table_merge(enum table_id id, struct table *t, struct row *r)
{
        struct row *old = table_find(t, r->key);
        if (id == PG_MEMBER)
                as_member(r);
        if (!old) {
                table_add(t, r);
                return true;
        }
        if (is_newer(id, old, r)) {
                replace(t, old, r);
                return true;
        }
        bool changed = id == PG_MEMBER && merge_member(old, r);
        row_free(r);
        return changed;
}
