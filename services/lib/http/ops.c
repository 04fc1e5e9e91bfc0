#include "http/ops.h"

#include "http/ops_internal.h"

#include "base/clock.h"
#include "base/process.h"
#include "http/unit.h"

#include <civetweb.h>
#include <errno.h>

#define STUCK_MS 10000
#define OPS_WORKERS 2

struct ops_server {
        struct ops_options o; /* bind is not used after start */
        struct mg_context *ctx;
        atomic_uint guests; /* calls of o.guest under way */
};

static void reply(struct mg_connection *conn, int status, const char *type, struct slice body)
{
        ops_write(conn, status, type, "", body);
}

static void reply_text(struct mg_connection *conn, int status, const char *what, const char *detail)
{
        struct buf b = BUF_EMPTY;
        buf_printf(&b, "%s%s\n", what, detail);
        reply(conn, status, "text/plain; charset=utf-8", buf_slice(&b));
        buf_done(&b);
}

static void healthz(struct ops_server *ops, struct mg_connection *conn)
{
        const char *stuck = lifecycle_stuck(ops->o.lifecycle, clock_mono_ms(), STUCK_MS);
        if (stuck)
                reply_text(conn, 503, "stuck: ", stuck);
        else
                reply_text(conn, 200, "ok", "");
}

static void readyz(struct ops_server *ops, struct mg_connection *conn)
{
        const char *why = ops->o.not_ready ? ops->o.not_ready(ops->o.arg) : NULL;
        if (atomic_load(&ops->o.lifecycle->draining))
                why = "draining";
        else if (!why && !atomic_load(&ops->o.lifecycle->ready))
                why = "starting";
        if (why)
                reply_text(conn, 503, "not ready: ", why);
        else
                reply_text(conn, 200, "ready", "");
}

static void metrics_text(struct ops_server *ops, struct mg_connection *conn)
{
        struct buf b = BUF_EMPTY;
        process_metrics(ops->o.metrics);
        metrics_render(ops->o.metrics, &b);
        reply(conn, 200, "text/plain; version=0.0.4; charset=utf-8", buf_slice(&b));
        buf_done(&b);
}

/* "/admin" and "/admin/…", not "/administer". */
static bool is_guests(const struct ops_server *ops, const char *path)
{
        size_t n = ops->o.guest.prefix ? strlen(ops->o.guest.prefix) : 0;
        return n > 0 && strncmp(path, ops->o.guest.prefix, n) == 0 &&
               (path[n] == '\0' || path[n] == '/');
}

static int serve_guest(struct ops_server *ops, struct mg_connection *conn)
{
        struct ops_request rq = {.conn = conn};
        if (atomic_fetch_add(&ops->guests, 1) >= OPS_GUESTS_MAX)
                ops_reply(&rq, 503, "application/json", "Retry-After: 1\r\n",
                        SLICE_LIT("{\"error\":{\"code\":\"busy\",\"message\":\"too many "
                                  "requests at once\"}}"));
        else
                ops->o.guest.serve(ops->o.guest.arg, &rq);
        atomic_fetch_sub(&ops->guests, 1);
        if (!rq.answered)
                reply_text(conn, 500, "not answered", "");
        return 200;
}

static int on_request(struct mg_connection *conn)
{
        static const struct {
                const char *path;
                void (*answer)(struct ops_server *ops, struct mg_connection *conn);
        } pages[] = {{"/healthz", healthz}, {"/readyz", readyz}, {"/metrics", metrics_text}};
        struct ops_server *ops = mg_get_user_data(mg_get_context(conn));
        const struct mg_request_info *ri = mg_get_request_info(conn);
        if (is_guests(ops, ri->local_uri))
                return serve_guest(ops, conn);
        if (strcmp(ri->request_method, "GET") != 0 && strcmp(ri->request_method, "HEAD") != 0) {
                reply_text(conn, 405, "GET and HEAD only", "");
                return 405;
        }
        for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
                if (strcmp(ri->local_uri, pages[i].path) == 0) {
                        pages[i].answer(ops, conn);
                        return 200;
                }
        }
        reply_text(conn, 404, "/healthz /readyz /metrics", "");
        return 404;
}

static int on_init(const struct mg_connection *conn, void **conn_data)
{
        unit_blank(conn);
        *conn_data = NULL;
        return 0;
}

static int on_log(const struct mg_connection *conn, const char *text)
{
        UNUSED(conn);
        UNUSED(text);
        return 1;
}

static struct mg_context *start(struct ops_server *ops)
{
        char port[128];
        bool v6 = strchr(ops->o.bind, ':') != NULL;
        snprintf(port, sizeof(port), v6 ? "[%s]:%u" : "%s:%u", ops->o.bind, ops->o.port);
        char workers[16];
        snprintf(workers, sizeof(workers), "%u",
                ops->o.guest.prefix ? OPS_WORKERS + OPS_GUESTS_MAX : OPS_WORKERS);
        const char *options[] = {"listening_ports", port, "num_threads", workers,
                "connection_queue", "16", "request_timeout_ms", "2000", "enable_keep_alive", "no",
                "enable_auth_domain_check", "no", "tcp_nodelay", "1", NULL};
        struct mg_callbacks callbacks = {
                .begin_request = on_request, .init_connection = on_init, .log_message = on_log};
        struct mg_init_data init = {
                .callbacks = &callbacks, .user_data = ops, .configuration_options = options};
        return mg_start2(&init, NULL);
}

int ops_server_new(const struct ops_options *o, struct ops_server **ret, uint32_t *ret_port)
{
        struct ops_server *ops = xcalloc(1, sizeof(*ops));
        ops->o = *o;
        mg_init_library(MG_FEATURES_DEFAULT);
        ops->ctx = start(ops);
        struct mg_server_port ports[2];
        if (!ops->ctx || mg_get_server_ports(ops->ctx, 2, ports) < 1) {
                int r = unit_bind_error();
                ops_server_free(ops);
                return r ? -r : -EINVAL;
        }
        *ret = ops;
        if (ret_port)
                *ret_port = (uint32_t)ports[0].port;
        return 0;
}

struct ops_server *ops_server_free(struct ops_server *ops)
{
        if (!ops)
                return NULL;
        if (ops->ctx)
                mg_stop(ops->ctx);
        mg_exit_library();
        free(ops);
        return NULL;
}
