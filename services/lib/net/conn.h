/*
 * conn - a client's connection on a shard: bytes in, gathered writes out, and nothing kept while
 * idle.
 *
 * struct conn is embedded in what owns it and costs some 80 bytes: reads go through one buffer of
 * the shard's and are lent for the call, what is to be written stays the owner's. Everything
 * happens on the shard's thread.
 *
 * Life: conn_open() -> open -> conn_close(), conn_reset() or conn_give_up() -> closing: no callback
 * but closed(), which comes at the end of the loop turn, never from inside another callback or from
 * the closing call itself; only then the memory may go. hangup() does not close: the owner does.
 * Hang-ups are noticed also while reading is off, that is, for a parked long-poll.
 *
 * What it does not do: deadlines and stalls (the owner sees progress by conn_writev() and has
 * shard_timer), buffering, TLS.
 */
#ifndef TERN_NET_CONN_H
#define TERN_NET_CONN_H

#include "base/list.h"
#include "base/slice.h"
#include "net/shard.h"

#include <sys/types.h>
#include <sys/uio.h>

struct conn;

struct conn_ops {
        /* Bytes of the peer, at least one, borrowed for the call. Take them all: what is not
         * wanted now has to be kept by the owner. */
        void (*bytes)(struct conn *c, struct slice in);
        /* There is room again after conn_writev() came short. */
        void (*writable)(struct conn *c);
        /* Once: the peer is gone. err 0 = it ended its direction (after all its bytes were
         * delivered, or at once while reading is off), else a negative errno such as
         * -ECONNRESET. */
        void (*hangup)(struct conn *c, int err);
        /* Last call: c may be freed in it. */
        void (*closed)(struct conn *c);
};

/* What the shard's poller calls; embedded first in whatever has a descriptor. Private to net. */
struct watch {
        void (*ready)(struct shard *sh, struct watch *w, uint32_t events);
        int fd; /* owned; -1 = none */
};

enum conn_state {
        CONN_NONE = 0, /* not opened */
        CONN_OPEN,
        CONN_CLOSING, /* closed() is due */
};

struct conn { /* all private; use the functions */
        struct watch watch;
        /* in the shard's list of those that may have more to read, or in that of the closing */
        struct list link;
        struct shard *sh; /* borrowed */
        const struct conn_ops *ops;
        /* owned: bytes that conn_open() was given, until they are delivered; mostly NULL */
        struct conn_first *first;
        uint8_t state; /* enum conn_state */
        bool reading : 1;
        bool unread : 1;  /* the kernel may hold bytes */
        bool hup : 1;     /* the peer ended its direction; hangup() is due or done */
        bool hung : 1;    /* hangup() was called */
        bool blocked : 1; /* waits for room */
        bool relayed : 1; /* conn_relayed() */
        uint8_t addr_n;   /* 0 unknown, 4 or 16 */
        uint8_t addr[16]; /* of the client, binary */
};

#define CONN_ADDR_TEXT 64

/* Takes fd (non-blocking from now on). client_addr: numeric text or "". first: bytes that had
 * been read already (copied); they are delivered before any others, at the earliest in the next
 * loop turn. Reading is on. Never calls back. 0, or -errno: fd is still the caller's then. */
MUST_CHECK int conn_open(struct conn *c, struct shard *sh, int fd, const char *client_addr,
        struct slice first, const struct conn_ops *ops);
static inline bool conn_is_open(const struct conn *c)
{
        return c->state == CONN_OPEN;
}
static inline struct shard *conn_shard(const struct conn *c)
{
        return c->sh;
}
/* A peer that acknowledges nothing for so long is taken for dead: hangup(-ETIMEDOUT). Without it
 * a host that vanished is noticed after a quarter of an hour, by whoever writes to it. */
void conn_ack_within(struct conn *c, uint32_t ms);
/* Off: bytes stay in the kernel (and press back on the peer); the peer's leaving is still
 * noticed. On: never calls back at once. */
void conn_read(struct conn *c, bool on);
/* For who passes bytes on to another socket: reads come in pieces of at most CONN_RELAY_BYTES, and
 * hangup() comes after all bytes, also if reading was off when the peer ended or reset; writable()
 * still comes after it. Right after conn_open(). */
#define CONN_RELAY_BYTES 16384
static inline void conn_relayed(struct conn *c)
{
        c->relayed = true;
}
/* Ends our direction after what was written; the peer's goes on. */
void conn_end(struct conn *c);
/* Writes what goes now, all iovecs gathered in one call: the bytes written, 0 to all. Fewer than
 * all: ops.writable() will be called, and until then further calls return 0 without trying.
 * Negative errno: broken, close it. Never calls back. */
ssize_t conn_writev(struct conn *c, const struct iovec *iov, int iov_n);
/* The same for one run of bytes. */
static inline ssize_t conn_write(struct conn *c, struct slice bytes)
{
        struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes.p, .iov_len = bytes.n};
        return conn_writev(c, &iov, 1);
}
/* True between a short write and writable(). */
static inline bool conn_blocked(const struct conn *c)
{
        return c->blocked;
}
/* Ends it in order: what was written still reaches the peer, its own unread bytes are thrown
 * away (for a bounded time). */
void conn_close(struct conn *c);
/* Ends it with a reset: nothing more reaches the peer, nothing stays in the kernel. For a
 * message that was cut in its middle. */
void conn_reset(struct conn *c);
/* Gives the descriptor to the caller, still non-blocking, unread bytes still in the kernel.
 * closed() follows. */
int conn_give_up(struct conn *c);
/* Numeric text of what conn_open() was told, or "". */
void conn_client_addr(const struct conn *c, char ret[CONN_ADDR_TEXT]);

#endif
