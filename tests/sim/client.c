/*
 * A client, and what it is owed: of each room that it follows every record that counts, from where it joined, once,
 * in order; or it was told of a gap that lies over it.
 */
#include "world.h"

#include <stdlib.h>

enum { NAP_MS = 60, SLOW_NAP_MS = 400, AWAY_MS = 900, LOOKS_MAX = 200 };

void client_init(struct world *w, unsigned index)
{
        struct client *c = &w->clients[index];
        *c = (struct client){.w = w, .visit = 1};
        snprintf(c->name, sizeof(c->name), "c%u", index);
        list_init(&c->pipe);
        c->slow = chance(25);
        fiber_start(NULL, c->name, client_main, c);
}

/* ---- what it is owed ---- */

static bool excused(const struct client *c, const struct room_model *room, const struct entry *e)
{
        if (e->kind == ENTRY_LATE || e->lost)
                return true;
        int32_t slot = room_slot(c->w, (int)(room - c->w->rooms));
        for (size_t i = 0; i < c->gap_count; i++)
                if (c->gaps[i].slot == slot && entry_seq(e) >= c->gaps[i].from &&
                        entry_seq(e) < c->gaps[i].to)
                        return true;
        return false;
}

static void skip_excused(const struct client *c, const struct room_model *room, struct seat *seat)
{
        while (seat->at < room->count && excused(c, room, room->items[seat->at]))
                seat->at++;
}

static const char *id_of(const struct entry *e)
{
        return e->id.p;
}

static void receive_event(struct client *c, const struct packet *p)
{
        struct seat *seat = &c->seats[p->room];
        const struct room_model *room = &c->w->rooms[p->room];
        if (!seat->follows)
                return; /* left meanwhile */
        if (p->seq < seat->from)
                fail(c->name, "is shown %llx of %s, which it follows from %llx",
                        (unsigned long long)p->seq, room->key, (unsigned long long)seat->from);
        size_t at = seat->at;
        while (at < room->count && entry_seq(room->items[at]) < p->seq &&
                excused(c, room, room->items[at]))
                at++;
        if (at == room->count || entry_seq(room->items[at]) > p->seq)
                fail(c->name, "is shown %llx of %s, which it has had, or which does not count",
                        (unsigned long long)p->seq, room->key);
        if (entry_seq(room->items[at]) < p->seq)
                fail(c->name, "is shown %llx of %s, but lacks %llx (%s)",
                        (unsigned long long)p->seq, room->key,
                        (unsigned long long)entry_seq(room->items[at]), id_of(room->items[at]));
        seat->at = at + 1;
        c->events++;
}

static void take_joined(struct client *c, const struct packet *p)
{
        struct seat *seat = &c->seats[p->room];
        const struct room_model *room = &c->w->rooms[p->room];
        if (seat->follows || !seat->asked)
                return;
        *seat = (struct seat){.follows = true, .from = p->seq};
        while (seat->at < room->count && entry_seq(room->items[seat->at]) < p->seq)
                seat->at++;
        trace(c->name, "follows %s from %llx", room->key, (unsigned long long)p->seq);
}

static void take_gap(struct client *c, const struct packet *p)
{
        count("gaps");
        if (c->gap_count == ARRAY_LEN(c->gaps))
                fail(c->name, "is told of one gap after the other");
        c->gaps[c->gap_count].slot = p->slot;
        c->gaps[c->gap_count].from = p->seq;
        c->gaps[c->gap_count++].to = p->to_seq;
}

static void take_cursor(struct client *c, const struct packet *p)
{
        if (!p->has_cursor)
                return;
        memcpy(c->cursor, p->cursor, sizeof(c->cursor));
        c->has_cursor = true;
}

static void take_packet(struct client *c, const struct packet *p)
{
        switch (p->kind) {
        case PACKET_EVENT:
                trace(c->name, "gets %llx of %s", (unsigned long long)p->seq,
                        c->w->rooms[p->room].key);
                if (p->volatile_)
                        count("volatile events");
                else
                        receive_event(c, p);
                break;
        case PACKET_JOINED:
                take_joined(c, p);
                break;
        case PACKET_GAP:
                take_gap(c, p);
                break;
        case PACKET_ATTACHED:
                c->attached = true;
                break;
        case PACKET_CURSOR:
                count("fresh cursors");
                break;
        }
        take_cursor(c, p);
}

bool client_satisfied(const struct client *c)
{
        if (!c->attached)
                return false;
        for (unsigned i = 0; i < c->w->shape.rooms; i++) {
                struct seat seat = c->seats[i];
                if (seat.follows)
                        skip_excused(c, &c->w->rooms[i], &seat);
                if (seat.follows && seat.at < c->w->rooms[i].count)
                        return false;
        }
        return true;
}

void client_explain(const struct client *c)
{
        if (!c->attached)
                fail(c->name, "finds no gateway");
        for (unsigned i = 0; i < c->w->shape.rooms; i++) {
                const struct room_model *room = &c->w->rooms[i];
                struct seat seat = c->seats[i];
                if (seat.follows)
                        skip_excused(c, room, &seat);
                if (seat.follows && seat.at < room->count)
                        fail(c->name, "never gets %llx (%s) of %s",
                                (unsigned long long)entry_seq(room->items[seat.at]),
                                id_of(room->items[seat.at]), room->key);
        }
}

/* ---- what it does ---- */

static void drop_pipe(struct client *c)
{
        struct list *node;
        while ((node = list_take(&c->pipe)))
                free(list_entry(node, struct packet, link));
        c->pipe_bytes = 0;
}

static void go_away(struct client *c, bool politely)
{
        if (c->gate && politely)
                gate_hang_up(c->gate, c);
        drop_pipe(c);
        c->visit++;
        c->gate = NULL;
        c->attached = c->server_closed = false;
        for (int i = 0; i < ROOMS_MAX; i++)
                c->seats[i].asked = false;
}

static void arrive(struct client *c)
{
        struct gate *g = c->w->gates[draw_below(c->w->shape.gates)];
        if (!g || !gate_ready(g))
                return;
        c->gate = g;
        gate_connect(g, c);
}

static void read_some(struct client *c)
{
        unsigned max = c->slow && !c->w->quiet ? 1 + draw_below(3) : 1 + draw_below(20);
        bool some = false;
        while (max-- > 0) {
                struct list *node = list_take(&c->pipe);
                if (!node)
                        break;
                struct packet *p = list_entry(node, struct packet, link);
                take_packet(c, p);
                c->pipe_bytes -= p->size;
                free(p);
                some = true;
        }
        if (!list_first(&c->pipe) && c->server_closed) {
                trace(c->name, "was closed");
                go_away(c, false);
        } else if (some) {
                gate_writable(c->gate, c);
        }
}

static void join_or_leave(struct client *c)
{
        int room = (int)draw_below(c->w->shape.rooms);
        struct seat *seat = &c->seats[room];
        if (!seat->follows && !seat->asked) {
                seat->asked = true;
                gate_ask_join(c->gate, c, room);
        } else if (seat->follows && chance(20)) {
                *seat = (struct seat){0};
                trace(c->name, "leaves %s", c->w->rooms[room].key);
                gate_leave(c->gate, c, room);
        }
}

static void misbehave(struct client *c)
{
        if (chance(2)) {
                trace(c->name, "hangs up");
                go_away(c, true);
        } else if (chance(2)) {
                /* The server finds out much later. */
                trace(c->name, "vanishes");
                go_away(c, true);
        } else if (chance(8)) {
                join_or_leave(c);
        }
}

void client_main(void *arg)
{
        struct client *c = arg;
        for (;;) {
                if (!c->gate) {
                        int64_t ms = c->w->quiet ? 50 : chance(10) ? 8000 : draw_below(AWAY_MS);
                        fiber_wait(NULL, machine_now_ms() + ms);
                        arrive(c);
                        continue;
                }
                fiber_wait(
                        NULL, machine_now_ms() + 1 +
                                      draw_below(c->slow && !c->w->quiet ? SLOW_NAP_MS : NAP_MS));
                read_some(c);
                if (c->gate && !c->w->quiet)
                        misbehave(c);
        }
}
