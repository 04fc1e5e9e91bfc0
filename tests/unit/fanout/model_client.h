/*
 * The clients of the model test: what each has received, what it is owed, and whether a cursor says just that.
 */
#ifndef MODEL_CLIENT_H
#define MODEL_CLIENT_H

#include "model_gateway.h"

#include "fanout/outbox.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum {
        GATEWAYS = 3,
        CLIENTS = 8,
        SLOTS = PARTS + 1,
        CLASSES = 2,
        OUTBOX_MAX = 600,
        CATCHUP_MAX = 300,
        STEPS = 1200
};

enum follow { NOT, JOINING, FOLLOWED };

struct seat { /* a client's view of one room */
        enum follow follow;
        int64_t from, at;  /* at: everything below was received or is not for it */
        bool muted, loose; /* loose: a gap was announced; only order is checked */
};

struct client;
struct conn { /* freed the moment it ends, in the middle of a callback if need be */
        struct subscriber sub;
        struct client *client;
};

struct client {
        struct conn *conn;   /* NULL while away */
        struct shard *shard; /* NULL while away */
        struct sim *sim;
        int id;
        struct outbox outbox;
        bool want_drain;
        struct seat seats[CLASSES][KEYS];
        struct subscription *holding[CLASSES][KEYS];
        bool has_cursor;
        int64_t cursor[SLOTS]; /* as it came */
        struct msg *dropped;   /* subscriber_lagged() is owed */
};

struct sim {
        struct world *w;
        struct gateway *gateways[GATEWAYS];
        struct client clients[CLIENTS];
        bool faults; /* clients die inside callbacks */
};

static struct {
        uint64_t events, volatiles, lags, pages, gaps, lives, resumes, deaths, ahead, waits, epochs;
} seen;

static inline uint16_t class_topic(int class_)
{
        return class_ == 0 ? EVENTS : NOTES;
}
static inline int32_t seat_slot(int class_, int key)
{
        return class_ == 0 ? (int32_t)key_partition(EVENTS, key) : PARTS;
}

static inline struct client *client_of(struct subscriber *s)
{
        return container_of(s, struct conn, sub)->client;
}

/* "The last offset there can be" means the next epoch's start. */
static inline int64_t place_of(int64_t cursor)
{
        const int64_t mask = ((int64_t)1 << SEQ_EPOCH_SHIFT) - 1;
        return (cursor & mask) == mask ? cursor + 1 : cursor;
}

/* ---- what a client is owed ---- */

static inline const struct entry *owed(const struct client *c, int class_, int key)
{
        const struct seat *seat = &c->seats[class_][key];
        const struct entry *e;
        int64_t at = seat->at;
        while ((e = world_next(c->sim->w, class_topic(class_), key, at))) {
                bool hidden = e->kind == INVALID || (e->kind == SKIPPED && c->id % 2) ||
                              (seat->muted && e->kind != UNMUTE);
                if (!hidden)
                        return e;
                at = entry_seq(e) + 1;
        }
        return NULL;
}

static inline void check_cursor(const struct client *c, const int64_t *cursor)
{
        for (int class_ = 0; class_ < CLASSES; class_++)
                for (int key = 0; key < KEYS; key++) {
                        const struct seat *seat = &c->seats[class_][key];
                        int64_t place = place_of(cursor[seat_slot(class_, key)]);
                        if (seat->follow == NOT || seat->loose)
                                continue;
                        if (seat->follow == JOINING) {
                                assert_true(place <= seat->from);
                                continue;
                        }
                        const struct entry *e = owed(c, class_, key);
                        assert_true(
                                !e || entry_seq(e) >= place); /* nothing owed would be skipped */
                        assert_true(seat->at <= place ||
                                    seat->at == seat->from); /* nothing had would be repeated */
                }
}

static inline void receive_cursor(struct client *c, const int64_t *cursor)
{
        for (int i = 0; i < SLOTS && c->has_cursor; i++)
                assert_true(place_of(cursor[i]) >= place_of(c->cursor[i]));
        check_cursor(c, cursor);
        memcpy(c->cursor, cursor, sizeof(c->cursor));
        c->has_cursor = true;
}

static inline void receive(struct client *c, const struct entry *e, const int64_t *cursor)
{
        int class_ = e->topic == NOTES ? 1 : 0;
        if (e->topic == SIGNALS || e->topic == RECEIPTS) {
                seen.volatiles++;
                receive_cursor(c, cursor);
                return;
        }
        struct seat *seat = &c->seats[class_][e->key];
        if (seat->follow == NOT || entry_seq(e) < seat->from) {
                receive_cursor(c, cursor); /* it left while the event was on its way */
                return;
        }
        assert_int_equal(seat->follow, FOLLOWED);
        assert_true(entry_seq(e) >= seat->at);
        const struct entry *next = owed(c, class_, e->key);
        if (!seat->loose)
                assert_ptr_equal(next, e);
        seat->at = entry_seq(e) + 1;
        if (e->kind == MUTE || e->kind == UNMUTE)
                seat->muted = e->kind == MUTE;
        seen.events++;
        receive_cursor(c, cursor);
}

#endif
