/*
 * internal - what the files of this library share and nobody else sees.
 *
 * An http_conn is one visit of a socket to the workers: made by http_server_feed(), ended by the
 * rest callback, a close, or a hand-over. It carries exactly one request. Owner: the feeding thread
 * until the queue has it, then one worker.
 *
 * Waiting for a client (for the bytes of a body, for room to write, for a close to be noticed) is
 * the only thing that a client can make a worker do for long. Who must wait takes one of the
 * server's waiting slots, half as many as there are workers, and has one deadline for the whole
 * wait; without a slot nobody waits.
 */
#ifndef TERN_HTTP_INTERNAL_H
#define TERN_HTTP_INTERNAL_H

#include "http/head.h"
#include "http/server.h"
#include "http/unit.h"

#include "base/address.h"

#include <stdatomic.h>

#define HTTP_PARAMS_MAX 8

struct route {
        char *method;  /* owned; NULL = any */
        char *pattern; /* owned */
        http_handler fn;
        void *arg;
};

struct ws_route {
        char *prefix; /* owned */
        bool (*check)(void *arg, struct http_request *rq);
        http_handler ready;
        void *arg;
};

struct http_server {
        const struct http_settings *settings; /* borrowed until free */
        struct metrics *metrics;              /* borrowed */
        void (*rest)(void *arg, int fd, const char *client_addr);
        void *rest_arg;
        struct networks *proxies; /* owned; whose X-Forwarded-For counts */
        struct route *routes;     /* owned; frozen by start */
        size_t routes_n;
        struct ws_route *ws_routes;
        size_t ws_routes_n;
        struct unit *unit; /* owned; NULL until start */
        unsigned waiting_max;
        atomic_uint waiting;
        atomic_bool stopping;
};

struct http_conn {
        struct http_server *srv;
        int fd; /* owned; -1 once it has been handed over */
        char addr[64]; /* the peer's: the socket rests under it */
        int64_t began_mono_ms;
        struct head head;
        int refused;     /* status for a head that was not accepted; 0 = none */
        const char *why; /* static */
        bool last;       /* no other request follows, whatever the client asks for */
        bool silent;     /* the peer left before it asked anything: no answer */
        bool waits;      /* holds a waiting slot */
        bool lingers;    /* answered; only reads on so that the answer is not lost */
        bool answered;   /* a final status has been written, or was tried */
        bool broken;     /* a write failed: nothing more can be said */
        bool body_begun; /* bytes of it have been taken: a second try would misread the rest */
        bool body_done;  /* nothing of it is left in the socket */
        bool continued;  /* 100 Continue was sent */
        bool keep;       /* the answer promised that another request may follow */
};

struct http_param {
        struct slice name, value;
};

struct http_block; /* memory of one request */

struct http_request {
        struct http_conn *hc;
        const struct head *head;
        struct slice path;   /* decoded, in this request's memory */
        struct slice client; /* address: the peer's, or of whom a trusted proxy speaks for */
        struct http_param params[HTTP_PARAMS_MAX];
        unsigned params_n;
        struct http_block *blocks; /* owned */
        struct buf body;           /* owned */
        bool websocket;            /* the 101 has been sent */
        bool no_handover;          /* in a check: too early to take the socket */
};

/* ---- conn.c: the socket ---- */

size_t conn_arrived(void *fed, int fd, char *buf, size_t cap);
void conn_refuse(void *fed);
void conn_finish(void *fed);
struct http_conn *conn_new(struct http_server *srv, int fd, const char *client_addr);
/* Closes what is still owned; returns NULL. */
struct http_conn *conn_free(struct http_conn *hc);
/* Waits until the socket is ready for events (poll's) or the deadline passed. 0, -ETIMEDOUT, -EBUSY
 * (no slot), -ECONNRESET (stopping, or an error). */
MUST_CHECK int conn_wait(struct http_conn *hc, short events, int64_t deadline_mono_ms);
/* Writes all of both, within reply_ms. False sets broken. */
bool conn_write(struct http_conn *hc, struct slice a, struct slice b);

/* ---- body.c ---- */

/* Throws an unread body away if that costs no waiting; sets body_done if nothing is left of it. */
void body_discard(struct http_conn *hc);

/* ---- request.c ---- */

/* n + 1 bytes that live as long as the request; the last one is NUL. */
char *request_alloc(struct http_request *rq, size_t n);
void request_done(struct http_request *rq);
/* Decodes %XX (and + as a blank, if plus) into the request's memory. */
struct slice request_decode(struct http_request *rq, struct slice s, bool plus);

/* ---- router.c ---- */

void router_run(void *fed);
/* Matches path (raw) against pattern and fills the parameters. */
bool router_match(struct http_request *rq, const char *pattern, struct slice path);

/* ---- reply.c ---- */

/* The reply of a connection, with or without a request that was understood. */
void reply_write(struct http_conn *hc, int status, const char *content_type,
        struct slice extra_headers, struct slice body);
void reply_error(struct http_conn *hc, int status, const char *code, const char *message,
        struct slice extra_headers);
/* The code of proto's table for a status that the router gives by itself. */
const char *reply_code(int status);

/* ---- cors.c ---- */

void cors_headers(const struct http_conn *hc, struct buf *out);
void cors_preflight(struct http_request *rq);

/* ---- websocket.c ---- */

void websocket_run(struct http_request *rq);

#endif
