/*
 * ops - probes and metrics on a port of their own, on a civetweb context of its own.
 *
 * /healthz 200 while every loop ticked within 10 s, else 503 naming the loop. /readyz 200 when
 * ready, else 503 with the reason. /metrics Prometheus text.
 *
 * A guest may serve the paths below one prefix (the admin page). Its handlers run on the same
 * workers and may block for a bounded time: at most OPS_GUESTS_MAX of them at once, the next is
 * answered 503, so that probes always find a worker.
 */
#ifndef TERN_HTTP_OPS_H
#define TERN_HTTP_OPS_H

#include "base/buf.h"
#include "base/lifecycle.h"
#include "base/metrics.h"

#define OPS_GUESTS_MAX 6

struct ops_server;
struct ops_request; /* lives for one call of the guest */

struct ops_guest {
        const char *prefix; /* "/admin": this path and all below it; NULL = no guest */
        void (*serve)(void *arg, struct ops_request *rq);
        void *arg;
};

struct ops_options {
        const char *bind; /* address, e.g. "127.0.0.1" */
        uint32_t port;    /* 0 = any free one */
        struct lifecycle *lifecycle;
        struct metrics *metrics;
        /* NULL or a short reason why not ready, e.g. "filling the tail"; reads atomics only. May be
         * NULL. */
        const char *(*not_ready)(void *arg);
        void *arg;
        struct ops_guest guest;
};
MUST_CHECK int ops_server_new(
        const struct ops_options *o, struct ops_server **ret, uint32_t *ret_port);
/* Waits for the requests under way. */
struct ops_server *ops_server_free(struct ops_server *ops);

/* ---- for the guest: borrowed until its call returns ---- */

struct slice ops_method(const struct ops_request *rq);
struct slice ops_path(const struct ops_request *rq); /* decoded, without query */
struct slice ops_header(const struct ops_request *rq, const char *name); /* n 0 if absent */
/* Decoded value of a query parameter. False: absent ("" then), or it does not fit. */
bool ops_query(const struct ops_request *rq, const char *name, char *dst, size_t cap);
/* Appends the body. 0, -EMSGSIZE, or -ECONNRESET: it did not come whole. */
MUST_CHECK int ops_body(struct ops_request *rq, size_t bytes_max, struct buf *out);
/* Exactly one for each request. headers: whole lines, or "". */
void ops_reply(struct ops_request *rq, int status, const char *content_type, const char *headers,
        struct slice body);

#endif
