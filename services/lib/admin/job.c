/*
 * job - ternctl as a child process: a replay or a redrive that goes on by itself, or a command whose output a request waits for.
 *
 * No shell stands between: the words of the command line go to the program as they are. The child is told to end when this
 * process dies (TERN_ENDS_WITH_PARENT), has a bound on its memory, and is the first that the kernel would take when memory
 * runs out, so that a gateway never dies of an operator's wish.
 */
#include "admin/internal.h"

#include "base/clock.h"
#include "base/jsonscan.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAID_MAX 2000
#define LINE_MAX_BYTES 4096
#define CHILD_DATA_MAX (UINT64_C(768) << 20)
#define STOP_PATIENCE_MS 8000 /* from SIGTERM to SIGKILL: a transaction may be under way */
#define END_PATIENCE_MS 3000

void job_order_add(struct job_order *o, const char *fmt, ...)
{
        struct buf text = BUF_EMPTY;
        va_list ap, again;
        CHECK(o->count + 1 < JOB_ARGS_MAX);
        va_start(ap, fmt);
        va_copy(again, ap);
        int n = vsnprintf(NULL, 0, fmt, again);
        va_end(again);
        CHECK(n >= 0);
        vsnprintf(buf_reserve(&text, (size_t)n + 1), (size_t)n + 1, fmt, ap);
        va_end(ap);
        buf_commit(&text, (size_t)n);
        o->args[o->count++] = buf_take(&text, NULL);
}

void job_order_done(struct job_order *o)
{
        for (size_t i = 0; i < o->count; i++)
                free(o->args[i]);
        free(o->what);
        *o = (struct job_order){.kind = NULL};
}

/* ---- the child ---- */

/* ternctl stands beside this program. */
static bool program(char *ret, size_t cap)
{
        ssize_t n = readlink("/proc/self/exe", ret, cap - 1);
        if (n <= 0)
                return false;
        ret[n] = '\0';
        char *slash = strrchr(ret, '/');
        return slash && snprintf(slash + 1, cap - (size_t)(slash + 1 - ret), "ternctl") <
                                (int)(cap - (size_t)(slash + 1 - ret));
}

/* This process's environment, the operator, and that it ends with its parent. The array and its last two texts are the caller's. */
static char **environment(const struct question *q, size_t *ret_own)
{
        size_t n = 0, kept = 0;
        while (environ[n])
                n++;
        char **env = xcalloc(n + 3, sizeof(*env));
        for (size_t i = 0; i < n; i++)
                if (strncmp(environ[i], "TERN_OPERATOR=", 14) != 0 &&
                        strncmp(environ[i], "TERN_ENDS_WITH_PARENT=", 22) != 0)
                        env[kept++] = environ[i];
        *ret_own = kept;
        struct buf text = BUF_EMPTY;
        buf_printf(&text, "TERN_OPERATOR=%s", q->operator);
        env[kept++] = buf_take(&text, NULL);
        env[kept] = xstrdup("TERN_ENDS_WITH_PARENT=1");
        return env;
}

static void environment_free(char **env, size_t own)
{
        free(env[own]);
        free(env[own + 1]);
        free(env);
}

/* Bounds that posix_spawn() has no word for. */
static void confine(pid_t pid)
{
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd >= 0) {
                if (write(fd, "1000", 4) < 0) /* then the kernel chooses by size */
                        errno = 0;
                close(fd);
        }
        (void)setpriority(PRIO_PROCESS, (id_t)pid, 10);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* their shadow is data, too */
        const struct rlimit data = {CHILD_DATA_MAX, CHILD_DATA_MAX};
        (void)prlimit(pid, RLIMIT_DATA, &data, NULL);
#endif
}

static int spawn(const struct question *q, int out, int err, pid_t *ret)
{
        char path[4096];
        char *argv[JOB_ARGS_MAX + 1] = {path};
        size_t own;
        posix_spawn_file_actions_t files;
        posix_spawnattr_t attr;
        sigset_t none, piped;
        if (!program(path, sizeof(path)))
                return ENOENT;
        for (size_t i = 0; i < q->order.count; i++)
                argv[i + 1] = q->order.args[i];
        sigemptyset(&none);
        sigemptyset(&piped);
        sigaddset(&piped, SIGPIPE);
        posix_spawn_file_actions_init(&files);
        posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO);
        posix_spawnattr_init(&attr);
        posix_spawnattr_setsigmask(&attr, &none);
        posix_spawnattr_setsigdefault(&attr, &piped);
        posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        char **env = environment(q, &own);
        int r = posix_spawn(ret, path, &files, &attr, argv, env);
        environment_free(env, own);
        posix_spawnattr_destroy(&attr);
        posix_spawn_file_actions_destroy(&files);
        return r;
}

/* ---- jobs ---- */

static void job_free(struct admin *a, struct job *j)
{
        UNUSED(a);
        CHECK(j->pid == 0 && !j->question);
        list_remove(&j->link);
        free(j->what);
        free(j->progress);
        buf_done(&j->out);
        buf_done(&j->line);
        buf_done(&j->said);
        free(j);
}

static void add_output(const struct job *j, struct buf *json)
{
        struct slice out = buf_slice(&j->out);
        while (out.n && out.p[out.n - 1] == '\n')
                out.n--;
        buf_add_str(json, ",\"result\":");
        if (!j->cut && out.n && json_check(out, 64, 0))
                buf_add_slice(json, out);
        else if (out.n && out.n < SAID_MAX && utf8_valid(out))
                buf_add_json_str(json, out);
        else
                buf_add_str(json, "null");
        buf_add_str(json, ",\"said\":");
        struct slice said = buf_slice(&j->said);
        while (said.n && said.p[said.n - 1] == '\n')
                said.n--;
        buf_add_json_str(json, utf8_valid(said) ? said : SLICE_LIT("(no text)"));
}

static void job_json(const struct job *j, struct buf *json)
{
        buf_printf(json, "{\"id\":\"%s\",\"kind\":\"%s\",\"operator\":", j->id, j->kind);
        buf_add_json_str(json, slice_str(j->operator));
        buf_printf(json, ",\"state\":\"%s\",\"startedAt\":%" PRId64 ",\"endedAt\":",
                j->pid && j->stopping ? "stopping"
                : j->pid              ? "running"
                : j->code == 0        ? "done"
                : j->code == 3        ? "partly"
                                      : "failed",
                j->started_ms);
        if (j->pid)
                buf_add_str(json, "null");
        else
                buf_add_i64(json, j->ended_ms);
        buf_printf(json, ",\"exitCode\":%d,\"what\":%s,\"progress\":%s", j->pid ? -1 : j->code,
                j->what ? j->what : "{}", j->progress ? j->progress : "null");
        add_output(j, json);
        buf_add_char(json, '}');
}

static unsigned running(const struct admin *a, bool listed)
{
        unsigned n = 0;
        list_for_each(it, &a->jobs)
        {
                const struct job *j = list_entry(it, struct job, link);
                n += j->pid && (j->question == NULL) == listed;
        }
        return n;
}

/* Ended jobs beyond those that are kept; the oldest go. */
static void forget(struct admin *a)
{
        unsigned n = 0;
        list_for_each(it, &a->jobs) n++;
        list_for_each_safe(it, &a->jobs)
        {
                struct job *j = list_entry(it, struct job, link);
                if (n <= JOBS_KEPT_MAX)
                        break;
                if (j->pid)
                        continue;
                job_free(a, j);
                n--;
        }
}

static bool make_pipe(int ret[2])
{
        return pipe2(ret, O_CLOEXEC) == 0 && fcntl(ret[0], F_SETFL, O_NONBLOCK) == 0;
}

static void close_fd(int *fd)
{
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

void job_start(struct admin *a, struct question *q)
{
        int out[2] = {-1, -1}, err[2] = {-1, -1}, ended = -1;
        pid_t pid = 0;
        bool listed = q->order.listed;
        if (running(a, listed) >= (listed ? JOBS_RUNNING_MAX : READS_RUNNING_MAX)) {
                question_refuse(q, 503, "busy",
                        listed ? "two jobs run already: wait for them, or stop one"
                               : "too many commands run already");
                return;
        }
        int r = make_pipe(out) && make_pipe(err) ? spawn(q, out[1], err[1], &pid) : errno;
        close_fd(&out[1]);
        close_fd(&err[1]);
        if (r == 0)
                ended = pidfd_open(pid, 0);
        if (r == 0 && ended < 0) {
                r = errno;
                kill(pid, SIGKILL);
                waitpid(pid, NULL, 0);
        }
        if (r != 0) {
                char text[128];
                close_fd(&out[0]);
                close_fd(&err[0]);
                snprintf(text, sizeof(text), "ternctl cannot be started: %s", strerror(r));
                question_refuse(q, 503, "unavailable", text);
                return;
        }
        confine(pid);
        struct job *j = xcalloc(1, sizeof(*j));
        int64_t now = clock_wall_ms();
        uuid_v7(now, j->id);
        snprintf(j->kind, sizeof(j->kind), "%s", q->order.kind);
        snprintf(j->operator, sizeof(j->operator), "%s", q->operator);
        j->what = q->order.what;
        q->order.what = NULL;
        j->started_ms = now;
        j->pid = pid;
        j->ended_fd = ended;
        j->out_fd = out[0];
        j->err_fd = err[0];
        list_push_back(&a->jobs, &j->link);
        if (listed) {
                struct buf json = BUF_EMPTY;
                job_json(j, &json);
                question_answer(q, 202, buf_slice(&json));
                buf_done(&json);
                forget(a);
        } else {
                j->question = q;
                j->until_ms = clock_mono_ms() + READ_MS;
        }
}

void jobs_list(struct admin *a, struct question *q)
{
        struct buf json = BUF_EMPTY;
        buf_add_str(&json, "{\"jobs\":[");
        bool first = true;
        for (struct list *it = a->jobs.prev; it != &a->jobs; it = it->prev) {
                const struct job *j = list_entry(it, struct job, link);
                if (j->question)
                        continue;
                if (!first)
                        buf_add_char(&json, ',');
                first = false;
                job_json(j, &json);
        }
        buf_add_str(&json, "]}");
        question_answer(q, 200, buf_slice(&json));
        buf_done(&json);
}

static void tell_to_stop(struct job *j, int64_t now_ms)
{
        kill(j->pid, j->stopping ? SIGKILL : SIGTERM);
        j->stopping = true;
        j->until_ms = now_ms + STOP_PATIENCE_MS;
}

void job_stop(struct admin *a, struct question *q)
{
        list_for_each(it, &a->jobs)
        {
                struct job *j = list_entry(it, struct job, link);
                if (j->question || strcmp(j->id, q->job) != 0)
                        continue;
                if (j->pid && !j->stopping)
                        tell_to_stop(j, clock_mono_ms());
                struct buf json = BUF_EMPTY;
                job_json(j, &json);
                question_answer(q, 202, buf_slice(&json));
                buf_done(&json);
                return;
        }
        question_refuse(q, 404, "not_found", "this gateway has no such job");
}

/* ---- what it says ---- */

size_t jobs_poll(struct admin *a, struct pollfd *fds, size_t cap)
{
        size_t n = 0;
        list_for_each(it, &a->jobs)
        {
                const struct job *j = list_entry(it, struct job, link);
                if (!j->pid)
                        continue;
                const int all[JOB_FDS] = {j->ended_fd, j->out_fd, j->err_fd};
                CHECK(n + JOB_FDS <= cap);
                for (size_t i = 0; i < JOB_FDS; i++)
                        if (all[i] >= 0)
                                fds[n++] = (struct pollfd){.fd = all[i], .events = POLLIN};
        }
        return n;
}

/* A line of progress replaces the one before; of all else the end is kept. */
static void take_line(struct job *j, struct slice line)
{
        if (slice_starts(line, "{\"progress\":") && json_check(line, 4, 0)) {
                free(j->progress);
                j->progress = slice_dup(line);
                return;
        }
        buf_add_slice(&j->said, line);
        buf_add_char(&j->said, '\n');
        if (j->said.n > SAID_MAX)
                buf_drop(&j->said, j->said.n - SAID_MAX);
}

static void take_errors(struct job *j, struct slice s)
{
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] != '\n' && j->line.n < LINE_MAX_BYTES) {
                        buf_add_char(&j->line, s.p[i]);
                } else if (s.p[i] == '\n') {
                        take_line(j, buf_slice(&j->line));
                        buf_reset(&j->line);
                }
        }
}

static void take_output(struct job *j, struct slice s)
{
        size_t room = JOB_OUT_MAX - j->out.n;
        j->cut = j->cut || s.n > room;
        buf_add_slice(&j->out, slice_of(s.p, s.n < room ? s.n : room));
}

/* All that is there now; closes it at its end. */
static void read_all(struct job *j, int *fd, void (*take)(struct job *j, struct slice s))
{
        char bytes[16384];
        while (*fd >= 0) {
                ssize_t n = read(*fd, bytes, sizeof(bytes));
                if (n > 0)
                        take(j, slice_of(bytes, (size_t)n));
                else if (n == 0 || (errno != EAGAIN && errno != EINTR))
                        close_fd(fd);
                else if (errno == EAGAIN)
                        return;
        }
}

/* Whoever waited for it is told; else it is kept for the list. */
static void job_ended(struct admin *a, struct job *j, int status)
{
        j->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        j->pid = 0;
        j->ended_ms = clock_wall_ms();
        read_all(j, &j->out_fd, take_output);
        read_all(j, &j->err_fd, take_errors);
        if (j->line.n)
                take_line(j, buf_slice(&j->line));
        buf_reset(&j->line);
        close_fd(&j->out_fd);
        close_fd(&j->err_fd);
        close_fd(&j->ended_fd);
        if (!j->question)
                return;
        struct buf json = BUF_EMPTY;
        job_json(j, &json);
        question_answer(j->question, 200, buf_slice(&json));
        j->question = NULL;
        buf_done(&json);
        job_free(a, j);
}

void jobs_run(struct admin *a, int64_t now_ms)
{
        list_for_each_safe(it, &a->jobs)
        {
                struct job *j = list_entry(it, struct job, link);
                int status;
                if (!j->pid)
                        continue;
                read_all(j, &j->out_fd, take_output);
                read_all(j, &j->err_fd, take_errors);
                if (waitpid(j->pid, &status, WNOHANG) == j->pid)
                        job_ended(a, j, status);
                else if (j->until_ms && now_ms >= j->until_ms)
                        tell_to_stop(j, now_ms);
        }
}

void jobs_end(struct admin *a)
{
        int64_t until = clock_mono_ms() + END_PATIENCE_MS;
        const struct timespec nap = {0, 10000000};
        list_for_each(it, &a->jobs)
        {
                struct job *j = list_entry(it, struct job, link);
                if (j->pid)
                        tell_to_stop(j, clock_mono_ms());
        }
        while (running(a, true) + running(a, false) > 0) {
                bool late = clock_mono_ms() >= until;
                list_for_each(it, &a->jobs)
                {
                        struct job *j = list_entry(it, struct job, link);
                        if (j->pid && late)
                                kill(j->pid, SIGKILL);
                }
                jobs_run(a, 0);
                nanosleep(&nap, NULL);
        }
        while (!list_empty(&a->jobs))
                job_free(a, list_entry(list_first(&a->jobs), struct job, link));
}
