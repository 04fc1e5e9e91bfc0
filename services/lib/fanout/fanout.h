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
 * Vector: next offset wanted, one for each cursor slot (a slot is one partition of a topic that bears a cursor). A
 * subscriber's own place is kept as seqs, because it may lie in an older epoch of the log.
 *
 * Callbacks may call everything here, ending the very subscriber included; catching up that is asked for inside
 * a callback happens before the outermost call returns. Owner: the shard's loop thread; nothing here locks.
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
        bool cursor; /* its partitions are cursor slots */
        bool rooms;  /* records are delivered to the room of their key */
        bool all;    /* every valid record is shown to ops.record (sessions, control, access) */
        bool by_key; /* newest record of each key is findable (fanout_newest) */
        uint8_t room_class; /* topics of one class share rooms: one subscription serves them all */
        char room_until;    /* 0: the room is the whole key; else the key up to this character */
        uint32_t epoch;     /* at the start; see fanout_restart() */
};

/*
 * A question for older records of one slot, made by fanout and answered by who reads (feed). Everything in it is owned by the
 * read itself and stays as it is until the answer. Places are seqs, so that a range may begin in an older epoch of the log
 * (then it ends at that epoch's end, and the next question goes on with the next epoch).
 */
struct attach_read {
        struct list link;       /* the reader's */
        struct subscriber *sub; /* NULL once cancelled */
        uint16_t topic, partition;
        int32_t slot;
        uint32_t epoch;       /* the topic's epoch now */
        uint32_t records_max; /* a page */
        int64_t from_seq;     /* first wanted */
        int64_t until_seq; /* first that is not wanted: the tail has it, or the next epoch begins */
        const struct slice *keys;
        const int64_t *key_from_seq; /* nothing of keys[i] below this seq */
        size_t key_count;
        void *reader; /* for the side that reads; NULL when asked */
};
/* The reader lets go of a cancelled read. */
void attach_read_free(struct attach_read *rd);

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
        int64_t *
                turns; /* fanout's: the last records that changed muted, oldest first; owned, NULL = none */
        uint32_t turn_count;
        bool muted; /* rights were taken away at this point of the log */
        bool hold; /* its events wait (join pending), and so do those of the same slot: see subscriber_join() */
};

enum subscriber_state { SUB_DETACHED, SUB_LIVE, SUB_CATCHUP, SUB_READING, SUB_LAGGED };

struct place; /* private: seq wanted next, by slot, and what holds set bounds to */

struct subscriber {
        struct list rooms;   /* of struct subscription.in_sub */
        struct list active;  /* fanout's: it has something to hand over, or is ahead */
        struct list touched; /* fanout's: flushed at the end of the batch */
        enum subscriber_state state;
        uint8_t variant;    /* which frame it gets (application's numbering) */
        uint8_t worst_tier; /* enum fanout_tier of the attach under way */
        bool announce;      /* ops.live is owed */
        bool drained_early; /* drained while it was being served */
        uint16_t page_max;  /* records of its next older page; adapts to what its outbox takes */
        uint16_t holds;     /* of its subscriptions */
        struct place *own;  /* owned by fanout; NULL while it follows the shared cursor */
        int64_t attach_started_ms;
        struct attach_read *read; /* under way, or NULL */
        int64_t cursor_ms,
                cursor_moves; /* when, and at which move of the vector, it last got a cursor */
};

struct fanout_ops {
        /* The frame of a record, or NULL if it shows nothing (invalid: counted by the callee). cursor is the text to stamp. own
         * is true if the cursor is one subscriber's (do not share). Returns one reference. fanout itself sets MSG_EVENT or
         * MSG_VOLATILE, slot and offset, by the record's topic. */
        struct msg *(*frame)(
                void *app, const struct record *r, unsigned variant, struct slice cursor, bool own);
        /* Encodes a place in the log: epoch and next offset wanted, by slot; full or only the slots the subscriber touches is
         * the application's choice. All slots of one topic have one epoch. sub is NULL for the shared cursor. Writes to dst
         * (cap FANOUT_CURSOR_MAX), returns the length. */
        size_t (*cursor)(void *app, const struct subscriber *sub, const uint32_t *epochs,
                const int64_t *offsets, char *dst);
        /* Once for each valid, first record whose room has a subscription here (also of catch-up: own is then true), before
         * its verdicts and frames: the place to parse it once. */
        void (*room_record)(void *app, const struct record *r, bool own);
        /* Before delivery, per subscription: rights, except-lists. */
        enum fanout_verdict (*verdict)(void *app, struct subscription *sn, const struct record *r);
        /* Queues m (takes its own reference). 0, or -ENOBUFS: at the bound, nothing was queued (subscriber_lagged() may be
         * called from inside, or later, if events were dropped). While catching up, -EAGAIN means: enough for now, call
         * subscriber_drained() later; nothing was queued. */
        int (*push)(void *app, struct subscriber *s, struct msg *m, bool catchup);
        /* The subscriber got messages in this batch: write once. */
        void (*flush)(void *app, struct subscriber *s);
        /* Each valid, first record of a topic with .all. */
        void (*record)(void *app, const struct record *r);
        /* Caught up after an attach or after having lagged: live from here on. */
        void (*live)(void *app, struct subscriber *s, enum fanout_tier tier, int64_t took_ms);
        /* [from_seq, to_seq) of the slot cannot be had: the client must be told. Delivery goes on after it. */
        void (*gap)(
                void *app, struct subscriber *s, int32_t slot, int64_t from_seq, int64_t to_seq);

        /* Older records that it needs cannot be read now, and nobody can say whether they are still there: no gap. The
         * application closes the transport, so that the client comes back with what it has; else it is asked for again.
         * May be NULL. */
        void (*unreadable)(void *app, struct subscriber *s);

        /* The rest is feed's; applications leave it NULL. */
        void *reader; /* first argument of the three below */
        /* Starts reading older records; answered by fanout_read_page(), fanout_read_gap() or fanout_read_failed(), on
         * this thread, the first two also at once. */
        void (*read_old)(void *reader, struct attach_read *rd);
        /* Nobody wants the answer any more: rd->sub is NULL, and rd is the reader's to free (attach_read_free(), or by
         * answering it all the same). */
        void (*read_cancel)(void *reader, struct attach_read *rd);
        /* Work is left over for fairness: call fanout_run() in a later turn of the loop. */
        void (*again)(void *reader);
};
#define FANOUT_CURSOR_MAX 1024

struct fanout_stats { /* the owner reads and clears it after each batch */
        uint64_t live, catchup, volatiles, drops;
        uint64_t tier[4];
};

/* Topics whose partitions are 0 are not known yet: then fanout_lay_out() follows, before anything but look-ups of rooms. 0 or
 * -EINVAL: too many slots, two cursor topics in a room class, a cursor topic with room_until. */
MUST_CHECK int fanout_new(const struct fanout_topic *topics, size_t count,
        const struct fanout_ops *ops, void *app, struct fanout **ret);
/* Partitions (1 at least) and epoch of each topic; once. 0 or -EINVAL. */
MUST_CHECK int fanout_lay_out(struct fanout *f, const uint16_t *partitions, const uint32_t *epochs);
/* No subscriber may be attached. */
struct fanout *fanout_free(struct fanout *f);

/* ---- the log comes in (called by feed) ---- */

/* Records in the bus's order. positions: next offset of each slot after the batch (also when records
 * were skipped: control records, foreign keys). first_pos, tail_start: what the tail still has after eviction; slabs
 * below first_pos may be freed when this returns. */
struct fanout_batch {
        const struct record *const *records;
        size_t count;
        const int64_t *positions; /* by (topic, partition) flat index, see fanout_flat() */
        uint64_t first_pos;       /* records below are gone */
        const int64_t
                *tail_start; /* by flat index: first offset that the tail covers without a hole */
};
void fanout_batch(struct fanout *f, const struct fanout_batch *b, int64_t now_ms);
/* What ops.again asked for. */
void fanout_run(struct fanout *f, int64_t now_ms);
/* The log of a topic goes on elsewhere: retention passed this gateway, or the topic was made anew (then with a higher epoch).
 * starts: next offset of each partition. Who follows it catches up from where it was: from Postgres, or by a gap. */
void fanout_restart(
        struct fanout *f, uint16_t topic, uint32_t epoch, const int64_t *starts, int64_t now_ms);
/* Flat index of a partition over all topics in table order. */
size_t fanout_flat(const struct fanout *f, uint16_t topic, uint16_t partition);
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
/* Subscribers in a state other than DETACHED. */
uint32_t fanout_subscribers(const struct fanout *f, enum subscriber_state state);
/* Timestamps of the last batch's records that somebody here was given, each once; borrowed until the next batch. */
const int64_t *fanout_delivered(const struct fanout *f, size_t *ret_n);

/* Newest record of a key in the tail (of the topic's present epoch; neither a duplicate nor foreign), then older ones; NULL
 * if none. */
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
/* Runs at once if already passed. Otherwise after the batch that passes it has been delivered. A log that was restarted answers -1. */
void fanout_wait_passed(struct fanout *f, uint16_t topic, uint16_t partition, int64_t offset,
        struct fanout_wait *w);
/* Harmless if w waits for nothing, provided its link was initialised once (fanout_wait_passed() or list_init()). */
void fanout_wait_cancel(struct fanout_wait *w);

/* ---- subscribers ---- */

void subscriber_init(struct subscriber *s, uint8_t variant);
/* Leaves every room, cancels a read, frees the vector; it may be initialised again. Allowed from inside every callback. */
void subscriber_done(struct fanout *f, struct subscriber *s);
/*
 * Follows a key. Before the attach, from_seq is as given (0: whatever the attach's vector says). Afterwards a room is followed
 * from the present on: a lower from_seq is raised to the shard's position, or, for a client that is ahead of this gateway, to
 * its own place; read what is in force from the result. Returns the subscription, owned by fanout until subscriber_leave() or
 * subscriber_done(); an existing one is returned unchanged.
 *
 * hold: nothing of this room is delivered until subscriber_release(). Until then the client's cursor must not pass from_seq on
 * that slot, so the events of its other rooms on that slot wait too; other slots go on, with cursors of its own.
 */
struct subscription *subscriber_join(struct fanout *f, struct subscriber *s, uint16_t topic,
        struct slice key, int64_t from_seq, bool hold);
/* A held room's events from from_seq on are handed over now. */
void subscriber_release(struct fanout *f, struct subscription *sn);
void subscriber_leave(struct fanout *f, struct subscription *sn);
struct subscription *subscriber_find(const struct subscriber *s, uint16_t topic, struct slice key);
struct slice subscription_key(const struct subscription *sn);
/* The first topic of its room's class. */
uint16_t subscription_topic(const struct subscription *sn);
size_t fanout_room_size(const struct fanout *f, uint16_t topic, struct slice key);
/*
 * All rooms of a topic's class on this shard, a part at a time, in no order. w is zeroed at first and kept by the caller between the
 * parts. When the rooms have been moved in their table meanwhile (it grew), the walk is back at its beginning and says so: what
 * was seen is to be forgotten. Rooms that come or go during the walk may be in it or not.
 */
struct fanout_walk {
        size_t at;
        const void *table;
};
enum fanout_walked { FANOUT_WALK_ON, FANOUT_WALK_DONE, FANOUT_WALK_AGAIN };
/* fn may not change rooms. */
enum fanout_walked fanout_walk(const struct fanout *f, uint16_t topic, struct fanout_walk *w,
        unsigned rooms_max, void (*fn)(void *arg, struct slice key, size_t members), void *arg);
/* Each subscription of a room on this shard; fn may leave, join and end subscribers. */
void fanout_room_each(struct fanout *f, uint16_t topic, struct slice key,
        void (*fn)(void *arg, struct subscription *sn), void *arg);

/* From DETACHED: live from the shard's position, at once. */
void subscriber_attach_now(struct fanout *f, struct subscriber *s);
/* From DETACHED: everything of its rooms from vector on (next offsets by slot, copied; a value beyond the position is fine: it is
 * ahead). */
void subscriber_attach(
        struct fanout *f, struct subscriber *s, const int64_t *vector, int64_t now_ms);
/* The vector is of this epoch (of every topic); what is older than a topic's present epoch is asked for by seq. */
void subscriber_attach_old_epoch(struct fanout *f, struct subscriber *s, uint32_t epoch,
        const int64_t *vector, int64_t now_ms);
/* As above with a seq for each slot, for cursors whose topics have epochs of their own. */
void subscriber_attach_seqs(
        struct fanout *f, struct subscriber *s, const int64_t *seqs, int64_t now_ms);
/* The outbox has room again (after -EAGAIN or -ENOBUFS). Harmless in every state. */
void subscriber_drained(struct fanout *f, struct subscriber *s, int64_t now_ms);
/* The application dropped messages from its outbox; first is the oldest dropped MSG_EVENT. The subscriber becomes LAGGED with
 * its vector just before it. Everything that bears a cursor and came after first must have been dropped with it. */
void subscriber_lagged(struct fanout *f, struct subscriber *s, const struct msg *first);
/* True if it is live, the log has moved on, and its last cursor is older than a third of the tail (of this one as it is, and
 * of a fresh gateway's, which reaches back tail_ms), or it never had one: send it a fresh one. */
bool subscriber_stale(
        const struct fanout *f, const struct subscriber *s, int64_t tail_ms, int64_t now_ms);
/* The seq that it wants next of a slot: what its subscriptions' muted says is true there. */
int64_t subscriber_next(const struct fanout *f, const struct subscriber *s, int32_t slot);
/* The cursor for its present place, and notes that it gets it; n 0 unless it is live. Borrowed until the next call or batch.
 * The message that carries it must be MSG_VOLATILE: it may not outlive events that are dropped from the outbox before it. */
struct slice subscriber_cursor(struct fanout *f, struct subscriber *s, int64_t now_ms);

/* ---- older records ---- */

/* records (loose, in seq order, borrowed for the call) answer rd; next_seq: everything of its keys below it is now known
 * (> rd->from_seq). next_seq >= rd->until_seq ends the read, else fanout asks for the next page when the client can take it.
 * rd belongs to fanout again from the call on. */
void fanout_read_page(struct fanout *f, struct attach_read *rd, const struct record *const *records,
        size_t count, int64_t next_seq, enum fanout_tier tier, int64_t now_ms);
/* [rd->from_seq, to_seq) cannot be had; otherwise as a page. */
void fanout_read_gap(struct fanout *f, struct attach_read *rd, int64_t to_seq, int64_t now_ms);
/* Nobody could say for a long time: see ops.unreadable. */
void fanout_read_failed(struct fanout *f, struct attach_read *rd, int64_t now_ms);

#endif
