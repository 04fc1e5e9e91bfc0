/*
 * The validator. The bytes are checked first by our own scanner (UTF-8, no \u0000, depth), then
 * json-c makes the tree, then the table of fields judges it.
 */
#include "proto/event.h"

#include "proto/arena.h"
#include "proto/event_tables.h"

#include "base/hash.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>

#define SEQ_MAX 9007199254740991LL /* the largest integer that JavaScript keeps exact */

static int fault(struct event_error *err, enum event_fault f, const char *field, const char *fmt, ...) PRINTF_LIKE(4, 5);

static int fault(struct event_error *err, enum event_fault f, const char *field, const char *fmt, ...)
{
        err->fault = f;
        snprintf(err->field, sizeof(err->field), "%s", field);
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(err->message, sizeof(err->message), fmt, ap);
        va_end(ap);
        return -EINVAL;
}

static int parse_text(const struct field *f, struct slice s, void **arena, char **to,
        struct event_error *err)
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
                return fault(err, EVENT_INVALID, f->name, "%s is %zu bytes, the limit is %u", f->name, s.n, f->max);
        if (!fits)
                return fault(err, EVENT_INVALID, f->name, s.n ? "%s has a character that is not allowed" : "%s is empty", f->name);
        *to = arena_copy(arena, s);
        return 0;
}

static int parse_json_text(const struct field *f, struct json_object *v, void **arena, char **to,
        struct event_error *err)
{
        size_t n;
        const char *text = json_object_to_json_string_length(
                v, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);
        if (n > f->max)
                return fault(err, EVENT_INVALID, f->name, "%s is %zu bytes, the limit is %u", f->name, n, f->max);
        struct slice s = slice_of(text, n);
        if (f->kind == ARGS)
                s = slice_of(text + 1, n - 2);
        *to = arena_copy(arena, s);
        return 0;
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

static int parse_field(const struct field *f, struct json_object *v, struct event *e,
        struct event_error *err)
{
        enum json_type t = json_object_get_type(v);
        switch (f->kind) {
        case TEXT:
        case TEXT0:
        case CONVERSATION:
        case USER:
        case AUDIENCE:
                if (t != json_type_string)
                        break;
                return parse_text(f, slice_of(json_object_get_string(v), (size_t)json_object_get_string_len(v)), &e->arena, field_text(e, f), err);
        case SEQ:
        case TIME: {
                int64_t n = json_object_get_int64(v);
                if (t == json_type_double) {
                        /* 5.0 and 5e0 are integers to every JavaScript client. */
                        double d = json_object_get_double(v);
                        if (!(d >= 0 && d <= (double)SEQ_MAX) || d != (double)(int64_t)d)
                                break;
                        n = (int64_t)d;
                } else if (t != json_type_int) {
                        break;
                }
                if (n < 0 || n > SEQ_MAX)
                        break;
                *field_number(e, f) = n;
                return 0;
        }
        case FLAG:
                if (t != json_type_boolean)
                        break;
                *field_flag(e, f) = json_object_get_boolean(v);
                return 0;
        case OBJECT:
                if (t != json_type_object)
                        break;
                return parse_json_text(f, v, &e->arena, field_text(e, f), err);
        case ARRAY:
        case ARGS:
                if (t != json_type_array)
                        break;
                return parse_json_text(f, v, &e->arena, field_text(e, f), err);
        }
        return fault(err, EVENT_INVALID, f->name, "%s is not %s", f->name, kind_text(f->kind));
}

/* The subject of a notification or a message may stand in the key alone. */
static int from_key(const struct field *f, struct slice key, struct event *e, struct event_error *err)
{
        if (!key.n)
                return fault(err, EVENT_INVALID, f->name, "%s is missing, and the record has no key", f->name);
        return parse_text(f, key, &e->arena, field_text(e, f), err);
}

static int parse_fields(struct json_object *root, struct slice key, struct event *e, struct event_error *err)
{
        for (size_t i = 0; i < event_field_count; i++) {
                const struct field *f = &event_fields[i];
                if (f->type != e->type)
                        continue;
                struct json_object *v = NULL;
                json_object_object_get_ex(root, f->name, &v);
                int r = 0;
                if (v)
                        r = parse_field(f, v, e, err);
                else if (f->need == SUBJECT)
                        r = from_key(f, key, e, err);
                else if (f->need == REQUIRED)
                        r = fault(err, EVENT_INVALID, f->name, "%s is missing", f->name);
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

static bool name_is_reserved(const char *name)
{
        static const char *const reserved[] = {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"};
        for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
                if (strcmp(name, reserved[i]) == 0)
                        return true;
        return false;
}

static int parse_tree(struct json_object *root, struct slice type, struct slice key, struct event *e, struct event_error *err)
{
        if (!json_object_is_type(root, json_type_object))
                return fault(err, EVENT_INVALID, "", "the data is not a JSON object");
        bool foreign = !slice_starts(type, "tern.") && type.n > 0;
        if (foreign && (e->type == EVENT_NOTIFICATION_CREATED || e->type == EVENT_BROADCAST) && !json_object_object_get_ex(root, "type", NULL))
                json_object_object_add(root, "type", json_object_new_string_len(type.p, (int)type.n));
        int r = parse_fields(root, key, e, err);
        if (r == 0 && e->type == EVENT_EMIT && name_is_reserved(e->event_name))
                r = fault(err, EVENT_INVALID, "event", "%s is a reserved event name", e->event_name);
        return r;
}

static bool utf8_text(struct slice s)
{
        struct buf quoted = BUF_EMPTY;
        buf_add_json_str(&quoted, s);
        bool ok = event_json_valid(buf_slice(&quoted), 1);
        buf_done(&quoted);
        return ok;
}

int event_parse(struct slice topic, struct slice type, struct slice id, struct slice key,
        struct slice value, struct event *ret, struct event_error *err)
{
        *err = (struct event_error){0};
        if (!value.p)
                return fault(err, EVENT_TOMBSTONE, "", "the record has no value");
        if (value.n > VALUE_MAX)
                return fault(err, EVENT_TOO_LARGE, "", "the value is %zu bytes, the limit is %d", value.n, (int)VALUE_MAX);
        struct event e = {.type = type_in_topic(topic, type)};
        if (e.type == EVENT_UNKNOWN)
                return fault(err, EVENT_BAD_TYPE, "ce_type", "no event of %.*s is called %.*s", SLICE_ARG(topic), (int)(type.n < 64 ? type.n : 64), type.p ? type.p : "");
        if (id.n == 0 || id.n > ID_MAX || memchr(id.p, '\0', id.n) || !utf8_text(id))
                return fault(err, EVENT_INVALID, "ce_id", "ce_id is %zu bytes, it has to be 1 to %d bytes of UTF-8", id.n, (int)ID_MAX);
        if (!event_json_valid(value, DEPTH_MAX))
                return fault(err, EVENT_BAD_JSON, "", "the value is not JSON in UTF-8 without \\u0000, at most %d deep", (int)DEPTH_MAX);

        struct json_tokener *tok = json_tokener_new_ex(DEPTH_MAX + 2);
        CHECK(tok);
        struct json_object *root = json_tokener_parse_ex(tok, value.p, (int)value.n);
        int r = 0;
        if (!root) {
                /* A lone scalar at the end of the input leaves json-c waiting for more; it is no object anyway. */
                r = fault(err, EVENT_INVALID, "", "the data is not a JSON object");
        } else {
                r = parse_tree(root, type, key, &e, err);
        }
        if (r == 0) {
                e.id = arena_copy(&e.arena, id);
                *ret = e;
        } else {
                arena_free(e.arena);
        }
        json_object_put(root);
        json_tokener_free(tok);
        return r;
}

void event_done(struct event *e)
{
        arena_free(e->arena);
        *e = (struct event){0};
}
