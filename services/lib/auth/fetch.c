#include "auth/refresh.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define FETCH_MS 5000
#define CONNECT_MS 3000
#define FETCH_BYTES_MAX (256u << 10)

static void init_once(void)
{
        CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

static size_t on_bytes(char *p, size_t size, size_t count, void *arg)
{
        struct buf *b = arg;
        size_t n = size * count;
        if (n > FETCH_BYTES_MAX - b->n)
                return 0; /* curl gives up */
        buf_add(b, p, n);
        return n;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
        const _Atomic(bool) *stop = arg;
        UNUSED(a);
        UNUSED(b);
        UNUSED(c);
        UNUSED(d);
        return atomic_load_explicit(stop, memory_order_relaxed) ? 1 : 0;
}

int fetch_url(const char *url, const _Atomic(bool) *stop, struct buf *ret)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        pthread_once(&once, init_once);
        CURL *c = curl_easy_init();
        if (!c)
                return -EIO;
        long status = 0;
        curl_easy_setopt(c, CURLOPT_URL, url);
        curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
        curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)FETCH_MS);
        curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
        curl_easy_setopt(c, CURLOPT_USERAGENT, "tern/" TERN_VERSION);
        curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
        curl_easy_setopt(c, CURLOPT_WRITEDATA, ret);
        curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
        curl_easy_setopt(c, CURLOPT_XFERINFODATA, (void *)(uintptr_t)stop);
        CURLcode r = curl_easy_perform(c);
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_cleanup(c);
        return r == CURLE_OK && status == 200 ? 0 : -EIO;
}
