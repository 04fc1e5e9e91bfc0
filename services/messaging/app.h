/*
 * app - the parts of one chat gateway process, made by main and frozen before the first client.
 *
 * Each shard has a struct gateway (gateway.h) with everything that changes; whatever is here is
 * read-only, atomic, or a library that says which threads may call it.
 */
#ifndef TERN_MESSAGING_APP_H
#define TERN_MESSAGING_APP_H

#include "auth/auth.h"
#include "base/config.h"
#include "base/lifecycle.h"
#include "base/log.h"
#include "base/metrics.h"
#include "bus/bus.h"
#include "feed/feed.h"
#include "fleet/fleet.h"
#include "http/server.h"
#include "messaging/namespaces.h"
#include "peer/key.h"
#include "realtime/departures.h"
#include "store/store.h"

struct messaging_settings {
#define CONFIG(type, field, ...) CONFIG_FIELD_##type(field)
#include "messaging/settings.def"
};

struct admin;
struct gateway;
struct sio_server;
struct splice;
struct intake;
struct limits;
struct shard;
struct page;

struct app {
        struct messaging_settings settings;
        struct auth_settings auth_settings;
        struct bus_settings bus_settings;
        struct feed_settings feed_settings;
        struct fleet_settings fleet_settings;
        struct http_settings http_settings;
        struct peer_settings peer_settings;
        struct store_settings store_settings;
        struct namespaces namespaces;
        char instance[65];
        char source[96]; /* ce_source of this gateway's records */
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
        struct sio_server *sio;
        struct splice *splice; /* realtime/splice.h; NULL without a key */
        struct intake *intake;
        struct limits *limits; /* messaging/limits.h */
        struct page *page;
        unsigned shard_count;
        struct shard **shards;     /* owned array */
        struct gateway **gateways; /* owned array, one for each shard */
};

#endif
