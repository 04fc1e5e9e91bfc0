#include "base/process.h"

#include "base/metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define TICKS_FIELD 22 /* of /proc/self/stat: when the process began, in ticks since the boot */

/* The first bytes of a small file, NUL-terminated; false if there is none. */
static bool read_file(const char *path, char *to, size_t size)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, to, size - 1);
        if (fd >= 0)
                close(fd);
        to[n > 0 ? n : 0] = '\0';
        return n > 0;
}

static void memory(struct metrics *m, int64_t page)
{
        char text[128];
        unsigned long long all, resident;
        if (!read_file("/proc/self/statm", text, sizeof(text)) ||
                sscanf(text, "%llu %llu", &all, &resident) != 2)
                return;
        metrics_set(m, M_process_vsize, 0, (int64_t)all * page);
        metrics_set(m, M_process_rss, 0, (int64_t)resident * page);
        metrics_set(m, M_memory_used, MEMORY_PROCESS, (int64_t)resident * page);
}

/* A container sees its own control group as the root, in the second version or the first. */
static void memory_limit(struct metrics *m, int64_t page)
{
        static const char *const paths[] = {
                "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
        int64_t limit = (int64_t)sysconf(_SC_PHYS_PAGES) * page;
        char text[64];
        for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
                if (!read_file(paths[i], text, sizeof(text)))
                        continue;
                int64_t own = strtoll(text, NULL, 10); /* "max" is 0 */
                if (own > 0 && own < limit)
                        limit = own;
        }
        metrics_set(m, M_memory_limit, MEMORY_PROCESS, limit);
}

static void cpu(struct metrics *m)
{
        struct timespec t;
        if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0)
                metrics_set(m, M_process_cpu, 0, (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000);
}

static void descriptors(struct metrics *m)
{
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
                metrics_set(m, M_process_fds_max, 0, (int64_t)limit.rlim_cur);
        DIR *dir = opendir("/proc/self/fd");
        if (!dir)
                return;
        int64_t n = -1; /* the folder's own */
        for (const struct dirent *e; (e = readdir(dir));)
                n += e->d_name[0] != '.';
        closedir(dir);
        metrics_set(m, M_process_fds, 0, n);
}

static void start(struct metrics *m)
{
        char text[1024], boot[64];
        if (!read_file("/proc/self/stat", text, sizeof(text)) ||
                !read_file("/proc/uptime", boot, sizeof(boot)))
                return;
        /* Names of programs may hold blanks and brackets. */
        char *at = strrchr(text, ')');
        for (int field = 2; at && field < TICKS_FIELD; field++)
                at = strchr(at + 1, ' ');
        long ticks = sysconf(_SC_CLK_TCK);
        struct timespec now;
        if (!at || ticks <= 0 || clock_gettime(CLOCK_REALTIME, &now) != 0)
                return;
        double age = strtod(boot, NULL) - (double)strtoull(at + 1, NULL, 10) / (double)ticks;
        metrics_set(m, M_process_start, 0,
                (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - (int64_t)(age * 1000));
}

void process_metrics(struct metrics *m)
{
        int64_t page = sysconf(_SC_PAGESIZE);
        memory(m, page);
        memory_limit(m, page);
        cpu(m);
        descriptors(m);
        /* Once: the clock may be set, the start stays. */
        if (metrics_get(m, M_process_start, 0) == 0)
                start(m);
}
