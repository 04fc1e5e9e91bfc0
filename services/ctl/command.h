/*
 * command - the table of ternctl's commands (commands.def) and their arguments.
 *
 * One row makes the dispatch, the parser and the help. Exit codes: 0 done, 1 failed, 2 usage, 3 partly done.
 */
#ifndef TERN_CTL_COMMAND_H
#define TERN_CTL_COMMAND_H

#include "base/buf.h"
#include "base/check.h"

#include <stdbool.h>
#include <stdint.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_PARTLY = 3 };
enum { NEEDS_KAFKA = 1, NEEDS_POSTGRES = 2, NEEDS_AUTH = 4 };

struct ctl;
struct args;

struct command {
        const char *name; /* one or two words */
        unsigned needs;
        const char *arguments; /* "TOPIC…"; "" = takes none */
        const char *summary, *example;
        int (*run)(struct ctl *ctl, const struct args *a);
};
extern const struct command commands[];
extern const size_t command_count;

#define COMMAND(id, ...) int cmd_##id(struct ctl *ctl, const struct args *a);
#define OPTION(...)
#include "ctl/commands.def"

/* The command that argv[1…] names; *ret_used is the number of words. NULL if none. */
const struct command *command_find(int argc, char **argv, int *ret_used);
struct option {
        int (*of)(struct ctl *ctl, const struct args *a);
        const char *name, *value, *def, *text; /* value "" = a flag; def "" = none */
};
/* The i-th option of a command, or NULL. */
const struct option *command_option(const struct command *c, size_t i);
/* Help of one command; of all. */
void command_help(const struct command *c, struct buf *out);
void command_help_all(struct buf *out);
/* Help of the commands of two words that begin with this one, as in "dlq"; how many there are. */
size_t command_help_group(const char *word, struct buf *out);

#define ARGS_OPTIONS_MAX 24
struct args {
        const struct command *command;
        const char *values
                [ARGS_OPTIONS_MAX]; /* borrowed from argv; NULL = not given; by order of the command's options */
        char *const *words; /* what is no option; borrowed from argv */
        size_t word_count;
        bool help;
};
/* Reads argv[0…] after the command's words; reorders it. 0, or -EINVAL with a sentence in fault. */
MUST_CHECK int args_parse(
        const struct command *c, int argc, char **argv, struct args *ret, char fault[256]);
bool args_flag(const struct args *a, const char *name);
/* As given, or the default; "" if there is neither. */
const char *args_text(const struct args *a, const char *name);
/* 0 or -EINVAL with a sentence in fault. */
MUST_CHECK int args_u32(
        const struct args *a, const char *name, uint32_t max, uint32_t *ret, char fault[256]);

/* "90s", "15m", "12h", "30d"; seconds without a unit. 0 or -EINVAL. */
MUST_CHECK int parse_duration(const char *text, int64_t *ret_ms);

#endif
