/* forward: bytes pass both ways, ends are passed on, and a broker that is not there ends the client. */
#include "devbroker/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define BIG (1 << 20)

static struct sockaddr_in loopback(uint16_t port)
{
        return (struct sockaddr_in){.sin_family = AF_INET,
                .sin_port = htons(port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_free(uint16_t *ret_port)
{
        struct sockaddr_in a = loopback(0);
        socklen_t n = sizeof(a);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
        assert_int_equal(listen(fd, 8), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
        *ret_port = ntohs(a.sin_port);
        return fd;
}

static int connect_to(uint16_t port)
{
        struct sockaddr_in a = loopback(port);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_true(fd >= 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        const struct timeval limit = {10, 0};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        return fd;
}

static void read_whole(int fd, char *to, size_t n)
{
        size_t got = 0;
        while (got < n) {
                ssize_t r = read(fd, to + got, n - got);
                assert_true(r > 0);
                got += (size_t)r;
        }
}

static void bytes_pass_both_ways_and_ends_are_passed_on(void **state)
{
        UNUSED(state);
        uint16_t target = 0;
        int listener = listen_free(&target);
        struct forward *f = NULL;
        assert_int_equal(forward_open(0, &f), 0);
        assert_int_equal(forward_start(f, target), 0);
        int client = connect_to(forward_port(f)), server = accept(listener, NULL, NULL);
        assert_true(server >= 0);
        char small[8] = "";
        assert_int_equal(write(client, "hello", 5), 5);
        read_whole(server, small, 5);
        assert_string_equal(small, "hello");
        /* More than all buffers hold, while the other side does not read at first. */
        char *big = xmalloc(BIG), *back = xmalloc(BIG);
        for (size_t i = 0; i < BIG; i++)
                big[i] = (char)(i * 7);
        pid_t child = fork();
        if (child == 0) {
                for (size_t sent = 0; sent < BIG;) {
                        ssize_t n = write(server, big + sent, BIG - sent);
                        if (n <= 0)
                                _exit(1);
                        sent += (size_t)n;
                }
                _exit(0);
        }
        close(server);
        usleep(100000);
        read_whole(client, back, BIG);
        assert_memory_equal(big, back, BIG);
        assert_int_equal(read(client, back, 1), 0);
        free(big);
        free(back);
        close(client);
        close(listener);
        forward_free(f);
}

static void a_broker_that_is_gone_ends_the_client(void **state)
{
        UNUSED(state);
        uint16_t target = 0;
        close(listen_free(&target));
        struct forward *f = NULL;
        assert_int_equal(forward_open(0, &f), 0);
        assert_int_equal(forward_start(f, target), 0);
        int client = connect_to(forward_port(f));
        char c;
        assert_true(read(client, &c, 1) <= 0);
        close(client);
        forward_free(f);
}

static void a_port_in_use_is_told(void **state)
{
        UNUSED(state);
        uint16_t port = 0;
        int taken = listen_free(&port);
        struct forward *f = NULL;
        assert_int_equal(forward_open(port, &f), -EADDRINUSE);
        close(taken);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(bytes_pass_both_ways_and_ends_are_passed_on),
                cmocka_unit_test(a_broker_that_is_gone_ends_the_client),
                cmocka_unit_test(a_port_in_use_is_told),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
