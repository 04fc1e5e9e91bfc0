#include "world.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LINES_MAX 4096
#define LINES_SHOWN 50
#define COUNTS_MAX 96

struct line {
        char about[12];
        char text[400];
};

static struct {
        bool loud;
        struct line lines[LINES_MAX];
        uint64_t next;
        struct {
                const char *what;
                uint64_t n;
        } counts[COUNTS_MAX];
        size_t count_count;
} tr;

void trace_begin(bool loud)
{
        tr.loud = loud;
        tr.next = 0;
}

struct log *trace_log(const char *service)
{
        return tr.loud ? log_new(service, NULL, LOG_LEVEL_DEBUG, STDOUT_FILENO) : NULL;
}

static void write_line(const char *about, const char *format, va_list args)
{
        struct line *l = &tr.lines[tr.next++ % LINES_MAX];
        const struct process *p = process_here();
        snprintf(l->about, sizeof(l->about), "%s", about ? about : "");
        int n = snprintf(l->text, sizeof(l->text), "%7lld ms %-5s %-5s ",
                (long long)machine_now_ms(), p ? p->name : "", about ? about : "");
        vsnprintf(l->text + n, sizeof(l->text) - (size_t)n, format, args);
        if (tr.loud) {
                printf("%s\n", l->text);
                fflush(stdout); /* what the services log stands between */
        }
}

void trace(const char *about, const char *format, ...)
{
        va_list args;
        va_start(args, format);
        write_line(about, format, args);
        va_end(args);
}

/* The last lines that are about it or about the world. */
static void print_lines(const char *about)
{
        uint64_t from = tr.next > LINES_MAX ? tr.next - LINES_MAX : 0, chosen[LINES_SHOWN];
        size_t n = 0;
        for (uint64_t i = tr.next; i > from && n < LINES_SHOWN; i--) {
                const struct line *l = &tr.lines[(i - 1) % LINES_MAX];
                if (!l->about[0] || !about || strcmp(l->about, about) == 0)
                        chosen[n++] = i - 1;
        }
        while (n > 0)
                printf("  %s\n", tr.lines[chosen[--n] % LINES_MAX].text);
}

NORETURN void fail(const char *about, const char *format, ...)
{
        va_list args;
        va_start(args, format);
        write_line(about, format, args);
        va_end(args);
        if (!tr.loud)
                print_lines(about);
        printf("broken: %s\n", tr.lines[(tr.next - 1) % LINES_MAX].text);
        fflush(stdout);
        _exit(3);
}

void count(const char *what)
{
        for (size_t i = 0; i < tr.count_count; i++)
                if (tr.counts[i].what == what) {
                        tr.counts[i].n++;
                        return;
                }
        CHECK(tr.count_count < COUNTS_MAX);
        tr.counts[tr.count_count].what = what;
        tr.counts[tr.count_count++].n = 1;
}

void counts_print(void)
{
        for (size_t i = 0; i < tr.count_count; i++)
                printf("count %s %llu\n", tr.counts[i].what, (unsigned long long)tr.counts[i].n);
}
