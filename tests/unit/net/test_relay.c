#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/conn.h"
#include "net/relay.h"
#include "on_shard.h"

#define PREFACE "TERN1 preface\n"
#define SILENT "HTTP/1.1 400 Bad Request\r\n\r\n"

/* One hub on one shard, a listener that plays the other server, and one client. */
struct fixture {
        struct shard *sh;
        struct relay_hub *hub;
        int listener;
        uint16_t port;
        int client, front; /* the client's end, and the gateway's until it is taken */
        int server;        /* what the other server accepted */
        bool long_lived, started;
        atomic_int ended[RELAY_ENDS], ends, returned;
        int returned_fd;
        char returned_addr[CONN_ADDR_TEXT];
        struct relay_limits limits;
        size_t count;
};

static void on_unreachable(void *arg, struct shard *sh, int fd, const char *client_addr)
{
        struct fixture *f = arg;
        CHECK(shard_is_current(sh));
        f->returned_fd = fd;
        snprintf(f->returned_addr, sizeof(f->returned_addr), "%s", client_addr);
        atomic_fetch_add(&f->returned, 1);
}

static void on_ended(void *arg, enum relay_end how)
{
        struct fixture *f = arg;
        atomic_fetch_add(&f->ended[how], 1);
        atomic_fetch_add(&f->ends, 1);
}

static const struct relay_ops ops = {
        .unreachable = on_unreachable,
        .ended = on_ended,
        .silent_answer = {.p = SILENT, .n = sizeof(SILENT) - 1},
};

static void run_start(struct shard *sh, void *arg)
{
        struct fixture *f = arg;
        struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
        struct relay_target to = {.addr = (const uint8_t *)&loopback, .addr_n = 4, .port = f->port};
        UNUSED(sh);
        f->started =
                relay_start(f->hub, f->front, "192.0.2.7", &to, SLICE_LIT(PREFACE), f->long_lived);
}

static int listen_on(uint16_t *ret_port, int backlog)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        socklen_t n = sizeof(a);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int r = bind(fd, (struct sockaddr *)&a, n);
        r |= getsockname(fd, (struct sockaddr *)&a, &n);
        r |= listen(fd, backlog);
        CHECK(r == 0);
        *ret_port = ntohs(a.sin_port);
        return fd;
}

static struct fixture *open_with(uint32_t connect_ms, uint32_t idle_ms)
{
        struct fixture *f = xcalloc(1, sizeof(*f));
        f->server = f->returned_fd = -1;
        f->limits = (struct relay_limits){connect_ms, idle_ms};
        assert_int_equal(shard_new(0, NULL, NULL, NULL, NULL, &f->sh), 0);
        f->hub = relay_hub_new(f->sh, &f->limits, &ops, f);
        f->listener = listen_on(&f->port, 16);
        int pair[2];
        tcp_pair(pair);
        f->client = pair[0];
        f->front = pair[1];
        return f;
}

/* The client has said this before the relay begins. */
static void start(struct fixture *f, const char *request)
{
        if (request[0])
                send_text(f->client, request);
        on_shard(f->sh, run_start, f);
        assert_true(f->started);
        f->server = accept(f->listener, NULL, NULL);
        assert_true(f->server >= 0);
}

static void run_stop(struct shard *sh, void *arg)
{
        UNUSED(sh);
        relay_hub_stop(((struct fixture *)arg)->hub);
}

static void shut(struct fixture *f)
{
        on_shard(f->sh, run_stop, f);
        assert_int_equal(f->ends, 1);
        shard_free(f->sh);
        relay_hub_free(f->hub);
        int fds[] = {f->listener, f->client, f->server, f->returned_fd};
        for (size_t i = 0; i < ARRAY_LEN(fds); i++)
                if (fds[i] >= 0)
                        close(fds[i]);
        free(f);
}

static void assert_read(int fd, const char *text)
{
        char got[4096];
        int ended;
        read_until(fd, got, strlen(text) + 1, 2000, NULL, &ended);
        assert_string_equal(got, text);
}

/* 1 end, -errno a reset; what is unread is read first. */
static int assert_ends(int fd)
{
        char got[65536];
        int ended = 0;
        for (int i = 0; i < 200 && !ended; i++)
                read_for(fd, got, sizeof(got), 10, &ended);
        assert_int_not_equal(ended, 0);
        return ended;
}

static void bytes_go_both_ways_behind_the_preface(void **state)
{
        UNUSED(state);
        struct fixture *f = open_with(1000, 10000);
        start(f, "GET / HTTP/1.1\r\n\r\n");
        assert_read(f->server, PREFACE "GET / HTTP/1.1\r\n\r\n");
        send_text(f->server, "answer");
        assert_read(f->client, "answer");
        send_text(f->client, "more");
        assert_read(f->server, "more");
        close(f->server);
        f->server = -1;
        assert_int_equal(assert_ends(f->client), 1);
        assert_true(wait_for_count(&f->ended[RELAY_DONE], 1, 1000));
        shut(f);
}

static void a_clients_end_is_passed_on_and_the_answer_still_comes(void **state)
{
        UNUSED(state);
        struct fixture *f = open_with(1000, 10000);
        send_text(f->client, "POST");
        shutdown(f->client, SHUT_WR); /* before anybody has read */
        start(f, "");
        assert_read(f->server, PREFACE "POST");
        assert_int_equal(assert_ends(f->server), 1);
        send_text(f->server, "ok");
        assert_read(f->client, "ok");
        close(f->server);
        f->server = -1;
        assert_int_equal(assert_ends(f->client), 1);
        assert_true(wait_for_count(&f->ended[RELAY_DONE], 1, 1000));
        shut(f);
}

static void resets_are_passed_on(void **state)
{
        UNUSED(state);
        struct linger abort = {.l_onoff = 1, .l_linger = 0};
        for (int side = 0; side < 2; side++) {
                struct fixture *f = open_with(1000, 10000);
                start(f, "x");
                assert_read(f->server, PREFACE "x");
                send_text(f->server, "y");
                assert_read(f->client, "y");
                int *gone = side ? &f->server : &f->client;
                setsockopt(*gone, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
                close(*gone);
                *gone = -1;
                assert_int_equal(assert_ends(side ? f->client : f->server), -ECONNRESET);
                assert_true(wait_for_count(&f->ended[RELAY_BROKEN], 1, 1000));
                shut(f);
        }
}

/* What the server said before it reset reaches the client. */
static void the_last_words_of_a_server_that_resets_arrive(void **state)
{
        UNUSED(state);
        struct fixture *f = open_with(1000, 10000);
        start(f, "x");
        assert_read(f->server, PREFACE "x");
        send_text(f->client, "never read");
        struct pollfd p = {.fd = f->server, .events = POLLIN};
        assert_int_equal(poll(&p, 1, 1000), 1);
        send_text(f->server, "answer");
        close(f->server); /* with unread bytes: a reset */
        f->server = -1;
        assert_read(f->client, "answer");
        assert_ends(f->client);
        shut(f);
}

static void a_server_that_says_nothing_is_answered_for(void **state)
{
        UNUSED(state);
        for (int reset = 0; reset < 2; reset++) {
                struct fixture *f = open_with(1000, 10000);
                start(f, "GET");
                if (!reset) /* unread bytes would make it a reset */
                        assert_read(f->server, PREFACE "GET");
                close(f->server);
                f->server = -1;
                assert_read(f->client, SILENT);
                assert_int_equal(assert_ends(f->client), 1);
                assert_true(wait_for_count(&f->ended[RELAY_SILENT], 1, 1000));
                shut(f);
        }
}

static void a_port_that_nobody_listens_on_gives_the_client_back_unread(void **state)
{
        UNUSED(state);
        struct fixture *f = open_with(5000, 10000);
        close(f->listener);
        f->listener = -1;
        send_text(f->client, "GET");
        int64_t at = clock_mono_ms();
        on_shard(f->sh, run_start, f);
        assert_true(f->started);
        assert_true(wait_for_count(&f->returned, 1, 2000));
        assert_true(clock_mono_ms() - at < 1000);
        assert_string_equal(f->returned_addr, "192.0.2.7");
        char got[16];
        assert_int_equal(recv(f->returned_fd, got, sizeof(got), MSG_DONTWAIT), 3);
        assert_int_equal(f->ended[RELAY_UNREACHABLE], 1);
        shut(f);
}

/* A listener whose queue is full drops the handshake, as a host does that is not there. */
static void a_host_that_does_not_answer_gives_the_client_back_at_the_deadline(void **state)
{
        UNUSED(state);
        struct fixture *f = open_with(150, 10000);
        close(f->listener);
        f->listener = listen_on(&f->port, 0);
        int fill[4];
        for (size_t i = 0; i < ARRAY_LEN(fill); i++) {
                struct sockaddr_in a = {.sin_family = AF_INET,
                        .sin_addr = {htonl(INADDR_LOOPBACK)},
                        .sin_port = htons(f->port)};
                fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
                (void)!connect(fill[i], (struct sockaddr *)&a, sizeof(a));
        }
        send_text(f->client, "GET");
        int64_t at = clock_mono_ms();
        on_shard(f->sh, run_start, f);
        assert_true(wait_for_count(&f->returned, 1, 2000));
        int64_t took = clock_mono_ms() - at;
        assert_true(took >= 145 && took < 600);
        for (size_t i = 0; i < ARRAY_LEN(fill); i++)
                close(fill[i]);
        shut(f);
}

/* A full kernel buffer behind, at most a piece of memory in each direction. */
static size_t stuff(int fd, int until_stuck_ms)
{
        static char piece[65536];
        size_t n = 0;
        int64_t last = clock_mono_ms();
        fcntl(fd, F_SETFL, O_NONBLOCK);
        while (clock_mono_ms() - last < until_stuck_ms) {
                for (size_t i = 0; i < sizeof(piece); i++)
                        piece[i] = (char)((n + i) % 251);
                ssize_t w = send(fd, piece, sizeof(piece), MSG_NOSIGNAL);
                if (w > 0) {
                        n += (size_t)w;
                        last = clock_mono_ms();
                } else {
                        usleep(1000);
                }
        }
        return n;
}

static void assert_stuffing(int fd, size_t n)
{
        static char got[65536];
        int ended = 0;
        for (size_t at = 0; at < n;) {
                size_t take = n - at < sizeof(got) - 1 ? n - at : sizeof(got) - 1;
                size_t r = read_until(fd, got, take + 1, 2000, NULL, &ended);
                assert_true(r > 0);
                for (size_t i = 0; i < r; i++)
                        if (got[i] != (char)((at + i) % 251))
                                fail_msg("byte %zu differs", at + i);
                at += r;
        }
}

static void who_does_not_read_holds_the_other_up_and_loses_nothing(void **state)
{
        UNUSED(state);
        struct fixture *f = open_with(1000, 10000);
        start(f, "x");
        assert_read(f->server, PREFACE "x");
        size_t up = stuff(f->client, 200), down = stuff(f->server, 200);
        assert_true(up > 65536 && down > 65536);
        assert_int_equal(f->ends, 0);
        /* Both ends say goodbye while their last bytes are still on the way. */
        shutdown(f->client, SHUT_WR);
        assert_stuffing(f->server, up);
        assert_int_equal(assert_ends(f->server), 1);
        shutdown(f->server, SHUT_WR);
        assert_stuffing(f->client, down);
        assert_int_equal(assert_ends(f->client), 1);
        assert_true(wait_for_count(&f->ended[RELAY_DONE], 1, 1000));
        shut(f);
}

static void an_idle_one_is_ended(void **state)
{
        UNUSED(state);
        struct fixture *f = open_with(1000, 300);
        start(f, "x");
        assert_read(f->server, PREFACE "x");
        for (int i = 0; i < 8; i++) { /* longer than the deadline in all, but never idle */
                usleep(60000);
                send_text(i % 2 ? f->client : f->server, "y");
        }
        assert_int_equal(f->ends, 0);
        int64_t at = clock_mono_ms();
        assert_ends(f->client);
        assert_true(clock_mono_ms() - at < 1500);
        assert_int_equal(f->ended[RELAY_IDLE], 1);
        shut(f);
}

static void run_close_some(struct shard *sh, void *arg)
{
        struct fixture *f = arg;
        UNUSED(sh);
        f->count = relay_hub_long_lived(f->hub);
        relay_hub_close_some(f->hub, 7);
}

static void draining_ends_the_long_lived_only(void **state)
{
        UNUSED(state);
        for (int long_lived = 0; long_lived < 2; long_lived++) {
                struct fixture *f = open_with(1000, 10000);
                f->long_lived = long_lived;
                start(f, "x");
                assert_read(f->server, PREFACE "x");
                on_shard(f->sh, run_close_some, f);
                assert_int_equal(f->count, long_lived);
                assert_int_equal(f->ended[RELAY_STOPPED], long_lived);
                shut(f);
        }
}

static void after_the_stop_nothing_is_started(void **state)
{
        UNUSED(state);
        struct fixture *f = open_with(1000, 10000);
        start(f, "x");
        on_shard(f->sh, run_stop, f);
        assert_int_equal(f->ended[RELAY_STOPPED], 1);
        int pair[2];
        tcp_pair(pair);
        f->front = pair[1];
        on_shard(f->sh, run_start, f);
        assert_false(f->started);
        close(pair[0]);
        close(pair[1]);
        shut(f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(bytes_go_both_ways_behind_the_preface),
                cmocka_unit_test(a_clients_end_is_passed_on_and_the_answer_still_comes),
                cmocka_unit_test(resets_are_passed_on),
                cmocka_unit_test(the_last_words_of_a_server_that_resets_arrive),
                cmocka_unit_test(a_server_that_says_nothing_is_answered_for),
                cmocka_unit_test(a_port_that_nobody_listens_on_gives_the_client_back_unread),
                cmocka_unit_test(a_host_that_does_not_answer_gives_the_client_back_at_the_deadline),
                cmocka_unit_test(who_does_not_read_holds_the_other_up_and_loses_nothing),
                cmocka_unit_test(an_idle_one_is_ended),
                cmocka_unit_test(draining_ends_the_long_lived_only),
                cmocka_unit_test(after_the_stop_nothing_is_started),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
