#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/conn.h"
#include "on_shard.h"

#include <netinet/tcp.h>

struct peer { /* the server's side of one test connection */
        struct conn conn;
        int fd, give_up_fd;
        struct slice first;
        bool was_blocked, start_paused, echo, close_on_bytes, in_callback, nested;
        char got[256];
        size_t got_n, total;
        atomic_int bytes_n, writable_n, hangup_n, closed_n;
        atomic_int hangup_err;
        ssize_t wrote;
        const char *blob;
        size_t blob_n, blob_at;
        char addr[CONN_ADDR_TEXT];
        int result;
};

static void on_bytes(struct conn *c, struct slice in)
{
        struct peer *p = container_of(c, struct peer, conn);
        p->nested |= p->in_callback;
        p->in_callback = true;
        size_t n = in.n < sizeof(p->got) - p->got_n ? in.n : sizeof(p->got) - p->got_n;
        memcpy(p->got + p->got_n, in.p, n);
        p->got_n += n;
        p->total += in.n;
        if (p->echo) {
                ssize_t w = conn_write(c, in);
                CHECK(w == (ssize_t)in.n);
        }
        if (p->close_on_bytes)
                conn_close(c);
        p->in_callback = false;
        atomic_fetch_add(&p->bytes_n, 1);
}

static void pump(struct peer *p)
{
        while (p->blob_at < p->blob_n && !conn_blocked(&p->conn)) {
                struct iovec iov[3];
                size_t left = p->blob_n - p->blob_at, piece = left / 3 + 1;
                int n = 0;
                for (size_t at = 0; n < 3 && at < left; n++) {
                        size_t take = piece < left - at ? piece : left - at;
                        iov[n] = (struct iovec){
                                .iov_base = (void *)(uintptr_t)(p->blob + p->blob_at + at),
                                .iov_len = take};
                        at += take;
                }
                ssize_t w = conn_writev(&p->conn, iov, n);
                CHECK(w >= 0);
                p->blob_at += (size_t)w;
        }
}

static void on_writable(struct conn *c)
{
        struct peer *p = container_of(c, struct peer, conn);
        atomic_fetch_add(&p->writable_n, 1);
        CHECK(!conn_blocked(c));
        pump(p);
}

static void on_hangup(struct conn *c, int err)
{
        struct peer *p = container_of(c, struct peer, conn);
        p->hangup_err = err;
        atomic_fetch_add(&p->hangup_n, 1);
}

static void on_closed(struct conn *c)
{
        struct peer *p = container_of(c, struct peer, conn);
        p->nested |= p->in_callback;
        atomic_fetch_add(&p->closed_n, 1);
}

static const struct conn_ops ops = {
        .bytes = on_bytes, .writable = on_writable, .hangup = on_hangup, .closed = on_closed};

static void open_peer(struct shard *sh, void *arg)
{
        struct peer *p = arg;
        p->result = conn_open(&p->conn, sh, p->fd, "::ffff:192.0.2.7", p->first, &ops);
        if (p->start_paused)
                conn_read(&p->conn, false);
        conn_client_addr(&p->conn, p->addr);
        pump(p);
}

static void pause_peer(struct shard *sh, void *arg)
{
        UNUSED(sh);
        conn_read(&((struct peer *)arg)->conn, false);
}

static void resume_peer(struct shard *sh, void *arg)
{
        UNUSED(sh);
        conn_read(&((struct peer *)arg)->conn, true);
}

static void close_peer(struct shard *sh, void *arg)
{
        UNUSED(sh);
        struct peer *p = arg;
        p->in_callback = true;
        conn_close(&p->conn);
        conn_close(&p->conn);
        p->in_callback = false;
}

static void reset_peer(struct shard *sh, void *arg)
{
        UNUSED(sh);
        conn_reset(&((struct peer *)arg)->conn);
}

static void give_up_peer(struct shard *sh, void *arg)
{
        UNUSED(sh);
        struct peer *p = arg;
        p->give_up_fd = conn_give_up(&p->conn);
}

static void look_at_peer(struct shard *sh, void *arg)
{
        UNUSED(sh);
        struct peer *p = arg;
        p->was_blocked = conn_blocked(&p->conn);
}

struct fixture {
        struct shard *sh;
        int client;
        struct peer p;
};

static int set_up(void **state)
{
        struct fixture *f = xcalloc(1, sizeof(*f));
        int r = shard_new(0, NULL, NULL, NULL, NULL, &f->sh);
        CHECK(r == 0);
        int fds[2];
        tcp_pair(fds);
        f->client = fds[0];
        f->p.fd = fds[1];
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;
        on_shard(f->sh, close_peer, &f->p);
        shard_free(f->sh);
        if (f->client >= 0)
                close(f->client);
        free(f);
        return 0;
}

static void bytes_are_echoed_and_the_address_is_known(void **state)
{
        struct fixture *f = *state;
        f->p.echo = true;
        on_shard(f->sh, open_peer, &f->p);
        assert_int_equal(f->p.result, 0);
        assert_string_equal(f->p.addr, "192.0.2.7");
        char buf[16];
        for (int i = 0; i < 100; i++) {
                send_text(f->client, "ping");
                assert_int_equal(recv(f->client, buf, 4, MSG_WAITALL), 4);
        }
        assert_false(f->p.nested);
}

static void bytes_from_before_and_from_the_kernel_come_in_order(void **state)
{
        struct fixture *f = *state;
        send_text(f->client, "CD");
        f->p.first = SLICE_LIT("AB");
        f->p.start_paused = true;
        on_shard(f->sh, open_peer, &f->p);
        usleep(20000);
        assert_int_equal(f->p.bytes_n, 0);
        on_shard(f->sh, resume_peer, &f->p);
        assert_true(wait_for_count(&f->p.bytes_n, 2, 1000));
        assert_memory_equal(f->p.got, "ABCD", 4);
}

static void a_big_write_is_short_and_goes_on_when_there_is_room(void **state)
{
        struct fixture *f = *state;
        size_t n = 8u << 20;
        char *blob = xmalloc(n), *back = xmalloc(n);
        for (size_t i = 0; i < n; i++)
                blob[i] = (char)(i * 7 + i / 251);
        f->p.blob = blob;
        f->p.blob_n = n;
        on_shard(f->sh, open_peer, &f->p);
        usleep(50000);
        on_shard(f->sh, look_at_peer, &f->p);
        assert_true(f->p.was_blocked);
        assert_int_equal(f->p.writable_n, 0);
        size_t got = 0;
        while (got < n) {
                ssize_t r = recv(f->client, back + got, n - got, 0);
                assert_true(r > 0);
                got += (size_t)r;
        }
        assert_memory_equal(back, blob, n);
        assert_true(f->p.writable_n > 0);
        free(blob);
        free(back);
}

static void a_flood_is_read_in_turns_to_its_end(void **state)
{
        struct fixture *f = *state;
        on_shard(f->sh, open_peer, &f->p);
        char block[65536] = {0};
        size_t sent = 0;
        while (sent < (16u << 20)) {
                ssize_t w = send(f->client, block, sizeof(block), 0);
                assert_true(w > 0);
                sent += (size_t)w;
        }
        shutdown(f->client, SHUT_WR);
        assert_true(wait_for_count(&f->p.hangup_n, 1, 5000));
        assert_int_equal(f->p.hangup_err, 0);
        assert_int_equal(f->p.total, sent);
}

static void a_parked_connection_notices_the_hang_up_at_once(void **state)
{
        struct fixture *f = *state;
        f->p.start_paused = true;
        on_shard(f->sh, open_peer, &f->p);
        send_text(f->client, "unread"); /* bytes that nobody wants now hide nothing */
        usleep(10000);
        int64_t before = clock_mono_ms();
        close(f->client);
        f->client = -1;
        assert_true(wait_for_count(&f->p.hangup_n, 1, 1000));
        assert_true(clock_mono_ms() - before < 500);
        assert_int_equal(f->p.bytes_n, 0);
        usleep(10000);
        assert_int_equal(f->p.hangup_n, 1);
}

static void a_hang_up_that_comes_while_reading_is_told_after_a_pause(void **state)
{
        struct fixture *f = *state;
        on_shard(f->sh, open_peer, &f->p);
        on_shard(f->sh, pause_peer, &f->p);
        on_shard(f->sh, resume_peer, &f->p);
        send_text(f->client, "x");
        shutdown(f->client, SHUT_WR);
        assert_true(wait_for_count(&f->p.hangup_n, 1, 1000));
        assert_int_equal(f->p.total, 1);
}

static void a_reset_is_an_error(void **state)
{
        struct fixture *f = *state;
        on_shard(f->sh, open_peer, &f->p);
        struct linger abort = {.l_onoff = 1};
        setsockopt(f->client, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
        close(f->client);
        f->client = -1;
        assert_true(wait_for_count(&f->p.hangup_n, 1, 1000));
        assert_int_equal(f->p.hangup_err, -ECONNRESET);
}

static void closing_is_told_later_and_once(void **state)
{
        struct fixture *f = *state;
        on_shard(f->sh, open_peer, &f->p);
        on_shard(f->sh, close_peer, &f->p);
        assert_true(wait_for_count(&f->p.closed_n, 1, 1000));
        usleep(10000);
        assert_int_equal(f->p.closed_n, 1);
        assert_false(f->p.nested);
        assert_int_equal(f->p.hangup_n, 0);
}

static void closing_inside_the_read_callback_is_safe(void **state)
{
        struct fixture *f = *state;
        f->p.close_on_bytes = true;
        on_shard(f->sh, open_peer, &f->p);
        send_text(f->client, "bye");
        assert_true(wait_for_count(&f->p.closed_n, 1, 1000));
        assert_false(f->p.nested);
}

/* The peer goes on sending: a close that resets would take the last words away. */
static void last_words_survive_unread_input(void **state)
{
        struct fixture *f = *state;
        f->p.start_paused = true;
        f->p.blob = "last words";
        f->p.blob_n = 10;
        on_shard(f->sh, open_peer, &f->p);
        char block[32768] = {0};
        assert_true(send(f->client, block, sizeof(block), 0) > 0);
        usleep(10000);
        on_shard(f->sh, close_peer, &f->p);
        assert_true(send(f->client, block, sizeof(block), MSG_NOSIGNAL) > 0);
        usleep(20000);
        char buf[64];
        int ended;
        size_t n = read_for(f->client, buf, sizeof(buf), 500, &ended);
        assert_int_equal(n, 10);
        assert_memory_equal(buf, "last words", 10);
        assert_int_equal(ended, 1);
}

static void a_peer_that_does_not_end_is_let_go_after_a_second(void **state)
{
        struct fixture *f = *state;
        on_shard(f->sh, open_peer, &f->p);
        on_shard(f->sh, close_peer, &f->p);
        usleep(1300000);
        /* The socket is gone: what is sent now is answered by a reset. */
        send_text(f->client, "x");
        usleep(20000);
        char c;
        assert_true(send(f->client, "y", 1, MSG_NOSIGNAL) < 0 || recv(f->client, &c, 1, 0) <= 0);
        int err = 0;
        socklen_t len = sizeof(err);
        getsockopt(f->client, SOL_SOCKET, SO_ERROR, &err, &len);
        assert_true(send(f->client, "z", 1, MSG_NOSIGNAL) < 0);
}

static void a_reset_reaches_the_peer_as_one(void **state)
{
        struct fixture *f = *state;
        on_shard(f->sh, open_peer, &f->p);
        on_shard(f->sh, reset_peer, &f->p);
        char c;
        assert_true(recv(f->client, &c, 1, 0) < 0);
        assert_int_equal(errno, ECONNRESET);
        assert_true(wait_for_count(&f->p.closed_n, 1, 1000));
}

static void a_descriptor_can_be_given_up_with_its_unread_bytes(void **state)
{
        struct fixture *f = *state;
        f->p.start_paused = true;
        on_shard(f->sh, open_peer, &f->p);
        send_text(f->client, "next request");
        usleep(10000);
        on_shard(f->sh, give_up_peer, &f->p);
        assert_true(wait_for_count(&f->p.closed_n, 1, 1000));
        char buf[32];
        assert_int_equal(recv(f->p.give_up_fd, buf, sizeof(buf), 0), 12);
        send_text(f->client, "more");
        usleep(10000);
        assert_int_equal(f->p.bytes_n, 0);
        assert_int_equal(write(f->p.give_up_fd, "ok", 2), 2);
        assert_int_equal(recv(f->client, buf, 2, MSG_WAITALL), 2);
        close(f->p.give_up_fd);
}

static void an_idle_connection_is_small(void **state)
{
        UNUSED(state);
        assert_true(sizeof(struct conn) <= 96);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
        const struct CMUnitTest tests[] = {
                T(bytes_are_echoed_and_the_address_is_known),
                T(bytes_from_before_and_from_the_kernel_come_in_order),
                T(a_big_write_is_short_and_goes_on_when_there_is_room),
                T(a_flood_is_read_in_turns_to_its_end),
                T(a_parked_connection_notices_the_hang_up_at_once),
                T(a_hang_up_that_comes_while_reading_is_told_after_a_pause),
                T(a_reset_is_an_error),
                T(closing_is_told_later_and_once),
                T(closing_inside_the_read_callback_is_safe),
                T(last_words_survive_unread_input),
                T(a_peer_that_does_not_end_is_let_go_after_a_second),
                T(a_reset_reaches_the_peer_as_one),
                T(a_descriptor_can_be_given_up_with_its_unread_bytes),
                cmocka_unit_test(an_idle_connection_is_small),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
