#include "postgres.h"

#include <stdio.h>
#include <stdlib.h>

static struct postgres *here;

struct postgres *postgres_new(void)
{
        struct postgres *pg = xcalloc(1, sizeof(*pg));
        for (int t = 0; t < PG_TABLES; t++)
                pg->tables[t].by_key = MAP_EMPTY;
        list_init(&pg->open);
        here = pg;
        return pg;
}

struct postgres *postgres_free(struct postgres *pg)
{
        for (int t = 0; t < PG_TABLES; t++)
                table_done(&pg->tables[t]);
        free(pg->places);
        free(pg->lives);
        free(pg->intents);
        free(pg);
        here = NULL;
        return NULL;
}

struct postgres *postgres_here(void)
{
        CHECK(here);
        return here;
}

bool postgres_is_away(const struct postgres *pg, const struct process *p)
{
        return pg->away || p->postgres_away;
}

#define ADD_ROW(pg, rows, count, cap)                                                              \
        do {                                                                                       \
                if ((pg)->count == (pg)->cap) {                                                    \
                        (pg)->cap = (pg)->cap ? (pg)->cap * 2 : 64;                                \
                        (pg)->rows = xrealloc((pg)->rows, (pg)->cap * sizeof(*(pg)->rows));        \
                }                                                                                  \
                memset(&(pg)->rows[(pg)->count++], 0, sizeof(*(pg)->rows));                        \
        } while (0)

const struct place_row *postgres_find_place(
        const struct postgres *pg, const char *topic, int32_t partition, uint32_t epoch)
{
        for (size_t i = 0; i < pg->place_count; i++) {
                const struct place_row *p = &pg->places[i];
                if (p->partition == partition && p->epoch == epoch && strcmp(p->topic, topic) == 0)
                        return p;
        }
        return NULL;
}

struct place_row *postgres_place(
        struct postgres *pg, const char *topic, int32_t partition, uint32_t epoch)
{
        const struct place_row *found = postgres_find_place(pg, topic, partition, epoch);
        if (found)
                return &pg->places[found - pg->places];
        ADD_ROW(pg, places, place_count, place_cap);
        struct place_row *p = &pg->places[pg->place_count - 1];
        snprintf(p->topic, sizeof(p->topic), "%s", topic);
        p->partition = partition;
        p->epoch = epoch;
        return p;
}

void postgres_add_life(struct postgres *pg, const char *topic, uint32_t epoch, uint32_t partitions)
{
        ADD_ROW(pg, lives, life_count, life_cap);
        struct life_row *l = &pg->lives[pg->life_count - 1];
        snprintf(l->topic, sizeof(l->topic), "%s", topic);
        l->epoch = epoch;
        l->partitions = partitions;
}

struct life_row postgres_life(const struct postgres *pg, const char *topic)
{
        struct life_row newest = {.epoch = 0};
        for (size_t i = 0; i < pg->life_count; i++)
                if (strcmp(pg->lives[i].topic, topic) == 0 && pg->lives[i].epoch > newest.epoch)
                        newest = pg->lives[i];
        return newest;
}

struct intent_row *postgres_add_intent(struct postgres *pg)
{
        ADD_ROW(pg, intents, intent_count, intent_cap);
        return &pg->intents[pg->intent_count - 1];
}

/* ---- the writer that never errs ---- */

static struct cell number(int64_t v)
{
        return (struct cell){.i = v};
}

static struct cell text(struct slice s)
{
        return (struct cell){.s = s};
}

static void store_event(struct postgres *pg, const struct topic *t, const struct entry *e)
{
        struct table *ids = &pg->tables[PG_EVENT_ID];
        if (e->kind == ENTRY_FOREIGN || e->kind == ENTRY_HIDDEN || table_find(ids, e->id))
                return;
        table_add(ids, row_new(PG_EVENT_ID, (const struct cell[]){text(e->id)}));
        if (strcmp(t->name, "chat.events") == 0) {
                const struct cell cells[] = {number(entry_seq(e)), number(e->timestamp_ms),
                        number(e->epoch), number(e->partition), text(e->key), text(e->type),
                        text(e->id), text(e->value)};
                table_add(&pg->tables[PG_CHAT_EVENT], row_new(PG_CHAT_EVENT, cells));
        } else {
                const struct cell cells[] = {number(entry_seq(e)), number(e->timestamp_ms),
                        number(e->epoch), number(e->partition), text(slice_str(t->name)),
                        text(e->key), text(e->type), text(e->id), text(e->value)};
                table_add(&pg->tables[PG_NOTIFICATION_EVENT],
                        row_new(PG_NOTIFICATION_EVENT, cells));
        }
}

void postgres_ingest(struct postgres *pg, struct topic *t, int32_t partition, int64_t until)
{
        struct partition *p = log_partition(t, partition);
        struct place_row *place = postgres_place(pg, t->name, partition, t->epoch);
        if (place->next_offset < p->low) /* cut off before they were read */
                place->next_offset = place->complete_from = p->low;
        for (size_t i = log_find(p, place->next_offset);
                i < p->count && p->entries[i]->offset < until; i++) {
                store_event(pg, t, p->entries[i]);
                place->next_offset = p->entries[i]->offset + 1;
        }
}
