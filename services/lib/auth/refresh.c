#include "auth/refresh.h"

#include "base/clock.h"
#include "base/hash.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define FILE_BYTES_MAX (256u << 10)
#define HINT_MIN_MS 10000
#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 60000

struct refresh {
        const struct auth_settings *s; /* borrowed */
        pthread_mutex_t lock;          /* held for a few instructions, never during a load */
        pthread_cond_t wake;
        struct key_set *keys; /* one reference; under lock */
        bool hinted;          /* under lock */
        _Atomic(bool) stop;
        bool running;
        pthread_t thread;
        /* The thread's own: the last good text of each source. */
        struct buf file_text, url_text;
};

static bool is_set(const char *text)
{
        return text && text[0];
}

static int read_file(const char *path, struct buf *ret)
{
        FILE *f = fopen(path, "rb");
        if (!f)
                return -errno;
        size_t n = fread(buf_reserve(ret, FILE_BYTES_MAX + 1), 1, FILE_BYTES_MAX + 1, f);
        bool failed = ferror(f);
        fclose(f);
        if (failed || n > FILE_BYTES_MAX)
                return failed ? -EIO : -EFBIG;
        buf_commit(ret, n);
        return 0;
}

/* Takes text over as *kept if it is a JWKS with at least one usable key. */
static int keep_if_good(struct buf *kept, struct buf *text)
{
        struct key_set *trial = key_set_new(NULL, NULL);
        int n = key_set_add_jwks(trial, buf_slice(text));
        key_set_unref(trial);
        if (n <= 0) {
                buf_done(text);
                return n < 0 ? n : -ENOKEY;
        }
        buf_done(kept);
        *kept = *text;
        return 0;
}

static int load_file(struct refresh *rf)
{
        struct buf text = BUF_EMPTY;
        int r = read_file(rf->s->jwks_file, &text);
        if (r < 0) {
                buf_done(&text);
                return r;
        }
        return keep_if_good(&rf->file_text, &text);
}

static int load_url(struct refresh *rf)
{
        struct buf text = BUF_EMPTY;
        int r = fetch_url(rf->s->jwks_url, &rf->stop, &text);
        if (r < 0) {
                buf_done(&text);
                return r;
        }
        return keep_if_good(&rf->url_text, &text);
}

static void install(struct refresh *rf)
{
        struct key_set *ks = key_set_new(rf->s->hs256_secret, rf->s->hs256_previous_secret);
        if (rf->file_text.n)
                (void)!key_set_add_jwks(ks, buf_slice(&rf->file_text));
        if (rf->url_text.n)
                (void)!key_set_add_jwks(ks, buf_slice(&rf->url_text));
        pthread_mutex_lock(&rf->lock);
        struct key_set *old = rf->keys;
        rf->keys = ks;
        pthread_mutex_unlock(&rf->lock);
        key_set_unref(old);
}

/* Sleeps for ms, but no longer than until a hint once HINT_MIN_MS are over. False when it is time
 * to stop. */
static bool rest(struct refresh *rf, int64_t ms)
{
        int64_t began = clock_mono_ms();
        pthread_mutex_lock(&rf->lock);
        while (!atomic_load(&rf->stop)) {
                int64_t due = began + (rf->hinted && ms > HINT_MIN_MS ? HINT_MIN_MS : ms),
                        now = clock_mono_ms();
                if (now >= due)
                        break;
                struct timespec at = {.tv_sec = due / 1000, .tv_nsec = due % 1000 * 1000000};
                pthread_cond_timedwait(&rf->wake, &rf->lock, &at);
        }
        rf->hinted = false;
        pthread_mutex_unlock(&rf->lock);
        return !atomic_load(&rf->stop);
}

static int64_t with_jitter(int64_t ms)
{
        return ms - ms / 10 + (int64_t)(random_u64() % (uint64_t)(ms / 5 + 1));
}

static void *run(void *arg)
{
        struct refresh *rf = arg;
        int64_t retry_ms = RETRY_FIRST_MS;
        bool first = true;
        for (;;) {
                int r = 0;
                if (is_set(rf->s->jwks_file) && !first)
                        r = load_file(rf);
                first = false;
                if (is_set(rf->s->jwks_url)) {
                        int url = load_url(rf);
                        r = r < 0 ? r : url;
                }
                install(rf);
                int64_t pause = rf->s->jwks_refresh_ms;
                if (r < 0) {
                        pause = retry_ms < pause ? retry_ms : pause;
                        retry_ms = retry_ms * 2 < RETRY_MAX_MS ? retry_ms * 2 : RETRY_MAX_MS;
                } else {
                        retry_ms = RETRY_FIRST_MS;
                }
                if (!rest(rf, with_jitter(pause)))
                        return NULL;
        }
}

static int start(struct refresh *rf, char fault[256])
{
        const struct auth_settings *s = rf->s;
        if (is_set(s->jwks_file)) {
                int r = load_file(rf);
                if (r < 0) {
                        snprintf(fault, 256, "TERN_AUTH_JWKS_FILE is %.120s: %s", s->jwks_file,
                                r == -EINVAL   ? "this is no JWKS"
                                : r == -ENOKEY ? "it holds no usable RS256, ES256 or EdDSA key"
                                               : strerror(-r));
                        return -EINVAL;
                }
        }
        if (is_set(s->jwks_url) && strncmp(s->jwks_url, "https://", 8) != 0 &&
                strncmp(s->jwks_url, "http://", 7) != 0) {
                snprintf(fault, 256,
                        "TERN_AUTH_JWKS_URL is \"%.120s\", it has to begin with https:// or "
                        "http://",
                        s->jwks_url);
                return -EINVAL;
        }
        install(rf);
        if (!is_set(s->jwks_file) && !is_set(s->jwks_url))
                return 0;
        int r = pthread_create(&rf->thread, NULL, run, rf);
        if (r != 0) {
                snprintf(fault, 256,
                        "the thread that refreshes TERN_AUTH_JWKS_FILE and TERN_AUTH_JWKS_URL "
                        "cannot start: %s",
                        strerror(r));
                return -r;
        }
        rf->running = true;
        return 0;
}

int refresh_new(const struct auth_settings *s, struct refresh **ret, char fault[256])
{
        struct refresh *rf = xcalloc(1, sizeof(*rf));
        rf->s = s;
        atomic_init(&rf->stop, false);
        pthread_mutex_init(&rf->lock, NULL);
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&rf->wake, &attr);
        pthread_condattr_destroy(&attr);
        int r = start(rf, fault);
        if (r < 0) {
                refresh_free(rf);
                return r;
        }
        *ret = rf;
        return 0;
}

struct refresh *refresh_free(struct refresh *rf)
{
        if (!rf)
                return NULL;
        if (rf->running) {
                pthread_mutex_lock(&rf->lock);
                atomic_store(&rf->stop, true);
                pthread_cond_signal(&rf->wake);
                pthread_mutex_unlock(&rf->lock);
                pthread_join(rf->thread, NULL);
        }
        key_set_unref(rf->keys);
        buf_done(&rf->file_text);
        buf_done(&rf->url_text);
        pthread_cond_destroy(&rf->wake);
        pthread_mutex_destroy(&rf->lock);
        free(rf);
        return NULL;
}

struct key_set *refresh_keys(struct refresh *rf)
{
        pthread_mutex_lock(&rf->lock);
        struct key_set *ks = key_set_ref(rf->keys);
        pthread_mutex_unlock(&rf->lock);
        return ks;
}

void refresh_hint(struct refresh *rf)
{
        pthread_mutex_lock(&rf->lock);
        if (rf->running && !rf->hinted) {
                rf->hinted = true;
                pthread_cond_signal(&rf->wake);
        }
        pthread_mutex_unlock(&rf->lock);
}
