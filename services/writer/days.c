#include "writer/days.h"
#include "writer_sql.h"

#include "base/clock.h"
#include "store/db.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const parents[] = {"chat_event", "notification_event"};

void days_done(struct days *d)
{
        free(d->known);
        d->known = NULL;
        d->count = d->cap = 0;
}

static bool is_known(const struct days *d, int32_t day)
{
        for (size_t i = d->count; i > 0; i--)
                if (d->known[i - 1] == day)
                        return true;
        return false;
}

static void note(struct days *d, int32_t day)
{
        if (d->count == d->cap) {
                d->cap = d->cap ? d->cap * 2 : 64;
                d->known = xrealloc(d->known, d->cap * sizeof(*d->known));
        }
        d->known[d->count++] = day;
}

int days_load(struct days *d, struct db *db)
{
        struct db_result res = DB_RESULT_NONE;
        int r = db_run(db, &writer_sql[WRITER_SQL_DAYS], NULL, 0, &res);
        if (r < 0)
                return r;
        d->count = 0;
        for (size_t i = 0; i < res.rows; i++)
                note(d, (int32_t)db_int(&res, i, 0));
        db_result_done(&res);
        return 0;
}

int days_need(struct days *d, struct db *db, int32_t day, int64_t now_wall_ms)
{
        int32_t today = day_of(now_wall_ms);
        if (is_known(d, day) || day < today - (int32_t)d->window || day > today + DAYS_AHEAD)
                return 0;
        char text[16];
        snprintf(text, sizeof(text), "%d", day);
        for (size_t i = 0; i < ARRAY_LEN(parents); i++) {
                const char *params[] = {parents[i], text};
                int r = db_run(
                        db, &writer_sql[WRITER_SQL_MAKE_DAY], params, ARRAY_LEN(params), NULL);
                if (r < 0)
                        return r;
        }
        note(d, day);
        return 0;
}

/* One day a transaction; *ret_more: there may be another. */
static int drop_one(
        struct db *db, const char *parent, const char *before, struct log *log, bool *ret_more)
{
        const char *params[] = {parent, before};
        struct db_result res = DB_RESULT_NONE;
        int r = db_run(db, &writer_sql[WRITER_SQL_DROP_DAY], params, ARRAY_LEN(params), &res);
        if (r < 0)
                return r;
        *ret_more = db_value(&res, 0, 0) != NULL;
        if (*ret_more)
                log_info(log, "day_dropped", F_STR("table", db_value(&res, 0, 0)));
        db_result_done(&res);
        return 0;
}

static int forget_sessions(struct db *db, const char *before)
{
        const char *params[] = {before};
        struct db_result res = {.affected = 1};
        int r = 0;
        while (r == 0 && res.affected > 0) {
                r = db_run(db, &writer_sql[WRITER_SQL_FORGET_SESSIONS], params, ARRAY_LEN(params),
                        &res);
                uint64_t n = res.affected;
                if (r == 0)
                        db_result_done(&res);
                res.affected = n;
        }
        return r;
}

int days_tend(struct days *d, struct db *db, int64_t now_wall_ms, struct log *log)
{
        int r = 0;
        for (int32_t i = 0; r == 0 && i <= DAYS_AHEAD; i++)
                r = days_need(d, db, day_of(now_wall_ms) + i, now_wall_ms);
        char before[CLOCK_ISO_TEXT];
        clock_iso(now_wall_ms - (int64_t)d->window * DAY_MS, before);
        for (size_t i = 0; r == 0 && i < ARRAY_LEN(parents); i++)
                for (bool more = true; r == 0 && more;)
                        r = drop_one(db, parents[i], before, log, &more);
        return r < 0 ? r : forget_sessions(db, before);
}
