#include "base/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct mailbox {
        pthread_mutex_t lock;
        pthread_cond_t arrived;
        struct list mails; /* under lock, as are the two below */
        size_t count;
        bool closed;
        void (*wake)(void *arg);
        void *arg;
};

struct mailbox *mailbox_new(void (*wake)(void *arg), void *arg)
{
        struct mailbox *mb = xcalloc(1, sizeof(*mb));
        pthread_mutex_init(&mb->lock, NULL);
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&mb->arrived, &attr);
        pthread_condattr_destroy(&attr);
        list_init(&mb->mails);
        mb->wake = wake;
        mb->arg = arg;
        return mb;
}

struct mailbox *mailbox_free(struct mailbox *mb)
{
        if (!mb)
                return NULL;
        CHECK(mb->closed && list_empty(&mb->mails));
        pthread_mutex_destroy(&mb->lock);
        pthread_cond_destroy(&mb->arrived);
        free(mb);
        return NULL;
}

bool mailbox_post(struct mailbox *mb, struct mail *m)
{
        pthread_mutex_lock(&mb->lock);
        if (mb->closed) {
                pthread_mutex_unlock(&mb->lock);
                return false;
        }
        bool was_empty = list_empty(&mb->mails);
        list_push_back(&mb->mails, &m->link);
        mb->count++;
        if (!mb->wake)
                pthread_cond_signal(&mb->arrived);
        /* Inside the lock: once it is released a closing owner may free what wake uses. */
        else if (was_empty)
                mb->wake(mb->arg);
        pthread_mutex_unlock(&mb->lock);
        return true;
}

static size_t run_list(struct list *mails)
{
        size_t n = 0;
        struct list *it;
        while ((it = list_take(mails))) {
                struct mail *m = list_entry(it, struct mail, link);
                m->run(m);
                n++;
        }
        return n;
}

static void take_all(struct mailbox *mb, struct list *to)
{
        list_splice(to, &mb->mails);
        mb->count = 0;
}

size_t mailbox_run(struct mailbox *mb)
{
        struct list mails;
        list_init(&mails);
        pthread_mutex_lock(&mb->lock);
        take_all(mb, &mails);
        pthread_mutex_unlock(&mb->lock);
        return run_list(&mails);
}

static void wait_for_mail(struct mailbox *mb, int timeout_ms)
{
        if (timeout_ms < 0) {
                while (list_empty(&mb->mails) && !mb->closed)
                        pthread_cond_wait(&mb->arrived, &mb->lock);
                return;
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += timeout_ms / 1000;
        until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
        if (until.tv_nsec >= 1000000000) {
                until.tv_sec++;
                until.tv_nsec -= 1000000000;
        }
        int r = 0;
        while (list_empty(&mb->mails) && !mb->closed && r != ETIMEDOUT)
                r = pthread_cond_timedwait(&mb->arrived, &mb->lock, &until);
}

bool mailbox_wait(struct mailbox *mb, int timeout_ms)
{
        struct list mails;
        list_init(&mails);
        pthread_mutex_lock(&mb->lock);
        wait_for_mail(mb, timeout_ms);
        take_all(mb, &mails);
        bool over = mb->closed && list_empty(&mails);
        pthread_mutex_unlock(&mb->lock);
        run_list(&mails);
        return !over;
}

bool mailbox_take_one(struct mailbox *mb, int timeout_ms, struct mail **ret)
{
        pthread_mutex_lock(&mb->lock);
        wait_for_mail(mb, timeout_ms);
        struct list *it = list_take(&mb->mails);
        if (it)
                mb->count--;
        bool over = mb->closed && !it;
        pthread_mutex_unlock(&mb->lock);
        *ret = it ? list_entry(it, struct mail, link) : NULL;
        return !over;
}

void mailbox_close(struct mailbox *mb)
{
        pthread_mutex_lock(&mb->lock);
        mb->closed = true;
        pthread_cond_broadcast(&mb->arrived);
        pthread_mutex_unlock(&mb->lock);
}

size_t mailbox_len(struct mailbox *mb)
{
        pthread_mutex_lock(&mb->lock);
        size_t n = mb->count;
        pthread_mutex_unlock(&mb->lock);
        return n;
}
