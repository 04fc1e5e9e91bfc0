#include "ctl/mend.h"

#include "base/jsonscan.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEPTH_MAX 200

int mend_by_filter(struct jq_filter *f, struct slice value, struct buf *out, char fault[256])
{
        struct buf quoted = BUF_EMPTY;
        bool json = json_check(value, DEPTH_MAX, 0);
        if (!json && !utf8_valid(value)) {
                snprintf(fault, 256, "the value is no text; mend it with --edit");
                return -EINVAL;
        }
        if (!json)
                buf_add_json_str(&quoted, value);
        int err = jq_filter_run(f, json ? value : buf_slice(&quoted), out, fault);
        if (err == -ENOENT)
                snprintf(fault, 256, "the filter gives nothing");
        buf_done(&quoted);
        return err ? -EINVAL : 0;
}

static int write_all(int fd, struct slice s)
{
        while (s.n > 0) {
                ssize_t n = write(fd, s.p, s.n);
                if (n < 0)
                        return -errno;
                s = slice_from(s, (size_t)n);
        }
        return 0;
}

/* Waits for the editor; it gets the terminal and the usual signals. */
static int run_editor(char *file, char fault[256])
{
        extern char **environ;
        char sh[] = "sh", dash_c[] = "-c", line[] = "exec ${VISUAL:-${EDITOR:-vi}} \"$0\"";
        char *argv[] = {sh, dash_c, line, file, NULL};
        posix_spawnattr_t attr;
        sigset_t none;
        pid_t pid = 0;
        int status = 0;
        sigemptyset(&none);
        posix_spawnattr_init(&attr);
        posix_spawnattr_setsigmask(&attr, &none);
        posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
        int err = posix_spawn(&pid, "/bin/sh", NULL, &attr, argv, environ);
        posix_spawnattr_destroy(&attr);
        while (!err && waitpid(pid, &status, 0) < 0)
                err = errno == EINTR ? 0 : errno;
        if (!err && WIFEXITED(status) && WEXITSTATUS(status) == 0)
                return 0;
        snprintf(fault, 256, "the editor failed");
        return -EINVAL;
}

static int read_back(int fd, bool had_newline, struct buf *out, char fault[256])
{
        ssize_t n;
        if (lseek(fd, 0, SEEK_SET) != 0) {
                snprintf(fault, 256, "%s", strerror(errno));
                return -EINVAL;
        }
        while ((n = read(fd, buf_reserve(out, 4096), 4096)) > 0)
                buf_commit(out, (size_t)n);
        if (!had_newline && out->n && out->p[out->n - 1] == '\n')
                out->n--;
        if (n < 0)
                snprintf(fault, 256, "%s", strerror(errno));
        return n < 0 ? -EINVAL : 0;
}

int mend_by_hand(struct slice value, struct buf *out, char fault[256])
{
        const char *dir = getenv("TMPDIR");
        char file[512];
        snprintf(file, sizeof(file), "%s/ternctl-XXXXXX.json", dir && dir[0] ? dir : "/tmp");
        int fd = mkstemps(file, 5);
        if (fd < 0) {
                snprintf(fault, 256, "no file to edit: %s", strerror(errno));
                return -EINVAL;
        }
        int err = write_all(fd, value);
        if (err)
                snprintf(fault, 256, "%s", strerror(-err));
        if (!err)
                err = run_editor(file, fault);
        /* Editors may put another file in its place. */
        close(fd);
        fd = err ? -1 : open(file, O_RDONLY | O_CLOEXEC);
        if (!err && fd < 0)
                snprintf(fault, 256, "%s", strerror(errno));
        if (!err)
                err = fd < 0 ? -EINVAL
                             : read_back(fd, value.n && value.p[value.n - 1] == '\n', out, fault);
        if (fd >= 0)
                close(fd);
        unlink(file);
        return err ? -EINVAL : 0;
}
