#include "conf_client.h"

#include "base/clock.h"
#include "base/jsonscan.h"
#include "base/utf8.h"

static int hex(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c = (char)(c | 0x20);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void decode(struct slice s, struct buf *out)
{
        for (size_t i = 0; i < s.n; i++) {
                int high = -1, low = -1;
                if (s.p[i] == '%' && i + 2 < s.n) {
                        high = hex(s.p[i + 1]);
                        low = hex(s.p[i + 2]);
                }
                if (high >= 0 && low >= 0) {
                        buf_add_char(out, (char)(high * 16 + low));
                        i += 2;
                } else {
                        buf_add_char(out, s.p[i] == '+' ? ' ' : s.p[i]);
                }
        }
}

/* False at the end; *ret_value has n 0 if there is none. */
static bool next_pair(struct slice *query, struct slice *ret_name, struct slice *ret_value)
{
        while (query->n) {
                ptrdiff_t amp = slice_find(*query, '&');
                struct slice pair = slice_of(query->p, amp < 0 ? query->n : (size_t)amp);
                *query = amp < 0 ? SLICE_NONE : slice_from(*query, (size_t)amp + 1);
                if (pair.n == 0)
                        continue;
                ptrdiff_t eq = slice_find(pair, '=');
                *ret_name = slice_of(pair.p, eq < 0 ? pair.n : (size_t)eq);
                *ret_value = eq < 0 ? SLICE_NONE : slice_from(pair, (size_t)eq + 1);
                return true;
        }
        return false;
}

bool query_value(struct slice query, const char *name, struct buf *out)
{
        struct slice key, value;
        while (next_pair(&query, &key, &value)) {
                struct buf decoded = BUF_EMPTY;
                decode(key, &decoded);
                bool hit = slice_is(buf_slice(&decoded), name);
                buf_done(&decoded);
                if (!hit)
                        continue;
                decode(value, out);
                return true;
        }
        return false;
}

static void add_text(struct buf *out, struct slice s)
{
        buf_add_json_str(out, utf8_valid(s) ? s : SLICE_NONE);
}

static void add_query(struct slice query, bool websocket, struct buf *out)
{
        struct slice key, value;
        buf_printf(out, "{\"EIO\":\"4\",\"transport\":\"%s\"", websocket ? "websocket" : "polling");
        while (next_pair(&query, &key, &value)) {
                struct buf name = BUF_EMPTY, text = BUF_EMPTY;
                decode(key, &name);
                decode(value, &text);
                buf_add_char(out, ',');
                add_text(out, buf_slice(&name));
                buf_add_char(out, ':');
                add_text(out, buf_slice(&text));
                buf_done(&name);
                buf_done(&text);
        }
        buf_add_char(out, '}');
}

static void add_header(struct buf *out, const char *name, struct slice value)
{
        if (value.n == 0)
                return;
        if (out->p[out->n - 1] != '{')
                buf_add_char(out, ',');
        buf_printf(out, "\"%s\":", name);
        add_text(out, value);
}

void handshake_json(const struct sio_handshake *hs, struct slice auth, struct buf *out)
{
        char iso[CLOCK_ISO_TEXT];
        clock_iso(hs->time_ms, iso);
        buf_add_str(out, "{\"headers\":{");
        add_header(out, "origin", hs->origin);
        add_header(out, "authorization", hs->authorization);
        add_header(out, "cookie", hs->cookie);
        add_header(out, "user-agent", hs->user_agent);
        buf_printf(out, "},\"time\":\"%s\",\"address\":", iso);
        add_text(out, hs->client_addr);
        buf_printf(out, ",\"xdomain\":%s,\"secure\":false,\"issued\":%lld,\"url\":",
                hs->origin.n ? "true" : "false", (long long)hs->time_ms);
        struct buf url = BUF_EMPTY;
        buf_printf(&url, "/socket.io/?EIO=4&transport=%s%s%.*s",
                hs->websocket ? "websocket" : "polling", hs->query.n ? "&" : "",
                SLICE_ARG(hs->query));
        add_text(out, buf_slice(&url));
        buf_done(&url);
        buf_add_str(out, ",\"query\":");
        add_query(hs->query, hs->websocket, out);
        buf_add_str(out, ",\"auth\":");
        json_compact(auth.n ? auth : SLICE_LIT("{}"), out);
        buf_add_char(out, '}');
}
