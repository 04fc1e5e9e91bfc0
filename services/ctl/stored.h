/*
 * stored - waits until the writers have stored what a topic holds as of now.
 */
#ifndef TERN_CTL_STORED_H
#define TERN_CTL_STORED_H

#include "ctl/ctl.h"

/* Connects to Postgres if that was not done. EXIT_DONE: all of it is stored; EXIT_PARTLY after having said so: not within wait_ms;
 * EXIT_FAILED. */
MUST_CHECK int stored_wait(struct ctl *ctl, const char *topic, int64_t wait_ms);
/* 1: every partition of the topic is read up to these ends; 0: not yet; -1 after having said why. */
MUST_CHECK int stored_up_to(
        struct ctl *ctl, const char *topic, const int64_t *ends, uint32_t count);

#endif
