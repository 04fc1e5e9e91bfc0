/*
 * Sessions in memory, as the reference's SessionAwareAdapter keeps them, but restored once for each
 * leave. Each session keeps its newest events; an offset that is not among them any more means a
 * new session.
 */
#include "conf_client.h"

#include "base/hash.h"
#include "base/jsonscan.h"
#include "fanout/msg.h"
#include <stdio.h>
#include <stdlib.h>

#define AWAY_MS 120000
#define AWAY_MAX 10000
#define EVENTS_MAX 1000

struct kept_event {
        struct msg *frame; /* one reference; its cursor is the offset */
};

static struct kept_session *session_of(struct list *l)
{
        return list_entry(l, struct kept_session, link);
}

static struct slice pid_key(const struct kept_session *k)
{
        return slice_of(k->pid, sizeof(k->pid));
}

static void draw_id(char id[RECOVERY_ID_TEXT])
{
        uint8_t bytes[RECOVERY_ID_TEXT * 3 / 4];
        random_bytes(bytes, sizeof(bytes));
        size_t n = base64url_encode(bytes, sizeof(bytes), id);
        CHECK(n == RECOVERY_ID_TEXT);
}

void recovery_init(struct recovery *r)
{
        *r = (struct recovery){.next = random_u64() >> 16};
        list_init(&r->away);
}

static void forget(struct recovery *r, struct kept_session *k)
{
        map_remove(&r->by_pid, pid_key(k));
        list_remove(&k->link);
}

void recovery_done(struct recovery *r)
{
        while (!list_empty(&r->away)) {
                struct kept_session *k = session_of(list_first(&r->away));
                forget(r, k);
                kept_session_free(k);
        }
        map_done(&r->by_pid);
}

struct kept_session *kept_session_new(struct slice nsp)
{
        struct kept_session *k = xcalloc(1, sizeof(*k));
        CHECK(nsp.n <= sizeof(k->nsp));
        list_init(&k->link);
        draw_id(k->sid);
        draw_id(k->pid);
        memcpy(k->nsp, nsp.p, nsp.n);
        k->nsp_n = (uint8_t)nsp.n;
        return k;
}

struct kept_session *kept_session_free(struct kept_session *k)
{
        if (!k)
                return NULL;
        for (size_t i = 0; i < k->count; i++)
                msg_unref(kept_at(k, i));
        free(k->events);
        free(k);
        return NULL;
}

static void drop_old(struct recovery *r, int64_t now_ms)
{
        while (!list_empty(&r->away)) {
                struct kept_session *k = session_of(list_first(&r->away));
                if (now_ms - k->away_ms < AWAY_MS && r->by_pid.count < AWAY_MAX)
                        return;
                forget(r, k);
                kept_session_free(k);
        }
}

void recovery_leave(struct recovery *r, struct kept_session *k, int64_t now_ms)
{
        drop_old(r, now_ms);
        k->away_ms = now_ms;
        void *twin = map_put(&r->by_pid, pid_key(k), k);
        CHECK(!twin);
        list_push_back(&r->away, &k->link);
}

static bool plain_string(struct slice object, const char *name, struct slice *ret)
{
        struct slice v;
        if (!json_member(object, name, &v) || !json_is_string(v))
                return false;
        *ret = slice_of(v.p + 1, v.n - 2);
        return true;
}

static bool find_offset(const struct kept_session *k, struct slice offset, size_t *ret_at)
{
        for (size_t i = 0; i < k->count; i++) {
                const struct msg *m = kept_at(k, i);
                if (!slice_eq(slice_of(m->bytes + m->cursor_at, m->cursor_n), offset))
                        continue;
                *ret_at = i + 1;
                return true;
        }
        return false;
}

struct kept_session *recovery_return(struct recovery *r, struct slice nsp, struct slice payload,
        int64_t now_ms, size_t *ret_at)
{
        struct slice pid, offset;
        drop_old(r, now_ms);
        if (!payload.n || !plain_string(payload, "pid", &pid) ||
                !plain_string(payload, "offset", &offset))
                return NULL;
        struct kept_session *k = map_get(&r->by_pid, pid);
        if (!k || !slice_eq(slice_of(k->nsp, k->nsp_n), nsp) || !find_offset(k, offset, ret_at))
                return NULL;
        forget(r, k);
        k->away_ms = 0;
        return k;
}

struct msg *recovery_frame(struct recovery *r, struct kept_session *k, const char *event,
        struct slice args, const struct slice *attachments, size_t count)
{
        char offset[RECOVERY_OFFSET_TEXT];
        int n = snprintf(offset, sizeof(offset), "%llx", (unsigned long long)r->next++);
        struct msg *m = sio_frame(slice_of(k->nsp, k->nsp_n), slice_str(event), args,
                slice_of(offset, (size_t)n), attachments, count);
        if (!k->events)
                k->events = xcalloc(EVENTS_MAX, sizeof(*k->events));
        if (k->count == EVENTS_MAX) {
                msg_unref(k->events[k->first].frame);
                k->first = (k->first + 1) % EVENTS_MAX;
                k->count--;
        }
        k->events[(k->first + k->count++) % EVENTS_MAX].frame = m;
        return m;
}

size_t kept_count(const struct kept_session *k)
{
        return k->count;
}

struct msg *kept_at(const struct kept_session *k, size_t i)
{
        CHECK(i < k->count);
        return k->events[(k->first + i) % EVENTS_MAX].frame;
}
