/*
 * server - civetweb with its acceptor taken away: workers only ever see complete request heads.
 *
 * Fresh and kept-alive sockets rest on a shard (net/intake.h) until the whole head lies in the
 * kernel's buffer; then http_server_feed() puts the descriptor into civetweb's queue without
 * blocking. Handlers run on civetweb's workers and may block for a bounded time.
 *
 * One visit, one request: a worker takes exactly the head and what the handler reads of the body
 * out of the kernel, never a byte more. So a pipelined request is simply still there when the
 * socket has gone back to the intake by rest(), and a WebSocket frame that came with its handshake
 * when the shard has the socket. A client can make a worker wait (a slow body, a slow reader of a
 * reply) only while at most half of the workers wait, and until one deadline.
 */
#ifndef TERN_HTTP_SERVER_H
#define TERN_HTTP_SERVER_H

#include "base/buf.h"
#include "base/config.h"
#include "base/metrics.h"
#include "http/handover.h"

struct http_server;
struct http_request; /* lives for one handler call */

struct http_settings {
#define CONFIG(type, field, ...) CONFIG_FIELD_##type(field)
#include "http/settings.def"
};
extern const struct config_row http_settings_rows[];
extern const size_t http_settings_count;

/* Handlers return after they answered or took the socket. */
typedef void (*http_handler)(void *arg, struct http_request *rq);

struct http_options {
        const struct http_settings *settings;
        struct metrics *metrics;
        /* A socket that may carry another request comes back here, on a worker's thread: the intake
         * takes it (owns fd). */
        void (*rest)(void *arg, int fd, const char *client_addr);
        void *rest_arg;
};
/* 0, or -EINVAL: trusted_proxies holds what is no network. */
MUST_CHECK int http_server_new(const struct http_options *o, struct http_server **ret);
/* Before start. method NULL = any; GET includes HEAD. pattern: "/a/:id/b" matches one segment per
 * name; a trailing "*" matches the rest as a prefix (http_param "*"). Earlier routes win. Unknown
 * paths get 404, unknown methods 405, preflights 204, all by the router. */
void http_route(struct http_server *srv, const char *method, const char *pattern, http_handler fn,
        void *arg);
/* WebSocket: check runs before the 101 (return false after having answered: nothing was upgraded);
 * ready after it: take the socket there. */
void http_websocket(struct http_server *srv, const char *prefix,
        bool (*check)(void *arg, struct http_request *rq), http_handler ready, void *arg);
MUST_CHECK int http_server_start(struct http_server *srv);
/* A socket with a whole head. True: civetweb owns fd. False: queue full, still the caller's. Any
 * thread. Never blocks. */
bool http_server_feed(struct http_server *srv, int fd, const char *client_addr);
/* The same for a socket that carries no other request after this one: the answer says
 * "Connection: close". */
bool http_server_feed_last(struct http_server *srv, int fd, const char *client_addr);
/* Stops workers; who waits for a client gives up within 0.1 s, handlers that run are waited for.
 * Nobody may feed any more: shut the intake first. NULL is fine; returns NULL. */
struct http_server *http_server_free(struct http_server *srv);

/* ---- in a handler ---- */
struct slice http_method(const struct http_request *rq);
struct slice http_path(const struct http_request *rq);  /* decoded, without query */
struct slice http_query(const struct http_request *rq); /* raw, may be empty */
struct slice http_param(const struct http_request *rq,
        const char *name); /* path segment by its pattern name, percent-decoded */
struct slice http_header(const struct http_request *rq, const char *name); /* n 0 if absent */
/* TERN_TRUSTED_PROXIES; NULL if there are none. Borrowed from the server. */
const struct networks *http_proxies(const struct http_server *srv);
/* The peer's, or the one that a trusted proxy (TERN_TRUSTED_PROXIES) speaks for. */
struct slice http_client_addr(const struct http_request *rq);
/* Percent-decoded value of a query parameter into the request's memory. False if absent. */
bool http_query_get(struct http_request *rq, const char *name, struct slice *ret);
/* Value of a cookie. False if absent. */
bool http_cookie_get(struct http_request *rq, const char *name, struct slice *ret);
/* Reads the whole body within the deadline and bytes_max. 0, -EMSGSIZE, -ETIMEDOUT, -ECONNRESET,
 * -EINVAL (bad framing), -EBUSY (too many bodies at once). */
MUST_CHECK int http_body(struct http_request *rq, size_t bytes_max, struct slice *ret);
/* The same, and on failure it has answered (413, 408, 400, 503) and returns false. */
bool http_body_or_reply(struct http_request *rq, size_t bytes_max, struct slice *ret);
/* extra_headers: complete lines or empty. CORS headers are added by the router from settings
 * (origins). */
void http_reply(struct http_request *rq, int status, const char *content_type,
        struct slice extra_headers, struct slice body);
void http_reply_json(struct http_request *rq, int status, struct slice json);
/* {"error":{"code":…,"message":…}} */
void http_reply_error(struct http_request *rq, int status, const char *code, const char *message);
/* Takes the socket out of civetweb. Nothing may be written through rq afterwards. */
void http_handover_take(struct http_request *rq, struct http_handover *ret);
/* Appends the CORS header lines that this request's Origin earns (or nothing). */
void http_cors_headers(const struct http_request *rq, struct buf *out);
/* True if the Origin is this very server: its authority equals Host (what the server's own pages
 * send with POST and WebSocket). */
bool http_same_origin(const struct http_request *rq);
/* The same of two headers' values. */
bool http_origin_is(struct slice origin, struct slice host);
/* What a WebSocket's check should ask: allowed by TERN_ORIGINS, or the same origin, or no browser
 * (no Origin). */
bool http_origin_admitted(const struct http_request *rq);
/* True if origins ("*", list, "") lets this Origin in; an absent Origin is let in. */
bool http_origin_allowed(const char *origins, struct slice origin);

#endif
