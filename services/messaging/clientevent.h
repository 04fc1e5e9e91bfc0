/*
 * clientevent - clients' events that are for other backends: passed on to the topic client.events by an allow list, and
 * answered, if the client asked for it, by a record of any backend. A remote call over Kafka.
 *
 * The record (key: the user) names user, socket, namespace, rooms and, when an ack is asked for, a token; the answer is a
 * tern.ack in chat.signals, key user:<id>, with that token. An event waits for its answer as a call in gateway.asks, counted
 * among its socket's calls and bounded for the shard; at its deadline the client is told no_answer, since nobody can say
 * whether it was handled.
 *
 * Owner: the shard's loop thread.
 */
#ifndef TERN_MESSAGING_CLIENTEVENT_H
#define TERN_MESSAGING_CLIENTEVENT_H

#include "messaging/call.h"

/* Whether the list, as in "order:*,ping", has the name. */
bool clientevent_allowed(const char *list, struct slice name);
/* An event that is allowed and no handler knows. The socket is within its bounds. */
void clientevent_pass_on(struct session *s, const struct sio_event *ev);
/* A tern.ack went by; key is the record's. */
void clientevent_answer(struct gateway *gw, const struct event *e, struct slice key);

#endif
