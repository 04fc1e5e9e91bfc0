/* conf-engineio - echoes every message packet, text or binary: the settings that the public
 * Engine.IO suite expects. */
#include "conf_host.h"

#include "realtime/engine_server.h"
#include "realtime/frames.h"

static void on_opened(void *app, struct engine_session *s)
{
        UNUSED(app);
        UNUSED(s);
}

static void on_message(void *app, struct engine_session *s, struct slice data, bool binary)
{
        UNUSED(app);
        if (binary) {
                engine_send(s, frame_binary(data));
                return;
        }
        struct buf text = BUF_EMPTY;
        buf_add_char(&text, '4');
        buf_add_slice(&text, data);
        engine_send(s, frame_packet(buf_slice(&text), NULL, 0));
        buf_done(&text);
}

static void on_closed(void *app, struct engine_session *s, enum engine_close_reason reason)
{
        UNUSED(app);
        UNUSED(s);
        UNUSED(reason);
}

int main(int argc, char **argv)
{
        struct conf_host host;
        conf_host_start(&host, CONF_SHARDS, argc, argv);
        static const struct engine_ops ops = {
                .opened = on_opened, .message = on_message, .closed = on_closed};
        struct engine_options o = {
                .path = "/engine.io/",
                .ping_interval_ms = 300,
                .ping_timeout_ms = 200,
                .upgrade_timeout_ms = 10000,
                .stall_ms = 30000,
                .max_payload = host.max_payload,
                .outbox_bytes_max = 16u << 20,
                .catchup_bytes_max = 1u << 20,
                .origins = host.origins,
                .cookie = host.cookie,
                .rest = conf_host_rest,
                .rest_arg = &host,
        };
        void *apps[CONF_SHARDS] = {0};
        struct engine_server *srv;
        conf_must(&host,
                engine_server_new(&o, &ops, host.shards, apps, CONF_SHARDS, host.metrics, &srv),
                "Engine.IO server");
        engine_server_mount(srv, host.http);
        conf_host_serve(&host);
        engine_server_stop(srv);
        conf_host_stop_shards(&host);
        engine_server_free(srv);
        conf_host_done(&host);
        return 0;
}
