/*
 * manual - the man page and the completion for bash, from the table of commands and the tables of settings. Pure.
 */
#ifndef TERN_CTL_MANUAL_H
#define TERN_CTL_MANUAL_H

#include "base/buf.h"
#include "base/config.h"

/* ternctl(1), in man's macros. Appends. */
void manual_page(const struct config_group *groups, size_t count, struct buf *out);
/* To be sourced, or put into bash-completion's folder. Appends. */
void manual_completion(struct buf *out);

#endif
