/*
 * A chat client, with what the stock Socket.IO client does about recovery: it keeps the pid of its last CONNECT's answer and the
 * last trailing string of an event, and it holds events that come before that answer back, also over a disconnect.
 */
#include "chat.h"

#include "messaging/args.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAP_MS = 50, SLOW_NAP_MS = 300, AWAY_MS = 700, PAGE = 20, QUARREL_MS = 3000 };

static void chat_client_main(void *arg);

void chat_client_init(struct chat_world *w, unsigned index)
{
        struct chat_client *c = &w->clients[index];
        *c = (struct chat_client){.w = w, .slow = chance(20), .fetching = -1};
        snprintf(c->name, sizeof(c->name), "c%u", index);
        snprintf(c->user, sizeof(c->user), "u%u", index % CHAT_USERS);
        list_init(&c->early);
        for (int i = 0; i < CHAT_ROOMS_MAX; i++)
                c->joining[i] = -1;
        fiber_start(NULL, c->name, chat_client_main, c);
}

/* ---- what comes ---- */

static void keep_offset(struct chat_client *c, struct slice text)
{
        if (c->pid[0] && text.n > 0)
                snprintf(c->offset, sizeof(c->offset), "%.*s", SLICE_ARG(text));
}

static void take_gap(struct chat_client *c, struct slice json)
{
        count("gaps");
        CHECK(c->gap_count < ARRAY_LEN(c->gaps));
        c->gaps[c->gap_count].slot = (int32_t)chat_number(json, "partition");
        c->gaps[c->gap_count].from = chat_number(json, "fromSeq");
        c->gaps[c->gap_count].to = chat_number(json, "toSeq");
        if (c->w->shape.calm)
                fail(c->name, "is told of a gap, and nothing was lost: %.*s", SLICE_ARG(json));
        c->gap_count++;
}

static void handle(struct chat_client *c, const struct frame *f)
{
        if (slice_is(f->a, "gap")) {
                take_gap(c, f->b);
        } else if (slice_is(f->a, "cursor")) {
                char *text = f->b.n ? arg_text(arg_first(f->b)) : NULL;
                trace(c->name, "is given the cursor %s%.*s", text ? text : "", SLICE_ARG(f->c));
                keep_offset(c, slice_str(text ? text : ""));
                free(text);
        } else if (!slice_is(f->a, "typing") && !slice_is(f->a, "message_read")) {
                char *id = arg_field_text(f->b, "conversationId");
                int room = id ? chat_room_named(c->w, slice_str(id)) : -1;
                int64_t seq = chat_number(f->b, "seq");
                if (room < 0 || seq < 0)
                        fail(c->name, "gets a strange %.*s %.*s", SLICE_ARG(f->a), SLICE_ARG(f->b));
                trace(c->name, "gets %llx of %s (%.*s)", (unsigned long long)seq,
                        c->w->rooms[room].key, SLICE_ARG(f->a));
                chat_owed_event(c, room, seq);
                free(id);
        }
        keep_offset(c, f->c);
}

static void forget_rooms(struct chat_client *c)
{
        for (int i = 0; i < CHAT_ROOMS_MAX; i++)
                c->seats[i] = (struct chat_seat){0};
        c->gap_count = 0;
}

static void take_connect(struct chat_client *c, const struct frame *f)
{
        bool recovered = c->pid[0] && slice_is(f->b, c->pid);
        trace(c->name, "is connected, %s", recovered ? "recovered" : "a new session");
        count(recovered ? "sessions recovered" : c->pid[0] ? "sessions lost" : "sessions begun");
        if (!recovered) {
                if (c->pid[0] && chat_session_owed(c))
                        fail(c->name, "loses its session, of which the log has a record");
                forget_rooms(c);
        }
        snprintf(c->pid, sizeof(c->pid), "%.*s", SLICE_ARG(f->b));
        c->connected = true;
        c->sessions++;
        struct list *node;
        while ((node = list_take(&c->early))) {
                struct frame *early = list_entry(node, struct frame, link);
                handle(c, early);
                free(early);
        }
}

static void take_message(struct chat_client *c, struct chat_send *s, struct slice json)
{
        struct slice raw, message;
        bool ok = false;
        s->ack_id = -1;
        if (arg_field(json, "ok", &raw) && arg_bool(raw, &ok) && ok) {
                int64_t seq = arg_field(json, "message", &message) ? chat_number(message, "seq") : -1;
                const struct chat_room *r = &c->w->rooms[s->room];
                bool found = false;
                for (size_t i = 0; i < r->count; i++)
                        found = found || (entry_seq(r->items[i]) == seq &&
                                                 r->items[i]->kind == ENTRY_FIRST);
                if (!found)
                        fail(c->name, "is told that %s has seq %llx, where no first record of it is",
                                s->client_id, (unsigned long long)seq);
                s->acked = true;
                count("messages acked");
                return;
        }
        char *code = arg_field(json, "error", &raw) ? arg_field_text(raw, "code") : NULL;
        s->refused = code && (strcmp(code, "forbidden") == 0 || strcmp(code, "not_found") == 0);
        trace(c->name, "%s is answered %s", s->client_id, code ? code : "?");
        count("messages to be sent again");
        free(code);
}

static void take_page(struct chat_client *c, struct slice json)
{
        struct slice raw, rest, one;
        int64_t seqs[PAGE];
        size_t n = 0;
        bool ok = false;
        c->fetching = -1;
        if (!arg_field(json, "ok", &raw) || !arg_bool(raw, &ok) || !ok ||
                !arg_field(json, "messages", &rest))
                return;
        while (n < PAGE && arg_next(&rest, &one))
                seqs[n++] = chat_number(one, "seq");
        count("pages of history");
        chat_owed_page(c, c->fetch_room, c->fetch_before, seqs, n, PAGE);
}

static void take_ack(struct chat_client *c, const struct frame *f)
{
        struct slice raw;
        bool ok = false;
        for (int i = 0; i < CHAT_ROOMS_MAX; i++) {
                if (c->joining[i] != f->ack_id)
                        continue;
                c->joining[i] = -1;
                if (arg_field(f->b, "ok", &raw) && arg_bool(raw, &ok) && ok)
                        chat_owed_joined(c, i, chat_number(f->b, "headSeq") + 1);
                return;
        }
        if (f->ack_id == c->fetching)
                take_page(c, f->b);
        for (size_t i = 0; i < c->send_count; i++)
                if (c->sends[i].ack_id == f->ack_id)
                        take_message(c, &c->sends[i], f->b);
}

/* True if the frame was kept. */
static bool take_frame(struct chat_client *c, struct frame *f)
{
        switch (f->kind) {
        case FRAME_CONNECT:
                take_connect(c, f);
                break;
        case FRAME_EVENT:
                if (!c->connected) {
                        list_push_back(&c->early, &f->link);
                        return true;
                }
                handle(c, f);
                break;
        case FRAME_ACK:
                take_ack(c, f);
                break;
        case FRAME_REFUSED:
        case FRAME_DISCONNECT:
                fail(c->name, "is sent away: %.*s", SLICE_ARG(f->a));
        }
        return false;
}

/* ---- what it does ---- */

static void drop_wire(struct chat_client *c)
{
        struct list *node;
        while (c->wire && (node = list_take(&c->wire->to_client)))
                free(list_entry(node, struct frame, link));
        c->wire = NULL;
        c->connected = false;
        for (int i = 0; i < CHAT_ROOMS_MAX; i++) {
                /* The session may follow it though nobody has heard so. */
                c->seats[i].before = c->seats[i].before || c->joining[i] >= 0;
                c->joining[i] = -1;
        }
        for (size_t i = 0; i < c->send_count; i++)
                c->sends[i].ack_id = -1;
        c->fetching = -1;
}

static void arrive(struct chat_client *c)
{
        struct chat_gate *g = c->w->gates[draw_below(c->w->shape.gates)];
        char payload[CHAT_TEXT + 100];
        if (!g || !chat_gate_ready(g))
                return;
        int n = snprintf(payload, sizeof(payload), "{\"user\":\"%s\"", c->user);
        if (c->pid[0])
                n += snprintf(payload + n, sizeof(payload) - (size_t)n,
                        ",\"pid\":\"%s\",\"offset\":\"%s\"", c->pid, c->offset);
        snprintf(payload + n, sizeof(payload) - (size_t)n, "}");
        c->gate = g;
        trace(c->name, "arrives with %s", payload);
        c->connected_ms = machine_now_ms();
        chat_session_note(c);
        if (c->pid[0] && machine_now_ms() > c->contended_ms + QUARREL_MS && chance(6)) {
                /* The same pid twice: an answer that comes too late for one connection, and the next is made. */
                struct chat_gate *other = c->w->gates[draw_below(c->w->shape.gates)];
                if (other && chat_gate_ready(other)) {
                        struct wire *ghost = chat_connect(other, c, slice_str(payload));
                        ghost->gone_ms = machine_now_ms();
                        c->contended_ms = machine_now_ms();
                        count("pids used twice");
                }
        }
        c->wire = chat_connect(g, c, slice_str(payload));
}

static void read_some(struct chat_client *c)
{
        unsigned max = c->slow && !c->w->quiet ? 1 + draw_below(3) : 1 + draw_below(20);
        struct wire *wire = c->wire;
        bool some = false;
        while (max-- > 0 && !list_empty(&wire->to_client)) {
                struct frame *f = list_entry(list_take(&wire->to_client), struct frame, link);
                wire->bytes -= 60;
                some = true;
                if (!take_frame(c, f))
                        free(f);
        }
        bool dead = wire->server_closed || chat_gate_gone(c->gate);
        if (list_empty(&wire->to_client) && dead) {
                trace(c->name, "was closed");
                drop_wire(c);
        } else if (some) {
                chat_read_some(c->gate, wire);
        }
}

static void emit(struct chat_client *c, const char *name, int64_t ack_id, const char *format, ...)
        PRINTF_LIKE(4, 5);
static void emit(struct chat_client *c, const char *name, int64_t ack_id, const char *format, ...)
{
        char args[400];
        va_list list;
        va_start(list, format);
        vsnprintf(args, sizeof(args), format, list);
        va_end(list);
        chat_emit(c->gate, c->wire, name, slice_str(args), ack_id);
}

static void join_or_leave(struct chat_client *c)
{
        int i = (int)draw_below(c->w->shape.rooms);
        struct chat_seat *seat = &c->seats[i];
        const char *key = c->w->rooms[i].key;
        if (!seat->follows && c->joining[i] < 0) {
                c->joining[i] = ++c->acks;
                emit(c, "join_conversation", c->acks, "\"%s\"", key);
        } else if (seat->follows && chance(12)) {
                *seat = (struct chat_seat){.before = true, .shown = -1};
                trace(c->name, "leaves %s", key);
                emit(c, "leave_conversation", ++c->acks, "\"%s\"", key);
        }
}

static void send(struct chat_client *c, struct chat_send *s)
{
        s->ack_id = ++c->acks;
        trace(c->name, "sends %s to %s", s->client_id, c->w->rooms[s->room].key);
        emit(c, "send_message", s->ack_id,
                "{\"conversationId\":\"%s\",\"content\":\"x\",\"clientId\":\"%s\",\"sentAt\":%lld}",
                c->w->rooms[s->room].key, s->client_id, (long long)s->sent_ms);
}

static void send_something(struct chat_client *c)
{
        if (c->send_count == CHAT_SENDS_MAX)
                return;
        struct chat_send *s = &c->sends[c->send_count];
        *s = (struct chat_send){.room = (int)draw_below(c->w->shape.rooms),
                .sent_ms = machine_wall_ms(),
                .ack_id = -1};
        snprintf(s->client_id, sizeof(s->client_id), "%s-%zu", c->name, c->send_count++);
        send(c, s);
}

static void send_again(struct chat_client *c)
{
        for (size_t i = 0; i < c->send_count; i++)
                if (c->sends[i].ack_id < 0 && !c->sends[i].acked && !c->sends[i].refused &&
                        chance(20))
                        send(c, &c->sends[i]);
}

static void look_back(struct chat_client *c)
{
        int room = (int)draw_below(c->w->shape.rooms);
        const struct chat_seat *seat = &c->seats[room];
        if (!seat->follows || seat->muted || c->fetching >= 0)
                return;
        c->fetch_room = room;
        c->fetch_before = seat->from;
        c->fetching = ++c->acks;
        emit(c, "fetch_messages", c->acks, "{\"conversationId\":\"%s\",\"before\":%lld,\"limit\":%d}",
                c->w->rooms[room].key, (long long)seat->from, PAGE);
}

static void do_something(struct chat_client *c)
{
        if (chance(8))
                join_or_leave(c);
        if (chance(c->w->shape.sends))
                send_something(c);
        if (chance(3))
                look_back(c);
        if (chance(2)) {
                int room = (int)draw_below(c->w->shape.rooms);
                emit(c, "typing", -1, "{\"conversationId\":\"%s\",\"isTyping\":true}",
                        c->w->rooms[room].key);
        }
        if (chance(2) && c->seats[0].follows && c->seats[0].at > 0)
                emit(c, "mark_read", ++c->acks, "{\"conversationId\":\"%s\",\"seq\":%lld}",
                        c->w->rooms[0].key,
                        (long long)entry_seq(c->w->rooms[0].items[c->seats[0].at - 1]));
}

static void misbehave(struct chat_client *c)
{
        /* Of three that claim a session at once the second may hide from the third what the first had said of its rooms. */
        if (c->contended_ms && machine_now_ms() < c->contended_ms + QUARREL_MS)
                return;
        if (chance(2)) {
                trace(c->name, "hangs up");
                chat_hang_up(c->gate, c->wire);
                drop_wire(c);
        } else if (chance(c->w->shape.vanish)) {
                trace(c->name, "vanishes");
                c->wire->gone_ms = machine_now_ms();
                drop_wire(c);
        }
}

static void chat_client_main(void *arg)
{
        struct chat_client *c = arg;
        for (;;) {
                bool quiet = c->w->quiet;
                if (!c->wire) {
                        int64_t ms = quiet ? 50 : chance(10) ? 5000 : 1 + draw_below(AWAY_MS);
                        fiber_wait(NULL, machine_now_ms() + ms);
                        arrive(c);
                        continue;
                }
                fiber_wait(NULL, machine_now_ms() + 1 +
                                         draw_below(c->slow && !quiet ? SLOW_NAP_MS : NAP_MS));
                read_some(c);
                if (!c->wire || !c->connected)
                        continue;
                send_again(c);
                if (!quiet)
                        do_something(c);
                if (!quiet)
                        misbehave(c);
        }
}

/* ---- the end ---- */

static const struct chat_send *unanswered(const struct chat_client *c)
{
        for (size_t i = 0; i < c->send_count; i++)
                if (!c->sends[i].acked && !c->sends[i].refused)
                        return &c->sends[i];
        return NULL;
}

bool chat_client_satisfied(const struct chat_client *c)
{
        return c->connected && !unanswered(c) && chat_owed_all(c);
}

void chat_client_explain(const struct chat_client *c)
{
        if (!c->connected)
                fail(c->name, "finds no gateway");
        if (unanswered(c))
                fail(c->name, "never hears of %s", unanswered(c)->client_id);
        chat_owed_explain(c);
}
