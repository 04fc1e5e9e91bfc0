#include "base/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

static int64_t read_ns(clockid_t id)
{
        struct timespec ts;
        clock_gettime(id, &ts);
        return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_mono_ns(void)
{
        return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
        return clock_mono_ns() / 1000000;
}

int64_t clock_wall_ms(void)
{
        return read_ns(CLOCK_REALTIME) / 1000000;
}

/* The last count digits of v, and what follows them. Returns the end. */
static char *put_digits(char *at, unsigned v, int count, char then)
{
        for (int i = count; i-- > 0; v /= 10)
                at[i] = (char)('0' + v % 10);
        at[count] = then;
        return at + count + 1;
}

void clock_iso(int64_t wall_ms, char ret[CLOCK_ISO_TEXT])
{
        int64_t seconds = wall_ms / 1000, ms = wall_ms % 1000;
        if (ms < 0) {
                ms += 1000;
                seconds--;
        }
        struct tm tm;
        time_t t = (time_t)seconds;
        if (!gmtime_r(&t, &tm) || tm.tm_year < -1900 || tm.tm_year > 8099)
                tm = (struct tm){.tm_mday = 1, .tm_year = 70};
        char *at = put_digits(ret, (unsigned)(tm.tm_year + 1900), 4, '-');
        at = put_digits(at, (unsigned)(tm.tm_mon + 1), 2, '-');
        at = put_digits(at, (unsigned)tm.tm_mday, 2, 'T');
        at = put_digits(at, (unsigned)tm.tm_hour, 2, ':');
        at = put_digits(at, (unsigned)tm.tm_min, 2, ':');
        at = put_digits(at, (unsigned)tm.tm_sec, 2, '.');
        at = put_digits(at, (unsigned)ms, 3, 'Z');
        *at = '\0';
}

/* Reads exactly count digits. */
static int digits(const char **p, const char *end, int count, int *ret)
{
        int v = 0;
        for (int i = 0; i < count; i++) {
                if (*p == end || **p < '0' || **p > '9')
                        return -EINVAL;
                v = v * 10 + (*(*p)++ - '0');
        }
        *ret = v;
        return 0;
}

static int expect(const char **p, const char *end, char c)
{
        if (*p == end || **p != c)
                return -EINVAL;
        (*p)++;
        return 0;
}

static int parse_fraction(const char **p, const char *end, int64_t *ms)
{
        if (*p == end || **p != '.')
                return 0;
        (*p)++;
        int scale = 100, n = 0;
        for (; *p != end && **p >= '0' && **p <= '9'; (*p)++, n++) {
                *ms += (**p - '0') * scale;
                scale /= 10;
        }
        return n > 0 ? 0 : -EINVAL;
}

static int parse_zone(const char **p, const char *end, int64_t *offset_s)
{
        if (*p == end)
                return -EINVAL;
        char sign = *(*p)++;
        if (sign == 'Z' || sign == 'z')
                return 0;
        int h, m;
        if ((sign != '+' && sign != '-') || digits(p, end, 2, &h) < 0 || expect(p, end, ':') < 0 ||
                digits(p, end, 2, &m) < 0 || h > 23 || m > 59)
                return -EINVAL;
        *offset_s = (sign == '-' ? -1 : 1) * (h * 3600 + m * 60);
        return 0;
}

int clock_parse_iso(const char *p, size_t n, int64_t *ret_wall_ms)
{
        const char *end = p + n;
        int year, month, day, hour = 0, minute = 0, second = 0;
        int64_t ms = 0, offset = 0;
        if (digits(&p, end, 4, &year) < 0 || expect(&p, end, '-') < 0 ||
                digits(&p, end, 2, &month) < 0 || expect(&p, end, '-') < 0 ||
                digits(&p, end, 2, &day) < 0)
                return -EINVAL;
        if (p != end) {
                if (*p != 'T' && *p != 't' && *p != ' ')
                        return -EINVAL;
                p++;
                if (digits(&p, end, 2, &hour) < 0 || expect(&p, end, ':') < 0 ||
                        digits(&p, end, 2, &minute) < 0 || expect(&p, end, ':') < 0 ||
                        digits(&p, end, 2, &second) < 0)
                        return -EINVAL;
                if (parse_fraction(&p, end, &ms) < 0 || parse_zone(&p, end, &offset) < 0 ||
                        p != end)
                        return -EINVAL;
        }
        if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
                second > 60)
                return -EINVAL;
        /* A leap second is the second after :59; timegm() would carry it into the next day. */
        bool leap = second == 60;
        struct tm tm = {
                .tm_year = year - 1900,
                .tm_mon = month - 1,
                .tm_mday = day,
                .tm_hour = hour,
                .tm_min = minute,
                .tm_sec = leap ? 59 : second,
        };
        time_t t = timegm(&tm);
        /* timegm() turns the 31st of June into the 1st of July. */
        if (tm.tm_mon != month - 1)
                return -EINVAL;
        *ret_wall_ms = ((int64_t)t + leap - offset) * 1000 + ms;
        return 0;
}
