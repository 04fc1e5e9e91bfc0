/*
 * unit - the one file that sees inside civetweb: civetweb_unit.c includes civetweb.c itself.
 *
 * Civetweb keeps what it is good at: the queue of sockets, the worker threads, parsing and
 * validating each request and calling back. Taken away is the socket. When a worker picks a
 * connection up, arrived() receives the descriptor and copies the head (exactly the head, which
 * lies whole in the kernel's buffer) into civetweb's buffer; from there on civetweb holds no
 * descriptor, so it can neither block on it nor close it, and bytes past the head stay in the
 * kernel for whoever gets the socket next. request() then handles; finish() decides between rest,
 * close and nothing left to do.
 *
 * A head that arrived() does not accept is made unreadable for civetweb, which then fails at once
 * and comes back through refuse(). Sockets enter by unit_feed(), never by civetweb's own listener:
 * it has to have one, so it gets an ephemeral port of loopback, and the descriptor behind it is
 * replaced by an eventfd that never becomes readable before the start returns.
 */
#ifndef TERN_HTTP_UNIT_H
#define TERN_HTTP_UNIT_H

#include "base/check.h"
#include <stdbool.h>
#include <stdint.h>

struct mg_connection; /* civetweb's */
struct unit;

struct unit_handlers {
        /* fed is what unit_feed() was given. Writes the head to buf and returns its length, or 0 to
         * refuse. */
        size_t (*arrived)(void *fed, int fd, char *buf, size_t cap);
        void (*request)(void *fed); /* civetweb accepted the head */
        void (*refuse)(void *fed);  /* arrived() or civetweb did not */
        void (*finish)(void *fed);  /* last call for fed: frees it */
};

/* 0, or -EAGAIN (no port, threads or memory). h is borrowed until unit_stop(). head_bytes_max is
 * the capacity of arrived()'s buffer. */
MUST_CHECK int unit_start(const struct unit_handlers *h, unsigned workers, unsigned queue,
        unsigned head_bytes_max, struct unit **ret);
/* True: fed and its fd belong to a worker. False: the queue is full or closed. Any thread; never
 * blocks beyond a short lock. */
bool unit_feed(struct unit *u, int fd, void *fed);
/* Closes the queue; returns what nobody picked up, one by one, then NULL. No unit_feed() succeeds
 * afterwards. */
void *unit_drain(struct unit *u);
/* Joins the workers. The queue has to be drained. NULL is fine; returns NULL. */
struct unit *unit_stop(struct unit *u);

/* ---- for ops, which lets civetweb listen itself ---- */

/* errno of this thread's last failed bind() inside civetweb, or 0. */
int unit_bind_error(void);
/* Zeroes the buffer that the worker used for the connection before: civetweb parses past what it
 * has read. */
void unit_blank(const struct mg_connection *conn);

#endif
