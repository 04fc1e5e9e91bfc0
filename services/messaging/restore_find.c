#include "messaging/restore.h"

#include "messaging_sql.h"

#include <stdlib.h>

#define CHAIN_MAX 4096 /* records of one session that are looked at */
#define SESSION_SQL_COLUMNS 6

void found_state_done(struct found_state *st)
{
        free(st->sid);
        free(st->sub);
        free(st->owner);
        free(st->rooms_json);
        *st = (struct found_state){0};
}

static void take(struct found_state *st, const struct event *e)
{
        bool sure = st->sure, contested = st->contested;
        found_state_done(st);
        st->sid = xstrdup(e->sid);
        st->sub = xstrdup(e->sub);
        st->owner = xstrdup(e->gateway);
        st->rooms_json = xstrdup(e->rooms_json);
        st->gen = e->gen;
        st->closed = e->closed;
        st->sure = sure;
        st->contested = contested;
}

void found_state_fold(struct found_state *st, const struct event *e)
{
        if (e->gen > st->gen) {
                /* The first of a gen is surely the first only if the gen before it was seen too. */
                st->sure = st->gen > 0 || e->gen == 1;
                st->contested = false;
                take(st, e);
        } else if (e->gen == st->gen) {
                if (strcmp(e->gateway, st->owner) == 0)
                        take(st, e);
                else
                        st->contested = true;
        }
}

static void fold_record(struct found_state *st, const struct record *rec)
{
        struct event e;
        struct event_error err;
        if (event_parse(SLICE_LIT("chat.sessions"), record_type(rec), record_id(rec),
                    record_key(rec), record_value(rec), &e, &err) < 0)
                return;
        found_state_fold(st, &e);
        event_done(&e);
}

/* The links lead from new to old; what counts is told from old to new. */
static void fold_tail(struct restore *r)
{
        const struct fanout *f = r->gw->fanout;
        const struct record **chain = xcalloc(CHAIN_MAX, sizeof(struct record *));
        size_t n = 0;
        const struct record *rec = fanout_newest(f, TOPIC_SESSIONS, slice_str(r->hex));
        for (; rec && n < CHAIN_MAX; rec = fanout_prev(f, rec))
                chain[n++] = rec;
        while (n > 0)
                fold_record(&r->found, chain[--n]);
        free(chain);
}

static void found_in_store(void *arg, int err, const struct feed_rows *rows)
{
        struct restore *r = arg;
        r->query = NULL;
        if (err < 0 || (rows->rows > 0 && rows->columns != SESSION_SQL_COLUMNS)) {
                restore_unread(r, err);
                return;
        }
        r->from_store = true;
        found_state_done(&r->found);
        if (rows->rows > 0) {
                const char *const *v = rows->values;
                const struct event e = {
                        .sid = (char *)(uintptr_t)v[0],
                        .sub = (char *)(uintptr_t)v[1],
                        .gen = strtoll(v[2], NULL, 10),
                        .gateway = (char *)(uintptr_t)v[3],
                        .rooms_json = (char *)(uintptr_t)v[4],
                        .closed = v[5][0] == 't',
                };
                found_state_fold(&r->found, &e);
                r->found.sure = true;
        }
        for (size_t i = 0; i < rows->bridge_count; i++)
                fold_record(&r->found, rows->bridge[i]);
        fold_tail(r);
        restore_found(r);
}

void restore_find(struct restore *r)
{
        found_state_done(&r->found);
        r->from_store = false;
        fold_tail(r);
        /* A gen that two claim, in a tail that may begin after the first claim, needs the archive. */
        if (r->found.gen > 0 && (r->found.sure || !r->found.contested)) {
                restore_found(r);
                return;
        }
        const char *params[] = {r->hex};
        r->query = feed_query(r->gw->feed, TOPIC_SESSIONS, slice_str(r->hex),
                &messaging_sql[MESSAGING_SQL_SESSION], params, 1, found_in_store, r);
        /* A writer that is behind must not cost a session. */
        feed_query_bridge(r->query, slice_str(r->hex));
}
