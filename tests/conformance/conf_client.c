/*
 * conf-client - the applications of the clients' own test servers: socket.io-client's on /socket.io/
 * and engine.io-client's on /engine.io/.
 *
 * Beyond the reference's: `auth.refuse` {message, data} is refused so; `server disconnect` (close)
 * ends the namespace, or with true the connection; `volatile` is answered. --replay-first sends what
 * a restored session missed before its CONNECT is answered, in the reference's order; Tern's own is
 * the other way round.
 */
#include "conf_client.h"

#include "base/clock.h"
#include "base/jsonscan.h"
#include <stdlib.h>

#define ASKS_MAX 32
#define ARGS_MAX 4

struct app {
        struct recovery recovery;
        bool replay_first;
};

struct client { /* the memory of a socket */
        struct kept_session *kept; /* owned; NULL until it was let in */
        char *handshake;           /* owned */
        int64_t asks[ASKS_MAX];    /* ids of acks that were asked for, newest last */
        size_t asks_n;
        bool had_abuff1, had_blob1, had_blob2;
};

struct call { /* one event that came in */
        struct app *app;
        struct sio_socket *s;
        struct client *c;
        const struct sio_event *ev;
        struct slice args[ARGS_MAX];
        size_t args_n;
};

/* ---- sending ---- */

static void emit_binary(struct call *k, const char *event, struct slice args,
        const struct slice *attachments, size_t count)
{
        struct msg *m =
                recovery_frame(&k->app->recovery, k->c->kept, event, args, attachments, count);
        int r = sio_push(k->s, m, false);
        UNUSED(r);
        sio_flush(k->s);
}

static void emit(struct call *k, const char *event, struct slice args)
{
        emit_binary(k, event, args, NULL, 0);
}

/* Now, as JavaScript writes a Date in JSON. */
static void add_date(struct buf *out)
{
        char iso[CLOCK_ISO_TEXT];
        clock_iso(clock_wall_ms(), iso);
        buf_add_json_str(out, slice_str(iso));
}

static void answer(struct call *k, struct slice args)
{
        if (k->ev->ack_id >= 0)
                sio_ack(k->s, k->ev->ack_id, args);
}

/* ---- looking at arguments ---- */

static size_t read_args(struct slice text, struct buf *list, struct slice args[ARGS_MAX])
{
        buf_add_char(list, '[');
        buf_add_slice(list, text);
        buf_add_char(list, ']');
        struct slice rest = buf_slice(list);
        size_t n = 0;
        while (n < ARGS_MAX && json_next(&rest, &args[n]))
                n++;
        return n;
}

static bool is_binary(const struct call *k, size_t i)
{
        struct slice mark;
        return i < k->args_n && k->ev->attachment_count > 0 && json_is_object(k->args[i]) &&
               json_member(k->args[i], "_placeholder", &mark) && slice_is(mark, "true");
}

static bool member_is(struct slice object, const char *name, const char *json)
{
        struct slice v;
        return json_is_object(object) && json_member(object, name, &v) && slice_is(v, json);
}

/* {hello:"lol",message:<binary>,goodbye:"gotcha"} */
static bool is_mixed(const struct call *k)
{
        struct slice message;
        return k->args_n > 0 && k->ev->attachment_count > 0 &&
               member_is(k->args[0], "hello", "\"lol\"") &&
               member_is(k->args[0], "goodbye", "\"gotcha\"") &&
               json_member(k->args[0], "message", &message) &&
               member_is(message, "_placeholder", "true");
}

static size_t placeholders(struct slice value)
{
        struct json_walk w = json_walk_of(value);
        struct json_step step;
        size_t n = 0;
        while (json_walk_next(&w, &step))
                n += json_key_is(step.key, "_placeholder") && slice_is(step.value, "true");
        return n;
}

/* ---- events of / ---- */

static void on_hi(struct call *k)
{
        emit(k, "hi", SLICE_NONE);
}

static void on_echo(struct call *k)
{
        if (k->ev->ack_id < 0)
                return;
        struct buf same = BUF_EMPTY;
        json_compact(k->args_n ? k->args[0] : SLICE_LIT("null"), &same);
        size_t n = k->ev->attachment_count ? placeholders(buf_slice(&same)) : 0;
        if (n > k->ev->attachment_count)
                n = k->ev->attachment_count;
        sio_ack_binary(k->s, k->ev->ack_id, buf_slice(&same), k->ev->attachments, n);
        buf_done(&same);
}

static void on_ack_wanted(struct call *k)
{
        struct client *c = k->c;
        if (c->asks_n == ASKS_MAX) {
                memmove(c->asks, c->asks + 1, (ASKS_MAX - 1) * sizeof(c->asks[0]));
                c->asks_n--;
        }
        c->asks[c->asks_n++] = sio_emit_ack(k->s, "ack", SLICE_NONE, NULL, 0);
}

static void on_get_ack_date(struct call *k)
{
        struct buf args = BUF_EMPTY;
        add_date(&args);
        answer(k, buf_slice(&args));
        buf_done(&args);
}

static void on_get_date(struct call *k)
{
        struct buf args = BUF_EMPTY;
        add_date(&args);
        emit(k, "takeDate", buf_slice(&args));
        buf_done(&args);
}

static void on_get_date_obj(struct call *k)
{
        struct buf args = BUF_EMPTY;
        buf_add_str(&args, "{\"date\":");
        add_date(&args);
        buf_add_char(&args, '}');
        emit(k, "takeDateObj", buf_slice(&args));
        buf_done(&args);
}

static void on_get_utf8(struct call *k)
{
        emit(k, "takeUtf8", SLICE_LIT("\"てすと\""));
        emit(k, "takeUtf8", SLICE_LIT("\"Я Б Г Д Ж Й\""));
        emit(k, "takeUtf8", SLICE_LIT("\"Ä ä Ü ü ß\""));
        emit(k, "takeUtf8", SLICE_LIT("\"utf8 — string\""));
        emit(k, "takeUtf8", SLICE_LIT("\"utf8 — string\""));
}

static void on_false(struct call *k)
{
        emit(k, "false", SLICE_LIT("false"));
}

static void on_volatile(struct call *k)
{
        emit(k, "serverReceivedVolatile", SLICE_NONE);
}

static void emit_asdf(struct call *k, const char *event)
{
        struct slice bytes = SLICE_LIT("asdfasdf");
        emit_binary(k, event, SLICE_LIT("{\"_placeholder\":true,\"num\":0}"), &bytes, 1);
}

static void on_doge(struct call *k)
{
        emit_asdf(k, "doge");
}

static void on_getbin(struct call *k)
{
        emit_asdf(k, "takebin");
}

static void on_buffa(struct call *k)
{
        if (is_binary(k, 0))
                emit(k, "buffack", SLICE_NONE);
}

static void on_jsonbuff(struct call *k)
{
        if (is_mixed(k))
                emit(k, "jsonbuff-ack", SLICE_NONE);
}

static void on_abuff1(struct call *k)
{
        k->c->had_abuff1 = is_binary(k, 0);
}

static void on_abuff2(struct call *k)
{
        if (k->c->had_abuff1)
                emit(k, "abuff2-ack", SLICE_NONE);
}

static void on_blob(struct call *k)
{
        if (is_binary(k, 0))
                emit(k, "back", SLICE_NONE);
}

static void on_jsonblob(struct call *k)
{
        if (is_mixed(k))
                emit(k, "jsonblob-ack", SLICE_NONE);
}

static void on_blob1(struct call *k)
{
        k->c->had_blob1 = is_binary(k, 0);
}

static void on_blob2(struct call *k)
{
        k->c->had_blob2 =
                k->c->had_blob1 && k->args_n > 0 && slice_is(k->args[0], "\"second\"");
}

static void on_blob3(struct call *k)
{
        if (k->c->had_blob2 && is_binary(k, 0))
                emit(k, "blob3-ack", SLICE_NONE);
}

static void on_get_handshake(struct call *k)
{
        answer(k, slice_str(k->c->handshake));
}

static void on_get_id(struct call *k)
{
        struct buf id = BUF_EMPTY;
        buf_add_json_str(&id, slice_of(k->c->kept->sid, sizeof(k->c->kept->sid)));
        answer(k, buf_slice(&id));
        buf_done(&id);
}

static void on_server_disconnect(struct call *k)
{
        if (k->args_n > 0 && slice_is(k->args[0], "true"))
                sio_close_transport(k->s, SIO_CLOSE_DRAIN);
        else
                sio_disconnect(k->s, SIO_CLOSE_SERVER_DISCONNECT);
}

static const struct handler {
        const char *nsp, *event;
        void (*run)(struct call *k);
} handlers[] = {
        {"/", "hi", on_hi},
        {"/", "echo", on_echo},
        {"/", "ack", on_ack_wanted},
        {"/", "getAckDate", on_get_ack_date},
        {"/", "getDate", on_get_date},
        {"/", "getDateObj", on_get_date_obj},
        {"/", "getUtf8", on_get_utf8},
        {"/", "false", on_false},
        {"/", "volatile", on_volatile},
        {"/", "doge", on_doge},
        {"/", "getbin", on_getbin},
        {"/", "buffa", on_buffa},
        {"/", "jsonbuff", on_jsonbuff},
        {"/", "abuff1", on_abuff1},
        {"/", "abuff2", on_abuff2},
        {"/", "blob", on_blob},
        {"/", "jsonblob", on_jsonblob},
        {"/", "blob1", on_blob1},
        {"/", "blob2", on_blob2},
        {"/", "blob3", on_blob3},
        {"/", "getHandshake", on_get_handshake},
        {"/", "getId", on_get_id},
        {"/", "server disconnect", on_server_disconnect},
        {"/foo", "getId", on_get_id},
};

static struct call call_of(struct app *app, struct sio_socket *s, const struct sio_event *ev)
{
        return (struct call){.app = app, .s = s, .c = sio_user(s), .ev = ev};
}

static void on_event(void *arg, struct sio_socket *s, const struct sio_event *ev)
{
        struct call k = call_of(arg, s, ev);
        struct buf list = BUF_EMPTY;
        k.args_n = read_args(ev->args, &list, k.args);
        for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
                if (slice_is(sio_nsp(s), handlers[i].nsp) &&
                        slice_is(ev->name, handlers[i].event))
                        handlers[i].run(&k);
        buf_done(&list);
}

static bool was_asked(struct client *c, int64_t id)
{
        for (size_t i = 0; i < c->asks_n; i++) {
                if (c->asks[i] != id)
                        continue;
                c->asks_n--;
                memmove(c->asks + i, c->asks + i + 1, (c->asks_n - i) * sizeof(c->asks[0]));
                return true;
        }
        return false;
}

static void on_ack(void *arg, struct sio_socket *s, const struct sio_event *ev)
{
        struct call k = call_of(arg, s, ev);
        struct buf list = BUF_EMPTY;
        k.args_n = read_args(ev->args, &list, k.args);
        if (was_asked(k.c, ev->ack_id) && k.args_n >= 2 && slice_is(k.args[0], "5") &&
                member_is(k.args[1], "test", "true"))
                emit(&k, "got it", SLICE_NONE);
        buf_done(&list);
}

/* ---- coming and going ---- */

static bool asks_to_fail(const struct sio_handshake *hs)
{
        struct buf fail = BUF_EMPTY;
        bool yes = query_value(hs->query, "fail", &fail) && fail.n > 0;
        buf_done(&fail);
        return yes;
}

static bool refused_as_asked(struct sio_socket *s, struct slice payload)
{
        struct slice refuse, text, data = SLICE_NONE;
        struct buf message = BUF_EMPTY;
        bool yes = payload.n && json_member(payload, "refuse", &refuse) &&
                   json_member(refuse, "message", &text) && json_decode_string(text, &message);
        if (yes) {
                (void)json_member(refuse, "data", &data);
                sio_refuse(s, buf_cstr(&message), data);
        }
        buf_done(&message);
        return yes;
}

/* The middlewares. */
static bool refused(struct sio_socket *s, struct slice nsp, struct slice payload,
        const struct sio_handshake *hs)
{
        if (slice_is(nsp, "/") && asks_to_fail(hs))
                sio_refuse(s, "Auth failed (main namespace)", SLICE_NONE);
        else if (slice_is(nsp, "/no"))
                sio_refuse(s, "Auth failed (custom namespace)", SLICE_NONE);
        else
                return refused_as_asked(s, payload);
        return true;
}

static void replay(struct sio_socket *s, const struct kept_session *k, size_t from, bool early)
{
        for (size_t i = from; i < kept_count(k); i++) {
                int r = early ? sio_push_early(s, kept_at(k, i)) : sio_push(s, kept_at(k, i), false);
                UNUSED(r);
        }
}

static void on_connect(void *arg, struct sio_socket *s, struct slice nsp, struct slice payload,
        const struct sio_handshake *hs)
{
        struct app *app = arg;
        struct client *c = sio_user(s);
        size_t at = 0;
        struct kept_session *k =
                recovery_return(&app->recovery, nsp, payload, clock_mono_ms(), &at);
        if (!k) {
                if (refused(s, nsp, payload, hs))
                        return;
                k = kept_session_new(nsp);
        }
        c->kept = k;
        struct buf handshake = BUF_EMPTY;
        handshake_json(hs, payload, &handshake);
        c->handshake = buf_take(&handshake, NULL);
        if (app->replay_first)
                replay(s, k, at, true);
        sio_accept(s, slice_of(k->sid, sizeof(k->sid)), slice_of(k->pid, sizeof(k->pid)));
        if (!app->replay_first)
                replay(s, k, at, false);
        if (slice_is(nsp, "/abc")) {
                struct call call = call_of(app, s, NULL);
                emit(&call, "handshake", slice_str(c->handshake));
        }
        sio_flush(s);
}

static bool may_return(enum sio_close_reason reason)
{
        return reason == SIO_CLOSE_TRANSPORT_CLOSE || reason == SIO_CLOSE_TRANSPORT_ERROR ||
               reason == SIO_CLOSE_PING_TIMEOUT || reason == SIO_CLOSE_STALLED ||
               reason == SIO_CLOSE_DRAIN;
}

static void on_closed(void *arg, struct sio_socket *s, enum sio_close_reason reason)
{
        struct app *app = arg;
        struct client *c = sio_user(s);
        if (c->kept && may_return(reason))
                recovery_leave(&app->recovery, c->kept, clock_mono_ms());
        else
                kept_session_free(c->kept);
        free(c->handshake);
}

/* ---- main ---- */

static struct sio_server *socketio_app_new(struct conf_host *h, struct app *app)
{
        static const struct sio_ops ops = {
                .connect = on_connect, .event = on_event, .ack = on_ack, .closed = on_closed};
        struct sio_options o = {
                .path = "/socket.io/",
                .ping_interval_ms = 2000,
                .ping_timeout_ms = 20000,
                .connect_timeout_ms = 45000,
                .upgrade_timeout_ms = 10000,
                .stall_ms = 30000,
                .max_payload = h->max_payload,
                .outbox_bytes_max = 16u << 20,
                .catchup_bytes_max = 1u << 20,
                .namespaces = "/,/foo,/timeout_socket,/valid,/asd,/abc,/no",
                .origins = h->origins,
                .allow = client_allowed,
                .socket_user_size = sizeof(struct client),
                .rest = conf_host_rest,
                .rest_arg = h,
        };
        void *apps[CONF_SHARDS_MAX] = {app};
        struct sio_server *srv;
        conf_must(h, sio_server_new(&o, &ops, h->shards, apps, h->shard_count, h->metrics, &srv),
                "Socket.IO server");
        return srv;
}

int main(int argc, char **argv)
{
        struct conf_host host;
        struct app app;
        conf_host_start(&host, 1, argc, argv);
        recovery_init(&app.recovery);
        app.replay_first = host.replay_first;
        struct sio_server *sio = socketio_app_new(&host, &app);
        struct engine_server *engine = engine_app_new(&host);
        sio_server_mount(sio, host.http);
        engine_server_mount(engine, host.http);
        conf_host_serve(&host);
        sio_server_stop(sio);
        engine_server_stop(engine);
        conf_host_stop_shards(&host);
        sio_server_free(sio);
        engine_server_free(engine);
        recovery_done(&app.recovery);
        conf_host_done(&host);
        return 0;
}
