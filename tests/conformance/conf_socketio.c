/*
 * conf-socketio - the application of the public Socket.IO suite: namespaces / and /custom; on
 * connect `auth` with the CONNECT payload; on /, `message` answers `message-back` and
 * `message-with-ack` acks, both with the same arguments.
 */
#include "conf_host.h"

#include "realtime/socketio_server.h"

#include "base/hash.h"
#include "base/jsonscan.h"

static void on_connect(void *app, struct sio_socket *s, struct slice nsp, struct slice payload,
        const struct sio_handshake *hs)
{
        UNUSED(app);
        UNUSED(nsp);
        UNUSED(hs);
        uint8_t bytes[15];
        char sid[20];
        random_bytes(bytes, sizeof(bytes));
        size_t n = base64url_encode(bytes, sizeof(bytes), sid);
        struct buf auth = BUF_EMPTY;
        json_compact(payload.n ? payload : SLICE_LIT("{}"), &auth);
        sio_accept(s, slice_of(sid, n), SLICE_NONE);
        sio_emit(s, "auth", buf_slice(&auth));
        buf_done(&auth);
}

static void on_event(void *app, struct sio_socket *s, const struct sio_event *ev)
{
        UNUSED(app);
        if (!slice_is(sio_nsp(s), "/"))
                return;
        struct buf args = BUF_EMPTY, list = BUF_EMPTY;
        /* Arguments are values with commas between them; as an array they are one value. */
        buf_add_char(&list, '[');
        buf_add_slice(&list, ev->args);
        buf_add_char(&list, ']');
        json_compact(buf_slice(&list), &args);
        struct slice same = slice_of(args.p + 1, args.n - 2);
        if (slice_is(ev->name, "message")) {
                struct msg *m = sio_frame(sio_nsp(s), SLICE_LIT("message-back"), same, SLICE_NONE,
                        ev->attachments, ev->attachment_count);
                int r = sio_push(s, m, false);
                UNUSED(r);
                sio_flush(s);
                msg_unref(m);
        } else if (slice_is(ev->name, "message-with-ack") && ev->ack_id >= 0) {
                sio_ack_binary(s, ev->ack_id, same, ev->attachments, ev->attachment_count);
        }
        buf_done(&args);
        buf_done(&list);
}

static void on_closed(void *app, struct sio_socket *s, enum sio_close_reason reason)
{
        UNUSED(app);
        UNUSED(s);
        UNUSED(reason);
}

int main(int argc, char **argv)
{
        struct conf_host host;
        conf_host_start(&host, CONF_SHARDS, argc, argv);
        static const struct sio_ops ops = {
                .connect = on_connect, .event = on_event, .closed = on_closed};
        struct sio_options o = {
                .path = "/socket.io/",
                .ping_interval_ms = 300,
                .ping_timeout_ms = 200,
                .connect_timeout_ms = 1000,
                .upgrade_timeout_ms = 10000,
                .stall_ms = 30000,
                .max_payload = host.max_payload,
                .outbox_bytes_max = 16u << 20,
                .catchup_bytes_max = 1u << 20,
                .namespaces = "/,/custom",
                .origins = host.origins,
                .cookie = host.cookie,
                .rest = conf_host_rest,
                .rest_arg = &host,
        };
        void *apps[CONF_SHARDS] = {0};
        struct sio_server *srv;
        conf_must(&host,
                sio_server_new(&o, &ops, host.shards, apps, CONF_SHARDS, host.metrics, &srv),
                "Socket.IO server");
        sio_server_mount(srv, host.http);
        conf_host_serve(&host);
        sio_server_stop(srv);
        conf_host_stop_shards(&host);
        sio_server_free(srv);
        conf_host_done(&host);
        return 0;
}
