#include "ctl/ctl.h"

#include "ctl_sql.h"

#include "proto/deadletter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* A partition as Kafka and Postgres see it. */
struct place {
        int64_t low, end, next; /* next -1: Postgres knows nothing of it */
        int64_t epoch, age_ms;
};

struct lag_topic {
        const struct topic_row *row;
        uint32_t partitions;
        struct place *places; /* owned */
};

/* What the writer stores is what it can dead-letter, and what is redriven. */
static bool is_archived(const struct topic_row *row)
{
        size_t n = strlen(row->name);
        if (strcmp(row->name, REDRIVE_TOPIC) == 0)
                return true;
        for (size_t i = 0; i < topic_row_count; i++)
                if (strncmp(topic_rows[i].name, row->name, n) == 0 &&
                        strcmp(topic_rows[i].name + n, ".dlq") == 0)
                        return true;
        return false;
}

static int read_ends(struct ctl *ctl, struct lag_topic *t)
{
        int64_t *ends = NULL;
        int err = bus_partitions(ctl->bus, t->row->name, CTL_KAFKA_MS, &t->partitions);
        if (!err) {
                ends = xcalloc(t->partitions, sizeof(*ends));
                t->places = xcalloc(t->partitions, sizeof(*t->places));
                err = bus_highs(ctl->bus, t->row->name, t->partitions, CTL_KAFKA_MS, ends);
        }
        for (uint32_t p = 0; !err && p < t->partitions; p++) {
                t->places[p] = (struct place){.end = ends[p], .next = -1};
                err = bus_watermarks(
                        ctl->bus, t->row->name, (int32_t)p, CTL_KAFKA_MS, &t->places[p].low, NULL);
        }
        free(ends);
        return err;
}

static void read_places(const struct db_result *r, struct lag_topic *t)
{
        for (size_t i = 0; i < r->rows; i++) {
                int64_t p = db_int(r, i, 1);
                if (strcmp(db_value(r, i, 0), t->row->name) != 0 || p < 0 || p >= t->partitions)
                        continue;
                t->places[p].epoch = db_int(r, i, 2);
                t->places[p].next = db_int(r, i, 3);
                t->places[p].age_ms = db_int(r, i, 4);
        }
}

static int64_t behind(const struct place *p)
{
        int64_t from = p->next > p->low ? p->next : p->low;
        return p->end > from ? p->end - from : 0;
}

static void add_json(struct buf *json, const struct lag_topic *t, uint32_t p)
{
        const struct place *pl = &t->places[p];
        buf_add_str(json, json->p[json->n - 1] == '[' ? "{" : ",{");
        json_text(json, "topic", t->row->name);
        json_number(json, "partition", p);
        json_number(json, "epoch", pl->epoch);
        json_number(json, "start", pl->low);
        json_number(json, "end", pl->end);
        json_number(json, "ingested", pl->next < 0 ? 0 : pl->next);
        json_number(json, "lag", behind(pl));
        buf_add_char(json, '}');
}

static void add_row(
        struct table *out, const struct lag_topic *t, uint32_t first, uint32_t count, bool each)
{
        int64_t end = 0, next = 0, lag = 0, age = 0, epoch = 0;
        for (uint32_t p = first; p < first + count; p++) {
                const struct place *pl = &t->places[p];
                end += pl->end;
                next += pl->next < 0 ? 0 : pl->next;
                lag += behind(pl);
                epoch = pl->epoch > epoch ? pl->epoch : epoch;
                if (behind(pl) && pl->age_ms > age)
                        age = pl->age_ms;
        }
        table_cell(out, "%s", t->row->name);
        if (each)
                table_cell(out, "%u", first);
        else
                table_cell(out, "%u", count);
        table_cell(out, "%" PRId64, epoch);
        table_cell(out, "%" PRId64, end);
        table_cell(out, "%" PRId64, next);
        table_cell(out, "%" PRId64, lag);
        if (lag && age)
                table_cell(out, "last written %" PRId64 " s ago", age / 1000);
        else
                table_cell(out, "%s", "");
}

static int lag_all(struct ctl *ctl, struct lag_topic *topics, size_t n)
{
        struct db_result r = DB_RESULT_NONE;
        for (size_t i = 0; i < n; i++) {
                int err = read_ends(ctl, &topics[i]);
                if (err)
                        return ctl_fail("%s: %s", topics[i].row->name, kafka_error(err));
        }
        if (db_run(ctl->db, &ctl_sql[CTL_SQL_INGESTED], NULL, 0, &r) != 0) {
                const struct db_error *e = db_error(ctl->db);
                return ctl_fail(
                        "%s", strcmp(e->sqlstate, "42P01") == 0
                                      ? "Postgres has no tables yet, run ternctl migrate first"
                                      : e->text);
        }
        for (size_t i = 0; i < n; i++)
                read_places(&r, &topics[i]);
        db_result_done(&r);
        return EXIT_DONE;
}

static void print_all(const struct lag_topic *topics, size_t n, bool as_json, bool each)
{
        struct buf json = BUF_EMPTY;
        struct table out = TABLE_OF(7);
        const char *const heads[] = {
                "TOPIC", each ? "PARTITION" : "PARTITIONS", "EPOCH", "END", "INGESTED", "LAG", ""};
        for (size_t i = 0; i < ARRAY_LEN(heads) && !as_json; i++)
                table_cell(&out, "%s", heads[i]);
        buf_add_char(&json, '[');
        for (size_t i = 0; i < n; i++) {
                for (uint32_t p = 0; p < topics[i].partitions && as_json; p++)
                        add_json(&json, &topics[i], p);
                for (uint32_t p = 0; p < topics[i].partitions && !as_json && each; p++)
                        add_row(&out, &topics[i], p, 1, true);
                if (!as_json && !each)
                        add_row(&out, &topics[i], 0, topics[i].partitions, false);
        }
        buf_add_char(&json, ']');
        if (as_json)
                print_line(&json);
        table_print(&out);
        buf_done(&json);
}

int cmd_lag(struct ctl *ctl, const struct args *a)
{
        struct admin_cluster cluster;
        if (!ctl_has_postgres(ctl)) {
                ctl_fail("TERN_POSTGRES_DSN or TERN_POSTGRES_DSN_FILE has to name the database");
                return EXIT_USAGE;
        }
        int code = ctl_db(ctl, 0);
        if (!code)
                code = ctl_bus(ctl, CTL_KAFKA_MS, &cluster);
        if (code)
                return code;
        struct lag_topic *topics = xcalloc(topic_row_count, sizeof(*topics));
        size_t n = 0;
        for (size_t i = 0; i < topic_row_count; i++)
                if (is_archived(&topic_rows[i]))
                        topics[n++].row = &topic_rows[i];
        code = lag_all(ctl, topics, n);
        if (code == EXIT_DONE)
                print_all(topics, n, args_flag(a, "json"), args_flag(a, "partitions"));
        for (size_t i = 0; i < n; i++)
                free(topics[i].places);
        free(topics);
        return code;
}
