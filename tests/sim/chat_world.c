#include "chat.h"

#include "base/hash.h"
#include "proto/digest.h"
#include "proto/event.h"

#include <stdio.h>
#include <stdlib.h>

enum { STORY_MS = 14000, END_MS = 90000 };

static const char *const topic_names[CHAT_TOPICS] = {"chat.events", "chat.receipts", "chat.signals",
        "chat.sessions", "control", "access"};

/* ---- records ---- */

static void on_appended(void *arg, const struct topic *t, struct entry *e)
{
        struct chat_world *w = arg;
        if (t == w->topics[CHAT_SESSIONS])
                trace(NULL, "chat.sessions/%d@%lld %.8s %s", e->partition, (long long)e->offset,
                        e->key.p, e->value.p);
        if (t != w->topics[CHAT_EVENTS])
                return;
        if (e->kind == ENTRY_FOREIGN)
                e->plan = PLAN_REKEY;
        int room = chat_room_named(w, e->key);
        bool shown = e->kind == ENTRY_FIRST || e->kind == ENTRY_LATE;
        /* Nobody is told who made a conversation, or who is in it from the start. */
        if (room < 0 || !shown || slice_is(e->type, "tern.conversation.created") ||
                slice_starts(e->id, "first-"))
                return;
        struct chat_room *r = &w->rooms[room];
        if (e->kind == ENTRY_LATE && !slice_starts(e->id, "id-"))
                fail(NULL, "a client's message stands in %s again, at %lld: %s", r->key,
                        (long long)e->offset, e->id.p);
        if (r->count == r->cap) {
                r->cap = r->cap ? r->cap * 2 : 64;
                r->items = xrealloc(r->items, r->cap * sizeof(struct entry *));
        }
        r->items[r->count++] = e;
        trace(NULL, "%s %s is %s/%d@%lld %s%s", e->id.p, e->type.p, r->key, e->partition,
                (long long)e->offset, slice_starts(e->type, "tern.member") ? e->value.p : "",
                e->kind == ENTRY_LATE ? ", too late to be the same" : "");
}

static void append(struct chat_world *w, int room, const char *id, int32_t partition, const struct event *e)
{
        struct buf value = BUF_EMPTY;
        event_encode(e, &value);
        log_append(&w->kafka->log, w->topics[CHAT_EVENTS], partition, slice_str(w->rooms[room].key),
                slice_str(id), slice_str(event_type_name(e->type)), buf_slice(&value));
        buf_done(&value);
        kafka_appended(w->kafka);
}

static void another_backend_writes(struct chat_world *w)
{
        int room = (int)draw_below(w->shape.rooms);
        const struct chat_room *r = &w->rooms[room];
        char id[40], user[8];
        int32_t partition = -1;
        struct event e = {.type = EVENT_MESSAGE_CREATED,
                .conversation_id = (char *)(uintptr_t)r->key,
                .sender_id = (char *)(uintptr_t) "backend",
                .content = (char *)(uintptr_t) "text"};
        snprintf(id, sizeof(id), "id-%llu", (unsigned long long)++w->ids);
        if (chance(w->shape.members)) {
                snprintf(user, sizeof(user), "u%u", draw_below(CHAT_USERS));
                e = (struct event){.type = chance(45) ? EVENT_MEMBER_REMOVED : EVENT_MEMBER_ADDED,
                        .conversation_id = e.conversation_id,
                        .user_id = user,
                        .sender_id = e.sender_id,
                        .role = (char *)(uintptr_t) "member"};
                append(w, room, id, -1, &e);
                return;
        }
        if (chance(6) && r->count > 0) {
                const struct entry *old = r->items[r->count - 1 - draw_below(r->count < 10 ? (uint32_t)r->count : 10)];
                if (slice_is(old->type, "tern.message.created") && slice_starts(old->id, "id-"))
                        snprintf(id, sizeof(id), "%s", old->id.p);
        } else if (w->shape.partitions > 1 && chance(3)) {
                partition = (int32_t)((partition_of(slice_str(r->key), w->shape.partitions) + 1) %
                                      w->shape.partitions);
        }
        append(w, room, id, partition, &e);
        if (chance(4))
                log_skip(w->topics[CHAT_EVENTS], (int32_t)draw_below(w->shape.partitions), 1);
}

static void producer(void *arg)
{
        struct chat_world *w = arg;
        int64_t gap_ms = STORY_MS / (w->shape.records + 1);
        while (!w->quiet) {
                unsigned burst = chance(8) ? 25 : 1;
                fiber_wait(NULL, machine_now_ms() + draw_below((uint32_t)(2 * gap_ms * burst) + 2));
                for (; burst > 0 && !w->kafka->away && !w->quiet; burst--)
                        another_backend_writes(w);
        }
}

/* ---- sessions that may not be lost ---- */

void chat_session_note(struct chat_client *c)
{
        uint8_t hash[32];
        char hex[65];
        digest_sha256(slice_str(c->pid), hash);
        for (int i = 0; i < 32; i++)
                snprintf(hex + 2 * i, 3, "%02x", hash[i]);
        const struct topic *t = c->w->topics[CHAT_SESSIONS];
        const struct life *l = &t->lives[t->epoch];
        c->recorded = false;
        for (uint32_t p = 0; p < l->partitions; p++)
                for (size_t i = 0; i < l->of[p].count; i++)
                        c->recorded = c->recorded || slice_is(l->of[p].entries[i]->key, hex);
}

bool chat_session_owed(const struct chat_client *c)
{
        return c->w->shape.calm && c->recorded && c->contended_ms == 0 &&
               strcmp(c->offset, "unrecoverable") != 0;
}

/* ---- what breaks ---- */

static void away_for(const struct chat_world *w, bool *what, const char *name)
{
        trace(NULL, "%s is away", name);
        int64_t until = machine_now_ms() + draw_between(200, 4000);
        *what = true;
        while (!w->quiet && machine_now_ms() < until)
                fiber_wait(NULL, machine_now_ms() + 50);
        *what = false;
        trace(NULL, "%s is back", name);
}

static void stumble(struct chat_world *w)
{
        struct chat_gate *g = w->gates[draw_below(w->shape.gates)];
        bool alive = g && !chat_gate_gone(g);
        if (alive && chance(w->shape.kills)) {
                if (chance(75))
                        chat_gate_kill(g);
                else
                        chat_gate_stop(g);
                count("gateways ended");
                alive = false;
        }
        if (alive && chance(w->shape.pauses)) {
                chat_gate_process(g)->paused_until_ms = machine_now_ms() + draw_between(50, 4000);
                trace(NULL, "%s is paused", chat_gate_process(g)->name);
        }
        if (alive && chance(w->shape.away))
                away_for(w, chance(50) ? &chat_gate_process(g)->kafka_away : &chat_gate_process(g)->postgres_away,
                        "something, for one,");
        if (chance(w->shape.away))
                away_for(w, &w->kafka->away, "Kafka");
        if (chance(w->shape.away)) {
                postgres_crash(w->pg);
                away_for(w, &w->pg->away, "Postgres");
        }
        struct scribe *s = w->scribes[draw_below(w->shape.writers)];
        if (s && !s->process.dead && chance(w->shape.writer_kills)) {
                trace(NULL, "%s is killed", s->name);
                process_kill(&s->process);
                w->writers_rest_ms = machine_now_ms() + draw_between(0, 4000);
        }
}

static void chaos(void *arg)
{
        struct chat_world *w = arg;
        while (!w->quiet) {
                fiber_wait(NULL, machine_now_ms() + draw_between(20, 900));
                if (!w->quiet)
                        stumble(w);
        }
}

static void warden(void *arg)
{
        struct chat_world *w = arg;
        while (!w->over) {
                for (unsigned i = 0; i < w->shape.gates; i++)
                        if (!w->gates[i] || chat_gate_gone(w->gates[i]))
                                w->gates[i] = chat_gate_start(w, i);
                for (unsigned i = 0; i < w->shape.writers; i++)
                        if ((!w->scribes[i] || w->scribes[i]->process.dead) &&
                                (w->quiet || machine_now_ms() >= w->writers_rest_ms))
                                w->scribes[i] = scribe_start(w->kafka, i, 100);
                fiber_wait(NULL, machine_now_ms() + 100 + draw_below(w->quiet ? 100 : 1200));
        }
}

/* ---- the run ---- */

static void draw_shape(struct chat_world *w)
{
        struct chat_shape *s = &w->shape;
        bool calm = chance(35);
        *s = (struct chat_shape){.gates = 1 + draw_below(CHAT_GATES_MAX),
                .shards = 1 + draw_below(SHARDS_MAX_SIM),
                .clients = 2 + draw_below(CHAT_CLIENTS_MAX - 1),
                .rooms = 2 + draw_below(CHAT_ROOMS_MAX - 1),
                .partitions = 1 + draw_below(2),
                .records = 40 + draw_below(120),
                .writers = 1 + draw_below(2),
                .kills = chance(80) ? 25 : 0,
                .pauses = !calm && chance(40) ? 12 : 0,
                .away = !calm && chance(60) ? 6 : 0,
                .writer_kills = chance(50) ? 20 : 0,
                .members = chance(60) ? 8 : 0,
                .sends = chance(70) ? 6 : 0,
                .vanish = chance(70) ? 3 : 0,
                .roomy = chance(30),
                .calm = calm};
        w->settings = (struct feed_settings){.tail_fill_ms = (uint32_t)draw_between(300, 4000),
                .tail_bytes_max = !calm && chance(20) ? 200000 : 4 << 20,
                .dedupe_window_ms = (uint32_t)draw_between(16000, 24000),
                .dedupe_entries_max = 100000,
                .read_wait_ms = 300,
                .read_give_up_ms = (uint32_t)draw_between(500, 3000),
                .catchup_reads_max = 1 + draw_below(3),
                .seek_readers = 1 + draw_below(2),
                .shard_credit_bytes = 1 << 20,
                .pause_max_ms = (uint32_t)draw_between(500, 3000)};
        /* A record that comes late, or from a gateway that slept, is known for what it is by those before it: the tail has to reach
         * back further than that; and so has the window, whatever a repeated message takes. */
        bool late = !calm && chance(40);
        if (calm && chance(60))
                w->settings.dedupe_window_ms = (uint32_t)draw_between(200, 3000);
        w->kafka->faults = (struct kafka_faults){.stall = chance(50) ? 20 : 3,
                .answer_lost = !calm && chance(30) ? 2 : 0,
                .stall_ms = !calm && chance(50) ? 600 : 40,
                .write_ms = !calm && chance(40) ? 400 : 20};
        if (!calm && chance(60)) {
                w->kafka->faults.ack_lost = 5;
                w->kafka->faults.write_lost = 5;
                w->kafka->faults.write_refused = 3;
                w->kafka->faults.write_late = late ? 5 : 0;
        }
        if (!calm)
                w->pg->faults = (struct postgres_faults){.slow = chance(30) ? 4 : 0,
                        .lost = chance(30) ? 1 : 0,
                        .commit_lost = 5,
                        .commit_unheard = 8};
        w->kafka->log.dedupe_window_ms = w->settings.dedupe_window_ms;
}

static void make_topics(struct chat_world *w)
{
        static const char *const others[] = {"notifications", "broadcasts", "redrive"};
        static const char *const dlqs[] = {"chat.events.dlq", "chat.receipts.dlq", "chat.sessions.dlq",
                "notifications.dlq", "broadcasts.dlq", "redrive.dlq"};
        for (int t = 0; t < CHAT_TOPICS; t++) {
                uint32_t partitions = t == CHAT_ACCESS ? 1 : w->shape.partitions;
                w->topics[t] = log_make(&w->kafka->log, topic_names[t], partitions, t == CHAT_EVENTS,
                        t != CHAT_ACCESS);
                postgres_add_life(w->pg, topic_names[t], 1, partitions);
        }
        size_t n = 0;
        w->archived[n++] = w->topics[CHAT_EVENTS];
        w->archived[n++] = w->topics[CHAT_RECEIPTS];
        w->archived[n++] = w->topics[CHAT_SESSIONS];
        for (size_t i = 0; i < ARRAY_LEN(others); i++)
                w->archived[n++] = log_make(&w->kafka->log, others[i], 1, false, false);
        for (size_t i = 0; i < ARRAY_LEN(dlqs); i++)
                log_make(&w->kafka->log, dlqs[i], 1, false, false);
        w->archive = (struct archive){.kafka = w->kafka,
                .pg = w->pg,
                .topics = w->archived,
                .topic_count = n,
                .repeats = true};
        w->pg->moved = archive_moved;
        w->pg->arg = &w->archive;
}

static void make_rooms(struct chat_world *w)
{
        for (unsigned i = 0; i < w->shape.rooms; i++) {
                char id[40], user[8];
                snprintf(w->rooms[i].key, sizeof(w->rooms[i].key), "room%u", i);
                const struct event made = {.type = EVENT_CONVERSATION_CREATED,
                        .conversation_id = w->rooms[i].key,
                        .sender_id = (char *)(uintptr_t) "backend"};
                snprintf(id, sizeof(id), "made-%u", i);
                append(w, (int)i, id, -1, &made);
                for (unsigned u = 0; u < CHAT_USERS; u++) {
                        snprintf(user, sizeof(user), "u%u", u);
                        snprintf(id, sizeof(id), "first-%u-%u", i, u);
                        const struct event in = {.type = EVENT_MEMBER_ADDED,
                                .conversation_id = w->rooms[i].key,
                                .user_id = user};
                        append(w, (int)i, id, -1, &in);
                }
        }
}

static void begin(struct chat_world *w)
{
        w->kafka = kafka_new();
        w->pg = postgres_new();
        draw_shape(w);
        w->kafka->log.appended = on_appended;
        w->kafka->log.arg = w;
        w->kafka->produced = chat_produced;
        make_topics(w);
        make_rooms(w);
        for (unsigned i = 0; i < w->shape.clients; i++)
                chat_client_init(w, i);
        fiber_start(NULL, "producer", producer, w);
        fiber_start(NULL, "chaos", chaos, w);
        fiber_start(NULL, "warden", warden, w);
}

static bool never(void *arg)
{
        UNUSED(arg);
        return false;
}

static bool all_satisfied(void *arg)
{
        const struct chat_world *w = arg;
        for (unsigned i = 0; i < w->shape.clients; i++)
                if (!chat_client_satisfied(&w->clients[i]))
                        return false;
        return archive_complete(&w->archive);
}

static void heal(struct chat_world *w)
{
        w->quiet = true;
        w->kafka->away = w->pg->away = false;
        w->kafka->faults = (struct kafka_faults){.stall = 3, .stall_ms = 40, .write_ms = 20};
        w->pg->faults = (struct postgres_faults){.slow = 0};
        for (unsigned i = 0; i < w->shape.gates; i++)
                if (w->gates[i])
                        chat_gate_process(w->gates[i])->kafka_away =
                                chat_gate_process(w->gates[i])->postgres_away = false;
        trace(NULL, "all is well from here on");
}

static bool all_gone(void *arg)
{
        const struct chat_world *w = arg;
        for (unsigned i = 0; i < w->shape.gates; i++)
                if (!chat_gate_gone(w->gates[i]))
                        return false;
        for (unsigned i = 0; i < w->shape.writers; i++)
                if (!w->scribes[i]->process.dead)
                        return false;
        return true;
}

static void end(struct chat_world *w)
{
        w->over = true;
        for (unsigned i = 0; i < w->shape.gates; i++)
                chat_gate_stop(w->gates[i]);
        for (unsigned i = 0; i < w->shape.writers; i++)
                scribe_stop(w->scribes[i]);
        machine_run(all_gone, w, machine_now_ms() + 20000);
        if (!all_gone(w))
                fail(NULL, "a process does not stop");
        machine_end();
        for (unsigned i = 0; i < w->shape.rooms; i++)
                free(w->rooms[i].items);
        postgres_free(w->pg);
        kafka_free(w->kafka);
        free(w);
}

void chat_world_run(uint64_t seed)
{
        struct chat_world *w = xcalloc(1, sizeof(*w));
        machine_begin(seed);
        begin(w);
        machine_run(never, w, machine_now_ms() + STORY_MS);
        heal(w);
        machine_run(never, w, machine_now_ms() + 4000);
        for (unsigned i = 0; i < w->shape.rooms; i++) {
                const struct event e = {.type = EVENT_MESSAGE_CREATED,
                        .conversation_id = w->rooms[i].key,
                        .sender_id = (char *)(uintptr_t) "backend",
                        .content = (char *)(uintptr_t) "the last"};
                char id[40];
                snprintf(id, sizeof(id), "last-%u", i);
                append(w, (int)i, id, -1, &e);
        }
        machine_run(all_satisfied, w, machine_now_ms() + END_MS);
        for (unsigned i = 0; i < w->shape.clients; i++)
                if (!chat_client_satisfied(&w->clients[i]))
                        chat_client_explain(&w->clients[i]);
        archive_explain(&w->archive);
        archive_check_end(&w->archive);
        end(w);
}
