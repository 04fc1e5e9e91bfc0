#include "store/db.h"
#include "store/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- errors ---- */

enum error_class db_class_of(const char *sqlstate)
{
        /* By the first two characters, exceptions by all five first. */
        static const struct {
                const char *prefix;
                enum error_class class;
        } rows[] = {
                {"25006", ERROR_RETRY}, /* read-only: this server became a standby */
                {"55P03", ERROR_RETRY}, /* a lock was not to be had in time */
                {"57", ERROR_RETRY},    /* shutdown, cancelled, cannot connect now */
                {"08", ERROR_RETRY},    /* connection */
                {"53", ERROR_RETRY},    /* out of disk, memory, connections */
                {"58", ERROR_RETRY},    /* the system's errors */
                {"40", ERROR_RETRY},    /* deadlock, serialization */
                {"28", ERROR_FATAL},    /* who we are is refused */
                {"21", ERROR_POISON},   /* one row affected twice */
                {"22", ERROR_POISON},   /* data */
                {"23", ERROR_POISON},   /* constraints */
                {"54", ERROR_POISON},   /* too large for an index or a row */
        };
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (strncmp(sqlstate, rows[i].prefix, strlen(rows[i].prefix)) == 0)
                        return rows[i].class;
        return sqlstate[0] ? ERROR_FATAL : ERROR_RETRY;
}

const struct db_error *db_error(const struct db *db)
{
        return &db->error;
}

static void set_text(char dst[256], const char *text)
{
        snprintf(dst, 256, "%.*s", (int)strcspn(text, "\n"), text);
}

static int fail(struct db *db, enum error_class class, int err, const char *text)
{
        db->error = (struct db_error){.class = class};
        set_text(db->error.text, text);
        return err;
}

static int code_of(enum error_class class)
{
        switch (class) {
        case ERROR_POISON:
                return -EINVAL;
        case ERROR_FATAL:
                return -EPROTO;
        case ERROR_NONE:
        case ERROR_RETRY:
                break;
        }
        return -EAGAIN;
}

int db_fail_result(struct db *db, const PGresult *res)
{
        const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
        const char *text = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
        db->error = (struct db_error){.class = db_class_of(state ? state : "")};
        snprintf(db->error.sqlstate, sizeof(db->error.sqlstate), "%s", state ? state : "");
        set_text(db->error.text, text     ? text
                                 : db->pg ? PQerrorMessage(db->pg)
                                          : "the connection is closed");
        if (!db->pg || PQstatus(db->pg) != CONNECTION_OK) {
                db->error.class = ERROR_RETRY;
                db_lose(db);
                return -EIO;
        }
        return code_of(db->error.class);
}

void db_lose(struct db *db)
{
        if (db->pg)
                PQfinish(db->pg);
        db->pg = NULL;
        db->prepared_count = 0;
}

/* ---- waiting ---- */

/* Waits until the socket is ready for one of events. 0, -ETIMEDOUT, -ECANCELED. */
static int wait_socket(struct db *db, int fd, short events)
{
        for (;;) {
                int timeout = -1;
                if (db->deadline_ms) {
                        int64_t left = db->deadline_ms - clock_mono_ms();
                        if (left <= 0)
                                return fail(db, ERROR_RETRY, -ETIMEDOUT, "no answer in time");
                        timeout = left > 60000 ? 60000 : (int)left;
                }
                struct pollfd fds[2] = {
                        {.fd = fd, .events = events}, {.fd = db->stop_fd, .events = POLLIN}};
                int n = poll(fds, db->stop_fd >= 0 ? 2 : 1, timeout);
                if (n > 0 && db->stop_fd >= 0 && fds[1].revents)
                        return fail(db, ERROR_RETRY, -ECANCELED, "given up");
                if (n > 0)
                        return 0;
        }
}

/* After a failed wait the connection is in the middle of something: it goes. */
static int wait_or_lose(struct db *db, short events)
{
        int r = wait_socket(db, PQsocket(db->pg), events);
        if (r < 0)
                db_lose(db);
        return r;
}

static int lost(struct db *db)
{
        fail(db, ERROR_RETRY, -EIO, db->pg ? PQerrorMessage(db->pg) : "the connection is closed");
        db_lose(db);
        return -EIO;
}

int db_flush(struct db *db)
{
        for (;;) {
                int r = PQflush(db->pg);
                if (r < 0)
                        return lost(db);
                if (r == 0)
                        return 0;
                /* The server may be waiting for us to read before it reads on. */
                r = wait_or_lose(db, POLLIN | POLLOUT);
                if (r < 0)
                        return r;
                if (!PQconsumeInput(db->pg))
                        return lost(db);
        }
}

int db_next_result(struct db *db, PGresult **ret)
{
        if (!db->pg)
                return lost(db);
        int r = db_flush(db);
        if (r < 0)
                return r;
        while (PQisBusy(db->pg)) {
                r = wait_or_lose(db, POLLIN);
                if (r < 0)
                        return r;
                if (!PQconsumeInput(db->pg))
                        return lost(db);
        }
        *ret = PQgetResult(db->pg);
        return 0;
}

void db_deadline(struct db *db, int64_t mono_ms)
{
        db->deadline_ms = mono_ms;
}

bool db_alive(struct db *db)
{
        if (!db->pg)
                return false;
        if (!PQconsumeInput(db->pg) || PQstatus(db->pg) != CONNECTION_OK)
                (void)lost(db);
        return db->pg != NULL;
}

/* ---- connecting ---- */

const char *db_dsn(const struct store_settings *s, char fault[256])
{
        const char *dsn = s->dsn_secret && s->dsn_secret[0] ? s->dsn_secret : s->dsn;
        if (!dsn || !dsn[0]) {
                snprintf(fault, 256, "neither TERN_POSTGRES_DSN nor TERN_POSTGRES_DSN_FILE is set");
                return NULL;
        }
        char *why = NULL;
        PQconninfoOption *parsed = PQconninfoParse(dsn, &why);
        if (!parsed) {
                char text[256];
                set_text(text, why ? why : "no memory");
                snprintf(fault, 256, "the address of Postgres cannot be read: %.200s", text);
                PQfreemem(why);
                return NULL;
        }
        PQconninfoFree(parsed);
        return dsn;
}

static void ignore_notice(void *arg, const PGresult *res)
{
        UNUSED(arg);
        UNUSED(res);
}

/* What stands before dbname is a default, what stands after it is not the address's to change. */
static PGconn *start(const struct db_options *o)
{
        const char *names[] = {"keepalives_idle", "keepalives_interval", "keepalives_count",
                "dbname", "fallback_application_name", "client_encoding", NULL};
        const char *values[] = {"10", "5", "3", o->dsn, o->application, "UTF8", NULL};
        return PQconnectStartParams(names, values, 1);
}

static int wait_connected(struct db *db)
{
        PostgresPollingStatusType state = PGRES_POLLING_WRITING;
        for (;;) {
                if (PQstatus(db->pg) == CONNECTION_BAD || state == PGRES_POLLING_FAILED)
                        return lost(db);
                if (state == PGRES_POLLING_OK)
                        return 0;
                int r = wait_or_lose(db, state == PGRES_POLLING_READING ? POLLIN : POLLOUT);
                if (r < 0)
                        return r;
                state = PQconnectPoll(db->pg);
        }
}

static int set_up(struct db *db, const struct db_options *o)
{
        char sql[256];
        snprintf(sql, sizeof(sql),
                "SET statement_timeout = %u; SET default_transaction_read_only = %s; SET timezone "
                "= 'UTC';"
                " SET idle_in_transaction_session_timeout = 60000; SET jit = off",
                o->statement_ms, o->read_only ? "on" : "off");
        return db_exec(db, sql, NULL);
}

int db_connect(const struct db_options *o, struct db **ret, char fault[256])
{
        struct db *db = xcalloc(1, sizeof(*db));
        db->stop_fd = o->stop_fd;
        db->deadline_ms = clock_mono_ms() + o->connect_ms;
        db->pg = start(o);
        if (!db->pg) {
                free(db);
                snprintf(fault, 256, "no memory for a connection");
                return -EIO;
        }
        int r = wait_connected(db);
        if (r == 0) {
                PQsetNoticeReceiver(db->pg, ignore_notice, NULL);
                r = PQsetnonblocking(db->pg, 1) == 0 ? set_up(db, o) : lost(db);
        }
        if (r < 0) {
                snprintf(fault, 256, "%s", db->error.text);
                db_free(db);
                return r == -ETIMEDOUT || r == -ECANCELED ? r : -EIO;
        }
        db->deadline_ms = 0;
        *ret = db;
        return 0;
}

struct db *db_free(struct db *db)
{
        if (!db)
                return NULL;
        db_lose(db);
        free(db->prepared);
        free(db);
        return NULL;
}
