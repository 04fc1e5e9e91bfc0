#include "conf_client.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "realtime/frames.h"
#include <time.h>

#define ALLOW_MS 10 /* a client that gives up at once must be able to */

bool client_allowed(void *arg, const struct engine_handshake *hs)
{
        UNUSED(arg);
        const struct timespec moment = {.tv_nsec = ALLOW_MS * 1000000L};
        nanosleep(&moment, NULL);
        struct buf unused = BUF_EMPTY;
        bool deny = query_value(hs->query, "deny", &unused);
        buf_done(&unused);
        return !deny;
}

static void send_text(struct engine_session *s, struct slice data)
{
        struct buf text = BUF_EMPTY;
        buf_add_char(&text, '4');
        buf_add_slice(&text, data);
        engine_send(s, frame_packet(buf_slice(&text), NULL, 0));
        buf_done(&text);
}

/* What headers the packet's POST came with, as far as the clients' tests look at them. */
static void send_headers(struct engine_session *s)
{
        struct slice cookie = engine_post_cookie(s);
        struct buf json = BUF_EMPTY;
        buf_add_char(&json, '{');
        if (cookie.n && utf8_valid(cookie)) {
                buf_add_str(&json, "\"cookie\":");
                buf_add_json_str(&json, cookie);
        }
        buf_add_char(&json, '}');
        send_text(s, buf_slice(&json));
        buf_done(&json);
}

static void on_opened(void *app, struct engine_session *s)
{
        UNUSED(app);
        send_text(s, SLICE_LIT("hi"));
}

static void on_message(void *app, struct engine_session *s, struct slice data, bool binary)
{
        UNUSED(app);
        if (binary)
                engine_send(s, frame_binary(data));
        else if (slice_is(data, "give binary"))
                engine_send(s, frame_binary(slice_of("\0\1\2\3\4", 5)));
        else if (slice_is(data, "give utf8"))
                send_text(s, SLICE_LIT("пойду спать всем спокойной ночи"));
        else if (slice_is(data, "sendHeaders"))
                send_headers(s);
        else
                send_text(s, data);
}

static void on_closed(void *app, struct engine_session *s, enum engine_close_reason reason)
{
        UNUSED(app);
        UNUSED(s);
        UNUSED(reason);
}

static void set_cookies(struct buf *out)
{
        time_t now = (time_t)(clock_wall_ms() / 1000);
        struct tm tm;
        char date[64] = "";
        if (gmtime_r(&now, &tm))
                (void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        buf_printf(out,
                "Set-Cookie: 1=1; Max-Age=86400\r\n"
                "Set-Cookie: 2=2; Path=/; HttpOnly; Secure; SameSite=Strict\r\n"
                "Set-Cookie: 3=3; Max-Age=0\r\n"
                "Set-Cookie: 4=4; Expires=%s\r\n",
                date);
}

struct engine_server *engine_app_new(struct conf_host *h)
{
        static const struct engine_ops ops = {
                .opened = on_opened, .message = on_message, .closed = on_closed};
        struct buf cookies = BUF_EMPTY;
        set_cookies(&cookies);
        struct engine_options o = {
                .path = "/engine.io/",
                .ping_interval_ms = 500,
                .ping_timeout_ms = 20000,
                .upgrade_timeout_ms = 10000,
                .stall_ms = 30000,
                .max_payload = h->max_payload,
                .outbox_bytes_max = 16u << 20,
                .catchup_bytes_max = 1u << 20,
                .origins = h->origins,
                .first_headers = buf_cstr(&cookies),
                .allow = client_allowed,
                .post_cookies = true,
                .rest = conf_host_rest,
                .rest_arg = h,
        };
        void *apps[CONF_SHARDS_MAX] = {0};
        struct engine_server *srv;
        conf_must(h, engine_server_new(&o, &ops, h->shards, apps, h->shard_count, h->metrics, &srv),
                "Engine.IO server");
        buf_done(&cookies);
        return srv;
}
