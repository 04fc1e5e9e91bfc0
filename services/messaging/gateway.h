/*
 * gateway - one shard's half of the chat gateway: its sessions, users, rooms and calls, and the
 * callbacks by which the fan-out core speaks to them.
 *
 * Owner: the shard's loop thread, for everything in here.
 */
#ifndef TERN_MESSAGING_GATEWAY_H
#define TERN_MESSAGING_GATEWAY_H

#include "messaging/app.h"
#include "messaging/emit.h"
#include "messaging/topics.h"

#include "base/list.h"
#include "base/map.h"
#include "fanout/fanout.h"
#include "net/shard.h"
#include "proto/event.h"

/* Frames that differ in their last argument, and in their namespace: a subscriber's variant is twice the index of its
 * namespace, plus one of these. */
enum { VARIANT_CURSOR, VARIANT_PLAIN, VARIANTS_OF_NAMESPACE };

static inline unsigned variant_nsp(unsigned variant)
{
        return variant / VARIANTS_OF_NAMESPACE;
}
static inline bool variant_has_cursor(unsigned variant)
{
        return variant % VARIANTS_OF_NAMESPACE == VARIANT_CURSOR;
}

struct gateway {
        struct app *app; /* borrowed, frozen */
        unsigned index;
        struct shard *shard;      /* borrowed */
        struct feed_shard *feed;  /* owned */
        struct fanout *fanout;    /* feed's */
        struct map users;         /* user id -> struct user */
        struct map pids;          /* 32 bytes of SHA-256(pid) -> struct session */
        struct map rooms;         /* conversation id -> struct room */
        struct list sessions;     /* struct session.in_gateway */
        struct list calls;        /* struct call.in_gateway, oldest first */
        struct list asks;         /* the same of those that a backend is to answer */
        struct map asks_by_token; /* message_id -> struct call */
        /* The record that is being handed out, parsed once. */
        struct event current;
        bool current_ok;
        const struct record *current_of; /* only compared, never followed */
        struct emit emit;                /* of the current one, if it is a tern.emit */
        struct shard_timer sweep;
        struct list *sweep_at; /* private to the sweep */
        struct list scans;     /* of the admin page: admin/admin.h */
        int64_t refreshed_ms;
};

/* On the shard's thread, first of all. */
MUST_CHECK int gateway_new(
        struct app *app, unsigned index, struct shard *shard, struct gateway **ret);
/* Sessions are gone, and the bus will be: what still runs is answered. On the shard's thread. */
void gateway_stop(struct gateway *gw);
/* This process stood still for long: every client comes back by itself, unread. On the shard's thread. */
void gateway_drop_all(struct gateway *gw);
/* On the shard's thread, last of all: no session is left. */
struct gateway *gateway_free(struct gateway *gw);

static inline int64_t gateway_now(const struct gateway *gw)
{
        return shard_now_ms(gw->shard);
}

/* ---- what the log brings (egress.c) ---- */
extern const struct fanout_ops egress_ops;
/* What clients call it; NULL: they are not told. */
const char *egress_event_name(const struct event *e);

/* ---- records that are shown again (replayed.c) ---- */
/* replay: a tern.replay whose record has this key. */
void replayed_record(struct gateway *gw, const struct event *replay, struct slice key);

/* ---- tokens that were taken back (access.c) ---- */
void access_record(struct gateway *gw, const struct record *r);
void control_record(struct gateway *gw, const struct record *r);

#endif
