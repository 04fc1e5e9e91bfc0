#include "archive.h"

#include "world.h"

#include "proto/deadletter.h"
#include "proto/event.h"

#include <stdio.h>
#include <stdlib.h>

static struct topic *topic_of(const struct archive *a, const char *name)
{
        for (size_t i = 0; i < a->topic_count; i++)
                if (strcmp(a->topics[i]->name, name) == 0)
                        return a->topics[i];
        return NULL;
}

static enum table_id events_of(const struct topic *t)
{
        if (strcmp(t->name, "chat.events") == 0)
                return PG_CHAT_EVENT;
        bool notes = strcmp(t->name, "notifications") == 0 || strcmp(t->name, "broadcasts") == 0;
        return notes ? PG_NOTIFICATION_EVENT : PG_TABLES;
}

static const struct row *row_of(const struct archive *a, const struct topic *t, const struct entry *e)
{
        char key[96];
        enum table_id id = events_of(t);
        int n = snprintf(key, sizeof(key), "%s/%d/%lld",
                id == PG_NOTIFICATION_EVENT ? t->name : "", e->partition, (long long)entry_seq(e));
        return table_find(&a->pg->tables[id], slice_of(key, (size_t)n));
}

static struct slice header_of(const struct entry *e, const char *name)
{
        const struct bus_record r = {.headers = e->headers, .header_count = e->header_count};
        return bus_record_header(&r, name);
}

/* ---- one record ---- */

static const struct entry *same_id(const struct partition *p, const struct entry *e, int64_t until)
{
        for (size_t i = 0; i < p->count && p->entries[i]->offset < until; i++) {
                const struct entry *other = p->entries[i];
                if (other != e && other->kind != ENTRY_HIDDEN && other->plan == PLAN_STORE &&
                        slice_eq(other->id, e->id))
                        return other;
        }
        return NULL;
}

/* An earlier record of its id in its partition, which counts instead. A copy may have come twice, and then in two lives of the topic. */
static const struct entry *precursor(const struct topic *t, const struct entry *e)
{
        const struct entry *found = NULL;
        if (header_of(e, HEADER_REKEYED).p)
                for (uint32_t k = 1; !found && k < e->epoch; k++)
                        for (uint32_t p = 0; !found && p < t->lives[k].partitions; p++)
                                found = same_id(&t->lives[k].of[p], e, INT64_MAX);
        return found ? found : same_id(&t->lives[e->epoch].of[e->partition], e, e->offset);
}

static bool letter_is_of(const struct entry *letter, const struct topic *t, const struct entry *e)
{
        char partition[16], offset[24], epoch[16];
        snprintf(partition, sizeof(partition), "%d", e->partition);
        snprintf(offset, sizeof(offset), "%lld", (long long)e->offset);
        snprintf(epoch, sizeof(epoch), "%u", e->epoch);
        return slice_is(header_of(letter, DEADLETTER_TOPIC), t->name) &&
               slice_is(header_of(letter, DEADLETTER_PARTITION), partition) &&
               slice_is(header_of(letter, DEADLETTER_OFFSET), offset) &&
               slice_is(header_of(letter, DEADLETTER_EPOCH), epoch);
}

static unsigned letters_of(const struct archive *a, const struct topic *t, const struct entry *e)
{
        char name[64];
        snprintf(name, sizeof(name), "%s.dlq", t->name);
        const struct topic *dlq = log_topic(&a->kafka->log, slice_str(name));
        CHECK(dlq);
        unsigned n = 0;
        const struct life *l = &dlq->lives[dlq->epoch];
        for (uint32_t p = 0; p < l->partitions; p++)
                for (size_t i = 0; i < l->of[p].count; i++)
                        n += letter_is_of(l->of[p].entries[i], t, e);
        return n;
}

static unsigned copies_of(const struct topic *t, const struct entry *e)
{
        char origin[96];
        snprintf(origin, sizeof(origin), "%s/%d/%lld/%u", t->name, e->partition,
                (long long)e->offset, e->epoch);
        unsigned n = 0;
        const struct life *l = &t->lives[e->epoch];
        for (uint32_t p = 0; p < l->partitions; p++)
                for (size_t i = 0; i < l->of[p].count; i++)
                        n += slice_is(header_of(l->of[p].entries[i], HEADER_REKEYED), origin);
        return n;
}

static void check_unique_row(
        const struct archive *a, const struct topic *t, const struct entry *e, bool expected)
{
        const struct row *r = row_of(a, t, e);
        if (!r && expected)
                fail(NULL, "%s/%d@%lld (%s) is passed and has no row", t->name, e->partition,
                        (long long)e->offset, e->id.p);
        if (r && !expected)
                fail(NULL, "%s/%d@%lld (%s) has a row, and ought to have none", t->name,
                        e->partition, (long long)e->offset, e->id.p);
        if (!slice_is(e->type, "tern.message.created"))
                return;
        const struct row *m = table_find(&a->pg->tables[PG_MESSAGE], e->id);
        if (expected && (!m || m->cells[1].i != entry_seq(e)))
                fail(NULL, "the message %s is not stored under its seq", e->id.p);
}

/* The place has passed it. */
static void check_passed(const struct archive *a, const struct topic *t, const struct entry *e)
{
        if (e->kind == ENTRY_HIDDEN)
                return;
        const struct entry *first;
        bool rows = events_of(t) < PG_TABLES;
        switch (e->plan) {
        case PLAN_STORE:
                if (!rows)
                        return;
                first = precursor(t, e);
                if (!first || !first->lost) /* else it may have been written, or not */
                        check_unique_row(a, t, e, !first);
                return;
        case PLAN_DEAD:
        case PLAN_REFUSED:
                if (letters_of(a, t, e) == 0)
                        fail(NULL, "%s/%d@%lld is passed and has no dead letter", t->name,
                                e->partition, (long long)e->offset);
                break;
        case PLAN_REKEY:
                if (copies_of(t, e) == 0)
                        fail(NULL, "%s/%d@%lld is passed and has no copy", t->name, e->partition,
                                (long long)e->offset);
                break;
        }
        if (rows)
                check_unique_row(a, t, e, false);
}

/* ---- a place ---- */

static void check_beyond(
        const struct archive *a, const struct topic *t, const struct place_row *place)
{
        enum table_id id = events_of(t);
        if (id == PG_TABLES)
                return;
        int64_t until = ((int64_t)place->epoch << SEQ_SHIFT) + place->next_offset;
        const struct table *rows = &a->pg->tables[id];
        for (size_t i = 0; i < rows->count; i++) {
                const struct cell *c = rows->rows[i]->cells;
                bool same = id == PG_CHAT_EVENT || slice_is(c[4].s, t->name);
                if (same && c[EVENT_EPOCH_NO].i == place->epoch &&
                        c[EVENT_PARTITION].i == place->partition && c[EVENT_SEQ].i >= until)
                        fail(NULL, "%s/%d has a row at %llx, beyond its place %lld", t->name,
                                place->partition, (unsigned long long)c[EVENT_SEQ].i,
                                (long long)place->next_offset);
        }
}

void archive_moved(void *arg, const struct place_row *place, int64_t before)
{
        const struct archive *a = arg;
        const struct topic *t = topic_of(a, place->topic);
        CHECK(t);
        const struct partition *p = &t->lives[place->epoch].of[place->partition];
        trace(NULL, "%s/%d is written from %lld to %lld", t->name, place->partition,
                (long long)before, (long long)place->next_offset);
        for (size_t i = log_find(p, before);
                i < p->count && p->entries[i]->offset < place->next_offset; i++)
                check_passed(a, t, p->entries[i]);
        check_beyond(a, t, place);
}

/* ---- the end ---- */

static const struct place_row *place_of(const struct archive *a, const struct topic *t, uint32_t p)
{
        return postgres_find_place(a->pg, t->name, (int32_t)p, t->epoch);
}

static bool has_end(const struct archive *a, const struct topic *t, uint32_t p)
{
        const struct place_row *place = place_of(a, t, p);
        int64_t end = t->lives[t->epoch].of[p].end;
        return end == 0 || (place && place->next_offset >= end);
}

bool archive_complete(const struct archive *a)
{
        for (size_t i = 0; i < a->topic_count; i++)
                for (uint32_t p = 0; p < a->topics[i]->lives[a->topics[i]->epoch].partitions; p++)
                        if (!has_end(a, a->topics[i], p))
                                return false;
        return true;
}

void archive_explain(const struct archive *a)
{
        for (size_t i = 0; i < a->topic_count; i++) {
                const struct topic *t = a->topics[i];
                for (uint32_t p = 0; p < t->lives[t->epoch].partitions; p++) {
                        const struct place_row *place = place_of(a, t, p);
                        if (!has_end(a, t, p))
                                fail(NULL, "%s/%u is written up to %lld of %lld (epoch %u)", t->name,
                                        p, place ? (long long)place->next_offset : 0,
                                        (long long)t->lives[t->epoch].of[p].end, t->epoch);
                }
        }
}

static void check_once(const struct archive *a, const struct topic *t, const struct entry *e)
{
        if (e->kind == ENTRY_HIDDEN || a->repeats)
                return;
        unsigned letters = e->plan == PLAN_DEAD || e->plan == PLAN_REFUSED ? letters_of(a, t, e) : 1;
        unsigned copies = e->plan == PLAN_REKEY ? copies_of(t, e) : 1;
        if (letters != 1)
                fail(NULL, "%s/%d@%lld has %u dead letters", t->name, e->partition,
                        (long long)e->offset, letters);
        if (copies != 1)
                fail(NULL, "%s/%d@%lld has %u copies", t->name, e->partition, (long long)e->offset,
                        copies);
}

struct session_fold {
        int64_t gen, seq;
        struct slice gateway;
};

static void fold(struct session_fold *f, const struct entry *e)
{
        struct event ev;
        struct event_error err;
        if (e->kind == ENTRY_HIDDEN || e->plan != PLAN_STORE ||
                event_parse(SLICE_LIT("chat.sessions"), e->type, e->id, e->key, e->value, &ev,
                        &err) < 0)
                return;
        bool owner = f->gen > 0 && ev.gen == f->gen && slice_is(f->gateway, ev.gateway);
        if (ev.gen > f->gen) {
                free((char *)(uintptr_t)f->gateway.p);
                f->gen = ev.gen;
                f->gateway = slice_of(slice_dup(slice_str(ev.gateway)), strlen(ev.gateway));
                owner = true;
        }
        if (owner)
                f->seq = entry_seq(e);
        event_done(&ev);
}

/* What all records of the session's key amount to. */
static void check_session(const struct topic *t, const struct row *r)
{
        struct session_fold f = {.gen = 0};
        bool lost = false;
        for (uint32_t k = 1; k <= t->epoch; k++)
                for (uint32_t p = 0; p < t->lives[k].partitions; p++) {
                        const struct partition *part = &t->lives[k].of[p];
                        for (size_t i = 0; i < part->count; i++)
                                if (slice_eq(part->entries[i]->key, r->key)) {
                                        fold(&f, part->entries[i]);
                                        lost = lost || part->entries[i]->lost;
                                }
                }
        /* What retention took may have been written before. */
        if (!lost && (f.gen != r->cells[1].i || f.seq != r->cells[2].i || !slice_eq(f.gateway, r->cells[7].s)))
                fail(NULL, "the session %.8s… is stored as gen %lld of %s at %llx, not gen %lld of %s at %llx",
                        r->key.p, (long long)r->cells[1].i, r->cells[7].s.p,
                        (unsigned long long)r->cells[2].i, (long long)f.gen,
                        f.gateway.p ? f.gateway.p : "nobody", (unsigned long long)f.seq);
        free((char *)(uintptr_t)f.gateway.p);
}

void archive_check_end(const struct archive *a)
{
        for (size_t i = 0; i < a->topic_count; i++) {
                const struct topic *t = a->topics[i];
                for (uint32_t p = 0; p < t->lives[t->epoch].partitions; p++) {
                        const struct partition *part = &t->lives[t->epoch].of[p];
                        const struct place_row *place = place_of(a, t, p);
                        for (size_t k = 0; k < part->count; k++) {
                                if (place && part->entries[k]->offset < place->complete_from)
                                        continue; /* retention was quicker, and the archive says so */
                                check_passed(a, t, part->entries[k]);
                                check_once(a, t, part->entries[k]);
                        }
                        if (place)
                                check_beyond(a, t, place);
                }
        }
        const struct topic *sessions = topic_of(a, "chat.sessions");
        const struct table *rows = &a->pg->tables[PG_SESSION];
        for (size_t i = 0; sessions && i < rows->count; i++)
                check_session(sessions, rows->rows[i]);
}
