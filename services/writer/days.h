/*
 * days - the tables of chat_event and notification_event, one a day: made when a record of a new day comes, and ahead of
 * time; dropped when they leave the resume window.
 *
 * Records of days outside the window go to the default tables.
 */
#ifndef TERN_WRITER_DAYS_H
#define TERN_WRITER_DAYS_H

#include "base/check.h"
#include "base/log.h"

#include <stdint.h>

struct db;

#define DAYS_AHEAD 2
#define DAY_MS 86400000LL

struct days {
        uint32_t window;
        int32_t *known; /* owned array of cap: days since 1970 that have tables */
        size_t count, cap;
};

void days_done(struct days *d);
/* Reads which days have tables. 0 or a code of db.h. */
MUST_CHECK int days_load(struct days *d, struct db *db);
/* Makes the tables of a day if they are missing and belong to the window. Outside of transactions. 0 or a code of db.h. */
MUST_CHECK int days_need(struct days *d, struct db *db, int32_t day, int64_t now_wall_ms);
/* The work of each hour: today and the days ahead are made; what lies beyond the window is dropped, sessions too. Stops at the
 * first error: 0 or a code of db.h. */
MUST_CHECK int days_tend(struct days *d, struct db *db, int64_t now_wall_ms, struct log *log);

static inline int32_t day_of(int64_t wall_ms)
{
        return (int32_t)(wall_ms / DAY_MS);
}

#endif
