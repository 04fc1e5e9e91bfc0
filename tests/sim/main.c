/*
 * tern-sim - runs simulated worlds by their seeds.
 *
 * usage: tern-sim [--world NAME] [--seeds FIRST-LAST] [--seed N] [--trace] [--jobs N] [--mutation NAME|all]
 *
 * --world     feed, writer or chat; without it each seed has a world of its kind
 * --seed N    one run; --trace prints all that happens in it
 * --seeds     many of them, in several processes; the first seeds that break a rule are run again by themselves, and print
 *             what led to it
 * --mutation  tern-sim-mutants only: with this deliberate bug (or each in turn), until a seed finds it; one that no seed finds is a
 *             failure
 * The last line is `N passed, N failed`.
 */
#include "world.h"

#include "base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS_MAX 16
#define RUNS_OF_PROCESS 50
#define SHOWN_MAX 3
#define RUN_SECONDS 60
#define MUTANT_SECONDS 5

struct options {
        uint64_t first, last;
        unsigned jobs;
        bool trace;
        const char *mutation; /* NULL: none */
};

static const struct {
        const char *name;
        void (*run)(uint64_t seed);
} worlds[] = {{"feed", feed_world_run}, {"writer", writer_world_run}, {"chat", chat_world_run}};

/* NULL: the seed's. */
static const char *only_world;

/* Number of the deliberate bug that is on, from 1; read by the mutated sources. */
unsigned mutation_active;
static const struct {
        const char *name, *file;
} mutations[] = {
#define MUTATION(name, file, ...) {#name, file},
#ifdef SIM_MUTANTS
#include "mutations.def"
#endif
        {NULL, NULL}};

static void run_world(uint64_t seed)
{
        for (size_t i = 0; only_world && i < ARRAY_LEN(worlds); i++)
                if (strcmp(worlds[i].name, only_world) == 0)
                        worlds[i].run(seed);
        if (!only_world)
                worlds[seed % 2].run(seed); /* chat is run when it is asked for: some of its seeds fail */
}

static void run_one(uint64_t seed, bool loud)
{
        alarm(mutation_active ? MUTANT_SECONDS
                              : RUN_SECONDS); /* a run that never ends is a failure as well */
        trace_begin(loud);
        run_world(seed);
        alarm(0);
}

/* Seeds that one process has done, seen by its parent. */
struct progress {
        uint64_t next, stride, last;
        bool running;
};

static void work(struct progress *p)
{
        for (unsigned n = 0; p->next <= p->last && n < RUNS_OF_PROCESS; n++) {
                p->running = true;
                run_one(p->next, false);
                p->running = false;
                p->next += p->stride;
        }
        fflush(stdout);
        exit(0);
}

static pid_t start_worker(struct progress *p)
{
        fflush(stdout);
        pid_t pid = fork();
        if (pid != 0)
                return pid;
        if (!freopen("/dev/null", "w", stdout))
                _exit(1);
        work(p);
        return 0;
}

/* Says what led to it. True if it broke a rule this time, too. */
static bool run_again(uint64_t seed)
{
        printf("seed %llu\n", (unsigned long long)seed);
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
                run_one(seed, false);
                exit(0);
        }
        int status = 0;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                continue;
        if (WIFSIGNALED(status))
                printf("broken: signal %d\n", WTERMSIG(status));
        printf("  again: tern-sim --seed %llu --trace\n", (unsigned long long)seed);
        return status != 0;
}

struct tally {
        uint64_t failed;
        uint64_t seeds[64];
};

static void note_failure(struct tally *t, uint64_t seed)
{
        if (t->failed < ARRAY_LEN(t->seeds))
                t->seeds[t->failed] = seed;
        t->failed++;
}

/* stop: at the first failure. */
static void run_many(const struct options *o, struct tally *t, bool stop)
{
        struct progress *all = mmap(NULL, sizeof(*all) * JOBS_MAX, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(all != MAP_FAILED);
        pid_t pids[JOBS_MAX];
        unsigned running = 0;
        for (unsigned i = 0; i < o->jobs; i++) {
                all[i] = (struct progress){o->first + i, o->jobs, o->last, false};
                pids[i] = start_worker(&all[i]);
                running++;
        }
        while (running > 0) {
                int status = 0;
                pid_t pid = waitpid(-1, &status, 0);
                for (unsigned i = 0; i < o->jobs; i++) {
                        if (pids[i] != pid)
                                continue;
                        if (status != 0) {
                                note_failure(t, all[i].next);
                                all[i].next += o->jobs;
                        }
                        running--;
                        pids[i] = -1;
                        if (all[i].next <= o->last && !(stop && t->failed > 0)) {
                                pids[i] = start_worker(&all[i]);
                                running++;
                        }
                }
        }
        munmap(all, sizeof(*all) * JOBS_MAX);
}

/* Where a bug of that file shows itself. */
static const char *world_of(const char *file)
{
        return strstr(file, "services/writer/") ? "writer" : strstr(file, "services/messaging/") ? "chat" : "feed";
}

/* Each mutation must be found by some seed. */
static int run_mutations(const struct options *o)
{
        unsigned found = 0, missed = 0;
        bool forced = only_world != NULL;
        for (unsigned i = 0; mutations[i].name; i++) {
                struct tally t = {0};
                if (strcmp(o->mutation, "all") != 0 && strcmp(o->mutation, mutations[i].name) != 0)
                        continue;
                mutation_active = i + 1;
                if (!forced)
                        only_world = world_of(mutations[i].file);
                run_many(o, &t, true);
                if (t.failed > 0)
                        printf("ok   %s is caught by seed %llu\n", mutations[i].name,
                                (unsigned long long)t.seeds[0]);
                else
                        printf("FAIL %s is not caught\n", mutations[i].name);
                fflush(stdout);
                found += t.failed > 0;
                missed += t.failed == 0;
        }
        printf("%u passed, %u failed\n", found, missed);
        return found == 0 || missed > 0;
}

static int usage(void)
{
        fprintf(stderr, "usage: tern-sim [--world NAME] [--seeds FIRST-LAST] [--seed N] [--trace]\n"
                        "                [--jobs N] [--mutation NAME|all]\n");
        return 2;
}

static bool is_world(const char *name)
{
        for (size_t i = 0; i < ARRAY_LEN(worlds); i++)
                if (strcmp(worlds[i].name, name) == 0)
                        return true;
        return false;
}

static bool parse(int argc, char **argv, struct options *o)
{
        for (int i = 1; i < argc; i++) {
                const char *value = i + 1 < argc ? argv[i + 1] : "";
                char *end;
                if (strcmp(argv[i], "--trace") == 0) {
                        o->trace = true;
                        continue;
                }
                if (strcmp(argv[i], "--world") == 0 && is_world(value)) {
                        only_world = value;
                        i++;
                        continue;
                }
                if (strcmp(argv[i], "--mutation") == 0 && *value) {
                        o->mutation = value;
                        i++;
                        continue;
                }
                uint64_t n = strtoull(value, &end, 10);
                if (end == value)
                        return false;
                if (strcmp(argv[i], "--seed") == 0)
                        o->first = o->last = n;
                else if (strcmp(argv[i], "--jobs") == 0)
                        o->jobs = (unsigned)(n < 1 ? 1 : n > JOBS_MAX ? JOBS_MAX : n);
                else if (strcmp(argv[i], "--seeds") == 0 && *end == '-') {
                        o->first = n;
                        o->last = strtoull(end + 1, NULL, 10);
                } else
                        return false;
                i++;
        }
        return o->first <= o->last;
}

int main(int argc, char **argv)
{
        struct options o = {.first = 1, .last = 1000, .jobs = 2};
        struct tally t = {0};
        if (!parse(argc, argv, &o))
                return usage();
        machine_begin(0);
        (void)hash_key(SLICE_LIT("")); /* its secret is drawn now, the same for all */
        if (o.mutation && o.first < o.last)
                return run_mutations(&o);
        for (unsigned i = 0; o.mutation && mutations[i].name; i++)
                if (strcmp(mutations[i].name, o.mutation) == 0)
                        mutation_active = i + 1;
        for (unsigned i = 0; mutation_active && !only_world && mutations[i].name; i++)
                if (i + 1 == mutation_active)
                        only_world = world_of(mutations[i].file);
        if (o.first == o.last) {
                run_one(o.first, o.trace);
                counts_print();
        } else {
                run_many(&o, &t, false);
        }
        for (uint64_t i = 0; i < t.failed && i < SHOWN_MAX; i++)
                run_again(t.seeds[i]);
        if (t.failed > 0) {
                printf("failed seeds:");
                for (uint64_t i = 0; i < t.failed && i < ARRAY_LEN(t.seeds); i++)
                        printf(" %llu", (unsigned long long)t.seeds[i]);
                printf("\n");
        }
        printf("%llu passed, %llu failed\n", (unsigned long long)(o.last - o.first + 1 - t.failed),
                (unsigned long long)t.failed);
        return t.failed ? 1 : 0;
}
