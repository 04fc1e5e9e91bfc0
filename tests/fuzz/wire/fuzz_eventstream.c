/*
 * Event-stream blocks, read back by the standard's rules: whatever the name, id and data hold
 * (separated by 0xff in the input), a parser must see exactly one event, with that data but for its
 * line ends.
 */
#include "base/check.h"
#include "wire/eventstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
        unsigned events;
        struct buf type, id, data;
};

static void take_line(struct seen *s, struct buf *pending, bool *any, struct slice line)
{
        if (line.n == 0) {
                if (*any) {
                        s->events++;
                        buf_reset(&s->data);
                        /* One line end belongs to the last line. */
                        buf_add(&s->data, pending->p, pending->n - 1);
                }
                buf_reset(pending);
                *any = false;
                return;
        }
        ptrdiff_t colon = slice_find(line, ':');
        struct slice name = slice_of(line.p, colon < 0 ? line.n : (size_t)colon);
        struct slice value = colon < 0 ? SLICE_NONE : slice_from(line, (size_t)colon + 1);
        if (value.n && value.p[0] == ' ')
                value = slice_from(value, 1);
        if (slice_is(name, "data")) {
                buf_add_slice(pending, value);
                buf_add_char(pending, '\n');
                *any = true;
        } else if (slice_is(name, "event")) {
                buf_reset(&s->type);
                buf_add_slice(&s->type, value);
        } else if (slice_is(name, "id") && slice_find(value, '\0') < 0) {
                buf_reset(&s->id);
                buf_add_slice(&s->id, value);
        } else {
                CHECK(name.n == 0); /* a comment; no other field is ever written */
        }
}

static struct seen read_stream(struct slice stream)
{
        struct seen s = {0};
        struct buf pending = BUF_EMPTY;
        bool any = false;
        size_t from = 0;
        for (size_t i = 0; i < stream.n; i++) {
                if (stream.p[i] != '\n' && stream.p[i] != '\r')
                        continue;
                take_line(&s, &pending, &any, slice_of(stream.p + from, i - from));
                if (stream.p[i] == '\r' && i + 1 < stream.n && stream.p[i + 1] == '\n')
                        i++;
                from = i + 1;
        }
        CHECK(from == stream.n && !any);
        buf_done(&pending);
        return s;
}

static struct slice cut(struct slice *rest)
{
        ptrdiff_t at = slice_find(*rest, '\xff');
        struct slice piece = slice_of(rest->p, at < 0 ? rest->n : (size_t)at);
        *rest = slice_from(*rest, at < 0 ? rest->n : (size_t)at + 1);
        return piece;
}

/* With LF for each line end, as a parser gives it to the application. */
static struct buf normal(struct slice data)
{
        struct buf b = BUF_EMPTY;
        for (size_t i = 0; i < data.n; i++) {
                if (data.p[i] == '\r' && i + 1 < data.n && data.p[i + 1] == '\n')
                        continue;
                buf_add_char(&b, data.p[i] == '\r' ? '\n' : data.p[i]);
        }
        return b;
}

static struct buf without_line_ends(struct slice text)
{
        struct buf b = BUF_EMPTY;
        for (size_t i = 0; i < text.n; i++)
                if (text.p[i] != '\r' && text.p[i] != '\n' && text.p[i] != '\0')
                        buf_add_char(&b, text.p[i]);
        return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
        struct slice rest = slice_of(size ? (const char *)bytes : "", size);
        struct slice event = cut(&rest), id = cut(&rest), data = rest;
        struct buf stream = BUF_EMPTY, want = normal(data), type = without_line_ends(event),
                   place = without_line_ends(id);
        eventstream_comment(&stream, "hb");
        eventstream_block(&stream, event, id, data);
        struct seen s = read_stream(buf_slice(&stream));
        CHECK(s.events == 1);
        CHECK(slice_eq(buf_slice(&s.data), buf_slice(&want)));
        CHECK(slice_eq(buf_slice(&s.type), buf_slice(&type)));
        CHECK(slice_eq(buf_slice(&s.id), buf_slice(&place)));
        buf_done(&s.data);
        buf_done(&s.type);
        buf_done(&s.id);
        buf_done(&stream);
        buf_done(&want);
        buf_done(&type);
        buf_done(&place);
        return 0;
}
