/*
 * validate - what the writer will say to a record: the one validator, for records as ternctl holds them. Pure.
 */
#ifndef TERN_CTL_VALIDATE_H
#define TERN_CTL_VALIDATE_H

#include "bus/bus.h"
#include "proto/event.h"

/* Parses a record of one of Tern's topics; what notifications and broadcasts accept besides is understood, too. 0; -EINVAL with *err.
 * event_done() *ret after success only. */
MUST_CHECK int validate_record(
        const struct bus_record *r, struct event *ret, struct event_error *err);

#endif
