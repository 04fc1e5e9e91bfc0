/*
 * What workers send to a shard: sockets whose request is verified as far as a worker can, and
 * questions about sessions.
 */
#include "realtime/engine_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define ASK_MS 5000

static void arrival_free(struct arrival *a)
{
        http_handover_done(&a->ho);
        free(a->hello);
        free(a->cors);
        free(a->body);
        free(a->cookie);
        free(a);
}

/* ---- polls and posts ---- */

static bool refuse_if_unfit(struct arrival *a, struct engine_session *s)
{
        if (!s)
                polling_refuse(a->es, &a->ho, EIO_SESSION_UNKNOWN, a->cors);
        else if (s->ws || a->websocket_query)
                polling_refuse(a->es, &a->ho, EIO_BAD_REQUEST, a->cors);
        else
                return false;
        return true;
}

static void arrive_poll(struct arrival *a)
{
        struct engine_session *s = engine_session_find(a->es, a->sid);
        if (refuse_if_unfit(a, s))
                return;
        if (s->get) { /* two at once: neither can be trusted any more */
                engine_end(s, ENGINE_CLOSE_TRANSPORT_ERROR, FAREWELL_CLOSE);
                polling_answer(a->es, &a->ho, 400, NULL, a->cors, SLICE_NONE);
                return;
        }
        polling_get(s, &a->ho, a->cors);
        a->cors = NULL;
}

static void arrive_poll_handshake(struct arrival *a)
{
        struct engine_session *s = engine_session_new(a->es, a->hello, NULL);
        a->hello = NULL;
        polling_get(s, &a->ho, a->cors);
        a->cors = NULL;
}

static void arrive_post(struct arrival *a)
{
        struct engine_session *s = engine_session_find(a->es, a->sid);
        if (!s || !s->post_open) {
                polling_refuse(a->es, &a->ho, EIO_SESSION_UNKNOWN, a->cors);
                return;
        }
        s->post_open = false;
        a->es->post_cookie = slice_str(a->cookie);
        bool good = engine_receive_payload(s, slice_of(a->body, a->body_n));
        a->es->post_cookie = SLICE_NONE;
        if (good)
                polling_answer(a->es, &a->ho, 200, "text/html", a->cors, SLICE_LIT("ok"));
        else
                polling_answer(a->es, &a->ho, 400, NULL, a->cors, SLICE_NONE);
}

/* ---- WebSockets ---- */

static void arrive_ws(struct arrival *a)
{
        struct engine_session *s = engine_session_find(a->es, a->sid);
        struct ws_link *l = websocket_open(a->es, &a->ho);
        if (!l)
                return;
        if (!s || s->state != ENGINE_OPEN || s->ws || s->upgrade)
                websocket_close(l, false);
        else
                upgrade_start(s, l);
}

static void arrive_ws_handshake(struct arrival *a)
{
        struct ws_link *l = websocket_open(a->es, &a->ho);
        if (!l)
                return;
        struct engine_session *s = engine_session_new(a->es, a->hello, l);
        a->hello = NULL;
        engine_flush(s);
}

static void run_arrival(struct mail *m)
{
        struct arrival *a = container_of(m, struct arrival, mail);
        if (!a->es->stopped) {
                switch (a->kind) {
                case ARRIVAL_POLL:
                        arrive_poll(a);
                        break;
                case ARRIVAL_POLL_HANDSHAKE:
                        arrive_poll_handshake(a);
                        break;
                case ARRIVAL_POST:
                        arrive_post(a);
                        break;
                case ARRIVAL_WS:
                        arrive_ws(a);
                        break;
                case ARRIVAL_WS_HANDSHAKE:
                        arrive_ws_handshake(a);
                        break;
                }
        }
        arrival_free(a);
}

void arrival_post(struct arrival *a)
{
        a->mail.run = run_arrival;
        if (!mailbox_post(shard_mailbox(a->es->shard), &a->mail))
                arrival_free(a);
}

/* ---- questions ---- */

/* Shared by the worker that waits and the shard that answers; the last one frees it, so that a late
 * answer harms nobody. */
struct ask {
        struct mail mail;
        pthread_mutex_t lock;
        pthread_cond_t answered;
        unsigned refs; /* under lock, as the rest */
        bool done;
        enum ask_answer answer;
        struct engine_shard *es;
        enum ask_kind kind;
        uint8_t sid[ENGINE_SID_BYTES];
};

static void ask_unref(struct ask *q)
{
        pthread_mutex_lock(&q->lock);
        unsigned left = --q->refs;
        pthread_mutex_unlock(&q->lock);
        if (left > 0)
                return;
        pthread_mutex_destroy(&q->lock);
        pthread_cond_destroy(&q->answered);
        free(q);
}

static enum ask_answer post_begins(struct engine_session *s)
{
        if (s->post_open) {
                engine_end(s, ENGINE_CLOSE_TRANSPORT_ERROR, FAREWELL_CLOSE);
                return ANSWER_OVERLAP;
        }
        s->post_open = true;
        return ANSWER_POLLING;
}

static enum ask_answer decide(struct engine_session *s, enum ask_kind kind)
{
        if (!s)
                return ANSWER_UNKNOWN;
        if (kind == ASK_POST_FORGET || kind == ASK_POST_FAIL) {
                s->post_open = false;
                if (kind == ASK_POST_FAIL)
                        engine_end(s, ENGINE_CLOSE_TRANSPORT_ERROR, FAREWELL_CLOSE);
        }
        if (s->ws)
                return ANSWER_WEBSOCKET;
        return kind == ASK_POST_BEGIN ? post_begins(s) : ANSWER_POLLING;
}

static void run_ask(struct mail *m)
{
        struct ask *q = container_of(m, struct ask, mail);
        enum ask_answer answer = q->es->stopped
                                         ? ANSWER_UNKNOWN
                                         : decide(engine_session_find(q->es, q->sid), q->kind);
        pthread_mutex_lock(&q->lock);
        q->answer = answer;
        q->done = true;
        pthread_cond_signal(&q->answered);
        pthread_mutex_unlock(&q->lock);
        ask_unref(q);
}

static struct ask *ask_new(
        struct engine_server *srv, const uint8_t sid[ENGINE_SID_BYTES], enum ask_kind kind)
{
        struct ask *q = xcalloc(1, sizeof(*q));
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&q->answered, &attr);
        pthread_condattr_destroy(&attr);
        pthread_mutex_init(&q->lock, NULL);
        q->mail.run = run_ask;
        q->refs = 2;
        q->es = &srv->shards[engine_sid_shard(sid)];
        q->kind = kind;
        memcpy(q->sid, sid, ENGINE_SID_BYTES);
        return q;
}

enum ask_answer arrival_ask(
        struct engine_server *srv, const uint8_t sid[ENGINE_SID_BYTES], enum ask_kind kind)
{
        struct ask *q = ask_new(srv, sid, kind);
        enum ask_answer answer = ANSWER_UNKNOWN;
        if (!mailbox_post(shard_mailbox(q->es->shard), &q->mail)) {
                ask_unref(q);
                ask_unref(q);
                return answer;
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += ASK_MS / 1000;
        pthread_mutex_lock(&q->lock);
        int r = 0;
        while (!q->done && r == 0)
                r = pthread_cond_timedwait(&q->answered, &q->lock, &until);
        if (q->done)
                answer = q->answer;
        pthread_mutex_unlock(&q->lock);
        ask_unref(q);
        return answer;
}
