/*
 * record_json - a record of the log as one JSON object, as `tail` prints it and as jq filters see it.
 *
 *     {"topic","partition","offset","time","key","headers":{…},"value"}
 *
 * The value is JSON where it is JSON, else text; bytes that are no UTF-8 stand as keyBase64 and valueBase64. Pure.
 */
#ifndef TERN_CTL_RECORD_JSON_H
#define TERN_CTL_RECORD_JSON_H

#include "bus/bus.h"

/* Appends. */
void record_json(const struct bus_record *r, struct buf *out);
/* Appends a text, or the same as base64 under the other name if it is no UTF-8; with a comma before it. */
void record_json_bytes(struct buf *out, const char *name, const char *name_base64, struct slice v);

#endif
