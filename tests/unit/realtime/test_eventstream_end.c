#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eventstream_app.h"
#include "http/server.h"
#include "net/intake.h"

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
        assert_int_equal(streams_shown(f, "sse,joined"), 1);
        on_user(f, 0, close_it);
        assert_int_equal(streams_shown(f, "sse,joined"), 0);
        assert_int_equal(streams_shown(f, "sse,closing"), 1);
        assert_int_equal(metrics_get(f->metrics, M_entries_used, ENTRIES_CONNECTIONS), 1);
        usleep(20000);
        assert_int_equal(f->users[0].closed, 0);
        struct reading rd;
        read_stream(&rd, c, 1u << 20, 20000, NULL);
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
        read_stream(&rd, c, 1u << 20, 5000, NULL);
        assert_int_equal(rd.ended,
                -ECONNRESET); /* not an orderly end, which would glue the half block to the next */
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
        read_stream(&rd, c, 4096, 5000, NULL);
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
        read_stream(&rd, fds[0], 4096, 5000, NULL);
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
                es_come_back(f->srv, rq, SLICE_NONE);
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
        struct http_settings hs = {.workers = 2,
                .body_ms = 1000,
                .reply_ms = 1000,
                .body_bytes_max = 10000,
                .head_bytes_max = 16384,
                .origins = (char *)(uintptr_t) "*"};
        struct http_options ho = {.settings = &hs, .rest = rest_socket, .rest_arg = f};
        assert_int_equal(http_server_new(&ho, &f->http), 0);
        http_route(f->http, "GET", "/stream/:id", get_stream, f);
        assert_int_equal(http_server_start(f->http), 0);
        struct intake_options io = {.bind = "127.0.0.1",
                .head_ms = 1000,
                .idle_ms = 1000,
                .head_bytes_max = 16384,
                .feed = feed_head,
                .arg = f};
        uint32_t port;
        assert_int_equal(intake_new(&io, f->shards, 2, &f->intake, &port), 0);
        assert_int_equal(intake_open(f->intake), 0);
        f->refuse = true;
        int c = tcp_connect(port);
        send_text(c, "GET /stream/1 HTTP/1.1\r\nHost: x\r\nOrigin: http://page\r\n\r\n");
        struct reading rd;
        read_stream(&rd, c, 4096, 500, NULL);
        assert_memory_equal(rd.p, "HTTP/1.1 200 OK\r\n", 17);
        assert_non_null(strstr(rd.p, "Content-Type: text/event-stream\r\n"));
        assert_non_null(strstr(rd.p, "retry: "));
        assert_int_equal(count_of(rd.p, "Access-Control-Allow-Origin"), 1);
        free(rd.p);
        f->refuse = false;
        send_text(c,
                "GET /stream/1 HTTP/1.1\r\nHost: x\r\nOrigin: http://page\r\n\r\n"); /* the same socket, kept alive */
        read_stream(&rd, c, 4096, 5000, "retry: ");
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_end_finishes_the_block_that_is_partly_written),
                cmocka_unit_test(a_client_that_does_not_take_the_last_block_is_reset),
                cmocka_unit_test(a_stream_may_be_closed_where_it_opens),
                cmocka_unit_test(a_drain_ends_all_in_slices_and_sends_newcomers_away),
                cmocka_unit_test(stopping_closes_all_and_waits),
                cmocka_unit_test(the_whole_way_from_the_port_to_the_stream),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
