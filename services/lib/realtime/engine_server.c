#include "realtime/engine_internal.h"

#include "realtime/departures.h"
#include "realtime/frames.h"

#include "base/hash.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define DRAIN_SLICE_MS 50
#define SHARDS_MAX 256 /* a sid's first byte */

/* ---- making it ---- */

static int64_t queued_bytes(void *arg)
{
        struct engine_server *srv = arg;
        int64_t all = 0;
        for (unsigned i = 0; i < srv->shard_count; i++)
                all += atomic_load_explicit(&srv->shards[i].queued_seen, memory_order_relaxed);
        return all;
}

static int64_t partial_bytes(void *arg)
{
        struct engine_server *srv = arg;
        int64_t all = 0;
        for (unsigned i = 0; i < srv->shard_count; i++)
                all += atomic_load_explicit(&srv->shards[i].partial_seen, memory_order_relaxed);
        return all;
}

static void show_bounds(struct engine_server *srv)
{
        struct metrics *m = srv->metrics;
        metrics_memory_limit(m, MEMORY_PARTIAL_MESSAGES,
                (int64_t)ws_pool_bytes_max(srv->shards[0].pool) * srv->shard_count);
        metrics_gauge_fn(m, M_outbox_bytes, 0, queued_bytes, srv);
        metrics_gauge_fn(m, M_memory_used, MEMORY_OUTBOXES, queued_bytes, srv);
        metrics_gauge_fn(m, M_memory_used, MEMORY_PARTIAL_MESSAGES, partial_bytes, srv);
}

static void on_drain(struct shard *sh, struct shard_timer *t);

static void init_shard(struct engine_server *srv, unsigned i, struct shard *shard, void *app)
{
        struct engine_shard *es = &srv->shards[i];
        struct ws_limits limits = {
                .message_bytes_max = srv->o.max_payload, .fragments_max = ENGINE_FRAGMENTS_MAX};
        es->srv = srv;
        es->shard = shard;
        es->app = app;
        es->index = i;
        list_init(&es->sessions);
        es->pool = ws_pool_new(&limits);
        es->ping = frame_packet(SLICE_LIT("2"), NULL, 0);
        es->noop = frame_packet(SLICE_LIT("6"), NULL, 0);
        es->close = frame_packet(SLICE_LIT("1"), NULL, 0);
        shard_timer_init(&es->drain, on_drain);
        atomic_init(&es->open, 0);
        atomic_init(&es->queued_seen, 0);
        atomic_init(&es->partial_seen, 0);
}

int engine_server_new(const struct engine_options *o, const struct engine_ops *ops,
        struct shard *const *shards, void *const *apps, unsigned shard_count,
        struct metrics *metrics, struct engine_server **ret)
{
        size_t path_n = o->path ? strlen(o->path) : 0;
        if (path_n < 2 || o->path[0] != '/' || o->path[path_n - 1] != '/' || shard_count == 0 ||
                shard_count > SHARDS_MAX || !ops->opened || !ops->message || !ops->closed ||
                o->ping_interval_ms == 0 || o->ping_timeout_ms == 0 || o->max_payload == 0)
                return -EINVAL;
        struct engine_server *srv = xcalloc(1, sizeof(*srv) + shard_count * sizeof(srv->shards[0]));
        srv->o = *o;
        srv->o.path = xstrdup(o->path);
        srv->o.origins = xstrdup(o->origins ? o->origins : "");
        srv->o.first_headers = xstrdup(o->first_headers ? o->first_headers : "");
        srv->path_bare = xstrndup(o->path, path_n - 1);
        srv->ops = *ops;
        srv->metrics = metrics;
        if (o->splice)
                srv->instance = splice_instance(o->splice);
        else
                random_bytes(&srv->instance, sizeof(srv->instance));
        srv->shard_count = shard_count;
        for (unsigned i = 0; i < shard_count; i++)
                init_shard(srv, i, shards[i], apps[i]);
        show_bounds(srv);
        *ret = srv;
        return 0;
}

struct engine_server *engine_server_free(struct engine_server *srv)
{
        if (!srv)
                return NULL;
        metrics_gauge_fn(srv->metrics, M_outbox_bytes, 0, NULL, NULL);
        metrics_gauge_fn(srv->metrics, M_memory_used, MEMORY_OUTBOXES, NULL, NULL);
        metrics_gauge_fn(srv->metrics, M_memory_used, MEMORY_PARTIAL_MESSAGES, NULL, NULL);
        for (unsigned i = 0; i < srv->shard_count; i++) {
                struct engine_shard *es = &srv->shards[i];
                CHECK(list_empty(&es->sessions));
                map_done(&es->by_sid);
                ws_pool_free(es->pool);
                msg_unref(es->ping);
                msg_unref(es->noop);
                msg_unref(es->close);
        }
        free((char *)(uintptr_t)srv->o.path);
        free((char *)(uintptr_t)srv->o.origins);
        free((char *)(uintptr_t)srv->o.first_headers);
        free(srv->path_bare);
        free(srv);
        return NULL;
}

void engine_server_mount(struct engine_server *srv, struct http_server *http)
{
        struct buf pattern = BUF_EMPTY;
        buf_add_str(&pattern, srv->o.path);
        buf_add_char(&pattern, '*');
        http_route(http, NULL, buf_cstr(&pattern), engine_request, srv);
        http_route(http, NULL, srv->path_bare, engine_request, srv);
        http_websocket(http, srv->path_bare, engine_websocket_check, engine_websocket_ready, srv);
        buf_done(&pattern);
}

unsigned engine_server_sessions(const struct engine_server *srv)
{
        unsigned n = 0;
        for (unsigned i = 0; i < srv->shard_count; i++)
                n += atomic_load_explicit(&srv->shards[i].open, memory_order_relaxed);
        return n;
}

/* ---- draining: slices with jitter, so that those who come back do not come at once ---- */

static size_t open_sessions(const struct engine_shard *es)
{
        return atomic_load_explicit(&es->open, memory_order_relaxed);
}

static void on_drain(struct shard *sh, struct shard_timer *t)
{
        struct engine_shard *es = container_of(t, struct engine_shard, drain);
        int64_t now = shard_now_ms(sh);
        size_t open = open_sessions(es);
        engine_close_some(es,
                departures_take(es->srv->o.departures, open, es->drain_until_ms - now,
                        DRAIN_SLICE_MS, now),
                ENGINE_CLOSE_DRAIN);
        if (open > 0)
                shard_timer_set(
                        sh, t, DRAIN_SLICE_MS / 2 + (int64_t)(random_u64() % DRAIN_SLICE_MS));
}

struct drain_mail {
        struct mail mail;
        struct engine_shard *es;
        uint32_t drain_ms;
};

static void run_drain(struct mail *m)
{
        struct drain_mail *d = container_of(m, struct drain_mail, mail);
        if (!d->es->stopped) {
                d->es->drain_until_ms =
                        shard_now_ms(d->es->shard) +
                        departures_span_ms(d->drain_ms, DEPARTURES_SOCKETIO_BACK_MS);
                shard_timer_set(d->es->shard, &d->es->drain, 0);
        }
        free(d);
}

void engine_server_drain(struct engine_server *srv, uint32_t drain_ms)
{
        atomic_store(&srv->draining, true);
        for (unsigned i = 0; i < srv->shard_count; i++) {
                struct drain_mail *d = xcalloc(1, sizeof(*d));
                d->mail.run = run_drain;
                d->es = &srv->shards[i];
                d->drain_ms = drain_ms;
                if (!mailbox_post(shard_mailbox(d->es->shard), &d->mail))
                        free(d);
        }
}

/* ---- shedding ---- */

struct shed_mail {
        struct mail mail;
        struct engine_shard *es;
        unsigned count;
};

static void run_shed(struct mail *m)
{
        struct shed_mail *sm = container_of(m, struct shed_mail, mail);
        if (!sm->es->stopped)
                engine_close_some(sm->es, sm->count, ENGINE_CLOSE_SHED);
        free(sm);
}

/* From whichever has most. */
void engine_server_shed(struct engine_server *srv, unsigned count)
{
        size_t open[SHARDS_MAX];
        unsigned gives[SHARDS_MAX] = {0};
        for (unsigned i = 0; i < srv->shard_count; i++)
                open[i] = open_sessions(&srv->shards[i]);
        for (; count > 0; count--) {
                unsigned most = 0;
                for (unsigned i = 1; i < srv->shard_count; i++)
                        if (open[i] > open[most])
                                most = i;
                if (open[most] == 0)
                        break;
                open[most]--;
                gives[most]++;
        }
        for (unsigned i = 0; i < srv->shard_count; i++) {
                if (gives[i] == 0)
                        continue;
                struct shed_mail *sm = xcalloc(1, sizeof(*sm));
                sm->mail.run = run_shed;
                sm->es = &srv->shards[i];
                sm->count = gives[i];
                if (!mailbox_post(shard_mailbox(sm->es->shard), &sm->mail))
                        free(sm);
        }
}

/* ---- stopping ---- */

struct stop {
        pthread_mutex_t lock;
        pthread_cond_t stopped;
        unsigned left; /* under lock */
};

struct stop_mail {
        struct mail mail;
        struct engine_shard *es;
        struct stop *stop; /* borrowed: the stopper waits for all */
};

static void run_stop(struct mail *m)
{
        struct stop_mail *sm = container_of(m, struct stop_mail, mail);
        struct stop *stop = sm->stop;
        struct engine_shard *es = sm->es;
        free(sm);
        es->stopped = true;
        shard_timer_stop(es->shard, &es->drain);
        engine_close_all_now(es);
        pthread_mutex_lock(&stop->lock);
        stop->left--;
        pthread_cond_signal(&stop->stopped);
        pthread_mutex_unlock(&stop->lock);
}

void engine_server_stop(struct engine_server *srv)
{
        struct stop stop = {.left = srv->shard_count};
        pthread_mutex_init(&stop.lock, NULL);
        pthread_cond_init(&stop.stopped, NULL);
        atomic_store(&srv->draining, true);
        for (unsigned i = 0; i < srv->shard_count; i++) {
                struct stop_mail *sm = xcalloc(1, sizeof(*sm));
                sm->mail.run = run_stop;
                sm->es = &srv->shards[i];
                sm->stop = &stop;
                bool posted = mailbox_post(shard_mailbox(sm->es->shard), &sm->mail);
                CHECK(posted);
        }
        pthread_mutex_lock(&stop.lock);
        while (stop.left > 0)
                pthread_cond_wait(&stop.stopped, &stop.lock);
        pthread_mutex_unlock(&stop.lock);
        pthread_mutex_destroy(&stop.lock);
        pthread_cond_destroy(&stop.stopped);
}
