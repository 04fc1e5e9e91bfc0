/*
 * fanout - the single-threaded core that turns the log's records into clients' messages.
 *
 * One per shard. It knows topics and cursor slots, the newest record of each key in the tail, rooms
 * (topic, key) with their subscriptions, and each subscriber's place in the log. It does no I/O and
 * reads no clock: feed hands it batches and older records, the application makes frames and pushes.
 *
 * A subscriber is in one of these states:
 *   LIVE      gets each batch's records with the shared cursor
 *   CATCHUP   has a vector of its own (own != NULL) and is handed what it missed, paced by push()
 *   READING   as CATCHUP, and waits for older records from Postgres or Kafka (ops.read_old)
 *   LAGGED    its outbox was dropped at the bound; subscriber_drained() puts it back into CATCHUP
 * A LIVE subscriber may still have `own`: it is ahead of this gateway, or was a moment ago; it gets
 * cursors of its own until the shard's position has passed its vector in every slot.
 *
 * Vector: next offset wanted, one for each cursor slot (a slot is one partition of a topic that
 * bears a cursor). All threads' rules: owner is the shard's loop thread; nothing here locks.
 */
#ifndef TERN_FANOUT_FANOUT_H
#define TERN_FANOUT_FANOUT_H

#include "base/list.h"
#include "base/map.h"
#include "fanout/record.h"

#define FANOUT_SLOTS_MAX 128

struct fanout;

struct fanout_topic {
        const char *name; /* without prefix; borrowed for ever */
        uint16_t partitions;
        bool cursor;      /* its partitions are cursor slots */
        bool rooms;       /* records are delivered to the room of their key */
        bool all;         /* every valid record is shown to ops.record (sessions, control, access) */
        bool by_key;      /* newest record of each key is findable (fanout_newest) */
        uint8_t room_class; /* topics of one class share rooms: one subscription serves them all */
        char room_until;  /* 0: the room is the whole key; else the key up to this character */
        uint32_t epoch;
};

/* Where a subscriber's older records end and what of them is missing. */
struct attach_read {
        struct list link;            /* fanout's */
        struct subscriber *sub;      /* NULL once cancelled */
        uint16_t topic, partition;
        int32_t slot;
        uint32_t epoch;
        int64_t from_offset;         /* first wanted */
        int64_t until_offset;        /* first that the tail has */
        uint32_t from_epoch;         /* epoch of from_offset; older than epoch: ask by seq */
        const struct slice *keys;    /* owned by the read */
        const int64_t *key_from_seq; /* nothing of keys[i] below this seq */
        size_t key_count;
        uint32_t records_max;        /* a page */
        void *reader;                /* for the side that reads */
};

enum fanout_tier { TIER_TAIL, TIER_POSTGRES, TIER_KAFKA, TIER_GAP };

enum fanout_verdict {
        FANOUT_DELIVER,
        FANOUT_SKIP,
        FANOUT_DELIVER_AND_MUTE, /* deliver this one; nothing more of this room until FANOUT_DELIVER_AND_UNMUTE */
        FANOUT_DELIVER_AND_UNMUTE,
};

struct subscription {
        struct list in_room; /* room's list */
        struct list in_sub;  /* subscriber's list */
        struct room *room;
        struct subscriber *sub;
        int64_t from_seq; /* nothing below it is delivered */
        bool muted;       /* rights were taken away at this point of the log */
        bool hold;        /* live events wait (join pending): treated as CATCHUP capped at from */
};

enum subscriber_state { SUB_DETACHED, SUB_LIVE, SUB_CATCHUP, SUB_READING, SUB_LAGGED };

struct subscriber {
        struct list rooms;        /* of struct subscription.in_sub */
        struct list active;       /* fanout's list of the state it is in */
        struct list touched;      /* flushed at the end of the batch */
        enum subscriber_state state;
        uint8_t variant;          /* which frame it gets (application's numbering) */
        uint8_t worst_tier;       /* enum fanout_tier of the attach under way */
        int64_t *own;             /* owned: vector of nslots, or NULL while it follows the shared cursor */
        int64_t attach_started_ms;
        struct attach_read *read; /* under way, or NULL */
};

struct fanout_ops {
        /* The frame of a record, or NULL if it shows nothing (invalid: counted by the callee).
         * cursor is the text to stamp. own is true if the cursor is one subscriber's (do not share). Returns one reference. */
        struct msg *(*frame)(void *app, const struct record *r, unsigned variant, struct slice cursor, bool own);
        /* Encodes a vector; full or only the slots the subscriber touches is the application's choice.
         * sub is NULL for the shared cursor. Appends to dst (cap FANOUT_CURSOR_MAX), returns its length. */
        size_t (*cursor)(void *app, const struct subscriber *sub, const int64_t *vector, char *dst);
        /* Once for each valid, first record whose room has a subscription here (also of catch-up: own is then true), before
         * its verdicts and frames: the place to parse it once. */
        void (*room_record)(void *app, const struct record *r, bool own);
        /* Before delivery, per subscription: rights, except-lists. */
        enum fanout_verdict (*verdict)(void *app, struct subscription *sn, const struct record *r);
        /* Queues m (takes its own reference). 0, or -ENOBUFS: at the bound, nothing was queued.
         * While catching up, -EAGAIN means: enough for now, call subscriber_drained() later; nothing was queued. */
        int (*push)(void *app, struct subscriber *s, struct msg *m, bool catchup);
        /* The subscriber got messages in this batch: write once. */
        void (*flush)(void *app, struct subscriber *s);
        /* Each valid, first record of a topic with .all. */
        void (*record)(void *app, const struct record *r);
        /* Starts reading older records; answered by fanout_read_page() or fanout_read_failed(), on
         * this thread, also at once. */
        void (*read_old)(void *app, struct attach_read *rd);
        void (*read_cancel)(void *app, struct attach_read *rd);
        /* Caught up: live from here on. */
        void (*live)(void *app, struct subscriber *s, enum fanout_tier tier, int64_t took_ms);
        /* Offsets [from, to) of the slot cannot be had: the client must be told. Delivery goes on after it. */
        void (*gap)(void *app, struct subscriber *s, int32_t slot, int64_t from_seq, int64_t to_seq);
};
#define FANOUT_CURSOR_MAX 1024

struct fanout_stats { /* the owner reads and clears it after each batch */
        uint64_t live, catchup, volatiles, drops;
        uint64_t tier[4];
};

MUST_CHECK int fanout_new(const struct fanout_topic *topics, size_t count, const struct fanout_ops *ops, void *app, struct fanout **ret);
/* No subscriber may be attached. */
struct fanout *fanout_free(struct fanout *f);

/* ---- the log comes in (called by feed) ---- */

/* Records in the bus's order. positions: next offset of each slot after the batch (also when records
 * were skipped: control records, foreign keys). first_pos, tail_start: what the tail still has after eviction; slabs
 * below first_pos may be freed when this returns. */
struct fanout_batch {
        const struct record *const *records;
        size_t count;
        const int64_t *positions;     /* by (topic, partition) flat index, see fanout_flat() */
        uint64_t first_pos;           /* records below are gone */
        const int64_t *tail_start;    /* by flat index: first offset that the tail covers without a hole */
};
void fanout_batch(struct fanout *f, const struct fanout_batch *b, int64_t now_ms);
/* Flat index of a partition over all topics in table order. */
size_t fanout_flat(const struct fanout *f, uint16_t topic, uint16_t partition);
size_t fanout_flat_count(const struct fanout *f);
int32_t fanout_slot(const struct fanout *f, uint16_t topic, uint16_t partition);
size_t fanout_slot_count(const struct fanout *f);
/* Next offset of a partition as this shard has seen it. */
int64_t fanout_position(const struct fanout *f, uint16_t topic, uint16_t partition);
/* First offset that the tail covers. */
int64_t fanout_tail_start(const struct fanout *f, uint16_t topic, uint16_t partition);
/* The shard's vector: next offsets by slot; borrowed until the next batch. */
const int64_t *fanout_vector(const struct fanout *f);
/* The shared cursor text as of now; borrowed until the next batch. */
struct slice fanout_cursor(struct fanout *f);
uint32_t fanout_epoch(const struct fanout *f, uint16_t topic);
struct fanout_stats *fanout_stats(struct fanout *f);

/* Newest record of a key in the tail, then prev through record_prev(); NULL if none. */
const struct record *fanout_newest(const struct fanout *f, uint16_t topic, struct slice key);
const struct record *fanout_prev(const struct fanout *f, const struct record *r);

/* ---- waiting for the log ---- */

/* Embedded in the waiter's struct. passed runs on this thread when the position is beyond offset;
 * original is the offset of the first record with that record's id (offset itself if it was the first), or -1 when
 * that is no longer known. */
struct fanout_wait {
        struct list link;
        int64_t offset;
        void (*passed)(struct fanout_wait *w, int64_t original);
};
/* Runs at once if already passed (original looked up in the tail). */
void fanout_wait_passed(struct fanout *f, uint16_t topic, uint16_t partition, int64_t offset, struct fanout_wait *w);
void fanout_wait_cancel(struct fanout_wait *w);

/* ---- subscribers ---- */

void subscriber_init(struct subscriber *s, uint8_t variant);
/* Leaves every room, cancels a read, frees the vector. */
void subscriber_done(struct fanout *f, struct subscriber *s);
/* Follows a key from from_seq on (0: whatever the subscriber's vector says). Returns the subscription, owned by fanout until subscriber_leave() or
 * subscriber_done(); an existing one is returned unchanged. hold: nothing of this room is delivered until subscriber_release(). */
struct subscription *subscriber_join(struct fanout *f, struct subscriber *s, uint16_t topic, struct slice key, int64_t from_seq, bool hold);
/* A held room's events from from_seq on are handed over now. */
void subscriber_release(struct fanout *f, struct subscription *sn);
void subscriber_leave(struct fanout *f, struct subscription *sn);
struct subscription *subscriber_find(const struct subscriber *s, uint16_t topic, struct slice key);
struct slice subscription_key(const struct subscription *sn);
uint16_t subscription_topic(const struct subscription *sn);
/* Calls fn for each subscription of a room; fn may not join or leave rooms. */
void fanout_room_each(struct fanout *f, uint16_t topic, struct slice key, void (*fn)(void *arg, struct subscription *sn), void *arg);
size_t fanout_room_size(const struct fanout *f, uint16_t topic, struct slice key);

/* From DETACHED: live from the shard's position, at once. */
void subscriber_attach_now(struct fanout *f, struct subscriber *s);
/* From DETACHED: everything of its rooms from vector on (nslots next offsets, copied; a value beyond the position is fine: it is
 * ahead). epochs_differ: the vector is of an older epoch: from_seqs (by slot; seq of the next wanted) are used instead. */
void subscriber_attach(struct fanout *f, struct subscriber *s, const int64_t *vector, int64_t now_ms);
void subscriber_attach_old_epoch(struct fanout *f, struct subscriber *s, uint32_t epoch, const int64_t *vector, int64_t now_ms);
/* The outbox has room again (after -EAGAIN or -ENOBUFS). */
void subscriber_drained(struct fanout *f, struct subscriber *s, int64_t now_ms);
/* The application dropped MSG_EVENT messages from its outbox; first is the oldest dropped one. The subscriber becomes LAGGED with
 * its vector just before it. */
void subscriber_lagged(struct fanout *f, struct subscriber *s, const struct msg *first);

/* ---- older records ---- */

/* records (loose, in offset order, borrowed for the call) answer rd; next_offset: everything below it is now known. tier says from where.
 * next_offset >= rd->until_offset ends the read, else fanout asks for the next page. */
void fanout_read_page(struct fanout *f, struct attach_read *rd, const struct record *const *records, size_t count, int64_t next_offset, enum fanout_tier tier, int64_t now_ms);
/* The range up to to_offset cannot be had. */
void fanout_read_gap(struct fanout *f, struct attach_read *rd, int64_t to_offset, int64_t now_ms);

#endif
