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

void eio_handshake(struct buf *out, struct slice sid, bool may_upgrade, uint32_t ping_interval_ms,
        uint32_t ping_timeout_ms, uint32_t max_payload)
{
        buf_printf(out,
                "{\"sid\":\"%.*s\",\"upgrades\":[%s],\"pingInterval\":%u,\"pingTimeout\":%u,"
                "\"maxPayload\":%u}",
                SLICE_ARG(sid), may_upgrade ? "\"websocket\"" : "", ping_interval_ms,
                ping_timeout_ms, max_payload);
}

static int hex_digit(char c)
{
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
}

/* Decodes into dst[cap] with a NUL. False if it does not fit or holds a NUL of its own. */
static bool decode(struct slice s, char *dst, size_t cap)
{
        size_t n = 0;
        for (size_t i = 0; i < s.n; i++) {
                char c = s.p[i];
                if (c == '%' && i + 2 < s.n && hex_digit(s.p[i + 1]) >= 0 &&
                        hex_digit(s.p[i + 2]) >= 0) {
                        c = (char)(hex_digit(s.p[i + 1]) << 4 | hex_digit(s.p[i + 2]));
                        i += 2;
                }
                if (c == '\0' || n + 1 == cap)
                        return false;
                dst[n++] = c;
        }
        dst[n] = '\0';
        return true;
}

enum seen { SEEN_EIO = 1, SEEN_TRANSPORT = 2, SEEN_SID = 4 };

/* As in the reference a key that is given twice has no valid value. */
static void take_parameter(struct eio_query *q, unsigned *seen, const char *name, const char *value)
{
        if (strcmp(name, "EIO") == 0) {
                q->version_4 = !(*seen & SEEN_EIO) && strcmp(value, "4") == 0;
                *seen |= SEEN_EIO;
        } else if (strcmp(name, "transport") == 0) {
                q->transport = EIO_TRANSPORT_NONE;
                if (!(*seen & SEEN_TRANSPORT) && strcmp(value, "polling") == 0)
                        q->transport = EIO_TRANSPORT_POLLING;
                else if (!(*seen & SEEN_TRANSPORT) && strcmp(value, "websocket") == 0)
                        q->transport = EIO_TRANSPORT_WEBSOCKET;
                *seen |= SEEN_TRANSPORT;
        } else if (strcmp(name, "sid") == 0) {
                slice_copy(slice_str(*seen & SEEN_SID ? "?" : value), q->sid, sizeof(q->sid));
                *seen |= SEEN_SID;
        } else if (strcmp(name, "j") == 0) {
                q->jsonp = true;
        }
}

void eio_query_parse(struct slice query, struct eio_query *ret)
{
        unsigned seen = 0;
        *ret = (struct eio_query){0};
        while (query.n) {
                ptrdiff_t amp = slice_find(query, '&');
                struct slice pair = slice_of(query.p, amp < 0 ? query.n : (size_t)amp);
                query = amp < 0 ? SLICE_NONE : slice_from(query, (size_t)amp + 1);
                ptrdiff_t eq = slice_find(pair, '=');
                char name[16], value[sizeof(ret->sid)];
                if (!decode(slice_of(pair.p, eq < 0 ? pair.n : (size_t)eq), name, sizeof(name)))
                        continue;
                /* What does not fit is no version, no transport, and nobody's sid: "?" is no
                 * character of any. */
                if (!decode(eq < 0 ? SLICE_NONE : slice_from(pair, (size_t)eq + 1), value,
                            sizeof(value)))
                        slice_copy(SLICE_LIT("?"), value, sizeof(value));
                take_parameter(ret, &seen, name, value);
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
