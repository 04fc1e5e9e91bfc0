/*
 * fuzz_head - any bytes as a request head. What head_parse() accepts is a request that every strict
 * reader reads in the same way: this restates the rules on the accepted head, one by one.
 */
#include "http/head.h"

#include "base/check.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(const char *p, size_t n, struct slice s)
{
        CHECK(s.n == 0 || (s.p >= p && s.p + s.n <= p + n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        size_t n = head_find((const char *)data, size);
        if (n == 0)
                return 0;
        char *p = malloc(n); /* exactly as long: the address sanitizer sees a byte too far */
        memcpy(p, data, n);
        size_t len = n;
        struct head h;
        const char *why = NULL;
        int status = head_parse(p, &len, &h, &why);
        if (status) {
                CHECK(status >= 400 && status < 600 && why);
                free(p);
                return 0;
        }
        CHECK(len <= n && len >= 16 && head_find(p, len) == len);
        CHECK(h.path.n > 0 && h.path.p[0] == '/' && h.fields_n <= HEAD_HEADERS_MAX);
        CHECK(!(h.chunked && h.content_length >= 0));
        inside(p, len, h.method);
        inside(p, len, h.path);
        inside(p, len, h.query);
        for (size_t i = 0; i < len; i++)
                CHECK((unsigned char)p[i] >= 0x20 ? p[i] != 0x7f
                                                  : (p[i] == '\r' && p[i + 1] == '\n') ||
                                                            (p[i] == '\n' && p[i - 1] == '\r'));
        for (unsigned i = 0; i < h.fields_n; i++) {
                inside(p, len, h.fields[i].name);
                inside(p, len, h.fields[i].value);
                CHECK(h.fields[i].name.n > 0);
                (void)head_has_token(h.fields[i].value, "upgrade");
        }
        (void)head_get(&h, "Host");
        free(p);
        return 0;
}
