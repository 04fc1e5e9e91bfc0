/*
 * session - one socket's stay: who it is, what it follows, and its record in chat.sessions by which
 * any gateway can take it over.
 *
 * It lives in the socket's application memory (sio_user) from CONNECT to ops.closed. What only a
 * recoverable session needs stands in struct session_log.
 *
 * States:
 *   NEW        CONNECT is being answered (a restore may be under way)
 *   LIVE       accepted, attached
 *   FENCED     another gateway owns a later gen: nothing is written any more, the transport is going
 *   CLOSED     in ops.closed
 * Owner: the shard's loop thread.
 */
#ifndef TERN_MESSAGING_SESSION_H
#define TERN_MESSAGING_SESSION_H

#include "messaging/gateway.h"

#include "realtime/socketio_server.h"

#define SID_TEXT 21 /* 20 characters and a NUL */
#define PID_TEXT 25 /* 24 characters and a NUL */
#define PID_HASH_BYTES 32
#define PID_HEX_TEXT 65
#define OWNER_TEXT 80

enum session_state { SESSION_NEW, SESSION_LIVE, SESSION_FENCED, SESSION_CLOSED };

/* All sessions of one user on this shard. */
struct user {
        struct list sessions; /* struct session.in_user */
        uint32_t count;
        uint32_t id_n;
        char id[]; /* NUL-terminated; the key in gateway.users */
};

/* Waits until a record of the session that holds its present rooms is confirmed. */
struct session_wait {
        struct list link;
        void (*done)(struct session_wait *w, bool confirmed);
};

struct session_log {
        struct session *
                session; /* borrowed; NULL once the socket is gone and a write is still under way */
        uint8_t pid_hash[PID_HASH_BYTES];
        char owner[OWNER_TEXT]; /* instance and a nonce: who holds this gen */
        int64_t gen;
        int64_t written_ms; /* of the newest record sent; 0 = none yet */
        uint64_t made, lost; /* numbers of the newest record, and of the newest that is not known to be in the log */
        uint32_t in_flight;  /* writes that are under way */
        bool unrecoverable; /* the newest rooms are not in the log; the client was told */
        struct shard_timer timer, patience;
        struct list waiting; /* struct session_wait for the next write */
        struct list writes;  /* struct session_write that the bus holds, oldest first */
};

struct restore;

struct session {
        struct subscriber sub;
        struct gateway *gw;      /* borrowed */
        struct user *user;       /* shared by the user's sessions; NULL until accepted */
        struct session_log *log; /* owned; NULL without recovery */
        struct restore *restore; /* owned while under way */
        struct list in_user, in_gateway;
        struct list calls; /* struct call.in_session */
        struct map lanes;  /* conversation id -> struct lane, see call.h */
        struct shard_timer expiry;
        int64_t issued_ms;    /* of the token; wall */
        int64_t since_ms;     /* of its CONNECT; wall */
        uint32_t call_count;  /* with the events that wait for a lane */
        size_t pending_bytes; /* their arguments */
        uint32_t room_count;
        uint32_t tokens; /* rate: events left in this second */
        int64_t tokens_ms;
        char *trace;       /* owned: traceparent that the socket came with; NULL = none */
        char *counted;     /* owned: the user as whose limits_enter() was called; NULL = nobody */
        uint32_t refusals; /* events answered with rate_limited lately */
        int64_t refused_ms;
        uint8_t address_n, address[16]; /* what limits count the client's address by */
        char sid[SID_TEXT];
        enum session_state state;
        bool admin; /* token has the scope admin */
};

static inline struct sio_socket *session_socket(struct session *s)
{
        return sio_socket_of(s);
}
struct slice session_user(const struct session *s);
/* Index in app.namespaces. */
static inline unsigned session_nsp(const struct session *s)
{
        return variant_nsp(s->sub.variant);
}
/* Whether its events end in a cursor from now on. */
static inline void session_set_cursor(struct session *s, bool cursor)
{
        s->sub.variant = (uint8_t)(session_nsp(s) * VARIANTS_OF_NAMESPACE +
                                   (cursor ? VARIANT_CURSOR : VARIANT_PLAIN));
}

/* sio_ops.connect and .closed. */
void session_connect(void *app, struct sio_socket *so, struct slice nsp, struct slice payload,
        const struct sio_handshake *hs);
void session_closed(void *app, struct sio_socket *so, enum sio_close_reason reason);
/* sio_ops.drained and .dropped: the outbox has room again; events were dropped at its bound. */
void session_drained(void *app, struct sio_socket *so);
void session_dropped(void *app, struct sio_socket *so, const struct msg *first);
/* seq of the next record of a key's partition, as this shard has seen the log. */
int64_t session_position_seq(const struct gateway *gw, struct slice key);
/* The same as this client has seen it. */
int64_t session_next_seq(const struct session *s, struct slice key);
/* Closes the transport; the client comes back by itself. */
void session_drop(struct session *s, enum sio_close_reason reason);
/* An ordinary new session: fresh sid and pid (unless recovery is off), attached at the log's present
 * end. Or a refusal, if the token was taken back meanwhile. */
void session_begin(struct session *s, struct slice user, bool recovery);
/* The session that another stay had, whose rooms have been joined already: the caller accepts and
 * attaches it. False after a refusal. */
MUST_CHECK bool session_take_over(struct session *s, struct slice user,
        const uint8_t hash[PID_HASH_BYTES], const char *sid, int64_t gen, const char *owner);
/* Called for each session now and then: fresh cursors for the idle, fresh session records. */
void session_refresh(struct session *s, int64_t now_ms);
/* A tiny event whose only argument is the present cursor. */
void session_send_cursor(struct session *s);

/* ---- session_record.c ---- */
struct session_log *session_log_new(
        struct session *s, const uint8_t hash[PID_HASH_BYTES], int64_t gen, const char *owner);
/* A name for a stay that no other stay has, on any gateway. */
void session_draw_owner(const struct gateway *gw, char ret[OWNER_TEXT]);
/* The socket is gone, its rooms are still there. Of a goodbye a record says that nobody may restore the session; of a cut a record
 * that was still to come is written now; a fenced one says nothing any more. */
enum session_end { SESSION_END_CUT, SESSION_END_GOODBYE, SESSION_END_FENCED };
void session_log_release(struct session_log *l, enum session_end end);
/* The rooms changed (or the record is old): writes it, at most one in 20 ms. w may be NULL; it is told about the
 * first record that holds the rooms as they are now. */
void session_log_write(struct session *s, struct session_wait *w);
void session_wait_cancel(struct session_wait *w);
/* What a session is found by. A pid of one namespace is unknown in every other. */
void pid_hash(struct slice nsp, struct slice pid, uint8_t ret[PID_HASH_BYTES]);
void pid_hex(const uint8_t hash[PID_HASH_BYTES], char ret[PID_HEX_TEXT]);
/* A record of chat.sessions went by: another gateway may own this session now. */
void session_record_seen(struct gateway *gw, const struct record *r);

/* ---- restore.c ---- */
/* The client came back with (pid, offset); ends in a restored session, or in session_begin(). */
void restore_start(struct session *s, struct slice user, struct slice pid, struct slice offset);
/* The socket went away meanwhile. */
void restore_abandon(struct session *s);

#endif
