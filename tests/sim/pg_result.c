#include "pg_result.h"

#include <stdio.h>
#include <stdlib.h>

static void add(struct cells *c, struct slice s, bool null)
{
        if (c->count + 1 >= c->cap) {
                c->cap = c->cap ? c->cap * 2 : 64;
                c->starts = xrealloc(c->starts, c->cap * sizeof(*c->starts));
                c->nulls = xrealloc(c->nulls, c->cap * sizeof(*c->nulls));
        }
        c->starts[c->count] = c->text.n;
        c->nulls[c->count++] = null;
        buf_add_slice(&c->text, s);
        buf_add_char(&c->text, '\0');
        c->starts[c->count] = c->text.n;
}

void cell_text(struct cells *c, struct slice s)
{
        add(c, s, s.p == NULL);
}

void cell_i64(struct cells *c, int64_t v)
{
        char text[24];
        snprintf(text, sizeof(text), "%lld", (long long)v);
        add(c, slice_str(text), false);
}

void cell_bool(struct cells *c, bool v)
{
        add(c, v ? SLICE_LIT("t") : SLICE_LIT("f"), false);
}

void cell_null(struct cells *c)
{
        add(c, SLICE_NONE, true);
}

struct result *cells_seal(struct cells *c)
{
        struct result *r = xcalloc(1, sizeof(*r));
        r->text = xmalloc(c->text.n + 1);
        if (c->text.n)
                memcpy(r->text, c->text.p, c->text.n);
        r->values = xcalloc(c->count + 1, sizeof(char *));
        r->lengths = xcalloc(c->count + 1, sizeof(size_t));
        for (size_t i = 0; i < c->count; i++) {
                r->values[i] = c->nulls[i] ? NULL : r->text + c->starts[i];
                r->lengths[i] = c->starts[i + 1] - c->starts[i] - 1;
        }
        r->columns = c->columns ? c->columns : 1;
        r->rows = c->count / r->columns;
        CHECK(r->rows * r->columns == c->count);
        buf_done(&c->text);
        free(c->starts);
        free(c->nulls);
        *c = (struct cells){.text = BUF_EMPTY};
        return r;
}

void result_free(struct result *r)
{
        if (!r)
                return;
        free(r->text);
        free(r->values);
        free(r->lengths);
        free(r);
}

bool array_next(const char **at, struct buf *item)
{
        const char *p = *at;
        if (*p == '{' || *p == ',')
                p++;
        if (*p == '}' || *p == '\0')
                return false;
        buf_reset(item);
        bool quoted = *p == '"';
        for (p += quoted; *p && (quoted ? *p != '"' : *p != ',' && *p != '}'); p++) {
                if (quoted && *p == '\\')
                        p++;
                buf_add_char(item, *p);
        }
        *at = p + quoted;
        return true;
}
