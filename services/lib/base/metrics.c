#include "base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum kind { COUNTER, GAUGE, SECONDS, COUNTS, SECONDS_TOTAL, SECONDS_GAUGE, BOUND };

struct row {
        enum kind kind;
        const char *name;
        unsigned services;
        const char *label, *values, *help;
};

static const struct row rows[METRIC_COUNT] = {
#define METRIC(kind, id, name, services, label, values, help)                                      \
        [M_##id] = {kind, name, services, label, values, help},
#include "base/metrics.def"
};

/* Upper bounds in nanoseconds, and as plain counts. */
static const int64_t seconds_bounds[] = {100000, 250000, 500000, 1000000, 2500000, 5000000,
        10000000, 25000000, 50000000, 100000000, 250000000, 500000000, 1000000000, 2500000000,
        5000000000, 10000000000, 30000000000, 60000000000};
static const int64_t counts_bounds[] = {1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000,
        25000, 50000, 100000, 250000, 1000000};
#define BUCKETS 18
_Static_assert(ARRAY_LEN(seconds_bounds) == BUCKETS, "one table of buckets");
_Static_assert(ARRAY_LEN(counts_bounds) == BUCKETS, "one table of buckets");

struct cell {
        _Atomic int64_t value; /* counter, gauge; histogram: sum */
        _Atomic uint64_t buckets[BUCKETS + 1];
        atomic_bool set;       /* BOUND: it is shown */
        int64_t (*fn)(void *); /* with arg under fn_lock */
        void *arg;
};

struct metrics {
        unsigned services;
        pthread_mutex_t fn_lock;
        unsigned first[METRIC_COUNT], labels[METRIC_COUNT];
        struct cell *cells; /* owned */
};

static unsigned label_count(const struct row *r)
{
        if (!r->label[0])
                return 1;
        unsigned n = 1;
        for (const char *p = r->values; *p; p++)
                n += *p == '|';
        return n;
}

static struct slice label_at(const struct row *r, unsigned index)
{
        struct slice rest = slice_str(r->values);
        for (;; index--) {
                ptrdiff_t bar = slice_find(rest, '|');
                struct slice item = slice_of(rest.p, bar < 0 ? rest.n : (size_t)bar);
                if (index == 0 || bar < 0)
                        return item;
                rest = slice_from(rest, (size_t)bar + 1);
        }
}

struct metrics *metrics_new(unsigned service_mask)
{
        struct metrics *m = xcalloc(1, sizeof(*m));
        m->services = service_mask;
        pthread_mutex_init(&m->fn_lock, NULL);
        unsigned cells = 0;
        for (unsigned i = 0; i < METRIC_COUNT; i++) {
                m->first[i] = cells;
                m->labels[i] = label_count(&rows[i]);
                cells += m->labels[i];
        }
        m->cells = xcalloc(cells, sizeof(*m->cells));
        return m;
}

struct metrics *metrics_free(struct metrics *m)
{
        if (m) {
                pthread_mutex_destroy(&m->fn_lock);
                free(m->cells);
        }
        free(m);
        return NULL;
}

static struct cell *cell_of(const struct metrics *m, enum metric_id id, unsigned label)
{
        CHECK(id < METRIC_COUNT && label < m->labels[id]);
        return &m->cells[m->first[id] + label];
}

void metrics_add(struct metrics *m, enum metric_id id, unsigned label, int64_t n)
{
        if (m)
                atomic_fetch_add_explicit(&cell_of(m, id, label)->value, n, memory_order_relaxed);
}

void metrics_set(struct metrics *m, enum metric_id id, unsigned label, int64_t v)
{
        if (!m)
                return;
        struct cell *c = cell_of(m, id, label);
        atomic_store_explicit(&c->value, v, memory_order_relaxed);
        atomic_store_explicit(&c->set, true, memory_order_relaxed);
}

void metrics_memory_limit(struct metrics *m, unsigned bound, int64_t bytes)
{
        metrics_set(m, M_memory_limit, bound, bytes);
        metrics_set(m, M_memory_used, bound, 0);
}

void metrics_entries_limit(struct metrics *m, unsigned bound, int64_t entries)
{
        metrics_set(m, M_entries_limit, bound, entries);
        metrics_set(m, M_entries_used, bound, 0);
}

void metrics_observe(struct metrics *m, enum metric_id id, unsigned label, int64_t v)
{
        if (!m)
                return;
        struct cell *c = cell_of(m, id, label);
        const int64_t *bounds = rows[id].kind == SECONDS ? seconds_bounds : counts_bounds;
        unsigned b = 0;
        while (b < BUCKETS && v > bounds[b])
                b++;
        atomic_fetch_add_explicit(&c->buckets[b], 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&c->value, v > 0 ? v : 0, memory_order_relaxed);
}

int64_t metrics_get(const struct metrics *m, enum metric_id id, unsigned label)
{
        if (!m)
                return 0;
        const struct cell *c = cell_of(m, id, label);
        /* The lock is m's only part that looking changes. */
        pthread_mutex_t *lock = &((struct metrics *)(uintptr_t)m)->fn_lock;
        pthread_mutex_lock(lock);
        int64_t v = c->fn ? c->fn(c->arg) : atomic_load_explicit(&c->value, memory_order_relaxed);
        pthread_mutex_unlock(lock);
        return v;
}

int metrics_label(enum metric_id id, const char *value)
{
        const struct row *r = &rows[id];
        unsigned n = label_count(r);
        for (unsigned i = 0; r->label[0] && i < n; i++)
                if (slice_is(label_at(r, i), value))
                        return (int)i;
        return -1;
}

void metrics_gauge_fn(
        struct metrics *m, enum metric_id id, unsigned label, int64_t (*fn)(void *), void *arg)
{
        if (!m)
                return;
        struct cell *c = cell_of(m, id, label);
        pthread_mutex_lock(&m->fn_lock);
        c->arg = arg;
        c->fn = fn;
        pthread_mutex_unlock(&m->fn_lock);
}

/* ---- text ---- */

/* Up to the next comma. */
static struct slice word_take(struct slice *rest)
{
        ptrdiff_t comma = slice_find(*rest, ',');
        struct slice word = slice_of(rest->p, comma < 0 ? rest->n : (size_t)comma);
        *rest = slice_from(*rest, comma < 0 ? rest->n : (size_t)comma + 1);
        return word;
}

static void add_labels(struct buf *out, const struct row *r, unsigned label, const char *le)
{
        bool first = true;
        if (!r->label[0] && !le)
                return;
        buf_add_char(out, '{');
        struct slice names = slice_str(r->label), values = label_at(r, label);
        while (names.n > 0) {
                struct slice name = word_take(&names), value = word_take(&values);
                buf_printf(out, "%s%.*s=\"%.*s\"", first ? "" : ",", SLICE_ARG(name),
                        SLICE_ARG(value));
                first = false;
        }
        if (le)
                buf_printf(out, "%sle=\"%s\"", first ? "" : ",", le);
        buf_add_char(out, '}');
}

static void render_histogram(
        const struct metrics *m, enum metric_id id, unsigned label, struct buf *out)
{
        const struct row *r = &rows[id];
        const struct cell *c = cell_of(m, id, label);
        bool seconds = r->kind == SECONDS;
        uint64_t total = 0;
        for (unsigned b = 0; b <= BUCKETS; b++) {
                char le[32] = "+Inf";
                if (b < BUCKETS && seconds)
                        snprintf(le, sizeof(le), "%g", (double)seconds_bounds[b] / 1e9);
                else if (b < BUCKETS)
                        snprintf(le, sizeof(le), "%lld", (long long)counts_bounds[b]);
                total += atomic_load_explicit(&c->buckets[b], memory_order_relaxed);
                buf_printf(out, "%s_bucket", r->name);
                add_labels(out, r, label, le);
                buf_printf(out, " %llu\n", (unsigned long long)total);
        }
        int64_t sum = atomic_load_explicit(&c->value, memory_order_relaxed);
        buf_printf(out, "%s_sum", r->name);
        add_labels(out, r, label, NULL);
        if (seconds)
                buf_printf(out, " %.9g\n", (double)sum / 1e9);
        else
                buf_printf(out, " %lld\n", (long long)sum);
        buf_printf(out, "%s_count", r->name);
        add_labels(out, r, label, NULL);
        buf_printf(out, " %llu\n", (unsigned long long)total);
}

static void render_value(
        const struct metrics *m, enum metric_id id, unsigned label, struct buf *out)
{
        const struct row *r = &rows[id];
        int64_t v = metrics_get(m, id, label);
        if (r->kind == BOUND &&
                !atomic_load_explicit(&cell_of(m, id, label)->set, memory_order_relaxed))
                return;
        buf_add_str(out, r->name);
        add_labels(out, r, label, NULL);
        if (r->kind == SECONDS_TOTAL || r->kind == SECONDS_GAUGE)
                buf_printf(out, " %.3f\n", (double)v / 1e3);
        else
                buf_printf(out, " %lld\n", (long long)v);
}

void metrics_render(struct metrics *m, struct buf *out)
{
        static const char *const types[] = {[COUNTER] = "counter",
                [GAUGE] = "gauge",
                [SECONDS] = "histogram",
                [COUNTS] = "histogram",
                [SECONDS_TOTAL] = "counter",
                [SECONDS_GAUGE] = "gauge",
                [BOUND] = "gauge"};
        for (unsigned i = 0; i < METRIC_COUNT; i++) {
                const struct row *r = &rows[i];
                if (!(r->services & m->services))
                        continue;
                buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", r->name, r->help, r->name,
                        types[r->kind]);
                for (unsigned label = 0; label < m->labels[i]; label++) {
                        if (r->kind == SECONDS || r->kind == COUNTS)
                                render_histogram(m, (enum metric_id)i, label, out);
                        else
                                render_value(m, (enum metric_id)i, label, out);
                }
        }
}
