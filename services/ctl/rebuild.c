#include "ctl/rebuild.h"

#include "ctl/progress.h"
#include "ctl/reader.h"

#include "ctl_sql.h"

#include "base/clock.h"
#include "base/hash.h"
#include "proto/deadletter.h"
#include "store/copy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define SEQ_EPOCH_SHIFT 40
#define ASK_EVERY_MS 200
#define STILL_MS 30000
#define MARGIN_MS                                                                                  \
        (INT64_C(3600) * 1000) /* what retention may take away before the writers have read it */

void rebuild_done(struct rebuild *rb)
{
        free(rb->parts);
        rb->parts = NULL;
}

static int postgres_fault(struct rebuild *rb)
{
        const struct db_error *e = db_error(rb->ctl->db);
        return ctl_fail("%s", strcmp(e->sqlstate, "42P01") == 0 || strcmp(e->sqlstate, "42703") == 0
                                      ? "Postgres has another schema, run ternctl migrate first"
                                      : e->text);
}

static int exec(struct rebuild *rb, int sql)
{
        return db_exec(rb->ctl->db, ctl_sql[sql].text, NULL) == 0 ? EXIT_DONE : postgres_fault(rb);
}

/* ---- plan ---- */

static int load_places(struct rebuild *rb)
{
        struct db_result r = DB_RESULT_NONE;
        if (db_run(rb->ctl->db, &ctl_sql[CTL_SQL_REBUILD_PLACES], NULL, 0, &r) != 0)
                return postgres_fault(rb);
        free(rb->parts);
        rb->parts = xcalloc(r.rows + 1, sizeof(*rb->parts));
        rb->count = r.rows;
        for (size_t i = 0; i < r.rows; i++) {
                struct rebuild_part *p = &rb->parts[i];
                snprintf(p->topic, sizeof(p->topic), "%s", db_value(&r, i, 0));
                p->partition = (int32_t)db_int(&r, i, 1);
                p->epoch = db_int(&r, i, 2);
                p->next = db_int(&r, i, 3);
                p->complete_from = db_int(&r, i, 4);
                p->partitions = db_int(&r, i, 5);
        }
        db_result_done(&r);
        return EXIT_DONE;
}

static bool take_time(void *arg, uint32_t part, const struct bus_record *r)
{
        int64_t *ms = arg;
        UNUSED(part);
        if (*ms == INT64_MAX)
                *ms = r->timestamp_ms;
        return true;
}

/* When the first record from start on came. */
static int find_since(struct rebuild *rb, struct rebuild_part *p)
{
        p->since_ms = INT64_MAX;
        if (p->start >= p->next)
                return EXIT_DONE;
        if (p->start == 0) {
                p->since_ms = INT64_MIN;
                return EXIT_DONE;
        }
        const struct range range = {
                .partition = p->partition, .from = p->start, .to = p->start + 1};
        struct reader reader;
        reader_init(&reader, rb->ctl, p->topic, &range, 1);
        int code = reader_start(&reader);
        while (!code && reader.open > 0)
                code = reader_poll(&reader, 100, 1, take_time, &p->since_ms);
        reader_done(&reader);
        return code;
}

/* Where the log will still begin in an hour. */
static int safe_start(struct rebuild *rb, const struct rebuild_part *p, int64_t *ret)
{
        struct admin_setting retention = {.name = "retention.ms"};
        int64_t low = 0, safe = 0;
        int err = bus_watermarks(rb->ctl->bus, p->topic, p->partition, CTL_KAFKA_MS, &low, NULL);
        if (!err && low > 0 &&
                admin_settings(rb->ctl->bus, p->topic, &retention, 1, CTL_KAFKA_MS) == 0 &&
                retention.found && strtoll(retention.value, NULL, 10) > MARGIN_MS)
                err = bus_offset_for_time(rb->ctl->bus, p->topic, p->partition,
                        clock_wall_ms() - strtoll(retention.value, NULL, 10) + MARGIN_MS,
                        CTL_KAFKA_MS, &safe);
        if (err)
                return ctl_fail("%s: %s", p->topic, kafka_error(err));
        *ret = safe > low ? safe : low;
        return EXIT_DONE;
}

int rebuild_plan(struct rebuild *rb)
{
        int code = load_places(rb);
        if (!code && rb->count == 0)
                code = ctl_fail("nothing was ever written: there is nothing to make anew");
        for (size_t i = 0; i < rb->count && !code; i++) {
                struct rebuild_part *p = &rb->parts[i];
                code = safe_start(rb, p, &p->start);
                if (p->start < p->complete_from)
                        p->start = p->complete_from;
                if (p->start > p->next)
                        p->start = p->next;
                if (!code)
                        code = find_since(rb, p);
        }
        return code;
}

/* ---- set back ---- */

static int copy_table(struct rebuild *rb, const char *sql, struct buf *data)
{
        uint64_t rows = 0;
        copy_end(data);
        return db_copy_in(rb->ctl->db, sql, buf_slice(data), &rows) == 0 ? EXIT_DONE
                                                                         : postgres_fault(rb);
}

static void put_since(struct buf *b, int64_t ms)
{
        /* Postgres's own infinities. */
        if (ms == INT64_MIN || ms == INT64_MAX)
                copy_i64(b, ms);
        else
                copy_time_ms(b, ms);
}

static int64_t start_seq(const struct rebuild_part *p)
{
        return (p->epoch << SEQ_EPOCH_SHIFT) + p->start;
}

static int copy_parts(struct rebuild *rb)
{
        struct buf data = BUF_EMPTY;
        copy_begin(&data);
        for (size_t i = 0; i < rb->count; i++) {
                const struct rebuild_part *p = &rb->parts[i];
                copy_row(&data, 7);
                copy_text(&data, p->topic);
                copy_i32(&data, p->partition);
                copy_i32(&data, (int32_t)p->epoch);
                copy_i64(&data, start_seq(p));
                put_since(&data, p->since_ms);
                copy_i64(&data, p->start);
                copy_i64(&data, p->next);
        }
        int code = copy_table(rb, "COPY rb_part FROM STDIN (FORMAT binary)", &data);
        buf_done(&data);
        return code;
}

static const char *topic_of_class(char class)
{
        switch (class) {
        case 'c':
                return "chat.events";
        case 'r':
                return "chat.receipts";
        case 's':
                return "chat.sessions";
        case 'n':
                return "notifications";
        default:
                return "broadcasts";
        }
}

static const struct rebuild_part *part_of_key(
        const struct rebuild *rb, const char *topic, struct slice key)
{
        for (size_t i = 0; i < rb->count; i++) {
                const struct rebuild_part *p = &rb->parts[i];
                if (strcmp(p->topic, topic) == 0 &&
                        (int32_t)partition_of(key, (uint32_t)p->partitions) == p->partition)
                        return p;
        }
        return NULL;
}

/* Only ternctl knows a key's partition. */
static int copy_keys(struct rebuild *rb)
{
        struct db_result r = DB_RESULT_NONE;
        struct buf data = BUF_EMPTY;
        if (db_run(rb->ctl->db, &ctl_sql[CTL_SQL_REBUILD_KEYS], NULL, 0, &r) != 0)
                return postgres_fault(rb);
        copy_begin(&data);
        for (size_t i = 0; i < r.rows; i++) {
                const char *class = db_value(&r, i, 0);
                struct slice key = slice_of(db_value(&r, i, 1), db_length(&r, i, 1));
                const struct rebuild_part *p = part_of_key(rb, topic_of_class(class[0]), key);
                if (!p)
                        continue;
                copy_row(&data, 4);
                copy_text(&data, class);
                copy_slice(&data, key);
                copy_i64(&data, start_seq(p));
                put_since(&data, p->since_ms);
        }
        db_result_done(&r);
        int code = copy_table(rb, "COPY rb_key FROM STDIN (FORMAT binary)", &data);
        buf_done(&data);
        return code;
}

/* The places may have moved since the plan: the start stays, the end is what it is now. */
static int refresh_places(struct rebuild *rb)
{
        struct rebuild_part *planned = rb->parts;
        size_t n = rb->count;
        rb->parts = NULL;
        int code = load_places(rb);
        bool same = !code && rb->count == n;
        for (size_t i = 0; same && i < n; i++) {
                struct rebuild_part *p = &rb->parts[i];
                same = strcmp(p->topic, planned[i].topic) == 0 &&
                       p->partition == planned[i].partition && p->epoch == planned[i].epoch &&
                       p->next >= planned[i].start;
                p->start = planned[i].start;
                p->since_ms = planned[i].since_ms;
        }
        free(planned);
        return code || same ? code : ctl_fail("the topics changed meanwhile; nothing was done");
}

static int set_phase(struct rebuild *rb, const char *phase)
{
        char sql[80];
        snprintf(sql, sizeof(sql), "DELETE FROM rb_phase; INSERT INTO rb_phase VALUES ('%s')",
                phase);
        int err = db_exec(rb->ctl->db, sql, NULL);
        return err ? postgres_fault(rb) : exec(rb, CTL_SQL_REBUILD_SUMS);
}

int rebuild_set_back(struct rebuild *rb)
{
        struct db *db = rb->ctl->db;
        int code = exec(rb, CTL_SQL_REBUILD_SETUP);
        if (!code && db_begin(db) != 0)
                code = postgres_fault(rb);
        if (!code)
                code = exec(rb, CTL_SQL_REBUILD_LOCK);
        if (!code)
                code = refresh_places(rb);
        if (!code)
                code = copy_parts(rb);
        if (!code)
                code = copy_keys(rb);
        if (!code)
                code = exec(rb, CTL_SQL_REBUILD_EVENT_IDS);
        if (!code)
                code = set_phase(rb, "before");
        if (!code)
                code = exec(rb, CTL_SQL_REBUILD_RESET);
        if (!code && db_commit(db) != 0)
                code = postgres_fault(rb);
        if (code)
                db_rollback(db);
        return code;
}

/* ---- wait ---- */

/* Offsets read again, of offsets to be read. */
static int ask_progress(struct rebuild *rb, uint64_t *ret_read, uint64_t *ret_total)
{
        struct db_result r = DB_RESULT_NONE;
        if (db_run(rb->ctl->db, &ctl_sql[CTL_SQL_REBUILD_PLACES], NULL, 0, &r) != 0)
                return postgres_fault(rb);
        *ret_read = *ret_total = 0;
        for (size_t i = 0; i < rb->count; i++) {
                const struct rebuild_part *p = &rb->parts[i];
                int64_t at = p->start;
                for (size_t k = 0; k < r.rows; k++)
                        if (strcmp(db_value(&r, k, 0), p->topic) == 0 &&
                                db_int(&r, k, 1) == p->partition && db_int(&r, k, 2) == p->epoch)
                                at = db_int(&r, k, 3);
                *ret_read += (uint64_t)((at < p->next ? at : p->next) - p->start);
                *ret_total += (uint64_t)(p->next - p->start);
        }
        db_result_done(&r);
        return EXIT_DONE;
}

int rebuild_wait(struct rebuild *rb)
{
        struct progress progress;
        uint64_t read = 0, total = 0, last = 0;
        int64_t moved_ms = clock_mono_ms();
        int code = ask_progress(rb, &read, &total);
        progress_start(&progress, "stored", total, 0, false);
        while (!code && read < total) {
                if (lifecycle_wait(rb->lifecycle, ASK_EVERY_MS) != 0) {
                        progress_end(&progress);
                        ctl_fail("stopped: the writers go on, but nobody compares");
                        return EXIT_PARTLY;
                }
                code = ask_progress(rb, &read, &total);
                progress_show(&progress, read, read);
                int64_t now = clock_mono_ms();
                if (read != last)
                        moved_ms = now;
                last = read;
                if (now - moved_ms >= STILL_MS) {
                        progress_end(&progress);
                        ctl_fail(
                                "no writer has stored anything for %d s; is one running? (waiting)",
                                STILL_MS / 1000);
                        moved_ms = now;
                }
        }
        progress_end(&progress);
        return code;
}
