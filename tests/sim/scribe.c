#include "scribe.h"

#include "world.h"

#include "writer/intake.h"

#include <stdio.h>

static void scribe_main(void *arg)
{
        struct scribe *s = arg;
        char fault[256];
        const struct intake_options o = {
                .dsn = "simulated",
                .group = "tern-writer",
                .timeout_ms = 1000,
                .session_timeout_ms = 1500,
                .batch_max = s->batch_max,
                .batch_bytes_max = 1 << 20,
                .linger_ms = 20,
                .commit_timeout_ms = 2000,
                .retry_max_ms = 1000,
                .resume_window_days = 30,
                .stop_ms = 2000,
                .bus = s->bus,
                .log = trace_log(s->name),
                .lifecycle = &s->lifecycle,
        };
        int err = intake_new(&o, &s->intake, fault);
        CHECK(err == 0);
        while (!s->stop)
                fiber_wait(s, machine_now_ms() + 500);
        s->intake = intake_free(s->intake);
        process_kill(&s->process);
}

struct scribe *scribe_start(struct kafka *k, unsigned index, unsigned batch_max)
{
        struct scribe *s = xcalloc(1, sizeof(*s));
        s->batch_max = batch_max;
        snprintf(s->name, sizeof(s->name), "w%u", index);
        s->process = (struct process){.name = s->name};
        s->bus = kafka_bus(k, &s->process);
        fiber_start(&s->process, "main", scribe_main, s);
        trace(NULL, "%s starts", s->name);
        return s;
}

void scribe_stop(struct scribe *s)
{
        trace(NULL, "%s is told to stop", s->name);
        s->stop = true;
        fiber_wake(s);
}
