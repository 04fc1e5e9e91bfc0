#include "writer/outbound.h"

#include "writer/deadletter.h"
#include "writer/judge.h"
#include "writer/produce.h"
#include "writer/scan.h"
#include "writer_sql.h"

#include "base/clock.h"
#include "store/db.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define KAFKA_TIMEOUT_MS 5000
#define LOGGED_A_SECOND 20

/* The dead letters of one partition that a predecessor wrote, known since the first one of an assignment. */
struct written {
        uint64_t assignment;
        enum writer_topic topic;
        int32_t partition;
        int64_t *offsets; /* owned array of cap */
        size_t count, cap;
};

struct outbound {
        struct bus *bus;          /* borrowed */
        struct metrics *metrics;  /* borrowed */
        struct log *log;          /* borrowed */
        struct produce *produce;  /* owned */
        struct scan_reader *scan; /* owned */
        uint32_t scan_max;
        int64_t logged_ms; /* start of a second, and how many dead letters were logged in it */
        unsigned logged;
        uint32_t dlq_partitions[TOPIC_COUNT]; /* 0: not asked yet */
        struct written *written; /* owned array, one for each partition that had dead letters */
        size_t written_count, written_cap;
};

struct outbound *outbound_new(
        struct bus *bus, struct metrics *metrics, struct log *log, uint32_t scan_max)
{
        struct outbound *o = xcalloc(1, sizeof(*o));
        o->bus = bus;
        o->metrics = metrics;
        o->log = log;
        o->produce = produce_new(bus);
        o->scan = scan_new(bus);
        o->scan_max = scan_max;
        return o;
}

struct outbound *outbound_free(struct outbound *o)
{
        if (!o)
                return NULL;
        for (size_t i = 0; i < o->written_count; i++)
                free(o->written[i].offsets);
        free(o->written);
        produce_free(o->produce);
        scan_free(o->scan);
        free(o);
        return NULL;
}

static int kafka_away(char why[256], const char *what)
{
        snprintf(why, 256, "%s", what);
        return -EIO;
}

static bool is_open(const struct batch *b, const struct item *it, enum item_kind kind)
{
        const struct part *p = &b->parts[it->part];
        return it->kind == kind && !it->sent && !p->fenced && it->after > p->sent_before;
}

/* ---- dead letters ---- */

static struct written *written_of(struct outbound *o, const struct part *p)
{
        for (size_t i = 0; i < o->written_count; i++)
                if (o->written[i].topic == p->topic && o->written[i].partition == p->partition)
                        return &o->written[i];
        if (o->written_count == o->written_cap) {
                o->written_cap = o->written_cap ? o->written_cap * 2 : 16;
                o->written = xrealloc(o->written, o->written_cap * sizeof(*o->written));
        }
        struct written *w = &o->written[o->written_count++];
        *w = (struct written){.topic = p->topic, .partition = p->partition};
        return w;
}

struct collecting {
        struct written *written;
        const struct part *part;
};

static void collect_offset(void *arg, const struct bus_record *r)
{
        struct collecting *c = arg;
        struct written *w = c->written;
        int64_t offset = 0;
        if (!deadletter_is_of(r, c->part, &offset))
                return;
        if (w->count == w->cap) {
                w->cap = w->cap ? w->cap * 2 : 64;
                w->offsets = xrealloc(w->offsets, w->cap * sizeof(*w->offsets));
        }
        w->offsets[w->count++] = offset;
}

static int dlq_partition(struct outbound *o, const struct part *p, int32_t *ret, char why[256])
{
        if (o->dlq_partitions[p->topic] == 0) {
                char topic[64];
                snprintf(topic, sizeof(topic), "%s.dlq", writer_topics[p->topic]);
                int err = bus_partitions(
                        o->bus, topic, KAFKA_TIMEOUT_MS, &o->dlq_partitions[p->topic]);
                if (err) {
                        snprintf(why, 256, "%s: %s", topic,
                                err == -ENOENT ? "no such topic (ternctl topics create)"
                                               : "Kafka does not answer");
                        return -EIO;
                }
        }
        *ret = p->partition % (int32_t)o->dlq_partitions[p->topic];
        return 0;
}

/* What a predecessor wrote lies among the last scan_max records: no batch holds more. */
static int look_back(
        struct outbound *o, const struct part *p, int32_t dlq, struct written *w, char why[256])
{
        if (w->assignment == p->assignment)
                return 0;
        char topic[64];
        snprintf(topic, sizeof(topic), "%s.dlq", writer_topics[p->topic]);
        struct collecting c = {w, p};
        w->count = 0;
        if (scan_last(o->scan, topic, dlq, o->scan_max, KAFKA_TIMEOUT_MS, collect_offset, &c) < 0)
                return kafka_away(why, "the end of the dead letters cannot be read");
        w->assignment = p->assignment;
        return 0;
}

static bool was_written(const struct written *w, int64_t offset)
{
        for (size_t i = 0; i < w->count; i++)
                if (w->offsets[i] == offset)
                        return true;
        return false;
}

static void note_dead(struct outbound *o, const struct batch *b, const struct item *it)
{
        const struct part *p = item_home(b, it);
        const char *reason = deadletter_reason(it->error);
        int label = metrics_label(M_dead_letters, reason);
        metrics_add(o->metrics, M_dead_letters, label < 0 ? 0 : (unsigned)label, 1);
        /* A producer gone wrong fills the .dlq, but not the logs. */
        int64_t now = clock_mono_ms();
        if (now - o->logged_ms >= 1000) {
                o->logged_ms = now;
                o->logged = 0;
        }
        if (o->logged++ >= LOGGED_A_SECOND)
                return;
        log_warn(o->log, "dead_letter", F_STR("topic", writer_topics[p->topic]),
                F_INT("partition", p->partition), F_INT("offset", it->record.offset),
                F_STR("reason", reason), F_STR("field", it->error->field),
                F_STR("message", it->error->message), F_SLICE("id", it->id));
}

struct sending { /* the records of one call, and the items they are of */
        struct arena arena;
        struct produce_one *ones; /* owned */
        struct item **items;      /* owned */
        size_t count;
};

static void sending_init(struct sending *s, size_t max)
{
        *s = (struct sending){.arena = ARENA_EMPTY};
        s->ones = xcalloc(max + 1, sizeof(*s->ones));
        s->items = xcalloc(max + 1, sizeof(*s->items));
}

static void sending_done(struct sending *s)
{
        arena_reset(&s->arena);
        free(s->ones);
        free(s->items);
}

static bool too_long(const struct produce_one *one)
{
        return one->record.value.n > DEAD_LETTER_WHOLE_MAX && one->outcome != BUS_OK &&
               one->outcome != BUS_UNKNOWN;
}

/* Kafka may take no record that long, or not with more headers: then the headers tell where the whole one stood. */
static void send_again_without_values(struct outbound *o, struct batch *b, struct sending *s)
{
        for (size_t i = 0; i < s->count; i++)
                if (too_long(&s->ones[i])) {
                        struct item *it = s->items[i];
                        deadletter_make(&s->arena, item_home(b, it), it,
                                s->ones[i].record.partition, true, &s->ones[i].record);
                        produce_all(o->produce, &s->ones[i], 1);
                }
}

static int send_dead(struct outbound *o, struct batch *b, struct sending *s, char why[256])
{
        produce_all(o->produce, s->ones, s->count);
        send_again_without_values(o, b, s);
        int r = 0;
        for (size_t i = 0; i < s->count; i++) {
                struct item *it = s->items[i];
                it->sent = s->ones[i].outcome == BUS_OK;
                if (it->sent)
                        note_dead(o, b, it);
                else
                        r = kafka_away(why, "a dead letter is not confirmed");
                /* It may stand there nevertheless. */
                if (s->ones[i].outcome == BUS_UNKNOWN)
                        written_of(o, item_home(b, it))->assignment = 0;
        }
        return r;
}

static int dead_letters(struct outbound *o, struct batch *b, size_t from, size_t to, char why[256])
{
        struct sending s;
        sending_init(&s, to - from);
        int r = 0;
        for (size_t i = from; r == 0 && i < to; i++) {
                struct item *it = &b->items[i];
                int32_t dlq = 0;
                if (!is_open(b, it, ITEM_DEAD))
                        continue;
                const struct part *p = item_home(b, it);
                struct written *w = written_of(o, p);
                r = dlq_partition(o, p, &dlq, why);
                /* One that dies again gets a letter again: the mark of its redrive stands after the first. */
                if (r == 0 && !it->origin)
                        r = look_back(o, p, dlq, w, why);
                if (r == 0 && !it->origin && was_written(w, it->record.offset)) {
                        it->sent = true;
                } else if (r == 0) {
                        deadletter_make(&s.arena, p, it, dlq, false, &s.ones[s.count].record);
                        s.items[s.count++] = it;
                }
        }
        if (r == 0)
                r = send_dead(o, b, &s, why);
        sending_done(&s);
        return r;
}

/* ---- copies under the right key ---- */

static struct slice origin_of(struct arena *a, const struct batch *b, const struct item *it)
{
        const struct part *p = &b->parts[it->part];
        char text[96];
        snprintf(text, sizeof(text), "%s/%d/%" PRId64 "/%u", writer_topics[p->topic], p->partition,
                it->record.offset, p->epoch);
        return arena_slice(a, slice_str(text));
}

/* Where the copies of one call go, each target once. */
struct target {
        enum writer_topic topic;
        int32_t partition;
        int64_t end;  /* as of now */
        int64_t from; /* from where it has to be searched; -1: nothing to search for */
};

struct targets {
        struct target *all; /* owned array of cap */
        size_t count, cap;
        struct map intended; /* origin to struct item, of intents that were there before */
        struct arena arena;
};

static struct target *target_of(struct targets *t, enum writer_topic topic, int32_t partition)
{
        for (size_t i = 0; i < t->count; i++)
                if (t->all[i].topic == topic && t->all[i].partition == partition)
                        return &t->all[i];
        if (t->count == t->cap) {
                t->cap = t->cap ? t->cap * 2 : 16;
                t->all = xrealloc(t->all, t->cap * sizeof(*t->all));
        }
        t->all[t->count] = (struct target){topic, partition, -1, -1};
        return &t->all[t->count++];
}

static void targets_done(struct targets *t)
{
        map_done(&t->intended);
        arena_reset(&t->arena);
        free(t->all);
}

/* The columns of rekey_intend.sql, as array literals. */
struct intents {
        struct buf column[6];
        size_t count;
};

static void add_intent(struct intents *in, const struct part *p, const struct item *it, int64_t end)
{
        const int64_t values[6] = {0, p->partition, p->epoch, it->record.offset, it->target, end};
        for (size_t i = 0; i < 6; i++) {
                buf_add_char(&in->column[i], in->count ? ',' : '{');
                if (i == 0)
                        buf_add_str(&in->column[i], writer_topics[p->topic]);
                else
                        buf_add_i64(&in->column[i], values[i]);
        }
        in->count++;
}

static int collect_intents(struct outbound *o, struct batch *b, size_t from, size_t to,
        struct targets *t, struct intents *in, char why[256])
{
        for (size_t i = from; i < to; i++) {
                struct item *it = &b->items[i];
                if (!is_open(b, it, ITEM_REKEY))
                        continue;
                const struct part *p = &b->parts[it->part];
                struct target *to_part = target_of(t, p->topic, it->target);
                if (to_part->end < 0 && bus_watermarks(o->bus, writer_topics[p->topic], it->target,
                                                KAFKA_TIMEOUT_MS, NULL, &to_part->end) < 0)
                        return kafka_away(why, "the end of the right partition is not known");
                add_intent(in, p, it, to_part->end);
                map_put(&t->intended, origin_of(&t->arena, b, it), it);
        }
        return 0;
}

/* Commits the intents. What stood there before has to be searched for. */
static int write_intents(struct db *db, struct intents *in, struct targets *t, char why[256])
{
        const char *params[6];
        for (size_t i = 0; i < 6; i++) {
                buf_add_char(&in->column[i], '}');
                params[i] = buf_cstr(&in->column[i]);
        }
        struct db_result res = DB_RESULT_NONE;
        int r = db_run(db, &writer_sql[WRITER_SQL_REKEY_INTEND], params, ARRAY_LEN(params), &res);
        if (r < 0) {
                snprintf(why, 256, "%s", db_error(db)->text);
                return r;
        }
        for (size_t i = 0; i < res.rows; i++) {
                struct target *known =
                        target_of(t, writer_topic_of(slice_str(db_value(&res, i, 0))),
                                (int32_t)db_int(&res, i, 1));
                int64_t from = db_int(&res, i, 2);
                if (known->from < 0 || from < known->from)
                        known->from = from;
        }
        db_result_done(&res);
        return 0;
}

static void look_for_copy(void *arg, const struct bus_record *r)
{
        struct targets *t = arg;
        struct slice origin = bus_record_header(r, HEADER_REKEYED);
        struct item *it = origin.p ? map_get(&t->intended, origin) : NULL;
        if (it)
                it->sent = true;
}

static int intend(
        struct outbound *o, struct db *db, struct batch *b, size_t from, size_t to, char why[256])
{
        struct targets t = {.arena = ARENA_EMPTY};
        struct intents in = {.count = 0};
        int r = collect_intents(o, b, from, to, &t, &in, why);
        if (r == 0 && in.count)
                r = write_intents(db, &in, &t, why);
        for (size_t i = 0; r == 0 && i < t.count; i++)
                if (t.all[i].from >= 0 &&
                        scan_from(o->scan, writer_topics[t.all[i].topic], t.all[i].partition,
                                t.all[i].from, KAFKA_TIMEOUT_MS, look_for_copy, &t) < 0)
                        r = kafka_away(why, "the right partition cannot be searched");
        for (size_t i = 0; i < 6; i++)
                buf_done(&in.column[i]);
        targets_done(&t);
        return r;
}

static bool is_replaced(struct slice name)
{
        static const char *const names[] = {
                "ce_id", "ce_type", "ce_source", "ce_specversion", "content-type", HEADER_REKEYED};
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (slice_is(name, names[i]))
                        return true;
        return false;
}

/* Binary mode, under the same id; what else the record carried goes with it. */
static void make_copy(
        struct arena *a, const struct batch *b, const struct item *it, struct bus_record *ret)
{
        const struct bus_record *r = &it->record;
        struct bus_header *h = arena_take(a, (r->header_count + 6) * sizeof(*h));
        size_t n = 0;
        h[n++] = (struct bus_header){SLICE_LIT("ce_specversion"), SLICE_LIT("1.0")};
        h[n++] = (struct bus_header){SLICE_LIT("ce_id"), it->id};
        h[n++] = (struct bus_header){SLICE_LIT("ce_type"), it->type};
        h[n++] = (struct bus_header){
                SLICE_LIT("ce_source"), it->source.n ? it->source : SLICE_LIT("tern-writer")};
        h[n++] = (struct bus_header){SLICE_LIT("content-type"), SLICE_LIT("application/json")};
        h[n++] = (struct bus_header){SLICE_LIT(HEADER_REKEYED), origin_of(a, b, it)};
        for (size_t i = 0; i < r->header_count; i++)
                if (!is_replaced(r->headers[i].name))
                        h[n++] = r->headers[i];
        *ret = (struct bus_record){
                .topic = r->topic,
                .partition = it->target,
                .key = it->key,
                .value = it->value,
                .headers = h,
                .header_count = n,
        };
}

static int send_copies(struct outbound *o, struct sending *s, char why[256])
{
        produce_all(o->produce, s->ones, s->count);
        int r = 0;
        for (size_t i = 0; i < s->count; i++) {
                s->items[i]->sent = s->ones[i].outcome == BUS_OK;
                if (s->items[i]->sent)
                        metrics_add(o->metrics, M_rekeyed, 0, 1);
                else
                        r = kafka_away(why, "a copy under the right key is not confirmed");
        }
        return r;
}

static int copies(
        struct outbound *o, struct db *db, struct batch *b, size_t from, size_t to, char why[256])
{
        struct sending s;
        sending_init(&s, to - from);
        int r = intend(o, db, b, from, to, why);
        for (size_t i = from; r == 0 && i < to; i++) {
                struct item *it = &b->items[i];
                if (!is_open(b, it, ITEM_REKEY))
                        continue;
                make_copy(&s.arena, b, it, &s.ones[s.count].record);
                s.items[s.count++] = it;
        }
        if (r == 0)
                r = send_copies(o, &s, why);
        sending_done(&s);
        return r;
}

int outbound_send(
        struct outbound *o, struct db *db, struct batch *b, size_t from, size_t to, char why[256])
{
        int r = dead_letters(o, b, from, to, why);
        return r < 0 ? r : copies(o, db, b, from, to, why);
}
