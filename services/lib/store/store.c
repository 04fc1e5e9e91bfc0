/*
 * The pool. One lock guards the queue and the counts; it is held for moments only.
 *
 * Workers take jobs only while they are connected. A warden does what no busy or unconnected worker can: it
 * answers jobs at once while nobody is connected, and jobs whose time is over while all workers wait for a
 * Postgres that hangs. While nobody is connected one worker tries to connect, and the others wait for its success.
 */
#include "store/store.h"
#include "store/job.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define IDLE_CHECK_MS 1000
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 2000
#define NS_PER_MS 1000000

const struct config_row store_settings_rows[] = {
#define CONFIG(type, field, ...) CONFIG_ROW(struct store_settings, type, field, __VA_ARGS__)
#include "store/settings.def"
};
const size_t store_settings_count = ARRAY_LEN(store_settings_rows);

struct store {
        char *dsn;   /* owned */
        int stop_fd; /* readable from store_free() on */
        uint32_t timeout_ms, queue_max, pool;
        struct store_set *sets; /* owned array; frozen */
        size_t set_count;
        struct metrics *metrics; /* borrowed */

        pthread_mutex_t lock; /* guards all below */
        pthread_cond_t work;  /* workers: a job, a first connection, the end */
        pthread_cond_t watch; /* the warden: a job, a lost connection, the end */
        struct list queue;    /* struct store_job by mail.link, oldest first */
        size_t queued;
        bool stop, connecting, tried; /* tried: an attempt to connect has ended */
        char fault[256];

        atomic_uint up; /* written under the lock */
        pthread_t warden;
        bool warden_runs;
        pthread_t *workers; /* owned array of worker_count */
        size_t worker_count;
};

/* ---- answering ---- */

static void count_error(struct store *st, const struct store_job *j)
{
        /* Labels of the row: retry, poison, fatal, timeout. */
        if (j->err)
                metrics_add(st->metrics, M_store_errors,
                        j->err == -ETIMEDOUT ? 3
                        : j->err == -EINVAL  ? 2
                                             : 0,
                        1);
}

/* The last touch: the job is the asker's from here on. */
static void answer(struct store *st, struct store_job *j)
{
        metrics_observe(st->metrics, M_store_time, 0, clock_mono_ns() - j->queued_ns);
        count_error(st, j);
        job_free_params(j);
        list_init(&j->mail.link);
        if (j->waiter) {
                sem_post(j->waiter);
        } else if (!j->reply) {
                j->mail.run(&j->mail);
        } else if (!mailbox_post(j->reply, &j->mail)) {
                struct store_results results = job_take_results(j);
                job_free_results(&results);
        }
}

static struct store_job *job_of(struct list *link)
{
        return container_of(container_of(link, struct mail, link), struct store_job, mail);
}

static int64_t deadline_ms(const struct store *st, const struct store_job *j)
{
        return j->queued_ns / NS_PER_MS + st->timeout_ms;
}

/* With the lock held. */
static void count_queued(struct store *st, int by)
{
        st->queued += (size_t)by;
        metrics_set(st->metrics, M_entries_used, ENTRIES_READS, (int64_t)st->queued);
}

static void set_fault(struct store *st, const char *text)
{
        pthread_mutex_lock(&st->lock);
        snprintf(st->fault, sizeof(st->fault), "%s", text);
        pthread_mutex_unlock(&st->lock);
}

/* ---- waiting ---- */

/* With the lock held, on a condition that counts by the monotonic clock. */
static void wait_ms(struct store *st, pthread_cond_t *cond, int64_t ms)
{
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += ms / 1000;
        until.tv_nsec += ms % 1000 * NS_PER_MS;
        if (until.tv_nsec >= 1000000000) {
                until.tv_sec++;
                until.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(cond, &st->lock, &until);
}

/* ---- the warden ---- */

/* With the lock held: the oldest job if nobody will run it, with why; NULL if there is none. *ret_wait_ms: when to look again. */
static struct store_job *take_hopeless(struct store *st, int *ret_err, int64_t *ret_wait_ms)
{
        *ret_wait_ms = 60000;
        struct list *first = list_first(&st->queue);
        if (!first)
                return NULL;
        int64_t left = deadline_ms(st, job_of(first)) - clock_mono_ms();
        /* Whether Postgres is away is not known before the first attempt has ended. */
        bool away = atomic_load(&st->up) == 0 && st->tried;
        *ret_err = st->stop || away ? -EIO : -ETIMEDOUT;
        if (*ret_err == -ETIMEDOUT && left > 0) {
                *ret_wait_ms = left;
                return NULL;
        }
        list_remove(first);
        count_queued(st, -1);
        return job_of(first);
}

static void *warden_main(void *arg)
{
        struct store *st = arg;
        pthread_mutex_lock(&st->lock);
        for (;;) {
                int err = 0;
                int64_t ms = 0;
                struct store_job *j = take_hopeless(st, &err, &ms);
                if (j) {
                        pthread_mutex_unlock(&st->lock);
                        job_fail(j, err,
                                err == -EIO ? "Postgres is away"
                                            : "no connection was free in time");
                        answer(st, j);
                        pthread_mutex_lock(&st->lock);
                } else if (st->stop) {
                        break;
                } else {
                        wait_ms(st, &st->watch, ms);
                }
        }
        pthread_mutex_unlock(&st->lock);
        return NULL;
}

/* ---- workers ---- */

static void note_up(struct store *st, int by)
{
        pthread_mutex_lock(&st->lock);
        atomic_fetch_add(&st->up, (unsigned)by);
        st->tried = true;
        pthread_cond_broadcast(&st->work);
        pthread_cond_signal(&st->watch);
        pthread_mutex_unlock(&st->lock);
}

static struct db *try_connect(struct store *st)
{
        struct db *db = NULL;
        char fault[256];
        const struct db_options o = {
                .dsn = st->dsn,
                .application = "tern",
                .connect_ms = st->timeout_ms,
                .statement_ms = st->timeout_ms,
                .read_only = true,
                .stop_fd = st->stop_fd,
        };
        if (db_connect(&o, &db, fault) < 0) {
                set_fault(st, fault);
                return NULL;
        }
        size_t refused = 0;
        db_deadline(db, clock_mono_ms() + st->timeout_ms);
        int r = job_prepare_all(db, st->sets, st->set_count, &refused);
        if (refused || r < 0)
                set_fault(st, db_error(db)->text);
        return r < 0 ? db_free(db) : db;
}

/* NULL at the end of the store. */
static struct db *connect_worker(struct store *st)
{
        int64_t backoff_ms = BACKOFF_MIN_MS;
        pthread_mutex_lock(&st->lock);
        while (!st->stop) {
                if (atomic_load(&st->up) == 0 && st->connecting) {
                        wait_ms(st, &st->work, BACKOFF_MAX_MS);
                        continue;
                }
                bool leader = atomic_load(&st->up) == 0;
                if (leader)
                        st->connecting = true;
                pthread_mutex_unlock(&st->lock);
                struct db *db = try_connect(st);
                pthread_mutex_lock(&st->lock);
                if (leader)
                        st->connecting = false;
                if (db) {
                        pthread_mutex_unlock(&st->lock);
                        note_up(st, 1);
                        return db;
                }
                st->tried = true;
                pthread_cond_signal(&st->watch);
                if (!st->stop)
                        wait_ms(st, &st->work, backoff_ms);
                backoff_ms = backoff_ms * 2 < BACKOFF_MAX_MS ? backoff_ms * 2 : BACKOFF_MAX_MS;
        }
        pthread_mutex_unlock(&st->lock);
        return NULL;
}

/* The next job; NULL after an idle second, or at the end. */
static struct store_job *take_job(struct store *st)
{
        pthread_mutex_lock(&st->lock);
        if (list_empty(&st->queue) && !st->stop)
                wait_ms(st, &st->work, IDLE_CHECK_MS);
        struct list *it = st->stop ? NULL : list_take(&st->queue);
        if (it)
                count_queued(st, -1);
        pthread_mutex_unlock(&st->lock);
        return it ? job_of(it) : NULL;
}

/* A connection that died while it was idle is no reason to fail a read: it goes back, to each of
 * the others at most. */
static bool put_back(struct store *st, struct store_job *j)
{
        if (j->tries >= st->pool || j->err != -EIO || clock_mono_ms() >= deadline_ms(st, j))
                return false;
        j->tries++;
        pthread_mutex_lock(&st->lock);
        bool stop = st->stop;
        if (!stop) {
                list_push_front(&st->queue, &j->mail.link);
                count_queued(st, 1);
                pthread_cond_signal(&st->work);
                pthread_cond_signal(&st->watch);
        }
        pthread_mutex_unlock(&st->lock);
        return !stop;
}

static void run_one(struct store *st, struct db *db, struct store_job *j)
{
        int64_t until = deadline_ms(st, j);
        if (clock_mono_ms() >= until) {
                job_fail(j, -ETIMEDOUT, "no connection was free in time");
                answer(st, j);
                return;
        }
        db_deadline(db, until);
        job_run(db, j);
        bool lost = !db_alive(db);
        if (lost)
                set_fault(st, db_error(db)->text);
        if (!lost || !put_back(st, j))
                answer(st, j);
}

static bool stopping(struct store *st)
{
        pthread_mutex_lock(&st->lock);
        bool stop = st->stop;
        pthread_mutex_unlock(&st->lock);
        return stop;
}

static void *worker_main(void *arg)
{
        struct store *st = arg;
        struct db *db;
        while ((db = connect_worker(st))) {
                while (!stopping(st) && db_alive(db)) {
                        struct store_job *j = take_job(st);
                        if (j)
                                run_one(st, db, j);
                }
                note_up(st, -1);
                db_free(db);
        }
        return NULL;
}

/* ---- life ---- */

static void init_sync(struct store *st)
{
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_mutex_init(&st->lock, NULL);
        pthread_cond_init(&st->work, &attr);
        pthread_cond_init(&st->watch, &attr);
        pthread_condattr_destroy(&attr);
        list_init(&st->queue);
}

static int start_threads(struct store *st, size_t count)
{
        st->workers = xcalloc(count, sizeof(*st->workers));
        st->warden_runs = pthread_create(&st->warden, NULL, warden_main, st) == 0;
        if (!st->warden_runs)
                return -EAGAIN;
        for (; st->worker_count < count; st->worker_count++)
                if (pthread_create(&st->workers[st->worker_count], NULL, worker_main, st) != 0)
                        break;
        return st->worker_count > 0 ? 0 : -EAGAIN;
}

int store_new(const struct store_settings *s, const struct store_set *sets, size_t set_count,
        struct metrics *metrics, struct store **ret, char fault[256])
{
        const char *dsn = db_dsn(s, fault);
        if (!dsn)
                return -EINVAL;
        struct store *st = xcalloc(1, sizeof(*st));
        st->dsn = xstrdup(dsn);
        st->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        st->timeout_ms = s->timeout_ms;
        st->queue_max = s->queue_max ? s->queue_max : UINT32_MAX;
        st->pool = s->pool ? s->pool : 1;
        st->sets = xcalloc(set_count + 1, sizeof(*sets));
        for (size_t i = 0; i < set_count; i++)
                st->sets[i] = sets[i];
        st->set_count = set_count;
        st->metrics = metrics;
        metrics_entries_limit(metrics, ENTRIES_READS, st->queue_max);
        init_sync(st);
        int r = start_threads(st, st->pool);
        if (r < 0) {
                snprintf(fault, 256, "no threads for the connections to Postgres");
                store_free(st);
                return r;
        }
        *ret = st;
        return 0;
}

struct store *store_free(struct store *st)
{
        if (!st)
                return NULL;
        pthread_mutex_lock(&st->lock);
        st->stop = true;
        pthread_cond_broadcast(&st->work);
        pthread_cond_broadcast(&st->watch);
        pthread_mutex_unlock(&st->lock);
        if (st->stop_fd >= 0 && eventfd_write(st->stop_fd, 1) < 0)
                CHECK(errno == EAGAIN);
        for (size_t i = 0; i < st->worker_count; i++)
                pthread_join(st->workers[i], NULL);
        if (st->warden_runs)
                pthread_join(st->warden, NULL);
        if (st->stop_fd >= 0)
                close(st->stop_fd);
        pthread_cond_destroy(&st->work);
        pthread_cond_destroy(&st->watch);
        pthread_mutex_destroy(&st->lock);
        free(st->workers);
        free(st->sets);
        free(st->dsn);
        free(st);
        return NULL;
}

bool store_up(const struct store *st)
{
        return atomic_load(&st->up) > 0;
}

void store_fault(struct store *st, char ret[256])
{
        pthread_mutex_lock(&st->lock);
        snprintf(ret, 256, "%s", st->fault);
        pthread_mutex_unlock(&st->lock);
}

/* ---- asking ---- */

void store_submit(struct store *st, struct store_job *j)
{
        CHECK(j->step_count > 0);
        j->queued_ns = clock_mono_ns();
        j->tries = 0;
        pthread_mutex_lock(&st->lock);
        bool full = st->queued >= st->queue_max;
        /* One too many is one whose time is over: the warden answers it, at once. */
        if (full) {
                j->queued_ns -= (int64_t)st->timeout_ms * NS_PER_MS;
                list_push_front(&st->queue, &j->mail.link);
        } else {
                list_push_back(&st->queue, &j->mail.link);
        }
        count_queued(st, 1);
        pthread_cond_signal(&st->work);
        if (full || atomic_load(&st->up) == 0 || st->queue.next == &j->mail.link)
                pthread_cond_signal(&st->watch);
        pthread_mutex_unlock(&st->lock);
}

int store_run(struct store *st, struct store_job *j)
{
        sem_t waiter;
        sem_init(&waiter, 0, 0);
        j->waiter = &waiter;
        store_submit(st, j);
        while (sem_wait(&waiter) < 0)
                CHECK(errno == EINTR);
        sem_destroy(&waiter);
        j->waiter = NULL;
        return j->err;
}
