/*
 * The story of one run: what is written, what breaks, how it ends.
 */
#include "world.h"

#include "base/buf.h"
#include "base/hash.h"
#include "proto/event.h"

#include <stdio.h>
#include <stdlib.h>

enum { STORY_MS = 14000, END_MS = 90000 };

static const char *const topic_names[TOPICS] = {
        [EVENTS] = "chat.events",
        [NOTES] = "notifications",
        [SIGNALS] = "chat.signals",
        [ACCESS] = "access",
};

int32_t room_slot(const struct world *w, int room)
{
        const struct room_model *r = &w->rooms[room];
        int32_t p = (int32_t)partition_of(slice_str(r->key), w->shape.partitions);
        return r->topic == EVENTS ? p : (int32_t)w->shape.partitions + p;
}

static struct room_model *room_named(struct world *w, uint16_t topic, struct slice key)
{
        for (unsigned i = 0; i < w->shape.rooms; i++)
                if (w->rooms[i].topic == topic && slice_is(key, w->rooms[i].key))
                        return &w->rooms[i];
        return NULL;
}

/* Every record that counts, or may be shown, stands in its room's list. */
static void on_appended(void *arg, const struct topic *t, struct entry *e)
{
        struct world *w = arg;
        if (t != w->topics[EVENTS] && t != w->topics[NOTES])
                return;
        if (e->kind != ENTRY_FIRST && e->kind != ENTRY_LATE)
                return;
        struct room_model *r = room_named(w, t == w->topics[EVENTS] ? EVENTS : NOTES, e->key);
        CHECK(r);
        if (r->count == r->cap) {
                r->cap = r->cap ? r->cap * 2 : 64;
                r->items = xrealloc(r->items, r->cap * sizeof(struct entry *));
        }
        r->items[r->count++] = e;
}

/* ---- the law ---- */

static bool kafka_has(const struct topic *t, int32_t partition, uint32_t epoch, int64_t from)
{
        const struct life *l = &t->lives[epoch];
        return !l->gone && l->of[partition].low <= from;
}

void check_gap(struct world *w, const char *about, int32_t slot, int64_t from, int64_t to)
{
        bool notes = slot >= (int32_t)w->shape.partitions;
        struct topic *t = w->topics[notes ? NOTES : EVENTS];
        int32_t partition = slot - (notes ? (int32_t)w->shape.partitions : 0);
        uint32_t epoch = (uint32_t)(from >> SEQ_SHIFT);
        if (epoch == 0 || epoch > t->epoch)
                return;
        const struct partition *p = &t->lives[epoch].of[partition];
        int64_t low = from & (((int64_t)1 << SEQ_SHIFT) - 1);
        int64_t high =
                (uint32_t)(to >> SEQ_SHIFT) > epoch ? p->end : to & (((int64_t)1 << SEQ_SHIFT) - 1);
        const struct place_row *place = postgres_find_place(w->pg, t->name, partition, epoch);
        int64_t next = place ? place->next_offset : 0;
        int64_t complete = place ? place->complete_from : 0;
        if (high > p->end)
                high = p->end;
        if (low >= high)
                return; /* nothing is there that could be missing */
        bool archived = low >= complete && (high <= next || kafka_has(t, partition, epoch, next));
        if (archived || kafka_has(t, partition, epoch, low))
                fail(about,
                        "is told of a gap where none is: %llx to %llx; Postgres has %lld to %lld",
                        (unsigned long long)from, (unsigned long long)to, (long long)complete,
                        (long long)next);
}

/* ---- writers of records ---- */

static struct slice fresh_id(struct world *w, char text[24])
{
        return slice_of(text, (size_t)snprintf(text, 24, "id-%llu", (unsigned long long)++w->ids));
}

static void write_record(struct world *w, int room)
{
        struct room_model *r = &w->rooms[room];
        struct topic *t = w->topics[r->topic];
        char text[24];
        struct slice id = fresh_id(w, text);
        int32_t partition = -1;
        uint32_t partitions = t->lives[t->epoch].partitions;
        if (!w->quiet && r->count > 0 && chance(8)) {
                size_t back = draw_below(r->count < 20 ? (uint32_t)r->count : 20);
                const struct entry *e = r->items[r->count - 1 - back];
                if (e->epoch == t->epoch)
                        id = e->id;
        }
        if (!w->quiet && partitions > 1 && chance(3))
                partition =
                        (int32_t)((partition_of(slice_str(r->key), partitions) + 1) % partitions);
        struct entry *e = log_append(&w->kafka->log, t, partition, slice_str(r->key), id,
                SLICE_LIT("tern.message.created"), SLICE_LIT("{}"));
        trace(NULL, "%s %s/%d@%lld (epoch %u) kind %d", id.p, r->key, e->partition,
                (long long)e->offset, e->epoch, e->kind);
        if (chance(4))
                log_skip(t, e->partition, 1 + draw_below(3));
        kafka_appended(w->kafka);
}

static void write_signal(struct world *w)
{
        char text[24];
        const struct room_model *r = &w->rooms[draw_below(w->shape.rooms)];
        if (r->topic != EVENTS)
                return;
        log_append(&w->kafka->log, w->topics[SIGNALS], -1, slice_str(r->key), fresh_id(w, text),
                SLICE_LIT("tern.typing"), SLICE_LIT("{}"));
        kafka_appended(w->kafka);
}

static void producer(void *arg)
{
        struct world *w = arg;
        unsigned left = w->shape.records;
        int64_t gap_ms = STORY_MS / (w->shape.records + 1);
        while (!w->quiet && left > 0) {
                unsigned burst = chance(10) ? 20 + w->shape.records / 100 : 1;
                int64_t ms = 2 * gap_ms * burst;
                fiber_wait(NULL, machine_now_ms() + draw_below((uint32_t)ms + 2));
                for (; burst > 0 && left > 0 && !w->kafka->away && !w->settling; burst--, left--)
                        write_record(w, (int)draw_below(w->shape.rooms));
                if (chance(20))
                        write_signal(w);
        }
}

/* ---- the archive ---- */

static void ingest_all(struct world *w, uint16_t topic, int64_t older_than_ms)
{
        struct topic *t = w->topics[topic];
        for (uint32_t p = 0; p < t->lives[t->epoch].partitions; p++) {
                const struct partition *part = log_partition(t, (int32_t)p);
                const struct place_row *place =
                        postgres_find_place(w->pg, t->name, (int32_t)p, t->epoch);
                int64_t until = place ? place->next_offset : 0;
                for (size_t i = log_find(part, until);
                        i < part->count && part->entries[i]->timestamp_ms <= older_than_ms; i++)
                        until = part->entries[i]->offset + 1;
                postgres_ingest(w->pg, t, (int32_t)p, until);
        }
}

static void writer(void *arg)
{
        struct world *w = arg;
        for (;;) {
                fiber_wait(NULL, machine_now_ms() + 10 + draw_below(100));
                if ((w->writer_stopped && !w->quiet) || w->pg->away || w->kafka->away)
                        continue;
                uint16_t topic = chance(50) ? EVENTS : NOTES;
                int64_t lag =
                        w->quiet ? 0 : (int64_t)draw_below((uint32_t)w->shape.writer_lag_ms + 1);
                ingest_all(w, topic, machine_wall_ms() - lag);
        }
}

/* ---- what breaks ---- */

/* A duplicate whose first is gone would be one that nobody can know. */
static int64_t without_orphans(const struct partition *p, int64_t low)
{
        for (size_t i = log_find(p, low); i < p->count; i++)
                if (p->entries[i]->kind == ENTRY_DUPLICATE && p->entries[i]->first_offset < low)
                        return without_orphans(p, p->entries[i]->first_offset);
        return low;
}

static void cut(struct world *w)
{
        uint16_t topic = chance(70) ? EVENTS : NOTES;
        struct topic *t = w->topics[topic];
        int32_t at = (int32_t)draw_below(t->lives[t->epoch].partitions);
        struct partition *p = log_partition(t, at);
        const struct place_row *place = postgres_find_place(w->pg, t->name, at, t->epoch);
        int64_t next = place ? place->next_offset : 0;
        int64_t low = p->low + draw_below((uint32_t)(p->end - p->low) + 1);
        if (!w->shape.disasters && low > next)
                low = next;
        /* Retention is longer than the windows: what they need is there. */
        int64_t young_ms = machine_wall_ms() - 2 * (int64_t)w->settings.dedupe_window_ms;
        while (low > p->low && p->entries[log_find(p, low - 1)]->timestamp_ms >= young_ms)
                low--;
        low = without_orphans(p, low);
        if (low <= p->low)
                return;
        trace(NULL, "%s/%d is cut below %lld", t->name, at, (long long)low);
        count("retention passes");
        log_cut(t, at, low);
}

static void announce(struct world *w, const struct topic *t)
{
        char key[32], id[24];
        struct buf value = BUF_EMPTY;
        struct event ev = {.type = EVENT_EPOCH,
                .topic = (char *)(uintptr_t)t->name,
                .cluster_id = (char *)(uintptr_t) "simulated",
                .epoch = t->epoch,
                .partitions = t->lives[t->epoch].partitions};
        event_encode(&ev, &value);
        snprintf(key, sizeof(key), "log:%s", t->name);
        snprintf(id, sizeof(id), "epoch-%llu", (unsigned long long)++w->ids);
        log_append(&w->kafka->log, w->topics[ACCESS], -1, slice_str(key), slice_str(id),
                slice_str(event_type_name(EVENT_EPOCH)), buf_slice(&value));
        buf_done(&value);
}

static bool all_know(const struct world *w, uint16_t topic)
{
        for (unsigned i = 0; i < w->shape.gates; i++)
                if (w->gates[i] && gate_ready(w->gates[i]) &&
                        gate_epoch(w->gates[i], topic) != w->topics[topic]->epoch)
                        return false;
        return true;
}

/* An operator deletes a topic and makes it anew, as ternctl registers it. */
static void make_anew(struct world *w)
{
        uint16_t topic = chance(70) ? EVENTS : NOTES;
        struct topic *t = w->topics[topic];
        if (t->epoch + 2 >= LIVES_MAX || w->pg->away)
                return;
        if (!w->shape.disasters)
                ingest_all(w, topic, INT64_MAX);
        struct life *l = &t->lives[t->epoch];
        for (uint32_t p = 0; p < l->partitions; p++) {
                const struct place_row *place =
                        postgres_find_place(w->pg, t->name, (int32_t)p, t->epoch);
                for (size_t i = 0; i < l->of[p].count; i++)
                        if (!place || l->of[p].entries[i]->offset >= place->next_offset)
                                l->of[p].entries[i]->lost = true;
        }
        log_make_anew(t, l->partitions);
        trace(NULL, "%s is made anew, epoch %u", t->name, t->epoch);
        count("new epochs");
        postgres_add_life(w->pg, t->name, t->epoch, l->partitions);
        announce(w, t);
        kafka_appended(w->kafka);
        /* A log that grows past a gateway's place before that gateway has heard of it cannot be told from the old one. */
        w->settling = true;
        while (!all_know(w, topic))
                fiber_wait(NULL, machine_now_ms() + 50);
        w->settling = false;
}

static void away_for(const struct world *w, bool *what, const char *name)
{
        trace(NULL, "%s is away", name);
        int64_t until = machine_now_ms() + draw_between(200, 5000);
        *what = true;
        while (!w->quiet && machine_now_ms() < until)
                fiber_wait(NULL, machine_now_ms() + 50);
        *what = false;
        trace(NULL, "%s is back", name);
}

static void stumble(struct world *w)
{
        struct gate *g = w->gates[draw_below(w->shape.gates)];
        if (chance(w->shape.kills) && g && !gate_gone(g)) {
                if (chance(75))
                        gate_kill(g);
                else
                        gate_stop(g);
                count("gateways ended");
        }
        if (chance(w->shape.pauses) && g && !gate_gone(g)) {
                gate_process(g)->paused_until_ms = machine_now_ms() + draw_between(50, 4000);
                trace(NULL, "%s is paused", gate_process(g)->name);
        }
        if (chance(w->shape.away) && g && !gate_gone(g)) {
                if (chance(50))
                        away_for(w, &gate_process(g)->kafka_away, "Kafka, for one,");
                else
                        away_for(w, &gate_process(g)->postgres_away, "Postgres, for one,");
        }
        if (chance(w->shape.away))
                away_for(w, &w->kafka->away, "Kafka");
        if (chance(w->shape.away))
                away_for(w, &w->pg->away, "Postgres");
        if (chance(w->shape.away))
                away_for(w, &w->writer_stopped, "the writer");
        if (chance(12))
                cut(w);
        if (w->shape.epochs && chance(4) && !w->quiet)
                make_anew(w);
}

static void chaos(void *arg)
{
        struct world *w = arg;
        while (!w->quiet) {
                fiber_wait(NULL, machine_now_ms() + draw_between(20, 900));
                if (!w->quiet)
                        stumble(w);
        }
}

/* What kubelet and systemd do. */
static void warden(void *arg)
{
        struct world *w = arg;
        while (!w->over) {
                for (unsigned i = 0; i < w->shape.gates; i++)
                        if (!w->gates[i] || gate_gone(w->gates[i]))
                                w->gates[i] = gate_start(w, i);
                fiber_wait(NULL, machine_now_ms() + 100 + draw_below(w->quiet ? 100 : 1500));
        }
}

/* ---- the run ---- */

static void draw_shape(struct world *w)
{
        struct shape *s = &w->shape;
        *s = (struct shape){.gates = 1 + draw_below(GATES_MAX),
                .shards = 1 + draw_below(SHARDS_MAX_SIM),
                .clients = 2 + draw_below(CLIENTS_MAX - 1),
                .rooms = 3 + draw_below(ROOMS_MAX - 2),
                .partitions = 1 + draw_below(3),
                .records = 40 + draw_below(160),
                .disasters = chance(25),
                .epochs = chance(25),
                .roomy = chance(20),
                .kills = chance(70) ? 25 : 0,
                .pauses = chance(40) ? 12 : 0,
                .away = chance(60) ? 8 : 0,
                .writer_lag_ms = chance(50) ? 50 : 4000};
        if (chance(4)) {
                s->roomy = chance(50);
                s->records = 3000;
                s->rooms = 3;
                s->partitions = 1;
        }
        w->settings = (struct feed_settings){.tail_fill_ms = (uint32_t)draw_between(200, 4000),
                .tail_bytes_max = chance(20) ? 300000 : 4 << 20,
                .dedupe_window_ms = (uint32_t)draw_between(200, 3000),
                .dedupe_entries_max = 100000,
                .read_wait_ms = 300,
                .read_give_up_ms = (uint32_t)draw_between(400, 3000),
                .catchup_reads_max = 1 + draw_below(3),
                .seek_readers = 1 + draw_below(2),
                .shard_credit_bytes = chance(20) ? 8192 : 1 << 20,
                .pause_max_ms = (uint32_t)draw_between(500, 3000)};
        w->kafka->faults = (struct kafka_faults){.stall = chance(50) ? 20 : 3,
                .answer_lost = chance(30) ? 2 : 0,
                .stall_ms = chance(50) ? 40 : 600,
                .write_ms = 20};
        w->pg->faults.slow = chance(30) ? 5 : 0;
        w->kafka->log.dedupe_window_ms = w->settings.dedupe_window_ms;
}

static void begin(struct world *w)
{
        w->kafka = kafka_new();
        w->pg = postgres_new();
        draw_shape(w);
        for (int t = 0; t < TOPICS; t++) {
                uint32_t partitions = t == ACCESS ? 1 : w->shape.partitions;
                w->topics[t] = log_make(&w->kafka->log, topic_names[t], partitions,
                        t == EVENTS || t == NOTES, t != ACCESS);
                postgres_add_life(w->pg, topic_names[t], 1, partitions);
        }
        for (unsigned i = 0; i < w->shape.rooms; i++) {
                struct room_model *r = &w->rooms[i];
                r->topic = i % 3 == 2 ? NOTES : EVENTS;
                snprintf(r->key, sizeof(r->key), "%s%u", r->topic == NOTES ? "note" : "room", i);
        }
        w->kafka->log.appended = on_appended;
        w->kafka->log.arg = w;
        for (unsigned i = 0; i < w->shape.gates; i++)
                w->gates[i] = gate_start(w, i);
        for (unsigned i = 0; i < w->shape.clients; i++)
                client_init(w, i);
        fiber_start(NULL, "producer", producer, w);
        fiber_start(NULL, "writer", writer, w);
        fiber_start(NULL, "chaos", chaos, w);
        fiber_start(NULL, "warden", warden, w);
}

static bool never(void *arg)
{
        UNUSED(arg);
        return false;
}

static bool is_settled(void *arg)
{
        return !((const struct world *)arg)->settling;
}

static bool all_satisfied(void *arg)
{
        const struct world *w = arg;
        for (unsigned i = 0; i < w->shape.clients; i++)
                if (!client_satisfied(&w->clients[i]))
                        return false;
        return true;
}

static void heal(struct world *w)
{
        w->quiet = true;
        w->kafka->away = w->pg->away = w->writer_stopped = false;
        w->kafka->faults.answer_lost = 0;
        for (unsigned i = 0; i < w->shape.gates; i++)
                if (w->gates[i])
                        gate_process(w->gates[i])->kafka_away =
                                gate_process(w->gates[i])->postgres_away = false;
        trace(NULL, "all is well from here on");
}

static bool all_gone(void *arg)
{
        const struct world *w = arg;
        for (unsigned i = 0; i < w->shape.gates; i++)
                if (!gate_gone(w->gates[i]))
                        return false;
        return true;
}

static void stopper(void *arg)
{
        gate_stop(arg);
}

void feed_world_run(uint64_t seed)
{
        struct world *w = xcalloc(1, sizeof(*w));
        w->seed = seed;
        machine_begin(seed);
        begin(w);
        machine_run(never, w, machine_now_ms() + STORY_MS);
        heal(w);
        machine_run(is_settled, w, machine_now_ms() + 10000);
        machine_run(never, w, machine_now_ms() + 300);
        for (unsigned i = 0; i < w->shape.rooms; i++)
                write_record(w, (int)i);
        machine_run(all_satisfied, w, machine_now_ms() + END_MS);
        for (unsigned i = 0; i < w->shape.clients; i++)
                if (!client_satisfied(&w->clients[i]))
                        client_explain(&w->clients[i]);
        w->over = true;
        for (unsigned i = 0; i < w->shape.gates; i++)
                fiber_start(NULL, "stopper", stopper, w->gates[i]);
        machine_run(all_gone, w, machine_now_ms() + 20000);
        if (!all_gone(w))
                fail(NULL, "a gateway does not stop");
        machine_end();
        for (unsigned i = 0; i < w->shape.rooms; i++)
                free(w->rooms[i].items);
        postgres_free(w->pg);
        kafka_free(w->kafka);
        free(w);
}
