/*
 * archive - what the database has to hold of the log: the model that the real writer is compared with.
 *
 * After each transaction that moves a place: every record before the place is accounted for, by a row, by an earlier record of its
 * id, by a dead letter or by a copy under its right key; and no row stands beyond the place. At the end also: each of these
 * once, and what sessions, members, receipts and read marks amount to.
 */
#ifndef TERN_SIM_ARCHIVE_H
#define TERN_SIM_ARCHIVE_H

#include "kafka.h"
#include "postgres.h"

struct archive {
        struct kafka *kafka;
        struct postgres *pg;
        struct topic *const *topics; /* that the writer reads */
        size_t topic_count;
        bool repeats; /* a process may have stood still between two steps that no transaction binds: letters and copies may come twice */
};

/* postgres.moved; arg is the archive. */
void archive_moved(void *arg, const struct place_row *place, int64_t before);
/* Every place is where its log ends. */
bool archive_complete(const struct archive *a);
/* Says which is not. */
void archive_explain(const struct archive *a);
void archive_check_end(const struct archive *a);

#endif
