/*
 * chat - a world of the chat service: messaging gateways with the service's own sessions, restores, rooms and sends, writers, and
 * clients that behave as the stock Socket.IO client does.
 *
 *   chat_world.c   the story: who does what, what breaks, and how it ends
 *   chat_gate.c    a gateway process; chat_shard.c is net/shard.h in it, chat_socket.c realtime/socketio_server.h
 *   chat_client.c  a client; chat_owed.c is what it is owed (the model)
 */
#ifndef TERN_SIM_CHAT_H
#define TERN_SIM_CHAT_H

#include "archive.h"
#include "scribe.h"
#include "world.h"

enum { CHAT_GATES_MAX = 3, CHAT_CLIENTS_MAX = 5, CHAT_ROOMS_MAX = 4, CHAT_USERS = 3, CHAT_SENDS_MAX = 64 };
enum { CHAT_EVENTS, CHAT_RECEIPTS, CHAT_SIGNALS, CHAT_SESSIONS, CHAT_CONTROL, CHAT_ACCESS, CHAT_TOPICS };
#define CHAT_TEXT 1100 /* a cursor */

/* ---- frames, and the way they go ---- */

enum frame_kind { FRAME_CONNECT, FRAME_REFUSED, FRAME_EVENT, FRAME_ACK, FRAME_DISCONNECT };
struct frame {
        struct list link;
        enum frame_kind kind;
        int64_t ack_id;
        struct slice a, b, c; /* sid, pid; name, arguments, cursor; of an ack: arguments in b */
        char bytes[];
};

/* One connection between a client and a gateway. Lives as long as the world. */
struct wire {
        uint64_t number;
        struct list to_client; /* struct frame */
        size_t bytes;
        bool server_closed; /* after what is in it */
        int64_t gone_ms; /* since when the client does not listen any more; 0: it does */
};

struct chat_world;
struct chat_gate;
struct chat_client;

/* ---- what a client is owed ---- */

struct chat_seat { /* a client's stay in a room */
        bool follows, asked, muted;
        bool before; /* it followed the room earlier in this session: what is older may come */
        int64_t from, shown; /* shown: the newest that came before its join was answered */
        size_t at; /* index into the room's items: everything before it was received or is not owed */
};

struct chat_room {
        char key[16];
        struct entry **items; /* owned: every record that counts or may be shown, in order */
        size_t count, cap;
};

struct chat_send { /* a message that a client has sent, or will send again */
        char client_id[24];
        int room;
        int64_t sent_ms; /* wall: its first attempt */
        int64_t ack_id;  /* under way; -1: not */
        bool acked, refused;
};

struct chat_client {
        struct chat_world *w;
        char name[8], user[8];
        struct chat_gate *gate;
        struct wire *wire; /* NULL while away */
        bool connected;
        /* As the stock client keeps them. */
        char pid[32], offset[CHAT_TEXT];
        struct list early; /* struct frame: events before the answer to CONNECT */
        int64_t acks;
        struct chat_seat seats[CHAT_ROOMS_MAX];
        int64_t joining[CHAT_ROOMS_MAX]; /* ack ids; -1: none */
        int64_t fetching, fetch_before;  /* ack id */
        int fetch_room;
        struct chat_send sends[CHAT_SENDS_MAX];
        size_t send_count;
        struct {
                int32_t slot;
                int64_t from, to;
        } gaps[32];
        size_t gap_count;
        bool slow;
        unsigned sessions;
        int64_t connected_ms;
        bool recorded;  /* when it last came, the log had a record of its session */
        int64_t contended_ms; /* when its pid was last used twice; 0: never */
};

struct chat_shape {
        unsigned gates, shards, clients, rooms, partitions, records, writers;
        double kills, pauses, away, writer_kills, members, sends, vanish;
        bool roomy, calm; /* calm: nothing but gateways dies, so no session may be lost */
};

struct chat_world {
        struct chat_shape shape;
        struct kafka *kafka;
        struct postgres *pg;
        struct feed_settings settings;
        struct topic *topics[CHAT_TOPICS];
        struct topic *archived[6];
        struct archive archive;
        struct chat_room rooms[CHAT_ROOMS_MAX];
        struct chat_gate *gates[CHAT_GATES_MAX];
        struct scribe *scribes[2];
        struct chat_client clients[CHAT_CLIENTS_MAX];
        uint64_t ids, starts, wires;
        int64_t writers_rest_ms; /* no writer starts before */
        bool quiet, over;
};

/* ---- chat_gate.c ---- */
struct chat_gate *chat_gate_start(struct chat_world *w, unsigned index);
void chat_gate_kill(struct chat_gate *g);
/* As SIGTERM does it. */
void chat_gate_stop(struct chat_gate *g);
bool chat_gate_ready(const struct chat_gate *g);
bool chat_gate_gone(const struct chat_gate *g);
struct process *chat_gate_process(struct chat_gate *g);
/* The client's side of a wire; what is said arrives a little later. payload: of CONNECT. */
struct wire *chat_connect(struct chat_gate *g, struct chat_client *c, struct slice payload);
void chat_emit(struct chat_gate *g, struct wire *wire, const char *name, struct slice args, int64_t ack_id);
void chat_hang_up(struct chat_gate *g, struct wire *wire);
void chat_read_some(struct chat_gate *g, struct wire *wire);
/* kafka.produced: a gateway writes a session's record; fails if it knows that the session is another's. */
void chat_produced(void *arg, struct process *p, const struct topic *t, const struct bus_record *r);

/* ---- chat_world.c ---- */
/* The client comes back: what the log knows of its session now. */
void chat_session_note(struct chat_client *c);
/* Nothing has happened that may cost it its session. */
bool chat_session_owed(const struct chat_client *c);

/* ---- chat_client.c ---- */
void chat_client_init(struct chat_world *w, unsigned index);
bool chat_client_satisfied(const struct chat_client *c);
void chat_client_explain(const struct chat_client *c);

/* ---- chat_owed.c ---- */
/* An event of the log has come: seq of the room. */
void chat_owed_event(struct chat_client *c, int room, int64_t seq);
void chat_owed_joined(struct chat_client *c, int room, int64_t from);
bool chat_owed_all(const struct chat_client *c);
void chat_owed_explain(const struct chat_client *c);
/* A page of history, newest first seqs. */
void chat_owed_page(const struct chat_client *c, int room, int64_t before, const int64_t *seqs, size_t count, size_t limit);
int chat_room_named(const struct chat_world *w, struct slice key);
/* -1 if there is none. */
int64_t chat_number(struct slice json, const char *field);

#endif
