#include "base/lifecycle.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

void lifecycle_init(struct lifecycle *lc)
{
        memset(lc, 0, sizeof(*lc));
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        int r = pthread_sigmask(SIG_BLOCK, &set, NULL);
        CHECK(r == 0);
        signal(SIGPIPE, SIG_IGN);
        lc->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
        CHECK(lc->signal_fd >= 0);
}

void lifecycle_done(struct lifecycle *lc)
{
        close(lc->signal_fd);
        lc->signal_fd = -1;
}

unsigned lifecycle_loop(struct lifecycle *lc, const char *name)
{
        unsigned i = atomic_fetch_add(&lc->loops, 1);
        CHECK(i < LIFECYCLE_LOOPS_MAX);
        lc->loop_names[i] = name;
        return i;
}

void lifecycle_tick(struct lifecycle *lc, unsigned loop, int64_t mono_ms)
{
        atomic_store_explicit(&lc->ticked_ms[loop], mono_ms, memory_order_release);
}

void lifecycle_retire(struct lifecycle *lc, unsigned loop)
{
        atomic_store_explicit(&lc->ticked_ms[loop], 0, memory_order_relaxed);
}

const char *lifecycle_stuck(struct lifecycle *lc, int64_t now_mono_ms, int64_t bound_ms)
{
        unsigned n = atomic_load(&lc->loops);
        for (unsigned i = 0; i < n && i < LIFECYCLE_LOOPS_MAX; i++) {
                int64_t at = atomic_load_explicit(&lc->ticked_ms[i], memory_order_acquire);
                if (at != 0 && now_mono_ms - at > bound_ms)
                        return lc->loop_names[i];
        }
        return NULL;
}

int lifecycle_wait(struct lifecycle *lc, int timeout_ms)
{
        struct pollfd p = {.fd = lc->signal_fd, .events = POLLIN};
        int r;
        do {
                r = poll(&p, 1, timeout_ms);
        } while (r < 0 && errno == EINTR);
        struct signalfd_siginfo info;
        if (r > 0 && read(lc->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
                return (int)info.ssi_signo;
        return 0;
}

static void *end_at_signal(void *arg)
{
        /* 0: the program has come to its end by itself. */
        if (lifecycle_wait(arg, -1) > 0)
                _exit(0);
        return NULL;
}

void lifecycle_end_at_signal(struct lifecycle *lc)
{
        pthread_t watch;
        if (pthread_create(&watch, NULL, end_at_signal, lc) == 0)
                pthread_detach(watch);
}

uint64_t lifecycle_raise_nofile(void)
{
        struct rlimit lim;
        if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
                return 0;
        lim.rlim_cur = lim.rlim_max;
        (void)!setrlimit(RLIMIT_NOFILE, &lim);
        (void)!getrlimit(RLIMIT_NOFILE, &lim);
        return lim.rlim_cur;
}
