#include "ctl/tally.h"

#include "ctl/copy.h"
#include "ctl/progress.h"
#include "ctl/reader.h"

#include "base/map.h"

#include <inttypes.h>
#include <stdlib.h>

#define POLL_MS 100
#define BATCH 1000
#define TYPES_MAX                                                                                  \
        1000 /* of what somebody may have written into the log; the rest is counted together */

struct count {
        uint64_t records, bytes;
};

static const struct {
        const char *name;
        uint64_t below; /* bytes */
} sizes[] = {
        {"below 1 KiB", 1 << 10},
        {"1 to 10 KiB", 10 << 10},
        {"10 to 100 KiB", 100 << 10},
        {"100 KiB to 1 MiB", 1 << 20},
        {"1 MiB and more", UINT64_MAX},
};

struct type_count {
        char *name; /* owned */
        struct count n;
};

struct tally {
        struct reader reader;
        struct filter *filter;
        struct count *parts; /* owned */
        struct type_count
                *types; /* owned array of TYPES_MAX; it does not move, the map borrows its names */
        size_t type_count;
        struct map by_type;
        struct count by_size[ARRAY_LEN(sizes)], other_types, all;
        uint64_t read;
};

static void add(struct count *c, uint64_t bytes)
{
        c->records++;
        c->bytes += bytes;
}

static struct count *type_of(struct tally *t, const struct bus_record *r)
{
        struct slice name = bus_record_header(r, "ce_type");
        struct type_count *one = map_get(&t->by_type, name.n ? name : SLICE_LIT("(none)"));
        if (one)
                return &one->n;
        if (t->type_count == TYPES_MAX)
                return &t->other_types;
        one = &t->types[t->type_count++];
        one->name = slice_dup(name.n ? name : SLICE_LIT("(none)"));
        map_put(&t->by_type, slice_str(one->name), one);
        return &one->n;
}

static bool on_record(void *arg, uint32_t part, const struct bus_record *r)
{
        struct tally *t = arg;
        t->read++;
        if (!filter_wants(t->filter, r))
                return true;
        uint64_t bytes = copy_bytes_of(r);
        size_t s = 0;
        while (bytes >= sizes[s].below && s + 1 < ARRAY_LEN(sizes))
                s++;
        add(&t->parts[part], bytes);
        add(type_of(t, r), bytes);
        add(&t->by_size[s], bytes);
        add(&t->all, bytes);
        return true;
}

/* ---- output ---- */

static void row(struct table *out, const char *what, const char *name, const struct count *n)
{
        table_cell(out, "%s", what);
        table_cell(out, "%s", name);
        table_cell(out, "%" PRIu64, n->records);
        table_cell(out, "%" PRIu64, n->bytes);
}

static void print_text(const struct tally *t, const char *topic)
{
        struct table out = TABLE_OF(4);
        static const char *const heads[] = {"BY", "", "RECORDS", "BYTES"};
        for (size_t i = 0; i < ARRAY_LEN(heads); i++)
                table_cell(&out, "%s", heads[i]);
        for (uint32_t i = 0; i < t->reader.count; i++) {
                const struct range *r = &t->reader.parts[i].range;
                char name[80];
                snprintf(name, sizeof(name), "%d [%" PRId64 ", %" PRId64 ")", r->partition, r->from,
                        r->to);
                row(&out, "partition", name, &t->parts[i]);
        }
        for (size_t i = 0; i < t->type_count; i++)
                row(&out, "type", t->types[i].name, &t->types[i].n);
        if (t->other_types.records)
                row(&out, "type", "(all others)", &t->other_types);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
                row(&out, "size", sizes[i].name, &t->by_size[i]);
        row(&out, "total", topic, &t->all);
        table_print(&out);
}

static void add_object(
        struct buf *out, const char *what, const char *text, int64_t number, const struct count *n)
{
        buf_add_str(out, out->p[out->n - 1] == '[' ? "{" : ",{");
        if (text)
                json_text(out, what, text);
        else
                json_number(out, what, number);
        json_number(out, "records", (int64_t)n->records);
        json_number(out, "bytes", (int64_t)n->bytes);
        buf_add_char(out, '}');
}

static void print_json(const struct tally *t, const char *topic)
{
        struct buf out = BUF_EMPTY;
        buf_add_char(&out, '{');
        json_text(&out, "topic", topic);
        json_flag(&out, "dryRun", true);
        json_number(&out, "read", (int64_t)t->read);
        json_number(&out, "records", (int64_t)t->all.records);
        json_number(&out, "bytes", (int64_t)t->all.bytes);
        buf_add_str(&out, ",\"partitions\":[");
        for (uint32_t i = 0; i < t->reader.count; i++)
                add_object(
                        &out, "partition", NULL, t->reader.parts[i].range.partition, &t->parts[i]);
        buf_add_str(&out, "],\"types\":[");
        for (size_t i = 0; i < t->type_count; i++)
                add_object(&out, "type", t->types[i].name, 0, &t->types[i].n);
        if (t->other_types.records)
                add_object(&out, "type", "(all others)", 0, &t->other_types);
        buf_add_str(&out, "],\"sizes\":[");
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
                add_object(&out, "size", sizes[i].name, 0, &t->by_size[i]);
        buf_add_str(&out, "]}");
        print_line(&out);
        buf_done(&out);
}

int tally_run(struct ctl *ctl, struct lifecycle *lc, const char *topic, const struct range *ranges,
        uint32_t count, struct filter *filter, bool as_json)
{
        struct tally t = {.filter = filter, .by_type = MAP_EMPTY};
        struct progress progress;
        uint64_t read, total;
        bool stop = false;
        reader_init(&t.reader, ctl, topic, ranges, count);
        t.parts = xcalloc(count, sizeof(*t.parts));
        t.types = xcalloc(TYPES_MAX, sizeof(*t.types));
        int code = reader_start(&t.reader);
        reader_progress(&t.reader, &read, &total);
        progress_start(&progress, "counted", total, 0, as_json);
        while (!code && t.reader.open > 0 && !stop) {
                code = reader_poll(&t.reader, POLL_MS, BATCH, on_record, &t);
                reader_progress(&t.reader, &read, &total);
                progress_show(&progress, read, t.all.records);
                stop = lifecycle_wait(lc, 0) != 0;
        }
        progress_end(&progress);
        if (!code && stop)
                code = ctl_fail("stopped: nothing was counted to the end");
        else if (!code && as_json)
                print_json(&t, topic);
        else if (!code)
                print_text(&t, topic);
        reader_done(&t.reader);
        map_done(&t.by_type);
        for (size_t i = 0; i < t.type_count; i++)
                free(t.types[i].name);
        free(t.types);
        free(t.parts);
        return code;
}
