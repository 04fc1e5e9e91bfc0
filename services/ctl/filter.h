/*
 * filter - which records a command is about: key, type, header, and a jq expression over the whole record.
 *
 * The expression sees what `ternctl tail` prints: .key, .headers, .value and so on. Owner: one thread.
 */
#ifndef TERN_CTL_FILTER_H
#define TERN_CTL_FILTER_H

#include "ctl/ctl.h"

struct filter;

/* From --key, --type, --header and --where of the command. EXIT_DONE, or the exit code after having said why. */
MUST_CHECK int filter_new(const struct args *a, struct filter **ret);
/* NULL is fine; returns NULL. */
struct filter *filter_free(struct filter *f);
bool filter_wants(struct filter *f, const struct bus_record *r);
/* True if it lets everything through. */
bool filter_is_open(const struct filter *f);
/* Records on which --where failed (they are left out), and what was said of the first. */
uint64_t filter_failures(const struct filter *f, const char **ret_said);
/* True if ce_type is this type, whose tern. may be left out. */
bool filter_type_is(const struct bus_record *r, const char *type);

#endif
