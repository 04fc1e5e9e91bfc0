/*
 * args - the arguments of a client's event: raw JSON text that the parser below has validated, looked
 * into without making a tree.
 *
 * Slices borrow from the input. Unknown fields are nobody's business.
 */
#ifndef TERN_MESSAGING_ARGS_H
#define TERN_MESSAGING_ARGS_H

#include "base/buf.h"
#include "base/slice.h"

/* The first argument of "a,b"; empty if there is none. */
struct slice arg_first(struct slice args);
/* Raw value of a field of an object; false if absent, null, or json is no object. */
bool arg_field(struct slice json, const char *name, struct slice *ret);
/* Decoded string, owned by the caller; NULL if json is no string, or one with a NUL in it. */
char *arg_text(struct slice json);
/* The same for a field. */
char *arg_field_text(struct slice json, const char *name);
/* False if it is no integer of 0 to 2^53-1. */
bool arg_int(struct slice json, int64_t *ret);
bool arg_bool(struct slice json, bool *ret);
/* The next element of an array; *rest starts as the whole array. */
bool arg_next(struct slice *rest, struct slice *ret);
/* Percent-decoded value of a parameter of a raw query string. False if absent or longer than cap - 1. */
bool arg_query(struct slice query, const char *name, char *dst, size_t cap);

#endif
