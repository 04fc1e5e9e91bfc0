/*
 * db - one connection to Postgres for those who write: the writer, ternctl, and each thread of the store's pool.
 *
 * Calls look blocking but never hang: all of libpq's waiting is done here, on its non-blocking calls, up to the
 * deadline that db_deadline() set, or until stop_fd becomes readable. A call that ran into either leaves the connection closed:
 * nobody knows what the server still does with it.
 *
 * Every failure is judged by its SQLSTATE: retry (the same again later), poison (this input never), fatal (schema,
 * rights, a bug). Owner: one thread. Nothing here logs.
 */
#ifndef TERN_STORE_DB_H
#define TERN_STORE_DB_H

#include "base/buf.h"
#include "base/check.h"
#include "base/error.h"
#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct db;
struct store_statement; /* store/store.h */
struct store_settings;

struct db_options {
        const char *dsn;         /* see db_dsn() */
        const char *application; /* "tern-writer": what pg_stat_activity shows */
        uint32_t connect_ms;     /* bound of db_connect() */
        uint32_t statement_ms;   /* the server's own bound of a statement; 0 none */
        bool read_only;
        int stop_fd; /* readable = give up whatever is waited for; -1 none */
};

/* The address that the settings name, borrowed from them; NULL with a sentence in fault if there is none or it cannot
 * be read. */
const char *db_dsn(const struct store_settings *s, char fault[256]);

/* 0, -EIO (away; also refused), -ETIMEDOUT, -ECANCELED (stop_fd), with a sentence in fault. */
MUST_CHECK int db_connect(const struct db_options *o, struct db **ret, char fault[256]);
/* NULL is fine; does not wait for the server; returns NULL. */
struct db *db_free(struct db *db);
/* False once the connection is lost; looks at what has arrived, sends nothing. */
bool db_alive(struct db *db);
/* Every call fails with -ETIMEDOUT at this time of clock_mono_ms(); 0 = no bound. */
void db_deadline(struct db *db, int64_t mono_ms);

struct db_error {
        enum error_class class;
        char sqlstate[6]; /* "" if the server did not say */
        char text[256];   /* one line */
};
/* Of the last call that failed. */
const struct db_error *db_error(const struct db *db);
enum error_class db_class_of(const char *sqlstate);

/* Text values; borrowed until db_result_done(). */
struct db_result {
        size_t rows, columns;
        uint64_t affected; /* rows that an INSERT, UPDATE, DELETE or COPY touched */
        void *handle;      /* private */
};
#define DB_RESULT_NONE ((struct db_result){0, 0, 0, NULL})
void db_result_done(struct db_result *r);
/* NULL = SQL NULL. */
const char *db_value(const struct db_result *r, size_t row, size_t column);
size_t db_length(const struct db_result *r, size_t row, size_t column);
/* 0 for NULL. */
int64_t db_int(const struct db_result *r, size_t row, size_t column);

/* All of these: 0, -EIO (lost or away), -ETIMEDOUT, -ECANCELED, -EAGAIN (class retry, the connection stands), -EINVAL
 * (poison), -EPROTO (fatal). ret may be NULL; it is written on success only. */

/* Plain SQL, several statements allowed. The result is the last one's. */
MUST_CHECK int db_exec(struct db *db, const char *sql, struct db_result *ret);
/* A statement that is prepared at its first use. params are text, NULL = SQL NULL. */
MUST_CHECK int db_run(struct db *db, const struct store_statement *st, const char *const *params,
        size_t param_count, struct db_result *ret);
/* sql: "COPY … FROM STDIN (FORMAT binary)"; data: whole, as copy.h makes it. */
MUST_CHECK int db_copy_in(struct db *db, const char *sql, struct slice data, uint64_t *ret_rows);

MUST_CHECK int db_begin(struct db *db);
/* Also after a failure; harmless when there is no transaction or no connection. */
void db_rollback(struct db *db);
/* 0: committed. -EINPROGRESS: the connection was lost before the answer came: it may or may not have happened. Anything else:
 * it did not happen. */
MUST_CHECK int db_commit(struct db *db);

#endif
