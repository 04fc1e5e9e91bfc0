/*
 * kafka_internal - what the files of the simulated bus share: kafka.c writes and answers questions, consumer.c reads, group.c
 * shares partitions out. Owner: the world.
 */
#ifndef TERN_SIM_KAFKA_INTERNAL_H
#define TERN_SIM_KAFKA_INTERNAL_H

#include "kafka.h"

#include "bus/consumer.h"

struct group;

struct bus {
        struct list in_kafka;
        struct kafka *kafka;
        struct process *process;
        struct list consumers; /* struct consumer.in_bus */
        struct list writes;    /* struct write, as they were made */
        struct list reports;   /* struct write: done, to be told */
        int64_t late_until_ms; /* a write is under way of which the producer expects nothing any more */
};

struct followed { /* a partition that a consumer reads */
        struct topic *topic;
        int32_t partition;
        uint32_t epoch; /* life that it was assigned in */
        int64_t position, stalled_until_ms;
        int64_t eof_at; /* the end was told there; -1 */
        bool out_of_range, paused;
};

struct consumer {
        struct list in_bus;
        struct bus *bus;
        struct followed *parts; /* owned */
        size_t count, cap;
        struct consumer_event *events; /* owned, of cap events_max */
        struct bus_header (*headers)[ENTRY_HEADERS_MAX + 4];
        size_t events_max;
        bool woken;

        /* Of a group's member. */
        struct group *group; /* NULL: none */
        struct list in_group;
        struct consumer_options options;
        uint64_t generation;            /* in which it joined; 0: it has to join */
        uint64_t assigned;              /* generation whose partitions were taken; 0: none */
        int64_t ask_again_ms;           /* the callee said "not now" */
        struct consumer_partition *own; /* owned array: what it was given */
        size_t own_count;
};

static inline bool bus_unreachable(const struct bus *b)
{
        return b->kafka->away || b->process->kafka_away;
}

/* ---- group.c ---- */

void group_join(struct consumer *c);
void group_leave(struct consumer *c);
/* Before each poll: partitions come and go. */
void group_poll(struct consumer *c);
/* Of one world. */
void groups_done(struct kafka *k);

#endif
