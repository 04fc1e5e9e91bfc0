/* cors: none, all and a list, on answers, errors and preflights. */
#include "harness.h"

static void plain(void *arg, struct http_request *rq)
{
        UNUSED(arg);
        http_reply_json(rq, 200, SLICE_LIT("{}"));
}

static void *with_origins(struct harness *h, const char *origins)
{
        harness_new(h);
        h->settings.origins = (char *)(uintptr_t)origins;
        http_route(h->srv, "GET", "/x", plain, NULL);
        harness_start(h);
        return h;
}

struct want {
        const char *request;
        int status;
        const char *origin, *credentials, *vary; /* NULL: the header is not there */
};

static void expect_header(struct reply *r, const char *name, const char *value)
{
        if (value)
                assert_true(reply_header_is(r, name, value));
        else
                assert_null(reply_header(r, name));
}

static void expect_all(struct harness *h, const struct want *wants, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                struct reply r = client_ask(h->port, wants[i].request);
                assert_int_equal(r.status, wants[i].status);
                expect_header(&r, "Access-Control-Allow-Origin", wants[i].origin);
                expect_header(&r, "Access-Control-Allow-Credentials", wants[i].credentials);
                if (wants[i].vary)
                        expect_header(&r, "Vary", wants[i].vary);
                reply_done(&r);
        }
}

#define GOOD "Host: a\r\nOrigin: https://good.example\r\n"
#define EVIL "Host: a\r\nOrigin: https://evil.example\r\n"
#define ASKS                                                                                       \
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, "   \
        "x-y\r\n"

static void none_by_default(void **state)
{
        UNUSED(state);
        struct harness h;
        with_origins(&h, "");
        static const struct want wants[] = {
                {"GET /x HTTP/1.1\r\n" GOOD "\r\n", 200, NULL, NULL, NULL},
                {"GET /y HTTP/1.1\r\n" GOOD "\r\n", 404, NULL, NULL, NULL},
                {"OPTIONS /x HTTP/1.1\r\n" GOOD ASKS "\r\n", 405, NULL, NULL, NULL},
        };
        expect_all(&h, wants, ARRAY_LEN(wants));
        harness_stop(&h);
}

static void a_star_opens_to_all_without_credentials(void **state)
{
        UNUSED(state);
        struct harness h;
        with_origins(&h, "*");
        static const struct want wants[] = {
                {"GET /x HTTP/1.1\r\n" GOOD "\r\n", 200, "*", NULL, NULL},
                {"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", 200, "*", NULL, NULL},
                {"GET /y HTTP/1.1\r\n" EVIL "\r\n", 404, "*", NULL, NULL},
                {"POST /x HTTP/1.1\r\n" EVIL "\r\n", 405, "*", NULL, NULL},
                {"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400, "*", NULL, NULL},
                {"OPTIONS /x HTTP/1.1\r\n" GOOD ASKS "\r\n", 204, "*", NULL, NULL},
        };
        expect_all(&h, wants, ARRAY_LEN(wants));
        harness_stop(&h);
}

static void a_list_opens_to_its_origins(void **state)
{
        UNUSED(state);
        struct harness h;
        with_origins(&h, "https://other.example , https://good.example");
        static const struct want wants[] = {
                {"GET /x HTTP/1.1\r\n" GOOD "\r\n", 200, "https://good.example", "true", "Origin"},
                {"GET /y HTTP/1.1\r\n" GOOD "\r\n", 404, "https://good.example", "true", "Origin"},
                {"GET /x HTTP/1.1\r\n" EVIL "\r\n", 200, NULL, NULL, "Origin"},
                {"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", 200, NULL, NULL, "Origin"},
                {"OPTIONS /x HTTP/1.1\r\n" EVIL ASKS "\r\n", 204, NULL, NULL, "Origin"},
        };
        expect_all(&h, wants, ARRAY_LEN(wants));
        struct reply r = client_ask(h.port, "OPTIONS /anything HTTP/1.1\r\n" GOOD ASKS "\r\n");
        assert_int_equal(r.status, 204);
        expect_header(&r, "Access-Control-Allow-Origin", "https://good.example");
        expect_header(&r, "Access-Control-Allow-Methods", "GET,HEAD,PUT,PATCH,POST,DELETE");
        expect_header(&r, "Access-Control-Allow-Headers", "authorization, x-y");
        expect_header(&r, "Content-Length", "0");
        expect_header(&r, "Connection", "keep-alive");
        reply_done(&r);
        harness_stop(&h);
}

static void origins_match_whole(void **state)
{
        UNUSED(state);
        assert_true(http_origin_allowed("", SLICE_NONE));
        assert_false(http_origin_allowed("", SLICE_LIT("https://a")));
        assert_true(http_origin_allowed("*", SLICE_LIT("null")));
        assert_true(http_origin_allowed("https://a,https://b", SLICE_LIT("https://b")));
        assert_false(http_origin_allowed("https://a,https://b", SLICE_LIT("https://b:8443")));
        assert_false(http_origin_allowed("https://a", SLICE_LIT("http://a")));
        assert_false(http_origin_allowed("https://a", SLICE_LIT("null")));
}

static void the_defaults_are_valid(void **state)
{
        UNUSED(state);
        struct http_settings s = {0};
        struct config_group g = {"http", http_settings_rows, http_settings_count, &s};
        struct config_result r;
        char *env[] = {NULL};
        assert_int_equal(config_load(&g, 1, env, &r), 0);
        assert_int_equal(s.workers, 16);
        assert_string_equal(s.origins, "");
        config_result_done(&r);
        config_free(&g, 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(none_by_default),
                cmocka_unit_test(a_star_opens_to_all_without_credentials),
                cmocka_unit_test(a_list_opens_to_its_origins),
                cmocka_unit_test(origins_match_whole),
                cmocka_unit_test(the_defaults_are_valid),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
