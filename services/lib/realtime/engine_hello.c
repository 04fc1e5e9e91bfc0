/*
 * The headers of a handshake, packed into one allocation: an idle connection keeps its address and
 * little more.
 */
#include "realtime/engine_internal.h"

#include <stdlib.h>

enum { ADDR, AUTHORIZATION, QUERY, ORIGIN, COOKIE, USER_AGENT, TRACEPARENT, TEXTS, KEPT = ORIGIN };

struct hello {
        int64_t time_ms;
        uint16_t n[TEXTS];
        bool websocket;
        char bytes[];
};

static struct hello *pack(const struct slice texts[TEXTS], int64_t time_ms, bool websocket)
{
        size_t all = 0;
        for (int i = 0; i < TEXTS; i++)
                all += texts[i].n;
        struct hello *h = xcalloc(1, sizeof(*h) + all);
        h->time_ms = time_ms;
        h->websocket = websocket;
        char *p = h->bytes;
        for (int i = 0; i < TEXTS; i++) {
                CHECK(texts[i].n <= UINT16_MAX);
                h->n[i] = (uint16_t)texts[i].n;
                if (texts[i].n)
                        memcpy(p, texts[i].p, texts[i].n);
                p += texts[i].n;
        }
        return h;
}

static void unpack(const struct hello *h, struct slice texts[TEXTS])
{
        const char *p = h->bytes;
        for (int i = 0; i < TEXTS; i++) {
                texts[i] = slice_of(p, h->n[i]);
                p += h->n[i];
        }
}

/* A head is bounded far below; this is the type's bound. */
static struct slice bounded(struct slice s)
{
        return s.n > UINT16_MAX ? SLICE_NONE : s;
}

struct hello *hello_new(const struct engine_handshake *hs)
{
        struct slice texts[TEXTS] = {
                [ADDR] = bounded(hs->client_addr),
                [AUTHORIZATION] = bounded(hs->authorization),
                [QUERY] = bounded(hs->query),
                [ORIGIN] = bounded(hs->origin),
                [COOKIE] = bounded(hs->cookie),
                [USER_AGENT] = bounded(hs->user_agent),
                [TRACEPARENT] = bounded(hs->traceparent),
        };
        return pack(texts, hs->time_ms, hs->websocket);
}

void engine_handshake_get(const struct engine_session *s, struct engine_handshake *ret)
{
        struct slice t[TEXTS];
        unpack(s->hello, t);
        *ret = (struct engine_handshake){
                .client_addr = t[ADDR],
                .authorization = t[AUTHORIZATION],
                .query = t[QUERY],
                .origin = t[ORIGIN],
                .cookie = t[COOKIE],
                .user_agent = t[USER_AGENT],
                .traceparent = t[TRACEPARENT],
                .time_ms = s->hello->time_ms,
                .websocket = s->hello->websocket,
        };
}

void engine_handshake_trim(struct engine_session *s)
{
        struct slice t[TEXTS];
        unpack(s->hello, t);
        for (int i = KEPT; i < TEXTS; i++)
                t[i] = SLICE_NONE;
        struct hello *h = pack(t, s->hello->time_ms, s->hello->websocket);
        free(s->hello);
        s->hello = h;
}
