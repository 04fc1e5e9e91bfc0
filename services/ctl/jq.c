#include "ctl/jq.h"

#include <errno.h>
#include <stdlib.h>

#include <jq.h>

struct jq_filter {
        jq_state *jq;
        char said[256]; /* jq's last complaint */
};

static void on_error(void *arg, jv message)
{
        struct jq_filter *f = arg;
        message = jq_format_error(message);
        if (!f->said[0] && jv_get_kind(message) == JV_KIND_STRING) {
                snprintf(f->said, sizeof(f->said), "%s", jv_string_value(message));
                f->said[strcspn(f->said, "\n")] = 0;
        }
        jv_free(message);
}

int jq_filter_new(const char *program, struct jq_filter **ret, char fault[256])
{
        struct jq_filter *f = xcalloc(1, sizeof(*f));
        f->jq = jq_init();
        if (!f->jq) {
                free(f);
                snprintf(fault, 256, "jq does not start");
                return -EINVAL;
        }
        jq_set_error_cb(f->jq, on_error, f);
        if (!jq_compile(f->jq, program)) {
                snprintf(fault, 256, "%s", f->said[0] ? f->said : "not a jq filter");
                jq_filter_free(f);
                return -EINVAL;
        }
        *ret = f;
        return 0;
}

struct jq_filter *jq_filter_free(struct jq_filter *f)
{
        if (!f)
                return NULL;
        jq_teardown(&f->jq);
        free(f);
        return NULL;
}

/* Takes an invalid jv that may carry a message. */
static int failed(jv v, char fault[256])
{
        bool bears = jv_invalid_has_msg(jv_copy(v));
        jv message = jv_invalid_get_msg(v);
        if (jv_get_kind(message) == JV_KIND_STRING)
                snprintf(fault, 256, "%s", jv_string_value(message));
        else
                snprintf(fault, 256, "the filter failed");
        jv_free(message);
        return bears ? -EINVAL : -ENOENT;
}

/* The first result, which the caller frees; or an invalid one. */
static int first(struct jq_filter *f, struct slice json, jv *ret, char fault[256])
{
        f->said[0] = 0;
        jv input = jv_parse_sized(json.p, (int)json.n);
        if (!jv_is_valid(input)) {
                int err = failed(input, fault);
                return err == -ENOENT ? -EINVAL : err;
        }
        jq_start(f->jq, input, 0);
        jv result = jq_next(f->jq);
        if (!jv_is_valid(result))
                return failed(result, fault);
        *ret = result;
        return 0;
}

int jq_filter_test(struct jq_filter *f, struct slice json, char fault[256])
{
        jv v;
        int err = first(f, json, &v, fault);
        if (err)
                return err == -ENOENT ? 0 : err;
        jv_kind kind = jv_get_kind(v);
        jv_free(v);
        return kind != JV_KIND_NULL && kind != JV_KIND_FALSE;
}

int jq_filter_run(struct jq_filter *f, struct slice json, struct buf *out, char fault[256])
{
        jv v;
        int err = first(f, json, &v, fault);
        if (err)
                return err;
        jv text = jv_dump_string(v, 0);
        buf_add(out, jv_string_value(text), (size_t)jv_string_length_bytes(jv_copy(text)));
        jv_free(text);
        return 0;
}
