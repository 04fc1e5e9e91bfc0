/*
 * The log's end as of now. One thread asks Kafka; whatever questions of a topic have come together while it was
 * asking are answered by its next question, so its load does not grow with the number of askers.
 */
#include "feed/internal.h"

#include "base/clock.h"
#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>

#define ASK_MS 500 /* one question; a slow broker is asked again */
#define AGAIN_MS 50

struct feed_barrier {
        struct mail mail;  /* to the asker, and back */
        struct list link;  /* feed_shard.barriers while somebody waits */
        struct list asked; /* the asker's */
        struct feed *fd;
        unsigned shard;
        uint16_t topic, partition;
        int64_t until_ms;
        int64_t high;                     /* -1: Kafka did not say */
        bool with_asker;                  /* the shard's view */
        void (*done)(void *arg, int err); /* NULL: nobody waits any more */
        void *arg;
        struct fanout_wait wait;
};

struct asker {
        struct feed *fd;
        struct mailbox *mailbox;
        struct list asked; /* struct feed_barrier.asked */
        pthread_t thread;
        bool stopped;
};

/* ---- the shard's side ---- */

/* The shard knows it no more. */
static void forget(struct feed_barrier *b)
{
        list_remove(&b->link);
        fanout_wait_cancel(&b->wait);
        if (b->done)
                atomic_fetch_sub(&b->fd->ports[b->shard].timed, 1);
        b->done = NULL;
        if (!b->with_asker)
                free(b);
}

static void finish(struct feed_barrier *b, int err)
{
        void (*done)(void *arg, int err) = b->done;
        void *arg = b->arg;
        forget(b);
        done(arg, err);
}

static void on_passed(struct fanout_wait *w, int64_t original)
{
        UNUSED(original);
        struct feed_barrier *b = container_of(w, struct feed_barrier, wait);
        const struct fanout *f = b->fd->ports[b->shard].fs->fanout;
        /* A log that was restarted meanwhile ends every wait without having passed anything. */
        finish(b, fanout_position(f, b->topic, b->partition) > w->offset ? 0 : -ETIMEDOUT);
}

static void run_answer(struct mail *m)
{
        struct feed_barrier *b = container_of(m, struct feed_barrier, mail);
        struct feed_shard *fs = b->fd->ports[b->shard].fs;
        b->with_asker = false;
        if (!b->done) {
                free(b);
                return;
        }
        if (b->high < 0)
                return; /* the tick tells */
        if (b->high == 0)
                finish(b, 0);
        else
                fanout_wait_passed(fs->fanout, b->topic, b->partition, b->high - 1, &b->wait);
}

static void run_question(struct mail *m);

struct feed_barrier *feed_barrier(struct feed_shard *fs, uint16_t topic, struct slice key,
        int timeout_ms, void (*done)(void *arg, int err), void *arg)
{
        struct feed_barrier *b = xcalloc(1, sizeof(*b));
        b->fd = fs->fd;
        b->shard = fs->index;
        b->topic = topic;
        b->partition = (uint16_t)partition_of(key, feed_partitions(fs->fd, topic));
        b->until_ms = clock_mono_ms() + timeout_ms;
        b->high = -1;
        b->done = done;
        b->arg = arg;
        list_init(&b->asked);
        list_init(&b->wait.link);
        b->wait.passed = on_passed;
        b->mail.run = run_question;
        list_push_back(&fs->barriers, &b->link);
        atomic_fetch_add(&fs->fd->ports[fs->index].timed, 1);
        b->with_asker = mailbox_post(fs->fd->asker->mailbox, &b->mail);
        return b;
}

void feed_barrier_cancel(struct feed_barrier *b)
{
        forget(b);
}

void barriers_tick(struct feed_shard *fs, int64_t now_ms)
{
        /* A callback may cancel others, or start some: begin again after each. */
        for (bool found = true; found;) {
                found = false;
                list_for_each(it, &fs->barriers)
                {
                        struct feed_barrier *b = list_entry(it, struct feed_barrier, link);
                        if (now_ms < b->until_ms)
                                continue;
                        finish(b, -ETIMEDOUT);
                        found = true;
                        break;
                }
        }
}

void barriers_done(struct feed_shard *fs)
{
        struct list *node;
        while ((node = list_first(&fs->barriers)))
                forget(list_entry(node, struct feed_barrier, link));
}

/* ---- the asker's side ---- */

static struct asker *asker_of(const struct feed_barrier *b)
{
        return b->fd->asker;
}

static void run_question(struct mail *m)
{
        struct feed_barrier *b = container_of(m, struct feed_barrier, mail);
        list_push_back(&asker_of(b)->asked, &b->asked);
}

static void answer(struct feed_barrier *b, int64_t high)
{
        b->high = high;
        list_remove(&b->asked);
        b->mail.run = run_answer;
        list_init(&b->mail.link);
        if (!feed_post(b->fd, b->shard, &b->mail))
                free(b);
}

static bool is_asked(const struct asker *a, uint16_t topic)
{
        list_for_each(it, &a->asked) if (list_entry(it, struct feed_barrier, asked)->topic ==
                                         topic) return true;
        return false;
}

static void ask_topic(struct asker *a, uint16_t topic)
{
        struct feed *fd = a->fd;
        int64_t *highs = xcalloc(fd->partitions[topic], sizeof(*highs));
        struct list now;
        list_init(&now);
        list_for_each_safe(it, &a->asked)
        {
                struct feed_barrier *b = list_entry(it, struct feed_barrier, asked);
                if (b->topic != topic)
                        continue;
                list_remove(&b->asked);
                list_push_back(&now, &b->asked);
        }
        bool said = bus_highs(fd->o.bus, fd->topics[topic].name, fd->partitions[topic], ASK_MS,
                            highs) == 0;
        int64_t time = clock_mono_ms();
        list_for_each_safe(it, &now)
        {
                struct feed_barrier *b = list_entry(it, struct feed_barrier, asked);
                if (said || time >= b->until_ms) {
                        answer(b, said ? highs[b->partition] : -1);
                } else {
                        list_remove(&b->asked);
                        list_push_back(&a->asked, &b->asked);
                }
        }
        free(highs);
}

static void *asker_main(void *arg)
{
        struct asker *a = arg;
        pthread_setname_np(pthread_self(), "asker");
        int wait_ms = -1;
        while (mailbox_wait(a->mailbox, wait_ms)) {
                for (uint16_t t = 0; t < a->fd->topic_count; t++)
                        if (is_asked(a, t))
                                ask_topic(a, t);
                wait_ms = list_empty(&a->asked) ? -1 : AGAIN_MS;
        }
        list_for_each_safe(it, &a->asked) answer(list_entry(it, struct feed_barrier, asked), -1);
        return NULL;
}

int asker_new(struct feed *fd, struct asker **ret)
{
        struct asker *a = xcalloc(1, sizeof(*a));
        a->fd = fd;
        a->mailbox = mailbox_new(NULL, NULL);
        list_init(&a->asked);
        if (pthread_create(&a->thread, NULL, asker_main, a) != 0) {
                mailbox_close(a->mailbox);
                mailbox_free(a->mailbox);
                free(a);
                return -EAGAIN;
        }
        *ret = a;
        return 0;
}

void asker_stop(struct asker *a)
{
        if (!a || a->stopped)
                return;
        a->stopped = true;
        mailbox_close(a->mailbox);
        pthread_join(a->thread, NULL);
}

struct asker *asker_free(struct asker *a)
{
        if (!a)
                return NULL;
        asker_stop(a);
        mailbox_free(a->mailbox);
        free(a);
        return NULL;
}
