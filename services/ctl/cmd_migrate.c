#include "ctl/ctl.h"

#include "base/clock.h"
#include "store/migrate.h"

#include <errno.h>

struct progress {
        struct buf json;
        bool as_json;
        int version;
        unsigned applied;
};

static void on_migration(void *arg, const struct migration *m, bool fresh)
{
        struct progress *p = arg;
        p->version = m->version;
        p->applied += fresh;
        if (!fresh)
                return;
        if (!p->as_json) {
                printf("applied %04d %s\n", m->version, m->name);
                return;
        }
        buf_add_str(&p->json, p->json.p[p->json.n - 1] == '[' ? "{" : ",{");
        json_number(&p->json, "version", m->version);
        json_text(&p->json, "name", m->name);
        buf_add_char(&p->json, '}');
}

/* For programs that must not start before somebody else's migration is done. Every try has a connection of its own:
 * a server that is being restarted takes the old one with it. */
static int check(struct ctl *ctl, int64_t wait_ms, bool as_json)
{
        const struct timespec nap = {0, 300000000};
        int64_t until = clock_mono_ms() + wait_ms;
        char fault[256] = "";
        int err;
        for (;;) {
                int64_t left = until - clock_mono_ms();
                int code = ctl_db(ctl, left > 0 ? left : 0);
                if (code)
                        return code;
                err = db_schema_check(ctl->db, fault);
                if (err && !fault[0])
                        snprintf(fault, sizeof(fault), "%s", db_error(ctl->db)->text);
                ctl->db = db_free(ctl->db);
                if (!err || clock_mono_ms() >= until)
                        break;
                nanosleep(&nap, NULL);
        }
        int version = migrations_embedded[migrations_embedded_count - 1].version;
        if (as_json)
                printf("{\"version\":%d,\"there\":%s}\n", version, err ? "false" : "true");
        else if (!err)
                printf("the schema is this build's, version %d\n", version);
        return err ? ctl_fail("%s", fault) : EXIT_DONE;
}

int cmd_migrate(struct ctl *ctl, const struct args *a)
{
        uint32_t wait_s = 0;
        char fault[256] = "";
        if (args_u32(a, "wait", 86400, &wait_s, fault) != 0) {
                ctl_fail("%s", fault);
                return EXIT_USAGE;
        }
        if (!ctl_has_postgres(ctl)) {
                ctl_fail("TERN_POSTGRES_DSN or TERN_POSTGRES_DSN_FILE has to name the database");
                return EXIT_USAGE;
        }
        if (args_flag(a, "check"))
                return check(ctl, wait_s * INT64_C(1000), args_flag(a, "json"));
        int code = ctl_db(ctl, wait_s * INT64_C(1000));
        if (code)
                return code;
        struct progress p = {.as_json = args_flag(a, "json")};
        buf_add_str(&p.json, "{\"applied\":[");
        int err = store_migrate(
                ctl->db, migrations_embedded, migrations_embedded_count, on_migration, &p, fault);
        if (p.as_json) {
                buf_add_char(&p.json, ']');
                json_number(&p.json, "version", p.version);
                buf_add_char(&p.json, '}');
                print_line(&p.json);
        } else if (!err) {
                printf("the schema is at version %d, %s\n", p.version,
                        p.applied ? "brought there now" : "nothing was to do");
        }
        buf_done(&p.json);
        if (err) {
                ctl_fail("%s", fault);
                return p.applied ? EXIT_PARTLY : EXIT_FAILED;
        }
        return EXIT_DONE;
}
