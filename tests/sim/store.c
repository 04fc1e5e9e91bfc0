#include "postgres.h"

#include "store/store.h"

#include <errno.h>
#include <stdlib.h>

#define WORKERS 2
#define JOB_MS 8
#define SLOW_MS 900
#define AWAY_MS 30

struct store {
        struct postgres *pg;
        struct process *process;
        struct list queue; /* struct store_job.mail.link */
};


static void free_results(struct result *results[STORE_JOB_STEPS])
{
        for (size_t i = 0; i < STORE_JOB_STEPS; i++)
                result_free(results[i]);
}

static void take_results(struct store_job *j, struct result *ret[STORE_JOB_STEPS])
{
        for (size_t i = 0; i < STORE_JOB_STEPS; i++) {
                ret[i] = j->step[i].handle;
                j->step[i].handle = NULL;
        }
}

static void free_params(struct store_job *j)
{
        for (size_t i = 0; i < j->step_count; i++)
                for (size_t k = 0; k < j->step[i].param_count; k++) {
                        free(j->step[i].params[k]);
                        j->step[i].params[k] = NULL;
                }
}

static void run_done(struct mail *m)
{
        struct store_job *j = container_of(m, struct store_job, mail);
        struct result *results[STORE_JOB_STEPS];
        take_results(j, results);
        j->done(j);
        free_results(results);
}

void store_job_init(struct store_job *j, struct mailbox *reply, void (*done)(struct store_job *))
{
        *j = (struct store_job){.mail.run = run_done, .reply = reply, .done = done};
        list_init(&j->mail.link);
}

void store_job_step(struct store_job *j, const struct store_statement *st,
        const char *const *params, size_t param_count)
{
        CHECK(j->step_count < STORE_JOB_STEPS && param_count <= STORE_PARAMS_MAX);
        size_t at = j->step_count++;
        j->step[at].statement = st;
        j->step[at].param_count = param_count;
        for (size_t i = 0; i < param_count; i++)
                j->step[at].params[i] = params[i] ? xstrdup(params[i]) : NULL;
}

void store_job_done(struct store_job *j)
{
        struct result *results[STORE_JOB_STEPS];
        take_results(j, results);
        free_results(results);
        free_params(j);
}

/* Takes its time, then all steps see the same instant. */
static void run_job(struct store *st, struct store_job *j)
{
        const struct postgres *pg = st->pg;
        int64_t ms = postgres_is_away(pg, st->process) ? draw_below(AWAY_MS)
                     : chance(pg->faults.slow)         ? SLOW_MS + draw_below(SLOW_MS)
                                                       : draw_below(JOB_MS);
        fiber_wait(NULL, machine_now_ms() + ms);
        j->err = postgres_is_away(pg, st->process) || chance(pg->faults.lost) ? -EIO : 0;
        for (size_t i = 0; j->err == 0 && i < j->step_count; i++) {
                struct cells c;
                postgres_select(pg, j->step[i].statement->name, j->step[i].params, &c);
                struct result *r = cells_seal(&c);
                j->step[i].handle = r;
                j->step[i].result = (struct store_result){
                        r->rows, r->columns, r->values, r->lengths};
        }
        if (j->err == 0 && chance(20)) /* the answer is on its way while the world goes on */
                fiber_wait(NULL, machine_now_ms() + draw_below(JOB_MS));
}

static void worker(void *arg)
{
        struct store *st = arg;
        for (;;) {
                struct list *first = list_take(&st->queue);
                if (!first) {
                        fiber_wait(&st->queue, NEVER);
                        continue;
                }
                struct store_job *j = container_of(
                        container_of(first, struct mail, link), struct store_job, mail);
                run_job(st, j);
                free_params(j);
                list_init(&j->mail.link);
                if (!j->reply)
                        j->mail.run(&j->mail);
                else if (!mailbox_post(j->reply, &j->mail))
                        store_job_done(j);
        }
}

struct store *postgres_store(struct postgres *pg, struct process *p)
{
        struct store *st = xcalloc(1, sizeof(*st));
        st->pg = pg;
        st->process = p;
        list_init(&st->queue);
        for (int i = 0; i < WORKERS; i++)
                fiber_start(p, "store", worker, st);
        return st;
}

void store_submit(struct store *st, struct store_job *j)
{
        list_push_back(&st->queue, &j->mail.link);
        fiber_wake(&st->queue);
}

int store_run(struct store *st, struct store_job *j)
{
        run_job(st, j);
        free_params(j);
        return j->err;
}

bool store_up(const struct store *st)
{
        return !postgres_is_away(st->pg, st->process);
}
