#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

struct log {
        const char *svc;
        char *instance;
        enum log_level level;
        int fd;
};

struct log *log_new(const char *svc, const char *instance, enum log_level level, int fd)
{
        struct log *lg = xcalloc(1, sizeof(*lg));
        lg->svc = svc;
        lg->instance = instance ? xstrdup(instance) : NULL;
        lg->level = level;
        lg->fd = fd;
        return lg;
}

struct log *log_free(struct log *lg)
{
        if (lg)
                free(lg->instance);
        free(lg);
        return NULL;
}

bool log_on(const struct log *lg, enum log_level level)
{
        return lg && level <= lg->level;
}

static void add_value(struct buf *b, struct slice s)
{
        struct buf clean = BUF_EMPTY;
        while (s.n) {
                size_t n = utf8_length(s);
                if (n)
                        buf_add(&clean, s.p, n);
                else
                        buf_printf(&clean, "<%02x>", (unsigned char)s.p[0]);
                s = slice_from(s, n ? n : 1);
        }
        buf_add_json_str(b, buf_slice(&clean));
        buf_done(&clean);
}

void log_write(
        struct log *lg, enum log_level level, const char *event, const struct log_field *fields)
{
        static const char *const names[] = {"error", "warn", "info", "debug"};
        if (!log_on(lg, level))
                return;
        char ts[CLOCK_ISO_TEXT];
        clock_iso(clock_wall_ms(), ts);
        struct buf b = BUF_EMPTY;
        buf_printf(&b, "{\"ts\":\"%s\",\"level\":\"%s\",\"svc\":\"%s\"", ts, names[level], lg->svc);
        if (lg->instance) {
                buf_add_str(&b, ",\"instance\":");
                add_value(&b, slice_str(lg->instance));
        }
        buf_printf(&b, ",\"event\":\"%s\"", event);
        for (const struct log_field *f = fields; f->key; f++) {
                buf_printf(&b, ",\"%s\":", f->key);
                if (f->kind == LOG_FIELD_STR)
                        add_value(&b, f->s);
                else if (f->kind == LOG_FIELD_INT)
                        buf_add_i64(&b, f->i);
                else if (isfinite(f->d))
                        buf_printf(&b, "%.6g", f->d);
                else
                        buf_add_str(&b, "null");
        }
        buf_add(&b, "}\n", 2);
        /* A full pipe or a closed one loses the line; nothing useful can be done about it here. */
        ssize_t n = write(lg->fd, b.p, b.n);
        UNUSED(n);
        buf_done(&b);
}
