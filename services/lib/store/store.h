/*
 * store - Postgres for the gateways: a small pool of threads, each with one connection and every statement
 * prepared at connect. The store library is the only one that sees libpq.
 *
 * Jobs are queued from any thread, run, and posted back to the asker's mailbox. A job waits and runs at most
 * timeout_ms in all; while Postgres is away jobs fail at once, and one thread keeps trying to connect.
 * The writer and ternctl use struct db (store/db.h) directly, on a thread of their own.
 *
 * Statements live in .sql files, one each, embedded at build: services/<folder>/sql/NAME.sql becomes
 * <folder>_sql[<FOLDER>_SQL_NAME] (generated header "<folder>_sql.h").
 */
#ifndef TERN_STORE_STORE_H
#define TERN_STORE_STORE_H

#include "base/config.h"
#include "base/error.h"
#include "base/mailbox.h"
#include "base/metrics.h"
#include "base/slice.h"

struct store;

struct store_settings {
#define CONFIG(type, field, ...) CONFIG_FIELD_##type(field)
#include "store/settings.def"
};
extern const struct config_row store_settings_rows[];
extern const size_t store_settings_count;

struct store_statement {
        const char *name; /* "messaging_history" */
        const char *text;
};
struct store_set {
        const struct store_statement *statements; /* borrowed for ever */
        size_t count;
};

/* Does not need Postgres to be up. Borrows the settings' strings for the call only. 0, or -EINVAL with a sentence in fault. */
MUST_CHECK int store_new(const struct store_settings *s, const struct store_set *sets,
        size_t set_count, struct metrics *metrics, struct store **ret, char fault[256]);
/* Jobs that still wait are answered -EIO, those that run are given up; the mailboxes must still stand (a closed one is passed
 * over). NULL is fine; returns NULL. */
struct store *store_free(struct store *st);
/* True while a connection is up; any thread. */
bool store_up(const struct store *st);
/* Why Postgres is away or a statement could not be prepared, the last time that it was so; "" if never. Any thread. */
void store_fault(struct store *st, char ret[256]);

struct store_result { /* text format; borrowed for the call of done */
        size_t rows, columns;
        const char *const *values; /* rows * columns; NULL = SQL NULL */
        const size_t *lengths;
};

/* One or more statements in one read-only transaction: REPEATABLE READ if there are several, so that all see one
 * snapshot. Embedded in the asker's struct; belongs to the store until done runs. */
#define STORE_JOB_STEPS 3
#define STORE_PARAMS_MAX 8
struct store_job {
        struct mail mail;
        struct mailbox *reply; /* NULL: done runs on the store's thread */
        void (*done)(struct store_job *j);
        struct {
                const struct store_statement *statement;
                char *params
                        [STORE_PARAMS_MAX]; /* owned by the job (freed by the store); NULL = SQL NULL; text format */
                size_t param_count;
                struct store_result result; /* valid in done */
                void *handle;               /* private */
        } step[STORE_JOB_STEPS];
        size_t step_count;
        int err; /* 0; -EIO Postgres away; -ETIMEDOUT; -EINVAL the statement failed (message in error) */
        char error[160];
        int64_t queued_ns; /* private, as are the two below */
        uint32_t tries;    /* connections that took it and had died unnoticed */
        void *waiter;
};
/* done may free what the job is embedded in. store_job_done() afterwards is harmless, and not needed. */
void store_job_init(struct store_job *j, struct mailbox *reply, void (*done)(struct store_job *));
/* Copies the params. */
void store_job_step(struct store_job *j, const struct store_statement *st,
        const char *const *params, size_t param_count);
void store_submit(struct store *st, struct store_job *j);
/* For a civetweb worker: submits and waits. done is not called; release with store_job_done(). */
int store_run(struct store *st, struct store_job *j);
void store_job_done(struct store_job *j);

#endif
