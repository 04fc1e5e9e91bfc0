/* An application of event streams, and a client that reads them. */
#ifndef TERN_TESTS_REALTIME_EVENTSTREAM_APP_H
#define TERN_TESTS_REALTIME_EVENTSTREAM_APP_H

#include "base/buf.h"
#include "base/metrics.h"
#include "http/handover.h"
#include "realtime/eventstream_server.h"
#include "tests/unit/net/on_shard.h"

struct fixture;

struct user { /* what the application keeps of a stream */
        struct fixture *f;
        struct es_stream *es;
        atomic_int opened, closed, drained, dropped;
        atomic_int reason;
        int64_t first_dropped; /* offset */
        bool push_in_opened, close_in_opened, inside, nested;
        /* a run of events, fed as catch-up until it is refused */
        int64_t feed_at, feed_end;
        int results[4];
        int64_t sizes;
};

struct fixture {
        struct shard *shards[2];
        struct es_server *srv;
        struct metrics *metrics;
        struct es_options o;
        struct user users[8];
        struct intake *intake; /* of the test through the real front */
        struct http_server *http;
        bool refuse;
};

static struct msg *event(int64_t offset, size_t n)
{
        char id[32];
        snprintf(id, sizeof(id), "%lld", (long long)offset);
        char *data = xmalloc(n + 1);
        memset(data, 'd', n);
        struct msg *m = es_frame(SLICE_NONE, slice_str(id), slice_of(data, n));
        m->flags = MSG_EVENT;
        m->offset = offset;
        m->slot = 0;
        free(data);
        return m;
}

static int push_event(struct user *u, int64_t offset, size_t n, bool catchup)
{
        struct msg *m = event(offset, n);
        u->inside = true;
        int r = es_push(u->es, m, catchup);
        u->inside = false;
        msg_unref(m);
        return r;
}

static void feed_on(struct user *u)
{
        while (u->feed_at < u->feed_end) {
                int r = push_event(u, u->feed_at, 1000, true);
                if (r == -EAGAIN)
                        break;
                CHECK(r == 0);
                u->feed_at++;
        }
        es_flush(u->es);
}

static void on_opened(void *app, struct es_stream *s, void *user)
{
        CHECK(app != NULL);
        struct user *u = user;
        u->es = s;
        if (u->push_in_opened)
                CHECK(push_event(u, 7, 5, false) == 0);
        if (u->close_in_opened)
                es_close(s, ES_CLOSE_TOKEN);
        atomic_fetch_add(&u->opened, 1);
}

static void on_closed(void *app, struct es_stream *s, void *user, int reason)
{
        UNUSED(app);
        UNUSED(s);
        struct user *u = user;
        u->nested |= u->inside;
        u->es = NULL;
        atomic_store(&u->reason, reason);
        atomic_fetch_add(&u->closed, 1);
}

static void on_drained(void *app, struct es_stream *s, void *user)
{
        UNUSED(app);
        UNUSED(s);
        struct user *u = user;
        u->nested |= u->inside;
        atomic_fetch_add(&u->drained, 1);
        if (u->feed_end)
                feed_on(u);
}

static void on_dropped(void *app, struct es_stream *s, void *user, const struct msg *first)
{
        UNUSED(app);
        UNUSED(s);
        struct user *u = user;
        u->first_dropped = first->offset;
        atomic_fetch_add(&u->dropped, 1);
}

static const struct es_ops ops = {
        .opened = on_opened, .closed = on_closed, .drained = on_drained, .dropped = on_dropped};
static const struct es_options usual = {.heartbeat_ms = 10000,
        .retry_ms = 2000,
        .retry_jitter_ms = 500,
        .stall_ms = 10000,
        .outbox_bytes_max = 65536,
        .catchup_bytes_max = 8192};

static struct fixture *start(const struct es_options *o)
{
        struct fixture *f = xcalloc(1, sizeof(*f));
        f->o = *o;
        f->metrics = metrics_new(METRICS_ALL);
        void *apps[2] = {f, f};
        for (unsigned i = 0; i < 2; i++)
                assert_int_equal(shard_new(i, NULL, NULL, NULL, NULL, &f->shards[i]), 0);
        for (size_t i = 0; i < ARRAY_LEN(f->users); i++)
                f->users[i].f = f;
        assert_int_equal(es_server_new(&f->o, &ops, f->shards, apps, 2, f->metrics, &f->srv), 0);
        return f;
}

static int64_t streams_shown(const struct fixture *f, const char *label)
{
        return metrics_get(
                f->metrics, M_connections, (unsigned)metrics_label(M_connections, label));
}

static void stop(struct fixture *f)
{
        es_server_stop(f->srv);
        assert_int_equal(es_server_connections(f->srv), 0);
        for (size_t i = 0; i < ARRAY_LEN(f->users); i++) {
                assert_int_equal(f->users[i].closed, f->users[i].opened);
                assert_false(f->users[i].nested);
        }
        assert_int_equal(streams_shown(f, "sse,joined") + streams_shown(f, "sse,closing"), 0);
        assert_int_equal(metrics_get(f->metrics, M_entries_used, ENTRIES_CONNECTIONS), 0);
        for (unsigned i = 0; i < 2; i++)
                shard_free(f->shards[i]);
        es_server_free(f->srv);
        metrics_free(f->metrics);
        free(f);
}

static int open_stream(struct fixture *f, unsigned i, int small_buffer)
{
        int fds[2];
        tcp_pair(fds);
        if (small_buffer) {
                setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small_buffer, sizeof(small_buffer));
                setsockopt(fds[0], SOL_SOCKET, SO_RCVBUF, &small_buffer, sizeof(small_buffer));
        }
        struct http_handover ho = {.fd = fds[1], .keep_alive = true, .client_addr = "127.0.0.1"};
        int r = es_open(
                f->srv, &ho, i % 2, SLICE_LIT("Access-Control-Allow-Origin: *\r\n"), &f->users[i]);
        assert_int_equal(r, 0);
        assert_int_equal(ho.fd, -1);
        assert_true(wait_for_count(&f->users[i].opened, 1, 1000));
        return fds[0];
}

static void on_user(struct fixture *f, unsigned i, void (*fn)(struct shard *, void *))
{
        on_shard(f->shards[i % 2], fn, &f->users[i]);
}

/* Reads the stream to its end until needle has come, or for a time: whether every block is
 * whole, and the ids in it. */
struct reading {
        char *p;
        size_t n;
        int ended;
        unsigned events;
        int64_t last_id;
        bool ordered;
};

static void read_stream(struct reading *rd, int fd, size_t cap, int ms, const char *needle)
{
        rd->p = xmalloc(cap);
        rd->n = read_until(fd, rd->p, cap, ms, needle, &rd->ended);
        rd->events = 0;
        rd->last_id = -1;
        rd->ordered = true;
        for (char *at = rd->p; (at = strstr(at, "\nid: ")); at += 5) {
                int64_t id = strtoll(at + 5, NULL, 10);
                rd->ordered &= id > rd->last_id;
                rd->last_id = id;
                rd->events++;
        }
}

static void push_huge(struct shard *sh, void *arg)
{
        UNUSED(sh);
        struct user *u = arg;
        u->results[0] = push_event(u, 1, 200000, false);
        es_flush(u->es);
}

#endif
