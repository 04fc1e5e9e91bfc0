#include "messaging/page.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILES_MAX 32
#define FILE_BYTES_MAX 4194304

struct page_file {
        struct page *page;
        char *name;
        const char *type;
        struct buf bytes;
};

struct page {
        struct app *app;
        size_t count;
        struct page_file files[FILES_MAX];
};

static const char *type_of(const char *name)
{
        static const struct {
                const char *suffix, *type;
        } types[] = {
                {".html", "text/html; charset=utf-8"},
                {".js", "text/javascript; charset=utf-8"},
                {".css", "text/css; charset=utf-8"},
                {".svg", "image/svg+xml"},
                {".png", "image/png"},
                {".ico", "image/x-icon"},
                {".json", "application/json"},
                {".webmanifest", "application/manifest+json"},
        };
        size_t n = strlen(name);
        for (size_t i = 0; i < ARRAY_LEN(types); i++) {
                size_t k = strlen(types[i].suffix);
                if (n > k && strcmp(name + n - k, types[i].suffix) == 0)
                        return types[i].type;
        }
        return NULL;
}

static bool read_file(const char *dir, const char *name, struct buf *out)
{
        struct buf path = BUF_EMPTY;
        buf_printf(&path, "%s/%s", dir, name);
        FILE *f = fopen(buf_cstr(&path), "rb");
        buf_done(&path);
        if (!f)
                return false;
        size_t n;
        do {
                n = fread(buf_reserve(out, 65536), 1, 65536, f);
                buf_commit(out, n);
        } while (n > 0 && out->n <= FILE_BYTES_MAX);
        fclose(f);
        return out->n <= FILE_BYTES_MAX;
}

static void serve(void *arg, struct http_request *rq)
{
        struct page_file *f = arg;
        http_reply(rq, 200, f->type,
                SLICE_LIT("Cache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n"),
                buf_slice(&f->bytes));
}

/* What the page has to know of this gateway. */
static void serve_about(void *arg, struct http_request *rq)
{
        struct app *app = arg;
        struct buf json = BUF_EMPTY;
        buf_printf(&json, "{\"instance\":\"%s\",\"auth\":%s,\"notifications\":", app->instance,
                auth_off(app->auth) ? "false" : "true");
        buf_add_json_str(&json, slice_str(app->settings.page_notifications));
        buf_add_str(&json, ",\"gateways\":");
        buf_add_json_str(&json, slice_str(app->settings.page_gateways));
        buf_add_char(&json, '}');
        http_reply_json(rq, 200, buf_slice(&json));
        buf_done(&json);
}

static bool default_dir(char *ret, size_t cap)
{
        char exe[2048];
        ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
        if (n <= 0)
                return false;
        exe[n] = '\0';
        char *slash = strrchr(exe, '/');
        if (!slash)
                return false;
        *slash = '\0';
        return snprintf(ret, cap, "%s/../share/tern/page", exe) < (int)cap;
}

struct page *page_new(struct app *app)
{
        char dir[4096];
        if (app->settings.page_dir[0])
                snprintf(dir, sizeof(dir), "%s", app->settings.page_dir);
        else if (!default_dir(dir, sizeof(dir)))
                return NULL;
        DIR *d = opendir(dir);
        if (!d)
                return NULL;
        struct page *p = xcalloc(1, sizeof(*p));
        p->app = app;
        struct dirent *e;
        while ((e = readdir(d)) && p->count < FILES_MAX) {
                const char *type = type_of(e->d_name);
                struct page_file *f = &p->files[p->count];
                if (!type || e->d_name[0] == '.' || !read_file(dir, e->d_name, &f->bytes)) {
                        buf_done(&f->bytes);
                        continue;
                }
                f->page = p;
                f->name = xstrdup(e->d_name);
                f->type = type;
                p->count++;
                char pattern[300];
                snprintf(pattern, sizeof(pattern), "/%s", f->name);
                http_route(app->http, "GET", pattern, serve, f);
                if (strcmp(f->name, "index.html") == 0)
                        http_route(app->http, "GET", "/", serve, f);
        }
        closedir(d);
        http_route(app->http, "GET", "/about", serve_about, app);
        return p;
}

struct page *page_free(struct page *p)
{
        if (!p)
                return NULL;
        for (size_t i = 0; i < p->count; i++) {
                free(p->files[i].name);
                buf_done(&p->files[i].bytes);
        }
        free(p);
        return NULL;
}
