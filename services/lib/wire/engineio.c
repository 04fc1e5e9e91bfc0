#include "wire/engineio.h"

bool eio_decode(struct slice text, struct eio_packet *ret)
{
        if (text.n == 0)
                return false;
        char c = text.p[0];
        *ret = (struct eio_packet){.type = EIO_MESSAGE, .data = slice_from(text, 1)};
        if (c == 'b') {
                ret->base64 = true;
                return true;
        }
        if (c < '0' || c > '6')
                return false;
        ret->type = (enum eio_type)(c - '0');
        return true;
}

bool eio_payload_next(struct slice payload, size_t *at, struct slice *ret_text)
{
        if (*at > payload.n)
                return false;
        struct slice rest = slice_of(payload.p + *at, payload.n - *at);
        ptrdiff_t end = slice_find(rest, EIO_SEPARATOR);
        size_t n = end < 0 ? rest.n : (size_t)end;
        *ret_text = slice_of(rest.p, n);
        *at += n + 1;
        return true;
}

void eio_handshake(struct buf *out, struct slice sid, bool may_upgrade, uint32_t ping_interval_ms, uint32_t ping_timeout_ms,
        uint32_t max_payload)
{
        buf_printf(out, "{\"sid\":\"%.*s\",\"upgrades\":[%s],\"pingInterval\":%u,\"pingTimeout\":%u,\"maxPayload\":%u}", SLICE_ARG(sid),
                may_upgrade ? "\"websocket\"" : "", ping_interval_ms, ping_timeout_ms, max_payload);
}

static int hex_digit(char c)
{
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A sid that does not fit or holds a NUL is nobody's: "?" is no character of any sid. */
static void decode_sid(struct slice s, char *dst, size_t cap)
{
        size_t n = 0;
        for (size_t i = 0; i < s.n; i++) {
                char c = s.p[i];
                if (c == '%' && i + 2 < s.n && hex_digit(s.p[i + 1]) >= 0 && hex_digit(s.p[i + 2]) >= 0) {
                        c = (char)(hex_digit(s.p[i + 1]) << 4 | hex_digit(s.p[i + 2]));
                        i += 2;
                }
                if (c == '\0' || n + 1 == cap) {
                        dst[0] = '?';
                        dst[1] = '\0';
                        return;
                }
                dst[n++] = c;
        }
        dst[n] = '\0';
}

void eio_query_parse(struct slice query, struct eio_query *ret)
{
        *ret = (struct eio_query){0};
        while (query.n) {
                ptrdiff_t amp = slice_find(query, '&');
                struct slice pair = slice_of(query.p, amp < 0 ? query.n : (size_t)amp);
                query = amp < 0 ? SLICE_NONE : slice_from(query, (size_t)amp + 1);
                ptrdiff_t eq = slice_find(pair, '=');
                struct slice name = slice_of(pair.p, eq < 0 ? pair.n : (size_t)eq);
                struct slice value = eq < 0 ? SLICE_NONE : slice_from(pair, (size_t)eq + 1);
                if (slice_is(name, "EIO"))
                        ret->version_4 = slice_is(value, "4");
                else if (slice_is(name, "transport"))
                        ret->transport = slice_is(value, "polling")     ? EIO_TRANSPORT_POLLING
                                         : slice_is(value, "websocket") ? EIO_TRANSPORT_WEBSOCKET
                                                                        : EIO_TRANSPORT_NONE;
                else if (slice_is(name, "sid"))
                        decode_sid(value, ret->sid, sizeof(ret->sid));
        }
}

static const struct {
        const char *text;
        int status;
} refusals[] = {
        [EIO_TRANSPORT_UNKNOWN] = {"Transport unknown", 400},
        [EIO_SESSION_UNKNOWN] = {"Session ID unknown", 400},
        [EIO_BAD_METHOD] = {"Bad handshake method", 400},
        [EIO_BAD_REQUEST] = {"Bad request", 400},
        [EIO_FORBIDDEN] = {"Forbidden", 403},
        [EIO_BAD_VERSION] = {"Unsupported protocol version", 400},
};

const char *eio_refusal_text(enum eio_refusal r)
{
        return refusals[r].text;
}

int eio_refusal_status(enum eio_refusal r)
{
        return refusals[r].status;
}

void eio_refusal_json(enum eio_refusal r, struct buf *out)
{
        buf_printf(out, "{\"code\":%d,\"message\":\"%s\"}", (int)r, refusals[r].text);
}
