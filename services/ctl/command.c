#include "ctl/command.h"

#include <errno.h>

const struct command commands[] = {
#define COMMAND(id, name, needs, arguments, summary, example)                                      \
        {name, needs, arguments, summary, example, cmd_##id},
#define OPTION(...)
#include "ctl/commands.def"
};
const size_t command_count = ARRAY_LEN(commands);

static const struct option options[] = {
#define COMMAND(...)
#define OPTION(id, name, value, def, text) {cmd_##id, name, value, def, text},
#include "ctl/commands.def"
};

const struct option *command_option(const struct command *c, size_t i)
{
        for (size_t k = 0; k < ARRAY_LEN(options); k++)
                if (options[k].of == c->run && i-- == 0)
                        return &options[k];
        return NULL;
}

static const struct option *option_find(const struct command *c, struct slice name, size_t *ret_at)
{
        const struct option *o;
        for (size_t i = 0; (o = command_option(c, i)); i++) {
                CHECK(i < ARGS_OPTIONS_MAX);
                *ret_at = i;
                if (slice_is(name, o->name))
                        return o;
        }
        return NULL;
}

const struct command *command_find(int argc, char **argv, int *ret_used)
{
        for (size_t i = 0; i < command_count; i++) {
                struct slice rest = slice_str(commands[i].name);
                int words = 0;
                bool same = true;
                while (same && rest.n > 0) {
                        ptrdiff_t space = slice_find(rest, ' ');
                        struct slice word = space < 0 ? rest : slice_of(rest.p, (size_t)space);
                        rest = space < 0 ? slice_from(rest, rest.n)
                                         : slice_from(rest, (size_t)space + 1);
                        same = 1 + words < argc && slice_is(word, argv[1 + words]);
                        words++;
                }
                if (same) {
                        *ret_used = words;
                        return &commands[i];
                }
        }
        return NULL;
}

/* ---- help ---- */

void command_help(const struct command *c, struct buf *out)
{
        buf_printf(out, "%s\n\nusage: ternctl %s [options]%s%s\n\n", c->summary, c->name,
                c->arguments[0] ? " " : "", c->arguments);
        const struct option *o;
        for (size_t i = 0; (o = command_option(c, i)); i++) {
                char left[64];
                snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value[0] ? " " : "", o->value);
                buf_printf(out, "  %-18s %s", left, o->text);
                if (o->def[0])
                        buf_printf(out, " Default %s.", o->def);
                buf_add_char(out, '\n');
        }
        buf_printf(out,
                "  %-18s This text.\n\nexample: %s\n\nexit code: 0 done, 1 failed, 2 usage, 3 "
                "partly done\n",
                "--help", c->example);
}

void command_help_all(struct buf *out)
{
        buf_add_str(out, "ternctl: looks after a Tern.\n\nusage: ternctl COMMAND [options]\n\n");
        for (size_t i = 0; i < command_count; i++)
                buf_printf(out, "  %-15s %s\n", commands[i].name, commands[i].summary);
        buf_add_str(out, "\nternctl COMMAND --help explains one. Settings come from the "
                         "environment; commands about Kafka need\n"
                         "TERN_KAFKA_BOOTSTRAP_SERVERS alone.\n\n");
}

size_t command_help_group(const char *word, struct buf *out)
{
        size_t n = strlen(word), found = 0;
        for (size_t i = 0; i < command_count; i++) {
                if (strncmp(commands[i].name, word, n) != 0 || commands[i].name[n] != ' ')
                        continue;
                if (found++ == 0)
                        buf_printf(out, "usage: ternctl %s COMMAND [options]\n\n", word);
                buf_printf(out, "  %-15s %s\n", commands[i].name, commands[i].summary);
        }
        return found;
}

/* ---- arguments ---- */

static int take_option(
        const struct command *c, char **argv, int argc, int *at, struct args *ret, char fault[256])
{
        struct slice text = slice_from(slice_str(argv[*at]), 2);
        ptrdiff_t equals = slice_find(text, '=');
        struct slice name = equals < 0 ? text : slice_of(text.p, (size_t)equals);
        size_t slot = 0;
        if (slice_is(text, "help")) {
                ret->help = true;
                return 0;
        }
        const struct option *o = option_find(c, name, &slot);
        if (!o) {
                snprintf(fault, 256, "%s has no option --%.*s (try --help)", c->name,
                        SLICE_ARG(name));
                return -EINVAL;
        }
        if (!o->value[0]) {
                ret->values[slot] = equals < 0 ? "on" : "";
        } else if (equals >= 0) {
                ret->values[slot] = text.p + equals + 1;
        } else if (*at + 1 < argc) {
                ret->values[slot] = argv[++*at];
        }
        if (!ret->values[slot] || (!o->value[0] && equals >= 0)) {
                snprintf(fault, 256, o->value[0] ? "--%s needs a value" : "--%s takes no value",
                        o->name);
                return -EINVAL;
        }
        return 0;
}

int args_parse(const struct command *c, int argc, char **argv, struct args *ret, char fault[256])
{
        *ret = (struct args){.command = c, .words = argv};
        bool options_end = false;
        for (int i = 0; i < argc; i++) {
                if (!options_end && strcmp(argv[i], "--") == 0) {
                        options_end = true;
                } else if (!options_end && strcmp(argv[i], "-h") == 0) {
                        ret->help = true;
                } else if (!options_end && strncmp(argv[i], "--", 2) == 0) {
                        int err = take_option(c, argv, argc, &i, ret, fault);
                        if (err)
                                return err;
                } else {
                        argv[ret->word_count++] = argv[i];
                }
        }
        if (!ret->help && ret->word_count > 0 && !c->arguments[0]) {
                snprintf(fault, 256, "%s takes no argument, %s was given (try --help)", c->name,
                        argv[0]);
                return -EINVAL;
        }
        return 0;
}

bool args_flag(const struct args *a, const char *name)
{
        size_t at = 0;
        CHECK(option_find(a->command, slice_str(name), &at));
        return a->values[at] != NULL;
}

const char *args_text(const struct args *a, const char *name)
{
        size_t at = 0;
        const struct option *o = option_find(a->command, slice_str(name), &at);
        CHECK(o);
        return a->values[at] ? a->values[at] : o->def;
}

int args_u32(const struct args *a, const char *name, uint32_t max, uint32_t *ret, char fault[256])
{
        uint64_t v = 0;
        const char *text = args_text(a, name);
        if (!slice_to_u64(slice_str(text), max, &v)) {
                snprintf(fault, 256, "--%s is %s, it has to be a number up to %u", name, text, max);
                return -EINVAL;
        }
        *ret = (uint32_t)v;
        return 0;
}

int parse_duration(const char *text, int64_t *ret_ms)
{
        static const struct {
                char unit;
                int64_t ms;
        } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
        struct slice s = slice_str(text);
        int64_t ms = 1000;
        for (size_t i = 0; s.n > 0 && i < ARRAY_LEN(units); i++) {
                if (s.p[s.n - 1] == units[i].unit) {
                        ms = units[i].ms;
                        s.n--;
                        break;
                }
        }
        uint64_t v = 0;
        if (!slice_to_u64(s, 1000000000, &v))
                return -EINVAL;
        *ret_ms = (int64_t)v * ms;
        return 0;
}
