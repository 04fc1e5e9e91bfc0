#include "net/internal.h"

#include "base/clock.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define TICK_MS 1000

/* lifecycle keeps loops' names for ever. */
static const char *const names[] = {
        "shard-0",
        "shard-1",
        "shard-2",
        "shard-3",
        "shard-4",
        "shard-5",
        "shard-6",
        "shard-7",
        "shard-8",
        "shard-9",
        "shard-10",
        "shard-11",
        "shard-12",
        "shard-13",
        "shard-14",
        "shard-15",
        "shard-16",
        "shard-17",
        "shard-18",
        "shard-19",
        "shard-20",
        "shard-21",
        "shard-22",
        "shard-23",
        "shard-24",
        "shard-25",
        "shard-26",
        "shard-27",
        "shard-28",
        "shard-29",
        "shard-30",
        "shard-31",
        "shard-n",
};

static _Thread_local const struct shard *current;

static const char *name_of(unsigned index)
{
        return names[index < ARRAY_LEN(names) ? index : ARRAY_LEN(names) - 1];
}

/* ---- the poller ---- */

int shard_watch(struct shard *sh, struct watch *w, uint32_t events)
{
        struct epoll_event ev = {.events = events, .data.ptr = w};
        return epoll_ctl(sh->epoll_fd, EPOLL_CTL_ADD, w->fd, &ev) < 0 ? -errno : 0;
}

void shard_unwatch(struct shard *sh, int fd)
{
        (void)epoll_ctl(sh->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void ignore(struct shard *sh, struct watch *w, uint32_t events)
{
        UNUSED(sh);
        UNUSED(w);
        UNUSED(events);
}

void shard_bury(struct shard *sh, struct grave *g)
{
        g->watch.ready = ignore;
        list_remove(&g->link);
        list_push_back(&sh->graves, &g->link);
}

static void on_poll(uv_poll_t *h, int status, int events)
{
        struct shard *sh = container_of(h, struct shard, poll);
        UNUSED(status);
        UNUSED(events);
        struct epoll_event evs[SHARD_EVENTS];
        int n = epoll_wait(sh->epoll_fd, evs, SHARD_EVENTS, 0);
        for (int i = 0; i < n; i++) {
                struct watch *w = evs[i].data.ptr;
                w->ready(sh, w, evs[i].events);
        }
}

/* ---- the turn ---- */

static void on_idle(uv_idle_t *h)
{
        conn_read_more(container_of(h, struct shard, idle));
}

static void run_laters(struct shard *sh)
{
        struct list now, *it;
        list_init(&now);
        list_splice(&now, &sh->laters);
        while ((it = list_take(&now))) {
                struct shard_later *l = list_entry(it, struct shard_later, link);
                l->run(sh, l);
        }
}

static void free_graves(struct shard *sh)
{
        struct list *it;
        while ((it = list_take(&sh->graves)))
                free(list_entry(it, struct grave, link));
}

/* After all events of the turn; also before the loop sleeps, for what timers asked for. */
static void turn_end(struct shard *sh)
{
        run_laters(sh);
        conn_run_closed(sh);
        free_graves(sh);
        bool more = !list_empty(&sh->laters) || !list_empty(&sh->unread);
        int r = more ? uv_idle_start(&sh->idle, on_idle) : uv_idle_stop(&sh->idle);
        CHECK(r == 0);
}

static void on_prepare(uv_prepare_t *h)
{
        turn_end(container_of(h, struct shard, prepare));
}

static void on_check(uv_check_t *h)
{
        turn_end(container_of(h, struct shard, check));
}

void shard_later(struct shard *sh, struct shard_later *l)
{
        if (!l->link.next)
                list_init(&l->link);
        if (!list_linked(&l->link))
                list_push_back(&sh->laters, &l->link);
}

void shard_later_cancel(struct shard_later *l)
{
        if (l->link.next)
                list_remove(&l->link);
}

/* ---- life ---- */

static void on_tick(uv_timer_t *h)
{
        struct shard *sh = container_of(h, struct shard, tick);
        if (sh->lc)
                lifecycle_tick(sh->lc, sh->loop_no, clock_mono_ms());
}

static void on_wake(uv_async_t *h)
{
        struct shard *sh = container_of(h, struct shard, wake);
        mailbox_run(sh->mailbox);
}

/* The end comes as mail, so that no wake-up can meet a loop that is closed already: the box is
 * closed first. */
static void on_end(struct mail *m)
{
        struct shard *sh = container_of(m, struct shard, end);
        sh->ending = true;
        uv_stop(&sh->loop);
}

static void wake_up(void *arg)
{
        struct shard *sh = arg;
        int r = uv_async_send(&sh->wake);
        CHECK(r == 0);
}

static void start_handles(struct shard *sh)
{
        int r = uv_timer_init(&sh->loop, &sh->timer);
        CHECK(r == 0);
        r = uv_timer_init(&sh->loop, &sh->tick);
        CHECK(r == 0);
        r = uv_prepare_init(&sh->loop, &sh->prepare);
        CHECK(r == 0);
        r = uv_check_init(&sh->loop, &sh->check);
        CHECK(r == 0);
        r = uv_idle_init(&sh->loop, &sh->idle);
        CHECK(r == 0);
        r = uv_timer_start(&sh->tick, on_tick, 0, TICK_MS);
        CHECK(r == 0);
        r = uv_prepare_start(&sh->prepare, on_prepare);
        CHECK(r == 0);
        r = uv_check_start(&sh->check, on_check);
        CHECK(r == 0);
        r = uv_poll_start(&sh->poll, UV_READABLE, on_poll);
        CHECK(r == 0);
}

static void close_handle(uv_handle_t *h, void *arg)
{
        UNUSED(arg);
        if (!uv_is_closing(h))
                uv_close(h, NULL);
}

static void close_loop(struct shard *sh)
{
        uv_walk(&sh->loop, close_handle, NULL);
        (void)uv_run(&sh->loop, UV_RUN_DEFAULT);
        int r = uv_loop_close(&sh->loop);
        CHECK(r == 0);
}

static void *thread_main(void *arg)
{
        struct shard *sh = arg;
        current = sh;
        (void)pthread_setname_np(pthread_self(), name_of(sh->index));
        start_handles(sh);
        uv_update_time(&sh->loop);
        on_tick(&sh->tick);
        if (sh->start)
                sh->start(sh, sh->arg);
        while (!sh->ending)
                (void)uv_run(&sh->loop, UV_RUN_DEFAULT);
        mailbox_close(sh->mailbox);
        while (mailbox_run(sh->mailbox) > 0)
                ;
        turn_end(sh);
        if (sh->stop)
                sh->stop(sh, sh->arg);
        conn_run_closed(sh);
        linger_done(sh);
        free_graves(sh);
        timers_done(sh);
        if (sh->lc)
                lifecycle_retire(sh->lc, sh->loop_no);
        close_loop(sh);
        current = NULL;
        return NULL;
}

static int make_loop(struct shard *sh)
{
        int r = uv_loop_init(&sh->loop);
        if (r < 0)
                return r; /* libuv's errors are negated errno on this platform */
        r = uv_async_init(&sh->loop, &sh->wake, on_wake);
        if (r < 0)
                goto fail;
        sh->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (sh->epoll_fd < 0) {
                r = -errno;
                goto fail;
        }
        r = uv_poll_init(&sh->loop, &sh->poll, sh->epoll_fd);
        if (r < 0) {
                close(sh->epoll_fd);
                goto fail;
        }
        return 0;
fail:
        close_loop(sh);
        return r;
}

int shard_new(unsigned index, struct lifecycle *lc, void (*start)(struct shard *sh, void *arg),
        void (*stop)(struct shard *sh, void *arg), void *arg, struct shard **ret)
{
        struct shard *sh = xcalloc(1, sizeof(*sh));
        sh->index = index;
        sh->lc = lc;
        sh->start = start;
        sh->stop = stop;
        sh->arg = arg;
        sh->end.run = on_end;
        list_init(&sh->laters);
        list_init(&sh->unread);
        list_init(&sh->closing);
        list_init(&sh->graves);
        linger_init(sh);
        int r = make_loop(sh);
        if (r < 0) {
                free(sh);
                return r;
        }
        sh->read_buf = xmalloc(SHARD_READ_BYTES);
        sh->mailbox = mailbox_new(wake_up, sh);
        if (lc)
                sh->loop_no = lifecycle_loop(lc, name_of(index));
        r = -pthread_create(&sh->thread, NULL, thread_main, sh);
        if (r < 0) {
                close_loop(sh);
                close(sh->epoll_fd);
                mailbox_close(sh->mailbox);
                mailbox_free(sh->mailbox);
                free(sh->read_buf);
                free(sh);
                return r;
        }
        *ret = sh;
        return 0;
}

struct shard *shard_free(struct shard *sh)
{
        if (!sh)
                return NULL;
        CHECK(!shard_is_current(sh));
        bool posted = mailbox_post(sh->mailbox, &sh->end);
        CHECK(posted);
        int r = pthread_join(sh->thread, NULL);
        CHECK(r == 0);
        close(sh->epoll_fd);
        mailbox_free(sh->mailbox);
        free(sh->read_buf);
        free(sh);
        return NULL;
}

unsigned shard_index(const struct shard *sh)
{
        return sh->index;
}

struct mailbox *shard_mailbox(struct shard *sh)
{
        return sh->mailbox;
}

int64_t shard_now_ms(const struct shard *sh)
{
        return (int64_t)uv_now(&sh->loop);
}

bool shard_is_current(const struct shard *sh)
{
        return current == sh;
}
