#include "wire/socketio.h"

#include "base/jsonscan.h"
#include "base/placeholder.h"
#include "base/utf8.h"

static bool is_digit(struct slice s)
{
        return s.n && s.p[0] >= '0' && s.p[0] <= '9';
}

/* A run of digits in front; false on a value over max. */
static bool take_number(struct slice *s, int64_t max, int64_t *ret)
{
        int64_t v = 0;
        while (is_digit(*s)) {
                v = v * 10 + (s->p[0] - '0');
                if (v > max)
                        return false;
                *s = slice_from(*s, 1);
        }
        *ret = v;
        return true;
}

static bool take_attachments(struct slice *s, uint32_t most, uint32_t *ret)
{
        int64_t n = 0;
        if (!is_digit(*s) || !take_number(s, most, &n) || s->n == 0 || s->p[0] != '-')
                return false;
        *s = slice_from(*s, 1);
        *ret = (uint32_t)n;
        /* The reference sends a plain packet when there is nothing to attach, and takes `50-` for
         * an error. */
        return n > 0;
}

/* A refusal names the namespace as it came, so it must be text that may be sent, on polling too. */
static bool nsp_fits(struct slice nsp)
{
        for (size_t i = 0; i < nsp.n; i++)
                if ((unsigned char)nsp.p[i] < 0x20)
                        return false;
        return nsp.n <= SIO_NSP_MAX && utf8_valid(nsp);
}

static bool take_nsp(struct slice *s, struct slice *ret)
{
        *ret = SLICE_LIT("/");
        if (s->n == 0 || s->p[0] != '/')
                return true;
        ptrdiff_t comma = slice_find(*s, ',');
        *ret = slice_of(s->p, comma < 0 ? s->n : (size_t)comma);
        *s = comma < 0 ? slice_from(*s, s->n) : slice_from(*s, (size_t)comma + 1);
        return nsp_fits(*ret);
}

static bool event_payload(struct slice payload)
{
        if (payload.n == 0)
                return true;
        struct slice rest = payload, first;
        if (!json_is_array(payload) || !json_next(&rest, &first))
                return false;
        char c = first.p[0];
        return c == '"' || c == '-' || (c >= '0' && c <= '9');
}

static bool payload_fits(const struct sio_packet *p)
{
        switch (p->type) {
        case SIO_CONNECT:
                return p->payload.n == 0 || json_is_object(p->payload);
        case SIO_DISCONNECT:
                return p->payload.n == 0;
        case SIO_CONNECT_ERROR:
                return json_is_string(p->payload) || json_is_object(p->payload);
        case SIO_EVENT:
                return event_payload(p->payload);
        case SIO_BINARY_EVENT:
                return p->payload.n > 0 && event_payload(p->payload);
        case SIO_ACK: /* with nothing at all it is nobody's, and ignored */
                return p->payload.n == 0 || json_is_array(p->payload);
        case SIO_BINARY_ACK:
                return json_is_array(p->payload);
        }
        return false;
}

bool sio_decode(struct slice text, uint32_t attachments_max, struct sio_packet *ret)
{
        if (text.n == 0 || text.p[0] < '0' || text.p[0] > '6')
                return false;
        struct sio_packet p = {.type = (enum sio_type)(text.p[0] - '0'), .ack_id = -1};
        struct slice s = slice_from(text, 1);
        if ((p.type == SIO_BINARY_EVENT || p.type == SIO_BINARY_ACK) &&
                !take_attachments(&s, attachments_max, &p.attachments))
                return false;
        if (!take_nsp(&s, &p.nsp))
                return false;
        if (is_digit(s) && !take_number(&s, SIO_ACK_MAX, &p.ack_id))
                return false;
        if (s.n > 0) {
                if (!json_check(s, SIO_DEPTH_MAX, 0))
                        return false;
                p.payload = json_first(s);
        }
        if (!payload_fits(&p))
                return false;
        *ret = p;
        return true;
}

bool sio_name_reserved(struct slice name)
{
        static const char *const reserved[] = {"connect", "connect_error", "disconnect",
                "disconnecting", "newListener", "removeListener"};
        for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
                if (slice_is(name, reserved[i]))
                        return true;
        return false;
}

static bool is_reserved(struct slice raw)
{
        if (json_is_string(raw) && slice_find(raw, '\\') < 0)
                return sio_name_reserved(slice_of(raw.p + 1, raw.n - 2));
        struct buf name = BUF_EMPTY;
        bool hit = json_decode_string(raw, &name) && sio_name_reserved(buf_slice(&name));
        buf_done(&name);
        return hit;
}

static bool is_space(char c)
{
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct slice trim(struct slice s)
{
        while (s.n && is_space(s.p[0]))
                s = slice_from(s, 1);
        while (s.n && is_space(s.p[s.n - 1]))
                s.n--;
        return s;
}

bool sio_event_split(struct slice payload, struct slice *ret_name, struct slice *ret_args)
{
        *ret_name = *ret_args = SLICE_NONE;
        struct slice rest = payload;
        if (payload.n == 0 || !json_next(&rest, ret_name))
                return true;
        if (is_reserved(*ret_name))
                return false;
        /* rest stands at the comma or at the bracket; the payload ends with its bracket. */
        struct slice args = slice_of(rest.p, (size_t)(payload.p + payload.n - 1 - rest.p));
        ptrdiff_t comma = slice_find(args, ',');
        if (comma >= 0)
                *ret_args = trim(slice_from(args, (size_t)comma + 1));
        return true;
}

/* ---- placeholders ---- */

_Static_assert(SIO_DEPTH_MAX == PLACEHOLDER_DEPTH_MAX, "what may be decoded may be looked through");

bool sio_placeholders_valid(struct slice payload, uint32_t count)
{
        return placeholders_valid(payload, count);
}

/* ---- encoding ---- */

static void add_nsp(struct buf *out, struct slice nsp)
{
        if (nsp.n == 0 || slice_is(nsp, "/"))
                return;
        buf_add_slice(out, nsp);
        buf_add_char(out, ',');
}

static void start(struct buf *out, char type, struct slice nsp)
{
        buf_add_char(out, '4');
        buf_add_char(out, type);
        add_nsp(out, nsp);
}

static void start_binary(
        struct buf *out, char plain, char binary, size_t attachments, struct slice nsp)
{
        if (attachments == 0) {
                start(out, plain, nsp);
                return;
        }
        buf_add_char(out, '4');
        buf_add_char(out, binary);
        buf_add_u64(out, attachments);
        buf_add_char(out, '-');
        add_nsp(out, nsp);
}

void sio_encode_connect(struct buf *out, struct slice nsp, struct slice sid, struct slice pid)
{
        start(out, '0', nsp);
        buf_printf(out, "{\"sid\":\"%.*s\"", SLICE_ARG(sid));
        if (pid.n)
                buf_printf(out, ",\"pid\":\"%.*s\"", SLICE_ARG(pid));
        buf_add_char(out, '}');
}

void sio_encode_connect_error(
        struct buf *out, struct slice nsp, struct slice message, struct slice data_json)
{
        start(out, '4', nsp);
        buf_add_str(out, "{\"message\":");
        buf_add_json_str(out, message);
        if (data_json.n) {
                buf_add_str(out, ",\"data\":");
                buf_add_slice(out, data_json);
        }
        buf_add_char(out, '}');
}

void sio_encode_disconnect(struct buf *out, struct slice nsp)
{
        start(out, '1', nsp);
}

void sio_encode_event(struct buf *out, struct slice nsp, struct slice name, struct slice args,
        struct slice cursor, size_t attachments, int64_t ack_id)
{
        start_binary(out, '2', '5', attachments, nsp);
        if (ack_id >= 0)
                buf_add_i64(out, ack_id);
        buf_add_char(out, '[');
        buf_add_json_str(out, name);
        if (args.n) {
                buf_add_char(out, ',');
                buf_add_slice(out, args);
        }
        if (cursor.n) {
                buf_add(out, ",\"", 2);
                buf_add_slice(out, cursor);
                buf_add_char(out, '"');
        }
        buf_add_char(out, ']');
}

void sio_encode_ack(
        struct buf *out, struct slice nsp, int64_t ack_id, struct slice args, size_t attachments)
{
        start_binary(out, '3', '6', attachments, nsp);
        buf_add_i64(out, ack_id);
        buf_add_char(out, '[');
        buf_add_slice(out, args);
        buf_add_char(out, ']');
}
