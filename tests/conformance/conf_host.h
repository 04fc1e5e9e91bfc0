/*
 * conf_host - what the conformance programs share: a loopback listener, shards and civetweb's
 * workers, from main to SIGTERM.
 *
 *     conf-x [--port N] [--origins LIST] [--max-payload N] [--cookie]
 *
 * prints one line with its address when it is ready.
 */
#ifndef TERN_CONFORMANCE_CONF_HOST_H
#define TERN_CONFORMANCE_CONF_HOST_H

#include "base/lifecycle.h"
#include "base/metrics.h"
#include "http/server.h"
#include "net/intake.h"
#include "net/shard.h"

#define CONF_SHARDS 2
#define CONF_SHARDS_MAX 2

struct conf_host {
        struct lifecycle lifecycle;
        struct metrics *metrics;
        struct http_settings settings;
        struct http_server *http;
        struct intake *intake;
        struct shard *shards[CONF_SHARDS_MAX];
        unsigned shard_count;
        const char *name, *origins; /* borrowed from argv; origins "*" unless told otherwise */
        uint32_t port;
        uint32_t max_payload; /* bytes; 1000000 unless told otherwise */
        bool cookie;          /* --cookie: the session's id as a cookie */
        bool replay_first;    /* --replay-first, which means something to conf-client only */
};

/* Shards run, routes may be added. On a failure the reason is printed and the program ends. */
void conf_host_start(struct conf_host *h, unsigned shard_count, int argc, char **argv);
/* Keep-alive sockets come back here; arg is the host. */
void conf_host_rest(void *arg, int fd, const char *client_addr);
/* Serves until SIGTERM or SIGINT; then no worker runs any more, the shards still do. */
void conf_host_serve(struct conf_host *h);
void conf_host_stop_shards(struct conf_host *h);
void conf_host_done(struct conf_host *h);
/* Ends the program if r is an error. */
void conf_must(const struct conf_host *h, int r, const char *what);

#endif
