/*
 * ops - probes and metrics on a port of their own, on a civetweb context of two workers.
 *
 * /healthz 200 while every loop ticked within 10 s, else 503 naming the loop. /readyz 200 when
 * ready, else 503 with the reason. /metrics Prometheus text.
 */
#ifndef TERN_HTTP_OPS_H
#define TERN_HTTP_OPS_H

#include "base/lifecycle.h"
#include "base/metrics.h"

struct ops_server;
struct ops_options {
        const char *bind; /* address, e.g. "127.0.0.1" */
        uint32_t port;    /* 0 = any free one */
        struct lifecycle *lifecycle;
        struct metrics *metrics;
        /* NULL or a short reason why not ready, e.g. "filling the tail"; reads atomics only. May be
         * NULL. */
        const char *(*not_ready)(void *arg);
        void *arg;
};
MUST_CHECK int ops_server_new(
        const struct ops_options *o, struct ops_server **ret, uint32_t *ret_port);
struct ops_server *ops_server_free(struct ops_server *ops);

#endif
