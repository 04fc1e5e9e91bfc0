#include "ctl/progress.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define BAR_WIDTH 30
#define BAR_EVERY_MS 200
#define LINE_EVERY_MS 5000
#define JSON_EVERY_MS 500

void progress_start(
        struct progress *p, const char *verb, uint64_t total, uint64_t already, bool as_json)
{
        int64_t now = clock_mono_ms();
        *p = (struct progress){.verb = verb,
                .total = total,
                .at_start = already,
                .started_ms = now,
                .shown_ms = now,
                .as_json = as_json,
                .bar = !as_json && isatty(STDERR_FILENO) == 1};
}

static void draw(struct progress *p, uint64_t read, uint64_t done, uint64_t rate, uint64_t left_s)
{
        unsigned part = p->total ? (unsigned)(read * BAR_WIDTH / p->total) : 0;
        fputs("\r[", stderr);
        for (unsigned i = 0; i < BAR_WIDTH; i++)
                fputc(i < part ? '#' : '.', stderr);
        fprintf(stderr,
                "] %3u%%  %" PRIu64 " %s  %" PRIu64 "/s  %02" PRIu64 ":%02" PRIu64 " left\033[K",
                p->total ? (unsigned)(read * 100 / p->total) : 0, done, p->verb, rate, left_s / 60,
                left_s % 60);
        fflush(stderr);
        p->drawn = true;
}

void progress_show(struct progress *p, uint64_t read, uint64_t done)
{
        int64_t now = clock_mono_ms();
        int64_t every = p->bar ? BAR_EVERY_MS : p->as_json ? JSON_EVERY_MS : LINE_EVERY_MS;
        if (now - p->shown_ms < every)
                return;
        p->shown_ms = now;
        uint64_t took = (uint64_t)(now - p->started_ms);
        uint64_t rate = took ? (read - p->at_start) * 1000 / took : 0;
        uint64_t left = rate && p->total > read ? (p->total - read) / rate : 0;
        if (p->bar)
                draw(p, read, done, rate, left);
        else if (p->as_json)
                fprintf(stderr,
                        "{\"progress\":\"%s\",\"read\":%" PRIu64 ",\"of\":%" PRIu64
                        ",\"done\":%" PRIu64 ",\"perSecond\":%" PRIu64 ",\"secondsLeft\":%" PRIu64 "}\n",
                        p->verb, read, p->total, done, rate, left);
        else
                fprintf(stderr,
                        "read %" PRIu64 " of %" PRIu64 ", %s %" PRIu64 ", %" PRIu64
                        " a second, %" PRIu64 " s left\n",
                        read, p->total, p->verb, done, rate, left);
}

void progress_end(struct progress *p)
{
        if (p->drawn)
                fputs("\r\033[K", stderr);
        p->drawn = false;
}
