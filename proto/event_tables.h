/*
 * event_tables - the rows of events.def, fields.def and limits.def as the codec walks them.
 * Private to proto/.
 */
#ifndef TERN_PROTO_EVENT_TABLES_H
#define TERN_PROTO_EVENT_TABLES_H

#include "proto/event.h"

enum {
#define LIMIT(id, value, unit, text) id = (value),
#include "proto/limits.def"
};

enum field_kind {
        TEXT,
        TEXT0,
        CONVERSATION,
        USER,
        SEQ,
        TIME,
        FLAG,
        OBJECT,
        ARRAY,
        ARGS,
        AUDIENCE,
};

enum field_need { REQUIRED, OPTIONAL, SUBJECT };

struct field {
        enum event_type type;
        const char *name;
        size_t at; /* offset in struct event */
        enum field_kind kind;
        enum field_need need;
        uint32_t max;
};

extern const struct field event_fields[];
extern const size_t event_field_count;

struct event_row {
        const char *topic, *name;
};
extern const struct event_row event_rows[EVENT_TYPE_COUNT];

static inline char **field_text(struct event *e, const struct field *f)
{
        return (char **)(void *)((char *)e + f->at);
}
static inline int64_t *field_number(struct event *e, const struct field *f)
{
        return (int64_t *)(void *)((char *)e + f->at);
}
static inline bool *field_flag(struct event *e, const struct field *f)
{
        return (bool *)(void *)((char *)e + f->at);
}

/* Notes why an event does not count; -EINVAL. (event_parse.c) */
int event_refuse(struct event_error *err, enum event_fault f, const char *field, const char *fmt,
        ...) PRINTF_LIKE(4, 5);
/* What Socket.IO demands of an event's name, namespace, arguments and attachments. value: the whole data, valid JSON. 0 or
 * -EINVAL. (event_packet.c) */
int event_packet_check(const struct event *e, struct slice value, struct event_error *err);

#endif
