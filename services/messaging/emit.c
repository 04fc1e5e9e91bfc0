#include "messaging/emit.h"

#include "messaging/args.h"
#include "messaging/session.h"

#include <stdlib.h>

/* A buffer that was large once is not kept for ever. */
#define KEPT_BYTES_MAX 65536

static void shrink(struct buf *b)
{
        if (b->cap > KEPT_BYTES_MAX)
                buf_done(b);
        buf_reset(b);
}

void emit_reset(struct emit *m)
{
        if (m->except.count)
                map_done(&m->except);
        shrink(&m->names);
        shrink(&m->rooms);
        shrink(&m->bytes);
        m->attachment_count = 0;
        m->nsp = SLICE_NONE;
}

void emit_done(struct emit *m)
{
        map_done(&m->except);
        buf_done(&m->names);
        buf_done(&m->rooms);
        buf_done(&m->bytes);
}

static void leave_out(struct emit *m, struct slice name)
{
        if (slice_starts(name, "conversation:")) {
                buf_add_slice(&m->rooms, slice_from(name, strlen("conversation:")));
                buf_add_char(&m->rooms, '\0');
                return;
        }
        if (slice_starts(name, "user:"))
                name = slice_from(name, strlen("user:"));
        char *at = m->names.p + m->names.n;
        CHECK(m->names.cap - m->names.n >= name.n);
        buf_add_slice(&m->names, name);
        if (name.n)
                map_put(&m->except, slice_of(at, name.n), at);
}

void emit_load(struct emit *m, const struct event *e)
{
        emit_reset(m);
        m->nsp = e->nsp ? slice_str(e->nsp) : SLICE_LIT("/");
        if (e->attachments_json)
                m->attachment_count = event_attachments(e, &m->bytes, m->attachments);
        if (!e->except_json)
                return;
        struct slice rest = slice_str(e->except_json), item;
        /* No name is longer than its text, so the keys of the map do not move. */
        buf_reserve(&m->names, rest.n);
        while (arg_next(&rest, &item)) {
                char *text = arg_text(item);
                if (text)
                        leave_out(m, slice_str(text));
                free(text);
        }
}

static bool is_left_out(const struct emit *m, const struct session *s)
{
        if (m->except.count &&
                (map_get(&m->except, session_user(s)) || map_get(&m->except, slice_str(s->sid))))
                return true;
        for (size_t at = 0; at < m->rooms.n; at += strlen(m->rooms.p + at) + 1)
                if (subscriber_find(&s->sub, TOPIC_EVENTS, slice_str(m->rooms.p + at)))
                        return true;
        return false;
}

bool emit_is_for(const struct emit *m, struct session *s)
{
        return slice_eq(m->nsp, sio_nsp(session_socket(s))) && !is_left_out(m, s);
}
