/*
 * tally - what a dry run finds: exact counts by partition, by type, by size, and in all.
 */
#ifndef TERN_CTL_TALLY_H
#define TERN_CTL_TALLY_H

#include "base/lifecycle.h"
#include "ctl/filter.h"
#include "ctl/where.h"

/* Reads the ranges, writes nothing, and prints. An exit code. */
MUST_CHECK int tally_run(struct ctl *ctl, struct lifecycle *lc, const char *topic,
        const struct range *ranges, uint32_t count, struct filter *filter, bool as_json);

#endif
