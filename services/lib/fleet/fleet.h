/*
 * fleet - which gateways there are, as they say themselves.
 *
 * Each gateway writes a tern.gateway record to the topic `control` every TERN_ANNOUNCE_MS, from when it is ready until it has
 * ended: instance, service, ops address, connections, and whether it is leaving. Each hears all of them, its own included. Who was
 * silent for three times as long is gone. A record of this kind is worth nothing later, so it is written with the volatile
 * producer, and no record is read from the time before the start.
 *
 * Owner: the thread that ticks and hears (a gateway's first shard). What it knows is published as a frozen, counted list, which any
 * thread may ask for; fleet_leave() may come from any thread, too.
 */
#ifndef TERN_FLEET_FLEET_H
#define TERN_FLEET_FLEET_H

#include "base/check.h"
#include "base/config.h"
#include <stdatomic.h>

struct bus;
struct event;
struct fleet;
struct metrics;

#define FLEET_MEMBERS_MAX 1000 /* who is heard beyond them is not remembered */

struct fleet_settings {
#define CONFIG(type, field, ...) CONFIG_FIELD_##type(field)
#include "fleet/settings.def"
};
extern const struct config_row fleet_settings_rows[];
extern const size_t fleet_settings_count;

struct fleet_member {
        char service[32];  /* messaging, notification */
        char instance[65]; /* TERN_INSTANCE */
        char ops[256];     /* host:port, [v6]:port; "" if it did not say */
        char version[32];  /* "" if it did not say, as the next two */
        int64_t connections, connections_max;
        int64_t started_ms; /* wall */
        bool leaving;     /* it drains */
        int64_t heard_ms; /* monotonic, of this process */
};

struct fleet_list {
        atomic_uint refs; /* private */
        size_t count;
        struct fleet_member members[]; /* by service and instance */
};

struct fleet_options {
        const struct fleet_settings *settings; /* borrowed */
        struct bus *bus;                       /* borrowed */
        const char *service, *instance;        /* copied */
        const char *ops_bind;                  /* copied; what TERN_OPS_ADDRESS leaves open */
        uint32_t connections_max;
        struct metrics *metrics;               /* borrowed; may be NULL */
};
struct fleet *fleet_new(const struct fleet_options *o);
/* NULL is fine; returns NULL. */
struct fleet *fleet_free(struct fleet *f);

/* From here on it is announced; ops_port is the port that was opened. Any thread, once. */
void fleet_join(struct fleet *f, uint32_t ops_port);
/* It drains: the next tick says so. Any thread. */
void fleet_leave(struct fleet *f);
/* Nothing is produced any more: the bus goes. Any thread. */
void fleet_hush(struct fleet *f);

/* Owner, a few times a second: announces when it is time, and forgets who is silent. Returns how many clients are to be sent elsewhere
 * now (fleet/shed.h). */
unsigned fleet_tick(struct fleet *f, int64_t connections, int64_t now_ms);
/* Owner: a tern.gateway that was read, its key judged already. */
void fleet_hear(struct fleet *f, const struct event *e, int64_t now_ms);

/* Any thread. Who is there, this gateway included once it has heard itself; never NULL. fleet_list_unref() it. */
struct fleet_list *fleet_list(struct fleet *f);
void fleet_list_unref(struct fleet_list *list);

#endif
