/*
 * erased - whose records may not come back: read from `access`, so that it is known without Postgres, too.
 *
 * A record counts as erased if it is older than its user's erasure. Owner: one thread.
 */
#ifndef TERN_CTL_ERASED_H
#define TERN_CTL_ERASED_H

#include "ctl/ctl.h"
#include "proto/event.h"

struct erased;

/* Reads `access` to its end; a cluster without that topic has erased nobody. An exit code after having said why. */
MUST_CHECK int erased_load(struct ctl *ctl, struct erased **ret);
/* NULL is fine; returns NULL. */
struct erased *erased_free(struct erased *e);
bool erased_is_empty(const struct erased *e);
/* True if the record is of an erased user. topic, partition, offset and timestamp are those of its origin. */
bool erased_has(const struct erased *e, const struct bus_record *r);

#endif
