/*
 * mutate - writes a source file in which each deliberate bug of mutations.def can be switched on at run time.
 *
 * usage: mutate SOURCE NAME OUT   (NAME: the source's path as the table has it)
 *
 * A text that does not stand in the source exactly once is a failure: the table has to follow the code.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
        const char *name, *file, *text, *instead;
} mutations[] = {
#define MUTATION(name, file, text, instead) {#name, file, text, instead},
#include "../mutations.def"
};

static char *read_all(const char *path)
{
        FILE *f = fopen(path, "rb");
        if (!f)
                return NULL;
        size_t n = 0, cap = 1 << 20;
        char *text = malloc(cap + 1);
        n = fread(text, 1, cap, f);
        fclose(f);
        text[n] = '\0';
        return text;
}

static size_t occurrences(const char *text, const char *what)
{
        size_t n = 0;
        for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
                n++;
        return n;
}

/* Nests: what was replaced may hold the text of another mutation, which then stands in the last branch. */
static char *replace(const char *text, size_t number, const char *original, const char *instead)
{
        const char *at = strstr(text, original);
        size_t n = strlen(original);
        int statement = original[n - 1] == ';',
            condition = strncmp(original, "if (", 4) == 0 && !statement;
        size_t size = strlen(text) + n + strlen(instead) + 200;
        char *out = malloc(size);
        int head = (int)(at - text);
        if (statement)
                snprintf(out, size, "%.*sif (mutation_active == %zu) { %s } else { %s }%s", head,
                        text, number, instead, original, at + n);
        else if (condition)
                snprintf(out, size, "%.*sif (mutation_active == %zu ? (%s) : (%s))%s", head, text,
                        number, instead + 3, original + 3, at + n);
        else
                snprintf(out, size, "%.*s(mutation_active == %zu ? (%s) : (%s))%s", head, text,
                        number, instead, original, at + n);
        return out;
}

int main(int argc, char **argv)
{
        char *text = argc == 4 ? read_all(argv[1]) : NULL;
        if (!text) {
                fprintf(stderr, "usage: mutate SOURCE NAME OUT\n");
                return 2;
        }
        for (size_t i = 0; i < sizeof(mutations) / sizeof(mutations[0]); i++) {
                if (strcmp(mutations[i].file, argv[2]) != 0)
                        continue;
                const char *what = mutations[i].text;
                size_t n = occurrences(text, what);
                /* A second mutation of the same place finds it in the first one's last branch. */
                if (n != 1) {
                        fprintf(stderr, "%s: mutation %s: its text stands there %zu times\n",
                                argv[2], mutations[i].name, n);
                        return 1;
                }
                char *next = replace(text, i + 1, what, mutations[i].instead);
                free(text);
                text = next;
        }
        FILE *f = fopen(argv[3], "wb");
        if (!f)
                return 1;
        fprintf(f, "extern unsigned mutation_active;\n#line 1 \"%s\"\n%s", argv[2], text);
        free(text);
        return fclose(f) == 0 ? 0 : 1;
}
