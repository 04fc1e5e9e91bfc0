/*
 * The validator. The bytes are checked first (UTF-8, no \u0000, depth); then the table of fields judges
 * the members where they stand. No tree is made, and what is JSON in a field keeps its own text.
 */
#include "proto/event.h"

#include "proto/arena.h"
#include "proto/event_tables.h"

#include "base/jsonscan.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define SEQ_MAX 9007199254740991LL /* the largest integer that JavaScript keeps exact */

int event_refuse(
        struct event_error *err, enum event_fault f, const char *field, const char *fmt, ...)
{
        err->fault = f;
        snprintf(err->field, sizeof(err->field), "%s", field);
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(err->message, sizeof(err->message), fmt, ap);
        va_end(ap);
        return -EINVAL;
}

static int parse_text(
        const struct field *f, struct slice s, void **arena, char **to, struct event_error *err)
{
        bool fits = true;
        switch (f->kind) {
        case CONVERSATION:
                fits = event_conversation_id_valid(s);
                break;
        case USER:
                fits = event_user_id_valid(s);
                break;
        case AUDIENCE:
                fits = slice_is(s, "all") ||
                       (slice_starts(s, "topic:") && event_conversation_id_valid(slice_from(s, 6)));
                break;
        case TEXT:
                fits = s.n > 0;
                break;
        case TEXT0:
        case SEQ:
        case TIME:
        case FLAG:
        case OBJECT:
        case ARRAY:
        case ARGS:
                break;
        }
        if (s.n > f->max)
                return event_refuse(err, EVENT_INVALID, f->name, "%s is %zu bytes, the limit is %u",
                        f->name, s.n, f->max);
        if (!fits)
                return event_refuse(err, EVENT_INVALID, f->name,
                        s.n ? "%s has a character that is not allowed" : "%s is empty", f->name);
        *to = arena_copy(arena, s);
        return 0;
}

static int parse_json_text(
        const struct field *f, struct slice v, void **arena, char **to, struct event_error *err)
{
        struct buf text = BUF_EMPTY;
        json_compact(v, &text);
        struct slice s = buf_slice(&text);
        int r = 0;
        if (s.n > f->max) {
                r = event_refuse(err, EVENT_INVALID, f->name, "%s is %zu bytes, the limit is %u",
                        f->name, s.n, f->max);
        } else {
                if (f->kind == ARGS)
                        s = slice_of(s.p + 1, s.n - 2);
                *to = arena_copy(arena, s);
        }
        buf_done(&text);
        return r;
}

static const char *kind_text(enum field_kind k)
{
        switch (k) {
        case TEXT:
        case TEXT0:
        case CONVERSATION:
        case USER:
        case AUDIENCE:
                return "a string";
        case SEQ:
        case TIME:
                return "an integer from 0 to 9007199254740991";
        case FLAG:
                return "true or false";
        case OBJECT:
                return "an object";
        case ARRAY:
        case ARGS:
                return "an array";
        }
        return "";
}

static int parse_string(
        const struct field *f, struct slice v, struct event *e, struct event_error *err)
{
        struct buf text = BUF_EMPTY;
        json_decode_string(v, &text);
        int r = parse_text(f, buf_slice(&text), &e->arena, field_text(e, f), err);
        buf_done(&text);
        return r;
}

static int parse_field(
        const struct field *f, struct slice v, struct event *e, struct event_error *err)
{
        switch (f->kind) {
        case TEXT:
        case TEXT0:
        case CONVERSATION:
        case USER:
        case AUDIENCE:
                if (!json_is_string(v))
                        break;
                return parse_string(f, v, e, err);
        case SEQ:
        case TIME:
                if (!json_int(v, 0, SEQ_MAX, field_number(e, f)))
                        break;
                return 0;
        case FLAG:
                if (!json_bool(v, field_flag(e, f)))
                        break;
                return 0;
        case OBJECT:
                if (!json_is_object(v))
                        break;
                return parse_json_text(f, v, &e->arena, field_text(e, f), err);
        case ARRAY:
        case ARGS:
                if (!json_is_array(v))
                        break;
                return parse_json_text(f, v, &e->arena, field_text(e, f), err);
        }
        return event_refuse(
                err, EVENT_INVALID, f->name, "%s is not %s", f->name, kind_text(f->kind));
}

/* The subject of a notification or a message may stand in the key alone. */
static int from_key(
        const struct field *f, struct slice key, struct event *e, struct event_error *err)
{
        if (!key.n)
                return event_refuse(err, EVENT_INVALID, f->name,
                        "%s is missing, and the record has no key", f->name);
        return parse_text(f, key, &e->arena, field_text(e, f), err);
}

static bool utf8_text(struct slice s)
{
        return utf8_valid(s) && !memchr(s.p, '\0', s.n);
}

/* A header is bytes; what it says is shown and stored as text. */
static int from_header(
        const struct field *f, struct slice type, struct event *e, struct event_error *err)
{
        if (!utf8_text(type))
                return event_refuse(err, EVENT_INVALID, "ce_type", "ce_type is no UTF-8 text");
        return parse_text(f, type, &e->arena, field_text(e, f), err);
}

/* Another backend's own type says what kind of notification it is. */
static bool type_is_foreign(struct slice type)
{
        return type.n > 0 && !slice_starts(type, "tern.");
}

/* The members of an object, found once; beyond the room, each look-up reads the object again. */
struct members {
        struct slice object;
        struct slice key[24], value[24];
        size_t n;
        bool all;
};

static void members_find(struct slice object, struct members *ret)
{
        struct slice rest = json_first(object);
        *ret = (struct members){.object = object, .all = true};
        while (ret->all && json_next_member(&rest, &ret->key[ret->n], &ret->value[ret->n]))
                ret->all = ++ret->n < ARRAY_LEN(ret->key);
}

/* The last one of a name counts, as for every reader of JSON. */
static bool member(const struct members *m, const char *name, struct slice *ret_value)
{
        if (!m->all)
                return json_member(m->object, name, ret_value);
        for (size_t i = m->n; i-- > 0;) {
                if (!json_key_is(m->key[i], name))
                        continue;
                *ret_value = m->value[i];
                return true;
        }
        return false;
}

static int parse_fields(struct slice root, struct slice type, struct slice key, struct event *e,
        struct event_error *err)
{
        struct members m;
        members_find(root, &m);
        for (size_t i = 0; i < event_field_count; i++) {
                const struct field *f = &event_fields[i];
                if (f->type != e->type)
                        continue;
                struct slice v;
                int r = 0;
                /* null is as good as absent: many languages' encoders write it for "none". */
                if (member(&m, f->name, &v) && !slice_is(v, "null"))
                        r = parse_field(f, v, e, err);
                else if (strcmp(f->name, "type") == 0 && type_is_foreign(type))
                        r = from_header(f, type, e, err);
                else if (f->need == SUBJECT)
                        r = from_key(f, key, e, err);
                else if (f->need == REQUIRED)
                        r = event_refuse(err, EVENT_INVALID, f->name, "%s is missing", f->name);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A type of another backend's own counts as what its topic carries. */
static enum event_type type_in_topic(struct slice topic, struct slice type)
{
        enum event_type t = event_type_of(type);
        bool ours = slice_starts(type, "tern.");
        if (slice_is(topic, "notifications") && !ours)
                return EVENT_NOTIFICATION_CREATED;
        if (slice_is(topic, "broadcasts") && !ours)
                return EVENT_BROADCAST;
        if (t == EVENT_EMIT && slice_is(topic, "chat.signals"))
                return t;
        return t != EVENT_UNKNOWN && slice_is(topic, event_rows[t].topic) ? t : EVENT_UNKNOWN;
}

int event_parse(struct slice topic, struct slice type, struct slice id, struct slice key,
        struct slice value, struct event *ret, struct event_error *err)
{
        *err = (struct event_error){0};
        if (!value.p)
                return event_refuse(err, EVENT_TOMBSTONE, "", "the record has no value");
        if (value.n > VALUE_MAX)
                return event_refuse(err, EVENT_TOO_LARGE, "",
                        "the value is %zu bytes, the limit is %d", value.n, (int)VALUE_MAX);
        struct event e = {.type = type_in_topic(topic, type)};
        if (e.type == EVENT_UNKNOWN)
                return event_refuse(err, EVENT_BAD_TYPE, "ce_type",
                        "no event of %.*s is called %.*s", SLICE_ARG(topic),
                        (int)(type.n < 64 ? type.n : 64), type.p ? type.p : "");
        if (id.n == 0 || id.n > ID_MAX || !utf8_text(id))
                return event_refuse(err, EVENT_INVALID, "ce_id",
                        "ce_id is %zu bytes, it has to be 1 to %d bytes of UTF-8", id.n,
                        (int)ID_MAX);
        if (!event_json_valid(value, DEPTH_MAX))
                return event_refuse(err, EVENT_BAD_JSON, "",
                        "the value is not JSON in UTF-8 without \\u0000, at most %d deep",
                        (int)DEPTH_MAX);

        if (!json_is_object(json_first(value)))
                return event_refuse(err, EVENT_INVALID, "", "the data is not a JSON object");
        int r = parse_fields(value, type, key, &e, err);
        if (r == 0)
                r = event_packet_check(&e, value, err);
        if (r < 0) {
                arena_free(e.arena);
                return r;
        }
        e.id = arena_copy(&e.arena, id);
        *ret = e;
        return 0;
}

void event_done(struct event *e)
{
        arena_free(e->arena);
        *e = (struct event){0};
}
