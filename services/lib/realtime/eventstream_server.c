#include "realtime/eventstream_internal.h"

#include "realtime/departures.h"

#include "base/hash.h"
#include "http/handover.h"
#include "http/server.h"
#include "wire/eventstream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_STEP_MS 50
#define TICK_MS 500
#define CONNECT_MS 1000 /* what a client needs to connect once its pause is over */

/* ---- blocks ---- */

struct msg *es_msg(struct slice bytes)
{
        CHECK(bytes.n <= UINT32_MAX);
        struct msg *m = msg_new(bytes.n);
        memcpy(m->bytes, bytes.p, bytes.n);
        m->ws_n = (uint32_t)bytes.n;
        return m;
}

struct msg *es_frame(struct slice event, struct slice id, struct slice data)
{
        struct buf b = BUF_EMPTY;
        eventstream_block(&b, event, id, data);
        struct msg *m = es_msg(buf_slice(&b));
        buf_done(&b);
        return m;
}

static uint32_t draw_retry(const struct es_options *o)
{
        return o->retry_ms +
               (o->retry_jitter_ms ? (uint32_t)(random_u64() % ((uint64_t)o->retry_jitter_ms + 1))
                                   : 0);
}

#define STREAM_HEADERS "Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: no\r\n"

/* The body has no length and ends with the connection, hence Connection: close. The comment goes
 * with the head, so that a proxy that counts its time-out from the first byte of the body is
 * content. */
static struct msg *make_head(const struct es_options *o, struct slice extra_headers)
{
        struct buf b = BUF_EMPTY;
        buf_add_str(&b, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" STREAM_HEADERS
                        "Connection: close\r\n");
        buf_add_slice(&b, extra_headers);
        buf_add_str(&b, "\r\n");
        eventstream_comment(&b, "ok");
        eventstream_retry(&b, draw_retry(o));
        struct msg *m = es_msg(buf_slice(&b));
        buf_done(&b);
        return m;
}

void es_come_back(struct es_server *srv, struct http_request *rq, struct slice last)
{
        struct buf b = BUF_EMPTY;
        eventstream_retry(&b, draw_retry(&srv->o));
        buf_add_slice(&b, last);
        http_reply(rq, 200, "text/event-stream", SLICE_LIT(STREAM_HEADERS), buf_slice(&b));
        buf_done(&b);
}

/* ---- a lane ---- */

static void on_tick(struct shard *sh, struct shard_timer *t)
{
        struct es_lane *lane = container_of(t, struct es_lane, tick);
        int64_t change = lane->outbox_bytes - lane->outbox_shown;
        metrics_add(lane->srv->metrics, M_outbox_bytes, 0, change);
        metrics_add(lane->srv->metrics, M_memory_used, MEMORY_OUTBOXES, change);
        lane->outbox_shown = lane->outbox_bytes;
        if (lane->outbox_bytes != 0)
                shard_timer_set(sh, t, TICK_MS);
        else
                lane->ticking = false;
}

/* The gauge follows twice a second, not with each message. */
void es_lane_bytes(struct es_lane *lane, int64_t change)
{
        lane->outbox_bytes += change;
        CHECK(lane->outbox_bytes >= 0);
        if (!lane->ticking && lane->outbox_bytes != 0) {
                lane->ticking = true;
                shard_timer_set(lane->sh, &lane->tick, TICK_MS);
        }
}

void es_stream_show_ending(struct es_stream *s)
{
        struct es_server *srv = s->lane->srv;
        metrics_add(srv->metrics, M_connections, srv->shown_labels[s->ending], -1);
        s->ending = true;
        metrics_add(srv->metrics, M_connections, srv->shown_labels[s->ending], 1);
}

void es_stream_gone(struct es_stream *s)
{
        struct es_lane *lane = s->lane;
        struct es_server *srv = lane->srv;
        list_remove(&s->link);
        lane->count--;
        srv->ops.closed(lane->app, s, s->user, s->reason);
        metrics_add(srv->metrics, M_connections, srv->shown_labels[s->ending], -1);
        metrics_add(srv->metrics, M_entries_used, ENTRIES_CONNECTIONS, -1);
        metrics_add(srv->metrics, M_connections_closed, srv->reason_labels[s->reason], 1);
        free(s);
        atomic_fetch_sub(&srv->connections, 1);
        if (lane->stopped && lane->count == 0) {
                sem_post(lane->stopped);
                lane->stopped = NULL;
        }
}

struct opening {
        struct mail mail;
        struct es_stream *s; /* owned */
        int fd;              /* owned */
        struct msg *head;    /* one reference */
        char client_addr[64];
};

static void run_opening(struct mail *m)
{
        struct opening *op = container_of(m, struct opening, mail);
        struct es_lane *lane = op->s->lane;
        list_push_back(&lane->streams, &op->s->link);
        lane->count++;
        metrics_add(lane->srv->metrics, M_connections, lane->srv->shown_labels[false], 1);
        metrics_add(lane->srv->metrics, M_entries_used, ENTRIES_CONNECTIONS, 1);
        metrics_add(lane->srv->metrics, M_connections_opened, lane->srv->opened_label, 1);
        es_stream_start(op->s, op->fd, op->client_addr, op->head);
        msg_unref(op->head);
        free(op);
}

int es_open(struct es_server *srv, struct http_handover *ho, unsigned shard,
        struct slice extra_headers, void *user)
{
        CHECK(shard < srv->lanes_n);
        if (atomic_load(&srv->stopped))
                return -ECANCELED;
        struct es_stream *s = xcalloc(1, sizeof(*s));
        s->lane = &srv->lanes[shard];
        s->user = user;
        list_init(&s->link);
        struct opening *op = xcalloc(1, sizeof(*op));
        op->mail.run = run_opening;
        op->s = s;
        op->fd = ho->fd;
        op->head = make_head(&srv->o, extra_headers);
        memcpy(op->client_addr, ho->client_addr, sizeof(op->client_addr));
        op->client_addr[sizeof(op->client_addr) - 1] = '\0';
        atomic_fetch_add(&srv->connections, 1);
        if (!mailbox_post(shard_mailbox(s->lane->sh), &op->mail)) {
                atomic_fetch_sub(&srv->connections, 1);
                msg_unref(op->head);
                free(op);
                free(s);
                return -ECANCELED;
        }
        ho->fd = -1;
        return 0;
}

/* ---- drain and stop ---- */

/* The oldest first. */
static void end_some(struct es_lane *lane, unsigned count, int reason)
{
        list_for_each_safe(it, &lane->streams)
        {
                struct es_stream *s = list_entry(it, struct es_stream, link);
                if (count == 0)
                        return;
                if (s->state != ES_OPEN)
                        continue;
                /* A stream that is ending stays in the list for a while; behind the open ones it
                 * is in nobody's way. */
                list_remove(&s->link);
                list_push_back(&lane->streams, &s->link);
                es_stream_end(s, reason);
                count--;
        }
}

static void on_drain(struct shard *sh, struct shard_timer *t)
{
        struct es_lane *lane = container_of(t, struct es_lane, drain_timer);
        int64_t now = shard_now_ms(sh);
        end_some(lane,
                departures_take(lane->srv->o.departures, lane->count, lane->drain_until_ms - now,
                        DRAIN_STEP_MS, now),
                ES_CLOSE_DRAIN);
        if (lane->count > 0)
                shard_timer_set(sh, t, DRAIN_STEP_MS / 2 + (int64_t)(random_u64() % DRAIN_STEP_MS));
}

uint32_t es_back_ms(const struct es_options *o)
{
        return o->retry_ms + o->retry_jitter_ms + CONNECT_MS;
}

struct draining {
        struct mail mail;
        struct es_lane *lane;
        uint32_t drain_ms;
};

static void run_drain(struct mail *m)
{
        struct draining *d = container_of(m, struct draining, mail);
        struct es_lane *lane = d->lane;
        if (!lane->draining) {
                lane->draining = true;
                lane->drain_until_ms = shard_now_ms(lane->sh) +
                                       departures_span_ms(d->drain_ms, es_back_ms(&lane->srv->o));
                on_drain(lane->sh, &lane->drain_timer);
        }
        free(d);
}

void es_server_drain(struct es_server *srv, uint32_t drain_ms)
{
        for (unsigned i = 0; i < srv->lanes_n; i++) {
                struct draining *d = xcalloc(1, sizeof(*d));
                d->mail.run = run_drain;
                d->lane = &srv->lanes[i];
                d->drain_ms = drain_ms;
                if (!mailbox_post(shard_mailbox(d->lane->sh), &d->mail))
                        free(d);
        }
}

struct shedding {
        struct mail mail;
        struct es_lane *lane;
        unsigned count;
};

static void run_shed(struct mail *m)
{
        struct shedding *sd = container_of(m, struct shedding, mail);
        if (!sd->lane->stopping)
                end_some(sd->lane, sd->count, ES_CLOSE_SHED);
        free(sd);
}

/* A user's streams are on the shard of the user's, so all lanes have about as many: each gives its share, in turn. */
void es_server_shed(struct es_server *srv, unsigned count)
{
        unsigned first = (unsigned)(random_u64() % srv->lanes_n);
        for (unsigned i = 0; i < srv->lanes_n; i++) {
                unsigned share = count / srv->lanes_n + (i < count % srv->lanes_n);
                if (share == 0)
                        continue;
                struct shedding *sd = xcalloc(1, sizeof(*sd));
                sd->mail.run = run_shed;
                sd->lane = &srv->lanes[(first + i) % srv->lanes_n];
                sd->count = share;
                if (!mailbox_post(shard_mailbox(sd->lane->sh), &sd->mail))
                        free(sd);
        }
}

struct stopping {
        struct mail mail;
        struct es_lane *lane;
        sem_t *done;
};

static void run_stop(struct mail *m)
{
        struct stopping *st = container_of(m, struct stopping, mail);
        struct es_lane *lane = st->lane;
        lane->stopping = true;
        shard_timer_stop(lane->sh, &lane->drain_timer);
        if (lane->count == 0) {
                sem_post(st->done);
                return;
        }
        lane->stopped = st->done;
        list_for_each_safe(it, &lane->streams)
                es_stream_end(list_entry(it, struct es_stream, link), ES_CLOSE_DRAIN);
}

void es_server_stop(struct es_server *srv)
{
        atomic_store(&srv->stopped, true);
        sem_t done;
        sem_init(&done, 0, 0);
        struct stopping *all = xcalloc(srv->lanes_n, sizeof(*all));
        unsigned waits = 0;
        for (unsigned i = 0; i < srv->lanes_n; i++) {
                all[i] = (struct stopping){
                        .mail = {.run = run_stop}, .lane = &srv->lanes[i], .done = &done};
                waits += mailbox_post(shard_mailbox(srv->lanes[i].sh), &all[i].mail);
        }
        while (waits > 0)
                if (sem_wait(&done) == 0)
                        waits--;
        sem_destroy(&done);
        free(all);
}

/* ---- life ---- */

static unsigned label(enum metric_id id, const char *value)
{
        int i = metrics_label(id, value);
        CHECK(i >= 0);
        return (unsigned)i;
}

static void make_labels(struct es_server *srv)
{
        static const char *const reasons[ES_CLOSE_REASONS] = {
                [ES_CLOSE_APP] = "other",
                [ES_CLOSE_CLIENT] = "client",
                [ES_CLOSE_TRANSPORT_ERROR] = "transport_error",
                [ES_CLOSE_STALLED] = "stalled",
                [ES_CLOSE_LIMIT] = "limit",
                [ES_CLOSE_TOKEN] = "token",
                [ES_CLOSE_KICK] = "kick",
                [ES_CLOSE_DRAIN] = "drain",
                [ES_CLOSE_SHED] = "shed",
        };
        for (size_t i = 0; i < ES_CLOSE_REASONS; i++)
                srv->reason_labels[i] = label(M_connections_closed, reasons[i]);
        srv->opened_label = label(M_connections_opened, "sse");
        srv->shown_labels[false] = label(M_connections, "sse,joined");
        srv->shown_labels[true] = label(M_connections, "sse,closing");
}

int es_server_new(const struct es_options *o, const struct es_ops *ops, struct shard *const *shards,
        void *const *apps, unsigned shard_count, struct metrics *metrics, struct es_server **ret)
{
        if (shard_count == 0 || o->heartbeat_ms == 0 || o->stall_ms == 0 ||
                o->outbox_bytes_max == 0)
                return -EINVAL;
        struct es_server *srv = xcalloc(1, sizeof(*srv));
        srv->o = *o;
        srv->ops = *ops;
        srv->metrics = metrics;
        make_labels(srv);
        srv->heartbeat = es_msg(SLICE_LIT(": hb\n\n"));
        srv->heartbeat->flags = MSG_VOLATILE;
        srv->lanes_n = shard_count;
        srv->lanes = xcalloc(shard_count, sizeof(*srv->lanes));
        for (unsigned i = 0; i < shard_count; i++) {
                struct es_lane *lane = &srv->lanes[i];
                lane->srv = srv;
                lane->sh = shards[i];
                lane->app = apps[i];
                list_init(&lane->streams);
                shard_timer_init(&lane->drain_timer, on_drain);
                shard_timer_init(&lane->tick, on_tick);
        }
        *ret = srv;
        return 0;
}

struct es_server *es_server_free(struct es_server *srv)
{
        if (!srv)
                return NULL;
        for (unsigned i = 0; i < srv->lanes_n; i++)
                CHECK(srv->lanes[i].count == 0);
        msg_unref(srv->heartbeat);
        free(srv->lanes);
        free(srv);
        return NULL;
}

unsigned es_server_connections(const struct es_server *srv)
{
        return atomic_load(&srv->connections);
}
