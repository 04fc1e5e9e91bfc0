/*
 * admin - the admin page of a gateway: what the fleet looks like, and what an operator may do to it.
 *
 * Served below /admin on the ops port (http/ops.h) to who has a token of scope `admin`. It shows the whole
 * fleet from any gateway: lib/fleet knows who there is, and what only another one knows is asked for and answered
 * on the topic `control` (tern.ask, tern.answer); so a gateway needs no way to another one but the log. Lists are pages of LISTING_ROWS_MAX rows at most, which the shards find in
 * slices. What changes anything, and what reads Kafka or Postgres, is done by ternctl as a child process: the
 * same code, the same audit, and its memory and its death are its own.
 *
 * Threads: workers of the ops port come in by admin_serve() and wait for their answers; the admin thread owns
 * everything that changes; shards are asked, and speak, by mail.
 */
#ifndef TERN_ADMIN_ADMIN_H
#define TERN_ADMIN_ADMIN_H

#include "admin/listing.h"

#include "base/list.h"
#include "base/mailbox.h"
#include "base/slice.h"

struct admin;
struct auth;        /* auth/auth.h */
struct revocations; /* auth/revocations.h */
struct bus;         /* bus/bus.h */
struct fanout;      /* fanout/fanout.h */
struct fleet;       /* fleet/fleet.h */
struct metrics;     /* base/metrics.h */
struct ops_request; /* http/ops.h */
struct subscriber;  /* fanout/fanout.h */

/* Keys: connections "<user> <name>", conversations their id, audiences "all" or "topic:<name>". */
enum admin_list { ADMIN_CONNECTIONS, ADMIN_CONVERSATIONS, ADMIN_AUDIENCES, ADMIN_LISTS };

/* One shard's share of a page. On its shard between two slices; the gateway keeps its place in it. */
struct admin_scan {
        struct mail mail; /* private, as all down to what */
        struct admin *admin;
        uint64_t survey;
        unsigned shard;
        enum admin_list what;
        struct listing listing;
        /* Of the walk, on the shard. */
        struct list in_gateway; /* unlinked at first, and unlinked for it at the end */
        struct list *at;        /* what comes next */
        size_t slot;            /* of a table, as the next */
        const void *table;
        const char *not_rooms;
        bool begun;
};

/* ---- walks, for struct admin_options.scan ---- */

/* A slice of a list whose new nodes go to its end. scans: the gateway's list of walks under way. */
bool admin_scan_nodes(struct admin_scan *scan, struct list *scans, struct list *nodes,
        void (*offer)(struct admin_scan *scan, struct list *node));
/* A node is about to leave that list. */
void admin_scans_leave(const struct list *scans, const struct list *node);
/* A slice of the rooms of a topic; not those that begin with not_rooms (NULL: all). */
bool admin_scan_rooms(
        struct admin_scan *scan, const struct fanout *f, uint16_t topic, const char *not_rooms);

struct admin_connection {
        struct slice user, about; /* about: namespace, or topics */
        const char *gateway, *transport;
        const struct subscriber *sub;
        unsigned rooms;
        int64_t since_ms;  /* wall */
        uint8_t address_n; /* as base/address.h has it: address_key() */
        const uint8_t *address;
};
/* Appends a connection's row. */
void admin_row(struct buf *json, const struct admin_connection *c);

struct admin_options {
        const char *service;  /* "messaging"; borrowed, as all here */
        const char *instance; /* 1 to 64 bytes of UTF-8 */
        struct bus *bus;
        struct auth *auth;
        struct revocations *revocations;
        struct metrics *metrics;
        struct fleet *fleet;
        unsigned shard_count;
        struct mailbox *(*mailbox)(void *arg, unsigned shard);
        void *(*gateway)(void *arg, unsigned shard); /* what scan() gets */
        unsigned lists; /* bits by enum admin_list: what this gateway has */
        /* On the shard: one slice of a list. True when it was the last. */
        bool (*scan)(void *gateway, struct admin_scan *scan);
        void *arg;
};

/* Starts the admin thread. 0 or -errno. */
MUST_CHECK int admin_new(const struct admin_options *o, struct admin **ret);
/* Guest of the ops port. arg: the struct admin. */
void admin_serve(void *arg, struct ops_request *rq);
/* Whether a record of `control` with this ce_type is a tern.ask or tern.answer. */
bool admin_is_for(struct slice type);
/* A tern.ask or tern.answer of `control`. Any thread; of all shards one does it. */
void admin_heard(
        struct admin *a, struct slice key, struct slice type, struct slice id, struct slice value);
/* Answers who waits, and ends what runs. The bus, the shards and the tokens' keys are still there; afterwards none of
 * them is used any more. NULL is fine. */
void admin_stop(struct admin *a);
/* After the shards and the ops port have ended. NULL is fine; returns NULL. */
struct admin *admin_free(struct admin *a);

#endif
