#include "ctl/letters.h"

#include "ctl/reader.h"

#include "proto/deadletter.h"

#include <inttypes.h>
#include <stdlib.h>

#define POLL_MS 100
#define BATCH 500
#define DLQ ".dlq"

const char *letter_state_name(enum letter_state s)
{
        static const char *const names[] = {[LETTER_OPEN] = "open",
                [LETTER_REDRIVEN] = "redriven",
                [LETTER_DROPPED] = "dropped"};
        return names[s];
}

static void letter_free(struct letter *l)
{
        free(l->name);
        free(l->reason);
        free(l->field);
        free(l->message);
        free(l->key);
        free(l->type);
        free(l->id);
        free(l);
}

void letters_done(struct letters *ls)
{
        map_done(&ls->by_name);
        for (size_t i = 0; i < ls->count; i++)
                letter_free(ls->all[i]);
        free(ls->all);
        *ls = (struct letters){.by_name = MAP_EMPTY};
}

struct letter *letters_find(const struct letters *ls, const char *name)
{
        return map_get(&ls->by_name, slice_str(name));
}

/* ---- load ---- */

/* The topic whose dead letters these are: frozen text. NULL if it is none of ours. */
static const char *origin_of(const char *dlq)
{
        size_t n = strlen(dlq);
        if (n > 4 && strcmp(dlq + n - 4, DLQ) == 0)
                n -= 4;
        for (size_t i = 0; i < topic_row_count; i++)
                if (strlen(topic_rows[i].name) == n && strncmp(topic_rows[i].name, dlq, n) == 0)
                        return topic_rows[i].name;
        return NULL;
}

static bool number(const struct bus_record *r, const char *name, int64_t *ret)
{
        uint64_t v = 0;
        bool good = slice_to_u64(bus_record_header(r, name), INT64_MAX, &v);
        *ret = (int64_t)v;
        return good;
}

/* A header's first part: what somebody wrote into the log may be long. */
static char *text(struct slice s, size_t max)
{
        return slice_dup(slice_of(s.p, s.n < max ? s.n : max));
}

static struct letter *letter_of(const struct bus_record *r, const char *topic)
{
        int64_t partition = 0;
        struct letter *l = xcalloc(1, sizeof(*l));
        l->topic = topic;
        if (!number(r, DEADLETTER_PARTITION, &partition) ||
                !number(r, DEADLETTER_OFFSET, &l->offset) ||
                !number(r, DEADLETTER_EPOCH, &l->epoch) || partition > INT32_MAX) {
                letter_free(l);
                return NULL;
        }
        l->partition = (int32_t)partition;
        (void)!number(r, DEADLETTER_TIMESTAMP, &l->timestamp_ms);
        struct buf name = BUF_EMPTY;
        buf_printf(&name, "%s/%d/%" PRId64 "/%" PRId64, topic, l->partition, l->offset, l->epoch);
        l->name = buf_take(&name, NULL);
        return l;
}

static void describe(struct letter *l, const struct bus_record *r)
{
        l->reason = text(bus_record_header(r, DEADLETTER_REASON), 64);
        l->field = text(bus_record_header(r, DEADLETTER_FIELD), 64);
        l->message = text(bus_record_header(r, DEADLETTER_MESSAGE), 300);
        l->type = text(bus_record_header(r, "ce_type"), 255);
        l->id = text(bus_record_header(r, "ce_id"), 255);
        l->key = r->key.p ? text(r->key, 255) : NULL;
        l->truncated = bus_record_header(r, DEADLETTER_TRUNCATED).n > 0;
        l->bytes = (uint32_t)r->value.n;
        if (r->value.n)
                memcpy(l->first, r->value.p,
                        r->value.n < LETTER_FIRST_BYTES ? r->value.n : LETTER_FIRST_BYTES);
        l->dlq_partition = r->partition;
        l->dlq_offset = r->offset;
        l->died_ms = r->timestamp_ms;
}

struct loading {
        struct letters *letters;
        const char *topic;
        bool full;
};

static bool on_letter(void *arg, uint32_t part, const struct bus_record *r)
{
        struct loading *ld = arg;
        struct letters *ls = ld->letters;
        UNUSED(part);
        struct letter *l = letter_of(r, ld->topic);
        if (!l)
                return true;
        struct letter *known = letters_find(ls, l->name);
        struct slice settled = bus_record_header(r, DEADLETTER_SETTLED);
        if (settled.p) {
                if (known)
                        known->state =
                                slice_is(settled, "dropped") ? LETTER_DROPPED : LETTER_REDRIVEN;
                letter_free(l);
                return true;
        }
        if (known && known->state == LETTER_OPEN) { /* written twice over a crash */
                letter_free(l);
                return true;
        }
        if (ls->count == LETTERS_MAX) {
                ld->full = true;
                letter_free(l);
                return false;
        }
        describe(l, r);
        if (ls->count == ls->cap) {
                ls->cap = ls->cap ? ls->cap * 2 : 256;
                ls->all = xrealloc(ls->all, ls->cap * sizeof(*ls->all));
        }
        ls->all[ls->count++] = l;
        map_put(&ls->by_name, slice_str(l->name), l);
        return true;
}

static int load_topic(struct letters *ls, const char *topic)
{
        char dlq[80];
        struct range *ranges = NULL;
        uint32_t n = 0;
        struct reader reader;
        struct loading ld = {.letters = ls, .topic = topic};
        snprintf(dlq, sizeof(dlq), "%s" DLQ, topic);
        int code = where_ranges(ls->ctl, dlq, "", "", &ranges, &n);
        if (code)
                return code;
        reader_init(&reader, ls->ctl, dlq, ranges, n);
        code = reader_start(&reader);
        while (!code && reader.open > 0 && !ld.full)
                code = reader_poll(&reader, POLL_MS, BATCH, on_letter, &ld);
        reader_done(&reader);
        free(ranges);
        if (ld.full)
                return ctl_fail("there are more than %d dead letters: name a topic", LETTERS_MAX);
        return code;
}

static int by_death(const void *a, const void *b)
{
        const struct letter *x = *(struct letter *const *)a, *y = *(struct letter *const *)b;
        if (x->died_ms != y->died_ms)
                return x->died_ms < y->died_ms ? -1 : 1;
        return strcmp(x->name, y->name);
}

int letters_load(struct letters *ls, struct ctl *ctl, const char *topic)
{
        *ls = (struct letters){.ctl = ctl, .by_name = MAP_EMPTY};
        const char *only = topic ? origin_of(topic) : NULL;
        if (topic && !only) {
                ctl_fail("%s has no dead letters", topic);
                return EXIT_USAGE;
        }
        int code = EXIT_DONE;
        for (size_t i = 0; i < topic_row_count && !code; i++) {
                const char *name = topic_rows[i].name;
                size_t len = strlen(name);
                if (len < 4 || strcmp(name + len - 4, DLQ) != 0)
                        continue;
                const char *origin = origin_of(name);
                if (origin && (!only || origin == only))
                        code = load_topic(ls, origin);
        }
        if (ls->count)
                qsort(ls->all, ls->count, sizeof(struct letter *), by_death);
        return code;
}

/* ---- read again ---- */

struct reading {
        int (*fn)(void *arg, struct letter *l, const struct bus_record *r);
        void *arg;
        struct letters *letters;
        const char *topic;
        int code;
};

static bool on_record(void *arg, uint32_t part, const struct bus_record *r)
{
        struct reading *rd = arg;
        UNUSED(part);
        struct letter *l = letter_of(r, rd->topic);
        struct letter *known = l ? letters_find(rd->letters, l->name) : NULL;
        if (l)
                letter_free(l);
        if (known && known->wanted && known->dlq_partition == r->partition &&
                known->dlq_offset == r->offset)
                rd->code = rd->fn(rd->arg, known, r);
        return rd->code == EXIT_DONE;
}

/* The range of each partition that holds the wanted letters of a topic. */
static uint32_t wanted_ranges(const struct letters *ls, const char *topic, struct range *ranges)
{
        uint32_t n = 0;
        for (size_t i = 0; i < ls->count; i++) {
                const struct letter *l = ls->all[i];
                uint32_t k = 0;
                if (!l->wanted || l->topic != topic)
                        continue;
                while (k < n && ranges[k].partition != l->dlq_partition)
                        k++;
                if (k == n)
                        ranges[n++] = (struct range){.partition = l->dlq_partition,
                                .from = l->dlq_offset,
                                .to = l->dlq_offset + 1};
                if (l->dlq_offset < ranges[k].from)
                        ranges[k].from = l->dlq_offset;
                if (l->dlq_offset >= ranges[k].to)
                        ranges[k].to = l->dlq_offset + 1;
        }
        return n;
}

int letters_read(struct letters *ls,
        int (*fn)(void *arg, struct letter *l, const struct bus_record *r), void *arg)
{
        struct reading rd = {.fn = fn, .arg = arg, .letters = ls};
        int code = EXIT_DONE;
        struct range *ranges = xcalloc(ls->count + 1, sizeof(*ranges));
        for (size_t i = 0; i < topic_row_count && !code; i++) {
                char dlq[80];
                struct reader reader;
                uint32_t n = wanted_ranges(ls, topic_rows[i].name, ranges);
                if (n == 0)
                        continue;
                rd.topic = topic_rows[i].name;
                snprintf(dlq, sizeof(dlq), "%s" DLQ, rd.topic);
                reader_init(&reader, ls->ctl, dlq, ranges, n);
                code = reader_start(&reader);
                while (!code && reader.open > 0 && !rd.code)
                        code = reader_poll(&reader, POLL_MS, BATCH, on_record, &rd);
                reader_done(&reader);
                code = code ? code : rd.code;
        }
        free(ranges);
        return code;
}
