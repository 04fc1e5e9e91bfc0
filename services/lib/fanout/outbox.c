#include "fanout/outbox.h"

#include <stdlib.h>

#define OUTBOX_CAP_FIRST 4 /* always a power of two */

static struct msg **at(const struct outbox *ob, uint32_t i)
{
        return &ob->ring[(ob->head + i) & (ob->cap - 1)];
}

/* Most outboxes are empty most of the time: an empty one owns no memory. */
static void release_ring(struct outbox *ob)
{
        free(ob->ring);
        ob->ring = NULL;
        ob->head = ob->cap = 0;
}

static void grow(struct outbox *ob)
{
        uint32_t cap = ob->cap ? ob->cap * 2 : OUTBOX_CAP_FIRST;
        CHECK(cap > ob->cap);
        struct msg **ring = xmalloc(cap * sizeof(struct msg *));
        for (uint32_t i = 0; i < ob->count; i++)
                ring[i] = *at(ob, i);
        free(ob->ring);
        ob->ring = ring;
        ob->cap = cap;
        ob->head = 0;
}

static struct msg *pop_front(struct outbox *ob)
{
        struct msg *m = *at(ob, 0);
        ob->head = (ob->head + 1) & (ob->cap - 1);
        if (--ob->count == 0)
                release_ring(ob);
        return m;
}

void outbox_done(struct outbox *ob)
{
        for (uint32_t i = 0; i < ob->count; i++)
                msg_unref(*at(ob, i));
        free(ob->ring);
        *ob = (struct outbox){0};
}

void outbox_push(struct outbox *ob, struct msg *m)
{
        if (ob->count == ob->cap)
                grow(ob);
        *at(ob, ob->count) = msg_ref(m);
        ob->count++;
        ob->bytes += m->ws_n;
}

struct msg *outbox_peek(const struct outbox *ob, uint32_t i)
{
        return i < ob->count ? *at(ob, i) : NULL;
}

void outbox_wrote(struct outbox *ob, size_t n)
{
        CHECK(n <= ob->bytes);
        ob->bytes -= (uint32_t)n;
        while (ob->count > 0) {
                uint32_t left = (*at(ob, 0))->ws_n - ob->front_off;
                if (n < left)
                        break;
                n -= left;
                ob->front_off = 0;
                msg_unref(pop_front(ob));
        }
        ob->front_off += (uint32_t)n;
}

struct msg *outbox_take(struct outbox *ob)
{
        CHECK(ob->front_off == 0);
        if (ob->count == 0)
                return NULL;
        ob->bytes -= (*at(ob, 0))->ws_n;
        return pop_front(ob);
}

struct msg *outbox_drop_events(struct outbox *ob)
{
        struct msg *first = NULL;
        uint32_t kept = 0, count = ob->count;
        for (uint32_t i = 0; i < count; i++) {
                struct msg *m = *at(ob, i);
                bool partly = i == 0 && ob->front_off > 0;
                if (partly || !(m->flags & (MSG_EVENT | MSG_VOLATILE))) {
                        *at(ob, kept++) = m;
                        continue;
                }
                ob->bytes -= m->ws_n;
                if ((m->flags & MSG_EVENT) && !first)
                        first = m;
                else
                        msg_unref(m);
        }
        ob->count = kept;
        if (kept == 0 && ob->cap > 0)
                release_ring(ob);
        return first;
}
