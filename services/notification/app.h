/*
 * app - the parts of one notification gateway process, made by main and frozen before the first client.
 */
#ifndef TERN_NOTIFICATION_APP_H
#define TERN_NOTIFICATION_APP_H

#include "auth/auth.h"
#include "base/config.h"
#include "base/lifecycle.h"
#include "base/log.h"
#include "base/metrics.h"
#include "bus/bus.h"
#include "feed/feed.h"
#include "fleet/fleet.h"
#include "http/server.h"
#include "realtime/departures.h"
#include "store/store.h"

struct notification_settings {
#define CONFIG(type, field, ...) CONFIG_FIELD_##type(field)
#include "notification/settings.def"
};

struct admin;
struct gateway;
struct es_server;
struct intake;
struct tally;
struct shard;

struct app {
        struct notification_settings settings;
        struct auth_settings auth_settings;
        struct bus_settings bus_settings;
        struct feed_settings feed_settings;
        struct fleet_settings fleet_settings;
        struct http_settings http_settings;
        struct store_settings store_settings;
        char instance[65];
        struct lifecycle lifecycle;
        atomic_bool bus_closing; /* nothing is produced any more */
        struct log *log;
        struct metrics *metrics;
        struct bus *bus;
        struct store *store;
        struct auth *auth;
        struct revocations *revocations; /* auth/revocations.h */
        struct feed *feed;
        struct fleet *fleet;
        struct departures departures;
        struct admin *admin; /* admin/admin.h */
        struct http_server *http;
        struct es_server *es;
        struct intake *intake;
        struct tally *users, *addresses; /* owned: base/quota.h, open streams */
        unsigned shard_count;
        struct shard **shards;     /* owned array */
        struct gateway **gateways; /* owned array, one for each shard */
};

#endif
