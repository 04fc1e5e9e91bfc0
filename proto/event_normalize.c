/*
 * Records of other backends: structured mode and bare JSON become what binary mode would have been.
 */
#include "proto/event.h"

#include "proto/event_tables.h"

#include "base/jsonscan.h"

#include <errno.h>
#include <stdio.h>

static int refuse(struct event_error *err, enum event_fault f, const char *message)
{
        *err = (struct event_error){.fault = f};
        snprintf(err->message, sizeof(err->message), "%s", message);
        return -EINVAL;
}

/* Appends s to scratch and remembers where; the slices are made when scratch has stopped growing. */
struct piece {
        size_t at, n;
        bool set;
};

static struct piece keep(struct buf *scratch, struct slice s)
{
        struct piece p = {scratch->n, s.n, true};
        buf_add_slice(scratch, s);
        return p;
}

static struct piece keep_member(struct buf *scratch, struct slice root, const char *name)
{
        struct slice v;
        if (!json_member(root, name, &v) || !json_is_string(v))
                return (struct piece){0};
        size_t at = scratch->n;
        json_decode_string(v, scratch);
        return (struct piece){at, scratch->n - at, true};
}

static struct slice piece_slice(const struct buf *scratch, struct piece p)
{
        return p.set ? slice_of(scratch->p + p.at, p.n) : SLICE_NONE;
}

static const char *default_type(struct slice topic)
{
        return slice_is(topic, "broadcasts") ? "tern.broadcast" : "tern.notification.created";
}

static void fill_missing(struct event_envelope *env, struct buf *scratch)
{
        if (env->type.n == 0)
                env->type = slice_str(default_type(env->topic));
        if (env->id.n == 0) {
                size_t at = scratch->n;
                buf_add_slice(scratch, env->topic);
                buf_printf(scratch, "/%d/%lld", env->partition, (long long)env->offset);
                env->id = slice_of(scratch->p + at, scratch->n - at);
        }
}

static int from_structured(
        struct event_envelope *env, struct slice root, struct buf *scratch, struct event_error *err)
{
        struct slice data;
        if (!json_member(root, "data", &data))
                return refuse(err, EVENT_INVALID, "the structured CloudEvent has no data");
        struct piece value = keep(scratch, data);
        struct piece id = keep_member(scratch, root, "id");
        struct piece type = keep_member(scratch, root, "type");
        struct piece source = keep_member(scratch, root, "source");
        /* Room for the made-up id, so that the slices stay where they are. */
        buf_reserve(scratch, env->topic.n + 64);
        env->value = piece_slice(scratch, value);
        env->id = piece_slice(scratch, id);
        env->type = piece_slice(scratch, type);
        env->source = piece_slice(scratch, source);
        return 0;
}

static void from_bare(struct event_envelope *env, struct slice root, struct buf *scratch)
{
        struct piece id = keep_member(scratch, root, "id");
        buf_reserve(scratch, env->topic.n + 64);
        env->id = piece_slice(scratch, id);
}

int event_normalize(struct event_envelope *env, struct buf *scratch, struct event_error *err)
{
        *err = (struct event_error){0};
        bool accepts = slice_is(env->topic, "notifications") || slice_is(env->topic, "broadcasts");
        bool structured = slice_starts(env->content_type, "application/cloudevents+json");
        if (!accepts || (!structured && env->type.n > 0) || !env->value.p) {
                if (accepts && env->value.p)
                        fill_missing(env, scratch);
                return 0;
        }
        if (env->value.n > VALUE_MAX)
                return refuse(err, EVENT_TOO_LARGE, "the value is over the limit");
        if (!event_json_valid(env->value, DEPTH_MAX))
                return refuse(
                        err, EVENT_BAD_JSON, "the value is not JSON in UTF-8 without \\u0000");
        struct slice root = json_first(env->value);
        int r = 0;
        if (!json_is_object(root))
                r = refuse(err, EVENT_INVALID, "the value is not a JSON object");
        else if (structured)
                r = from_structured(env, root, scratch, err);
        else if (env->id.n == 0)
                from_bare(env, root, scratch);
        if (r == 0)
                fill_missing(env, scratch);
        return r;
}
