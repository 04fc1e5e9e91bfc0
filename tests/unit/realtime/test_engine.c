/* Sessions on a real shard whose clients are the other ends of socket pairs: bounds, stalls,
 * draining, the end. */
#include "realtime/engine_internal.h"

#include "realtime/frames.h"

#include "base/clock.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define BOUND 65536
#define CATCHUP 16384

struct world {
        struct lifecycle lifecycle;
        struct shard *shard;
        struct engine_server *srv;
        struct metrics *metrics;
        pthread_mutex_t lock;
        pthread_cond_t ran;
        /* On the shard's thread, or after on_shard(). */
        struct engine_session *session;
        int opened, closed, drained, dropped, messages, rested;
        bool dropped_first;
        enum engine_close_reason reason;
};

/* ---- running something on the shard ---- */

struct visit {
        struct mail mail;
        struct world *w;
        void (*fn)(struct world *w, void *arg);
        void *arg;
        bool done;
};

static void run_visit(struct mail *m)
{
        struct visit *v = container_of(m, struct visit, mail);
        if (v->fn)
                v->fn(v->w, v->arg);
        pthread_mutex_lock(&v->w->lock);
        v->done = true;
        pthread_cond_signal(&v->w->ran);
        pthread_mutex_unlock(&v->w->lock);
}

static void on_shard(struct world *w, void (*fn)(struct world *w, void *arg), void *arg)
{
        struct visit v = {.mail = {.run = run_visit}, .w = w, .fn = fn, .arg = arg};
        assert_true(mailbox_post(shard_mailbox(w->shard), &v.mail));
        pthread_mutex_lock(&w->lock);
        while (!v.done)
                pthread_cond_wait(&w->ran, &w->lock);
        pthread_mutex_unlock(&w->lock);
}

/* The shard has gone through whole turns. */
static void settle(struct world *w)
{
        for (int i = 0; i < 3; i++)
                on_shard(w, NULL, NULL);
}

static bool within(struct world *w, int ms, bool (*is)(struct world *w))
{
        for (int64_t until = clock_mono_ms() + ms;;) {
                settle(w);
                if (is(w))
                        return true;
                if (clock_mono_ms() > until)
                        return false;
                usleep(1000);
        }
}

/* ---- the application ---- */

static void on_opened(void *app, struct engine_session *s)
{
        struct world *w = app;
        w->session = s;
        w->opened++;
}

static void on_message(void *app, struct engine_session *s, struct slice data, bool binary)
{
        struct world *w = app;
        UNUSED(s);
        UNUSED(data);
        UNUSED(binary);
        w->messages++;
}

static void on_closed(void *app, struct engine_session *s, enum engine_close_reason reason)
{
        struct world *w = app;
        w->closed++;
        w->reason = reason;
        if (w->session == s)
                w->session = NULL;
}

static void on_drained(void *app, struct engine_session *s)
{
        struct world *w = app;
        UNUSED(s);
        w->drained++;
}

static void on_dropped(void *app, struct engine_session *s, const struct msg *first)
{
        struct world *w = app;
        UNUSED(s);
        w->dropped++;
        w->dropped_first = first && first->offset == 0;
}

static void on_rest(void *arg, int fd, const char *client_addr)
{
        struct world *w = arg;
        UNUSED(client_addr);
        w->rested++;
        close(fd);
}

static int set_up(void **state)
{
        struct world *w = calloc(1, sizeof(*w));
        pthread_mutex_init(&w->lock, NULL);
        pthread_cond_init(&w->ran, NULL);
        lifecycle_init(&w->lifecycle);
        w->metrics = metrics_new(METRICS_MESSAGING);
        static const struct engine_ops ops = {.opened = on_opened,
                .message = on_message,
                .closed = on_closed,
                .drained = on_drained,
                .dropped = on_dropped};
        struct engine_options o = {
                .path = "/e/",
                .ping_interval_ms = 25000,
                .ping_timeout_ms = 20000,
                .upgrade_timeout_ms = 100,
                .stall_ms = 200,
                .max_payload = 1000000,
                .outbox_bytes_max = BOUND,
                .catchup_bytes_max = CATCHUP,
                .origins = "",
                .rest = on_rest,
                .rest_arg = w,
        };
        if (shard_new(0, &w->lifecycle, NULL, NULL, NULL, &w->shard) < 0)
                return -1;
        void *apps[] = {w};
        *state = w;
        return engine_server_new(&o, &ops, &w->shard, apps, 1, w->metrics, &w->srv);
}

static int tear_down(void **state)
{
        struct world *w = *state;
        engine_server_stop(w->srv);
        int undone = w->opened - w->closed;
        w->shard = shard_free(w->shard);
        engine_server_free(w->srv);
        int64_t left = metrics_get(w->metrics, M_entries_used, ENTRIES_CONNECTIONS);
        for (unsigned label = 0; label < 6; label++)
                left += metrics_get(w->metrics, M_connections, label) != 0;
        metrics_free(w->metrics);
        lifecycle_done(&w->lifecycle);
        pthread_mutex_destroy(&w->lock);
        pthread_cond_destroy(&w->ran);
        free(w);
        return undone || left ? -1 : 0;
}

/* ---- clients ---- */

static int arrive(struct world *w, enum arrival_kind kind, const uint8_t *sid)
{
        int fds[2], small = 4096;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        (void)setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
        struct arrival *a = calloc(1, sizeof(*a));
        a->es = &w->srv->shards[0];
        a->kind = kind;
        a->ho.fd = fds[1];
        a->ho.keep_alive = true;
        if (sid)
                memcpy(a->sid, sid, ENGINE_SID_BYTES);
        else
                a->hello = hello_new(&(struct engine_handshake){.query = SLICE_LIT("a=1")});
        arrival_post(a);
        settle(w);
        return fds[0];
}

static size_t read_all(struct world *w, int fd, char *to, size_t cap)
{
        size_t n = 0;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        while (n < cap && poll(&p, 1, 50) == 1) {
                ssize_t got = read(fd, to + n, cap - n);
                if (got <= 0)
                        break;
                n += (size_t)got;
                settle(w);
        }
        return n;
}

static char input[4 << 20];

static void swallow_handshake(struct world *w, int fd)
{
        size_t n = read_all(w, fd, input, sizeof(input));
        assert_true(n > 2 && input[0] == '\x81' && input[2] == '0');
}

/* Whole frames only, each a text of n bytes; returns how many. */
static int whole_frames(size_t bytes, size_t n)
{
        int count = 0;
        for (size_t at = 0; at < bytes; count++) {
                assert_int_equal((unsigned char)input[at], 0x81);
                assert_int_equal((unsigned char)input[at + 1], 126);
                size_t len =
                        (size_t)(unsigned char)input[at + 2] << 8 | (unsigned char)input[at + 3];
                assert_int_equal(len, n);
                at += 4 + len;
                assert_true(at <= bytes);
        }
        return count;
}

/* ---- pushing ---- */

#define PIECE 1000

struct push {
        uint32_t flags;
        bool catchup;
        int times; /* at most; stops at the first that is refused */
        int done, result;
};

static void push_some(struct world *w, void *arg)
{
        struct push *p = arg;
        char text[PIECE];
        memset(text, 'x', sizeof(text));
        for (p->done = 0, p->result = 0; p->done < p->times && p->result == 0;
                p->done += p->result == 0) {
                struct msg *m = frame_packet(slice_of(text, sizeof(text)), NULL, 0);
                m->flags = p->flags;
                m->offset = p->done;
                p->result = engine_push(w->session, m, p->catchup);
                msg_unref(m);
        }
        if (w->session)
                engine_flush(w->session);
}

static int64_t shown(const struct world *w, const char *label)
{
        return metrics_get(
                w->metrics, M_connections, (unsigned)metrics_label(M_connections, label));
}

static void join(struct world *w, void *arg)
{
        UNUSED(arg);
        engine_joined(w->session);
}

static void a_client_that_reads_gets_all_in_whole_frames(void **state)
{
        struct world *w = *state;
        int fd = arrive(w, ARRIVAL_WS_HANDSHAKE, NULL);
        swallow_handshake(w, fd);
        struct push p = {.flags = MSG_EVENT, .times = 50};
        on_shard(w, push_some, &p);
        assert_int_equal(p.done, 50);
        assert_int_equal(whole_frames(read_all(w, fd, input, sizeof(input)), PIECE), 50);
        assert_int_equal(w->dropped, 0);
        assert_int_equal(shown(w, "websocket,connecting"), 1);
        on_shard(w, join, NULL);
        assert_int_equal(shown(w, "websocket,connecting"), 0);
        assert_int_equal(shown(w, "websocket,joined"), 1);
        assert_int_equal(metrics_get(w->metrics, M_entries_used, ENTRIES_CONNECTIONS), 1);
        close(fd);
}

static void at_the_bound_events_are_dropped_and_no_frame_is_cut(void **state)
{
        struct world *w = *state;
        int fd = arrive(w, ARRIVAL_WS_HANDSHAKE, NULL);
        swallow_handshake(w, fd);
        struct push p = {.flags = MSG_EVENT, .times = 1000};
        on_shard(w, push_some, &p);
        assert_int_equal(p.result, -ENOBUFS);
        assert_int_equal(w->dropped, 1);
        assert_true(w->dropped_first);
        assert_true(p.done >= BOUND / (PIECE + 4) && p.done < 80);
        settle(w);
        assert_int_equal(w->drained, 1);
        whole_frames(read_all(w, fd, input, sizeof(input)), PIECE);
        p.times = 1;
        on_shard(w, push_some, &p);
        assert_int_equal(p.result, 0);
        assert_int_equal(whole_frames(read_all(w, fd, input, sizeof(input)), PIECE), 1);
        close(fd);
}

static bool is_drained(struct world *w)
{
        return w->drained > 0;
}

static void catching_up_is_paced(void **state)
{
        struct world *w = *state;
        int fd = arrive(w, ARRIVAL_WS_HANDSHAKE, NULL);
        swallow_handshake(w, fd);
        struct push p = {.flags = MSG_EVENT, .catchup = true, .times = 1000};
        on_shard(w, push_some, &p);
        assert_int_equal(p.result, -EAGAIN);
        int queued = p.done, all = p.done;
        assert_true(queued <= CATCHUP / PIECE + 1);
        for (int round = 0; all < 200; round++) {
                size_t n = read_all(w, fd, input, sizeof(input));
                whole_frames(n, PIECE);
                assert_true(within(w, 1000, is_drained));
                w->drained = 0;
                on_shard(w, push_some, &p);
                all += p.done;
                assert_true(round < 100);
        }
        assert_int_equal(w->dropped, 0);
        close(fd);
}

static void what_nobody_is_owed_is_dropped_when_it_cannot_go(void **state)
{
        struct world *w = *state;
        int fd = arrive(w, ARRIVAL_WS_HANDSHAKE, NULL);
        swallow_handshake(w, fd);
        struct push p = {.flags = MSG_EVENT, .times = 30};
        on_shard(w, push_some, &p);
        struct push v = {.flags = MSG_VOLATILE, .times = 100};
        on_shard(w, push_some, &v);
        assert_int_equal(v.done, 100);
        assert_int_equal(w->dropped, 0);
        assert_int_equal(whole_frames(read_all(w, fd, input, sizeof(input)), PIECE), 30);
        close(fd);
}

static void answers_that_nobody_reads_end_the_session(void **state)
{
        struct world *w = *state;
        int fd = arrive(w, ARRIVAL_WS_HANDSHAKE, NULL);
        swallow_handshake(w, fd);
        struct push p = {.flags = 0, .times = 1000};
        on_shard(w, push_some, &p);
        settle(w);
        assert_int_equal(w->closed, 1);
        assert_int_equal(w->reason, ENGINE_CLOSE_LIMIT);
        close(fd);
}

static bool is_closed(struct world *w)
{
        return w->closed > 0;
}

static void no_progress_is_a_stall(void **state)
{
        struct world *w = *state;
        int fd = arrive(w, ARRIVAL_WS_HANDSHAKE, NULL);
        swallow_handshake(w, fd);
        struct push p = {.flags = MSG_EVENT, .times = 30};
        int64_t t = clock_mono_ms();
        on_shard(w, push_some, &p);
        assert_true(within(w, 1000, is_closed));
        assert_int_equal(w->reason, ENGINE_CLOSE_STALLED);
        assert_true(clock_mono_ms() - t >= 200);
        close(fd);
}

static void a_poll_is_answered_and_its_socket_given_back(void **state)
{
        struct world *w = *state;
        int fd = arrive(w, ARRIVAL_POLL_HANDSHAKE, NULL);
        size_t n = read_all(w, fd, input, sizeof(input) - 1);
        input[n] = '\0';
        assert_non_null(strstr(input, "HTTP/1.1 200 OK\r\n"));
        assert_non_null(strstr(input, "\r\n\r\n0{\"sid\":\""));
        assert_int_equal(w->rested, 1);
        close(fd);
        fd = arrive(w, ARRIVAL_POLL, w->session->sid);
        assert_int_equal(read_all(w, fd, input, sizeof(input)), 0);
        struct push p = {.flags = MSG_EVENT, .times = 2};
        on_shard(w, push_some, &p);
        n = read_all(w, fd, input, sizeof(input) - 1);
        input[n] = '\0';
        assert_non_null(strstr(input, "Content-Length: 2001\r\n"));
        assert_int_equal(w->rested, 2);
        close(fd);
}

static void a_poll_that_is_left_ends_the_session(void **state)
{
        struct world *w = *state;
        int fd = arrive(w, ARRIVAL_POLL_HANDSHAKE, NULL);
        read_all(w, fd, input, sizeof(input));
        close(fd);
        fd = arrive(w, ARRIVAL_POLL, w->session->sid);
        close(fd);
        assert_true(within(w, 500, is_closed));
        assert_int_equal(w->reason, ENGINE_CLOSE_TRANSPORT_CLOSE);
}

static void an_answer_that_nobody_takes_is_a_stall(void **state)
{
        struct world *w = *state;
        int fd = arrive(w, ARRIVAL_POLL_HANDSHAKE, NULL);
        read_all(w, fd, input, sizeof(input));
        close(fd);
        struct push p = {.flags = MSG_EVENT, .times = 60};
        on_shard(w, push_some, &p);
        fd = arrive(w, ARRIVAL_POLL, w->session->sid);
        int next = arrive(w, ARRIVAL_POLL, w->session->sid);
        assert_true(within(w, 1000, is_closed));
        assert_int_equal(w->reason, ENGINE_CLOSE_STALLED);
        size_t n = read_all(w, next, input, sizeof(input) - 1);
        input[n] = '\0';
        assert_non_null(strstr(input, "\r\n\r\n1"));
        close(fd);
        close(next);
}

static void an_upgrade_that_says_nothing_is_given_up(void **state)
{
        struct world *w = *state;
        int fd = arrive(w, ARRIVAL_POLL_HANDSHAKE, NULL);
        read_all(w, fd, input, sizeof(input));
        close(fd);
        int64_t t = clock_mono_ms();
        fd = arrive(w, ARRIVAL_WS, w->session->sid);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 1000), 1);
        assert_true(clock_mono_ms() - t >= 99);
        assert_int_equal(read_all(w, fd, input, sizeof(input)), 2);
        assert_memory_equal(input, "\x88\x00", 2);
        settle(w);
        assert_int_equal(w->closed, 0);
        close(fd);
}

static bool none_left(struct world *w)
{
        return engine_server_sessions(w->srv) == 0;
}

static void draining_closes_all_in_time(void **state)
{
        struct world *w = *state;
        int fds[40];
        for (int i = 0; i < 40; i++)
                fds[i] = arrive(w, ARRIVAL_WS_HANDSHAKE, NULL);
        assert_int_equal(engine_server_sessions(w->srv), 40);
        int64_t t = clock_mono_ms();
        engine_server_drain(w->srv, 1000);
        usleep(300000);
        settle(w);
        unsigned half_way = engine_server_sessions(w->srv);
        assert_true(half_way > 5 && half_way < 35);
        assert_true(within(w, 1500, none_left));
        assert_true(clock_mono_ms() - t < 1000);
        assert_int_equal(w->reason, ENGINE_CLOSE_DRAIN);
        for (int i = 0; i < 40; i++)
                close(fds[i]);
}

static void close_it(struct world *w, void *arg)
{
        UNUSED(arg);
        engine_send(w->session, frame_packet(SLICE_LIT("41"), NULL, 0));
        engine_close(w->session, ENGINE_CLOSE_KICK);
        assert_int_equal(w->closed, 0); /* never from inside the call */
}

static void a_closing_poll_is_told_all_and_then_1(void **state)
{
        struct world *w = *state;
        uint8_t sid[ENGINE_SID_BYTES];
        int fd = arrive(w, ARRIVAL_POLL_HANDSHAKE, NULL);
        read_all(w, fd, input, sizeof(input));
        close(fd);
        memcpy(sid, w->session->sid, sizeof(sid));
        on_shard(w, close_it, NULL);
        settle(w);
        assert_int_equal(shown(w, "polling,connecting"), 0);
        assert_int_equal(shown(w, "polling,closing"), 1);
        assert_int_equal(w->closed, 1);
        assert_int_equal(w->reason, ENGINE_CLOSE_KICK);
        fd = arrive(w, ARRIVAL_POLL, sid);
        size_t n = read_all(w, fd, input, sizeof(input) - 1);
        input[n] = '\0';
        assert_non_null(strstr(input, "\r\n\r\n41\x1e"
                                      "1"));
        close(fd);
        fd = arrive(w, ARRIVAL_POLL, sid);
        n = read_all(w, fd, input, sizeof(input) - 1);
        input[n] = '\0';
        assert_non_null(strstr(input, "{\"code\":1,\"message\":\"Session ID unknown\"}"));
        close(fd);
}

static void trim(struct world *w, void *arg)
{
        struct engine_handshake *hs = arg;
        engine_handshake_trim(w->session);
        engine_handshake_get(w->session, hs);
}

static void a_trimmed_handshake_keeps_what_a_second_connect_needs(void **state)
{
        struct world *w = *state;
        int fd = arrive(w, ARRIVAL_WS_HANDSHAKE, NULL);
        struct engine_handshake hs;
        on_shard(w, trim, &hs);
        assert_true(slice_is(hs.query, "a=1"));
        assert_int_equal(hs.origin.n, 0);
        close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(a_client_that_reads_gets_all_in_whole_frames),
                TEST(at_the_bound_events_are_dropped_and_no_frame_is_cut),
                TEST(catching_up_is_paced),
                TEST(what_nobody_is_owed_is_dropped_when_it_cannot_go),
                TEST(answers_that_nobody_reads_end_the_session),
                TEST(no_progress_is_a_stall),
                TEST(a_poll_is_answered_and_its_socket_given_back),
                TEST(a_poll_that_is_left_ends_the_session),
                TEST(an_answer_that_nobody_takes_is_a_stall),
                TEST(an_upgrade_that_says_nothing_is_given_up),
                TEST(draining_closes_all_in_time),
                TEST(a_closing_poll_is_told_all_and_then_1),
                TEST(a_trimmed_handshake_keeps_what_a_second_connect_needs),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
