#include "ctl/manual.h"

#include "ctl/command.h"

/* Text in roff: no request at the start of a line, backslashes and hyphens as they are. */
static void roff(struct buf *out, const char *text)
{
        bool first = true;
        for (; *text; text++) {
                if (first && (*text == '.' || *text == '\''))
                        buf_add_str(out, "\\&");
                if (*text == '\\')
                        buf_add_str(out, "\\e");
                else if (*text == '-')
                        buf_add_str(out, "\\-");
                else
                        buf_add_char(out, *text);
                first = *text == '\n';
        }
}

static void page_option(const struct option *o, struct buf *out)
{
        buf_add_str(out, ".TP\n.B ");
        roff(out, "--");
        roff(out, o->name);
        if (o->value[0]) {
                buf_add_str(out, " \\fI");
                roff(out, o->value);
                buf_add_str(out, "\\fR");
        }
        buf_add_char(out, '\n');
        roff(out, o->text);
        if (o->def[0]) {
                buf_add_str(out, " Default ");
                roff(out, o->def);
                buf_add_char(out, '.');
        }
        buf_add_char(out, '\n');
}

static void page_command(const struct command *c, struct buf *out)
{
        const struct option *o;
        buf_add_str(out, ".SS ");
        roff(out, c->name);
        if (c->arguments[0]) {
                buf_add_char(out, ' ');
                roff(out, c->arguments);
        }
        buf_add_char(out, '\n');
        roff(out, c->summary);
        buf_add_char(out, '\n');
        for (size_t i = 0; (o = command_option(c, i)); i++)
                page_option(o, out);
        buf_add_str(out, ".PP\nExample:\n.PP\n.RS\n.nf\n");
        roff(out, c->example);
        buf_add_str(out, "\n.fi\n.RE\n");
}

void manual_page(const struct config_group *groups, size_t count, struct buf *out)
{
        struct buf settings = BUF_EMPTY;
        buf_add_str(out,
                ".TH TERNCTL 1 \"\" \"Tern " TERN_VERSION "\"\n.SH NAME\nternctl \\- looks after a "
                "Tern\n.SH SYNOPSIS\n.B ternctl\n.I COMMAND\n[options]\n.SH DESCRIPTION\n"
                "Topics, schema, checks, records, replays, dead letters, erasure, tokens and lag "
                "of a Tern.\n"
                "Settings come from the environment; commands about Kafka alone need\n"
                ".B TERN_KAFKA_BOOTSTRAP_SERVERS\nalone.\n.SH COMMANDS\n");
        for (size_t i = 0; i < command_count; i++)
                page_command(&commands[i], out);
        buf_add_str(out,
                ".SH OPTIONS\n.TP\n.B \\-\\-help\nHelp, also of each command.\n.TP\n.B "
                "\\-\\-version\nThe version.\n.TP\n.B \\-\\-print\\-settings\nThe settings in "
                "force.\n"
                ".TP\n.B \\-\\-completion\nThe completion for bash.\n.TP\n.B \\-\\-man\nThis "
                "page.\n"
                ".SH EXIT STATUS\n.TP\n0\ndone\n.TP\n1\nfailed\n.TP\n2\nusage\n.TP\n3\npartly "
                "done\n"
                ".SH ENVIRONMENT\n.nf\n");
        config_help(groups, count, &settings);
        roff(out, buf_cstr(&settings));
        buf_add_str(out, ".fi\n");
        buf_done(&settings);
}

/* ---- bash ---- */

static bool is_group(const char *word, size_t before)
{
        for (size_t i = 0; i < before; i++)
                if (strncmp(commands[i].name, word, strcspn(word, " ")) == 0 &&
                        commands[i].name[strcspn(word, " ")] == ' ')
                        return true;
        return false;
}

/* First words, or the second words of a first one. */
static void words(struct buf *out, const char *first)
{
        size_t n = first ? strlen(first) : 0;
        for (size_t i = 0; i < command_count; i++) {
                const char *name = commands[i].name;
                if (first && (strncmp(name, first, n) != 0 || name[n] != ' '))
                        continue;
                if (!first && strchr(name, ' ') && is_group(name, i))
                        continue;
                buf_printf(out, "%s ", first ? name + n + 1 : "");
                if (!first) {
                        out->n--;
                        buf_add(out, name, strcspn(name, " "));
                        buf_add_char(out, ' ');
                }
        }
}

static void case_of_group(struct buf *out, const char *name)
{
        char first[32];
        snprintf(first, sizeof(first), "%.*s", (int)strcspn(name, " "), name);
        buf_printf(out, "        %s) words=\"", first);
        words(out, first);
        buf_add_str(out, "\" ;;\n");
}

void manual_completion(struct buf *out)
{
        buf_add_str(out,
                "# Completion of ternctl for bash, made by `ternctl --completion`.\n"
                "_ternctl() {\n        local cur=${COMP_WORDS[COMP_CWORD]} "
                "prev=${COMP_WORDS[COMP_CWORD-1]} words= options= values=\n"
                "        COMPREPLY=()\n        case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n");
        for (size_t i = 0; i < command_count; i++) {
                const struct command *c = &commands[i];
                const struct option *o;
                buf_printf(out,
                        strchr(c->name, ' ') ? "        '%s') options=\""
                                             : "        '%s '*) options=\"",
                        c->name);
                for (size_t k = 0; (o = command_option(c, k)); k++)
                        buf_printf(out, "--%s ", o->name);
                buf_add_str(out, "--help\" values=\" ");
                for (size_t k = 0; (o = command_option(c, k)); k++)
                        if (o->value[0])
                                buf_printf(out, "--%s ", o->name);
                buf_add_str(out, "\" ;;\n");
        }
        buf_add_str(out, "        esac\n        case \"${COMP_WORDS[1]}\" in\n");
        for (size_t i = 0; i < command_count; i++)
                if (strchr(commands[i].name, ' ') && !is_group(commands[i].name, i))
                        case_of_group(out, commands[i].name);
        buf_add_str(out, "        esac\n        if [ \"$COMP_CWORD\" -eq 1 ]; then\n               "
                         " words=\"");
        words(out, NULL);
        buf_add_str(out,
                "help --help --version --print-settings --completion --man\"\n        elif [ "
                "\"$COMP_CWORD\" -ne 2 ] || [ -z \"$words\" ]; then\n                "
                "words=$options\n"
                "        fi\n        case \"$values\" in\n        *\" $prev \"*) "
                "COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
                "        *) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n        esac\n}\n"
                "complete -F _ternctl ternctl\n");
}
