/*
 * rest - a handler's question to another thread: posted to a mailbox, waited for with a bound.
 *
 * A handler runs on a civetweb worker, what it asks about lives on a shard. The question embeds struct
 * rest_call as its first duty; it is shared by the worker that waits and the thread that answers, and the
 * last one out frees it, so that an answer that comes too late finds its place and harms nobody.
 */
#ifndef TERN_HTTP_REST_H
#define TERN_HTTP_REST_H

#include "base/buf.h"
#include "base/mailbox.h"
#include "http/server.h"

#include <pthread.h>

struct rest_call {
        struct mail mail;
        pthread_mutex_t lock;
        pthread_cond_t answered;
        unsigned refs;  /* under lock */
        bool done;      /* under lock */
        int status;
        struct buf json; /* the answer */
        /* Frees what embeds it. */
        void (*release)(struct rest_call *rc);
};

/* Two references: the worker's and the answering thread's. */
void rest_init(struct rest_call *rc, void (*release)(struct rest_call *rc));
/* The question is not asked after all. */
void rest_discard(struct rest_call *rc);
/* Worker: run executes on the mailbox's owner; waits for rest_answer() up to wait_ms, replies, and gives its reference up. */
void rest_ask(struct rest_call *rc, struct mailbox *to, void (*run)(struct mail *m), int wait_ms, struct http_request *rq);
/* The two halves of it, for who replies by other means. Waits for the answer; true: status and json are the worker's. */
bool rest_wait(struct rest_call *rc, int wait_ms);
/* The worker gives its reference up. */
void rest_leave(struct rest_call *rc);
/* The answering thread keeps what embeds rc alive beyond its answer (something still points into it); each hold is ended by
 * rest_unhold(). */
void rest_hold(struct rest_call *rc);
void rest_unhold(struct rest_call *rc);
/* The answering thread, once: gives its reference up. */
void rest_answer(struct rest_call *rc, int status, struct slice json);

#endif
