#include "realtime/splice.h"

#include "realtime/departures.h"
#include "realtime/engine_sid.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/metrics.h"
#include "net/intake.h"
#include "net/relay.h"
#include "peer/line.h"
#include "peer/seen.h"
#include "wire/engineio.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>

#define DRAIN_SLICE_MS 50
/* Of an owner that ended without a word. The head has gone by then, so no Origin is answered: to a
 * browser of another origin it is a failed request, which its client takes in the same way. */
#define SILENT_ANSWER                                                                              \
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 41\r\n"     \
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"                                     \
        "{\"code\":1,\"message\":\"Session ID unknown\"}"

/* Of M_splices_ended, after those of enum relay_end. */
enum { ENDED_FULL = RELAY_ENDS, ENDED_PORT };
/* Of M_splice_lines, after those of enum peer_verdict. */
enum { LINE_FOREIGN = PEER_STALE + 1, LINE_REPLAYED, LINE_FULL };

struct splice_shard {
        struct splice *sp;
        struct shard *shard;   /* borrowed */
        struct relay_hub *hub; /* owned */
        struct shard_timer drain;
        int64_t drain_until_ms;
        bool stopped;
};

struct splice {
        struct splice_options o;
        char *path, *path_bare; /* owned: with and without the last slash */
        struct peer_keys keys;
        struct peer_place place;
        uint32_t instance;
        struct peer_seen *seen; /* owned */
        struct intake *port;    /* owned */
        atomic_uint open;
        unsigned shard_count;
        struct splice_shard shards[];
};

uint32_t splice_instance(const struct splice *sp)
{
        return sp->instance;
}

const struct peer_keys *splice_keys(const struct splice *sp)
{
        return &sp->keys;
}

const struct peer_place *splice_place(const struct splice *sp)
{
        return &sp->place;
}

unsigned splice_count(const struct splice *sp)
{
        return atomic_load_explicit(&sp->open, memory_order_relaxed);
}

/* ---- the gateway that got the request ---- */

/* The first line of a head; false if it is none of a request to our path. */
static bool read_request(const struct splice *sp, struct slice head, struct eio_query *ret)
{
        ptrdiff_t end = slice_find(head, '\r');
        struct slice line = slice_of(head.p, end < 0 ? head.n : (size_t)end);
        ptrdiff_t blank = slice_find(line, ' ');
        /* A preflight is anybody's to answer. */
        if (blank <= 0 || slice_starts(line, "OPTIONS "))
                return false;
        struct slice target = slice_from(line, (size_t)blank + 1);
        blank = slice_find(target, ' ');
        target.n = blank < 0 ? 0 : (size_t)blank;
        if (target.n > 7 && strncasecmp(target.p, "http://", 7) == 0) {
                target = slice_from(target, 7);
                ptrdiff_t slash = slice_find(target, '/');
                target = slash < 0 ? SLICE_NONE : slice_from(target, (size_t)slash);
        }
        ptrdiff_t mark = slice_find(target, '?');
        if (mark < 0)
                return false;
        struct slice path = slice_of(target.p, (size_t)mark);
        eio_query_parse(slice_from(target, (size_t)mark + 1), ret);
        return slice_is(path, sp->path_bare) || slice_starts(path, sp->path);
}

static void count_end(struct splice *sp, unsigned how)
{
        metrics_add(sp->o.metrics, M_splices_ended, how, 1);
}

/* Room for one more. */
static bool enter(struct splice *sp)
{
        unsigned was = atomic_fetch_add_explicit(&sp->open, 1, memory_order_relaxed);
        if (was < sp->o.settings->splices_max) {
                metrics_add(sp->o.metrics, M_splices, 0, 1);
                metrics_add(sp->o.metrics, M_entries_used, ENTRIES_SPLICES, 1);
                return true;
        }
        atomic_fetch_sub_explicit(&sp->open, 1, memory_order_relaxed);
        count_end(sp, ENDED_FULL);
        return false;
}

static void leave(struct splice *sp)
{
        atomic_fetch_sub_explicit(&sp->open, 1, memory_order_relaxed);
        metrics_add(sp->o.metrics, M_splices, 0, -1);
        metrics_add(sp->o.metrics, M_entries_used, ENTRIES_SPLICES, -1);
}

/* Where the request has to go; false if it stays here, where it may be refused. */
static bool find_owner(struct splice *sp, const struct eio_query *q, struct peer_place *ret)
{
        if (!engine_sid_foreign(slice_str(q->sid), sp->instance, &sp->keys, ret))
                return false;
        if (ret->port < sp->o.settings->port_min || ret->port > sp->o.settings->port_max) {
                count_end(sp, ENDED_PORT);
                return false;
        }
        /* Who listened here before us is gone. */
        return !peer_place_equal(ret, &sp->place);
}

static struct splice_shard *shard_of(struct splice *sp, const struct shard *sh)
{
        for (unsigned i = 0; i < sp->shard_count; i++)
                if (sp->shards[i].shard == sh)
                        return &sp->shards[i];
        CHECK(!"one of the shards");
        return NULL;
}

bool splice_claim(
        struct splice *sp, struct shard *sh, int fd, const char *client_addr, struct slice head)
{
        struct eio_query q;
        struct peer_place owner;
        char line[PEER_LINE_MAX];
        if (!read_request(sp, head, &q) || !q.sid[0] || !find_owner(sp, &q, &owner) || !enter(sp))
                return false;
        size_t n = peer_line_write(
                &sp->keys, slice_str(q.sid), slice_str(client_addr), clock_wall_ms(), line);
        struct relay_target target = {
                .addr = owner.addr, .addr_n = owner.addr_n, .port = owner.port};
        if (n > 0 && relay_start(shard_of(sp, sh)->hub, fd, client_addr, &target, slice_of(line, n),
                             q.transport == EIO_TRANSPORT_WEBSOCKET))
                return true;
        leave(sp);
        count_end(sp, RELAY_UNREACHABLE);
        return false;
}

static void on_unreachable(void *arg, struct shard *sh, int fd, const char *client_addr)
{
        struct splice *sp = ((struct splice_shard *)arg)->sp;
        sp->o.back(sp->o.arg, sh, fd, client_addr);
}

static void on_ended(void *arg, enum relay_end how)
{
        struct splice *sp = ((struct splice_shard *)arg)->sp;
        leave(sp);
        count_end(sp, how);
}

static const struct relay_ops relay_ops = {
        .unreachable = on_unreachable,
        .ended = on_ended,
        .silent_answer = {.p = SILENT_ANSWER, .n = sizeof(SILENT_ANSWER) - 1},
};

/* ---- the owner ---- */

static unsigned judge(struct splice *sp, struct shard *sh, struct slice text, struct peer_line *l)
{
        enum peer_verdict v =
                peer_line_read(&sp->keys, text, clock_wall_ms(), sp->o.settings->window_ms, l);
        if (v != PEER_ACCEPTED)
                return v;
        uint8_t sid[ENGINE_SID_BYTES];
        if (!engine_sid_parse(slice_str(l->sid), sp->instance, sp->shard_count, sid))
                return LINE_FOREIGN;
        struct slice nonce = slice_of((const char *)l->nonce, sizeof(l->nonce));
        switch (peer_seen_add(sp->seen, nonce, shard_now_ms(sh))) {
        case PEER_SEEN_NEW:
                return PEER_ACCEPTED;
        case PEER_SEEN_BEFORE:
                return LINE_REPLAYED;
        case PEER_SEEN_FULL:
                break;
        }
        return LINE_FULL;
}

static bool on_line(void *arg, struct shard *sh, struct slice line, char ret_addr[CONN_ADDR_TEXT])
{
        struct splice *sp = arg;
        struct peer_line l;
        unsigned verdict = judge(sp, sh, line, &l);
        metrics_add(sp->o.metrics, M_splice_lines, verdict, 1);
        return verdict == PEER_ACCEPTED &&
               slice_copy(slice_str(l.client_addr), ret_addr, CONN_ADDR_TEXT);
}

static bool on_head(void *arg, int fd, const char *client_addr)
{
        struct splice *sp = arg;
        return sp->o.feed(sp->o.arg, fd, client_addr);
}

/* ---- draining and stopping: orders to every shard ---- */

struct round {
        pthread_mutex_t lock;
        pthread_cond_t done;
        unsigned left; /* under lock */
};

struct order {
        struct mail mail;
        struct splice_shard *ss;
        uint32_t drain_ms;
        struct round *round; /* NULL: nobody waits */
};

static void on_drain(struct shard *sh, struct shard_timer *t)
{
        struct splice_shard *ss = container_of(t, struct splice_shard, drain);
        int64_t now = shard_now_ms(sh);
        relay_hub_close_some(ss->hub,
                departures_take(ss->sp->o.departures, relay_hub_long_lived(ss->hub),
                        ss->drain_until_ms - now, DRAIN_SLICE_MS, now));
        /* Also when none is left: others may come until the balancer looks elsewhere. */
        shard_timer_set(sh, t, DRAIN_SLICE_MS / 2 + (int64_t)(random_u64() % DRAIN_SLICE_MS));
}

static void run_drain(struct mail *m)
{
        struct order *od = container_of(m, struct order, mail);
        struct splice_shard *ss = od->ss;
        if (!ss->stopped) {
                ss->drain_until_ms =
                        shard_now_ms(ss->shard) +
                        departures_span_ms(od->drain_ms, DEPARTURES_SOCKETIO_BACK_MS);
                shard_timer_set(ss->shard, &ss->drain, 0);
        }
        free(od);
}

static void run_stop(struct mail *m)
{
        struct order *od = container_of(m, struct order, mail);
        struct round *round = od->round;
        struct splice_shard *ss = od->ss;
        free(od);
        ss->stopped = true;
        shard_timer_stop(ss->shard, &ss->drain);
        relay_hub_stop(ss->hub);
        pthread_mutex_lock(&round->lock);
        round->left--;
        pthread_cond_signal(&round->done);
        pthread_mutex_unlock(&round->lock);
}

/* How many shards did not get it. */
static unsigned order_all(
        struct splice *sp, void (*run)(struct mail *m), uint32_t drain_ms, struct round *round)
{
        unsigned lost = 0;
        for (unsigned i = 0; i < sp->shard_count; i++) {
                struct order *od = xcalloc(1, sizeof(*od));
                od->mail.run = run;
                od->ss = &sp->shards[i];
                od->drain_ms = drain_ms;
                od->round = round;
                if (!mailbox_post(shard_mailbox(sp->shards[i].shard), &od->mail)) {
                        free(od);
                        lost++;
                }
        }
        return lost;
}

void splice_drain(struct splice *sp, uint32_t drain_ms)
{
        (void)order_all(sp, run_drain, drain_ms, NULL);
}

void splice_stop(struct splice *sp)
{
        struct round round = {.left = sp->shard_count};
        pthread_mutex_init(&round.lock, NULL);
        pthread_cond_init(&round.done, NULL);
        unsigned lost = order_all(sp, run_stop, 0, &round);
        pthread_mutex_lock(&round.lock);
        while (round.left > lost)
                pthread_cond_wait(&round.done, &round.lock);
        pthread_mutex_unlock(&round.lock);
        pthread_cond_destroy(&round.done);
        pthread_mutex_destroy(&round.lock);
}

/* ---- life ---- */

static void init_shard(struct splice *sp, unsigned i, struct shard *sh)
{
        const struct peer_settings *s = sp->o.settings;
        struct splice_shard *ss = &sp->shards[i];
        struct relay_limits limits = {
                .connect_ms = s->connect_ms,
                .idle_ms = s->idle_ms > sp->o.idle_ms_min ? s->idle_ms : sp->o.idle_ms_min,
        };
        ss->sp = sp;
        ss->shard = sh;
        ss->hub = relay_hub_new(sh, &limits, &relay_ops, ss);
        shard_timer_init(&ss->drain, on_drain);
}

/* Binds the internal port and finds out our own place. */
static int make_port(
        struct splice *sp, struct shard *const *shards, unsigned shard_count, char fault[256])
{
        const struct peer_settings *s = sp->o.settings;
        const char *address = s->address[0] ? s->address : s->bind;
        struct intake_options io = {
                .bind = s->bind,
                .port = s->port,
                .head_ms = s->line_ms,
                .idle_ms = s->line_ms,
                .head_bytes_max = sp->o.head_bytes_max,
                .per_address_max = 0, /* so far they are all gateways */
                .connections_max = s->splices_max,
                .feed = on_head,
                .line = on_line,
                .line_max = PEER_LINE_MAX,
                .arg = sp,
                .metrics = sp->o.metrics,
        };
        uint32_t port;
        int r = intake_new(&io, shards, shard_count, &sp->port, &port);
        if (r < 0) {
                snprintf(fault, 256, "the internal port %u on %s cannot be opened: %s", s->port,
                        s->bind, strerror(-r));
                return r;
        }
        if (!peer_place_parse(address, port, &sp->place) || port < s->port_min ||
                port > s->port_max) {
                snprintf(
                        fault, 256, "no other gateway would connect to %s, port %u", address, port);
                return -EINVAL;
        }
        return 0;
}

int splice_new(const struct splice_options *o, struct shard *const *shards, unsigned shard_count,
        struct splice **ret, char fault[256])
{
        size_t path_n = strlen(o->path);
        const char *why;
        CHECK(path_n > 1 && o->path[path_n - 1] == '/' && o->feed && o->back);
        struct splice *sp = xcalloc(1, sizeof(*sp) + shard_count * sizeof(sp->shards[0]));
        sp->o = *o;
        sp->path = xstrdup(o->path);
        sp->path_bare = xstrndup(o->path, path_n - 1);
        random_bytes(&sp->instance, sizeof(sp->instance));
        sp->seen = peer_seen_new(o->settings->nonces_max, o->settings->window_ms);
        int r = peer_keys_parse(slice_str(o->settings->key), &sp->keys, &why);
        if (r < 0)
                snprintf(fault, 256, "the key file: %s", why);
        else
                r = make_port(sp, shards, shard_count, fault);
        if (r < 0) {
                splice_free(sp);
                return r;
        }
        metrics_entries_limit(o->metrics, ENTRIES_SPLICES, o->settings->splices_max);
        sp->shard_count = shard_count;
        for (unsigned i = 0; i < shard_count; i++)
                init_shard(sp, i, shards[i]);
        *ret = sp;
        return 0;
}

int splice_listen(struct splice *sp)
{
        return intake_open(sp->port);
}

void splice_shut(struct splice *sp)
{
        intake_shut(sp->port);
}

struct splice *splice_free(struct splice *sp)
{
        if (!sp)
                return NULL;
        intake_free(sp->port);
        for (unsigned i = 0; i < sp->shard_count; i++)
                relay_hub_free(sp->shards[i].hub);
        peer_seen_free(sp->seen);
        explicit_bzero(&sp->keys, sizeof(sp->keys));
        free(sp->path);
        free(sp->path_bare);
        free(sp);
        return NULL;
}
