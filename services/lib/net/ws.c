/*
 * The reading side. A frame's header is collected first (14 bytes at most), looked at for what can
 * be refused early, and then given to wslay, which judges lengths and control frames and unmasks
 * the payload. wslay never sees a byte beyond the frame it is in, so its context (4 KB) is clean
 * after each frame and goes back to the pool, as does all else when the message is complete.
 */
#include "net/ws.h"

#include "base/buf.h"
#include <stdlib.h>
#include <wslay/wslay.h>

#define PARTIAL_BYTES_MAX (64u << 20)
#define PARSER_BYTES 4300 /* what a wslay context costs, for the pool's sum */
#define SPARES_MAX 8
#define FRAME_HEADER_MAX 14
#define CONTROL_MAX 125

struct parser {
        wslay_frame_context_ptr ctx; /* owned */
        /* What wslay may take: the header first, then feed_left bytes of *in at most. */
        struct slice header;
        struct slice *in; /* borrowed for one ws_next() */
        uint64_t feed_left;
};

struct ws_partial {
        struct parser *parser; /* owned; NULL outside of a frame's payload */
        struct buf message;    /* owned: what of the message has arrived */
        struct utf8_check utf8;
        uint32_t fragments; /* frames of the message so far; 0 = none has begun */
        uint8_t message_op;
        uint8_t header[FRAME_HEADER_MAX], header_n;
        uint8_t control[CONTROL_MAX], control_n;
        uint64_t frame_n,
                frame_left; /* payload of the frame; meaningful once its header is whole */
        bool in_frame;      /* the header is whole and has been accepted */
        uint64_t charged;   /* of the pool's bytes */
};

struct ws_pool {
        struct ws_limits limits;
        uint64_t bytes;
        struct ws_partial *partials[SPARES_MAX];
        struct parser *parsers[SPARES_MAX];
        unsigned partials_n, parsers_n;
        /* owned: what the last item's payload points into; its parser, if any, is at a frame's
         * border */
        struct ws_partial *lent;
};

/* ---- the pool ---- */

static ssize_t take_input(uint8_t *buf, size_t len, int flags, void *user_data)
{
        UNUSED(flags);
        struct parser *ps = user_data;
        bool header = ps->header.n > 0;
        struct slice *from = header ? &ps->header : ps->in;
        size_t n = from->n < len ? from->n : len;
        if (!header && n > ps->feed_left)
                n = (size_t)ps->feed_left;
        if (n == 0)
                return -1;
        memcpy(buf, from->p, n);
        *from = slice_from(*from, n);
        if (!header)
                ps->feed_left -= n;
        return (ssize_t)n;
}

static struct parser *parser_free(struct parser *ps)
{
        if (ps) {
                wslay_frame_context_free(ps->ctx);
                free(ps);
        }
        return NULL;
}

static struct parser *parser_get(struct ws_pool *pool)
{
        if (pool->parsers_n > 0)
                return pool->parsers[--pool->parsers_n];
        struct parser *ps = xcalloc(1, sizeof(*ps));
        struct wslay_frame_callbacks cb = {.recv_callback = take_input};
        int r = wslay_frame_context_init(&ps->ctx, &cb, ps);
        CHECK(r == 0);
        return ps;
}

/* Only one that stands at a frame's border. */
static void parser_put(struct ws_pool *pool, struct parser *ps)
{
        if (pool->parsers_n < SPARES_MAX)
                pool->parsers[pool->parsers_n++] = ps;
        else
                parser_free(ps);
}

static void charge(struct ws_pool *pool, struct ws_partial *pt)
{
        uint64_t now = sizeof(*pt) + pt->message.cap + (pt->parser ? PARSER_BYTES : 0);
        pool->bytes += now - pt->charged;
        pt->charged = now;
}

static struct ws_partial *partial_get(struct ws_pool *pool)
{
        struct ws_partial *pt =
                pool->partials_n > 0 ? pool->partials[--pool->partials_n] : xmalloc(sizeof(*pt));
        *pt = (struct ws_partial){0};
        charge(pool, pt);
        return pt;
}

static void partial_put(struct ws_pool *pool, struct ws_partial *pt)
{
        pool->bytes -= pt->charged;
        pt->charged = 0;
        buf_done(&pt->message);
        pt->parser = parser_free(pt->parser); /* in the middle of a frame: of no use to others */
        if (pool->partials_n < SPARES_MAX)
                pool->partials[pool->partials_n++] = pt;
        else
                free(pt);
}

static void end_loan(struct ws_pool *pool)
{
        struct ws_partial *pt = pool->lent;
        pool->lent = NULL;
        if (!pt)
                return;
        if (pt->parser)
                parser_put(pool, pt->parser);
        pt->parser = NULL;
        partial_put(pool, pt);
}

struct ws_pool *ws_pool_new(const struct ws_limits *limits)
{
        struct ws_pool *pool = xcalloc(1, sizeof(*pool));
        pool->limits = *limits;
        if (pool->limits.partial_bytes_max == 0)
                pool->limits.partial_bytes_max = PARTIAL_BYTES_MAX;
        return pool;
}

struct ws_pool *ws_pool_free(struct ws_pool *pool)
{
        if (!pool)
                return NULL;
        end_loan(pool);
        CHECK(pool->bytes == 0);
        while (pool->partials_n > 0)
                free(pool->partials[--pool->partials_n]);
        while (pool->parsers_n > 0)
                parser_free(pool->parsers[--pool->parsers_n]);
        free(pool);
        return NULL;
}

uint64_t ws_pool_bytes(const struct ws_pool *pool)
{
        return pool->bytes;
}

uint64_t ws_pool_bytes_max(const struct ws_pool *pool)
{
        return pool->limits.partial_bytes_max;
}

/* ---- ends ---- */

static enum ws_kind fail(struct ws_pool *pool, struct ws *w, int code, struct ws_item *ret)
{
        bool ours_is_out = w->state == WS_CLOSE_SENT;
        ws_done(pool, w);
        w->state = WS_OVER;
        ret->code = code;
        if (!ours_is_out)
                ret->reply = slice_of(
                        ret->reply_bytes, ws_close_frame(code, SLICE_NONE, ret->reply_bytes));
        return WS_FAIL;
}

static bool close_code_valid(int code)
{
        if (code >= 3000 && code <= 4999)
                return true;
        return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

static enum ws_kind got_close(
        struct ws_pool *pool, struct ws *w, struct slice payload, struct ws_item *ret)
{
        if (payload.n == 1)
                return fail(pool, w, 1002, ret);
        int code = 1005;
        struct slice reason = SLICE_NONE;
        if (payload.n >= 2) {
                code = (uint8_t)payload.p[0] << 8 | (uint8_t)payload.p[1];
                if (!close_code_valid(code))
                        return fail(pool, w, 1002, ret);
                reason = slice_from(payload, 2);
                struct utf8_check u = {0};
                if (!utf8_check_feed(&u, reason) || !utf8_check_complete(&u))
                        return fail(pool, w, 1007, ret);
        }
        if (w->state != WS_CLOSE_SENT)
                ret->reply = slice_of(
                        ret->reply_bytes, ws_close_frame(code, SLICE_NONE, ret->reply_bytes));
        w->state = WS_OVER;
        ret->code = code;
        ret->payload = reason;
        return WS_CLOSE;
}

/* ---- a frame's header ---- */

static size_t header_size(const uint8_t *h)
{
        unsigned n = h[1] & 0x7f;
        return 2 + (n == 126 ? 2u : n == 127 ? 8u : 0u) + 4u;
}

static bool is_control(uint8_t op)
{
        return op & 8;
}

/* What the first two bytes alone tell: 0 or a close code. */
static int judge_early(const struct ws_partial *pt)
{
        const uint8_t *h = pt->header;
        uint8_t op = h[0] & 0x0f;
        if (pt->header_n >= 1) {
                if ((h[0] & 0x70) || (op > 2 && op < 8) || op > 10)
                        return 1002;
                if (is_control(op) ? !(h[0] & 0x80) : (op == 0) != (pt->fragments > 0))
                        return 1002;
        }
        if (pt->header_n >= 2 && (!(h[1] & 0x80) || (is_control(op) && (h[1] & 0x7f) > 125)))
                return 1002;
        return 0;
}

static uint64_t announced(const uint8_t *h, size_t size)
{
        if (size == 6)
                return h[1] & 0x7f;
        uint64_t n = 0;
        for (size_t i = 2; i < size - 4; i++)
                n = n << 8 | h[i];
        return n;
}

/* The header is whole: 0 or a close code. */
static int open_frame(struct ws_pool *pool, struct ws_partial *pt)
{
        uint8_t op = pt->header[0] & 0x0f;
        uint64_t n = announced(pt->header, pt->header_n);
        if (!is_control(op)) {
                if (n > pool->limits.message_bytes_max ||
                        n + pt->message.n > pool->limits.message_bytes_max)
                        return n >> 63 ? 1002 : 1009;
                if (pt->fragments >= pool->limits.fragments_max)
                        return 1009;
                if (op != 0)
                        pt->message_op = op;
                pt->fragments++;
        }
        pt->frame_n = pt->frame_left = n;
        pt->in_frame = true;
        pt->control_n = 0;
        pt->parser = parser_get(pool);
        pt->parser->header = slice_of((const char *)pt->header, pt->header_n);
        pt->parser->feed_left = n;
        charge(pool, pt);
        return pool->bytes > pool->limits.partial_bytes_max ? 1009 : 0;
}

/* Bytes from *in into the header until it is whole. 0, or a close code. */
static int read_header(struct ws_pool *pool, struct ws_partial *pt, struct slice *in)
{
        while (in->n > 0) {
                pt->header[pt->header_n++] = (uint8_t)in->p[0];
                *in = slice_from(*in, 1);
                if (pt->header_n <= 2) {
                        int code = judge_early(pt);
                        if (code)
                                return code;
                }
                if (pt->header_n >= 2 && pt->header_n == header_size(pt->header))
                        return open_frame(pool, pt);
        }
        return 0;
}

/* ---- a frame's payload ---- */

/* One piece of unmasked payload: kept, unless it is the whole message and can be lent as it
 * stands. 0, or a close code. */
static int keep(struct ws_pool *pool, struct ws_partial *pt, struct slice piece, bool whole)
{
        if (is_control(pt->header[0] & 0x0f)) {
                if (piece.n)
                        memcpy(pt->control + pt->control_n, piece.p, piece.n);
                pt->control_n = (uint8_t)(pt->control_n + piece.n);
                return 0;
        }
        if (pt->message_op == WS_OP_TEXT && !utf8_check_feed(&pt->utf8, piece))
                return 1007;
        if (whole || piece.n == 0)
                return 0;
        buf_add(&pt->message, piece.p, piece.n);
        charge(pool, pt);
        return pool->bytes > pool->limits.partial_bytes_max ? 1009 : 0;
}

/* Moves the parser through what is there of the frame. 0 or a close code. *ret_whole: the piece
 * is the whole message, good until the parser is used again. */
static int read_payload(struct ws_pool *pool, struct ws_partial *pt, struct slice *in,
        struct slice *ret_piece, bool *ret_whole)
{
        pt->parser->in = in;
        *ret_whole = false;
        bool alone =
                !is_control(pt->header[0] & 0x0f) && pt->fragments == 1 && (pt->header[0] & 0x80);
        for (;;) {
                struct wslay_frame_iocb io;
                ssize_t r = wslay_frame_recv(pt->parser->ctx, &io);
                if (r == WSLAY_ERR_WANT_READ)
                        return 0;
                if (r < 0)
                        return 1002;
                *ret_piece = slice_of((const char *)io.data, (size_t)r);
                pt->frame_left -= (uint64_t)r;
                *ret_whole = alone && pt->frame_left == 0 && (uint64_t)r == pt->frame_n;
                int code = keep(pool, pt, *ret_piece, *ret_whole);
                if (code || pt->frame_left == 0)
                        return code;
        }
}

/* ---- whole frames ---- */

static void lend(struct ws_pool *pool, struct ws *w)
{
        pool->lent = w->partial;
        w->partial = NULL;
}

/* WS_MORE: nothing to tell. */
static enum ws_kind end_control(struct ws_pool *pool, struct ws *w, struct ws_item *ret)
{
        struct ws_partial *pt = w->partial;
        uint8_t op = pt->header[0] & 0x0f;
        struct slice payload = slice_of((const char *)pt->control, pt->control_n);
        if (pt->fragments == 0)
                lend(pool, w);
        if (op == WS_OP_CLOSE)
                return got_close(pool, w, payload, ret);
        if (w->state == WS_CLOSE_SENT)
                return WS_MORE;
        ret->payload = payload;
        if (op == WS_OP_PONG)
                return WS_PONG;
        ret->reply =
                slice_of(ret->reply_bytes, ws_control_frame(WS_OP_PONG, payload, ret->reply_bytes));
        return WS_PING;
}

static enum ws_kind end_frame(
        struct ws_pool *pool, struct ws *w, struct slice piece, bool whole, struct ws_item *ret)
{
        struct ws_partial *pt = w->partial;
        bool fin = pt->header[0] & 0x80;
        pt->in_frame = false;
        pt->header_n = 0;
        if (!whole) {
                parser_put(pool, pt->parser);
                pt->parser = NULL;
                charge(pool, pt);
        }
        if (is_control(pt->header[0] & 0x0f))
                return end_control(pool, w, ret);
        if (!fin)
                return WS_MORE;
        if (!utf8_check_complete(&pt->utf8))
                return fail(pool, w, 1007, ret);
        struct slice payload = whole ? piece : buf_slice(&pt->message);
        enum ws_kind kind = pt->message_op == WS_OP_TEXT ? WS_TEXT : WS_BINARY;
        lend(pool, w);
        if (w->state == WS_CLOSE_SENT)
                return WS_MORE;
        ret->payload = payload;
        return kind;
}

enum ws_kind ws_next(struct ws_pool *pool, struct ws *w, struct slice *in, struct ws_item *ret)
{
        for (;;) {
                end_loan(pool);
                ret->payload = ret->reply = SLICE_NONE;
                ret->code = 0;
                if (w->state == WS_OVER)
                        *in = slice_from(*in, in->n);
                if (in->n == 0)
                        return WS_MORE;
                if (!w->partial)
                        w->partial = partial_get(pool);
                struct ws_partial *pt = w->partial;
                int code = pt->in_frame ? 0 : read_header(pool, pt, in);
                if (code)
                        return fail(pool, w, code, ret);
                if (!pt->in_frame)
                        return WS_MORE;
                struct slice piece = SLICE_NONE;
                bool whole;
                code = read_payload(pool, pt, in, &piece, &whole);
                if (code)
                        return fail(pool, w, code, ret);
                if (pt->frame_left > 0)
                        return WS_MORE;
                enum ws_kind kind = end_frame(pool, w, piece, whole, ret);
                if (kind != WS_MORE)
                        return kind;
        }
}

void ws_close_sent(struct ws *w)
{
        if (w->state == WS_OPEN)
                w->state = WS_CLOSE_SENT;
}

void ws_done(struct ws_pool *pool, struct ws *w)
{
        end_loan(pool);
        if (w->partial)
                partial_put(pool, w->partial);
        w->partial = NULL;
}
