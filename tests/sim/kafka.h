/*
 * kafka - bus/bus.h, bus/consumer.h and bus/admin.h on the simulated log, in place of librdkafka's.
 *
 *   kafka_log.c  what is written
 *   kafka.c      writes, and questions
 *   consumer.c   reading
 *   group.c      a consumer group
 *
 * What a broker and a network may do: a partition is read late, another one early; answers take their time, or do
 * not come; a write is confirmed, refused, or neither, and then may have happened. What a process may
 * not see any more when it is dead is thrown away. bus/seek.c is the services' own.
 */
#ifndef TERN_SIM_KAFKA_H
#define TERN_SIM_KAFKA_H

#include "bus/bus.h"
#include "kafka_log.h"

struct kafka_faults {         /* in percent */
        double stall;         /* of a partition that has something to read */
        double ack_lost;      /* the write happens, its report is BUS_UNKNOWN */
        double write_lost;    /* neither */
        double write_late;    /* BUS_UNKNOWN, and it happens some time afterwards */
        double write_refused; /* BUS_FAILED */
        double answer_lost;   /* of a question for offsets and the like */
        int64_t stall_ms;     /* at most */
        int64_t write_ms;     /* at most */
};

struct kafka {
        struct log_model log;
        struct kafka_faults faults;
        bool away; /* for everybody */
        struct list buses, groups;
        /* A process asks for a write; NULL: nobody wants to know. arg is the log's. */
        void (*produced)(void *arg, struct process *p, const struct topic *t,
                const struct bus_record *r);
};

/* The world's one. */
struct kafka *kafka_new(void);
struct kafka *kafka_free(struct kafka *k);
/* A process's handle. */
struct bus *kafka_bus(struct kafka *k, struct process *p);
/* After records were appended by hand: who waits for some is woken. */
void kafka_appended(struct kafka *k);

#endif
