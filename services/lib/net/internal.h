/*
 * internal - what the files of net share: the shard's inside, its poller, and how sockets are let
 * go.
 *
 * One edge-triggered epoll set per shard stands inside the libuv loop (whose own watchers cost
 * three times the memory and a system call for each change of interest). A descriptor is registered
 * once, for all events, for its whole life.
 */
#ifndef TERN_NET_INTERNAL_H
#define TERN_NET_INTERNAL_H

#include "net/conn.h"
#include "net/shard.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <uv.h>

#define SHARD_READ_BYTES 65536
#define SHARD_EVENTS 256

/* Whatever may be freed while a batch of events still names it starts with this, and goes
 * through shard_bury(). */
struct grave {
        struct watch watch;
        struct list link;
};

struct shard {
        unsigned index, loop_no;
        struct lifecycle *lc; /* borrowed; may be NULL */
        void (*start)(struct shard *sh, void *arg);
        void (*stop)(struct shard *sh, void *arg);
        void *arg;
        pthread_t thread;
        struct mail end;
        bool ending;
        struct mailbox *mailbox; /* owned */

        uv_loop_t loop;
        uv_async_t wake;
        uv_poll_t poll;
        uv_timer_t timer, tick;
        uv_prepare_t prepare;
        uv_check_t check;
        uv_idle_t idle; /* active while work is left that must not wait for an event */

        int epoll_fd;
        struct shard_timer **heap; /* owned array of borrowed timers, by due_ms */
        size_t heap_n, heap_cap;
        int64_t armed_ms;    /* when the loop's timer goes off; 0 = not armed */
        struct list laters;  /* of shard_later */
        struct list unread;  /* of conn: those that may have more to read without a new event */
        struct list closing; /* of conn: closed() is due */
        struct list graves;
        struct list lingers; /* oldest first */
        size_t lingers_n;
        struct shard_timer linger_timer;
        char *read_buf; /* SHARD_READ_BYTES, lent to bytes() and used to peek */
};

/* ---- shard.c ---- */

/* Registers fd with the poller. 0 or -errno. */
MUST_CHECK int shard_watch(struct shard *sh, struct watch *w, uint32_t events);
void shard_unwatch(struct shard *sh, int fd);
/* Frees at the end of the turn; the watch is dead at once. */
void shard_bury(struct shard *sh, struct grave *g);

/* ---- timers.c ---- */

void timers_run(struct shard *sh);
void timers_done(struct shard *sh);

/* ---- conn.c ---- */

void conn_read_more(struct shard *sh);
void conn_run_closed(struct shard *sh);

/* ---- linger.c ---- */

/* Ends a socket in order; takes fd. watched: it stands in the poller already. */
void linger_close(struct shard *sh, int fd, bool watched);
void linger_init(struct shard *sh);
void linger_done(struct shard *sh);

/* ---- addr.c ---- */

/* Numeric text to 4 or 16 bytes; 0 if it is neither. Mapped IPv4 becomes 4. */
uint8_t addr_parse(const char *text, uint8_t ret[16]);
void addr_text(const uint8_t *addr, uint8_t addr_n, char ret[CONN_ADDR_TEXT]);
uint8_t addr_of_sockaddr(const struct sockaddr_storage *ss, uint8_t ret[16]);

#endif
