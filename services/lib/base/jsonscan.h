/*
 * jsonscan - JSON as bytes: a strict validator and a few looks into validated text, without a tree
 * and without allocation.
 *
 * json_check() is the gate: RFC 8259 with valid UTF-8, at most depth_max levels, control characters
 * escaped. Text that has passed it may be relayed as it is. All the other functions expect text
 * that has passed it: on anything else they return "none", and never read outside the slice. Slices
 * borrow from the input. Pure; any thread.
 */
#ifndef TERN_BASE_JSONSCAN_H
#define TERN_BASE_JSONSCAN_H

#include "base/buf.h"
#include "base/slice.h"

enum {
        JSON_NO_NUL = 1,        /* refuse \u0000 */
        JSON_NO_SURROGATES = 2, /* refuse \ud800-\udfff that are no pair */
};

/* One value, with white space around it, and nothing else. */
bool json_check(struct slice s, unsigned depth_max, unsigned flags);
/* The same for the first value in s: its length with the white space before it, or 0 if there is no
 * valid one. */
size_t json_check_prefix(struct slice s, unsigned depth_max, unsigned flags);

/* The first value in s without the white space around it; n 0 if there is none. */
struct slice json_first(struct slice s);
/* Iterates over an array's elements: *rest starts as the whole array. False at its end. */
bool json_next(struct slice *rest, struct slice *ret_value);
/* Iterates over an object's members; the key is raw, with its quotes. */
bool json_next_member(struct slice *rest, struct slice *ret_key, struct slice *ret_value);
/* Raw value of a member; the last of several, as JavaScript takes it. False if absent or no object. */
bool json_member(struct slice object, const char *name, struct slice *ret_value);

/*
 * Walks a value depth-first in one pass, without recursion: each scalar, and each opening and
 * closing bracket, is a step. value: the scalar's text, or the one bracket. key: raw name of an
 * object's member, at scalars and opening brackets; else n 0.
 */
struct json_walk {
        struct slice rest;
};
struct json_step {
        enum { JSON_STEP_SCALAR, JSON_STEP_OPEN, JSON_STEP_CLOSE } kind;
        struct slice key, value;
};
static inline struct json_walk json_walk_of(struct slice v)
{
        return (struct json_walk){v};
}
/* False at the end. */
bool json_walk_next(struct json_walk *w, struct json_step *ret);

/* True if the raw key, with its quotes and perhaps with escapes, is name. */
bool json_key_is(struct slice key, const char *name);

static inline bool json_is_string(struct slice v)
{
        return v.n >= 2 && v.p[0] == '"';
}
static inline bool json_is_object(struct slice v)
{
        return v.n >= 2 && v.p[0] == '{';
}
static inline bool json_is_array(struct slice v)
{
        return v.n >= 2 && v.p[0] == '[';
}
/* Appends the decoded text of a string value; lone surrogates become U+FFFD. False if v is no
 * string. */
bool json_decode_string(struct slice v, struct buf *out);
/* A whole number of min to max, also written as 5.0 or 5e0. */
bool json_int(struct slice v, int64_t min, int64_t max, int64_t *ret);
bool json_bool(struct slice v, bool *ret);
/* Appends v without insignificant white space. */
void json_compact(struct slice v, struct buf *out);

#endif
