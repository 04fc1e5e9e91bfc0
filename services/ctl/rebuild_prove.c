#include "ctl/rebuild.h"

#include "ctl/reader.h"
#include "ctl/validate.h"

#include "ctl_sql.h"

#include "base/hash.h"
#include "base/map.h"
#include "proto/deadletter.h"
#include "store/copy.h"

#include <errno.h>
#include <stdlib.h>

#define SEQ_EPOCH_SHIFT 40

/* What came since the places were set back. */
struct since {
        struct rebuild *rb;
        struct rebuild_part **of;   /* by range of the reader */
        struct buf bounds, touched; /* rows for COPY */
        struct map seen;            /* "class key", to something */
        struct seen *all;           /* owned list */
};

struct seen {
        struct seen *next;
        size_t n;
        char text[];
};

static int fault(struct rebuild *rb)
{
        return ctl_fail("%s", db_error(rb->ctl->db)->text);
}

/* True the first time. */
static bool is_new(struct since *s, const char *what, struct slice key)
{
        size_t n = strlen(what) + 1 + key.n;
        struct seen *one = xmalloc(sizeof(*one) + n + 1);
        snprintf(one->text, n + 1, "%s %.*s", what, SLICE_ARG(key));
        one->n = n;
        if (map_get(&s->seen, slice_of(one->text, n))) {
                free(one);
                return false;
        }
        one->next = s->all;
        s->all = one;
        map_put(&s->seen, slice_of(one->text, n), one);
        return true;
}

static void bound(struct since *s, const char *class, struct slice key, int64_t seq)
{
        if (!is_new(s, class, key))
                return;
        copy_row(&s->bounds, 3);
        copy_text(&s->bounds, class);
        copy_slice(&s->bounds, key);
        copy_i64(&s->bounds, seq);
        s->rb->touched++;
}

static void touch(struct since *s, const char *part, struct slice key)
{
        if (!is_new(s, part, key))
                return;
        copy_row(&s->touched, 2);
        copy_text(&s->touched, part);
        copy_slice(&s->touched, key);
}

static bool on_record(void *arg, uint32_t part, const struct bus_record *r)
{
        struct since *s = arg;
        const struct rebuild_part *p = s->of[part];
        struct event e;
        struct event_error err;
        if (slice_is(r->topic, REDRIVE_TOPIC)) {
                s->rb->redriven++;
                return true;
        }
        if (validate_record(r, &e, &err) != 0)
                return true;
        int64_t seq = (p->epoch << SEQ_EPOCH_SHIFT) + r->offset;
        if (slice_is(r->topic, "chat.events"))
                bound(s, "c", r->key, seq);
        else if (slice_is(r->topic, "notifications"))
                bound(s, "n", r->key, seq);
        else if (slice_is(r->topic, "broadcasts"))
                bound(s, "b", r->key, seq);
        if (e.type == EVENT_MEMBER_ADDED || e.type == EVENT_MEMBER_REMOVED)
                touch(s, "member", r->key);
        else if (e.type == EVENT_RECEIPT_READ)
                touch(s, "receipt", r->key);
        else if (e.type == EVENT_SESSION)
                touch(s, "session", r->key);
        else if (e.type == EVENT_NOTIFICATION_READ_ALL)
                touch(s, "read_state", r->key);
        else if (e.type == EVENT_NOTIFICATION_READ)
                touch(s, "read_at", r->key);
        event_done(&e);
        return true;
}

static int64_t place_in(const struct db_result *r, const struct rebuild_part *p)
{
        for (size_t i = 0; i < r->rows; i++)
                if (strcmp(db_value(r, i, 0), p->topic) == 0 && db_int(r, i, 1) == p->partition &&
                        db_int(r, i, 2) == p->epoch)
                        return db_int(r, i, 3);
        return p->next;
}

/* The records of one topic from where it stood to where it stands in this snapshot. */
static int read_topic(
        struct since *s, const struct db_result *places, size_t first, size_t *ret_end)
{
        struct rebuild *rb = s->rb;
        const char *topic = rb->parts[first].topic;
        struct range *ranges = xcalloc(rb->count, sizeof(*ranges));
        uint32_t n = 0;
        size_t i = first;
        for (; i < rb->count && strcmp(rb->parts[i].topic, topic) == 0; i++) {
                struct rebuild_part *p = &rb->parts[i];
                int64_t now = place_in(places, p);
                if (now <= p->next)
                        continue;
                s->of[n] = p;
                ranges[n++] = (struct range){.partition = p->partition, .from = p->next, .to = now};
        }
        *ret_end = i;
        int code = EXIT_DONE;
        if (n) {
                struct reader reader;
                reader_init(&reader, rb->ctl, topic, ranges, n);
                code = reader_start(&reader);
                while (!code && reader.open > 0)
                        code = reader_poll(&reader, 100, 1000, on_record, s);
                reader_done(&reader);
        }
        free(ranges);
        return code;
}

static int copy_since(struct since *s)
{
        uint64_t rows = 0;
        struct db *db = s->rb->ctl->db;
        copy_end(&s->bounds);
        copy_end(&s->touched);
        if (db_copy_in(db, "COPY rb_bound FROM STDIN (FORMAT binary)", buf_slice(&s->bounds),
                    &rows) != 0 ||
                db_copy_in(db, "COPY rb_touched FROM STDIN (FORMAT binary)", buf_slice(&s->touched),
                        &rows) != 0)
                return fault(s->rb);
        return EXIT_DONE;
}

static int collect_since(struct rebuild *rb)
{
        struct since s = {.rb = rb, .seen = MAP_EMPTY};
        struct db_result places = DB_RESULT_NONE;
        if (db_run(rb->ctl->db, &ctl_sql[CTL_SQL_REBUILD_PLACES], NULL, 0, &places) != 0)
                return fault(rb);
        s.of = xcalloc(rb->count, sizeof(*s.of));
        copy_begin(&s.bounds);
        copy_begin(&s.touched);
        int code = EXIT_DONE;
        for (size_t i = 0; i < rb->count && !code;)
                code = read_topic(&s, &places, i, &i);
        if (!code)
                code = copy_since(&s);
        db_result_done(&places);
        map_done(&s.seen);
        while (s.all) {
                struct seen *one = s.all;
                s.all = one->next;
                free(one);
        }
        buf_done(&s.bounds);
        buf_done(&s.touched);
        free(s.of);
        return code;
}

int rebuild_prove(struct rebuild *rb, struct db_result *ret)
{
        struct db *db = rb->ctl->db;
        /* The places and the rows of one moment. */
        int code = db_exec(db, "BEGIN ISOLATION LEVEL REPEATABLE READ", NULL) == 0 ? EXIT_DONE
                                                                                   : fault(rb);
        if (!code)
                code = collect_since(rb);
        if (!code && (db_exec(db, "DELETE FROM rb_phase; INSERT INTO rb_phase VALUES ('after')",
                              NULL) != 0 ||
                             db_exec(db, ctl_sql[CTL_SQL_REBUILD_SUMS].text, NULL) != 0 ||
                             db_run(db, &ctl_sql[CTL_SQL_REBUILD_COMPARE], NULL, 0, ret) != 0))
                code = fault(rb);
        if (!code && db_exec(db, "COMMIT", NULL) != 0)
                code = fault(rb);
        if (code)
                db_rollback(db);
        return code;
}
