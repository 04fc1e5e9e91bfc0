#include "writer/committer.h"

#include "writer/commit.h"
#include "writer/outbound.h"

#include "base/clock.h"
#include "base/trace.h"
#include "store/db.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PAUSE_MIN_MS 50
#define IDLE_MS 1000
#define LOG_EVERY_MS 10000
#define NS_PER_MS 1000000

struct committer {
        struct committer_options o;
        pthread_t thread;
        bool runs;
        int give_up_fd; /* readable: whatever is waited for ends */

        pthread_mutex_t lock; /* guards the next five */
        pthread_cond_t changed;
        struct batch *work; /* lent until it is done */
        struct batch *done;
        bool give_up, stop;

        /* The thread's own. */
        struct db *db; /* owned; NULL while Postgres is away */
        struct commit commit;
        struct outbound *outbound; /* owned */
        int64_t pause_ms, logged_ms;
        bool in_trouble;
};

/* ---- waiting ---- */

static void wait_ms(struct committer *c, int64_t ms)
{
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        int64_t ns = until.tv_nsec + ms % 1000 * NS_PER_MS;
        until.tv_sec += ms / 1000 + ns / 1000000000;
        until.tv_nsec = ns % 1000000000;
        pthread_cond_timedwait(&c->changed, &c->lock, &until);
}

static bool giving_up(struct committer *c)
{
        pthread_mutex_lock(&c->lock);
        bool yes = c->give_up || c->stop;
        pthread_mutex_unlock(&c->lock);
        return yes;
}

/* A growing pause that ends when the batch is given up. */
static void pause_before_retry(struct committer *c)
{
        int64_t until = clock_mono_ms() + c->pause_ms;
        pthread_mutex_lock(&c->lock);
        while (!c->give_up && !c->stop && clock_mono_ms() < until)
                wait_ms(c, until - clock_mono_ms());
        pthread_mutex_unlock(&c->lock);
        c->pause_ms = c->pause_ms * 2 < c->o.retry_max_ms ? c->pause_ms * 2 : c->o.retry_max_ms;
}

/* ---- trouble ---- */

/* The first time at once, then every ten seconds. fatal: somebody must act. */
static void trouble(
        struct committer *c, const char *event, const char *why, const char *sqlstate, bool fatal)
{
        int64_t now = clock_mono_ms();
        if (giving_up(c))
                return;
        metrics_add(c->o.metrics, M_writer_retries, 0, 1);
        if (c->in_trouble && now - c->logged_ms < LOG_EVERY_MS)
                return;
        c->in_trouble = true;
        c->logged_ms = now;
        if (fatal)
                log_error(c->o.log, event, F_STR("error", why), F_STR("sqlstate", sqlstate));
        else
                log_warn(c->o.log, event, F_STR("error", why), F_STR("sqlstate", sqlstate));
}

static void trouble_over(struct committer *c)
{
        if (c->in_trouble)
                log_info(c->o.log, "writing_again");
        c->in_trouble = false;
        c->pause_ms = PAUSE_MIN_MS;
}

/* ---- the connection ---- */

static void disconnect(struct committer *c)
{
        atomic_store(c->o.postgres_up, false);
        c->db = db_free(c->db);
}

/* True when there is a connection that is ready to write. */
static bool connected(struct committer *c)
{
        if (c->db && db_alive(c->db))
                return true;
        disconnect(c);
        char fault[256] = "";
        const struct db_options o = {
                .dsn = c->o.dsn,
                .application = "tern-writer",
                .connect_ms = c->o.connect_ms,
                .statement_ms = c->o.commit_ms,
                .stop_fd = c->give_up_fd,
        };
        int r = db_connect(&o, &c->db, fault);
        if (r == 0) {
                db_deadline(c->db, clock_mono_ms() + c->o.connect_ms);
                r = commit_prepare(&c->commit, c->db);
        }
        if (r < 0) {
                const struct db_error *e = c->db ? db_error(c->db) : NULL;
                trouble(c, "postgres_away", e ? e->text : fault, e ? e->sqlstate : "",
                        e && e->class == ERROR_FATAL);
                disconnect(c);
                return false;
        }
        atomic_store(c->o.postgres_up, true);
        return true;
}

/* ---- one batch ---- */

/* A record that passed the validator and that Postgres does not take: a bug of ours, and no reason to stop. */
static void refuse(struct committer *c, struct batch *b, struct item *it)
{
        const struct db_error *e = db_error(c->db);
        const struct part *p = item_home(b, it);
        log_error(c->o.log, "record_refused", F_STR("topic", writer_topics[p->topic]),
                F_INT("partition", p->partition), F_INT("offset", it->record.offset),
                F_SLICE("id", it->id), F_STR("sqlstate", e->sqlstate), F_STR("error", e->text));
        item_kill(b, it, EVENT_OK, e->sqlstate, e->text);
}

static bool has_outbound(const struct batch *b, size_t from, size_t to)
{
        for (size_t i = from; i < to; i++)
                if ((b->items[i].kind == ITEM_DEAD || b->items[i].kind == ITEM_REKEY) &&
                        !b->items[i].sent &&
                        b->items[i].after > b->parts[b->items[i].part].sent_before)
                        return true;
        return false;
}

/* What has to stand in the log before the transaction. 0, or why not. */
static int send_first(struct committer *c, struct batch *b, size_t from, size_t to)
{
        if (!has_outbound(b, from, to))
                return 0;
        char why[256] = "";
        db_deadline(c->db, clock_mono_ms() + c->o.commit_ms);
        /* A writer that slept does not repeat what its successor has sent. */
        int r = commit_check(&c->commit, c->db, b, from, to);
        if (r < 0)
                snprintf(why, sizeof(why), "%s", db_error(c->db)->text);
        else
                r = outbound_send(c->outbound, c->db, b, from, to, why);
        if (r < 0)
                trouble(c, "not_sent", why, "", false);
        return r;
}

static int find_out(struct committer *c, struct batch *b, size_t from, size_t to)
{
        if (!connected(c))
                return -EINPROGRESS;
        db_deadline(c->db, clock_mono_ms() + c->o.commit_ms);
        int r = commit_happened(&c->commit, c->db, b, from, to);
        return r == -EIO || r == -ETIMEDOUT || r == -EAGAIN ? -EINPROGRESS : r;
}

static void log_traces(const struct committer *c, const struct batch *b, size_t from, size_t to)
{
        for (size_t i = from; i < to; i++) {
                const struct item *it = &b->items[i];
                struct slice trace = bus_record_header(&it->record, "traceparent");
                if (it->kind == ITEM_STORE && trace_valid(trace))
                        log_debug(c->o.log, "stored", F_SLICE("topic", it->record.topic),
                                F_SLICE("id", it->id), F_INT("seq", it->seq),
                                F_SLICE("trace_id", trace_id(trace)));
        }
}

/* Commits items [from, to). 0, or a code of commit_run(). */
static int commit_once(struct committer *c, struct batch *b, size_t from, size_t to)
{
        int64_t start = clock_mono_ns();
        db_deadline(c->db, clock_mono_ms() + c->o.commit_ms);
        int r = commit_run(&c->commit, c->db, b, from, to);
        while (r == -EINPROGRESS && !giving_up(c)) {
                trouble(c, "commit_unknown", "the answer to a commit was lost", "", false);
                pause_before_retry(c);
                r = find_out(c, b, from, to);
        }
        if (r == 0) {
                metrics_observe(c->o.metrics, M_writer_commit, 0, clock_mono_ns() - start);
                metrics_observe(c->o.metrics, M_writer_batch, 0, (int64_t)(to - from));
                if (log_on(c->o.log, LOG_LEVEL_DEBUG))
                        log_traces(c, b, from, to);
        }
        return r;
}

static void count_fenced(struct committer *c, const struct batch *b, size_t *known)
{
        size_t n = 0;
        for (size_t i = 0; i < b->part_count; i++)
                n += b->parts[i].fenced;
        if (n > *known) {
                metrics_add(c->o.metrics, M_writer_fenced, 0, 1);
                *known = n;
        }
}

/*
 * Commits what is left of the batch, in runs of at most span items. A run that Postgres refuses is halved until the one record is
 * found; then all the rest is tried at once again.
 */
static void process(struct committer *c, struct batch *b)
{
        size_t span = b->count, fenced = 0;
        while (b->committed < b->count) {
                if (giving_up(c)) {
                        b->abandoned = true;
                        return;
                }
                size_t from = b->committed, to = b->count - from < span ? b->count : from + span;
                int r = connected(c) ? send_first(c, b, from, to) : -EIO;
                bool sent = r == 0;
                if (sent)
                        r = commit_once(c, b, from, to);
                if (r == 0) {
                        b->committed = to;
                        trouble_over(c);
                } else if (r == -ESTALE || r == -ENOENT) {
                        count_fenced(c, b, &fenced);
                } else if (sent && r == -EINVAL && to - from > 1) {
                        span = (to - from) / 2;
                } else if (sent && r == -EINVAL) {
                        refuse(c, b, &b->items[from]);
                        span = b->count;
                } else {
                        if (sent && c->db)
                                trouble(c, "commit_failed", db_error(c->db)->text,
                                        db_error(c->db)->sqlstate,
                                        db_error(c->db)->class == ERROR_FATAL);
                        /* A session that knows an older schema never gets well. */
                        if (c->db && db_error(c->db)->class == ERROR_FATAL)
                                disconnect(c);
                        pause_before_retry(c);
                }
        }
}

/* ---- the thread ---- */

/* NULL after an idle second, or at the end. */
static struct batch *next_batch(struct committer *c)
{
        pthread_mutex_lock(&c->lock);
        if (!c->work && !c->stop)
                wait_ms(c, IDLE_MS);
        struct batch *b = c->stop ? NULL : c->work;
        pthread_mutex_unlock(&c->lock);
        return b;
}

static bool stopped(struct committer *c)
{
        pthread_mutex_lock(&c->lock);
        bool stop = c->stop;
        pthread_mutex_unlock(&c->lock);
        return stop;
}

static void give_back(struct committer *c, struct batch *b)
{
        pthread_mutex_lock(&c->lock);
        c->work = NULL;
        c->done = b;
        pthread_cond_broadcast(&c->changed);
        pthread_mutex_unlock(&c->lock);
        if (c->o.wake)
                c->o.wake(c->o.wake_arg);
}

static void *committer_main(void *arg)
{
        struct committer *c = arg;
        c->pause_ms = PAUSE_MIN_MS;
        while (!stopped(c)) {
                /* Readiness wants to know of Postgres also while nothing comes. */
                bool up = connected(c);
                struct batch *b = next_batch(c);
                if (b) {
                        process(c, b);
                        give_back(c, b);
                } else if (up) {
                        trouble_over(c);
                }
        }
        disconnect(c);
        return NULL;
}

int committer_new(const struct committer_options *o, struct committer **ret)
{
        struct committer *c = xcalloc(1, sizeof(*c));
        c->o = *o;
        c->give_up_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        c->commit = (struct commit){.metrics = o->metrics, .days = {.window = o->window_days}};
        c->outbound = outbound_new(o->bus, o->metrics, o->log, o->batch_max);
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_mutex_init(&c->lock, NULL);
        pthread_cond_init(&c->changed, &attr);
        pthread_condattr_destroy(&attr);
        c->runs = pthread_create(&c->thread, NULL, committer_main, c) == 0;
        if (!c->runs) {
                committer_free(c);
                return -EAGAIN;
        }
        *ret = c;
        return 0;
}

struct committer *committer_free(struct committer *c)
{
        if (!c)
                return NULL;
        pthread_mutex_lock(&c->lock);
        c->stop = true;
        pthread_cond_broadcast(&c->changed);
        pthread_mutex_unlock(&c->lock);
        if (c->give_up_fd >= 0)
                CHECK(eventfd_write(c->give_up_fd, 1) == 0);
        if (c->runs)
                pthread_join(c->thread, NULL);
        commit_done(&c->commit);
        outbound_free(c->outbound);
        if (c->give_up_fd >= 0)
                close(c->give_up_fd);
        pthread_cond_destroy(&c->changed);
        pthread_mutex_destroy(&c->lock);
        free(c);
        return NULL;
}

/* ---- the intake's side ---- */

bool committer_busy(struct committer *c)
{
        pthread_mutex_lock(&c->lock);
        bool busy = c->work || c->done;
        pthread_mutex_unlock(&c->lock);
        return busy;
}

void committer_submit(struct committer *c, struct batch *b)
{
        pthread_mutex_lock(&c->lock);
        CHECK(!c->work && !c->done);
        c->work = b;
        pthread_cond_broadcast(&c->changed);
        pthread_mutex_unlock(&c->lock);
}

struct batch *committer_take(struct committer *c, int timeout_ms)
{
        int64_t until = clock_mono_ms() + timeout_ms;
        pthread_mutex_lock(&c->lock);
        while (!c->done && c->work && clock_mono_ms() < until)
                wait_ms(c, until - clock_mono_ms());
        struct batch *b = c->done;
        if (b && c->give_up) {
                eventfd_t ignored;
                c->give_up = false;
                (void)!eventfd_read(c->give_up_fd, &ignored);
        }
        c->done = NULL;
        pthread_mutex_unlock(&c->lock);
        return b;
}

void committer_abandon(struct committer *c)
{
        pthread_mutex_lock(&c->lock);
        if (c->work && !c->give_up) {
                c->give_up = true;
                CHECK(eventfd_write(c->give_up_fd, 1) == 0);
                pthread_cond_broadcast(&c->changed);
        }
        pthread_mutex_unlock(&c->lock);
}
