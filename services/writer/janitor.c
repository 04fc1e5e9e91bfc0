#include "writer/janitor.h"
#include "writer/days.h"

#include "base/clock.h"
#include "store/db.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TEND_MS 3600000
#define RETRY_MS 60000
#define STATEMENT_MS 600000 /* a day's rows are read once before they go */

struct janitor {
        const char *dsn; /* borrowed */
        uint32_t connect_ms;
        struct days days;
        struct log *log; /* borrowed */
        int stop_fd;
        pthread_t thread;
        bool runs;
};

/* 0 or a code of db.h. */
static int tend(struct janitor *j)
{
        struct db *db = NULL;
        char fault[256] = "";
        const struct db_options o = {.dsn = j->dsn,
                .application = "tern-writer-janitor",
                .connect_ms = j->connect_ms,
                .statement_ms = STATEMENT_MS,
                .stop_fd = j->stop_fd};
        int r = db_connect(&o, &db, fault);
        /* Rather later than making readers wait behind a lock that is waited for. */
        if (r == 0)
                r = db_exec(db, "SET lock_timeout = 500", NULL);
        if (r == 0)
                r = days_load(&j->days, db);
        if (r == 0)
                r = days_tend(&j->days, db, clock_wall_ms(), j->log);
        if (r < 0 && r != -ECANCELED)
                log_warn(
                        j->log, "days_not_tended", F_STR("error", db ? db_error(db)->text : fault));
        db_free(db);
        return r;
}

static void *janitor_main(void *arg)
{
        struct janitor *j = arg;
        struct pollfd stop = {.fd = j->stop_fd, .events = POLLIN};
        int wait = 0;
        while (poll(&stop, 1, wait) <= 0)
                wait = tend(j) < 0 ? RETRY_MS : TEND_MS;
        return NULL;
}

int janitor_new(const char *dsn, uint32_t connect_ms, uint32_t window_days, struct log *log,
        struct janitor **ret)
{
        struct janitor *j = xcalloc(1, sizeof(*j));
        *j = (struct janitor){
                .dsn = dsn, .connect_ms = connect_ms, .days = {.window = window_days}, .log = log};
        j->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        j->runs = j->stop_fd >= 0 && pthread_create(&j->thread, NULL, janitor_main, j) == 0;
        if (!j->runs) {
                janitor_free(j);
                return -EAGAIN;
        }
        *ret = j;
        return 0;
}

struct janitor *janitor_free(struct janitor *j)
{
        if (!j)
                return NULL;
        if (j->stop_fd >= 0)
                CHECK(eventfd_write(j->stop_fd, 1) == 0);
        if (j->runs)
                pthread_join(j->thread, NULL);
        if (j->stop_fd >= 0)
                close(j->stop_fd);
        days_done(&j->days);
        free(j);
        return NULL;
}
