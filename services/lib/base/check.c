#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check_failed(const char *what, const char *file, int line)
{
        char text[256];
        size_t n = 0;
        for (; *what && n < sizeof(text) - 1; what++)
                text[n++] = *what == '"' || *what == '\\' ? '\'' : *what;
        text[n] = '\0';
        fprintf(stderr,
                "{\"level\":\"error\",\"event\":\"check_failed\",\"what\":\"%s\",\"file\":\"%s\","
                "\"line\":%d}\n",
                text, file, line);
        abort();
}

static void *alive(void *p)
{
        if (unlikely(!p))
                check_failed("out of memory", __FILE__, __LINE__);
        return p;
}

void *xmalloc(size_t n)
{
        return alive(malloc(n ? n : 1));
}

void *xcalloc(size_t count, size_t size)
{
        return alive(calloc(count ? count : 1, size ? size : 1));
}

void *xrealloc(void *p, size_t n)
{
        return alive(realloc(p, n ? n : 1));
}

char *xstrndup(const char *s, size_t n)
{
        char *copy = xmalloc(n + 1);
        if (n)
                memcpy(copy, s, n);
        copy[n] = '\0';
        return copy;
}

char *xstrdup(const char *s)
{
        return xstrndup(s, strlen(s));
}
