/*
 * head - a request head, checked before civetweb sees it.
 *
 * Civetweb's parser forgives much: bare line feeds, folded headers, blanks before the colon, a 65th
 * header that is dropped, two lengths. Whatever stands between two such readers and disagrees is a
 * smuggled request, so this check is strict and comes first; a head that fails it is answered and
 * its socket closed.
 *
 * Pure: bytes in, slices into the same bytes out. Two forms that are legal, and that civetweb
 * refuses, are rewritten in place: an absolute-form target loses scheme and host, and a tab in a
 * header's value becomes a blank.
 */
#ifndef TERN_HTTP_HEAD_H
#define TERN_HTTP_HEAD_H

#include "base/slice.h"

#define HEAD_HEADERS_MAX 64

struct head_field {
        struct slice name, value; /* value without blanks around it */
};

/* All slices lie in the bytes that were parsed. */
struct head {
        struct slice method, path, query; /* raw; query without its '?' */
        struct head_field fields[HEAD_HEADERS_MAX];
        unsigned fields_n;
        int64_t content_length; /* -1: none given */
        bool chunked;
        bool http_10;
        bool keep_alive; /* what version and Connection ask for */
        bool expect_continue;
        bool websocket; /* a GET with Upgrade: websocket and Connection: upgrade */
};

/* Length of the first head in p, with its empty line; 0 if the empty line is not there. */
size_t head_find(const char *p, size_t n);
/* p[*n] is one whole head as head_find() measured it. 0 with *ret filled and *n shortened if a form
 * was rewritten, or the status to refuse with and a sentence in *ret_why (static). */
int head_parse(char *p, size_t *n, struct head *ret, const char **ret_why);
/* The first field of that name, in any case; n 0 if there is none. */
struct slice head_get(const struct head *h, const char *name);
/* True if a comma-separated value has this token, in any case. */
bool head_has_token(struct slice value, const char *token);

#endif
