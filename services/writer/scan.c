#include "writer/scan.h"

#include "base/clock.h"
#include "bus/seek.h"

#include <errno.h>
#include <stdlib.h>

#define POLL_MS 200
#define POLL_MAX 500

struct scan_reader {
        struct bus *bus;   /* borrowed */
        struct seek *seek; /* owned; made at the first use, since hardly any writer ever needs it */
};

struct scan_reader *scan_new(struct bus *bus)
{
        struct scan_reader *s = xcalloc(1, sizeof(*s));
        s->bus = bus;
        return s;
}

struct scan_reader *scan_free(struct scan_reader *s)
{
        if (!s)
                return NULL;
        seek_free(s->seek);
        free(s);
        return NULL;
}

static int read_range(struct scan_reader *s, const char *topic, int32_t partition, int64_t from,
        int64_t to, int64_t until_ms, void (*fn)(void *arg, const struct bus_record *r), void *arg)
{
        char fault[256];
        if (!s->seek && seek_new(s->bus, &s->seek, fault) < 0)
                return -EIO;
        int err = seek_start(s->seek, topic, partition, from, to);
        bool complete = false;
        while (!err && !complete) {
                const struct bus_record *r = NULL;
                size_t n = 0;
                int got = seek_poll(s->seek, POLL_MS, POLL_MAX, &r, &n);
                for (size_t i = 0; got >= 0 && i < n; i++)
                        fn(arg, &r[i]);
                complete = got == 1;
                if (got < 0)
                        err = got;
                else if (!complete && clock_mono_ms() >= until_ms)
                        err = -ETIMEDOUT;
        }
        seek_stop(s->seek);
        return err;
}

static int scan(struct scan_reader *s, const char *topic, int32_t partition, int64_t from,
        int64_t last, int timeout_ms, void (*fn)(void *arg, const struct bus_record *r), void *arg)
{
        int64_t low = 0, high = 0, until_ms = clock_mono_ms() + timeout_ms;
        int err = bus_watermarks(s->bus, topic, partition, timeout_ms, &low, &high);
        if (err)
                return err == -ETIMEDOUT ? err : -EIO;
        if (last)
                from = high - last;
        if (from < low)
                from = low;
        if (from >= high)
                return 0;
        err = read_range(s, topic, partition, from, high, until_ms, fn, arg);
        return err && err != -ETIMEDOUT ? -EIO : err;
}

int scan_from(struct scan_reader *s, const char *topic, int32_t partition, int64_t from,
        int timeout_ms, void (*fn)(void *arg, const struct bus_record *r), void *arg)
{
        return scan(s, topic, partition, from, 0, timeout_ms, fn, arg);
}

int scan_last(struct scan_reader *s, const char *topic, int32_t partition, int64_t count,
        int timeout_ms, void (*fn)(void *arg, const struct bus_record *r), void *arg)
{
        return scan(s, topic, partition, 0, count, timeout_ms, fn, arg);
}
