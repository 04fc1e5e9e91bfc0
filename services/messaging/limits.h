/*
 * limits - what one user and one client address may have of this gateway: connections, joins,
 * events and bytes a second.
 *
 * Counted over all shards by base/quota, which locks nothing. Who is over a limit is answered with
 * rate_limited; a socket that goes on all the same is closed after refusals_max of them. All limits
 * are this gateway's own: a user with sockets on three has three times as much.
 *
 * Any thread; limits_judge() on the session's.
 */
#ifndef TERN_MESSAGING_LIMITS_H
#define TERN_MESSAGING_LIMITS_H

#include "base/slice.h"

#include <stdint.h>

struct limits;
struct messaging_settings;
struct session;
struct sio_event;
struct sio_options;

struct limits *limits_new(const struct messaging_settings *s);
struct limits *limits_free(struct limits *l); /* NULL is fine; returns NULL */
/* The limits that the Socket.IO server itself keeps. */
void limits_serve(struct limits *l, struct sio_options *o);
/* One more socket of user. False: it has all it may have. Followed by limits_leave() if true. */
bool limits_enter(struct limits *l, struct slice user);
void limits_leave(struct limits *l, struct slice user);
/* NULL, or what an event that came in is over, as a sentence; *ret_limit then is its value of
 * M_limited's label. */
const char *limits_judge(struct limits *l, const struct session *s, const struct sio_event *ev,
        int64_t now_ms, unsigned *ret_limit);

/* Values of M_limited's label, see metrics.def. */
enum {
        LIMITED_USER_CONNECTIONS,
        LIMITED_USER_EVENTS,
        LIMITED_USER_JOINS,
        LIMITED_USER_BYTES,
        LIMITED_ADDRESS_EVENTS,
        LIMITED_ADDRESS_JOINS = 7,
        LIMITED_ADDRESS_BYTES,
        LIMITED_REFUSALS,
};

#endif
