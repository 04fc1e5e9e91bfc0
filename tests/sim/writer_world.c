/*
 * A world of writers: everything that can stand in the log, one to three processes that bring it to the archive, and what befalls
 * them. Their objects are the service's own, from the group's assignment to the transaction (services/writer).
 */
#include "world.h"

#include "archive.h"
#include "scribe.h"

#include "base/hash.h"
#include "proto/event.h"
#include "writer/batch.h"

#include <stdio.h>
#include <stdlib.h>

enum { WRITERS_MAX = 3, NAMES_MAX = 5, STORY_MS = 9000, END_MS = 90000 };

struct writer_shape {
        unsigned writers, partitions, records, batch_max;
        double kills, pauses, away, rows_bad, foreign, repeated;
        bool disasters, epochs;
};

struct writer_world {
        struct writer_shape shape;
        struct kafka *kafka;
        struct postgres *pg;
        struct topic *topics[TOPIC_COUNT];
        struct archive archive;
        struct scribe *scribes[WRITERS_MAX];
        uint64_t ids;
        bool quiet, over;
};

/* ---- the writers ---- */

static void warden(void *arg)
{
        struct writer_world *w = arg;
        while (!w->over) {
                for (unsigned i = 0; i < w->shape.writers; i++)
                        if (!w->scribes[i] || w->scribes[i]->process.dead)
                                w->scribes[i] = scribe_start(w->kafka, i, w->shape.batch_max);
                fiber_wait(NULL, machine_now_ms() + 100 + draw_below(w->quiet ? 100 : 1500));
        }
}

/* ---- what is written to the log ---- */

static void subject(enum writer_topic t, unsigned n, struct event *e, char text[2][80])
{
        snprintf(text[0], 80, "room%u", n);
        snprintf(text[1], 80, "user%u", draw_below(NAMES_MAX));
        e->conversation_id = text[0];
        e->user_id = e->sender_id = text[1];
        switch (t) {
        case TOPIC_RECEIPTS:
                e->type = EVENT_RECEIPT_READ;
                e->seq = 1 + draw_below(50);
                return;
        case TOPIC_SESSIONS:
                e->type = EVENT_SESSION;
                snprintf(text[0], 80, "%064x", n + 1);
                snprintf(text[1], 80, "gate%u", draw_below(3));
                e->sid = (char *)(uintptr_t) "sid";
                e->sub = (char *)(uintptr_t) "user";
                e->gateway = text[1];
                e->rooms_json = (char *)(uintptr_t) "[]";
                e->gen = 1 + draw_below(6);
                return;
        case TOPIC_NOTIFICATIONS:
                snprintf(text[0], 80, "user%u", n);
                e->user_id = text[0];
                e->type = chance(70)   ? EVENT_NOTIFICATION_CREATED
                          : chance(50) ? EVENT_NOTIFICATION_READ
                                       : EVENT_NOTIFICATION_READ_ALL;
                e->notification_id = (char *)(uintptr_t) "some";
                e->kind = e->title = e->body = (char *)(uintptr_t) "text";
                e->seq = 1 + draw_below(50);
                return;
        case TOPIC_BROADCASTS:
                e->type = EVENT_BROADCAST;
                e->audience = (char *)(uintptr_t) "all";
                e->kind = e->title = e->body = (char *)(uintptr_t) "text";
                return;
        case TOPIC_EVENTS:
        case TOPIC_REDRIVE:
        case TOPIC_COUNT:
                break;
        }
        e->type = chance(70)   ? EVENT_MESSAGE_CREATED
                  : chance(40) ? EVENT_MEMBER_ADDED
                  : chance(40) ? EVENT_MEMBER_REMOVED
                               : EVENT_CONVERSATION_CREATED;
        e->role = (char *)(uintptr_t) "member";
        e->content = (char *)(uintptr_t) "text";
}

static const struct entry *earlier(const struct topic *t)
{
        const struct life *l = &t->lives[t->epoch];
        const struct partition *p = &l->of[draw_below(l->partitions)];
        const struct entry *e = p->count ? p->entries[draw_below((uint32_t)p->count)] : NULL;
        return e && e->kind != ENTRY_HIDDEN && e->plan == PLAN_STORE && e->header_count == 2 ? e : NULL;
}

static void write_again(struct writer_world *w, struct topic *t, const struct entry *e)
{
        struct entry *again = log_append(
                &w->kafka->log, t, e->partition, e->key, e->id, e->type, e->value);
        trace(NULL, "%s/%d@%lld is %s again", t->name, again->partition, (long long)again->offset,
                e->id.p);
}

/* A producer gone wrong: nothing that parses, a record that Postgres will not take, another partitioner, another's key. */
static void spoil(struct writer_world *w, enum writer_topic at, struct buf *key, struct buf *value,
        int32_t *partition, enum entry_plan *plan)
{
        uint32_t partitions = w->topics[at]->lives[w->topics[at]->epoch].partitions;
        int32_t right = (int32_t)partition_of(buf_slice(key), partitions);
        if (chance(w->shape.rows_bad)) {
                buf_reset(value);
                buf_add_str(value, "{\"no");
                *plan = PLAN_DEAD;
        } else if (at == TOPIC_EVENTS && chance(w->shape.rows_bad)) {
                buf_reset(value);
                buf_add_str(value, "{\"conversationId\":\"");
                buf_add_slice(value, buf_slice(key));
                buf_add_str(value, "\",\"senderId\":\"u\",\"content\":\"refuse me\"}");
                *plan = PLAN_REFUSED;
        } else if (partitions > 1 && chance(w->shape.foreign)) {
                *partition = (right + 1) % (int32_t)partitions;
                *plan = PLAN_REKEY;
        } else if (at == TOPIC_EVENTS && chance(w->shape.foreign)) {
                buf_reset(key);
                buf_add_str(key, "another");
                *plan = PLAN_REKEY;
        }
}

static void write_record(struct writer_world *w)
{
        static const enum writer_topic mix[] = {TOPIC_EVENTS, TOPIC_EVENTS, TOPIC_EVENTS,
                TOPIC_RECEIPTS, TOPIC_SESSIONS, TOPIC_NOTIFICATIONS, TOPIC_NOTIFICATIONS,
                TOPIC_BROADCASTS};
        enum writer_topic at = mix[draw_below(ARRAY_LEN(mix))];
        struct topic *t = w->topics[at];
        const struct entry *again = chance(w->shape.repeated) ? earlier(t) : NULL;
        if (again) {
                write_again(w, t, again);
                return;
        }
        char text[2][80], id[32];
        struct event e = {.type = EVENT_UNKNOWN};
        struct buf key = BUF_EMPTY, value = BUF_EMPTY;
        int32_t partition = -1;
        enum entry_plan plan = PLAN_STORE;
        subject(at, draw_below(NAMES_MAX), &e, text);
        if (e.type == EVENT_SESSION)
                buf_add_str(&key, text[0]);
        else
                event_key(&e, &key);
        event_encode(&e, &value);
        spoil(w, at, &key, &value, &partition, &plan);
        enum event_type type = plan == PLAN_REFUSED ? EVENT_MESSAGE_CREATED : e.type;
        snprintf(id, sizeof(id), "id-%llu", (unsigned long long)++w->ids);
        struct entry *en = log_append(&w->kafka->log, t, partition, buf_slice(&key), slice_str(id),
                slice_str(event_type_name(type)), buf_slice(&value));
        en->plan = plan;
        trace(NULL, "%s %s/%d@%lld (epoch %u) plan %d", id, t->name, en->partition,
                (long long)en->offset, en->epoch, plan);
        if (chance(4))
                log_skip(t, en->partition, 1 + draw_below(3));
        buf_done(&key);
        buf_done(&value);
}

static void producer(void *arg)
{
        struct writer_world *w = arg;
        unsigned left = w->shape.records;
        int64_t gap_ms = STORY_MS / (w->shape.records + 1);
        while (!w->quiet && left > 0) {
                unsigned burst = chance(15) ? 20 : 1;
                fiber_wait(NULL,
                        machine_now_ms() + draw_below((uint32_t)(2 * gap_ms * burst) + 2));
                for (; burst > 0 && left > 0 && !w->kafka->away; burst--, left--)
                        write_record(w);
                kafka_appended(w->kafka);
        }
}

/* ---- what breaks ---- */

static void away_for(const struct writer_world *w, bool *what, const char *name)
{
        trace(NULL, "%s is away", name);
        int64_t until = machine_now_ms() + draw_between(100, 3000);
        *what = true;
        while (!w->quiet && machine_now_ms() < until)
                fiber_wait(NULL, machine_now_ms() + 50);
        *what = false;
        trace(NULL, "%s is back", name);
}

static void cut(struct writer_world *w)
{
        struct topic *t = w->topics[draw_below(TOPIC_COUNT)];
        int32_t at = (int32_t)draw_below(t->lives[t->epoch].partitions);
        struct partition *p = log_partition(t, at);
        const struct place_row *place = postgres_find_place(w->pg, t->name, at, t->epoch);
        int64_t low = p->low + draw_below((uint32_t)(p->end - p->low) + 1);
        if (!w->shape.disasters && low > (place ? place->next_offset : 0))
                low = place ? place->next_offset : 0;
        if (low <= p->low)
                return;
        trace(NULL, "%s/%d is cut below %lld", t->name, at, (long long)low);
        for (size_t i = 0; i < p->count && p->entries[i]->offset < low; i++)
                if (p->entries[i]->offset >= (place ? place->next_offset : 0))
                        p->entries[i]->lost = true;
        log_cut(t, at, low);
}

static void make_anew(struct writer_world *w)
{
        struct topic *t = w->topics[draw_below(TOPIC_COUNT)];
        if (t->epoch + 2 >= LIVES_MAX || w->pg->away)
                return;
        struct life *l = &t->lives[t->epoch];
        for (uint32_t p = 0; p < l->partitions; p++) {
                const struct place_row *place =
                        postgres_find_place(w->pg, t->name, (int32_t)p, t->epoch);
                for (size_t i = 0; i < l->of[p].count; i++)
                        if (!place || l->of[p].entries[i]->offset >= place->next_offset)
                                l->of[p].entries[i]->lost = true;
        }
        log_make_anew(t, l->partitions);
        postgres_add_life(w->pg, t->name, t->epoch, l->partitions);
        trace(NULL, "%s is made anew, epoch %u", t->name, t->epoch);
        count("new epochs");
}

static void stumble(struct writer_world *w)
{
        struct scribe *s = w->scribes[draw_below(w->shape.writers)];
        bool alive = s && !s->process.dead;
        if (alive && chance(w->shape.kills)) {
                if (chance(75)) {
                        trace(NULL, "%s is killed", s->name);
                        process_kill(&s->process);
                } else {
                        scribe_stop(s);
                }
                count("writers ended");
                return;
        }
        if (alive && chance(w->shape.pauses)) {
                s->process.paused_until_ms = machine_now_ms() + draw_between(50, 5000);
                trace(NULL, "%s is paused", s->name);
                count("writers paused");
        }
        if (alive && chance(w->shape.away))
                away_for(w, chance(50) ? &s->process.kafka_away : &s->process.postgres_away,
                        "something, for one,");
        if (chance(w->shape.away))
                away_for(w, &w->kafka->away, "Kafka");
        if (chance(w->shape.away)) {
                postgres_crash(w->pg);
                away_for(w, &w->pg->away, "Postgres");
        }
        if (chance(8))
                cut(w);
        if (w->shape.epochs && chance(3))
                make_anew(w);
}

static void chaos(void *arg)
{
        struct writer_world *w = arg;
        while (!w->quiet) {
                fiber_wait(NULL, machine_now_ms() + draw_between(20, 600));
                if (!w->quiet)
                        stumble(w);
        }
}

/* ---- the run ---- */

static void draw_shape(struct writer_world *w)
{
        struct writer_shape *s = &w->shape;
        *s = (struct writer_shape){.writers = 1 + draw_below(WRITERS_MAX),
                .partitions = 1 + draw_below(3),
                .records = 40 + draw_below(160),
                .batch_max = chance(30) ? 1 + draw_below(8) : 100,
                .kills = chance(70) ? 20 : 0,
                .pauses = chance(40) ? 12 : 0,
                .away = chance(50) ? 6 : 0,
                .rows_bad = chance(50) ? 4 : 0,
                .foreign = chance(50) ? 4 : 0,
                .repeated = chance(60) ? 8 : 0,
                .disasters = chance(20),
                .epochs = chance(15)};
        w->kafka->faults = (struct kafka_faults){.stall = chance(50) ? 20 : 3,
                .answer_lost = chance(30) ? 2 : 0,
                .stall_ms = chance(50) ? 40 : 600,
                .write_ms = 20,
                .ack_lost = chance(40) ? 8 : 0,
                .write_lost = chance(40) ? 8 : 0,
                .write_refused = chance(30) ? 5 : 0,
                .write_late = chance(15) ? 5 : 0};
        w->pg->faults = (struct postgres_faults){.slow = chance(30) ? 3 : 0,
                .lost = chance(40) ? 1.5 : 0,
                .deadlock = chance(30) ? 2 : 0,
                .commit_lost = chance(50) ? 15 : 0,
                .commit_unheard = chance(60) ? 20 : 0};
        /* Nothing binds a letter to the transaction: who sleeps in between, or whose letter comes late, may repeat it. */
        w->archive.repeats =
                s->pauses > 0 || s->away > 0 || w->kafka->faults.write_late > 0 || s->epochs;
}

static void begin(struct writer_world *w)
{
        static char dlq[TOPIC_COUNT][40];
        w->kafka = kafka_new();
        w->pg = postgres_new();
        draw_shape(w);
        for (int t = 0; t < TOPIC_COUNT; t++) {
                uint32_t partitions = t == TOPIC_BROADCASTS ? 1 : w->shape.partitions;
                w->topics[t] = log_make(
                        &w->kafka->log, writer_topics[t], partitions, false, false);
                snprintf(dlq[t], sizeof(dlq[t]), "%s.dlq", writer_topics[t]);
                log_make(&w->kafka->log, dlq[t], partitions, false, false);
                if (chance(50))
                        postgres_add_life(w->pg, writer_topics[t], 1, partitions);
        }
        w->archive = (struct archive){.kafka = w->kafka,
                .pg = w->pg,
                .topics = w->topics,
                .topic_count = TOPIC_COUNT,
                .repeats = w->archive.repeats};
        w->pg->moved = archive_moved;
        w->pg->arg = &w->archive;
        fiber_start(NULL, "producer", producer, w);
        fiber_start(NULL, "chaos", chaos, w);
        fiber_start(NULL, "warden", warden, w);
}

static bool never(void *arg)
{
        UNUSED(arg);
        return false;
}

static bool complete(void *arg)
{
        return archive_complete(&((const struct writer_world *)arg)->archive);
}

static void heal(struct writer_world *w)
{
        w->quiet = true;
        w->kafka->away = w->pg->away = false;
        w->kafka->faults = (struct kafka_faults){.stall = 3, .stall_ms = 40, .write_ms = 20};
        w->pg->faults = (struct postgres_faults){.slow = 0};
        for (unsigned i = 0; i < w->shape.writers; i++)
                if (w->scribes[i])
                        w->scribes[i]->process.kafka_away =
                                w->scribes[i]->process.postgres_away = false;
        trace(NULL, "all is well from here on");
}

static bool all_gone(void *arg)
{
        const struct writer_world *w = arg;
        for (unsigned i = 0; i < w->shape.writers; i++)
                if (!w->scribes[i]->process.dead)
                        return false;
        return true;
}

void writer_world_run(uint64_t seed)
{
        struct writer_world *w = xcalloc(1, sizeof(*w));
        machine_begin(seed);
        begin(w);
        machine_run(never, w, machine_now_ms() + STORY_MS);
        heal(w);
        machine_run(never, w, machine_now_ms() + 500);
        machine_run(complete, w, machine_now_ms() + END_MS);
        archive_explain(&w->archive);
        archive_check_end(&w->archive);
        w->over = true;
        for (unsigned i = 0; i < w->shape.writers; i++)
                scribe_stop(w->scribes[i]);
        machine_run(all_gone, w, machine_now_ms() + 20000);
        if (!all_gone(w))
                fail(NULL, "a writer does not stop");
        machine_end();
        postgres_free(w->pg);
        kafka_free(w->kafka);
        free(w);
}
