#include "fanout/msg.h"

#include <stdlib.h>

struct msg *msg_new(size_t n)
{
        struct msg *m = xmalloc(sizeof(*m) + n);
        atomic_init(&m->refs, 1);
        m->flags = 0;
        m->ws_n = 0;
        m->poll_at = m->poll_n = 0;
        m->cursor_at = m->cursor_n = 0;
        m->slot = -1;
        m->offset = 0;
        m->place = NULL;
        return m;
}

struct msg *msg_unref(struct msg *m)
{
        if (!m)
                return NULL;
        /* The last release must see every write that other holders made before theirs. */
        unsigned before = atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel);
        CHECK(before > 0);
        if (before == 1) {
                free(m->place);
                free(m);
        }
        return NULL;
}
