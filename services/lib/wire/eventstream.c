#include "wire/eventstream.h"

static void field(struct buf *out, const char *name, struct slice value)
{
        buf_add_str(out, name);
        buf_add(out, ": ", 2);
        for (size_t i = 0; i < value.n; i++)
                if (value.p[i] != '\r' && value.p[i] != '\n' && value.p[i] != '\0')
                        buf_add_char(out, value.p[i]);
        buf_add_char(out, '\n');
}

static void data_lines(struct buf *out, struct slice data)
{
        size_t from = 0;
        for (size_t i = 0; i <= data.n; i++) {
                bool end = i == data.n || data.p[i] == '\n' || data.p[i] == '\r';
                if (!end)
                        continue;
                buf_add_str(out, "data: ");
                buf_add(out, data.p + from, i - from);
                buf_add_char(out, '\n');
                if (i + 1 < data.n && data.p[i] == '\r' && data.p[i + 1] == '\n')
                        i++;
                from = i + 1;
        }
}

void eventstream_block(struct buf *out, struct slice event, struct slice id, struct slice data)
{
        if (event.n)
                field(out, "event", event);
        if (id.n)
                field(out, "id", id);
        if (data.p)
                data_lines(out, data);
        buf_add_char(out, '\n');
}

void eventstream_comment(struct buf *out, const char *text)
{
        buf_printf(out, ": %s\n\n", text);
}

void eventstream_retry(struct buf *out, uint32_t ms)
{
        buf_printf(out, "retry: %u\n\n", ms);
}
