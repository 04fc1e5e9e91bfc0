#include "conf_host.h"

#include "base/config.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void conf_must(const struct conf_host *h, int r, const char *what)
{
        if (r >= 0)
                return;
        fprintf(stderr, "%s: %s: %s\n", h->name, what, strerror(-r));
        exit(1);
}

/* Takes name and a number of 0 to max at argv[*i]. */
static bool number(int argc, char **argv, int *i, const char *name, uint64_t max, uint32_t *ret)
{
        uint64_t n;
        if (strcmp(argv[*i], name) != 0 || *i + 1 >= argc ||
                !slice_to_u64(slice_str(argv[*i + 1]), max, &n))
                return false;
        *ret = (uint32_t)n;
        ++*i;
        return true;
}

static void read_arguments(struct conf_host *h, int argc, char **argv)
{
        h->name = argv[0];
        h->origins = "*";
        h->max_payload = 1000000;
        for (int i = 1; i < argc; i++) {
                if (number(argc, argv, &i, "--port", 65535, &h->port) ||
                        number(argc, argv, &i, "--max-payload", 16u << 20, &h->max_payload))
                        continue;
                if (strcmp(argv[i], "--replay-first") == 0) {
                        h->replay_first = true;
                } else if (strcmp(argv[i], "--cookie") == 0) {
                        h->cookie = true;
                } else if (strcmp(argv[i], "--origins") == 0 && i + 1 < argc) {
                        h->origins = argv[++i];
                } else {
                        fprintf(stderr,
                                "usage: %s [--port N] [--origins LIST] [--max-payload N] "
                                "[--cookie] [--replay-first]\n",
                                h->name);
                        exit(2);
                }
        }
}

static void load_settings(struct conf_host *h)
{
        char origins[1024];
        (void)snprintf(origins, sizeof(origins), "TERN_ORIGINS=%s", h->origins);
        char *env[] = {origins, NULL};
        struct config_group group = {"HTTP", http_settings_rows, http_settings_count, &h->settings};
        struct config_result result;
        conf_must(h, config_load(&group, 1, env, &result), "settings");
        config_result_done(&result);
}

static bool feed(void *arg, int fd, const char *client_addr)
{
        struct conf_host *h = arg;
        return http_server_feed(h->http, fd, client_addr);
}

void conf_host_rest(void *arg, int fd, const char *client_addr)
{
        struct conf_host *h = arg;
        intake_rest(h->intake, fd, client_addr);
}

void conf_host_start(struct conf_host *h, unsigned shard_count, int argc, char **argv)
{
        CHECK(shard_count > 0 && shard_count <= CONF_SHARDS_MAX);
        *h = (struct conf_host){.shard_count = shard_count};
        lifecycle_init(&h->lifecycle);
        read_arguments(h, argc, argv);
        load_settings(h);
        h->metrics = metrics_new(METRICS_MESSAGING);
        for (unsigned i = 0; i < h->shard_count; i++)
                conf_must(h, shard_new(i, &h->lifecycle, NULL, NULL, NULL, &h->shards[i]), "shard");
        struct http_options o = {.settings = &h->settings,
                .metrics = h->metrics,
                .rest = conf_host_rest,
                .rest_arg = h};
        conf_must(h, http_server_new(&o, &h->http), "HTTP server");
}

void conf_host_serve(struct conf_host *h)
{
        conf_must(h, http_server_start(h->http), "HTTP server");
        struct intake_options o = {
                .bind = "127.0.0.1",
                .port = h->port,
                .head_ms = 5000,
                .idle_ms = 15000,
                .head_bytes_max = h->settings.head_bytes_max,
                .feed = feed,
                .arg = h,
                .metrics = h->metrics,
        };
        uint32_t port;
        conf_must(h, intake_new(&o, h->shards, h->shard_count, &h->intake, &port), "port");
        conf_must(h, intake_open(h->intake), "listen");
        printf("ready http://127.0.0.1:%u\n", port);
        fflush(stdout);
        while (lifecycle_wait(&h->lifecycle, -1) == 0)
                ;
        intake_shut(h->intake);
        h->http = http_server_free(h->http);
}

void conf_host_stop_shards(struct conf_host *h)
{
        for (unsigned i = 0; i < h->shard_count; i++)
                h->shards[i] = shard_free(h->shards[i]);
}

void conf_host_done(struct conf_host *h)
{
        h->intake = intake_free(h->intake);
        h->metrics = metrics_free(h->metrics);
        struct config_group group = {"HTTP", http_settings_rows, http_settings_count, &h->settings};
        config_free(&group, 1);
        lifecycle_done(&h->lifecycle);
}
