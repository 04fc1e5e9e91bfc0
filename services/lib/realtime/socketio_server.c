#include "realtime/socketio_internal.h"

#include "base/config.h"
#include "base/hash.h"
#include <errno.h>
#include <stdlib.h>

#define ATTACHMENTS_MAX 10 /* the reference's default */
#define BINARY_FACTOR 4    /* a packet with its attachments may be as many times max_payload */

_Static_assert((int)ENGINE_CLOSE_CLIENT_DISCONNECT == (int)SIO_CLOSE_CLIENT_DISCONNECT &&
                       (int)ENGINE_CLOSE_PING_TIMEOUT == (int)SIO_CLOSE_PING_TIMEOUT &&
                       (int)ENGINE_CLOSE_STALLED == (int)SIO_CLOSE_STALLED &&
                       (int)ENGINE_CLOSE_SHED == (int)SIO_CLOSE_SHED,
        "reasons are passed on as they are");

/* ---- the engine's callbacks ---- */

static void on_opened(void *app, struct engine_session *s)
{
        struct sio_conn *c = engine_user(s);
        c->ss = app;
        engine_deadline(s, c->ss->srv->connect_timeout_ms);
}

static void on_message(void *app, struct engine_session *s, struct slice data, bool binary)
{
        UNUSED(app);
        sio_receive(engine_user(s), data, binary);
}

/* No namespace was joined in time. */
static void on_due(void *app, struct engine_session *s)
{
        UNUSED(app);
        engine_close(s, ENGINE_CLOSE_SERVER_DISCONNECT);
}

static void on_turn(void *app, struct engine_session *s)
{
        UNUSED(app);
        struct sio_conn *c = engine_user(s);
        sio_reap(c, false, SIO_CLOSE_SERVER_DISCONNECT);
        if (c->accepted && !c->trimmed) {
                c->trimmed = true;
                engine_handshake_trim(s);
        }
}

static void on_closed(void *app, struct engine_session *s, enum engine_close_reason reason)
{
        UNUSED(app);
        struct sio_conn *c = engine_user(s);
        sio_reap(c, true, (enum sio_close_reason)reason);
        c->assembly = sio_assembly_free(c->assembly);
}

static void on_drained(void *app, struct engine_session *s)
{
        struct sio_shard *ss = app;
        struct sio_conn *c = engine_user(s);
        for (struct sio_socket *so = c->sockets; so; so = so->next)
                if (so->state == SOCKET_CONNECTED && ss->srv->ops.drained)
                        ss->srv->ops.drained(ss->app, so);
}

/* The namespace of an event's frame: 42/admin,["…"] or 451-/admin,["…"]. */
static struct slice frame_nsp(const struct msg *m)
{
        struct slice text = slice_from(slice_of(m->bytes + m->poll_at, m->poll_n), 2);
        while (text.n && text.p[0] >= '0' && text.p[0] <= '9')
                text = slice_from(text, 1);
        if (text.n && text.p[0] == '-')
                text = slice_from(text, 1);
        ptrdiff_t comma = text.n && text.p[0] == '/' ? slice_find(text, ',') : -1;
        return comma < 0 ? SLICE_LIT("/") : slice_of(text.p, (size_t)comma);
}

static bool is_of(const struct msg *m, const void *nsp)
{
        return slice_eq(frame_nsp(m), *(const struct slice *)nsp);
}

/* The places of one namespace's events say nothing of what another's socket has got. */
static void on_dropping(void *app, struct engine_session *s)
{
        UNUSED(app);
        struct sio_conn *c = engine_user(s);
        bool several = c->sockets && c->sockets->next;
        for (struct sio_socket *so = c->sockets; several && so; so = so->next) {
                struct slice nsp = sio_nsp(so);
                const struct msg *first = engine_droppable(s, is_of, &nsp);
                so->first = first ? msg_ref((struct msg *)(uintptr_t)first) : NULL;
        }
}

static void on_dropped(void *app, struct engine_session *s, const struct msg *first)
{
        struct sio_shard *ss = app;
        struct sio_conn *c = engine_user(s);
        bool several = c->sockets && c->sockets->next;
        for (struct sio_socket *so = c->sockets; so; so = so->next) {
                struct msg *own = so->first;
                so->first = NULL;
                if (so->state == SOCKET_CONNECTED && ss->srv->ops.dropped)
                        ss->srv->ops.dropped(ss->app, so, several ? own : first);
                msg_unref(own);
        }
}

static const struct engine_ops engine_callbacks = {
        .opened = on_opened,
        .message = on_message,
        .closed = on_closed,
        .turn = on_turn,
        .due = on_due,
        .drained = on_drained,
        .dropped = on_dropped,
        .dropping = on_dropping,
};

/* ---- life ---- */

static bool read_namespaces(struct sio_server *srv, const char *list)
{
        srv->names = xstrdup(list && list[0] ? list : "/");
        struct slice rest = slice_str(srv->names), item;
        while (config_list_next(&rest, &item)) {
                if (item.p[0] != '/' || item.n > SIO_NSP_MAX ||
                        srv->nsp_count == SIO_NAMESPACES_MAX)
                        return false;
                srv->nsps[srv->nsp_count++] = item;
        }
        return srv->nsp_count > 0;
}

static int make_engine(struct sio_server *srv, const struct sio_options *o,
        struct shard *const *shards, struct metrics *metrics)
{
        struct engine_options eo = {
                .path = o->path,
                .ping_interval_ms = o->ping_interval_ms,
                .ping_timeout_ms = o->ping_timeout_ms,
                .upgrade_timeout_ms = o->upgrade_timeout_ms,
                .stall_ms = o->stall_ms,
                .max_payload = o->max_payload,
                .outbox_bytes_max = o->outbox_bytes_max,
                .catchup_bytes_max = o->catchup_bytes_max,
                .origins = o->origins,
                .cookie = o->cookie,
                .addresses = o->addresses,
                .address_max = o->address_max,
                .address_connects = o->address_connects,
                .allow = o->allow,
                .allow_arg = o->allow_arg,
                .session_user_size = sizeof(struct sio_conn),
                .rest = o->rest,
                .rest_arg = o->rest_arg,
                .departures = o->departures,
                .splice = o->splice,
        };
        void **apps = xcalloc(srv->shard_count, sizeof(*apps));
        for (unsigned i = 0; i < srv->shard_count; i++)
                apps[i] = &srv->shards[i];
        int r = engine_server_new(
                &eo, &engine_callbacks, shards, apps, srv->shard_count, metrics, &srv->engine);
        free(apps);
        return r;
}

int sio_server_new(const struct sio_options *o, const struct sio_ops *ops,
        struct shard *const *shards, void *const *apps, unsigned shard_count,
        struct metrics *metrics, struct sio_server **ret)
{
        if (shard_count == 0 || o->connect_timeout_ms == 0 || !ops->connect || !ops->event ||
                !ops->closed)
                return -EINVAL;
        struct sio_server *srv = xcalloc(1, sizeof(*srv) + shard_count * sizeof(srv->shards[0]));
        srv->ops = *ops;
        srv->connect_timeout_ms = o->connect_timeout_ms;
        srv->max_attachments = o->max_attachments ? o->max_attachments : ATTACHMENTS_MAX;
        srv->binary_bytes_max =
                o->binary_bytes_max ? o->binary_bytes_max : (size_t)o->max_payload * BINARY_FACTOR;
        srv->socket_user_size = o->socket_user_size;
        srv->shard_count = shard_count;
        for (unsigned i = 0; i < shard_count; i++)
                srv->shards[i] = (struct sio_shard){.srv = srv, .app = apps[i]};
        int r = read_namespaces(srv, o->namespaces) ? make_engine(srv, o, shards, metrics)
                                                    : -EINVAL;
        if (r < 0) {
                sio_server_free(srv);
                return r;
        }
        *ret = srv;
        return 0;
}

struct sio_server *sio_server_free(struct sio_server *srv)
{
        if (!srv)
                return NULL;
        engine_server_free(srv->engine);
        free(srv->names);
        free(srv);
        return NULL;
}

void sio_server_mount(struct sio_server *srv, struct http_server *http)
{
        engine_server_mount(srv->engine, http);
}

void sio_server_stop(struct sio_server *srv)
{
        engine_server_stop(srv->engine);
}

void sio_server_drain(struct sio_server *srv, uint32_t drain_ms)
{
        engine_server_drain(srv->engine, drain_ms);
}

void sio_server_shed(struct sio_server *srv, unsigned count)
{
        engine_server_shed(srv->engine, count);
}

unsigned sio_server_connections(const struct sio_server *srv)
{
        return engine_server_sessions(srv->engine);
}
