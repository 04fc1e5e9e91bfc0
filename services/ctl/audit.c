#include "ctl/audit.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/utf8.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#define AUDIT_TOPIC "audit"

/* user@host; behind sudo the one who called it. A gateway that runs this for its admin page names the admin. */
static void who(char ret[200])
{
        char host[80] = "?";
        const char *named = getenv("TERN_OPERATOR");
        if (named && named[0] && utf8_valid(slice_str(named))) {
                snprintf(ret, 200, "%.199s", named);
                return;
        }
        const char *user = getenv("SUDO_USER");
        const struct passwd *pw = user && user[0] ? NULL : getpwuid(geteuid());
        if (pw)
                user = pw->pw_name;
        gethostname(host, sizeof(host) - 1);
        snprintf(ret, 200, "%.100s@%s", user && user[0] ? user : "?", host);
}

static int send_state(const struct audit *au, const char *state, const char *what)
{
        char at[CLOCK_ISO_TEXT], id[UUID_TEXT];
        struct buf data = BUF_EMPTY;
        int64_t now = clock_wall_ms();
        clock_iso(now, at);
        uuid_v7(now, id);
        buf_add_char(&data, '{');
        json_text(&data, "run", au->run);
        json_text(&data, "state", state);
        json_text(&data, "command", au->command);
        json_text(&data, "operator", au->operator);
        json_text(&data, "at", at);
        if (what[0]) {
                buf_add_char(&data, ',');
                buf_add_str(&data, what);
        }
        buf_add_char(&data, '}');
        const struct bus_header headers[] = {
                {SLICE_LIT("ce_specversion"), SLICE_LIT("1.0")},
                {SLICE_LIT("ce_id"), slice_str(id)},
                {SLICE_LIT("ce_type"), SLICE_LIT("tern.audit")},
                {SLICE_LIT("ce_source"), SLICE_LIT("ternctl")},
                {SLICE_LIT("ce_time"), slice_str(at)},
                {SLICE_LIT("content-type"), SLICE_LIT("application/json")},
        };
        const struct bus_record r = {.topic = SLICE_LIT(AUDIT_TOPIC),
                .partition = -1,
                .key = slice_str(au->operator),
                .value = buf_slice(&data),
                .headers = headers,
                .header_count = ARRAY_LEN(headers)};
        int err = ctl_send(au->ctl, &r);
        buf_done(&data);
        return err;
}

static int need_topic(struct ctl *ctl)
{
        uint32_t n = 0;
        if (bus_is_embedded(ctl->bus) ||
                bus_partitions(ctl->bus, AUDIT_TOPIC, CTL_KAFKA_MS, &n) == 0)
                return 0;
        struct admin_result result;
        int err = topics_create_one(
                ctl->bus, &ctl->topics_settings, AUDIT_TOPIC, CTL_KAFKA_MS, &result);
        return err ? err : result.err == -EEXIST ? 0 : result.err;
}

int audit_begin(struct audit *au, struct ctl *ctl, const char *command, const char *what)
{
        *au = (struct audit){.ctl = ctl, .command = command};
        who(au->operator);
        uuid_v7(clock_wall_ms(), au->run);
        int err = need_topic(ctl);
        if (!err)
                err = send_state(au, "begun", what);
        if (!err)
                return EXIT_DONE;
        au->ctl = NULL;
        return ctl_fail(
                "nothing was done: the topic audit cannot be written (%s)", kafka_error(err));
}

int audit_end(struct audit *au, int code, const char *what)
{
        if (!au->ctl)
                return code;
        const char *state = code == EXIT_DONE ? "done" : code == EXIT_PARTLY ? "partly" : "failed";
        int err = send_state(au, state, what);
        if (err) {
                ctl_fail("the end of it is not in the topic audit: %s", kafka_error(err));
                code = code == EXIT_DONE ? EXIT_PARTLY : code;
        }
        return code;
}
