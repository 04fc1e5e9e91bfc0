/*
 * splice - requests of sessions that live on another gateway, brought to their owner.
 *
 * Behind a load balancer without affinity any gateway gets any poll, POST or upgrade. A sid names
 * its owner's internal port, sealed; so the shard on which the unread head rests connects there,
 * says one authenticated line (peer/line.h), and from then on copies bytes both ways
 * (net/relay.h): no worker, no thread, no parsing of what passes. The owner takes the line off,
 * and the socket rests and goes on there as that client's own.
 *
 * One splice carries one request. The owner ends the socket after its answer ("Connection: close"),
 * because the next request on the client's connection may be anybody's: behind a proxy with a pool
 * of connections it usually is another client's. A WebSocket stays until it ends.
 *
 * What comes in by the internal port is never spliced again. An owner that is dead, a sid whose
 * place no key of ours has sealed, a port out of range, and a splice too many all end in the same
 * answer: the session is unknown, and the stock client starts anew at once.
 *
 * Hubs belong to their shards; the rest is frozen or atomic.
 */
#ifndef TERN_REALTIME_SPLICE_H
#define TERN_REALTIME_SPLICE_H

#include "base/check.h"
#include "base/slice.h"
#include "peer/place.h"

struct departures; /* realtime/departures.h */
struct metrics;
struct shard;
struct splice;

struct splice_options {
        const struct peer_settings *settings; /* borrowed; with a key */
        const char *path;                     /* "/socket.io/", as the server's */
        uint32_t idle_ms_min;                 /* the settings' idle_ms counts if it is more */
        uint32_t head_bytes_max;              /* of the internal port, as of the public one */
        /* A whole head from the internal port: as the intake's feed(), and no other request may
         * follow on fd. */
        bool (*feed)(void *arg, int fd, const char *client_addr);
        /* A claimed socket whose owner is dead: answer it here. On sh's thread; takes fd. */
        void (*back)(void *arg, struct shard *sh, int fd, const char *client_addr);
        void *arg;
        struct departures *departures; /* borrowed: the pace of a drain; NULL: no bound */
        struct metrics *metrics;
};

/* Binds the internal port, but does not listen yet. 0, or -errno with a sentence in fault. */
MUST_CHECK int splice_new(const struct splice_options *o, struct shard *const *shards,
        unsigned shard_count, struct splice **ret, char fault[256]);
MUST_CHECK int splice_listen(struct splice *sp);
/* Main thread, shards running: the internal port takes nobody any more. */
void splice_shut(struct splice *sp);
/* Ends the spliced WebSockets in slices over drain_ms. Any thread. */
void splice_drain(struct splice *sp, uint32_t drain_ms);
/* Main thread, shards running, nothing is claimed any more: ends all splices. */
void splice_stop(struct splice *sp);
/* After the shards have ended. NULL is fine; returns NULL. */
struct splice *splice_free(struct splice *sp);

/* For the intake's claim(): true if fd was taken, to be brought to another gateway. */
bool splice_claim(
        struct splice *sp, struct shard *sh, int fd, const char *client_addr, struct slice head);
unsigned splice_count(const struct splice *sp); /* open now; any thread */

uint32_t splice_instance(const struct splice *sp);
const struct peer_keys *splice_keys(const struct splice *sp);
const struct peer_place *splice_place(const struct splice *sp);

#endif
