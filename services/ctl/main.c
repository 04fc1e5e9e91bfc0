/*
 * ternctl: topics, schema, checks, records, tokens and lag of a Tern, from one table of commands.
 *
 * Each command reads only the tables of settings that it needs, so that a wrong setting of another part is not in
 * its way.
 */
#include "ctl/ctl.h"

#include "ctl/manual.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define GROUPS 4

static size_t groups(struct ctl *ctl, unsigned needs, struct config_group ret[GROUPS])
{
        size_t n = 0;
        if (needs & NEEDS_KAFKA) {
                ret[n++] = (struct config_group){
                        "Kafka", bus_settings_rows, bus_settings_count, &ctl->bus_settings};
                ret[n++] = (struct config_group){"Topics", topics_settings_rows,
                        topics_settings_count, &ctl->topics_settings};
        }
        if (needs & NEEDS_POSTGRES)
                ret[n++] = (struct config_group){"Postgres", store_settings_rows,
                        store_settings_count, &ctl->store_settings};
        if (needs & NEEDS_AUTH)
                ret[n++] = (struct config_group){"Authentication", auth_settings_rows,
                        auth_settings_count, &ctl->auth_settings};
        return n;
}

static int usage(const char *text)
{
        fprintf(stderr, "ternctl: %s\n", text);
        return EXIT_USAGE;
}

static int run(const struct command *c, const struct args *a)
{
        struct ctl ctl = {0};
        struct config_group all[GROUPS];
        size_t n = groups(&ctl, c->needs, all);
        int code = EXIT_USAGE;
        if (config_load(all, n, environ, &ctl.config) != 0)
                fputs(buf_cstr(&ctl.config.faults), stderr);
        else
                code = c->run(&ctl, a);
        ctl_done(&ctl);
        config_result_done(&ctl.config);
        config_free(all, n);
        return code;
}

static void print(struct buf *out)
{
        fputs(buf_cstr(out), stdout);
        buf_done(out);
}

/* "ternctl", "ternctl --help", "ternctl --version", "ternctl --print-settings"; -1: something else. */
static int common(int argc, char **argv)
{
        const char *first = argc > 1 ? argv[1] : "--help";
        struct ctl ctl = {0};
        struct config_group all[GROUPS];
        size_t n = groups(&ctl, NEEDS_KAFKA | NEEDS_POSTGRES | NEEDS_AUTH, all);
        struct buf out = BUF_EMPTY;
        int code = EXIT_DONE;
        if (strcmp(first, "--version") == 0) {
                buf_add_str(&out, "ternctl " TERN_VERSION "\n");
        } else if (strcmp(first, "--completion") == 0) {
                manual_completion(&out);
        } else if (strcmp(first, "--man") == 0) {
                manual_page(all, n, &out);
        } else if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0 ||
                   (strcmp(first, "help") == 0 && argc == 2)) {
                command_help_all(&out);
                config_help(all, n, &out);
                code = argc > 1 ? EXIT_DONE : EXIT_USAGE;
        } else if (strcmp(first, "--print-settings") == 0) {
                if (config_load(all, n, environ, &ctl.config) == 0) {
                        config_print(all, n, &out);
                } else {
                        fputs(buf_cstr(&ctl.config.faults), stderr);
                        code = EXIT_USAGE;
                }
                config_result_done(&ctl.config);
                config_free(all, n);
        } else {
                code = -1;
        }
        if (out.n)
                print(&out);
        return code;
}

/* The first word of commands that have two, alone or with --help, lists them; anything else is no command. */
static int no_command(int argc, char **argv, bool explain)
{
        struct buf out = BUF_EMPTY;
        bool asked = explain || (argc > 2 && strcmp(argv[2], "--help") == 0);
        if (command_help_group(argv[1], &out) > 0 && (asked || argc == 2)) {
                print(&out);
                return asked ? EXIT_DONE : EXIT_USAGE;
        }
        buf_done(&out);
        char text[200];
        snprintf(text, sizeof(text), "there is no command %s%s%s (try --help)", argv[1],
                argc > 2 ? " " : "", argc > 2 ? argv[2] : "");
        return usage(text);
}

/* A gateway that runs this for its admin page is the only one who could stop it: when it dies, this stops, too. */
static void end_with_parent(void)
{
        const char *wish = getenv("TERN_ENDS_WITH_PARENT");
        if (!wish || strcmp(wish, "1") != 0)
                return;
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() == 1)
                _exit(EXIT_FAILED);
}

int main(int argc, char **argv)
{
        end_with_parent();
        int code = common(argc, argv);
        if (code >= 0)
                return code;
        bool explain = strcmp(argv[1], "help") == 0;
        if (explain) {
                argv++;
                argc--;
        }
        int used = 0;
        const struct command *c = command_find(argc, argv, &used);
        if (!c)
                return no_command(argc, argv, explain);
        struct args a;
        char fault[256] = "";
        if (args_parse(c, argc - 1 - used, argv + 1 + used, &a, fault) != 0)
                return usage(fault);
        if (a.help || explain) {
                struct buf out = BUF_EMPTY;
                command_help(c, &out);
                print(&out);
                return EXIT_DONE;
        }
        return run(c, &a);
}
