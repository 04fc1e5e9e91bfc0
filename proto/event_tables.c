#include "proto/event_tables.h"

#include "base/check.h"

const struct event_row event_rows[EVENT_TYPE_COUNT] = {
        [EVENT_UNKNOWN] = {"", ""},
#define EVENT(id, topic, name, text) [EVENT_##id] = {topic, name},
#include "proto/events.def"
};

const struct field event_fields[] = {
#define FIELD(type, name, member, kind, need, max)                                                 \
        {EVENT_##type, name, offsetof(struct event, member), kind, need, max},
#include "proto/fields.def"
};
const size_t event_field_count = ARRAY_LEN(event_fields);

enum event_type event_type_of(struct slice ce_type)
{
        for (int i = 1; i < EVENT_TYPE_COUNT; i++)
                if (slice_is(ce_type, event_rows[i].name))
                        return (enum event_type)i;
        return EVENT_UNKNOWN;
}

const char *event_type_name(enum event_type t)
{
        return event_rows[t].name;
}

const char *event_fault_name(enum event_fault f)
{
        static const char *const names[] = {
                [EVENT_OK] = "ok",
                [EVENT_BAD_JSON] = "bad_json",
                [EVENT_INVALID] = "invalid",
                [EVENT_BAD_TYPE] = "unknown_type",
                [EVENT_TOO_LARGE] = "too_large",
                [EVENT_KEY_MISMATCH] = "key_mismatch",
                [EVENT_TOMBSTONE] = "tombstone",
        };
        return names[f];
}

static const struct {
        const char *name;
        int http;
} errors[] = {
#define ERROR_CODE(id, name, http, text) [ERR_##id] = {name, http},
#include "proto/errors.def"
};

const char *error_code_name(enum error_code c)
{
        return errors[c].name;
}

int error_code_http(enum error_code c)
{
        return errors[c].http;
}
