/*
 * ask - one REST question about a user's notifications, answered on the user's shard.
 *
 * A read is a snapshot of Postgres with the log's records of the user laid over it, after the shard has
 * passed the partition's end as of the question: so what was marked read a moment ago, on any gateway, is
 * counted as read.
 *
 * Owner: the shard's loop thread; the worker only fills it in.
 */
#ifndef TERN_NOTIFICATION_ASK_H
#define TERN_NOTIFICATION_ASK_H

#include "notification/gateway.h"

#include "base/trace.h"
#include "http/rest.h"

struct ask {
        struct rest_call rest; /* the worker waits on it */
        struct list in_gateway;
        struct gateway *gw;
        void (*operation)(struct ask *a);
        char *user;          /* owned */
        char *id;            /* owned; of one notification, or NULL */
        int64_t before, seq; /* -1 = absent */
        uint32_t limit;
        bool unread_only;
        char trace[TRACE_TEXT]; /* traceparent of the request; "" none */
        /* private to the operation */
        bool open; /* not answered yet */
        int64_t deadline_ms;
        struct feed_barrier *barrier;
        struct feed_query *query;
        int64_t marks_from; /* a count's statement knows the marks of the log from this offset on */
        struct bus_send send;
        bool sending; /* the bus holds it; so does a rest_hold() */
        struct fanout_wait wait;
};

struct ask *ask_new(struct app *app, struct slice user, void (*operation)(struct ask *a));
/* On a worker: asks, waits, replies. */
void ask_run(struct ask *a, struct http_request *rq);
void asks_expire(struct gateway *gw, int64_t now_ms);

/* ---- the operations (read.c) ---- */
void op_list(struct ask *a);
void op_count(struct ask *a);
void op_mark_read(struct ask *a);
void op_mark_all(struct ask *a);

/* json: a whole object. */
void ask_answer(struct ask *a, int status, struct slice json);
void ask_fail(struct ask *a, enum error_code code, const char *message);

#endif
