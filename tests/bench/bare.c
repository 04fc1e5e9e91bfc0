/*
 * bare - the floor that a gateway is measured against: one thread, one epoll loop, one send() for each frame, no
 * log, no tokens, nothing bounded. It speaks just enough of Socket.IO for load.c.
 *
 *   bare PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOMS 4096

struct peer {
        int fd;
        bool upgraded;
        int room; /* -1 = none */
        struct peer *next;
};

static struct peer *rooms[ROOMS];
static int epfd;

static size_t frame(const char *text, size_t n, char *out)
{
        size_t h = 2;
        out[0] = (char)0x81;
        if (n < 126) {
                out[1] = (char)n;
        } else {
                out[1] = 126;
                out[2] = (char)(n >> 8);
                out[3] = (char)n;
                h = 4;
        }
        memcpy(out + h, text, n);
        return h + n;
}

static void say(struct peer *p, const char *text)
{
        char out[4096];
        size_t n = frame(text, strlen(text), out);
        (void)!send(p->fd, out, n, MSG_NOSIGNAL);
}

static void upgrade(struct peer *p, const char *head)
{
        const char *key = strcasestr(head, "Sec-WebSocket-Key: ");
        char text[128], out[512], accept[64];
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned n;
        if (!key)
                return;
        snprintf(text, sizeof(text), "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
        EVP_Digest(text, strlen(text), digest, &n, EVP_sha1(), NULL);
        EVP_EncodeBlock((unsigned char *)accept, digest, (int)n);
        int k = snprintf(out, sizeof(out), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
        (void)!send(p->fd, out, (size_t)k, MSG_NOSIGNAL);
        p->upgraded = true;
        say(p, "0{\"sid\":\"x\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}");
}

static void broadcast(struct peer *from, const char *object, size_t n, unsigned long long id)
{
        char text[4096], out[4200], ack[64];
        int k = snprintf(text, sizeof(text), "42[\"new_message\",%.*s,\"AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"]", (int)n, object);
        size_t len = frame(text, (size_t)k, out);
        for (struct peer *p = rooms[from->room]; p; p = p->next)
                (void)!send(p->fd, out, len, MSG_NOSIGNAL);
        snprintf(ack, sizeof(ack), "43%llu[{\"ok\":true}]", id);
        say(from, ack);
}

static void on_text(struct peer *p, char *t, size_t n)
{
        if (n < 2 || t[0] != '4')
                return;
        if (t[1] == '0') {
                say(p, "40{\"sid\":\"x\"}");
                return;
        }
        char *rest;
        unsigned long long id = strtoull(t + 2, &rest, 10);
        static const char join[] = "[\"join_conversation\",\"bench-", sends[] = "[\"send_message\",";
        if (strncmp(rest, join, sizeof(join) - 1) == 0) {
                p->room = atoi(rest + sizeof(join) - 1) % ROOMS;
                p->next = rooms[p->room];
                rooms[p->room] = p;
                char ack[64];
                snprintf(ack, sizeof(ack), "43%llu[{\"ok\":true}]", id);
                say(p, ack);
        } else if (strncmp(rest, sends, sizeof(sends) - 1) == 0) {
                char *object = rest + sizeof(sends) - 1;
                broadcast(p, object, (size_t)(t + n - 1 - object), id);
        }
}

static void on_readable(struct peer *p)
{
        static char buf[1 << 16];
        ssize_t r = recv(p->fd, buf, sizeof(buf) - 1, 0);
        if (r <= 0) {
                if (r == 0 || errno != EAGAIN)
                        close(p->fd);
                return;
        }
        buf[r] = '\0';
        if (!p->upgraded) {
                upgrade(p, buf);
                return;
        }
        size_t n = (size_t)r, at = 0;
        while (n - at >= 6) {
                unsigned char *u = (unsigned char *)buf + at;
                size_t len = u[1] & 127, head = 6;
                if (len == 126) {
                        len = (size_t)u[2] << 8 | u[3];
                        head = 8;
                }
                if (n - at < head + len)
                        break;
                char keep = buf[at + head + len];
                buf[at + head + len] = '\0';
                if ((u[0] & 15) == 1)
                        on_text(p, buf + at + head, len);
                buf[at + head + len] = keep;
                at += head + len;
        }
}

int main(int argc, char **argv)
{
        struct rlimit lim;
        getrlimit(RLIMIT_NOFILE, &lim);
        lim.rlim_cur = lim.rlim_max;
        setrlimit(RLIMIT_NOFILE, &lim);
        int one = 1, ls = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t an = sizeof(a);
        if (bind(ls, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(ls, 4096) < 0 || getsockname(ls, (struct sockaddr *)&a, &an) < 0) {
                fprintf(stderr, "bare: %s\n", strerror(errno));
                return 1;
        }
        printf("%d\n", ntohs(a.sin_port));
        fflush(stdout);
        epfd = epoll_create1(0);
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL}, evs[512];
        epoll_ctl(epfd, EPOLL_CTL_ADD, ls, &ev);
        for (;;) {
                int n = epoll_wait(epfd, evs, 512, -1);
                for (int i = 0; i < n; i++) {
                        if (evs[i].data.ptr) {
                                on_readable(evs[i].data.ptr);
                                continue;
                        }
                        int fd = accept4(ls, NULL, NULL, SOCK_NONBLOCK);
                        if (fd < 0)
                                continue;
                        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
                        struct peer *p = calloc(1, sizeof(*p));
                        p->fd = fd;
                        p->room = -1;
                        struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
                        epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e);
                }
        }
}
