/*
 * ops_internal - what the files of the ops port share and nobody else sees.
 */
#ifndef TERN_HTTP_OPS_INTERNAL_H
#define TERN_HTTP_OPS_INTERNAL_H

#include "http/ops.h"

struct mg_connection; /* civetweb's */

struct ops_request {
        struct mg_connection *conn; /* borrowed */
        bool answered;
};

/* headers: whole lines, or "". */
void ops_write(struct mg_connection *conn, int status, const char *type, const char *headers,
        struct slice body);

#endif
