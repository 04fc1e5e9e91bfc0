/*
 * body - request bodies, read to the byte: not one byte beyond the body leaves the kernel, because
 * a pipelined request that follows belongs to the socket's next visit.
 */
#include "http/internal.h"

#include "base/clock.h"
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#define DISCARD_BYTES_MAX 65536
#define FIRST_BYTES 16384
#define CHUNK_LINE_MAX 256 /* size and extensions */
#define TRAILER_BYTES_MAX 4096

struct reader {
        struct http_conn *hc;
        int64_t deadline_mono_ms; /* 0: what needs waiting fails with -EAGAIN */
};

static int wait_readable(struct reader *rd)
{
        struct http_conn *hc = rd->hc;
        if (rd->deadline_mono_ms == 0)
                return -EAGAIN;
        if (hc->head.expect_continue && !hc->continued) {
                hc->continued = true;
                if (!conn_write(hc, SLICE_LIT("HTTP/1.1 100 Continue\r\n\r\n"), SLICE_NONE))
                        return -ECONNRESET;
        }
        return conn_wait(hc, POLLIN, rd->deadline_mono_ms);
}

/* Some bytes, at least one. flags 0 or MSG_PEEK. A count, or -errno. */
static ssize_t read_some(struct reader *rd, char *p, size_t n, int flags)
{
        for (;;) {
                ssize_t got = recv(rd->hc->fd, p, n, flags | MSG_DONTWAIT);
                if (got > 0)
                        return got;
                if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
                        return -ECONNRESET;
                int r = errno == EINTR ? 0 : wait_readable(rd);
                if (r < 0)
                        return r;
        }
}

/* Appends n bytes to out, which grows with what came, not with what was announced. */
static int read_exactly(struct reader *rd, struct buf *out, size_t n)
{
        while (n > 0) {
                size_t step = n < FIRST_BYTES ? n : out->n + FIRST_BYTES;
                if (step > n)
                        step = n;
                ssize_t got = read_some(rd, buf_reserve(out, step), step, 0);
                if (got < 0)
                        return (int)got;
                buf_commit(out, (size_t)got);
                n -= (size_t)got;
        }
        return 0;
}

/* One line without its CRLF into line[cap]. Its length, -EINVAL if it is too long or no line, or
 * -errno. */
static ssize_t read_line(struct reader *rd, char *line, size_t cap)
{
        size_t n = 0;
        while (n < cap) {
                ssize_t got = read_some(rd, line + n, cap - n, MSG_PEEK);
                if (got < 0)
                        return got;
                char *lf = memchr(line + n, '\n', (size_t)got);
                size_t take = lf ? (size_t)(lf - (line + n)) + 1 : (size_t)got;
                if (recv(rd->hc->fd, line + n, take, MSG_DONTWAIT) != (ssize_t)take)
                        return -ECONNRESET;
                n += take;
                if (lf)
                        return n >= 2 && line[n - 2] == '\r' ? (ssize_t)n - 2 : -EINVAL;
        }
        return -EINVAL;
}

/* "1a" or "1a;name=value". */
static int parse_chunk_size(struct slice line, size_t *ret)
{
        size_t size = 0, digits = 0;
        for (; digits < line.n && digits < 8; digits++) {
                char c = line.p[digits];
                unsigned v;
                if (c >= '0' && c <= '9')
                        v = (unsigned)(c - '0');
                else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
                        v = (unsigned)((c | 0x20) - 'a' + 10);
                else
                        break;
                size = size * 16 + v;
        }
        struct slice extension = slice_from(line, digits);
        while (extension.n && (extension.p[0] == ' ' || extension.p[0] == '\t'))
                extension = slice_from(extension, 1);
        if (digits == 0 || (extension.n && extension.p[0] != ';'))
                return -EINVAL;
        for (size_t i = 0; i < extension.n; i++)
                if (extension.p[i] != '\t' && (unsigned char)extension.p[i] < 0x20)
                        return -EINVAL;
        *ret = size;
        return 0;
}

static int read_trailers(struct reader *rd)
{
        char line[TRAILER_BYTES_MAX];
        size_t left = sizeof(line);
        for (;;) {
                ssize_t n = read_line(rd, line, left);
                if (n <= 0)
                        return (int)n;
                left -= (size_t)n;
        }
}

static int read_chunked(struct reader *rd, struct buf *out, size_t bytes_max)
{
        for (;;) {
                char line[CHUNK_LINE_MAX];
                ssize_t n = read_line(rd, line, sizeof(line));
                if (n < 0)
                        return (int)n;
                size_t size;
                int r = parse_chunk_size(slice_of(line, (size_t)n), &size);
                if (r < 0)
                        return r;
                if (size == 0)
                        return read_trailers(rd);
                if (size > bytes_max - out->n)
                        return -EMSGSIZE;
                r = read_exactly(rd, out, size);
                if (r < 0)
                        return r;
                n = read_line(rd, line, 2);
                if (n != 0)
                        return n < 0 ? (int)n : -EINVAL;
        }
}

static int read_body(struct reader *rd, struct buf *out, size_t bytes_max)
{
        struct http_conn *hc = rd->hc;
        int r;
        if (hc->body_begun)
                return -ECONNRESET;
        hc->body_begun = true;
        if (hc->head.chunked)
                r = read_chunked(rd, out, bytes_max);
        else if ((uint64_t)hc->head.content_length > bytes_max)
                r = -EMSGSIZE;
        else
                r = read_exactly(rd, out, (size_t)hc->head.content_length);
        hc->body_done = r == 0;
        return r;
}

int http_body(struct http_request *rq, size_t bytes_max, struct slice *ret)
{
        struct http_conn *hc = rq->hc;
        const struct http_settings *s = hc->srv->settings;
        if (hc->fd < 0)
                return -ECONNRESET;
        if (bytes_max > s->body_bytes_max)
                bytes_max = s->body_bytes_max;
        if (!hc->body_done) {
                struct reader rd = {hc, hc->began_mono_ms + s->body_ms};
                int r = read_body(&rd, &rq->body, bytes_max);
                if (r == -ETIMEDOUT)
                        metrics_add(hc->srv->metrics, M_intake_expired, 1, 1);
                if (r < 0)
                        return r;
        }
        *ret = slice_of(buf_cstr(&rq->body), rq->body.n);
        return 0;
}

void body_discard(struct http_conn *hc)
{
        if (hc->body_done || hc->body_begun || hc->fd < 0 ||
                (hc->head.expect_continue && !hc->continued))
                return;
        struct reader rd = {hc, 0};
        struct buf sink = BUF_EMPTY;
        (void)!read_body(&rd, &sink, DISCARD_BYTES_MAX);
        buf_done(&sink);
}
