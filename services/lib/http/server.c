#include "http/internal.h"

#include <errno.h>

#define QUEUE_PER_WORKER 8

const struct config_row http_settings_rows[] = {
#define CONFIG(type, field, ...) CONFIG_ROW(struct http_settings, type, field, __VA_ARGS__)
#include "http/settings.def"
};
const size_t http_settings_count = ARRAY_LEN(http_settings_rows);

static const struct unit_handlers handlers = {
        .arrived = conn_arrived,
        .request = router_run,
        .refuse = conn_refuse,
        .finish = conn_finish,
};

int http_server_new(const struct http_options *o, struct http_server **ret)
{
        struct http_server *srv = xcalloc(1, sizeof(*srv));
        srv->settings = o->settings;
        srv->metrics = o->metrics;
        srv->rest = o->rest;
        srv->rest_arg = o->rest_arg;
        srv->waiting_max = o->settings->workers / 2;
        atomic_init(&srv->waiting, 0);
        atomic_init(&srv->stopping, false);
        struct slice bad;
        if (networks_new(o->settings->trusted_proxies, &srv->proxies, &bad) < 0) {
                free(srv);
                return -EINVAL;
        }
        *ret = srv;
        return 0;
}

void http_route(struct http_server *srv, const char *method, const char *pattern, http_handler fn,
        void *arg)
{
        CHECK(!srv->unit && pattern[0] == '/');
        srv->routes = xrealloc(srv->routes, (srv->routes_n + 1) * sizeof(*srv->routes));
        srv->routes[srv->routes_n++] =
                (struct route){method ? xstrdup(method) : NULL, xstrdup(pattern), fn, arg};
}

void http_websocket(struct http_server *srv, const char *prefix,
        bool (*check)(void *arg, struct http_request *rq), http_handler ready, void *arg)
{
        CHECK(!srv->unit && prefix[0] == '/');
        srv->ws_routes = xrealloc(srv->ws_routes, (srv->ws_routes_n + 1) * sizeof(*srv->ws_routes));
        srv->ws_routes[srv->ws_routes_n++] = (struct ws_route){xstrdup(prefix), check, ready, arg};
}

int http_server_start(struct http_server *srv)
{
        const struct http_settings *s = srv->settings;
        return unit_start(&handlers, s->workers, s->workers * QUEUE_PER_WORKER, s->head_bytes_max,
                &srv->unit);
}

static bool feed(struct http_server *srv, int fd, const char *client_addr, bool last)
{
        if (!srv->unit || atomic_load_explicit(&srv->stopping, memory_order_relaxed))
                return false;
        struct http_conn *hc = conn_new(srv, fd, client_addr);
        hc->last = last;
        if (unit_feed(srv->unit, fd, hc))
                return true;
        hc->fd = -1;
        conn_free(hc);
        return false;
}

const struct networks *http_proxies(const struct http_server *srv)
{
        return srv->proxies;
}

bool http_server_feed(struct http_server *srv, int fd, const char *client_addr)
{
        return feed(srv, fd, client_addr, false);
}

bool http_server_feed_last(struct http_server *srv, int fd, const char *client_addr)
{
        return feed(srv, fd, client_addr, true);
}

struct http_server *http_server_free(struct http_server *srv)
{
        if (!srv)
                return NULL;
        atomic_store_explicit(&srv->stopping, true, memory_order_relaxed);
        if (srv->unit) {
                struct http_conn *hc;
                while ((hc = unit_drain(srv->unit)))
                        conn_free(hc);
        }
        srv->unit = unit_stop(srv->unit);
        for (size_t i = 0; i < srv->routes_n; i++) {
                free(srv->routes[i].method);
                free(srv->routes[i].pattern);
        }
        for (size_t i = 0; i < srv->ws_routes_n; i++)
                free(srv->ws_routes[i].prefix);
        free(srv->routes);
        free(srv->ws_routes);
        networks_free(srv->proxies);
        free(srv);
        return NULL;
}
