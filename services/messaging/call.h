/*
 * call - one request and its single answer: an event of a socket with its ack, or a REST request.
 *
 * The operations (join, send, fetch …) work on calls and do not know who asked. A call ends with
 * exactly one call_ok() or call_fail(); it is counted by references, because the bus may still hold a
 * delivery report of it when its socket is long gone.
 *
 * Lane: events of one socket that name the same conversation are handled in order. A call holds its
 * conversation's lane from its start until call_leave_lane() or its answer; what comes meanwhile waits
 * in the lane.
 *
 * Owner: the shard's loop thread.
 */
#ifndef TERN_MESSAGING_CALL_H
#define TERN_MESSAGING_CALL_H

#include "messaging/room.h"
#include "messaging/session.h"

#include "base/hash.h"
#include "base/trace.h"

struct rest_call; /* http/rest.h */

enum call_phase {
        CALL_OPEN, /* not answered yet */
        CALL_ANSWERED,
};

struct call {
        struct list in_gateway; /* gateway.calls */
        struct list in_session; /* session.calls; unlinked for REST and once the socket is gone */
        uint32_t refs;
        enum call_phase phase;
        struct lane *lane; /* borrowed; NULL if it holds none */
        struct gateway *gw;
        struct session *session; /* borrowed; NULL for REST, and once the socket is gone */
        struct rest_call *rest;  /* borrowed until the answer; NULL for sockets */
        int64_t ack_id;          /* -1: nobody asked */
        int64_t deadline_ms;
        char *user;            /* owned: who asks */
        char *conversation_id; /* owned; "" if the call names none */
        bool admin;            /* scope admin */
        size_t charged;        /* bytes of it that count in session.pending_bytes */
        /* What was asked for; which are used depends on the operation. */
        struct {
                char *client_id, *target_user, *title, *role; /* owned; NULL = absent */
                char *members_json;                           /* owned array text, or NULL */
                char *after_id; /* owned; of a list: the last id of the page before, or NULL */
                char *ends;     /* owned; the log's end as of the question, as {1,2,…}; or NULL */
                struct buf data;                        /* the record's value */
                int64_t before, after, seq, sent_at_ms; /* -1 = absent */
                uint32_t limit;
                bool flag; /* isTyping, open */
        } ask;
        /* Private to the operation that runs. */
        void (*produced)(struct call *c, enum bus_outcome outcome);
        struct room_ask room_ask;
        struct bus_send send;
        struct fanout_wait wait;
        struct session_wait record_wait;
        struct subscription *joining; /* held subscription of a join; NULL once released or gone */
        struct feed_query *query;
        void *query_arg; /* owned by the query; freed with it when the call ends first */
        struct feed_barrier *barrier;
        char message_id[UUID_TEXT];
        char trace[TRACE_TEXT]; /* traceparent of its records; "" none */
        int64_t from_seq, created_ms;
        bool waiting;                 /* for Kafka, after something was sent */
        bool asked;                   /* in gateway.asks: a backend is to answer */
        bool entered;                 /* open conversations: this join has written its membership */
        uint16_t ok_status;           /* REST; 200 unless set */
        void (*next)(struct call *c); /* of call_authorize */
};

/* For a socket's event. One reference, held by the call itself until it is answered. */
struct call *call_new(struct gateway *gw, struct session *s, struct slice user,
        struct slice conversation_id, int64_t ack_id);
/* What its arguments take of the session's bound, until it ends or its record is with Kafka. */
void call_charge(struct call *c, size_t bytes);
struct call *call_ref(struct call *c);
void call_unref(struct call *c);
/* fields: `"a":1,"b":2` without braces, may be empty. Answers {"ok":true,…}; no-op if answered. */
void call_ok(struct call *c, struct slice fields);
/* Answers {"ok":false,"error":{"code","message"}}. */
void call_fail(struct call *c, enum error_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* These arguments are the answer, whatever they say: another backend's. args: "a,b". */
void call_answer(struct call *c, struct slice args, const struct slice *attachments, size_t count);
/* An event fault as an answer. */
void call_fail_event(struct call *c, const struct event_error *err);
void call_fail_outcome(struct call *c, enum bus_outcome outcome);
/* What waits for the lane may run inside. (events.c) */
void call_leave_lane(struct call *c);
/* For what has to be done between the answer and the next event of the lane: the lane stays taken
 * until lane_leave(). NULL if the call holds none. In one turn of the loop only. */
struct lane *call_keep_lane(struct call *c);
void lane_leave(struct lane *l);
/* The socket is gone: its calls run on, answered to nobody. */
void calls_orphan(struct session *s);
/* Those over their deadline are answered `unknown` or `unavailable`. */
void calls_expire(struct gateway *gw, int64_t now_ms);

/* Runs next once it is certain that the user may act in the conversation; else the call is answered. */
void call_authorize(struct call *c, void (*next)(struct call *c));
/* The session's own, unmuted subscription of the call's conversation; NULL if it has none, or if it
 * lags behind and so cannot say what is right now. */
struct subscription *call_subscription(const struct call *c);
/* The answer for who may not. */
void call_refuse_room(struct call *c, enum room_answer answer);
/* Produces ask.data to a topic; produced() runs when the outcome is known. True, or false after call_fail(). */
bool call_produce(struct call *c, const char *topic, enum event_type type, struct slice id,
        struct slice key, void (*produced)(struct call *c, enum bus_outcome outcome));
/* The trace of what it writes: the argument's field `traceparent`, else the socket's. */
void call_trace(struct call *c, struct slice arg);
/* A record of a call's that call_produce() does not write; send may be NULL. 0, -ENOBUFS or -EMSGSIZE. */
MUST_CHECK int call_produce_beside(struct call *c, const char *topic, enum event_type type,
        struct slice id, struct slice key, struct slice value, struct bus_send *send);
/* A record outside of any call; send may be NULL. 0, -ENOBUFS or -EMSGSIZE. */
MUST_CHECK int gateway_produce(struct gateway *gw, const char *topic, enum event_type type,
        struct slice id, struct slice key, struct slice value, struct bus_send *send);

/* ---- the operations ---- */
void op_join(struct call *c);
void op_leave(struct call *c);
void op_send(struct call *c);
void op_fetch(struct call *c);
void op_typing(struct call *c);
void op_mark_read(struct call *c);
void op_conversation_create(struct call *c);
void op_conversation_list(struct call *c);
void op_member_list(struct call *c);
void op_member_add(struct call *c);
void op_member_remove(struct call *c);

/* ---- history.c ---- */
/* What history_load() made: "messages" in ascending order as JSON, comma-separated. */
struct history_page {
        struct buf json;
        size_t count;
        int64_t first_seq, last_seq;
        bool more;
};
/* Messages of the conversation before ask.before and after ask.after (-1: no bound): with after the oldest ones, else the
 * newest; at most limit, at most bytes_max of JSON. done runs once, unless the call ends first; err as of feed_query. */
void history_load(struct call *c, uint32_t limit, size_t bytes_max,
        void (*done)(struct call *c, int err, struct history_page *page));
/* Appends "receipts":[…] of a room. */
void receipts_json(const struct room *r, struct buf *out);

/* ---- events.c: sio_ops.event ---- */
void events_receive(void *app, struct sio_socket *so, const struct sio_event *ev);
/* The socket is gone, and its calls hold no lane any more. */
void events_drop_deferred(struct session *s);

#endif
