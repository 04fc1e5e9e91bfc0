/*
 * A consumer group of the simulated Kafka: eager, by range. When a member comes, goes, or has not been heard of for the session
 * timeout, all give back what they have; once all that live have come again, the partitions are dealt out.
 */
#include "kafka_internal.h"

#include <stdlib.h>

#define ASK_AGAIN_MS 500
#define REJOIN_MS 3000 /* who has not come again by then is out */

struct group {
        struct list link;
        char *name;          /* owned */
        struct list members; /* struct consumer.in_group */
        uint64_t generation;
        bool dealt;         /* this generation has its partitions */
        int64_t started_ms; /* of the generation */
};

static struct group *group_of(struct kafka *k, const char *name)
{
        list_for_each(it, &k->groups)
        {
                struct group *g = list_entry(it, struct group, link);
                if (strcmp(g->name, name) == 0)
                        return g;
        }
        struct group *g = xcalloc(1, sizeof(*g));
        g->name = xstrdup(name);
        list_init(&g->members);
        list_push_back(&k->groups, &g->link);
        return g;
}

void groups_done(struct kafka *k)
{
        struct list *node;
        while ((node = list_take(&k->groups))) {
                struct group *g = list_entry(node, struct group, link);
                free(g->name);
                free(g);
        }
}

static void begin_anew(struct group *g)
{
        g->generation++;
        g->dealt = false;
        g->started_ms = machine_now_ms();
        list_for_each(it, &g->members) fiber_wake(list_entry(it, struct consumer, in_group));
}

/* A process that is dead or stopped sends no heartbeats; neither does one that has no network. */
static bool is_silent(const struct consumer *c)
{
        const struct process *p = c->bus->process;
        int64_t timeout_ms = c->options.session_timeout_ms ? c->options.session_timeout_ms : 6000;
        return p->dead || (p->kafka_away && !c->bus->kafka->away) ||
               p->paused_until_ms > machine_now_ms() + timeout_ms;
}

static void drop_the_silent(struct group *g)
{
        bool any = false;
        list_for_each_safe(it, &g->members)
        {
                struct consumer *c = list_entry(it, struct consumer, in_group);
                bool late = !g->dealt && c->generation != g->generation &&
                            machine_now_ms() > g->started_ms + REJOIN_MS;
                if (!is_silent(c) && !late)
                        continue;
                list_remove(&c->in_group);
                c->generation = 0;
                any = true;
        }
        if (any)
                begin_anew(g);
}

void group_join(struct consumer *c)
{
        c->group = group_of(c->bus->kafka, c->options.group);
        list_push_back(&c->group->members, &c->in_group);
        begin_anew(c->group);
}

/* lost: they may be another's already. */
static void give_back(struct consumer *c, bool lost)
{
        if (!c->assigned)
                return;
        if (c->options.revoked)
                c->options.revoked(c->options.arg, c->own, c->own_count, lost);
        consumer_unassign(c, c->own, c->own_count);
        c->assigned = 0;
}

void group_leave(struct consumer *c)
{
        if (!c->group)
                return;
        give_back(c, !list_linked(&c->in_group));
        if (list_linked(&c->in_group)) {
                list_remove(&c->in_group);
                begin_anew(c->group);
        }
        c->group = NULL;
}

/* ---- dealing ---- */

static void take_range(struct consumer *c, size_t rank, size_t members)
{
        size_t n = 0;
        free(c->own);
        c->own = xcalloc(c->options.topic_count * 16, sizeof(*c->own));
        for (size_t i = 0; i < c->options.topic_count; i++) {
                const char *name = c->options.topics[i];
                const struct topic *t = log_topic(&c->bus->kafka->log, slice_str(name));
                uint32_t count = t ? t->lives[t->epoch].partitions : 0;
                for (uint32_t p = 0; p < count && n < c->options.topic_count * 16; p++)
                        if (p % members == rank)
                                c->own[n++] = (struct consumer_partition){name, (int32_t)p, -1};
        }
        c->own_count = n;
}

static void deal_if_all_came(struct group *g)
{
        size_t members = 0, rank = 0;
        list_for_each(it, &g->members)
        {
                if (list_entry(it, struct consumer, in_group)->generation != g->generation)
                        return;
                members++;
        }
        list_for_each(it, &g->members)
                take_range(list_entry(it, struct consumer, in_group), rank++, members);
        g->dealt = true;
}

void group_poll(struct consumer *c)
{
        struct group *g = c->group;
        if (!g || bus_unreachable(c->bus))
                return;
        drop_the_silent(g);
        if (!list_linked(&c->in_group)) {
                give_back(c, true);
                list_push_back(&g->members, &c->in_group);
                begin_anew(g);
        }
        if (c->generation != g->generation) {
                give_back(c, false);
                c->generation = g->generation;
        }
        if (!g->dealt)
                deal_if_all_came(g);
        if (!g->dealt || c->assigned == g->generation || machine_now_ms() < c->ask_again_ms)
                return;
        c->ask_again_ms = machine_now_ms() + ASK_AGAIN_MS;
        uint64_t generation = g->generation;
        int err = c->options.assigned ? c->options.assigned(c->options.arg, c->own, c->own_count) : 0;
        if (err < 0)
                return;
        c->ask_again_ms = 0;
        c->assigned = generation;
        (void)!consumer_assign(c, c->own, c->own_count);
}
