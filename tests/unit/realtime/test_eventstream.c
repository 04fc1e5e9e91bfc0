#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eventstream_app.h"

static void a_block_carries_event_id_and_every_line_of_its_data(void **state)
{
        UNUSED(state);
        struct msg *m =
                es_frame(SLICE_LIT("note"), SLICE_LIT("1.1.2.1.3"), SLICE_LIT("a\r\nb\n c"));
        assert_true(slice_is(slice_of(m->bytes, m->ws_n),
                "event: note\nid: 1.1.2.1.3\ndata: a\ndata: b\ndata:  c\n\n"));
        msg_unref(m);
        m = es_frame(SLICE_NONE, SLICE_LIT("5"), SLICE_NONE);
        assert_true(slice_is(slice_of(m->bytes, m->ws_n), "id: 5\n\n"));
        msg_unref(m);
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
        read_until(c, buf, sizeof(buf), 3000, "ddddd\n\n", &ended);
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
        assert_in_range(beats, 2, 8);
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
        read_stream(&rd, c, 8192, 3000, "\nid: 9\n");
        assert_int_equal(rd.events, 10);
        assert_true(rd.ordered);
        free(rd.p);
        close(c);
        assert_true(wait_for_count(
                &f->users[0].closed, 1, 1000)); /* though its bytes were never read */
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
        read_stream(&rd, c, 8u << 20, 20000, "\nid: 2999\n");
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
        read_stream(&rd, c, 8u << 20, 20000, "event: gap\ndata: {}\n\n");
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

static void a_block_longer_than_the_outbox_still_goes_through(void **state)
{
        UNUSED(state);
        struct fixture *f = start(&usual);
        int c = open_stream(f, 0, 32768);
        usleep(20000);
        on_user(f, 0, push_huge);
        assert_int_equal(f->users[0].results[0], 0);
        struct reading rd;
        read_stream(&rd, c, 1u << 20, 20000, "d\n\n");
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
        read_stream(&rd, c, 32u << 20, 20000, NULL);
        assert_int_equal(rd.ended, 1);
        assert_memory_equal(rd.p + rd.n - 3, "x\n\n", 3);
        assert_true(wait_for_count(&f->users[0].closed, 1, 3000));
        assert_int_equal(f->users[0].reason, ES_CLOSE_LIMIT);
        free(rd.p);
        close(c);
        stop(f);
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
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
