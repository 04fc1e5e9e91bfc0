#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"

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

/* Length of the valid UTF-8 sequence at the start of s, 0 if there is none. */
static size_t utf8_length(struct slice s)
{
        unsigned char c = (unsigned char)s.p[0];
        size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
        if (n == 0 || n > s.n)
                return 0;
        for (size_t i = 1; i < n; i++)
                if (((unsigned char)s.p[i] & 0xc0) != 0x80)
                        return 0;
        return n;
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

void log_write(struct log *lg, enum log_level level, const char *event, const struct log_field *fields)
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
                else
                        buf_printf(&b, "%.6g", f->d);
        }
        buf_add(&b, "}\n", 2);
        /* A full pipe or a closed one loses the line; nothing useful can be done about it here. */
        ssize_t n = write(lg->fd, b.p, b.n);
        UNUSED(n);
        buf_done(&b);
}
