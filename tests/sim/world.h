/*
 * world - one simulated run: a log, an archive, a writer, gateways, clients, and what befalls them.
 *
 *   fiber.c       the machine: processes, threads, time, chance
 *   kafka.h       the log, and bus/ on it
 *   postgres.h    the archive, and store/ on it
 *   trace.c       what happened, and failing
 *
 *   feed_world.c  a story of feed and fan-out: who does what, what breaks, and how it ends
 *   gate.c        a gateway: the services' feed and fan-out with a small application
 *   client.c      a client, and what it is owed (the model)
 *
 *   writer_world.c  a story of writers
 *   archive.c       what they owe the database (the model)
 *
 *   chat.h          a story of the chat service
 *
 * A rule that is broken ends the run by fail(). Everything here belongs to the one real thread.
 */
#ifndef TERN_SIM_WORLD_H
#define TERN_SIM_WORLD_H

#include "kafka.h"
#include "postgres.h"

#include "feed/feed.h"

enum { GATES_MAX = 3, SHARDS_MAX_SIM = 2, CLIENTS_MAX = 6, ROOMS_MAX = 8, SLOTS_MAX = 8 };
/* The feed's topics. A room's key is one of EVENTS; NOTES has rooms of its own, and an epoch of its own. */
enum { EVENTS, NOTES, SIGNALS, ACCESS, TOPICS };

/* ---- trace.c ---- */
void trace_begin(bool loud);
/* about: whom it is about, NULL for the world. */
void trace(const char *about, const char *format, ...) PRINTF_LIKE(2, 3);
/* What the services log stands between the lines of a loud run; NULL in any other. Leaked with its process. */
struct log *trace_log(const char *service);
/* Prints why and what led to it, and ends the process. */
NORETURN void fail(const char *about, const char *format, ...) PRINTF_LIKE(2, 3);
/* What the runs of this process have gone through, by name. */
void count(const char *what);
void counts_print(void);

/* ---- what is counted as a room ---- */
struct room_model { /* every record that counts, in order */
        uint16_t topic;
        char key[16];
        struct entry **items; /* owned array */
        size_t count, cap;
};

struct world;
struct gate;
struct conn;

/* A frame on its way to a client. */
enum packet_kind { PACKET_EVENT, PACKET_JOINED, PACKET_GAP, PACKET_CURSOR, PACKET_ATTACHED };
struct packet {
        struct list link;
        enum packet_kind kind;
        int room; /* index; -1 none */
        int64_t seq, to_seq;
        int32_t slot;
        uint32_t size;
        bool has_cursor, volatile_;
        int64_t cursor[SLOTS_MAX];
};

struct seat { /* a client's stay in a room */
        bool follows, asked;
        int64_t from;
        size_t at; /* index into room_model.items: everything before it was received or is not owed */
};

struct client {
        struct world *w;
        char name[8];
        struct gate *gate; /* NULL while away */
        uint64_t visit;    /* numbers its connections; what belongs to an older one is stale */
        struct list pipe;  /* struct packet: sent, and not read yet */
        size_t pipe_bytes;
        bool server_closed; /* the pipe ends after what is in it */
        bool told_writable, attached, slow;
        struct seat seats[ROOMS_MAX];
        bool has_cursor;
        int64_t cursor[SLOTS_MAX];
        struct {
                int32_t slot;
                int64_t from, to;
        } gaps[64];
        size_t gap_count;
        uint64_t events;
};

struct shape { /* drawn for each run */
        unsigned gates, shards, clients, rooms, partitions;
        unsigned records; /* before the end */
        bool disasters;   /* records may be lost for ever, so gaps are legal */
        bool epochs;
        bool roomy; /* bounds of outboxes and pipes are never reached */
        double kills, pauses, away;
        int64_t writer_lag_ms;
};

struct world {
        uint64_t seed;
        struct shape shape;
        struct kafka *kafka;
        struct postgres *pg;
        struct feed_settings settings;
        struct topic *topics[TOPICS];
        struct room_model rooms[ROOMS_MAX];
        struct gate *gates[GATES_MAX];
        struct client clients[CLIENTS_MAX];
        uint64_t ids;
        bool quiet; /* the end: nothing breaks any more */
        bool over;  /* and everybody stops */
        bool writer_stopped;
        bool settling; /* a topic was just made anew: nothing is written */
};

/* ---- feed_world.c ---- */
void feed_world_run(uint64_t seed);
/* ---- writer_world.c ---- */
void writer_world_run(uint64_t seed);
/* ---- chat_world.c ---- */
void chat_world_run(uint64_t seed);
int32_t room_slot(const struct world *w, int room);
/* A gateway says that [from, to) of the slot cannot be had: fails if it can. */
void check_gap(struct world *w, const char *about, int32_t slot, int64_t from, int64_t to);

/* ---- gate.c ---- */
struct gate *gate_start(struct world *w, unsigned index);
/* As SIGTERM does it: returns when it has gone. Called by a fiber of the world. */
void gate_stop(struct gate *g);
void gate_kill(struct gate *g);
bool gate_ready(const struct gate *g);
bool gate_gone(const struct gate *g);
/* Of a topic, as its slowest shard knows it. */
uint32_t gate_epoch(const struct gate *g, uint16_t topic);
struct process *gate_process(struct gate *g);
/* The client's side of a connection. All arrive at the gateway a little later. */
void gate_connect(struct gate *g, struct client *c);
void gate_hang_up(struct gate *g, struct client *c);
void gate_ask_join(struct gate *g, struct client *c, int room);
void gate_leave(struct gate *g, struct client *c, int room);
void gate_writable(struct gate *g, struct client *c);

/* ---- client.c ---- */
void client_init(struct world *w, unsigned index);
void client_main(void *arg);
/* Everything that it is owed has come. */
bool client_satisfied(const struct client *c);
/* The name of the first record it lacks, for a message. */
void client_explain(const struct client *c);

#endif
