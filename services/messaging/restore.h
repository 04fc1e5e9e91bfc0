/*
 * restore - a session on its way from the log back to life. Private to the restore*.c files.
 *
 *   restore.c         the way: what is known, the claim, the end
 *   restore_find.c    the session's newest state: the tail, or Postgres with the tail over it
 *   restore_rooms.c   which rooms the user had a right to at the place where the replay begins
 *
 * Each step ends in a call of the next one or in restore_fail(); the socket may go away between any
 * two (restore_abandon).
 *
 * Owner: the shard's loop thread.
 */
#ifndef TERN_MESSAGING_RESTORE_H
#define TERN_MESSAGING_RESTORE_H

#include "messaging/session.h"

#include "base/hash.h"

/* Labels of the metric `resumes`, in its order. */
enum resume_result {
        RESUME_RECOVERED,
        RESUME_UNKNOWN_SESSION,
        RESUME_WRONG_USER,
        RESUME_FENCED,
        RESUME_GAP,
        RESUME_UNAVAILABLE,
};

/* The newest record that counts: of the newest gen, by the one whose record of that gen came first. */
struct found_state {
        char *sid, *sub, *owner, *rooms_json; /* owned; NULL while gen is 0 */
        int64_t gen;                          /* 0 = none */
        bool closed;
        bool sure;      /* whose record of this gen came first is certain */
        bool contested; /* somebody else wrote a record of this gen too */
};

struct restored_room {
        char *id;           /* owned */
        int64_t from_seq;   /* as it was joined */
        int64_t start_seq;  /* first that the client lacks */
        int64_t until_seq;  /* a removal that the session's record knows; -1 = none */
        int64_t at_seq;     /* the record knows of every change before; -1 = it does not say */
        int64_t known_from; /* the tail's records from this offset on are newer than what is known */
        uint16_t partition;
        bool muted;
        bool certain; /* muted is what it was at the place, and nothing before it says more */
        bool lacking; /* changes right before the place are neither in the archive nor in the tail */
};

struct restore {
        struct session *s; /* borrowed; NULL once the socket is gone or has been answered */
        struct gateway *gw;
        char *user, *pid; /* owned */
        uint8_t hash[PID_HASH_BYTES];
        char hex[PID_HEX_TEXT], owner[OWNER_TEXT], claim_id[UUID_TEXT];
        bool has_cursor;
        uint32_t cursor_epoch;
        int64_t vector[FANOUT_SLOTS_MAX];
        struct found_state found;
        bool from_store;
        int64_t gen; /* claimed */
        unsigned claims;
        struct restored_room *rooms; /* owned */
        size_t room_count, asking;   /* asking: the room that is asked for alone */
        struct feed_barrier *barrier;
        struct feed_query *query;
        struct bus_send send;
        bool sending; /* the bus holds send, and so r */
        struct fanout_wait wait;
        struct shard_timer deadline;
};

/* Another session begins instead. */
void restore_fail(struct restore *r, enum resume_result why);
/* Who would have to know cannot be asked now: the client is to come again. */
void restore_put_off(struct restore *r);
/* A feed_query() failed. More than a bridge holds lies between the archive and the tail (-EAGAIN): that may last for hours, and another
 * session begins; an outage passes, and the client is to come again. */
void restore_unread(struct restore *r, int err);

/* ---- restore_find.c ---- */
/* Then restore_found(). */
void restore_find(struct restore *r);
void restore_found(struct restore *r);
void found_state_done(struct found_state *st);
/* One more record, in the log's order. */
void found_state_fold(struct found_state *st, const struct event *e);

/* ---- restore_rooms.c ---- */
/* Reads the rooms of what was found and judges them. Then restore_judged(). */
void restore_judge(struct restore *r);
void restore_judged(struct restore *r);
void restore_rooms_done(struct restore *r);

#endif
