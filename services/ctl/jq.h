/*
 * jq - filters in jq's language, for --where and for mending; the only file that sees libjq.
 *
 * libjq keeps numbers as doubles: whole ones beyond 2^53 do not come through a filter unchanged. Owner: one thread.
 */
#ifndef TERN_CTL_JQ_H
#define TERN_CTL_JQ_H

#include "base/buf.h"

struct jq_filter;

/* 0, or -EINVAL with jq's own sentence in fault. */
MUST_CHECK int jq_filter_new(const char *program, struct jq_filter **ret, char fault[256]);
/* NULL is fine; returns NULL. */
struct jq_filter *jq_filter_free(struct jq_filter *f);
/* 1: the first result is neither null nor false; 0: it is, or there is none; -EINVAL with fault: the filter failed on it. */
MUST_CHECK int jq_filter_test(struct jq_filter *f, struct slice json, char fault[256]);
/* Appends the first result as compact JSON. 0; -ENOENT: there is none; -EINVAL with fault. */
MUST_CHECK int jq_filter_run(
        struct jq_filter *f, struct slice json, struct buf *out, char fault[256]);

#endif
