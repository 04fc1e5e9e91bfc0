/*
 * utf8 - is this text? Overlong forms, surrogates and values over U+10FFFF are not. Pure.
 */
#ifndef TERN_BASE_UTF8_H
#define TERN_BASE_UTF8_H

#include "base/slice.h"

/* Bytes of the valid sequence at the start of s: 1 to 4, or 0 if there is none. */
size_t utf8_length(struct slice s);
bool utf8_valid(struct slice s);

#endif
