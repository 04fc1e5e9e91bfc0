/*
 * What the gateways' statements say, on the simulated tables.
 */
#include "postgres.h"

#include <stdio.h>
#include <stdlib.h>

#define KEYS_MAX 64

static int64_t number(const char *text)
{
        return strtoll(text, NULL, 10);
}

static void number_or_null(struct cells *c, int64_t v)
{
        if (v)
                cell_i64(c, v);
        else
                cell_null(c);
}

static struct row *find(const struct postgres *pg, enum table_id id, const char *a, const char *b)
{
        struct buf key = BUF_EMPTY;
        buf_add_str(&key, a);
        if (b) {
                buf_add_char(&key, '\n');
                buf_add_str(&key, b);
        }
        struct row *r = table_find(&pg->tables[id], buf_slice(&key));
        buf_done(&key);
        return r;
}

/* ---- feed ---- */

struct keys {
        struct buf texts[KEYS_MAX];
        size_t count;
};

static void keys_read(struct keys *k, const char *array)
{
        *k = (struct keys){.count = 0};
        for (;;) {
                CHECK(k->count < KEYS_MAX);
                if (!array_next(&array, &k->texts[k->count]))
                        return;
                k->count++;
        }
}

static void keys_done(struct keys *k)
{
        for (size_t i = 0; i < KEYS_MAX; i++)
                buf_done(&k->texts[i]);
}

static bool keys_have(const struct keys *k, struct slice key)
{
        for (size_t i = 0; i < k->count; i++)
                if (slice_eq(buf_slice(&k->texts[i]), key))
                        return true;
        return false;
}

/* v: keys, from, until, partition, limit. */
static void events(const struct postgres *pg, const char *topic, char *const *v, struct cells *c)
{
        bool chat = strcmp(topic, "chat.events") == 0;
        const struct table *t = &pg->tables[chat ? PG_CHAT_EVENT : PG_NOTIFICATION_EVENT];
        size_t first = chat ? 4 : 5; /* key, type, id, data */
        int64_t from = number(v[1]), until = number(v[2]), partition = number(v[3]);
        int64_t limit = number(v[4]);
        struct keys keys;
        keys_read(&keys, v[0]);
        c->columns = 6;
        for (size_t i = 0; i < t->count && limit > 0; i++) {
                const struct cell *e = t->rows[i]->cells;
                if (e[EVENT_PARTITION].i != partition || e[EVENT_SEQ].i < from ||
                        e[EVENT_SEQ].i >= until || (!chat && !slice_is(e[4].s, topic)) ||
                        !keys_have(&keys, e[first].s))
                        continue;
                cell_text(c, e[first].s);
                cell_i64(c, e[EVENT_SEQ].i);
                cell_text(c, e[first + 1].s);
                cell_text(c, e[first + 2].s);
                cell_text(c, e[first + 3].s);
                cell_i64(c, e[EVENT_CREATED].i);
                limit--;
        }
        keys_done(&keys);
}

static void feed_chat_events(const struct postgres *pg, char *const *v, struct cells *c)
{
        events(pg, "chat.events", v, c);
}

static void feed_notification_events(const struct postgres *pg, char *const *v, struct cells *c)
{
        events(pg, v[5], v, c);
}

static void feed_ingested(const struct postgres *pg, char *const *v, struct cells *c)
{
        const struct place_row *p =
                postgres_find_place(pg, v[0], (int32_t)number(v[1]), (uint32_t)number(v[2]));
        c->columns = 2;
        if (!p)
                return;
        cell_i64(c, p->next_offset);
        cell_i64(c, p->complete_from);
}

static void feed_epochs(const struct postgres *pg, char *const *v, struct cells *c)
{
        UNUSED(v);
        c->columns = 2;
        for (size_t i = 0; i < pg->life_count; i++) {
                const struct life_row *l = &pg->lives[i];
                if (postgres_life(pg, l->topic).epoch != l->epoch)
                        continue;
                cell_text(c, slice_str(l->topic));
                cell_i64(c, l->epoch);
        }
}

/* ---- messaging ---- */

static void messaging_session(const struct postgres *pg, char *const *v, struct cells *c)
{
        const struct row *r = find(pg, PG_SESSION, v[0], NULL);
        c->columns = 6;
        if (!r)
                return;
        cell_text(c, r->cells[5].s);
        cell_text(c, r->cells[6].s);
        cell_i64(c, r->cells[1].i);
        cell_text(c, r->cells[7].s);
        cell_text(c, r->cells[8].s);
        cell_bool(c, r->cells[4].i);
}

/* {"userId":"x" as the codec writes it. */
static bool is_about(const struct cell *data, const char *user)
{
        struct buf field = BUF_EMPTY;
        buf_printf(&field, "\"userId\":\"%s\"", user);
        bool found = strstr(data->s.p, buf_cstr(&field)) != NULL;
        buf_done(&field);
        return found;
}

static const struct row *last_change(const struct postgres *pg, const char *user,
        struct slice conversation, int64_t since, int64_t until)
{
        const struct table *t = &pg->tables[PG_CHAT_EVENT];
        const struct row *last = NULL;
        for (size_t i = 0; i < t->count; i++) {
                const struct cell *e = t->rows[i]->cells;
                if (slice_eq(e[4].s, conversation) && e[EVENT_SEQ].i >= since &&
                        e[EVENT_SEQ].i < until && slice_starts(e[5].s, "tern.member.") &&
                        is_about(&e[7], user) &&
                        (!last || e[EVENT_SEQ].i > last->cells[EVENT_SEQ].i))
                        last = t->rows[i];
        }
        return last;
}

/* v: user, conversations, their partitions, epoch, ranges. */
static void messaging_rights(const struct postgres *pg, char *const *v, struct cells *c)
{
        static const int columns[] = {1, 2, 4, 5};
        const char *at[4];
        struct buf value[4] = {BUF_EMPTY, BUF_EMPTY, BUF_EMPTY, BUF_EMPTY};
        for (size_t i = 0; i < ARRAY_LEN(at); i++)
                at[i] = v[columns[i]];
        c->columns = 3;
        while (array_next(&at[0], &value[0]) && array_next(&at[1], &value[1]) &&
                array_next(&at[2], &value[2]) && array_next(&at[3], &value[3])) {
                const struct row *change = last_change(pg, v[0], buf_slice(&value[0]),
                        number(buf_cstr(&value[2])), number(buf_cstr(&value[3])));
                const struct place_row *p = postgres_find_place(pg, "chat.events",
                        (int32_t)number(buf_cstr(&value[1])), (uint32_t)number(v[3]));
                cell_text(c, buf_slice(&value[0]));
                cell_text(c, change ? change->cells[5].s : SLICE_NONE);
                number_or_null(c, p ? p->next_offset : 0);
        }
        for (size_t i = 0; i < ARRAY_LEN(value); i++)
                buf_done(&value[i]);
}

static void conversation_cells(const struct row *conversation, struct cells *c)
{
        cell_bool(c, conversation != NULL);
        if (!conversation) {
                for (int i = 0; i < 5; i++) {
                        if (i == 1)
                                cell_bool(c, false);
                        else
                                cell_null(c);
                }
                return;
        }
        const struct cell *v = conversation->cells;
        cell_text(c, v[3].s);
        cell_bool(c, v[4].i);
        cell_text(c, v[5].s);
        cell_i64(c, v[2].i);
        cell_i64(c, v[1].i);
}

static void member_cells(
        const struct postgres *pg, const struct row *m, const char *conversation, struct cells *c)
{
        cell_text(c, m->cells[1].s);
        cell_text(c, m->cells[2].s);
        cell_i64(c, m->cells[3].i);
        number_or_null(c, m->cells[4].i);
        const struct row *r = find(pg, PG_RECEIPT, conversation, m->cells[1].s.p);
        number_or_null(c, r ? r->cells[2].i : 0);
}

/* v: conversation, user, how many others. */
static void messaging_room(const struct postgres *pg, char *const *v, struct cells *c)
{
        const struct row *conversation = find(pg, PG_CONVERSATION, v[0], NULL);
        const struct row *own = find(pg, PG_MEMBER, v[0], v[1]);
        const struct table *t = &pg->tables[PG_MEMBER];
        int64_t others = number(v[2]);
        c->columns = 11;
        if (own) {
                conversation_cells(conversation, c);
                member_cells(pg, own, v[0], c);
        }
        for (size_t i = 0; i < t->count && others > 0; i++) {
                const struct row *m = t->rows[i];
                if (m == own || !slice_is(m->cells[0].s, v[0]))
                        continue;
                conversation_cells(conversation, c);
                member_cells(pg, m, v[0], c);
                others--;
        }
        if (c->count > 0)
                return;
        conversation_cells(conversation, c);
        for (int i = 0; i < 5; i++)
                cell_null(c);
}

static void messaging_message_by_id(const struct postgres *pg, char *const *v, struct cells *c)
{
        const struct row *m = find(pg, PG_MESSAGE, v[0], NULL);
        c->columns = 2;
        if (!m)
                return;
        cell_i64(c, m->cells[1].i);
        cell_i64(c, m->cells[2].i);
}

static int by_seq(const void *a, const void *b)
{
        int64_t x = (*(const struct row *const *)a)->cells[1].i;
        int64_t y = (*(const struct row *const *)b)->cells[1].i;
        return x < y ? -1 : x > y;
}

/* Messages of the conversation in (after, before). */
static void history(const struct postgres *pg, const char *conversation, int64_t after,
        int64_t before, int64_t limit, bool newest_first, struct cells *c)
{
        const struct table *t = &pg->tables[PG_MESSAGE];
        const struct row **found = xcalloc(t->count + 1, sizeof(*found));
        size_t n = 0;
        for (size_t i = 0; i < t->count; i++) {
                const struct cell *m = t->rows[i]->cells;
                if (slice_is(m[3].s, conversation) && m[1].i > after && m[1].i < before)
                        found[n++] = t->rows[i];
        }
        qsort(found, n, sizeof(*found), by_seq);
        c->columns = 9;
        for (size_t i = 0; i < n && (int64_t)i < limit; i++) {
                const struct cell *m = found[newest_first ? n - 1 - i : i]->cells;
                static const int order[] = {0, 1, 4, 5, 6, 7, 9, 8};
                for (size_t k = 0; k < ARRAY_LEN(order); k++) {
                        if (order[k] == 1)
                                cell_i64(c, m[1].i);
                        else
                                cell_text(c, m[order[k]].null ? SLICE_NONE : m[order[k]].s);
                }
                cell_i64(c, m[2].i);
        }
        free(found);
}

static void messaging_history_after(const struct postgres *pg, char *const *v, struct cells *c)
{
        history(pg, v[0], number(v[1]), number(v[2]), number(v[3]), false, c);
}

static void messaging_history_before(const struct postgres *pg, char *const *v, struct cells *c)
{
        history(pg, v[0], -1, number(v[1]), number(v[2]), true, c);
}

/* ---- all of them ---- */

static const struct {
        const char *name;
        void (*fn)(const struct postgres *pg, char *const *params, struct cells *c);
} statements[] = {
#define STATEMENT(name) {#name, name}
        STATEMENT(feed_chat_events),
        STATEMENT(feed_notification_events),
        STATEMENT(feed_ingested),
        STATEMENT(feed_epochs),
        STATEMENT(messaging_session),
        STATEMENT(messaging_rights),
        STATEMENT(messaging_room),
        STATEMENT(messaging_message_by_id),
        STATEMENT(messaging_history_after),
        STATEMENT(messaging_history_before),
};

void postgres_select(
        const struct postgres *pg, const char *name, char *const *params, struct cells *ret)
{
        *ret = (struct cells){.text = BUF_EMPTY};
        for (size_t i = 0; i < ARRAY_LEN(statements); i++)
                if (strcmp(statements[i].name, name) == 0) {
                        statements[i].fn(pg, params, ret);
                        return;
                }
        printf("the simulated Postgres has no statement %s\n", name);
        CHECK(!"a statement that is not known");
}
