/*
 * A client's connection on a shard of a simulated gateway: its frames, its outbox, and the pipe that holds a few of them.
 */
#include "gate_internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
        CATCHUP_MAX = 500,
        PIPE_MAX = 600,
};

/* ---- frames ---- */

struct msg *packet_new(const struct packet *p)
{
        struct msg *m = msg_new(sizeof(*p));
        memcpy(m->bytes, p, sizeof(*p));
        m->ws_n = (uint32_t)(50 + (p->seq & 63));
        return m;
}

static int room_of_key(const struct shard_sim *sh, struct slice key)
{
        for (unsigned i = 0; i < sh->gate->w->shape.rooms; i++)
                if (slice_is(key, sh->gate->w->rooms[i].key))
                        return (int)i;
        fail(NULL, "a frame is asked for a room that nobody made");
}

static struct msg *on_frame(
        void *app, const struct record *r, unsigned variant, struct slice cursor, bool own)
{
        UNUSED(variant);
        UNUSED(own);
        struct packet p = {.kind = PACKET_EVENT,
                .room = room_of_key(app, record_key(r)),
                .seq = record_seq(r),
                .slot = r->slot,
                .volatile_ = r->slot < 0,
                .has_cursor = true};
        CHECK(cursor.n <= sizeof(p.cursor));
        memcpy(p.cursor, cursor.p, cursor.n);
        return packet_new(&p);
}

static size_t on_cursor(void *app, const struct subscriber *sub, const uint32_t *epochs,
        const int64_t *offsets, char *dst)
{
        UNUSED(sub);
        const struct shard_sim *sh = app;
        size_t slots = fanout_slot_count(sh->fanout);
        for (size_t i = 0; i < slots; i++) {
                int64_t seq = ((int64_t)epochs[i] << SEQ_SHIFT) + offsets[i];
                memcpy(dst + i * sizeof(seq), &seq, sizeof(seq));
        }
        return slots * sizeof(int64_t);
}

/* ---- connections ---- */

/* In some worlds nobody is ever slow. */
static size_t roomy(const struct conn *c, size_t bytes)
{
        return c->shard->gate->w->shape.roomy ? bytes * 1000 : bytes;
}

static struct conn *conn_of(struct subscriber *s)
{
        return container_of(s, struct conn, sub);
}

static bool pipe_stands(const struct conn *c)
{
        return c->client->visit == c->visit;
}

void drain_if_low(struct conn *c)
{
        if (!c->want_drain || c->outbox.bytes > roomy(c, OUTBOX_MAX) / 4)
                return;
        c->want_drain = false;
        subscriber_drained(c->shard->fanout, &c->sub, machine_now_ms());
}

void conn_write(struct conn *c)
{
        struct msg *m;
        struct client *cl = c->client;
        while ((m = outbox_peek(&c->outbox, 0)) && pipe_stands(c)) {
                if (cl->pipe_bytes + m->ws_n > roomy(c, PIPE_MAX)) {
                        if (c->outbox.front_off == 0 && chance(20))
                                outbox_wrote(&c->outbox, 1);
                        return;
                }
                struct packet *p = xmalloc(sizeof(*p));
                memcpy(p, m->bytes, sizeof(*p));
                list_init(&p->link);
                list_push_back(&cl->pipe, &p->link);
                p->size = m->ws_n;
                cl->pipe_bytes += m->ws_n;
                outbox_wrote(&c->outbox, m->ws_n - c->outbox.front_off);
        }
}

void conn_close(struct conn *c)
{
        if (pipe_stands(c))
                c->client->server_closed = true;
        subscriber_done(c->shard->fanout, &c->sub);
        outbox_done(&c->outbox);
        list_remove(&c->in_shard);
        free(c);
}

void conn_say(struct conn *c, const struct packet *p)
{
        struct msg *m = packet_new(p);
        outbox_push(&c->outbox, m);
        msg_unref(m);
}

static int on_push(void *app, struct subscriber *s, struct msg *m, bool catchup)
{
        const struct shard_sim *sh = app;
        struct conn *c = conn_of(s);
        if (catchup && c->outbox.bytes >= roomy(c, CATCHUP_MAX)) {
                c->want_drain = true;
                return -EAGAIN;
        }
        if (!catchup && c->outbox.bytes + m->ws_n > roomy(c, OUTBOX_MAX)) {
                if (m->flags & MSG_VOLATILE)
                        return 0;
                struct msg *first = outbox_drop_events(&c->outbox);
                c->want_drain = true;
                count("outboxes dropped");
                subscriber_lagged(sh->fanout, s, first);
                msg_unref(first);
                return -ENOBUFS;
        }
        outbox_push(&c->outbox, m);
        return 0;
}

static void on_flush(void *app, struct subscriber *s)
{
        UNUSED(app);
        conn_write(conn_of(s));
}

static void on_live(void *app, struct subscriber *s, enum fanout_tier tier, int64_t took_ms)
{
        UNUSED(app);
        static const char *const names[] = {"caught up from the tail", "caught up from Postgres",
                "caught up from Kafka", "caught up with a gap"};
        count(names[tier]);
        trace(conn_of(s)->client->name, "is live after %lld ms, tier %d", (long long)took_ms, tier);
}

static void on_gap(void *app, struct subscriber *s, int32_t slot, int64_t from, int64_t to)
{
        const struct shard_sim *sh = app;
        struct conn *c = conn_of(s);
        trace(c->client->name, "is told of a gap in slot %d, %llx to %llx", slot,
                (unsigned long long)from, (unsigned long long)to);
        check_gap(sh->gate->w, c->client->name, slot, from, to);
        conn_say(c,
                &(struct packet){
                        .kind = PACKET_GAP, .room = -1, .slot = slot, .seq = from, .to_seq = to});
}

static void on_unreadable(void *app, struct subscriber *s)
{
        UNUSED(app);
        trace(conn_of(s)->client->name, "cannot be served now");
        count("older records unreadable");
        conn_of(s)->close = true;
}

const struct fanout_ops gate_ops = {
        .frame = on_frame,
        .cursor = on_cursor,
        .push = on_push,
        .flush = on_flush,
        .live = on_live,
        .gap = on_gap,
        .unreadable = on_unreadable,
};
