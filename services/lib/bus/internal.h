/*
 * internal - what the files of this library share; not for others, since it shows librdkafka's types.
 *
 * Threads: producer.rk may be swapped by the report thread, so everybody else reads it under producer.lock.
 * topics[] only grows: entries below topic_count are frozen, so readers take no lock.
 */
#ifndef TERN_BUS_INTERNAL_H
#define TERN_BUS_INTERNAL_H

#include "bus/bus.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>

#define BUS_TOPICS_MAX 128
#define BUS_TOPIC_NAME_MAX 250 /* Kafka's bound is 249 characters */
#define BUS_CLIENT_ID_MAX 128

enum bus_role {
        BUS_ROLE_DURABLE,
        BUS_ROLE_VOLATILE,
        BUS_ROLE_CONSUMER, /* assigned by hand: what gateways read with */
        BUS_ROLE_MEMBER,   /* of a consumer group: the writer */
        BUS_ROLE_QUERY, /* metadata, watermarks, admin: a consumer that never fetches */
};

struct bus_topic {
        char name[BUS_TOPIC_NAME_MAX]; /* with prefix */
        struct slice bare;             /* into name */
        int label;                     /* of records_out; -1 none */
};

/* A producer that failed for good, kept until what it had in flight is answered. Report thread only. */
struct bus_retired {
        rd_kafka_t *rk;
        rd_kafka_queue_t *queue;
        int64_t until_ms;
        struct bus_retired *next;
};

struct bus_producer {
        pthread_rwlock_t lock;
        rd_kafka_t *rk;          /* owned */
        rd_kafka_queue_t *queue; /* owned; used by the report thread only */
};

struct bus_property {
        char *name, *value; /* owned */
        char scope;         /* '*' both, 'C' consumers, 'P' producers */
};

struct bus {
        struct bus_settings settings; /* topic_prefix is owned; frozen */
        struct bus_property *props;   /* owned; frozen */
        size_t prop_count;
        char client_id[BUS_CLIENT_ID_MAX];
        struct metrics *metrics; /* borrowed; may be NULL */

        struct bus_producer durable, volatile_;
        rd_kafka_t *query;             /* owned */
        rd_kafka_queue_t *query_queue; /* owned; report thread */
        struct bus_retired *retired;   /* report thread */
        int64_t replaced_ms; /* report thread: when the durable producer was last replaced */

        pthread_t reporter;
        bool reporter_runs;
        atomic_bool stop, up;
        atomic_int embedded; /* 0 not known yet, 1 a real cluster, 2 the mock */
        atomic_bool broken;  /* the durable producer has raised a fatal error */

        pthread_mutex_t topics_lock;
        atomic_uint topic_count;
        struct bus_topic topics[BUS_TOPICS_MAX];

        pthread_mutex_t log_lock; /* guards the two below */
        void (*log_fn)(void *arg, int level, const char *facility, const char *text);
        void *log_arg;
};

/* Copies props and checks them. 0, or -EINVAL with fault. */
MUST_CHECK int bus_conf_props(
        struct bus *b, const struct config_passthrough *props, size_t count, char fault[256]);
/* One property of a consumer or producer that its role does not settle; value by printf. */
struct bus_conf_extra {
        const char *name, *value;
};
/* A new handle for a role, or NULL with fault. extra is set after the role's own. on_conf may add callbacks. */
rd_kafka_t *bus_handle_new(struct bus *b, enum bus_role role, const struct bus_conf_extra *extra,
        size_t extra_count, void (*on_conf)(rd_kafka_conf_t *conf), void *opaque_owner,
        char fault[256]);
/* Every handle's opaque is one of these: the bus for logs, the owner for callbacks. Freed by bus_handle_free(). */
struct bus_opaque {
        struct bus *bus;
        void *owner;
};
/* flags as of rd_kafka_destroy_flags(). NULL is fine. */
void bus_handle_free(rd_kafka_t *rk, int flags);

/* The topic's entry, made when it is new; NULL if the name does not fit or the table is full. Any thread. */
const struct bus_topic *bus_topic_get(struct bus *b, struct slice bare);
/* The entry of a full name. */
const struct bus_topic *bus_topic_of_full(struct bus *b, const char *full);
void bus_log(struct bus *b, int level, const char *facility, const char *text);
/* -ENOENT, -ETIMEDOUT, -ENOTSUP, -EACCES, -EEXIST, -EINVAL or -EIO. */
int bus_errno(rd_kafka_resp_err_t err);

/* A record's headers for librdkafka, which takes them when it takes the record. */
rd_kafka_headers_t *bus_headers_of(const struct bus_record *r);
/* librdkafka's vectors have no const; what it copies it does not write to. */
void *bus_unconst(const char *p);

MUST_CHECK int producers_start(struct bus *b, char fault[256]);
void producers_stop(struct bus *b, int flush_ms);

#endif
