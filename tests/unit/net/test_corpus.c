/* The fuzzer's corpus, past crashes among it, as an ordinary test. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define LLVMFuzzerTestOneInput fuzz_ws
#include "tests/fuzz/net/fuzz_ws.c"
#undef LLVMFuzzerTestOneInput

static void replay_file(const char *path)
{
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        struct buf b = BUF_EMPTY;
        size_t n;
        while ((n = fread(buf_reserve(&b, 4096), 1, 4096, f)) > 0)
                buf_commit(&b, n);
        fclose(f);
        uint8_t *exact = xmalloc(b.n ? b.n : 1); /* a read past the end is seen */
        if (b.n)
                memcpy(exact, b.p, b.n);
        assert_int_equal(fuzz_ws(exact, b.n), 0);
        free(exact);
        buf_done(&b);
}

static void the_websocket_corpus_passes(void **state)
{
        UNUSED(state);
        DIR *d = opendir(SOURCE_DIR "/tests/fuzz/net/corpus/ws");
        assert_non_null(d);
        unsigned files = 0;
        struct dirent *e;
        while ((e = readdir(d))) {
                if (e->d_name[0] == '.')
                        continue;
                char path[1024];
                snprintf(path, sizeof(path), "%s/tests/fuzz/net/corpus/ws/%s", SOURCE_DIR, e->d_name);
                replay_file(path);
                files++;
        }
        closedir(d);
        assert_true(files > 20);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(the_websocket_corpus_passes)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
