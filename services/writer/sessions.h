/*
 * sessions - which record of a Socket.IO session counts.
 *
 * The highest gen owns a session, and of a gen the gateway whose record came first; its later records replace it, those of
 * others are nobody's. So a session's records are folded in the log's order, from what Postgres has on.
 *
 * Owner: the committer's thread.
 */
#ifndef TERN_WRITER_SESSIONS_H
#define TERN_WRITER_SESSIONS_H

#include "writer/rows.h"

struct db;

/* Folds the session records of items [from, to) into rows of the table session, one a session at most. 0 or a
 * code of db.h. Inside the transaction. */
MUST_CHECK int sessions_fold(
        struct db *db, struct rows *r, const struct batch *b, size_t from, size_t to);

#endif
