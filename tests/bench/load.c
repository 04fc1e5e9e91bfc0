/*
 * load - a load generator for Socket.IO chat gateways: one thread, one epoll loop, raw WebSockets.
 *
 * Opens N authenticated connections, joins each to its room, then sends messages at a rate and measures
 * what comes back: deliveries, acks, latency from send to receipt, and the server's CPU time for it. Prints
 * one JSON object. It speaks only as much of the protocol as it needs and trusts the server.
 *
 *   load --port 3006 --conns 2000 --rooms 1 --rate 50 --secs 10 --size 200 --pid 1234 --secret KEY
 *   load … --secs 0 --hold       connects, prints, and holds the connections until its input ends
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum state { CONNECTING, UPGRADING, OPENING, ENTERING, JOINING, READY };

struct client {
        int fd;
        enum state state;
        unsigned room;
        char *in; /* a partial frame, or NULL */
        size_t in_n, in_cap;
};

static struct options {
        unsigned port, conns, rooms, rate, secs, size, pid, parallel;
        const char *secret, *issuer, *audience;
        bool hold;
} opt = {.port = 3006, .conns = 100, .rooms = 1, .rate = 0, .secs = 5, .size = 200, .parallel = 256, .issuer = "tern", .audience = "tern"};

static struct client *clients;
static int epfd;
static unsigned started, ready, failed;
static uint64_t deliveries, acks, refused, sent;
/* Latency in buckets of 10 us up to 10 s. */
#define BUCKETS 1000000
static uint32_t *latency, *ack_latency;
static int64_t *ack_sent; /* by ack id */
static bool measuring;

static int64_t now_ns(void)
{
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void die(const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        fprintf(stderr, "load: ");
        vfprintf(stderr, fmt, ap);
        fprintf(stderr, "\n");
        va_end(ap);
        exit(1);
}

/* ---- tokens ---- */

static size_t base64url(const unsigned char *in, size_t n, char *out)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        size_t at = 0;
        for (size_t i = 0; i < n; i += 3) {
                uint32_t w = (uint32_t)in[i] << 16 | (i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0) | (i + 2 < n ? in[i + 2] : 0);
                size_t chars = n - i >= 3 ? 4 : n - i + 1;
                for (size_t k = 0; k < chars; k++)
                        out[at++] = digits[w >> (18 - 6 * k) & 63];
        }
        return at;
}

static void token(unsigned i, char *out)
{
        char claims[256];
        time_t now = time(NULL);
        int n = snprintf(claims, sizeof(claims), "{\"sub\":\"load-%u\",\"iat\":%ld,\"exp\":%ld,\"iss\":\"%s\",\"aud\":\"%s\"}", i, (long)now, (long)now + 7200, opt.issuer, opt.audience);
        size_t at = base64url((const unsigned char *)"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", 27, out);
        out[at++] = '.';
        at += base64url((unsigned char *)claims, (size_t)n, out + at);
        unsigned char mac[EVP_MAX_MD_SIZE];
        unsigned mac_n;
        HMAC(EVP_sha256(), opt.secret, (int)strlen(opt.secret), (unsigned char *)out, at, mac, &mac_n);
        out[at++] = '.';
        at += base64url(mac, mac_n, out + at);
        out[at] = '\0';
}

/* ---- frames ---- */

static void send_text(struct client *c, const char *text, size_t n)
{
        unsigned char head[14];
        size_t h = 2;
        head[0] = 0x81;
        if (n < 126) {
                head[1] = (unsigned char)(0x80 | n);
        } else {
                head[1] = 0x80 | 126;
                head[2] = (unsigned char)(n >> 8);
                head[3] = (unsigned char)n;
                h = 4;
        }
        memset(head + h, 0, 4); /* a mask of zeros leaves the bytes as they are */
        h += 4;
        char out[8192];
        if (h + n > sizeof(out))
                die("message too large");
        memcpy(out, head, h);
        memcpy(out + h, text, n);
        if (send(c->fd, out, h + n, MSG_NOSIGNAL) != (ssize_t)(h + n))
                failed++;
}

static void sendf(struct client *c, const char *fmt, ...)
{
        char text[4096];
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        send_text(c, text, (size_t)n);
}

static void count_latency(uint32_t *table, int64_t ns)
{
        int64_t b = ns / 10000;
        table[b < 0 ? 0 : b >= BUCKETS ? BUCKETS - 1 : b]++;
}

static void on_event(const char *p, size_t n)
{
        static const char mark[] = "\"content\":\"T";
        const char *at = memmem(p, n, mark, sizeof(mark) - 1);
        if (!at)
                return;
        deliveries++;
        if (measuring)
                count_latency(latency, now_ns() - strtoll(at + sizeof(mark) - 1, NULL, 10));
}

static void on_ack(const char *p, size_t n)
{
        uint64_t id = strtoull(p + 2, NULL, 10);
        acks++;
        if (!memmem(p, n, "\"ok\":true", 9))
                refused++;
        if (measuring && ack_sent && id > 0 && id <= sent)
                count_latency(ack_latency, now_ns() - ack_sent[id]);
}

static void start_client(unsigned i);

static void on_ready(struct client *c)
{
        c->state = READY;
        ready++;
        if (started < opt.conns)
                start_client(started++);
}

static void on_text(struct client *c, const char *p, size_t n)
{
        if (n == 1 && p[0] == '2') {
                send_text(c, "3", 1);
                return;
        }
        if (c->state == READY) {
                if (n > 2 && p[0] == '4' && p[1] == '2')
                        on_event(p, n);
                else if (n > 2 && p[0] == '4' && p[1] == '3')
                        on_ack(p, n);
                return;
        }
        unsigned i = (unsigned)(c - clients);
        if (c->state == OPENING && p[0] == '0') {
                char t[1024] = "";
                if (opt.secret)
                        token(i, t);
                if (opt.secret)
                        sendf(c, "40{\"token\":\"%s\"}", t);
                else
                        sendf(c, "40{\"user\":\"load-%u\"}", i);
                c->state = ENTERING;
        } else if (c->state == ENTERING && n > 1 && p[1] == '0') {
                sendf(c, "420[\"join_conversation\",\"bench-%u\"]", c->room);
                c->state = JOINING;
        } else if (c->state == JOINING && n > 1 && p[1] == '3') {
                if (!memmem(p, n, "\"ok\":true", 9))
                        die("join refused: %.*s", (int)n, p);
                on_ready(c);
        } else if (n > 1 && p[0] == '4' && p[1] == '4') {
                die("refused: %.*s", (int)n, p);
        }
}

/* Takes whole frames from p; returns what is left over. */
static size_t take_frames(struct client *c, const char *p, size_t n)
{
        size_t at = 0;
        while (n - at >= 2) {
                const unsigned char *u = (const unsigned char *)p + at;
                size_t len = u[1] & 127, head = 2;
                if (len == 126) {
                        if (n - at < 4)
                                break;
                        len = (size_t)u[2] << 8 | u[3];
                        head = 4;
                } else if (len == 127) {
                        if (n - at < 10)
                                break;
                        len = 0;
                        for (int k = 2; k < 10; k++)
                                len = len << 8 | u[k];
                        head = 10;
                }
                if (n - at < head + len)
                        break;
                if ((u[0] & 15) == 1)
                        on_text(c, p + at + head, len);
                at += head + len;
        }
        return n - at;
}

static void keep(struct client *c, const char *p, size_t n)
{
        if (n > c->in_cap) {
                c->in_cap = n + 4096;
                c->in = realloc(c->in, c->in_cap);
        }
        if (n)
                memmove(c->in, p, n);
        c->in_n = n;
}

static void close_client(struct client *c)
{
        close(c->fd);
        c->fd = -1;
        failed++;
}

static void on_readable(struct client *c)
{
        static char buf[1 << 18];
        if (c->in_n)
                memcpy(buf, c->in, c->in_n);
        ssize_t r = recv(c->fd, buf + c->in_n, sizeof(buf) - c->in_n, 0);
        if (r <= 0) {
                if (r == 0 || errno != EAGAIN)
                        close_client(c);
                return;
        }
        size_t n = c->in_n + (size_t)r;
        char *p = buf;
        if (c->state == UPGRADING) {
                char *end = memmem(buf, n, "\r\n\r\n", 4);
                if (!end) {
                        keep(c, buf, n);
                        return;
                }
                if (strncmp(buf, "HTTP/1.1 101", 12) != 0)
                        die("no 101: %.*s", 80, buf);
                c->state = OPENING;
                n -= (size_t)(end + 4 - buf);
                p = end + 4;
        }
        size_t left = take_frames(c, p, n);
        keep(c, p + n - left, left);
        if (left == 0 && c->in) {
                free(c->in);
                c->in = NULL;
                c->in_cap = 0;
        }
}

static void on_writable(struct client *c)
{
        char head[512];
        int n = snprintf(head, sizeof(head), "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", opt.port);
        if (send(c->fd, head, (size_t)n, MSG_NOSIGNAL) != n)
                die("the connection was refused: %s", strerror(errno));
        c->state = UPGRADING;
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &ev);
}

static void start_client(unsigned i)
{
        struct client *c = &clients[i];
        c->room = i % opt.rooms;
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (c->fd < 0)
                die("socket: %s", strerror(errno));
        int one = 1;
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        /* 28,000 ports an address: spread over the loopback net. */
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        if (connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS)
                die("connect: %s", strerror(errno));
        struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = c};
        epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &ev);
}

static void turn(int timeout_ms)
{
        struct epoll_event evs[512];
        int n = epoll_wait(epfd, evs, 512, timeout_ms);
        for (int i = 0; i < n; i++) {
                struct client *c = evs[i].data.ptr;
                if (c->fd < 0)
                        continue;
                if (c->state == CONNECTING)
                        on_writable(c);
                else
                        on_readable(c);
        }
}

/* ---- figures ---- */

static double cpu_seconds(unsigned pid)
{
        char path[64], line[1024];
        unsigned long long user = 0, sys = 0;
        if (pid == 0)
                return 0;
        snprintf(path, sizeof(path), "/proc/%u/stat", pid);
        FILE *f = fopen(path, "r");
        if (!f || !fgets(line, sizeof(line), f))
                die("no process %u", pid);
        fclose(f);
        char *end = strrchr(line, ')');
        sscanf(end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &sys);
        return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static double percentile(const uint32_t *table, double p)
{
        uint64_t total = 0, seen = 0;
        for (size_t i = 0; i < BUCKETS; i++)
                total += table[i];
        for (size_t i = 0; i < BUCKETS; i++) {
                seen += table[i];
                if (total && (double)seen >= p * (double)total)
                        return (double)i / 100.0;
        }
        return 0;
}

static void send_message(unsigned client)
{
        struct client *c = &clients[client % opt.conns];
        if (c->fd < 0)
                return;
        char pad[4096];
        unsigned fill = opt.size > 22 ? opt.size - 22 : 0;
        memset(pad, 'x', fill < sizeof(pad) ? fill : sizeof(pad) - 1);
        pad[fill < sizeof(pad) ? fill : sizeof(pad) - 1] = '\0';
        sent++;
        int64_t now = now_ns();
        if (ack_sent)
                ack_sent[sent] = now;
        sendf(c, "42%llu[\"send_message\",{\"conversationId\":\"bench-%u\",\"content\":\"T%lld:%s\"}]", (unsigned long long)sent, c->room, (long long)now, pad);
}

static void run_for(double secs)
{
        int64_t start = now_ns(), end = start + (int64_t)(secs * 1e9);
        uint64_t first = sent;
        for (int64_t now = start; now < end; now = now_ns()) {
                uint64_t due = first + (uint64_t)((double)(now - start) / 1e9 * opt.rate);
                for (unsigned k = 0; sent < due && k < 64; k++)
                        send_message((unsigned)(sent * 7919));
                turn(sent < due ? 0 : 1);
        }
}

static void parse(int argc, char **argv)
{
        static const struct option longs[] = {{"port", 1, 0, 'p'}, {"conns", 1, 0, 'c'}, {"rooms", 1, 0, 'r'}, {"rate", 1, 0, 'R'}, {"secs", 1, 0, 's'}, {"size", 1, 0, 'z'}, {"pid", 1, 0, 'P'}, {"secret", 1, 0, 'k'}, {"hold", 0, 0, 'h'}, {"parallel", 1, 0, 'l'}, {0}};
        int o;
        while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
                unsigned v = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;
                switch (o) {
                case 'p': opt.port = v; break;
                case 'c': opt.conns = v; break;
                case 'r': opt.rooms = v; break;
                case 'R': opt.rate = v; break;
                case 's': opt.secs = v; break;
                case 'z': opt.size = v; break;
                case 'P': opt.pid = v; break;
                case 'l': opt.parallel = v; break;
                case 'k': opt.secret = optarg; break;
                case 'h': opt.hold = true; break;
                default: exit(2);
                }
        }
        if (opt.conns == 0 || opt.rooms == 0)
                die("--conns and --rooms have to be at least 1");
}

static void hold(void)
{
        struct pollfd in = {.fd = 0, .events = POLLIN};
        for (;;) {
                turn(100);
                char c;
                if (poll(&in, 1, 0) > 0 && read(0, &c, 1) <= 0)
                        return;
        }
}

int main(int argc, char **argv)
{
        parse(argc, argv);
        struct rlimit lim;
        getrlimit(RLIMIT_NOFILE, &lim);
        lim.rlim_cur = lim.rlim_max;
        setrlimit(RLIMIT_NOFILE, &lim);
        clients = calloc(opt.conns, sizeof(*clients));
        latency = calloc(BUCKETS, sizeof(*latency));
        ack_latency = calloc(BUCKETS, sizeof(*ack_latency));
        epfd = epoll_create1(0);
        ack_sent = calloc((size_t)opt.rate * (opt.secs + 4) + 64, sizeof(*ack_sent));

        int64_t t0 = now_ns(), last = t0;
        double cpu0 = cpu_seconds(opt.pid);
        while (started < opt.conns && started < opt.parallel)
                start_client(started++);
        unsigned before = 0;
        while (ready < opt.conns) {
                turn(100);
                int64_t now = now_ns();
                if (ready != before) {
                        before = ready;
                        last = now;
                } else if (now - last > 20000000000LL) {
                        die("%u of %u connections are ready, %u failed", ready, opt.conns, failed);
                }
        }
        double connect_ms = (double)(now_ns() - t0) / 1e6;
        double connect_cpu = cpu_seconds(opt.pid) - cpu0;
        if (opt.secs && opt.rate) {
                run_for(1); /* warm */
                measuring = true;
                uint64_t d0 = deliveries, s0 = sent, a0 = acks;
                cpu0 = cpu_seconds(opt.pid);
                run_for(opt.secs);
                /* What is still under way. */
                int64_t end = now_ns() + 1000000000;
                while (now_ns() < end && acks < sent)
                        turn(10);
                double cpu = cpu_seconds(opt.pid) - cpu0;
                uint64_t d = deliveries - d0, s = sent - s0, a = acks - a0;
                printf("{\"connections\":%u,\"connect_ms\":%.0f,\"connect_cpu_s\":%.2f,\"sent\":%llu,\"acked\":%llu,\"refused\":%llu,\"deliveries\":%llu,\"secs\":%u,\"cpu_s\":%.2f,\"cpu_us_per_delivery\":%.3f,\"cpu_us_per_message\":%.2f,"
                       "\"latency_ms\":{\"p50\":%.2f,\"p99\":%.2f},\"ack_ms\":{\"p50\":%.2f,\"p99\":%.2f},\"failed\":%u}\n",
                        opt.conns, connect_ms, connect_cpu, (unsigned long long)s, (unsigned long long)a, (unsigned long long)refused, (unsigned long long)d, opt.secs, cpu, d ? cpu * 1e6 / (double)d : 0, s ? cpu * 1e6 / (double)s : 0,
                        percentile(latency, .5), percentile(latency, .99), percentile(ack_latency, .5), percentile(ack_latency, .99), failed);
        } else {
                printf("{\"connections\":%u,\"connect_ms\":%.0f,\"connect_cpu_s\":%.2f,\"failed\":%u}\n", opt.conns, connect_ms, connect_cpu, failed);
        }
        fflush(stdout);
        if (opt.hold)
                hold();
        return failed ? 1 : 0;
}
