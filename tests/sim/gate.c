/*
 * A gateway of the simulation: the services' own feed, fan-out and outbox, and around them as little as an
 * application can be. Its clients are at the other end of a pipe that holds a few frames (conn.c).
 */
#include "gate_internal.h"

#include <stdlib.h>

enum {
        TURN_MS = 20,
        STALE_MS = 60,
        RECORD_MS = 120, /* until a join's session record is confirmed, at most */
};

enum errand { CONNECT, HANG_UP, JOIN, LEAVE, WRITABLE };
struct letter {
        struct mail mail;
        struct shard_sim *shard;
        enum errand errand;
        struct client *client;
        uint64_t visit;
        int room;
        bool has_cursor;
        int64_t cursor[SLOTS_MAX], from[ROOMS_MAX]; /* from -1: not followed */
};

static const struct feed_topic gate_topics[TOPICS] = {
        [EVENTS] = {.name = "chat.events",
                .cursor = true,
                .rooms = true,
                .by_key = true,
                .dedupe = true,
                .foreign_check = true,
                .fill = true,
                .room_class = 0,
                .event_table_topic = "chat.events"},
        [NOTES] = {.name = "notifications",
                .cursor = true,
                .rooms = true,
                .by_key = true,
                .dedupe = true,
                .foreign_check = true,
                .fill = true,
                .room_class = 1,
                .event_table_topic = "notifications"},
        [SIGNALS] = {.name = "chat.signals", .rooms = true, .foreign_check = true, .room_class = 0},
        [ACCESS] = {.name = "access", .all = true, .from_start = true, .room_class = 2},
};

/* ---- errands ---- */

static struct slice room_key_of(const struct gate *g, int room)
{
        return slice_str(g->w->rooms[room].key);
}

static struct conn *conn_find(struct shard_sim *sh, const struct letter *l)
{
        list_for_each(it, &sh->conns)
        {
                struct conn *c = list_entry(it, struct conn, in_shard);
                if (c->client == l->client && c->visit == l->visit)
                        return c;
        }
        return NULL;
}

/* Where the replay begins if no event ever came: where each room was joined. */
static void place_of_rooms(const struct shard_sim *sh, const struct letter *l, int64_t *seqs)
{
        const struct world *w = sh->gate->w;
        for (uint16_t t = EVENTS; t <= NOTES; t++)
                for (uint16_t p = 0; p < w->topics[t]->lives[w->topics[t]->epoch].partitions; p++)
                        seqs[fanout_slot(sh->fanout, t, p)] =
                                ((int64_t)fanout_epoch(sh->fanout, t) << SEQ_SHIFT) +
                                fanout_position(sh->fanout, t, p);
        for (unsigned i = 0; i < w->shape.rooms; i++)
                if (l->from[i] >= 0 && l->from[i] < seqs[room_slot(w, (int)i)])
                        seqs[room_slot(w, (int)i)] = l->from[i];
}

static void connect(struct shard_sim *sh, const struct letter *l)
{
        const struct world *w = sh->gate->w;
        struct conn *c = xcalloc(1, sizeof(*c));
        c->shard = sh;
        c->client = l->client;
        c->visit = l->visit;
        outbox_init(&c->outbox);
        list_push_back(&sh->conns, &c->in_shard);
        subscriber_init(&c->sub, 0);
        bool any = false;
        for (unsigned i = 0; i < w->shape.rooms; i++) {
                if (l->from[i] < 0)
                        continue;
                any = true;
                subscriber_join(sh->fanout, &c->sub, w->rooms[i].topic,
                        room_key_of(sh->gate, (int)i), l->from[i], false);
        }
        trace(l->client->name, "arrives at %s", sh->gate->name);
        conn_say(c, &(struct packet){.kind = PACKET_ATTACHED, .room = -1});
        int64_t seqs[SLOTS_MAX];
        if (l->has_cursor)
                memcpy(seqs, l->cursor, sizeof(seqs));
        else
                place_of_rooms(sh, l, seqs);
        if (l->has_cursor || any)
                subscriber_attach_seqs(sh->fanout, &c->sub, seqs, machine_now_ms());
        else
                subscriber_attach_now(sh->fanout, &c->sub);
        conn_write(c);
}

static void join(struct conn *c, int room)
{
        const struct gate *g = c->shard->gate;
        uint16_t topic = g->w->rooms[room].topic;
        struct slice key = room_key_of(g, room);
        if (subscriber_find(&c->sub, topic, key))
                return;
        c->holding[room] = subscriber_join(c->shard->fanout, &c->sub, topic, key, 0, true);
        c->release_ms[room] = machine_now_ms() + draw_below(RECORD_MS);
        trace(c->client->name, "joins %s from %llx", g->w->rooms[room].key,
                (unsigned long long)c->holding[room]->from_seq);
}

static void release(struct conn *c, int room)
{
        struct subscription *sn = c->holding[room];
        c->holding[room] = NULL;
        conn_say(c, &(struct packet){.kind = PACKET_JOINED, .room = room, .seq = sn->from_seq});
        subscriber_release(c->shard->fanout, sn);
        conn_write(c);
}

static void leave(struct conn *c, int room)
{
        const struct gate *g = c->shard->gate;
        struct subscription *sn =
                subscriber_find(&c->sub, g->w->rooms[room].topic, room_key_of(g, room));
        c->holding[room] = NULL;
        if (sn)
                subscriber_leave(c->shard->fanout, sn);
}

static void run_letter(struct mail *m)
{
        struct letter *l = container_of(m, struct letter, mail);
        struct shard_sim *sh = l->shard;
        struct conn *c = conn_find(sh, l);
        if (l->errand == CONNECT)
                connect(sh, l);
        else if (c && l->errand == HANG_UP)
                conn_close(c);
        else if (c && l->errand == JOIN)
                join(c, l->room);
        else if (c && l->errand == LEAVE)
                leave(c, l->room);
        else if (c && l->errand == WRITABLE) {
                conn_write(c);
                drain_if_low(c);
                conn_write(c);
        }
        free(l);
}

static void post(struct gate *g, struct client *c, enum errand errand, int room)
{
        if (g->process.dead || g->stop)
                return;
        struct letter *l = xcalloc(1, sizeof(*l));
        l->mail.run = run_letter;
        l->shard = &g->shards[(c->visit + (uintptr_t)(c->name[1] - '0')) % g->w->shape.shards];
        l->errand = errand;
        l->client = c;
        l->visit = c->visit;
        l->room = room;
        l->has_cursor = c->has_cursor;
        memcpy(l->cursor, c->cursor, sizeof(l->cursor));
        for (int i = 0; i < ROOMS_MAX; i++)
                l->from[i] = c->seats[i].follows ? c->seats[i].from : -1;
        if (!mailbox_post(l->shard->box, &l->mail))
                free(l);
}

void gate_connect(struct gate *g, struct client *c)
{
        post(g, c, CONNECT, -1);
}

void gate_hang_up(struct gate *g, struct client *c)
{
        post(g, c, HANG_UP, -1);
}

void gate_ask_join(struct gate *g, struct client *c, int room)
{
        post(g, c, JOIN, room);
}

void gate_leave(struct gate *g, struct client *c, int room)
{
        post(g, c, LEAVE, room);
}

void gate_writable(struct gate *g, struct client *c)
{
        post(g, c, WRITABLE, -1);
}

/* ---- the shard's loop ---- */

static void fresh_cursor(struct shard_sim *sh, struct conn *c)
{
        int64_t now = machine_now_ms();
        if (!subscriber_stale(sh->fanout, &c->sub, sh->gate->w->settings.tail_fill_ms, now))
                return;
        if (c->outbox.bytes > OUTBOX_MAX)
                return;
        struct slice text = subscriber_cursor(sh->fanout, &c->sub, now);
        struct packet p = {.kind = PACKET_CURSOR, .room = -1, .has_cursor = true};
        if (text.n == 0)
                return;
        memcpy(p.cursor, text.p, text.n);
        struct msg *m = packet_new(&p);
        m->flags = MSG_VOLATILE;
        outbox_push(&c->outbox, m);
        msg_unref(m);
        conn_write(c);
}

static void look_after(struct shard_sim *sh)
{
        int64_t now = machine_now_ms();
        bool stale = now - sh->stale_ms > STALE_MS;
        if (stale)
                sh->stale_ms = now;
        list_for_each_safe(it, &sh->conns)
        {
                struct conn *c = list_entry(it, struct conn, in_shard);
                for (unsigned i = 0; i < sh->gate->w->shape.rooms; i++)
                        if (c->holding[i] && now >= c->release_ms[i])
                                release(c, (int)i);
                if (c->close) {
                        conn_close(c);
                        continue;
                }
                drain_if_low(c);
                if (stale)
                        fresh_cursor(sh, c);
                conn_write(c);
        }
}

static void drop_all(struct shard_sim *sh)
{
        struct list *node;
        while ((node = list_first(&sh->conns)))
                conn_close(list_entry(node, struct conn, in_shard));
}

static void shard_main(void *arg)
{
        struct shard_sim *sh = arg;
        struct gate *g = sh->gate;
        while (!g->stop) {
                mailbox_wait(sh->box, TURN_MS);
                if (feed_ready(g->feed))
                        look_after(sh);
        }
        drop_all(sh);
        while (mailbox_wait(sh->box, TURN_MS))
                drop_all(sh);
        sh->feed = feed_shard_free(sh->feed);
        sh->over = true;
}

/* ---- life ---- */

static void run_pause(struct mail *m)
{
        struct letter *l = container_of(m, struct letter, mail);
        drop_all(l->shard);
        free(l);
}

static void on_pause(void *arg, int64_t ms)
{
        struct gate *g = arg;
        trace(NULL, "%s stood still for %lld ms", g->name, (long long)ms);
        count("pauses noticed");
        for (unsigned i = 0; i < g->w->shape.shards; i++) {
                struct letter *l = xcalloc(1, sizeof(*l));
                l->mail.run = run_pause;
                l->shard = &g->shards[i];
                if (!mailbox_post(l->shard->box, &l->mail))
                        free(l);
        }
}

static void shards_stop(struct gate *g)
{
        feed_stop(g->feed);
        for (unsigned i = 0; i < g->w->shape.shards; i++)
                mailbox_close(g->shards[i].box);
        for (unsigned i = 0; i < g->w->shape.shards; i++)
                while (!g->shards[i].over)
                        fiber_wait(NULL, machine_now_ms() + 5);
        for (unsigned i = 0; i < g->w->shape.shards; i++)
                mailbox_free(g->shards[i].box);
        g->feed = feed_free(g->feed);
}

static void main_main(void *arg)
{
        struct gate *g = arg;
        struct feed_options o = {.settings = &g->w->settings,
                .topics = gate_topics,
                .topic_count = TOPICS,
                .bus = g->bus,
                .store = g->store,
                .on_pause = on_pause,
                .pause_arg = g};
        int err = feed_new(&o, g->w->shape.shards, &g->feed);
        CHECK(err == 0);
        for (unsigned i = 0; i < g->w->shape.shards; i++) {
                struct shard_sim *sh = &g->shards[i];
                *sh = (struct shard_sim){.gate = g, .index = i};
                list_init(&sh->conns);
                sh->box = mailbox_new(NULL, NULL);
                err = feed_shard_new(g->feed, i, sh->box, &gate_ops, sh, &sh->feed);
                CHECK(err == 0);
                sh->fanout = feed_fanout(sh->feed);
                fiber_start(&g->process, "shard", shard_main, sh);
        }
        err = feed_start(g->feed);
        CHECK(err == 0);
        while (!g->stop && g->process.signals == 0)
                fiber_wait(g, machine_now_ms() + 500);
        g->stop = true;
        shards_stop(g);
        g->gone = true;
        process_kill(&g->process);
}

struct gate *gate_start(struct world *w, unsigned index)
{
        struct gate *g = xcalloc(1, sizeof(*g));
        g->w = w;
        snprintf(g->name, sizeof(g->name), "g%u", index);
        g->process = (struct process){.name = g->name};
        g->bus = kafka_bus(w->kafka, &g->process);
        g->store = postgres_store(w->pg, &g->process);
        fiber_start(&g->process, "main", main_main, g);
        trace(NULL, "%s starts", g->name);
        return g;
}

void gate_stop(struct gate *g)
{
        trace(NULL, "%s is told to stop", g->name);
        g->stop = true;
        fiber_wake(g);
        while (!g->gone && !g->process.dead)
                fiber_wait(NULL, machine_now_ms() + 10);
}

/* A dead process's sockets are closed by its kernel. */
void gate_kill(struct gate *g)
{
        trace(NULL, "%s is killed", g->name);
        process_kill(&g->process);
        for (unsigned i = 0; i < g->w->shape.clients; i++)
                if (g->w->clients[i].gate == g)
                        g->w->clients[i].server_closed = true;
}

bool gate_ready(const struct gate *g)
{
        return !g->process.dead && !g->stop && g->feed && feed_ready(g->feed);
}

bool gate_gone(const struct gate *g)
{
        return g->process.dead;
}

uint32_t gate_epoch(const struct gate *g, uint16_t topic)
{
        uint32_t epoch = UINT32_MAX;
        for (unsigned i = 0; i < g->w->shape.shards; i++)
                if (fanout_epoch(g->shards[i].fanout, topic) < epoch)
                        epoch = fanout_epoch(g->shards[i].fanout, topic);
        return epoch;
}

struct process *gate_process(struct gate *g)
{
        return &g->process;
}
