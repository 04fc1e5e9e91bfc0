/*
 * core - what the files of fanout share and nobody else sees.
 *
 *   topics.c      topics, partitions, slots, positions, the shared cursor, how old the tail is
 *   place.c       a subscriber's own place: effective vector, cursor text, holds' bounds
 *   room.c        rooms and subscriptions
 *   subscriber.c  the life of a subscriber: attach, lag, drain, hold, end
 *   deliver.c     a batch comes in: live delivery, shared frames
 *   catchup.c     what was missed: the tail's links, older pages, gaps
 *   wait.c        who waits for an offset; duplicates
 *
 * The rule of re-entry: every public call that may do work is bracketed by fanout_enter() and fanout_leave(). Callbacks run
 * inside; what they ask for is queued (runnable, touched) and done by the outermost fanout_leave(). So no catch-up
 * nests in another one or in a delivery, and f->current is the one subscriber that is being served.
 */
#ifndef TERN_FANOUT_CORE_H
#define TERN_FANOUT_CORE_H

#include "fanout/fanout.h"
#include "fanout/tailindex.h"

#define FANOUT_CLASSES_MAX 8
#define FANOUT_VARIANTS_MAX 256
#define COLLECT_MAX 512 /* tail records that one step of a catch-up looks at */
#define PAGE_MAX 512
#define PAGE_MIN 16
#define PAGE_FIRST 128
#define RUN_BUDGET 4096 /* records handed over in one turn of the loop, over all subscribers */
#define AGES_MAX 64
#define TURNS_MAX 32 /* changes of one room's rights that an outbox drop can take back exactly */

#define EPOCH_LIMIT (1u << 13) /* a seq stays exact in JavaScript */
#define SEQ_OFFSET_MASK (((int64_t)1 << SEQ_EPOCH_SHIFT) - 1)
#define SEQ_NEVER INT64_MAX

static inline int64_t seq_make(uint32_t epoch, int64_t offset)
{
        return ((int64_t)epoch << SEQ_EPOCH_SHIFT) + offset;
}
static inline uint32_t seq_epoch(int64_t seq)
{
        return (uint32_t)(seq >> SEQ_EPOCH_SHIFT);
}

/* A subscriber's own place. While LIVE, next is a floor: what lies between it and the shard's position was delivered live.
 * Otherwise next is exact. Nothing at or above cap is delivered, whatever the state. */
struct place {
        int64_t *cap; /* by slot, SEQ_NEVER = none; owned; NULL while the subscriber has no holds */
        int64_t next[]; /* by slot: seq */
};

struct room {
        struct fanout *f;
        struct list subs; /* struct subscription.in_room */
        uint32_t count;
        uint16_t pins; /* iterations under way: not freed though empty */
        uint8_t class_;
        int32_t slot;  /* of its key in the class's cursor topic; -1 if it has none */
        uint64_t hash; /* hash_key(key) */
        uint32_t key_n;
        char key[];
};

/* An iteration over a room that survives whatever the callbacks do. On the stack, linked in fanout.iters. */
struct room_iter {
        struct room_iter *outer;
        struct room *room;
        struct list *next;
        struct subscription *cur; /* NULL once it has left */
};

struct room_class {
        struct map rooms;     /* key -> struct room */
        int32_t first_topic;  /* -1: no topic of this class */
        int32_t cursor_topic; /* -1: none bears a cursor */
};

struct duplicate {
        int64_t offset, original;
};
/* Duplicates of one partition that the tail still covers, in order. */
struct duplicates {
        struct duplicate *items; /* owned */
        size_t head, count, cap;
};

struct topic_state {
        size_t flat;  /* of its partition 0 */
        int32_t slot; /* of its partition 0; -1 if it bears no cursor */
        uint32_t epoch;
};

enum frame_state { FRAME_UNKNOWN, FRAME_MADE };

struct wanted { /* a tail record for a subscription that is catching up */
        const struct record *r;
        struct subscription *sn;
};

struct fanout {
        struct fanout_topic *topics; /* owned copy */
        struct topic_state *states;
        size_t topic_count, flat_count, slot_count;
        struct fanout_ops ops;
        void *app;
        struct room_class classes[FANOUT_CLASSES_MAX];
        /* By flat index. */
        int64_t *positions, *tail_start;
        struct list *waits; /* of struct fanout_wait, ascending by offset */
        struct duplicates *duplicates;
        /* By slot. */
        uint32_t *epochs;
        int64_t *vector;
        uint16_t *slot_topic;
        size_t *slot_flat;
        /* The tail. */
        struct tail_index index;
        uint64_t first_pos, last_pos;
        struct {
                uint64_t pos;
                int64_t ms;
        } ages[AGES_MAX]; /* samples: when pos was the newest */
        size_t age_count;
        int64_t age_step_ms;
        int64_t moves; /* counts changes of the vector */
        /* The shared cursor. */
        char cursor[FANOUT_CURSOR_MAX], own_cursor[FANOUT_CURSOR_MAX];
        size_t cursor_n;
        bool cursor_known;
        /* Frames of the record at hand, by variant. */
        struct msg *frames[FANOUT_VARIANTS_MAX];
        uint8_t frame_state[FANOUT_VARIANTS_MAX];
        uint8_t frame_used[FANOUT_VARIANTS_MAX];
        size_t frame_count;
        /* Work. */
        struct room_iter *iters;
        struct list runnable, ahead, touched; /* subscribers */
        struct subscriber *current;
        uint64_t leaves; /* counts subscriptions that ended */
        unsigned depth;
        int64_t now_ms;
        struct wanted *collected; /* COLLECT_MAX */
        /* Scratch by slot. */
        int64_t *scratch_seqs, *scratch_offsets;
        uint32_t *scratch_epochs;
        struct fanout_stats stats;
        uint32_t in_state
                [SUB_LAGGED +
                        1]; /* subscribers, by enum subscriber_state; the detached are not counted */
        int64_t *
                delivered; /* owned: timestamps of the batch's records that somebody here was given */
        size_t delivered_n, delivered_cap;
};

/* ---- topics.c ---- */
void fanout_enter(struct fanout *f);
void fanout_leave(struct fanout *f);
void fanout_moved(struct fanout *f); /* the vector changed */
void ages_note(struct fanout *f);
static inline int64_t fanout_here(const struct fanout *f, int32_t slot)
{
        return seq_make(f->epochs[slot], f->vector[slot]);
}

/* ---- place.c ---- */
/* Next seq wanted of a slot, whatever the state. */
int64_t place_next(const struct fanout *f, const struct subscriber *s, int32_t slot);
/* The subscriber has a place of its own from now on, exact as of now. */
void place_own(struct fanout *f, struct subscriber *s);
/* Frees it if the shared cursor says the same or more. True if it is gone. */
bool place_drop_if_passed(struct fanout *f, struct subscriber *s);
void place_free(struct subscriber *s);
/* Recomputes the bounds from the held subscriptions. */
void place_update_caps(struct fanout *f, struct subscriber *s);
static inline int64_t place_cap(const struct subscriber *s, int32_t slot)
{
        return s->own && s->own->cap ? s->own->cap[slot] : SEQ_NEVER;
}
/* seqs (by slot) as the application's text; borrowed until the next call. */
struct slice place_text(struct fanout *f, const struct subscriber *s, const int64_t *seqs);
/* Stamps a frame that was just made: kind, place of the record, and the vector of its cursor. */
void place_stamp(
        const struct fanout *f, struct msg *m, const struct record *r, const int64_t *seqs);
/* The shared vector as seqs; scratch. */
const int64_t *place_shared(struct fanout *f);

/* ---- room.c ---- */
struct room *room_find(const struct fanout *f, uint8_t class_, struct slice key, uint64_t hash);
struct slice room_key(const struct room *room);
void room_iter_begin(struct room_iter *it, struct room *room);
struct subscription *room_iter_next(struct room_iter *it);
void room_iter_end(struct room_iter *it);
/* Unlinks and frees. */
void subscription_free(struct fanout *f, struct subscription *sn);
struct subscription *subscription_in(const struct subscriber *s, const struct room *room);
/* The verdict was carried out. */
void subscription_turn(struct subscription *sn, enum fanout_verdict v, int64_t seq);
/* What turned at or after next_seq has not been seen by the client after all. */
void subscription_rewind(struct subscription *sn, int64_t next_seq);

/* ---- subscriber.c ---- */
void subscriber_set_state(struct fanout *f, struct subscriber *s, enum subscriber_state state);
/* To be served by the outermost fanout_leave(). */
void subscriber_make_runnable(struct fanout *f, struct subscriber *s);
void subscriber_touched(struct fanout *f, struct subscriber *s);
/* A push was refused at the record: the client reads on from there. */
void subscriber_lag_at(struct fanout *f, struct subscriber *s, int32_t slot, int64_t seq);
/* Lets those go whose place the position has passed; a few at a time. */
void subscribers_retire_ahead(struct fanout *f);

/* ---- catchup.c ---- */
/* Serves s (CATCHUP): returns what it cost in records. */
size_t catchup_step(struct fanout *f, struct subscriber *s);

/* ---- wait.c ---- */
void wait_note_duplicate(struct fanout *f, const struct record *r);
void wait_fire(struct fanout *f);
/* The topic's log was restarted: everyone hears -1. */
void wait_fail(struct fanout *f, uint16_t topic);
void wait_evict(struct fanout *f);

#endif
