/*
 * lives - the epochs of the topics as the topic `access` tells them, without Postgres (see topics/epoch.h).
 */
#ifndef TERN_CTL_LIVES_H
#define TERN_CTL_LIVES_H

#include "ctl/ctl.h"

struct life {
        char topic[128], cluster[80];
        int64_t epoch, partitions, since_ms;
};

/* The newest life of each topic. The caller frees *ret. An exit code after having said why. */
MUST_CHECK int lives_load(struct ctl *ctl, struct life **ret, size_t *ret_count);
/* 0: none is known. */
int64_t lives_epoch(const struct life *lives, size_t count, const char *topic);

#endif
