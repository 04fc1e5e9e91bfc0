/*
 * placeholder - where JSON text stands for binary attachments, as Socket.IO writes it:
 * {"_placeholder":true,"num":k} at any depth is the k-th of them.
 *
 * The text must have passed json_check(). Pure; any thread.
 */
#ifndef TERN_BASE_PLACEHOLDER_H
#define TERN_BASE_PLACEHOLDER_H

#include "base/slice.h"

#define PLACEHOLDER_DEPTH_MAX 64

/* True if each placeholder of one value names one of count attachments, and nothing is nested deeper than the bound. One
 * attachment may be named several times, or not at all. */
bool placeholders_valid(struct slice json, uint32_t count);

#endif
