/*
 * replay - runs a fuzzer's corpus and its past crashes as an ordinary test.
 *
 * Every build but the fuzzing one links each fuzz_x.c with this main() instead of libFuzzer's. Arguments are files
 * and folders; a folder's files are taken in the order of their names.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replayed;

static int run_file(const char *path, off_t size)
{
        FILE *f = fopen(path, "rb");
        uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
        if (!f || !data || fread(data, 1, (size_t)size, f) != (size_t)size) {
                fprintf(stderr, "%s cannot be read\n", path);
                if (f)
                        fclose(f);
                free(data);
                return 1;
        }
        fclose(f);
        fprintf(stderr, "%s\n", path);
        LLVMFuzzerTestOneInput(data, (size_t)size);
        replayed++;
        free(data);
        return 0;
}

static int run_path(const char *path)
{
        struct stat st;
        if (stat(path, &st) < 0) {
                fprintf(stderr, "%s is not there\n", path);
                return 1;
        }
        if (!S_ISDIR(st.st_mode))
                return run_file(path, st.st_size);
        struct dirent **entries;
        int n = scandir(path, &entries, NULL, alphasort);
        int code = n < 0;
        for (int i = 0; i < n; i++) {
                char name[4096];
                if (entries[i]->d_name[0] != '.' && snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name) < (int)sizeof(name))
                        code |= run_path(name);
                free(entries[i]);
        }
        if (n >= 0)
                free(entries);
        return code;
}

int main(int argc, char **argv)
{
        int code = 0;
        LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
        for (int i = 1; i < argc; i++)
                code |= run_path(argv[i]);
        printf("%u inputs\n", replayed);
        return code;
}
