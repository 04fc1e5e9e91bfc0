/*
 * pg_fixture - a private Postgres for one test program: its own cluster in a temporary folder, a Unix socket only, fsync
 * on. It dies with the test. Postgres refuses to run as root, so root's tests run it as the user `postgres`.
 */
#ifndef TERN_TESTS_PG_FIXTURE_H
#define TERN_TESTS_PG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "store/db.h"
#include "store/migrate.h"
#include "store/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct pg {
        char dir[64];
        char dsn[256];
        char bin[300];
        pid_t server;
        uid_t uid;
        gid_t gid;
};

static inline void pg_bin(struct pg *pg)
{
        int best = 0;
        DIR *d = opendir("/usr/lib/postgresql");
        for (struct dirent *e; d && (e = readdir(d));) {
                int v = (int)strtol(e->d_name, NULL, 10);
                best = v > best ? v : best;
        }
        if (d)
                closedir(d);
        assert_true(best >= 15);
        snprintf(pg->bin, sizeof(pg->bin), "/usr/lib/postgresql/%d/bin", best);
}

static inline pid_t pg_spawn(const struct pg *pg, const char *const *args)
{
        pid_t parent = getpid(), pid = fork();
        assert_true(pid >= 0);
        if (pid > 0)
                return pid;
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (pg->uid != getuid() && (setgid(pg->gid) < 0 || setuid(pg->uid) < 0))
                _exit(126);
        prctl(PR_SET_PDEATHSIG, SIGQUIT);
        if (getppid() != parent || chdir("/") < 0)
                _exit(126);
        char path[400];
        snprintf(path, sizeof(path), "%s/log", pg->dir);
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        /* What a sanitizer preloads is not for Postgres. */
        unsetenv("LD_PRELOAD");
        setenv("LC_ALL", "C", 1);
        snprintf(path, sizeof(path), "%s/%s", pg->bin, args[0]);
        execv(path, (char *const *)(uintptr_t)args);
        _exit(127);
}

static inline void pg_show_log(const struct pg *pg)
{
        char path[400], line[512];
        snprintf(path, sizeof(path), "%s/log", pg->dir);
        FILE *f = fopen(path, "r");
        while (f && fgets(line, sizeof(line), f))
                print_message("postgres: %s", line);
        if (f)
                fclose(f);
}

static inline void pg_wait_ready(struct pg *pg)
{
        int64_t until = clock_mono_ms() + 20000;
        struct db *db = NULL;
        char fault[256] = "";
        const struct db_options o = {
                .dsn = pg->dsn, .application = "fixture", .connect_ms = 2000, .stop_fd = -1};
        while (clock_mono_ms() < until) {
                if (db_connect(&o, &db, fault) == 0) {
                        db_free(db);
                        return;
                }
                usleep(20000);
        }
        print_message("postgres does not come up: %s\n", fault);
        pg_show_log(pg);
        fail();
}

/* Starts the server of a cluster that stands. */
static inline void pg_run(struct pg *pg)
{
        char data[100], sockets[100];
        snprintf(data, sizeof(data), "%s/data", pg->dir);
        snprintf(sockets, sizeof(sockets), "%s", pg->dir);
        const char *args[] = {"postgres", "-D", data, "-k", sockets, "-h", "", "-c",
                "shared_buffers=32MB", "-c", "max_connections=40", "-c", "jit=off", "-c",
                "autovacuum_naptime=600", NULL};
        pg->server = pg_spawn(pg, args);
        pg_wait_ready(pg);
}

static inline void pg_start(struct pg *pg)
{
        *pg = (struct pg){.uid = getuid(), .gid = getgid()};
        pg_bin(pg);
        snprintf(pg->dir, sizeof(pg->dir), "/tmp/tern-pg-XXXXXX");
        assert_non_null(mkdtemp(pg->dir));
        if (pg->uid == 0) {
                struct passwd *user = getpwnam("postgres");
                assert_non_null(user);
                pg->uid = user->pw_uid;
                pg->gid = user->pw_gid;
                assert_int_equal(chown(pg->dir, pg->uid, pg->gid), 0);
        }
        snprintf(pg->dsn, sizeof(pg->dsn), "host=%s user=tern dbname=postgres", pg->dir);
        char data[100];
        snprintf(data, sizeof(data), "%s/data", pg->dir);
        const char *args[] = {"initdb", "-D", data, "-U", "tern", "-A", "trust", "-E", "UTF8",
                "--locale=C", "--no-sync", "--no-instructions", NULL};
        int status = 0;
        waitpid(pg_spawn(pg, args), &status, 0);
        if (status != 0)
                pg_show_log(pg);
        assert_int_equal(status, 0);
        pg_run(pg);
}

static inline void pg_kill(struct pg *pg, int sig)
{
        kill(pg->server, sig);
        int status;
        waitpid(pg->server, &status, 0);
        pg->server = 0;
}

/* A signal for the server and each of its processes: SIGSTOP makes a Postgres that hangs. */
static inline void pg_signal_all(const struct pg *pg, int sig)
{
        char path[64], line[2048] = "";
        snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pg->server, pg->server);
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        char *got = fgets(line, sizeof(line), f);
        fclose(f);
        kill(pg->server, sig);
        for (char *p = got; p && *p >= '0';) {
                long pid = strtol(p, &p, 10);
                if (pid > 0)
                        kill((pid_t)pid, sig);
                while (*p == ' ')
                        p++;
        }
}

static inline int pg_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
        UNUSED(st);
        UNUSED(flag);
        UNUSED(ftw);
        return remove(path);
}

static inline void pg_stop(struct pg *pg)
{
        if (pg->server > 0)
                pg_kill(pg, SIGQUIT);
        nftw(pg->dir, pg_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct db *pg_db(const struct pg *pg)
{
        struct db *db = NULL;
        char fault[256] = "";
        const struct db_options o = {
                .dsn = pg->dsn, .application = "test", .connect_ms = 5000, .stop_fd = -1};
        int r = db_connect(&o, &db, fault);
        if (r < 0)
                print_message("db_connect: %s\n", fault);
        assert_int_equal(r, 0);
        return db;
}

static inline void pg_exec(struct db *db, const char *sql)
{
        int r = db_exec(db, sql, NULL);
        if (r < 0)
                print_message("%s: %s %s\n", sql, db_error(db)->sqlstate, db_error(db)->text);
        assert_int_equal(r, 0);
}

/* The first value of the first row as a number. */
static inline int64_t pg_number(struct db *db, const char *sql)
{
        struct db_result res = DB_RESULT_NONE;
        int r = db_exec(db, sql, &res);
        if (r < 0)
                print_message("%s: %s\n", sql, db_error(db)->text);
        assert_int_equal(r, 0);
        assert_true(res.rows > 0);
        int64_t v = db_int(&res, 0, 0);
        db_result_done(&res);
        return v;
}

/* The first value as text; the caller frees. NULL for SQL NULL or no row. */
static inline char *pg_text(struct db *db, const char *sql)
{
        struct db_result res = DB_RESULT_NONE;
        int r = db_exec(db, sql, &res);
        if (r < 0)
                print_message("%s: %s\n", sql, db_error(db)->text);
        assert_int_equal(r, 0);
        char *v = res.rows && db_value(&res, 0, 0) ? xstrdup(db_value(&res, 0, 0)) : NULL;
        db_result_done(&res);
        return v;
}

static inline void pg_migrate(const struct pg *pg)
{
        struct db *db = pg_db(pg);
        char fault[256] = "";
        int r = store_migrate(
                db, migrations_embedded, migrations_embedded_count, NULL, NULL, fault);
        if (r < 0)
                print_message("migrate: %s\n", fault);
        assert_int_equal(r, 0);
        db_free(db);
}

static inline struct store_settings pg_settings(struct pg *pg)
{
        static char none[] = "";
        return (struct store_settings){.dsn = pg->dsn,
                .dsn_secret = none,
                .pool = 2,
                .timeout_ms = 700,
                .queue_max = 1000};
}

#endif
