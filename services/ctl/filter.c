#include "ctl/filter.h"

#include "ctl/jq.h"
#include "ctl/record_json.h"

#include <stdlib.h>

struct filter {
        const char *key, *type, *header; /* borrowed; "" = any */
        struct jq_filter *where;         /* owned; NULL = any */
        struct buf json;
        uint64_t failures;
        char said[256];
};

int filter_new(const struct args *a, struct filter **ret)
{
        struct filter *f = xcalloc(1, sizeof(*f));
        char fault[256] = "";
        *f = (struct filter){.key = args_text(a, "key"),
                .type = args_text(a, "type"),
                .header = args_text(a, "header")};
        const char *where = args_text(a, "where");
        if (where[0] && jq_filter_new(where, &f->where, fault) != 0) {
                ctl_fail("--where %s: %s", where, fault);
                filter_free(f);
                return EXIT_USAGE;
        }
        *ret = f;
        return EXIT_DONE;
}

struct filter *filter_free(struct filter *f)
{
        if (!f)
                return NULL;
        jq_filter_free(f->where);
        buf_done(&f->json);
        free(f);
        return NULL;
}

bool filter_type_is(const struct bus_record *r, const char *type)
{
        struct slice has = bus_record_header(r, "ce_type");
        return slice_is(has, type) ||
               (slice_starts(has, "tern.") && slice_is(slice_from(has, 5), type));
}

/* NAME: it is there; NAME=VALUE: one of that name has the value. */
static bool has_header(const struct bus_record *r, const char *want)
{
        struct slice name = slice_str(want);
        ptrdiff_t equals = slice_find(name, '=');
        struct slice value = equals < 0 ? SLICE_NONE : slice_from(name, (size_t)equals + 1);
        if (equals >= 0)
                name.n = (size_t)equals;
        for (size_t i = 0; i < r->header_count; i++)
                if (slice_eq(r->headers[i].name, name) &&
                        (equals < 0 || slice_eq(r->headers[i].value, value)))
                        return true;
        return false;
}

static bool fits_where(struct filter *f, const struct bus_record *r)
{
        char fault[256] = "";
        buf_reset(&f->json);
        record_json(r, &f->json);
        int fits = jq_filter_test(f->where, buf_slice(&f->json), fault);
        if (fits >= 0)
                return fits == 1;
        if (f->failures++ == 0)
                snprintf(f->said, sizeof(f->said), "%s", fault);
        return false;
}

bool filter_wants(struct filter *f, const struct bus_record *r)
{
        if (f->key[0] && !(r->key.p && slice_is(r->key, f->key)))
                return false;
        if (f->type[0] && !filter_type_is(r, f->type))
                return false;
        if (f->header[0] && !has_header(r, f->header))
                return false;
        return !f->where || fits_where(f, r);
}

bool filter_is_open(const struct filter *f)
{
        return !f->key[0] && !f->type[0] && !f->header[0] && !f->where;
}

uint64_t filter_failures(const struct filter *f, const char **ret_said)
{
        *ret_said = f->said;
        return f->failures;
}
