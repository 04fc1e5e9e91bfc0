/*
 * txn - a producer whose records and whose place in what it reads become true together, or not at all.
 *
 * For programs that copy: the offsets to go on from are committed to a consumer group inside of the transaction that
 * holds the records, so that one who was killed goes on without a hole and without a double. A name belongs to one
 * producer at a time: a second one with it shuts the first out and ends what that one left open.
 *
 * Readers with isolation.level=read_committed see committed transactions only; that is all of Tern's. Blocking; owner: one thread.
 */
#ifndef TERN_BUS_TXN_H
#define TERN_BUS_TXN_H

#include "bus/bus.h"

struct txn;

/* Registers the name with Kafka. 0, or -errno with a sentence in fault; -ENOTSUP: this broker knows no transactions. */
MUST_CHECK int txn_new(
        struct bus *b, const char *name, int timeout_ms, struct txn **ret, char fault[256]);
/* Ends what is open without effect. NULL is fine; returns NULL. */
struct txn *txn_free(struct txn *t);
/* Finds a topic's leaders ahead of its first record, which would otherwise wait for them up to a second. */
void txn_warm(struct txn *t, const char *topic, int timeout_ms);
/* 0 or -errno with a sentence in fault. */
MUST_CHECK int txn_begin(struct txn *t, char fault[256]);
/* Copies the record; its timestamp is kept if it is > 0 and the topic takes producers' times. Waits while the queue is full. 0; -EAGAIN:
 * the transaction is lost, txn_abort() it; else -errno. */
MUST_CHECK int txn_produce(struct txn *t, const struct bus_record *r, char fault[256]);

struct txn_offset {
        int32_t partition;
        int64_t offset; /* next to read; -1 when asked for and not known */
        char note[96];  /* kept beside it */
};
/* group NULL: no offsets. 0; -EAGAIN: nothing of it happened, txn_abort() it and do it all again; else -errno: it can not go on. */
MUST_CHECK int txn_commit(struct txn *t, const char *group, const char *topic,
        const struct txn_offset *offsets, size_t count, int timeout_ms, char fault[256]);
/* 0 or -errno with a sentence in fault. */
MUST_CHECK int txn_abort(struct txn *t, int timeout_ms, char fault[256]);

/* What a group has committed of a topic, waiting for transactions under way. 0 or -errno. */
MUST_CHECK int txn_offsets(struct bus *b, const char *group, const char *topic,
        struct txn_offset *offsets, size_t count, int timeout_ms, char fault[256]);

#endif
