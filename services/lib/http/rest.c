#include "http/rest.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

void rest_init(struct rest_call *rc, void (*release)(struct rest_call *rc))
{
        pthread_mutex_init(&rc->lock, NULL);
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&rc->answered, &attr);
        pthread_condattr_destroy(&attr);
        rc->refs = 2;
        rc->json = BUF_EMPTY;
        rc->release = release;
}

static void unref(struct rest_call *rc, unsigned n)
{
        pthread_mutex_lock(&rc->lock);
        CHECK(rc->refs >= n);
        unsigned left = rc->refs -= n;
        pthread_mutex_unlock(&rc->lock);
        if (left > 0)
                return;
        pthread_mutex_destroy(&rc->lock);
        pthread_cond_destroy(&rc->answered);
        buf_done(&rc->json);
        rc->release(rc);
}

void rest_hold(struct rest_call *rc)
{
        pthread_mutex_lock(&rc->lock);
        rc->refs++;
        pthread_mutex_unlock(&rc->lock);
}

void rest_unhold(struct rest_call *rc)
{
        unref(rc, 1);
}

void rest_discard(struct rest_call *rc)
{
        unref(rc, 2);
}

void rest_answer(struct rest_call *rc, int status, struct slice json)
{
        pthread_mutex_lock(&rc->lock);
        rc->done = true;
        rc->status = status;
        buf_add_slice(&rc->json, json);
        pthread_cond_signal(&rc->answered);
        pthread_mutex_unlock(&rc->lock);
        unref(rc, 1);
}

bool rest_wait(struct rest_call *rc, int wait_ms)
{
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += wait_ms / 1000;
        until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
        if (until.tv_nsec >= 1000000000) {
                until.tv_sec++;
                until.tv_nsec -= 1000000000;
        }
        pthread_mutex_lock(&rc->lock);
        int r = 0;
        while (!rc->done && r == 0)
                r = pthread_cond_timedwait(&rc->answered, &rc->lock, &until);
        bool done = rc->done;
        pthread_mutex_unlock(&rc->lock);
        return done;
}

void rest_leave(struct rest_call *rc)
{
        unref(rc, 1);
}

void rest_ask(struct rest_call *rc, struct mailbox *to, void (*run)(struct mail *m), int wait_ms, struct http_request *rq)
{
        rc->mail.run = run;
        if (!mailbox_post(to, &rc->mail)) {
                http_reply_error(rq, 503, "unavailable", "the gateway is stopping");
                unref(rc, 2);
                return;
        }
        /* Once done, status and json are the worker's alone. */
        if (rest_wait(rc, wait_ms))
                http_reply_json(rq, rc->status, buf_slice(&rc->json));
        else
                http_reply_error(rq, 504, "unknown", "no answer in time");
        unref(rc, 1);
}
