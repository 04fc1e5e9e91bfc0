/*
 * internal - what the files of this library share; not for others, since it shows libpq's types.
 */
#ifndef TERN_STORE_INTERNAL_H
#define TERN_STORE_INTERNAL_H

#include "store/db.h"
#include "store/store.h"

#include <libpq-fe.h>

struct db {
        PGconn *pg; /* owned; NULL once lost */
        int64_t deadline_ms;
        int stop_fd; /* borrowed; -1 none */
        struct db_error error;
        const struct store_statement **prepared; /* owned array; borrowed statements */
        size_t prepared_count, prepared_cap;
};

/* Sends what is queued and waits for the next result. 0 with *ret (NULL at the end of a statement's results, owned by the
 * caller), or -EIO, -ETIMEDOUT, -ECANCELED, and the connection is closed. */
MUST_CHECK int db_next_result(struct db *db, PGresult **ret);
/* Sends what is queued, all of it. */
MUST_CHECK int db_flush(struct db *db);
/* Closes the connection; the error stands as it is. */
void db_lose(struct db *db);
/* Notes the error of a result, or of the connection if res is NULL; returns the code of db.h for it. */
int db_fail_result(struct db *db, const PGresult *res);

bool db_is_prepared(const struct db *db, const struct store_statement *st);
void db_note_prepared(struct db *db, const struct store_statement *st);
/* 0, or a code of db.h. */
MUST_CHECK int db_prepare(struct db *db, const struct store_statement *st);

#endif
