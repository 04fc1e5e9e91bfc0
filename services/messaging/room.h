/*
 * room - what a shard knows of one conversation: whether it exists, who is a member, what each has
 * read. Loaded from Postgres with the tail laid over it, kept true by the log while somebody here
 * follows the conversation, and dropped with the last one.
 *
 * A "no" is never said from stale state: room_ask answers NOT_FOUND and FORBIDDEN only after the
 * shard has passed the partition's end as of the question. Everything that is merged into a room
 * (rows, the tail, the live log) bears a seq, so the order in which it comes does not matter.
 *
 *   room.c       life, members, questions
 *   room_load.c  the snapshot and the tail over it
 *
 * Owner: the shard's loop thread.
 */
#ifndef TERN_MESSAGING_ROOM_H
#define TERN_MESSAGING_ROOM_H

#include "messaging/gateway.h"

#define ROOM_MEMBERS_MAX 20000 /* that are loaded; a user beyond them is asked for alone */

struct member {
        struct list link;
        int64_t added_seq, removed_seq; /* 0 = never */
        int64_t read_seq;               /* 0 = nothing */
        char *role;                     /* owned */
        char id[];                      /* NUL-terminated; key in room.members */
};

struct room {
        uint32_t refs; /* calls that use it, plus one while somebody here follows it */
        bool loaded;   /* members are complete as of as_of_seq; kept true while it is followed */
        bool partial;  /* more members than are kept: a user who is not here may still be one */
        bool exists, open, followed;
        int64_t as_of_seq;        /* the log's place when this was last true; 0 = nothing known */
        char *title, *created_by; /* owned or NULL */
        int64_t created_ms;
        int64_t created_seq; /* of the first record that creates it; 0 = not seen */
        struct map members;  /* user id -> struct member */
        struct list member_list;
        size_t reader_count; /* members with a read_seq, former ones included */
        struct list asks;    /* struct room_ask that wait for the load */
        struct feed_query *query;
        char *query_user; /* owned: whose own row the query brings; NULL before the first */
        struct gateway *gw;
        uint32_t id_n;
        char id[];
};

enum room_answer {
        ROOM_MEMBER,
        ROOM_NOT_MEMBER, /* exists, and the user is none of its members */
        ROOM_ABSENT,     /* no such conversation */
        ROOM_UNKNOWN,    /* Postgres or Kafka is away */
};

/* Embedded in who asks; zeroed before its first question, and one question at a time. */
struct room_ask {
        struct list link;
        void (*done)(struct room_ask *a, enum room_answer answer);
        struct feed_barrier *barrier;
        struct room *room; /* a reference while under way */
        const char *user;  /* borrowed */
        struct gateway *gw;
        bool whole;   /* a yes, too, waits until all members are known */
        bool certain; /* the barrier has been passed */
        bool linked;  /* in room.asks */
};

/* Whether user may enter. done() may run at once. Afterwards a->room (a reference, released by
 * room_ask_done() or the next question) holds what is known. */
void room_ask(struct gateway *gw, struct slice conversation_id, const char *user,
        struct room_ask *a, void (*done)(struct room_ask *a, enum room_answer answer));
/* The same, but a yes waits for the load too; with Postgres away what the log has told has to do
 * (then a->room->loaded is false). */
void room_ask_whole(struct gateway *gw, struct slice conversation_id, const char *user,
        struct room_ask *a, void (*done)(struct room_ask *a, enum room_answer answer));
void room_ask_cancel(struct room_ask *a);
void room_ask_done(struct room_ask *a);

/* NULL if nothing is known of it here; lends. */
struct room *room_get(struct gateway *gw, struct slice id);
struct room *room_ref(struct room *r);
void room_unref(struct room *r);
/* Somebody here follows it from now on: the log keeps it true. Call in the turn in which the
 * subscription was made. */
void room_followed(struct gateway *gw, struct slice id);
/* The last follower may have gone. */
void room_unfollowed(struct gateway *gw, struct slice id);
/* The log went by: membership and receipts. */
void room_apply(
        struct gateway *gw, struct slice id, const struct event *e, int64_t seq, int64_t time_ms);
void room_merge(struct room *r, const struct event *e, int64_t seq, int64_t time_ms);
bool room_has_member(const struct room *r, struct slice user);

/* ---- between room.c and room_load.c ---- */
struct slice room_id(const struct room *r);
/* Finds or makes. */
struct member *room_member(struct room *r, struct slice user);
void room_member_read(struct room *r, struct member *m, int64_t seq);
/* Starts a query that brings the members and certainly user's own row. One at a time. */
void room_load(struct room *r, const char *user);
/* The query is done: err as of feed_query. */
void room_loaded(struct room *r, int err);

#endif
