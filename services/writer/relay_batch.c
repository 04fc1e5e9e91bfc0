#include "writer/relay_batch.h"

#include "base/clock.h"
#include "proto/event.h"
#include "store/db.h"

#include <inttypes.h>
#include <stdlib.h>

/* The columns of relay_rows.sql. */
enum {
        COL_POSITION,
        COL_ID,
        COL_TOPIC,
        COL_KEY,
        COL_TYPE,
        COL_SOURCE,
        COL_TRACEPARENT,
        COL_EVENT,
        COL_ARGS,
        COL_EXCEPT,
        COL_ATTACHMENTS,
        COL_NSP,
        COL_DATA,
        COL_CREATED_MS,
};

struct row { /* of a result */
        const struct db_result *of;
        size_t at;
};

static struct slice column(struct row r, size_t col)
{
        return slice_of(db_value(r.of, r.at, col), db_length(r.of, r.at, col));
}

static void refuse(struct relay_batch *b, struct row r, const char *why)
{
        buf_add_str(&b->refused, b->refused_count++ ? "," : "[");
        buf_printf(&b->refused,
                "{\"position\":%" PRId64 ",\"error\":", db_int(r.of, r.at, COL_POSITION));
        buf_add_json_str(&b->refused, slice_str(why));
        buf_add_char(&b->refused, '}');
}

static void add_member(struct buf *out, const char *name, struct slice json)
{
        if (!json.p)
                return;
        buf_printf(out, ",\"%s\":", name);
        buf_add_slice(out, json);
}

/* What the row says, not judged yet. */
static void add_data(struct row r, struct buf *out)
{
        struct slice data = column(r, COL_DATA), nsp = column(r, COL_NSP);
        if (data.p) {
                buf_add_slice(out, data);
                return;
        }
        buf_add_str(out, "{\"event\":");
        buf_add_json_str(out, column(r, COL_EVENT));
        add_member(out, "args", column(r, COL_ARGS));
        add_member(out, "except", column(r, COL_EXCEPT));
        add_member(out, "attachments", column(r, COL_ATTACHMENTS));
        if (nsp.p) {
                buf_add_str(out, ",\"nsp\":");
                buf_add_json_str(out, nsp);
        }
        buf_add_char(out, '}');
}

static struct bus_header *add_header(struct bus_header *h, const char *name, struct slice value)
{
        *h = (struct bus_header){slice_str(name), value};
        return h + 1;
}

static void make_record(struct relay_batch *b, struct row r, struct slice value)
{
        struct arena *a = &b->arena;
        char iso[CLOCK_ISO_TEXT];
        clock_iso(db_int(r.of, r.at, COL_CREATED_MS), iso);
        struct bus_header *headers = arena_take(a, 8 * sizeof(*headers)), *h = headers;
        h = add_header(h, "ce_specversion", SLICE_LIT("1.0"));
        h = add_header(h, "ce_id", arena_slice(a, column(r, COL_ID)));
        h = add_header(h, "ce_type", arena_slice(a, column(r, COL_TYPE)));
        h = add_header(h, "ce_source", arena_slice(a, column(r, COL_SOURCE)));
        h = add_header(h, "ce_time", arena_slice(a, slice_str(iso)));
        h = add_header(h, "content-type", SLICE_LIT("application/json"));
        h = add_header(h, HEADER_RELAYED, SLICE_LIT("1"));
        if (column(r, COL_TRACEPARENT).p)
                h = add_header(h, "traceparent", arena_slice(a, column(r, COL_TRACEPARENT)));
        b->positions[b->count] = db_int(r.of, r.at, COL_POSITION);
        b->ones[b->count++].record = (struct bus_record){
                .topic = arena_slice(a, column(r, COL_TOPIC)),
                .partition = -1,
                .key = arena_slice(a, column(r, COL_KEY)),
                .value = arena_slice(a, value),
                .headers = headers,
                .header_count = (size_t)(h - headers),
        };
}

/* The validator judges it as it would in the log, so nothing that is relayed becomes a dead letter. */
static void take_row(struct relay_batch *b, struct row r)
{
        struct buf data = BUF_EMPTY, value = BUF_EMPTY;
        struct event e;
        struct event_error err;
        add_data(r, &data);
        if (event_parse(column(r, COL_TOPIC), column(r, COL_TYPE), column(r, COL_ID),
                    column(r, COL_KEY), buf_slice(&data), &e, &err) < 0) {
                refuse(b, r, err.message);
        } else {
                event_encode(&e, &value);
                if (event_key_fits(&e, column(r, COL_KEY)))
                        make_record(b, r, buf_slice(&value));
                else
                        refuse(b, r, "the key is none that this record may have");
                event_done(&e);
        }
        buf_done(&data);
        buf_done(&value);
}

void relay_batch_make(struct relay_batch *b, const struct db_result *rows)
{
        *b = (struct relay_batch){.arena = ARENA_EMPTY};
        b->ones = xcalloc(rows->rows + 1, sizeof(*b->ones));
        b->positions = xcalloc(rows->rows + 1, sizeof(*b->positions));
        for (size_t i = 0; i < rows->rows; i++)
                take_row(b, (struct row){rows, i});
        if (b->refused_count)
                buf_add_char(&b->refused, ']');
}

void relay_batch_done(struct relay_batch *b)
{
        arena_reset(&b->arena);
        free(b->ones);
        free(b->positions);
        buf_done(&b->refused);
}

size_t relay_batch_confirmed(const struct relay_batch *b, struct buf *out)
{
        size_t n = 0;
        buf_add_char(out, '{');
        for (size_t i = 0; i < b->count; i++) {
                if (b->ones[i].outcome != BUS_OK)
                        continue;
                if (n++)
                        buf_add_char(out, ',');
                buf_add_i64(out, b->positions[i]);
        }
        buf_add_char(out, '}');
        return n;
}
