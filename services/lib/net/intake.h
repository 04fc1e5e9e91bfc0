/*
 * intake - the listener, and the place where sockets wait until their whole request head is there.
 *
 * A worker that reads a slow head is a thread lost. So a fresh or kept-alive socket rests here,
 * unread (MSG_PEEK, edge-triggered), until CRLFCRLF lies in the kernel's buffer; then feed() takes
 * it. Deadline head_ms for a whole head (idle_ms before the first byte on a kept-alive one),
 * head_bytes_max, per-address cap. One intake runs over all shards; each socket rests on one of
 * them, at some 110 bytes and no CPU.
 *
 * Who is refused: a head too long gets 431, one too slow 408, both are closed in order; who comes
 * beyond a cap is closed at once (at connections_max the oldest idle kept-alive socket gives way
 * first). A whole head that finds no worker within head_ms is closed without an answer. Both caps
 * count resting sockets only: who has been handed over is somebody else's. Each end is counted in
 * tern_intake_expired_total.
 *
 * Two things may happen to a socket before feed(). On the port for other gateways a line comes
 * before the head: line() judges it, it is taken out of the kernel, and the socket rests on as the
 * one of the client whom it names. And claim() may take a socket whose head, still unread, is
 * another gateway's business.
 */
#ifndef TERN_NET_INTAKE_H
#define TERN_NET_INTAKE_H

#include "base/address.h"
#include "base/metrics.h"
#include "net/conn.h"

struct intake;
struct intake_options {
        const char *bind;                          /* address */
        uint32_t port;                             /* 0 = any free one */
        uint32_t head_ms, idle_ms, head_bytes_max; /* at most 65536 */
        /* Resting at once, on all shards; 0 = no cap. A /64 of IPv6 counts as one address. */
        uint32_t per_address_max, connections_max;
        /* Borrowed until intake_shut(): peers that speak for many clients, to whom per_address_max is nothing. NULL: none. */
        const struct networks *proxies;
        /* Takes fd and returns true, or false: try again in a moment. Never blocks. On a shard. */
        bool (*feed)(void *arg, int fd, const char *client_addr);
        /* NULL: none. On a shard; head is the whole head, lent for the call, and unread. True: fd
         * was taken. Never blocks. */
        bool (*claim)(
                void *arg, struct shard *sh, int fd, const char *client_addr, struct slice head);
        /* NULL: no line comes first. line ends in a line feed, or is all of the first line_max bytes
         * (or all there will ever be) without one. True with the client's numeric address (or "") in
         * ret_addr; false: the socket is closed. */
        bool (*line)(void *arg, struct shard *sh, struct slice line, char ret_addr[CONN_ADDR_TEXT]);
        uint32_t line_max;
        void *arg;
        struct metrics *metrics;
};
/* Binds, but does not listen yet. 0, or -errno of bind. */
MUST_CHECK int intake_new(const struct intake_options *o, struct shard *const *shards,
        unsigned count, struct intake **ret, uint32_t *ret_port);
MUST_CHECK int intake_open(struct intake *in); /* listen and accept */
/* Main thread, shards running: stops accepting and closes what rests. When it returns feed() is
 * not called any more, and what intake_rest() is given is closed. */
void intake_shut(struct intake *in);
/* A socket that may carry another request. Any thread; takes fd. */
void intake_rest(struct intake *in, int fd, const char *client_addr);
/* A claimed socket whose bytes are all still in the kernel comes back, to be fed without being
 * offered to claim() again. On sh's thread; takes fd. */
void intake_return(struct intake *in, struct shard *sh, int fd, const char *client_addr);
/* After the shards have ended. */
struct intake *intake_free(struct intake *in);

#endif
