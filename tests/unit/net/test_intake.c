#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/intake.h"
#include "on_shard.h"

#include <pthread.h>
#include <sys/resource.h>

#define FEEDS_MAX 4096

struct fixture {
        struct shard *shards[2];
        struct intake *in;
        struct metrics *metrics;
        uint32_t port;
        atomic_int fed, refusals_left, tries, lines, claimed_fd;
        struct shard *claimed_sh;
        int fds[FEEDS_MAX];
        char addrs[64];
        pthread_mutex_t lock;
};

static bool feed(void *arg, int fd, const char *client_addr)
{
        struct fixture *f = arg;
        atomic_fetch_add(&f->tries, 1);
        if (atomic_load(&f->refusals_left) > 0) {
                atomic_fetch_sub(&f->refusals_left, 1);
                return false;
        }
        pthread_mutex_lock(&f->lock);
        int i = atomic_load(&f->fed);
        CHECK(i < FEEDS_MAX);
        f->fds[i] = fd;
        snprintf(f->addrs, sizeof(f->addrs), "%s", client_addr);
        atomic_store(&f->fed, i + 1);
        pthread_mutex_unlock(&f->lock);
        return true;
}

static struct fixture *open_with(const struct intake_options *like)
{
        struct fixture *f = xcalloc(1, sizeof(*f));
        pthread_mutex_init(&f->lock, NULL);
        f->metrics = metrics_new(METRICS_ALL);
        for (unsigned i = 0; i < 2; i++)
                assert_int_equal(shard_new(i, NULL, NULL, NULL, NULL, &f->shards[i]), 0);
        struct intake_options o = *like;
        o.bind = "127.0.0.1";
        o.feed = feed;
        o.arg = f;
        o.metrics = f->metrics;
        assert_int_equal(intake_new(&o, f->shards, 2, &f->in, &f->port), 0);
        assert_true(f->port > 0);
        assert_int_equal(tcp_connect(f->port), -1); /* bound, but not listening */
        assert_int_equal(intake_open(f->in), 0);
        return f;
}

static const struct intake_options usual = {
        .head_ms = 5000, .idle_ms = 5000, .head_bytes_max = 16384};

static void shut(struct fixture *f)
{
        intake_shut(f->in);
        intake_shut(f->in);
        assert_int_equal(metrics_get(f->metrics, M_intake_waiting, 0), 0);
        for (unsigned i = 0; i < 2; i++)
                shard_free(f->shards[i]);
        intake_free(f->in);
        for (int i = 0; i < f->fed; i++)
                if (f->fds[i] >= 0)
                        close(f->fds[i]);
        metrics_free(f->metrics);
        free(f);
}

static int64_t expired(struct fixture *f, const char *why)
{
        return metrics_get(
                f->metrics, M_intake_expired, (unsigned)metrics_label(M_intake_expired, why));
}

static bool wait_for_rest(struct fixture *f, int64_t n)
{
        int64_t until = clock_mono_ms() + 3000;
        while (metrics_get(f->metrics, M_intake_waiting, 0) != n) {
                if (clock_mono_ms() > until)
                        return false;
                usleep(1000);
        }
        assert_int_equal(metrics_get(f->metrics, M_entries_used, ENTRIES_HEADS), n);
        return true;
}

static void a_whole_head_is_handed_over_unread(void **state)
{
        UNUSED(state);
        struct fixture *f = open_with(&usual);
        int c = tcp_connect(f->port);
        send_text(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\nbody");
        assert_true(wait_for_count(&f->fed, 1, 1000));
        assert_string_equal(f->addrs, "127.0.0.1");
        char buf[128];
        assert_int_equal(recv(f->fds[0], buf, sizeof(buf), MSG_DONTWAIT), 31);
        assert_memory_equal(buf + 27, "body", 4);
        close(c);
        shut(f);
}

static void a_head_that_dribbles_is_handed_over_when_it_is_whole(void **state)
{
        UNUSED(state);
        struct fixture *f = open_with(&usual);
        const char *head = "\r\nGET /slow HTTP/1.1\r\nHost: example\r\nX-Long: "
                           "abcdefghijklmnopqrstuvwxyz\r\n\r\n";
        int c = tcp_connect(f->port);
        for (const char *p = head; *p; p++) {
                assert_int_equal(f->fed, 0);
                assert_int_equal(send(c, p, 1, 0), 1);
                usleep(2000);
        }
        assert_true(wait_for_count(&f->fed, 1, 1000));
        close(c);
        shut(f);
}

static void a_head_too_long_gets_431(void **state)
{
        UNUSED(state);
        struct intake_options o = usual;
        o.head_bytes_max = 1000;
        struct fixture *f = open_with(&o);
        int c = tcp_connect(f->port);
        char block[4000];
        memset(block, 'a', sizeof(block));
        memcpy(block, "GET / HTTP/1.1\r\nX: ", 19);
        assert_int_equal(send(c, block, sizeof(block), 0), sizeof(block));
        char buf[256];
        int ended;
        read_for(c, buf, sizeof(buf), 2000, &ended);
        assert_memory_equal(buf, "HTTP/1.1 431 ", 13);
        assert_int_equal(ended, 1); /* in order, though bytes were left unread */
        assert_int_equal(f->fed, 0);
        assert_int_equal(expired(f, "too_large"), 1);
        close(c);
        shut(f);
}

static void a_slow_head_gets_408_and_silence_a_plain_end(void **state)
{
        UNUSED(state);
        struct intake_options o = usual;
        o.head_ms = 200;
        struct fixture *f = open_with(&o);
        int64_t before = clock_mono_ms();
        int slow = tcp_connect(f->port), silent = tcp_connect(f->port);
        char buf[256];
        int ended = 0;
        for (int i = 0; i < 12; i++) { /* a dribble does not move the deadline */
                (void)!send(slow, "G", 1, MSG_NOSIGNAL);
                usleep(20000);
        }
        read_for(slow, buf, sizeof(buf), 2000, &ended);
        assert_memory_equal(buf, "HTTP/1.1 408 ", 13);
        assert_int_equal(ended, 1);
        assert_int_equal(read_for(silent, buf, sizeof(buf), 2000, &ended), 0);
        assert_int_equal(ended, 1);
        assert_true(clock_mono_ms() - before >= 200 && clock_mono_ms() - before < 3000);
        assert_int_equal(expired(f, "head"), 2);
        close(slow);
        close(silent);
        shut(f);
}

static void a_kept_alive_socket_rests_until_its_next_head(void **state)
{
        UNUSED(state);
        struct intake_options o = usual;
        o.idle_ms = 300;
        struct fixture *f = open_with(&o);
        int c = tcp_connect(f->port);
        /* Two requests at once: the second one lies in the kernel when the socket comes back. */
        send_text(c, "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
        assert_true(wait_for_count(&f->fed, 1, 1000));
        char buf[64];
        assert_int_equal(recv(f->fds[0], buf, 19, 0), 19);
        intake_rest(f->in, f->fds[0], f->addrs);
        f->fds[0] = -1;
        assert_true(wait_for_count(&f->fed, 2, 1000));
        assert_int_equal(recv(f->fds[1], buf, sizeof(buf), MSG_DONTWAIT), 19);
        assert_memory_equal(buf, "GET /2", 6);
        /* Then idle. */
        int64_t before = clock_mono_ms();
        intake_rest(f->in, f->fds[1], f->addrs);
        f->fds[1] = -1;
        int ended;
        assert_int_equal(read_for(c, buf, sizeof(buf), 2000, &ended), 0);
        assert_int_equal(ended, 1);
        assert_true(clock_mono_ms() - before >= 299);
        assert_int_equal(expired(f, "idle"), 1);
        close(c);
        shut(f);
}

static void a_busy_worker_pool_is_asked_again(void **state)
{
        UNUSED(state);
        struct fixture *f = open_with(&usual);
        atomic_store(&f->refusals_left, 20);
        int c[5];
        for (int i = 0; i < 5; i++) {
                c[i] = tcp_connect(f->port);
                char head[64];
                snprintf(head, sizeof(head), "GET /%d HTTP/1.1\r\n\r\n", i);
                send_text(c[i], head);
                usleep(2000);
        }
        assert_true(wait_for_count(&f->fed, 5, 3000));
        for (int i = 0; i < 5; i++)
                close(c[i]);
        shut(f);
}

static void a_head_that_finds_no_worker_is_let_go(void **state)
{
        UNUSED(state);
        struct intake_options o = usual;
        o.head_ms = 150;
        struct fixture *f = open_with(&o);
        atomic_store(&f->refusals_left, 1000000);
        int c = tcp_connect(f->port);
        send_text(c, "GET / HTTP/1.1\r\n\r\n");
        char buf[64];
        int ended;
        assert_int_equal(read_for(c, buf, sizeof(buf), 2000, &ended), 0);
        assert_true(ended != 0);
        assert_int_equal(expired(f, "full"), 1);
        assert_true(f->tries < 100);
        close(c);
        shut(f);
}

static void one_address_may_rest_so_many_sockets(void **state)
{
        UNUSED(state);
        struct intake_options o = usual;
        o.per_address_max = 10;
        struct fixture *f = open_with(&o);
        int c[15];
        for (int i = 0; i < 15; i++)
                c[i] = tcp_connect(f->port);
        assert_true(wait_for_rest(f, 10));
        int64_t until = clock_mono_ms() + 1000;
        while (expired(f, "per_address") < 5 && clock_mono_ms() < until)
                usleep(1000);
        assert_int_equal(expired(f, "per_address"), 5);
        /* Who is handed over, or leaves, makes room. */
        for (int i = 0; i < 15; i++)
                close(c[i]);
        assert_true(wait_for_rest(f, 0));
        int again = tcp_connect(f->port);
        send_text(again, "GET / HTTP/1.1\r\n\r\n");
        assert_true(wait_for_count(&f->fed, 1, 1000));
        close(again);
        shut(f);
}

static void a_proxy_may_rest_as_many_as_it_likes(void **state)
{
        UNUSED(state);
        struct intake_options o = usual;
        struct networks *proxies, *others;
        struct slice bad;
        assert_int_equal(networks_new("127.0.0.0/8", &proxies, &bad), 0);
        assert_int_equal(networks_new("10.0.0.0/8", &others, &bad), 0);
        o.per_address_max = 3;
        o.proxies = proxies;
        struct fixture *f = open_with(&o);
        int c[10];
        for (int i = 0; i < 10; i++)
                c[i] = tcp_connect(f->port);
        assert_true(wait_for_rest(f, 10));
        assert_int_equal(expired(f, "per_address"), 0);
        for (int i = 0; i < 10; i++)
                close(c[i]);
        shut(f);
        o.proxies = others;
        f = open_with(&o);
        for (int i = 0; i < 10; i++)
                c[i] = tcp_connect(f->port);
        int64_t until = clock_mono_ms() + 2000;
        while (expired(f, "per_address") < 7 && clock_mono_ms() < until)
                usleep(1000);
        assert_int_equal(expired(f, "per_address"), 7);
        for (int i = 0; i < 10; i++)
                close(c[i]);
        shut(f);
        networks_free(proxies);
        networks_free(others);
}

static void at_the_bound_the_idle_give_way(void **state)
{
        UNUSED(state);
        struct intake_options o = usual;
        o.connections_max = 1;
        struct fixture *f = open_with(&o);
        int idle = tcp_connect(f->port);
        send_text(idle, "GET / HTTP/1.1\r\n\r\n");
        assert_true(wait_for_count(&f->fed, 1, 1000));
        char buf[64];
        assert_int_equal(recv(f->fds[0], buf, 18, 0), 18);
        intake_rest(f->in, f->fds[0], f->addrs);
        f->fds[0] = -1;
        assert_true(wait_for_rest(f, 1));
        /* Each shard looks among its own; with both shards accepting, a few tries hit the one
         * that holds it. */
        bool served = false;
        for (int i = 0; i < 200 && !served; i++) {
                int c = tcp_connect(f->port);
                send_text(c, "GET / HTTP/1.1\r\n\r\n");
                served = wait_for_count(&f->fed, 2, 20);
                close(c);
        }
        assert_true(served);
        int ended;
        assert_int_equal(read_for(idle, buf, sizeof(buf), 1000, &ended), 0);
        assert_int_equal(ended, 1);
        close(idle);
        shut(f);
}

static void a_peer_that_leaves_is_forgotten(void **state)
{
        UNUSED(state);
        struct fixture *f = open_with(&usual);
        int a = tcp_connect(f->port), b = tcp_connect(f->port), c = tcp_connect(f->port);
        send_text(b, "GET / HT");
        assert_true(wait_for_rest(f, 3));
        close(a);
        close(b);
        struct linger abort = {.l_onoff = 1};
        setsockopt(c, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
        close(c);
        assert_true(wait_for_rest(f, 0));
        /* A client that has ended its direction with its request still gets an answer. */
        int d = tcp_connect(f->port);
        send_text(d, "GET / HTTP/1.0\r\n\r\n");
        shutdown(d, SHUT_WR);
        assert_true(wait_for_count(&f->fed, 1, 1000));
        close(d);
        shut(f);
}

static void after_shut_nothing_is_fed(void **state)
{
        UNUSED(state);
        struct fixture *f = open_with(&usual);
        int c = tcp_connect(f->port), d = tcp_connect(f->port);
        assert_true(wait_for_rest(f, 2));
        intake_shut(f->in);
        char buf[8];
        int ended;
        read_for(c, buf, sizeof(buf), 1000, &ended);
        assert_int_equal(ended, 1);
        assert_int_equal(tcp_connect(f->port), -1);
        int fds[2];
        tcp_pair(fds);
        send_text(fds[0], "GET / HTTP/1.1\r\n\r\n");
        intake_rest(f->in, fds[1], "127.0.0.1");
        read_for(fds[0], buf, sizeof(buf), 1000, &ended);
        assert_true(ended != 0);
        assert_int_equal(f->fed, 0);
        close(fds[0]);
        close(c);
        close(d);
        shut(f);
}

static void a_port_in_use_is_said(void **state)
{
        UNUSED(state);
        struct fixture *f = open_with(&usual);
        struct intake_options o = usual;
        o.bind = "127.0.0.1";
        o.port = f->port;
        o.feed = feed;
        struct intake *other = NULL;
        uint32_t port;
        assert_int_equal(intake_new(&o, f->shards, 2, &other, &port), -EADDRINUSE);
        o.bind = "192.0.2.1";
        assert_int_equal(intake_new(&o, f->shards, 2, &other, &port), -EADDRNOTAVAIL);
        o.bind = "nonsense!";
        assert_int_equal(intake_new(&o, f->shards, 2, &other, &port), -EADDRNOTAVAIL);
        shut(f);
}

static void without_descriptors_accepting_pauses_and_goes_on(void **state)
{
        UNUSED(state);
        struct fixture *f = open_with(&usual);
        int c[3];
        for (int i = 0; i < 3; i++)
                c[i] = socket(AF_INET, SOCK_STREAM, 0);
        struct rlimit before, low;
        getrlimit(RLIMIT_NOFILE, &before);
        int next = dup(0);
        close(next);
        low = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
        setrlimit(RLIMIT_NOFILE, &low);
        struct sockaddr_in a = {.sin_family = AF_INET,
                .sin_addr = {htonl(INADDR_LOOPBACK)},
                .sin_port = htons((uint16_t)f->port)};
        for (int i = 0; i < 3; i++)
                assert_int_equal(connect(c[i], (struct sockaddr *)&a, sizeof(a)), 0);
        struct rusage u0, u1;
        getrusage(RUSAGE_SELF, &u0);
        usleep(300000);
        getrusage(RUSAGE_SELF, &u1);
        setrlimit(RLIMIT_NOFILE, &before);
        assert_true(expired(f, "full") > 0);
        int64_t cpu_us = (u1.ru_utime.tv_sec - u0.ru_utime.tv_sec + u1.ru_stime.tv_sec -
                                 u0.ru_stime.tv_sec) *
                                 1000000 +
                         u1.ru_utime.tv_usec - u0.ru_utime.tv_usec + u1.ru_stime.tv_usec -
                         u0.ru_stime.tv_usec;
        assert_true(cpu_us < 100000); /* no spinning on a listener that cannot be served */
        usleep(150000);
        int d = tcp_connect(f->port);
        send_text(d, "GET / HTTP/1.1\r\n\r\n");
        assert_true(wait_for_count(&f->fed, 1, 2000));
        close(d);
        for (int i = 0; i < 3; i++)
                close(c[i]);
        shut(f);
}

static int64_t cpu_now_us(void)
{
        struct rusage u;
        getrusage(RUSAGE_SELF, &u);
        return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * (int64_t)1000000 + u.ru_utime.tv_usec +
               u.ru_stime.tv_usec;
}

static void thousands_of_half_heads_cost_no_cpu_and_delay_nobody(void **state)
{
        UNUSED(state);
        struct rlimit lim;
        getrlimit(RLIMIT_NOFILE, &lim);
        lim.rlim_cur = lim.rlim_max;
        setrlimit(RLIMIT_NOFILE, &lim);
        int n = lim.rlim_cur > 9000 ? 4000 : (int)lim.rlim_cur / 3;
        struct intake_options o = usual;
        o.head_ms = 60000;
        struct fixture *f = open_with(&o);
        int *c = xcalloc((size_t)n, sizeof(*c));
        for (int i = 0; i < n; i++) {
                c[i] = tcp_connect(f->port);
                assert_true(c[i] >= 0);
                send_text(c[i], "GET / HTTP/1.1\r\nX: ");
        }
        assert_true(wait_for_rest(f, n));
        int64_t before = cpu_now_us();
        usleep(500000);
        assert_true(cpu_now_us() - before < 50000);
        int64_t at = clock_mono_ms();
        int d = tcp_connect(f->port);
        send_text(d, "GET / HTTP/1.1\r\n\r\n");
        assert_true(wait_for_count(&f->fed, 1, 1000));
        assert_true(clock_mono_ms() - at < 500);
        close(d);
        for (int i = 0; i < n; i++)
                close(c[i]);
        free(c);
        shut(f);
}

/* "hello <address>\n" is let in. */
static bool judge_line(
        void *arg, struct shard *sh, struct slice line, char ret_addr[CONN_ADDR_TEXT])
{
        struct fixture *f = arg;
        UNUSED(sh);
        atomic_fetch_add(&f->lines, 1);
        return slice_starts(line, "hello ") && line.p[line.n - 1] == '\n' &&
               slice_copy(slice_of(line.p + 6, line.n - 7), ret_addr, CONN_ADDR_TEXT);
}

static const struct intake_options behind_a_line = {.head_ms = 300,
        .idle_ms = 5000,
        .head_bytes_max = 16384,
        .line = judge_line,
        .line_max = 32};

static void a_line_in_front_names_the_client_and_is_taken_out(void **state)
{
        UNUSED(state);
        struct intake_options o = behind_a_line;
        o.head_ms = 5000;
        struct fixture *f = open_with(&o);
        const char *all = "hello 192.0.2.9\nGET / HTTP/1.1\r\n\r\nbody";
        char buf[128];
        for (int dribble = 0; dribble < 2; dribble++) {
                int c = tcp_connect(f->port);
                for (const char *p = all; dribble && *p; p++) {
                        assert_int_equal(send(c, p, 1, 0), 1);
                        usleep(1000);
                }
                if (!dribble)
                        send_text(c, all);
                assert_true(wait_for_count(&f->fed, dribble + 1, 2000));
                assert_string_equal(f->addrs, "192.0.2.9");
                usleep(2000);
                ssize_t n = recv(f->fds[dribble], buf, sizeof(buf), MSG_DONTWAIT);
                assert_int_equal(n, 22);
                assert_memory_equal(buf, "GET / HTTP/1.1\r\n\r\nbody", 22);
                close(c);
        }
        assert_int_equal(f->lines, 2);
        shut(f);
}

static void without_a_good_line_the_socket_is_closed(void **state)
{
        UNUSED(state);
        struct fixture *f = open_with(&behind_a_line);
        static const char *const bad[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                "hello too long, and without any end in sight", "\n"};
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                int c = tcp_connect(f->port), ended;
                char buf[64];
                send_text(c, bad[i]);
                assert_int_equal(read_for(c, buf, sizeof(buf), 1000, &ended), 0);
                assert_int_not_equal(ended, 0);
                close(c);
        }
        assert_int_equal(f->lines, 3);
        /* Ended in the middle of it; and too slow, without an answer. */
        for (int slow = 0; slow < 2; slow++) {
                int c = tcp_connect(f->port), ended;
                char buf[64];
                send_text(c, "hello");
                if (!slow)
                        shutdown(c, SHUT_WR);
                assert_int_equal(read_for(c, buf, sizeof(buf), 1000, &ended), 0);
                assert_int_not_equal(ended, 0);
                close(c);
        }
        assert_int_equal(expired(f, "head"), 1);
        assert_int_equal(f->fed, 0);
        shut(f);
}

static bool claim(void *arg, struct shard *sh, int fd, const char *client_addr, struct slice head)
{
        struct fixture *f = arg;
        CHECK(shard_is_current(sh) && strcmp(client_addr, "127.0.0.1") == 0);
        atomic_fetch_add(&f->lines, 1);
        if (!slice_starts(head, "GET /there "))
                return false;
        f->claimed_sh = sh;
        atomic_store(&f->claimed_fd, fd);
        return true;
}

static void run_return(struct shard *sh, void *arg)
{
        struct fixture *f = arg;
        intake_return(f->in, sh, f->claimed_fd, "192.0.2.9");
}

static void a_claimed_head_is_not_fed_until_it_comes_back(void **state)
{
        UNUSED(state);
        struct intake_options o = usual;
        o.claim = claim;
        struct fixture *f = open_with(&o);
        int c = tcp_connect(f->port), d = tcp_connect(f->port);
        send_text(c, "GET /here HTTP/1.1\r\n\r\n");
        assert_true(wait_for_count(&f->fed, 1, 1000));
        send_text(d, "\r\nGET /there HTTP/1.1\r\n\r\n");
        assert_true(wait_for_count(&f->lines, 2, 1000));
        assert_true(wait_for_count(&f->claimed_fd, 1, 1000));
        assert_true(wait_for_rest(f, 0));
        on_shard(f->claimed_sh, run_return, f);
        assert_true(wait_for_count(&f->fed, 2, 1000));
        assert_int_equal(f->fds[1], f->claimed_fd);
        assert_string_equal(f->addrs, "192.0.2.9");
        assert_int_equal(f->lines, 2); /* not asked again */
        char buf[64];
        assert_int_equal(recv(f->fds[1], buf, sizeof(buf), MSG_DONTWAIT), 25);
        close(c);
        close(d);
        shut(f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_whole_head_is_handed_over_unread),
                cmocka_unit_test(a_head_that_dribbles_is_handed_over_when_it_is_whole),
                cmocka_unit_test(a_head_too_long_gets_431),
                cmocka_unit_test(a_slow_head_gets_408_and_silence_a_plain_end),
                cmocka_unit_test(a_kept_alive_socket_rests_until_its_next_head),
                cmocka_unit_test(a_busy_worker_pool_is_asked_again),
                cmocka_unit_test(a_head_that_finds_no_worker_is_let_go),
                cmocka_unit_test(one_address_may_rest_so_many_sockets),
                cmocka_unit_test(a_proxy_may_rest_as_many_as_it_likes),
                cmocka_unit_test(at_the_bound_the_idle_give_way),
                cmocka_unit_test(a_peer_that_leaves_is_forgotten),
                cmocka_unit_test(after_shut_nothing_is_fed),
                cmocka_unit_test(a_port_in_use_is_said),
                cmocka_unit_test(without_descriptors_accepting_pauses_and_goes_on),
                cmocka_unit_test(a_line_in_front_names_the_client_and_is_taken_out),
                cmocka_unit_test(without_a_good_line_the_socket_is_closed),
                cmocka_unit_test(a_claimed_head_is_not_fed_until_it_comes_back),
                cmocka_unit_test(thousands_of_half_heads_cost_no_cpu_and_delay_nobody),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
