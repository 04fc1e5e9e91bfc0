#include "ctl/checkpoint.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/jsonscan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_BYTES_MAX (1 << 20)

static const char *const states[] = {
        [CHECKPOINT_NEW] = "new",
        [CHECKPOINT_COPYING] = "copying",
        [CHECKPOINT_DONE] = "done",
};

void checkpoint_group(const struct checkpoint *cp, char ret[80])
{
        snprintf(ret, 80, "ternctl-replay-%s", cp->id);
}

void checkpoint_done(struct checkpoint *cp)
{
        free(cp->what);
        free(cp->ranges);
        *cp = (struct checkpoint){0};
}

/* ---- read ---- */

static int read_file(const char *file, struct buf *out)
{
        int fd = open(file, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        ssize_t n;
        do {
                n = read(fd, buf_reserve(out, 4096), 4096);
                if (n > 0)
                        buf_commit(out, (size_t)n);
        } while (n > 0 && out->n < FILE_BYTES_MAX);
        int err = n < 0 ? -errno : 0;
        close(fd);
        return err;
}

static bool text_is(struct slice json, const char *name, const char *want)
{
        struct slice v;
        struct buf text = BUF_EMPTY;
        bool same = json_member(json, name, &v) && json_decode_string(v, &text) &&
                    slice_is(buf_slice(&text), want);
        buf_done(&text);
        return same;
}

static bool read_range(struct slice v, struct range *r)
{
        struct slice one;
        int64_t p = 0;
        return json_next(&v, &one) && json_int(one, 0, INT32_MAX, &p) &&
               (r->partition = (int32_t)p, json_next(&v, &one)) &&
               json_int(one, 0, INT64_MAX, &r->from) && json_next(&v, &one) &&
               json_int(one, 0, INT64_MAX, &r->to);
}

static bool read_all(struct checkpoint *cp, struct slice json)
{
        struct slice v, one;
        struct buf id = BUF_EMPTY;
        bool good = json_member(json, "id", &v) && json_decode_string(v, &id) &&
                    slice_copy(buf_slice(&id), cp->id, sizeof(cp->id)) &&
                    uuid_valid(slice_str(cp->id));
        buf_done(&id);
        for (size_t s = 0; s < ARRAY_LEN(states); s++)
                if (text_is(json, "state", states[s]))
                        cp->state = (enum checkpoint_state)s;
        if (!good || !json_member(json, "ranges", &v))
                return false;
        while (json_next(&v, &one)) {
                cp->ranges = xrealloc(cp->ranges, (cp->count + 1) * sizeof(*cp->ranges));
                cp->ranges[cp->count] = (struct range){0};
                if (!read_range(one, &cp->ranges[cp->count++]))
                        return false;
        }
        return cp->count > 0;
}

int checkpoint_open(struct checkpoint *cp, const char *file, const char *what)
{
        *cp = (struct checkpoint){.file = file, .what = xstrdup(what)};
        uuid_v7(clock_wall_ms(), cp->id);
        if (!file)
                return 0;
        struct buf text = BUF_EMPTY;
        int err = read_file(file, &text);
        int found = err == -ENOENT ? 0 : err ? -1 : 1;
        if (err && err != -ENOENT)
                ctl_fail("%s: %s", file, strerror(-err));
        if (found == 1 &&
                (!json_check(buf_slice(&text), 8, 0) || !read_all(cp, buf_slice(&text)))) {
                ctl_fail("%s is no checkpoint", file);
                found = -1;
        } else if (found == 1 && !text_is(buf_slice(&text), "what", what)) {
                ctl_fail("%s is the checkpoint of another replay; give it the same options, or "
                         "another file",
                        file);
                found = -1;
        }
        buf_done(&text);
        return found;
}

/* ---- write ---- */

static void encode(const struct checkpoint *cp, struct buf *out)
{
        buf_add_char(out, '{');
        json_text(out, "id", cp->id);
        json_text(out, "state", states[cp->state]);
        json_text(out, "what", cp->what);
        buf_add_str(out, ",\"ranges\":[");
        for (uint32_t i = 0; i < cp->count; i++)
                buf_printf(out, "%s[%d,%" PRId64 ",%" PRId64 "]", i ? "," : "",
                        cp->ranges[i].partition, cp->ranges[i].from, cp->ranges[i].to);
        buf_add_str(out, "]}\n");
}

static int write_whole(const char *file, struct slice text)
{
        char temp[PATH_MAX];
        if (snprintf(temp, sizeof(temp), "%s.new", file) >= (int)sizeof(temp))
                return -ENAMETOOLONG;
        int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0)
                return -errno;
        int err = 0;
        while (text.n > 0 && !err) {
                ssize_t n = write(fd, text.p, text.n);
                if (n < 0)
                        err = -errno;
                else
                        text = slice_from(text, (size_t)n);
        }
        if (!err && fsync(fd) != 0)
                err = -errno;
        close(fd);
        if (!err && rename(temp, file) != 0)
                err = -errno;
        return err;
}

int checkpoint_write(struct checkpoint *cp, enum checkpoint_state state)
{
        cp->state = state;
        if (!cp->file)
                return 0;
        struct buf text = BUF_EMPTY;
        encode(cp, &text);
        int err = write_whole(cp->file, buf_slice(&text));
        if (err)
                ctl_fail("%s: %s", cp->file, strerror(-err));
        buf_done(&text);
        return err;
}
