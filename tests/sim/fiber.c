#include "fiber.h"

#include "base/hash.h"
#include "base/list.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/types.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK_BYTES (256u * 1024)
#define FIBERS_MAX 512
#define WALL_START_MS INT64_C(1700000000000)
#define NS_PER_MS 1000000
#define EVENTS_MAX 4096
#define EVENT_FD_FIRST 1000000 /* no descriptor has such a number: close() does nothing to it */

enum fiber_state { FIBER_READY, FIBER_WAITING, FIBER_OVER };

struct fiber {
        ucontext_t context;
        struct process *process; /* borrowed; NULL: the world's */
        const char *name;
        enum fiber_state state;
        const void *what;
        int64_t until_ms;
        bool woken;
        void (*fn)(void *arg);
        void *(*thread)(void *arg);
        void *arg;
        char *stack; /* owned */
};

static struct {
        uint64_t random;
        int64_t now_ms;
        uint64_t turns;
        uint64_t asked; /* for randomness */
        struct fiber *fibers[FIBERS_MAX];
        size_t count;
        struct fiber *current;
        ucontext_t scheduler;
        eventfd_t events[EVENTS_MAX];
        int event_count;
        char *spare[FIBERS_MAX];
        size_t spare_count;
} machine;

/* ---- chance ---- */

uint64_t draw(void)
{
        uint64_t z = machine.random += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
}

uint32_t draw_below(uint32_t n)
{
        CHECK(n > 0);
        return (uint32_t)((draw() >> 32) * n >> 32);
}

bool chance(double percent)
{
        return (double)draw_below(1000000) < percent * 10000;
}

int64_t draw_between(int64_t low, int64_t high)
{
        return low + (int64_t)draw_below((uint32_t)(high - low + 1));
}

/* ---- life ---- */

void machine_begin(uint64_t seed)
{
        CHECK(machine.count == 0 && !machine.current);
        machine.random = seed * 0x9e3779b97f4a7c15u + 0x1234567;
        machine.now_ms = 1000;
        machine.turns = 0;
        machine.event_count = 0;
        /* What the last world has left in the pool of random bytes is used up. */
        uint8_t unused[128];
        for (uint64_t before = machine.asked; machine.asked == before;)
                random_bytes(unused, sizeof(unused));
}

static void retire(struct fiber *fb)
{
        machine.spare[machine.spare_count++] = fb->stack;
        free(fb);
}

static void sweep(void)
{
        size_t kept = 0;
        for (size_t i = 0; i < machine.count; i++) {
                struct fiber *fb = machine.fibers[i];
                if (fb->state == FIBER_OVER && fb != machine.current)
                        retire(fb);
                else
                        machine.fibers[kept++] = fb;
        }
        machine.count = kept;
}

void machine_end(void)
{
        CHECK(!machine.current);
        for (size_t i = 0; i < machine.count; i++)
                machine.fibers[i]->state = FIBER_OVER;
        sweep();
}

int64_t machine_now_ms(void)
{
        return machine.now_ms;
}

int64_t machine_wall_ms(void)
{
        return WALL_START_MS + machine.now_ms;
}

uint64_t machine_turns(void)
{
        return machine.turns;
}

/* ---- fibers ---- */

static void fiber_main(void)
{
        struct fiber *fb = machine.current;
        if (fb->thread)
                fb->thread(fb->arg);
        else
                fb->fn(fb->arg);
        fb->state = FIBER_OVER;
        fiber_wake(fb);
        swapcontext(&fb->context, &machine.scheduler);
        abort();
}

static struct fiber *start(struct process *p, const char *name)
{
        if (machine.count == FIBERS_MAX)
                sweep();
        CHECK(machine.count < FIBERS_MAX);
        struct fiber *fb = xcalloc(1, sizeof(*fb));
        fb->process = p;
        fb->name = name;
        fb->stack = machine.spare_count > 0 ? machine.spare[--machine.spare_count]
                                            : xmalloc(STACK_BYTES);
        getcontext(&fb->context);
        fb->context.uc_stack.ss_sp = fb->stack;
        fb->context.uc_stack.ss_size = STACK_BYTES;
        fb->context.uc_link = NULL;
        makecontext(&fb->context, fiber_main, 0);
        machine.fibers[machine.count++] = fb;
        return fb;
}

struct fiber *fiber_start(struct process *p, const char *name, void (*fn)(void *arg), void *arg)
{
        struct fiber *fb = start(p, name);
        fb->fn = fn;
        fb->arg = arg;
        return fb;
}

static void switch_away(struct fiber *fb)
{
        swapcontext(&fb->context, &machine.scheduler);
}

void fiber_yield(void)
{
        CHECK(machine.current);
        switch_away(machine.current);
}

bool fiber_wait(const void *what, int64_t until_ms)
{
        struct fiber *fb = machine.current;
        CHECK(fb);
        fb->what = what;
        fb->until_ms = until_ms;
        fb->woken = false;
        fb->state = FIBER_WAITING;
        switch_away(fb);
        fb->what = NULL;
        return fb->woken;
}

void fiber_wake(const void *what)
{
        for (size_t i = 0; i < machine.count; i++) {
                struct fiber *fb = machine.fibers[i];
                if (fb->state == FIBER_WAITING && fb->what == what) {
                        fb->state = FIBER_READY;
                        fb->woken = true;
                }
        }
}

struct process *process_here(void)
{
        return machine.current ? machine.current->process : NULL;
}

void process_kill(struct process *p)
{
        p->dead = true;
        for (size_t i = 0; i < machine.count; i++)
                if (machine.fibers[i]->process == p)
                        machine.fibers[i]->state = FIBER_OVER;
        if (machine.current && machine.current->process == p)
                switch_away(machine.current);
}

/* When the fiber may go on: now or earlier if it is ready. */
static int64_t due_of(const struct fiber *fb)
{
        int64_t due = fb->state == FIBER_READY ? machine.now_ms : fb->until_ms;
        const struct process *p = fb->process;
        return p && p->paused_until_ms > due ? p->paused_until_ms : due;
}

/* One of those that may go on now; if there is none, time passes. NULL: nobody ever will. */
static struct fiber *pick(int64_t until_ms)
{
        size_t ready = 0;
        struct fiber *chosen = NULL;
        int64_t next = NEVER;
        for (size_t i = 0; i < machine.count; i++) {
                struct fiber *fb = machine.fibers[i];
                if (fb->state == FIBER_OVER)
                        continue;
                int64_t due = due_of(fb);
                if (due > machine.now_ms) {
                        next = due < next ? due : next;
                        continue;
                }
                ready++;
                if (draw_below((uint32_t)ready) == 0)
                        chosen = fb;
        }
        if (chosen)
                return chosen;
        if (next == NEVER)
                return NULL;
        machine.now_ms = next < until_ms ? next : until_ms;
        return next <= until_ms ? pick(until_ms) : NULL;
}

bool machine_run(bool (*done)(void *arg), void *arg, int64_t until_ms)
{
        CHECK(!machine.current);
        while (!done(arg)) {
                struct fiber *fb = pick(until_ms);
                if (!fb)
                        return machine.now_ms >= until_ms;
                fb->state = FIBER_READY;
                machine.turns++;
                machine.current = fb;
                swapcontext(&machine.scheduler, &fb->context);
                machine.current = NULL;
                if (fb->state == FIBER_OVER)
                        sweep();
        }
        return true;
}

/* ---- what the services ask of the operating system (see --wrap in sim.cmake) ---- */

int __wrap_pthread_create(
        pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(
        pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
        UNUSED(attr);
        struct fiber *fb = start(process_here(), "thread");
        fb->thread = fn;
        fb->arg = arg;
        *ret = (pthread_t)(uintptr_t)fb;
        return 0;
}

int __wrap_pthread_join(pthread_t thread, void **ret);
int __wrap_pthread_join(pthread_t thread, void **ret)
{
        UNUSED(ret);
        const struct fiber *fb = (const struct fiber *)(uintptr_t)thread;
        for (;;) {
                bool runs = false;
                for (size_t i = 0; i < machine.count; i++)
                        runs = runs ||
                               (machine.fibers[i] == fb && machine.fibers[i]->state != FIBER_OVER);
                if (!runs)
                        return 0;
                fiber_wait(fb, NEVER);
        }
}

int __wrap_pthread_setname_np(pthread_t thread, const char *name);
int __wrap_pthread_setname_np(pthread_t thread, const char *name)
{
        UNUSED(thread);
        if (machine.current)
                machine.current->name = name;
        return 0;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock)
{
        pthread_mutex_unlock(lock);
        fiber_wait(cond, NEVER);
        pthread_mutex_lock(lock);
        return 0;
}

int __wrap_pthread_cond_timedwait(
        pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until);
int __wrap_pthread_cond_timedwait(
        pthread_cond_t *cond, pthread_mutex_t *lock, const struct timespec *until)
{
        int64_t ms = (int64_t)until->tv_sec * 1000 + (until->tv_nsec + NS_PER_MS - 1) / NS_PER_MS;
        pthread_mutex_unlock(lock);
        bool woken = fiber_wait(cond, ms);
        pthread_mutex_lock(lock);
        return woken ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
        fiber_wake(cond);
        return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
        fiber_wake(cond);
        return 0;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *ret);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret)
{
        const struct process *p = process_here();
        int64_t ms = id == CLOCK_REALTIME ? machine_wall_ms() + (p ? p->wall_skew_ms : 0)
                                          : machine.now_ms;
        *ret = (struct timespec){ms / 1000, ms % 1000 * NS_PER_MS};
        return 0;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left)
{
        UNUSED(left);
        int64_t ms = (int64_t)time->tv_sec * 1000 + time->tv_nsec / NS_PER_MS;
        fiber_wait(NULL, machine.now_ms + (ms > 0 ? ms : 1));
        return 0;
}

int __wrap_usleep(useconds_t us);
int __wrap_usleep(useconds_t us)
{
        fiber_wait(NULL, machine.now_ms + us / 1000 + 1);
        return 0;
}

static eventfd_t *event_of(int fd)
{
        int i = fd - EVENT_FD_FIRST;
        return i >= 0 && i < machine.event_count ? &machine.events[i] : NULL;
}

bool event_readable(int fd)
{
        const eventfd_t *e = event_of(fd);
        return e && *e > 0;
}

int __wrap_eventfd(unsigned initial, int flags);
int __wrap_eventfd(unsigned initial, int flags)
{
        UNUSED(flags);
        CHECK(machine.event_count < EVENTS_MAX);
        machine.events[machine.event_count] = initial;
        return EVENT_FD_FIRST + machine.event_count++;
}

int __wrap_eventfd_write(int fd, eventfd_t v);
int __wrap_eventfd_write(int fd, eventfd_t v)
{
        eventfd_t *e = event_of(fd);
        CHECK(e);
        *e += v;
        fiber_wake(e);
        return 0;
}

int __wrap_eventfd_read(int fd, eventfd_t *ret);
int __wrap_eventfd_read(int fd, eventfd_t *ret)
{
        eventfd_t *e = event_of(fd);
        CHECK(e);
        *ret = *e;
        *e = 0;
        return *ret > 0 ? 0 : -1;
}

ssize_t __wrap_getrandom(void *p, size_t n, unsigned flags);
ssize_t __wrap_getrandom(void *p, size_t n, unsigned flags)
{
        UNUSED(flags);
        unsigned char *to = p;
        machine.asked++;
        for (size_t i = 0; i < n; i++)
                to[i] = (unsigned char)(draw() >> 24);
        return (ssize_t)n;
}

int __wrap_kill(pid_t pid, int signal);
int __wrap_kill(pid_t pid, int signal)
{
        UNUSED(pid);
        UNUSED(signal);
        struct process *p = process_here();
        if (p)
                p->signals++;
        return 0;
}
