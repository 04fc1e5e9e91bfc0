#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/metrics.h"
#include "http/handover.h"
#include "http/server.h"
#include "net/intake.h"
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
        struct intake *intake;
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

static const struct es_ops ops = {.opened = on_opened, .closed = on_closed, .drained = on_drained, .dropped = on_dropped};
static const struct es_options usual = {
        .heartbeat_ms = 10000, .retry_ms = 2000, .retry_jitter_ms = 500, .stall_ms = 10000, .outbox_bytes_max = 65536, .catchup_bytes_max = 8192};

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

static void stop(struct fixture *f)
{
        es_server_stop(f->srv);
        assert_int_equal(es_server_connections(f->srv), 0);
        for (size_t i = 0; i < ARRAY_LEN(f->users); i++) {
                assert_int_equal(f->users[i].closed, f->users[i].opened);
                assert_false(f->users[i].nested);
        }
        assert_int_equal(metrics_get(f->metrics, M_connections, (unsigned)metrics_label(M_connections, "sse")), 0);
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
        int r = es_open(f->srv, &ho, i % 2, SLICE_LIT("Access-Control-Allow-Origin: *\r\n"), &f->users[i]);
        assert_int_equal(r, 0);
        assert_int_equal(ho.fd, -1);
        assert_true(wait_for_count(&f->users[i].opened, 1, 1000));
        return fds[0];
}

static void on_user(struct fixture *f, unsigned i, void (*fn)(struct shard *, void *))
{
        on_shard(f->shards[i % 2], fn, &f->users[i]);
}

/* Reads the stream to its end or for a time: whether every block is whole, and the ids in it. */
struct reading {
        char *p;
        size_t n;
        int ended;
        unsigned events;
        int64_t last_id;
        bool ordered;
};

static void read_stream(struct reading *rd, int fd, size_t cap, int ms)
{
        rd->p = xmalloc(cap);
        rd->n = read_for(fd, rd->p, cap, ms, &rd->ended);
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

/* ---- the beginning ---- */

static void a_stream_begins_with_its_head_a_comment_and_retry(void **state)
{
        UNUSED(state);
        struct fixture *f = start(&usual);
        f->users[0].push_in_opened = true;
        int c = open_stream(f, 0, 0);
        char buf[1024];
        int ended;
        read_for(c, buf, sizeof(buf), 100, &ended);
        assert_int_equal(ended, 0);
        assert_memory_equal(buf, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n", 50);
        assert_non_null(strstr(buf, "\r\nCache-Control: no-cache, no-transform\r\n"));
        assert_non_null(strstr(buf, "\r\nX-Accel-Buffering: no\r\n"));
        assert_non_null(strstr(buf, "\r\nConnection: close\r\n"));
        assert_non_null(strstr(buf, "\r\nAccess-Control-Allow-Origin: *\r\n"));
        const char *body = strstr(buf, "\r\n\r\n");
        assert_non_null(body);
        assert_int_equal(body[4], ':');
        const char *retry = strstr(body, "\nretry: ");
        assert_non_null(retry);
        long ms = strtol(retry + 8, NULL, 10);
        assert_in_range(ms, 2000, 2500);
        assert_non_null(strstr(body, "id: 7\ndata: ddddd\n\n"));
        assert_int_equal(es_server_connections(f->srv), 1);
        close(c);
        assert_true(wait_for_count(&f->users[0].closed, 1, 1000));
        assert_int_equal(f->users[0].reason, ES_CLOSE_CLIENT);
        stop(f);
}

static void silence_is_filled_with_heartbeats(void **state)
{
        UNUSED(state);
        struct es_options o = usual;
        o.heartbeat_ms = 80;
        struct fixture *f = start(&o);
        int c = open_stream(f, 0, 0);
        char buf[2048];
        int ended;
        read_for(c, buf, sizeof(buf), 500, &ended);
        unsigned beats = 0;
        for (const char *at = buf; (at = strstr(at, ": hb\n\n")); at++)
                beats++;
        assert_in_range(beats, 4, 8);
        close(c);
        stop(f);
}

static void push_live(struct shard *sh, void *arg)
{
        UNUSED(sh);
        struct user *u = arg;
        for (int i = 0; i < 10; i++)
                CHECK(push_event(u, i, 20, false) == 0);
        es_flush(u->es);
}

static void events_arrive_in_order_and_what_the_client_says_is_ignored(void **state)
{
        UNUSED(state);
        struct fixture *f = start(&usual);
        int c = open_stream(f, 0, 0);
        send_text(c, "GET /again HTTP/1.1\r\n\r\n");
        on_user(f, 0, push_live);
        struct reading rd;
        read_stream(&rd, c, 8192, 100);
        assert_int_equal(rd.events, 10);
        assert_true(rd.ordered);
        free(rd.p);
        close(c);
        assert_true(wait_for_count(&f->users[0].closed, 1, 1000)); /* though its bytes were never read */
        stop(f);
}

/* ---- slow clients ---- */

static void start_feed(struct shard *sh, void *arg)
{
        UNUSED(sh);
        struct user *u = arg;
        u->feed_end = 3000;
        feed_on(u);
}

static void look(struct shard *sh, void *arg)
{
        UNUSED(sh);
        struct user *u = arg;
        u->sizes = u->feed_at;
}

static void a_catch_up_is_paced_by_the_client(void **state)
{
        UNUSED(state);
        struct fixture *f = start(&usual);
        int c = open_stream(f, 0, 32768);
        on_user(f, 0, start_feed);
        usleep(100000);
        on_user(f, 0, look);
        assert_true(f->users[0].sizes < 200); /* kernel's buffers and catchup_bytes_max, no more */
        struct reading rd;
        read_stream(&rd, c, 8u << 20, 1500);
        assert_int_equal(rd.events, 3000);
        assert_int_equal(rd.last_id, 2999);
        assert_true(rd.ordered);
        assert_true(f->users[0].drained > 10);
        assert_int_equal(f->users[0].dropped, 0);
        free(rd.p);
        close(c);
        stop(f);
}

static void push_too_much(struct shard *sh, void *arg)
{
        UNUSED(sh);
        struct user *u = arg;
        for (int64_t i = 0; i < 20000; i++) {
                int r = push_event(u, i, 1000, false);
                es_flush(u->es);
                if (r == -ENOBUFS) {
                        u->feed_at = i;
                        break;
                }
                CHECK(r == 0);
        }
        /* Volatile ones are not owed to who is slow; answers are. */
        struct msg *m = es_frame(SLICE_LIT("typing"), SLICE_NONE, SLICE_LIT("volatile"));
        m->flags = MSG_VOLATILE;
        u->results[0] = es_push(u->es, m, false);
        msg_unref(m);
        m = es_frame(SLICE_LIT("gap"), SLICE_NONE, SLICE_LIT("{}"));
        u->results[1] = es_push(u->es, m, false);
        msg_unref(m);
}

static void a_full_outbox_is_dropped_to_the_cursor_and_nothing_is_cut(void **state)
{
        UNUSED(state);
        struct fixture *f = start(&usual);
        struct user *u = &f->users[0];
        int c = open_stream(f, 0, 32768);
        on_user(f, 0, push_too_much);
        assert_int_equal(u->dropped, 1);
        assert_true(u->first_dropped > 0 && u->first_dropped < u->feed_at);
        assert_int_equal(u->results[0], 0);
        assert_int_equal(u->results[1], 0);
        assert_int_equal(u->drained, 0);
        struct reading rd;
        read_stream(&rd, c, 8u << 20, 800);
        assert_true(wait_for_count(&u->drained, 1, 1000));
        /* All before the first one that was dropped has come, whole, and the answer after it. */
        assert_int_equal(rd.last_id, u->first_dropped - 1);
        assert_int_equal(rd.events, u->first_dropped);
        assert_true(rd.ordered);
        assert_non_null(strstr(rd.p, "event: gap\ndata: {}\n\n"));
        assert_null(strstr(rd.p, "volatile"));
        free(rd.p);
        close(c);
        stop(f);
}

static void push_huge(struct shard *sh, void *arg)
{
        UNUSED(sh);
        struct user *u = arg;
        u->results[0] = push_event(u, 1, 200000, false);
        es_flush(u->es);
}

static void a_block_longer_than_the_outbox_still_goes_through(void **state)
{
        UNUSED(state);
        struct fixture *f = start(&usual);
        int c = open_stream(f, 0, 32768);
        usleep(20000);
        on_user(f, 0, push_huge);
        assert_int_equal(f->users[0].results[0], 0);
        struct reading rd;
        read_stream(&rd, c, 1u << 20, 500);
        assert_int_equal(rd.events, 1);
        assert_true(rd.n > 200000);
        free(rd.p);
        close(c);
        stop(f);
}

static void a_client_that_reads_nothing_is_closed(void **state)
{
        UNUSED(state);
        struct es_options o = usual;
        o.stall_ms = 300;
        struct fixture *f = start(&o);
        int c = open_stream(f, 0, 32768);
        usleep(200000); /* silence before is no stall */
        int64_t before = clock_mono_ms();
        on_user(f, 0, push_huge);
        assert_true(wait_for_count(&f->users[0].closed, 1, 2000));
        assert_true(clock_mono_ms() - before >= 290);
        assert_int_equal(f->users[0].reason, ES_CLOSE_STALLED);
        close(c);
        stop(f);
}

static void push_answers(struct shard *sh, void *arg)
{
        UNUSED(sh);
        struct user *u = arg;
        char *data = xmalloc(10000);
        memset(data, 'x', 10000);
        struct msg *m = es_frame(SLICE_LIT("answer"), SLICE_NONE, slice_of(data, 10000));
        for (int i = 0; i < 2000; i++) {
                CHECK(es_push(u->es, m, false) == 0);
                es_flush(u->es);
        }
        msg_unref(m);
        free(data);
}

static void what_may_not_be_dropped_ends_the_stream_at_the_bound(void **state)
{
        UNUSED(state);
        struct fixture *f = start(&usual);
        int c = open_stream(f, 0, 32768);
        on_user(f, 0, push_answers);
        struct reading rd;
        read_stream(&rd, c, 32u << 20, 3000);
        assert_int_equal(rd.ended, 1);
        assert_memory_equal(rd.p + rd.n - 3, "x\n\n", 3);
        assert_true(wait_for_count(&f->users[0].closed, 1, 3000));
        assert_int_equal(f->users[0].reason, ES_CLOSE_LIMIT);
        free(rd.p);
        close(c);
        stop(f);
}

/* ---- the end ---- */

static void close_it(struct shard *sh, void *arg)
{
        UNUSED(sh);
        struct user *u = arg;
        u->inside = true;
        es_close(u->es, ES_CLOSE_KICK);
        es_close(u->es, ES_CLOSE_APP);
        CHECK(push_event(u, 99999, 10, false) == 0);
        es_flush(u->es);
        u->inside = false;
}

static void an_end_finishes_the_block_that_is_partly_written(void **state)
{
        UNUSED(state);
        struct fixture *f = start(&usual);
        int c = open_stream(f, 0, 32768);
        on_user(f, 0, push_huge);
        on_user(f, 0, close_it);
        usleep(20000);
        assert_int_equal(f->users[0].closed, 0);
        struct reading rd;
        read_stream(&rd, c, 1u << 20, 1000);
        assert_int_equal(rd.ended, 1);
        assert_int_equal(rd.events, 1);
        assert_true(rd.n > 200000);
        assert_memory_equal(rd.p + rd.n - 3, "d\n\n", 3);
        assert_null(strstr(rd.p, "99999"));
        assert_true(wait_for_count(&f->users[0].closed, 1, 1000));
        assert_int_equal(f->users[0].reason, ES_CLOSE_KICK);
        free(rd.p);
        close(c);
        stop(f);
}

static void a_client_that_does_not_take_the_last_block_is_reset(void **state)
{
        UNUSED(state);
        struct fixture *f = start(&usual);
        int c = open_stream(f, 0, 32768);
        on_user(f, 0, push_huge);
        on_user(f, 0, close_it);
        assert_true(wait_for_count(&f->users[0].closed, 1, 4000));
        struct reading rd;
        read_stream(&rd, c, 1u << 20, 500);
        assert_int_equal(rd.ended, -ECONNRESET); /* not an orderly end, which would glue the half block to the next */
        free(rd.p);
        close(c);
        stop(f);
}

static void a_stream_may_be_closed_where_it_opens(void **state)
{
        UNUSED(state);
        struct fixture *f = start(&usual);
        f->users[0].close_in_opened = true;
        int c = open_stream(f, 0, 0);
        struct reading rd;
        read_stream(&rd, c, 4096, 1000);
        assert_int_equal(rd.ended, 1);
        assert_non_null(strstr(rd.p, "retry: "));
        assert_true(wait_for_count(&f->users[0].closed, 1, 1000));
        assert_int_equal(f->users[0].reason, ES_CLOSE_TOKEN);
        free(rd.p);
        close(c);
        stop(f);
}

static void a_drain_ends_all_in_slices_and_sends_newcomers_away(void **state)
{
        UNUSED(state);
        struct fixture *f = start(&usual);
        int c[8];
        for (unsigned i = 0; i < 7; i++)
                c[i] = open_stream(f, i, 0);
        int64_t before = clock_mono_ms();
        es_server_drain(f->srv, 600);
        int fds[2];
        tcp_pair(fds);
        struct http_handover ho = {.fd = fds[1]};
        assert_int_equal(es_open(f->srv, &ho, 1, SLICE_NONE, &f->users[7]), 0);
        struct reading rd;
        read_stream(&rd, fds[0], 4096, 500);
        assert_int_equal(rd.ended, 1);
        assert_non_null(strstr(rd.p, "HTTP/1.1 200 OK"));
        assert_non_null(strstr(rd.p, "retry: "));
        free(rd.p);
        close(fds[0]);
        assert_true(wait_for_count(&f->users[7].closed, 1, 1000));
        assert_int_equal(f->users[7].opened, 0);
        f->users[7].opened = 1; /* for stop()'s sum */
        usleep(50000);
        assert_true(es_server_connections(f->srv) > 0);
        for (unsigned i = 0; i < 7; i++) {
                assert_true(wait_for_count(&f->users[i].closed, 1, 2000));
                assert_int_equal(f->users[i].reason, ES_CLOSE_DRAIN);
                close(c[i]);
        }
        assert_true(clock_mono_ms() - before < 1500);
        stop(f);
}

static void stopping_closes_all_and_waits(void **state)
{
        UNUSED(state);
        struct fixture *f = start(&usual);
        int c[8];
        for (unsigned i = 0; i < 8; i++)
                c[i] = open_stream(f, i, 0);
        es_server_stop(f->srv);
        for (unsigned i = 0; i < 8; i++) {
                assert_int_equal(f->users[i].closed, 1);
                close(c[i]);
        }
        int fds[2];
        tcp_pair(fds);
        struct http_handover ho = {.fd = fds[1]};
        assert_int_equal(es_open(f->srv, &ho, 0, SLICE_NONE, &f->users[0]), -ECANCELED);
        assert_int_equal(ho.fd, fds[1]);
        http_handover_done(&ho);
        close(fds[0]);
        stop(f);
}

/* ---- through the real front ---- */

static void get_stream(void *arg, struct http_request *rq)
{
        struct fixture *f = arg;
        struct buf cors = BUF_EMPTY;
        http_cors_headers(rq, &cors);
        if (f->refuse) {
                es_come_back(f->srv, rq, buf_slice(&cors));
        } else {
                struct http_handover ho;
                http_handover_take(rq, &ho);
                if (es_open(f->srv, &ho, 0, buf_slice(&cors), &f->users[0]) < 0)
                        fail();
                http_handover_done(&ho);
        }
        buf_done(&cors);
}

static bool feed_head(void *arg, int fd, const char *client_addr)
{
        return http_server_feed(((struct fixture *)arg)->http, fd, client_addr);
}

static void rest_socket(void *arg, int fd, const char *client_addr)
{
        intake_rest(((struct fixture *)arg)->intake, fd, client_addr);
}

static unsigned count_of(const char *text, const char *what)
{
        unsigned n = 0;
        while ((text = strstr(text, what))) {
                n++;
                text++;
        }
        return n;
}

static void the_whole_way_from_the_port_to_the_stream(void **state)
{
        UNUSED(state);
        struct fixture *f = start(&usual);
        struct http_settings hs = {.workers = 2, .body_ms = 1000, .reply_ms = 1000, .body_bytes_max = 10000, .head_bytes_max = 16384, .origins = (char *)(uintptr_t)"*"};
        struct http_options ho = {.settings = &hs, .rest = rest_socket, .rest_arg = f};
        assert_int_equal(http_server_new(&ho, &f->http), 0);
        http_route(f->http, "GET", "/stream/:id", get_stream, f);
        assert_int_equal(http_server_start(f->http), 0);
        struct intake_options io = {.bind = "127.0.0.1", .head_ms = 1000, .idle_ms = 1000, .head_bytes_max = 16384, .feed = feed_head, .arg = f};
        uint32_t port;
        assert_int_equal(intake_new(&io, f->shards, 2, &f->intake, &port), 0);
        assert_int_equal(intake_open(f->intake), 0);
        f->refuse = true;
        int c = tcp_connect(port);
        send_text(c, "GET /stream/1 HTTP/1.1\r\nHost: x\r\nOrigin: http://page\r\n\r\n");
        struct reading rd;
        read_stream(&rd, c, 4096, 200);
        assert_memory_equal(rd.p, "HTTP/1.1 200 OK\r\n", 17);
        assert_non_null(strstr(rd.p, "Content-Type: text/event-stream\r\n"));
        assert_non_null(strstr(rd.p, "retry: "));
        assert_int_equal(count_of(rd.p, "Access-Control-Allow-Origin"), 1);
        free(rd.p);
        f->refuse = false;
        send_text(c, "GET /stream/1 HTTP/1.1\r\nHost: x\r\nOrigin: http://page\r\n\r\n"); /* the same socket, kept alive */
        read_stream(&rd, c, 4096, 300);
        assert_int_equal(rd.ended, 0);
        assert_non_null(strstr(rd.p, "retry: "));
        assert_int_equal(count_of(rd.p, "Access-Control-Allow-Origin"), 1);
        free(rd.p);
        close(c);
        assert_true(wait_for_count(&f->users[0].closed, 1, 1000));
        intake_shut(f->intake);
        http_server_free(f->http);
        struct intake *in = f->intake;
        stop(f);
        intake_free(in);
}

static void a_block_carries_event_id_and_every_line_of_its_data(void **state)
{
        UNUSED(state);
        struct msg *m = es_frame(SLICE_LIT("note"), SLICE_LIT("1.1.2.1.3"), SLICE_LIT("a\r\nb\n c"));
        assert_true(slice_is(slice_of(m->bytes, m->ws_n), "event: note\nid: 1.1.2.1.3\ndata: a\ndata: b\ndata:  c\n\n"));
        msg_unref(m);
        m = es_frame(SLICE_NONE, SLICE_LIT("5"), SLICE_NONE);
        assert_true(slice_is(slice_of(m->bytes, m->ws_n), "id: 5\n\n"));
        msg_unref(m);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_block_carries_event_id_and_every_line_of_its_data),
                cmocka_unit_test(a_stream_begins_with_its_head_a_comment_and_retry),
                cmocka_unit_test(silence_is_filled_with_heartbeats),
                cmocka_unit_test(events_arrive_in_order_and_what_the_client_says_is_ignored),
                cmocka_unit_test(a_catch_up_is_paced_by_the_client),
                cmocka_unit_test(a_full_outbox_is_dropped_to_the_cursor_and_nothing_is_cut),
                cmocka_unit_test(a_block_longer_than_the_outbox_still_goes_through),
                cmocka_unit_test(a_client_that_reads_nothing_is_closed),
                cmocka_unit_test(what_may_not_be_dropped_ends_the_stream_at_the_bound),
                cmocka_unit_test(an_end_finishes_the_block_that_is_partly_written),
                cmocka_unit_test(a_client_that_does_not_take_the_last_block_is_reset),
                cmocka_unit_test(a_stream_may_be_closed_where_it_opens),
                cmocka_unit_test(a_drain_ends_all_in_slices_and_sends_newcomers_away),
                cmocka_unit_test(stopping_closes_all_and_waits),
                cmocka_unit_test(the_whole_way_from_the_port_to_the_stream),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
