#include "ctl/audit.h"
#include "ctl/rebuild.h"

#include <inttypes.h>

static uint64_t offsets_of(const struct rebuild *rb)
{
        uint64_t n = 0;
        for (size_t i = 0; i < rb->count; i++)
                n += (uint64_t)(rb->parts[i].next - rb->parts[i].start);
        return n;
}

/* What is made anew and what is kept, topic by topic. */
static void print_plan(const struct rebuild *rb)
{
        struct table t = TABLE_OF(4);
        static const char *const heads[] = {
                "TOPIC", "PARTITIONS", "MADE ANEW", "KEPT FROM EARLIER"};
        for (size_t i = 0; i < ARRAY_LEN(heads); i++)
                table_cell(&t, "%s", heads[i]);
        for (size_t i = 0; i < rb->count;) {
                const char *topic = rb->parts[i].topic;
                int64_t anew = 0, kept = 0;
                unsigned n = 0;
                for (; i < rb->count && strcmp(rb->parts[i].topic, topic) == 0; i++, n++) {
                        anew += rb->parts[i].next - rb->parts[i].start;
                        kept += rb->parts[i].start;
                }
                table_cell(&t, "%s", topic);
                table_cell(&t, "%u", n);
                table_cell(&t, "%" PRId64 " offsets", anew);
                table_cell(&t, "%" PRId64 " offsets%s", kept,
                        rb->count && rb->parts[i - 1].epoch > 1 ? ", and all older lives" : "");
        }
        table_print(&t);
}

static bool same(const struct db_result *r, size_t i)
{
        return strcmp(db_value(r, i, 1), db_value(r, i, 3)) == 0 &&
               strcmp(db_value(r, i, 2), db_value(r, i, 4)) == 0;
}

static void print_proof(const struct rebuild *rb, const struct db_result *r)
{
        struct table t = TABLE_OF(6);
        static const char *const heads[] = {
                "TABLE", "ROWS BEFORE", "ROWS AFTER", "SUM BEFORE", "SUM AFTER", ""};
        for (size_t i = 0; i < ARRAY_LEN(heads); i++)
                table_cell(&t, "%s", heads[i]);
        for (size_t i = 0; i < r->rows; i++) {
                table_cell(&t, "%s", db_value(r, i, 0));
                table_cell(&t, "%s", db_value(r, i, 1));
                table_cell(&t, "%s", db_value(r, i, 3));
                table_cell(&t, "%s", db_value(r, i, 2));
                table_cell(&t, "%s", db_value(r, i, 4));
                table_cell(&t, "%s", same(r, i) ? "same" : "DIFFERENT");
        }
        table_print(&t);
        if (rb->touched)
                printf("%" PRIu64 " keys got records meanwhile: compared up to the first of these, "
                       "or left out\n",
                        rb->touched);
        if (rb->redriven)
                printf("%" PRIu64 " records were redriven meanwhile: they count as differences\n",
                        rb->redriven);
}

static void print_json(const struct rebuild *rb, const struct db_result *r, bool proven)
{
        struct buf out = BUF_EMPTY;
        buf_add_char(&out, '{');
        json_flag(&out, "same", proven);
        json_number(&out, "offsets", (int64_t)offsets_of(rb));
        json_number(&out, "keysTouched", (int64_t)rb->touched);
        buf_add_str(&out, ",\"tables\":[");
        for (size_t i = 0; i < r->rows; i++) {
                buf_add_str(&out, i ? ",{" : "{");
                json_text(&out, "table", db_value(r, i, 0));
                json_number(&out, "rowsBefore", db_int(r, i, 1));
                json_number(&out, "rowsAfter", db_int(r, i, 3));
                json_text(&out, "sumBefore", db_value(r, i, 2));
                json_text(&out, "sumAfter", db_value(r, i, 4));
                json_flag(&out, "same", same(r, i));
                buf_add_char(&out, '}');
        }
        buf_add_str(&out, "]}");
        print_line(&out);
        buf_done(&out);
}

static int rebuild(struct rebuild *rb, bool as_json)
{
        struct db_result r = DB_RESULT_NONE;
        bool proven = true;
        int code = rebuild_set_back(rb);
        if (!code)
                code = rebuild_wait(rb);
        if (!code)
                code = rebuild_prove(rb, &r);
        if (code)
                return code;
        for (size_t i = 0; i < r.rows; i++)
                proven = proven && same(&r, i);
        if (as_json)
                print_json(rb, &r, proven);
        else
                print_proof(rb, &r);
        db_result_done(&r);
        return proven ? EXIT_DONE : ctl_fail("the tables are not what they were");
}

int cmd_rebuild(struct ctl *ctl, const struct args *a)
{
        struct lifecycle lc;
        struct rebuild rb = {.ctl = ctl, .lifecycle = &lc};
        struct admin_cluster cluster;
        struct audit au;
        struct buf what = BUF_EMPTY;
        bool as_json = args_flag(a, "json");
        lifecycle_init(&lc);
        int code = ctl_db(ctl, 0);
        if (!code)
                code = ctl_bus(ctl, CTL_KAFKA_MS, &cluster);
        if (!code && bus_is_embedded(ctl->bus))
                code = ctl_fail("rebuild is not supported by the embedded broker");
        if (!code)
                code = rebuild_plan(&rb);
        if (!code && !as_json)
                print_plan(&rb);
        if (!code && !args_flag(a, "dry-run")) {
                code = ctl_confirm(args_flag(a, "yes"),
                        "Delete these rows and let the writers make them anew from %" PRIu64
                        " offsets?",
                        offsets_of(&rb));
                json_number(&what, "offsets", (int64_t)offsets_of(&rb));
                if (!code)
                        code = audit_begin(&au, ctl, "rebuild", buf_cstr(&what));
                if (!code)
                        code = audit_end(&au, rebuild(&rb, as_json), buf_cstr(&what));
        }
        buf_done(&what);
        rebuild_done(&rb);
        lifecycle_done(&lc);
        return code;
}
