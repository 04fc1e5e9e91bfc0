#include "postgres.h"

#include "base/buf.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
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

/* ---- tables ---- */

struct postgres *postgres_new(void)
{
        return xcalloc(1, sizeof(struct postgres));
}

struct postgres *postgres_free(struct postgres *pg)
{
        free(pg->events);
        free(pg->places);
        free(pg->lives);
        map_done(&pg->ids);
        free(pg);
        return NULL;
}

#define ADD_ROW(pg, rows, count, cap)                                                              \
        do {                                                                                       \
                if ((pg)->count == (pg)->cap) {                                                    \
                        (pg)->cap = (pg)->cap ? (pg)->cap * 2 : 64;                                \
                        (pg)->rows = xrealloc((pg)->rows, (pg)->cap * sizeof(*(pg)->rows));        \
                }                                                                                  \
                (pg)->count++;                                                                     \
        } while (0)

const struct place_row *postgres_find_place(
        const struct postgres *pg, const char *topic, int32_t partition, uint32_t epoch)
{
        for (size_t i = 0; i < pg->place_count; i++) {
                const struct place_row *p = &pg->places[i];
                if (p->partition == partition && p->epoch == epoch && strcmp(p->topic, topic) == 0)
                        return p;
        }
        return NULL;
}

struct place_row *postgres_place(
        struct postgres *pg, const char *topic, int32_t partition, uint32_t epoch)
{
        const struct place_row *found = postgres_find_place(pg, topic, partition, epoch);
        if (found)
                return &pg->places[found - pg->places];
        ADD_ROW(pg, places, place_count, place_cap);
        struct place_row *p = &pg->places[pg->place_count - 1];
        *p = (struct place_row){topic, partition, epoch, 0, 0};
        return p;
}

void postgres_add_life(struct postgres *pg, const char *topic, uint32_t epoch, uint32_t partitions)
{
        ADD_ROW(pg, lives, life_count, life_cap);
        pg->lives[pg->life_count - 1] = (struct life_row){topic, epoch, partitions};
}

static void store_event(struct postgres *pg, const struct topic *t, const struct entry *e)
{
        if (e->kind == ENTRY_FOREIGN || e->kind == ENTRY_HIDDEN || map_get(&pg->ids, e->id))
                return;
        map_put(&pg->ids, e->id, (void *)(uintptr_t)e->id.p);
        ADD_ROW(pg, events, event_count, event_cap);
        pg->events[pg->event_count - 1] = (struct event_row){t->name, entry_seq(e), e->timestamp_ms,
                e->epoch, e->partition, e->key, e->type, e->id, e->value};
}

void postgres_ingest(struct postgres *pg, struct log_model *lm, struct topic *t, int32_t partition,
        int64_t until)
{
        UNUSED(lm);
        struct partition *p = log_partition(t, partition);
        struct place_row *place = postgres_place(pg, t->name, partition, t->epoch);
        if (place->next_offset < p->low) /* cut off before they were read */
                place->next_offset = place->complete_from = p->low;
        for (size_t i = log_find(p, place->next_offset);
                i < p->count && p->entries[i]->offset < until; i++) {
                store_event(pg, t, p->entries[i]);
                place->next_offset = p->entries[i]->offset + 1;
        }
}

bool postgres_has(const struct postgres *pg, const char *topic, int32_t partition, uint32_t epoch,
        int64_t from, int64_t to)
{
        const struct place_row *p = postgres_find_place(pg, topic, partition, epoch);
        return p && from >= p->complete_from && to <= p->next_offset;
}

/* ---- results ---- */

struct cells {
        struct buf text;
        size_t *starts; /* owned; SIZE_MAX: NULL */
        size_t count, cap;
};

static void cell(struct cells *c, struct slice s)
{
        if (c->count == c->cap) {
                c->cap = c->cap ? c->cap * 2 : 64;
                c->starts = xrealloc(c->starts, c->cap * sizeof(*c->starts));
        }
        c->starts[c->count++] = c->text.n;
        buf_add_slice(&c->text, s);
        buf_add_char(&c->text, '\0');
}

static void cell_i64(struct cells *c, int64_t v)
{
        char text[24];
        snprintf(text, sizeof(text), "%lld", (long long)v);
        cell(c, slice_str(text));
}

struct result {
        char *text;
        const char **values;
        size_t *lengths;
};

static struct result *seal(struct cells *c, size_t columns, struct store_result *ret)
{
        struct result *r = xcalloc(1, sizeof(*r));
        r->text = xmalloc(c->text.n + 1);
        if (c->text.n)
                memcpy(r->text, c->text.p, c->text.n);
        r->values = xcalloc(c->count + 1, sizeof(char *));
        r->lengths = xcalloc(c->count + 1, sizeof(size_t));
        for (size_t i = 0; i < c->count; i++) {
                size_t end = i + 1 < c->count ? c->starts[i + 1] : c->text.n;
                r->values[i] = r->text + c->starts[i];
                r->lengths[i] = end - c->starts[i] - 1;
        }
        *ret = (struct store_result){c->count / columns, columns, r->values, r->lengths};
        buf_done(&c->text);
        free(c->starts);
        return r;
}

static void result_free(struct result *r)
{
        if (!r)
                return;
        free(r->text);
        free(r->values);
        free(r->lengths);
        free(r);
}

/* ---- statements ---- */

/* Whether {"a","b"} holds the key. */
static bool array_has(const char *array, struct slice key)
{
        struct buf item = BUF_EMPTY;
        bool found = false;
        for (const char *p = array + 1; *p && *p != '}' && !found; p++) {
                if (*p == ',')
                        continue;
                CHECK(*p == '"');
                buf_reset(&item);
                for (p++; *p != '"'; p++) {
                        if (*p == '\\')
                                p++;
                        buf_add_char(&item, *p);
                }
                found = slice_eq(buf_slice(&item), key);
        }
        buf_done(&item);
        return found;
}

static void select_events(
        const struct postgres *pg, const char *topic, char *const *v, struct cells *c)
{
        int64_t from = strtoll(v[1], NULL, 10), until = strtoll(v[2], NULL, 10);
        int32_t partition = (int32_t)strtol(v[3], NULL, 10);
        long limit = strtol(v[4], NULL, 10);
        for (size_t i = 0; i < pg->event_count && limit > 0; i++) {
                const struct event_row *e = &pg->events[i];
                if (e->partition != partition || e->seq < from || e->seq >= until ||
                        strcmp(e->topic, topic) != 0 || !array_has(v[0], e->key))
                        continue;
                cell(c, e->key);
                cell_i64(c, e->seq);
                cell(c, e->type);
                cell(c, e->id);
                cell(c, e->data);
                cell_i64(c, e->created_ms);
                limit--;
        }
}

static void select_place(const struct postgres *pg, char *const *v, struct cells *c)
{
        const struct place_row *p = postgres_find_place(
                pg, v[0], (int32_t)strtol(v[1], NULL, 10), (uint32_t)strtoul(v[2], NULL, 10));
        if (!p)
                return;
        cell_i64(c, p->next_offset);
        cell_i64(c, p->complete_from);
}

static void select_epochs(const struct postgres *pg, struct cells *c)
{
        for (size_t i = 0; i < pg->life_count; i++) {
                bool newest = true;
                for (size_t k = 0; k < pg->life_count; k++)
                        newest = newest && (pg->lives[k].epoch <= pg->lives[i].epoch ||
                                                   strcmp(pg->lives[k].topic, pg->lives[i].topic));
                if (!newest)
                        continue;
                cell(c, slice_str(pg->lives[i].topic));
                cell_i64(c, pg->lives[i].epoch);
        }
}

/* Columns of the answer. */
static size_t run_statement(
        const struct postgres *pg, const char *name, char *const *params, struct cells *c)
{
        if (strcmp(name, "feed_chat_events") == 0) {
                select_events(pg, "chat.events", params, c);
                return 6;
        }
        if (strcmp(name, "feed_notification_events") == 0) {
                select_events(pg, params[5], params, c);
                return 6;
        }
        if (strcmp(name, "feed_ingested") == 0) {
                select_place(pg, params, c);
                return 2;
        }
        if (strcmp(name, "feed_epochs") == 0) {
                select_epochs(pg, c);
                return 2;
        }
        printf("the simulated Postgres has no statement %s\n", name);
        CHECK(!"a statement that is not known");
        return 1;
}

/* ---- jobs ---- */

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

static bool away(const struct store *st)
{
        return st->pg->away || st->process->postgres_away;
}

/* Takes its time, then all steps see the same instant. */
static void run_job(struct store *st, struct store_job *j)
{
        int64_t ms = away(st)               ? draw_below(AWAY_MS)
                     : chance(st->pg->slow) ? SLOW_MS + draw_below(SLOW_MS)
                                            : draw_below(JOB_MS);
        fiber_wait(NULL, machine_now_ms() + ms);
        j->err = away(st) ? -EIO : 0;
        for (size_t i = 0; j->err == 0 && i < j->step_count; i++) {
                struct cells c = {.text = BUF_EMPTY};
                size_t columns =
                        run_statement(st->pg, j->step[i].statement->name, j->step[i].params, &c);
                j->step[i].handle = seal(&c, columns, &j->step[i].result);
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
        return !away(st);
}
