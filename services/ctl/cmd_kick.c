#include "ctl/audit.h"

#include "proto/event.h"

#include "base/clock.h"
#include "base/hash.h"

/* The whole record is judged by the one validator before anything is done: gateways would skip a wrong one in silence. */
static int judge(struct slice user, struct slice value)
{
        struct event e;
        struct event_error err;
        if (event_parse(SLICE_LIT("control"), slice_str(event_type_name(EVENT_KICK)),
                    SLICE_LIT("kick"), user, value, &e, &err) < 0) {
                ctl_fail("%s", err.message);
                return EXIT_USAGE;
        }
        event_done(&e);
        return EXIT_DONE;
}

static int kick(struct ctl *ctl, struct slice user, struct slice value)
{
        char at[CLOCK_ISO_TEXT], id[UUID_TEXT];
        int64_t now = clock_wall_ms();
        clock_iso(now, at);
        uuid_v7(now, id);
        const struct bus_header headers[] = {
                {SLICE_LIT("ce_specversion"), SLICE_LIT("1.0")},
                {SLICE_LIT("ce_id"), slice_str(id)},
                {SLICE_LIT("ce_type"), slice_str(event_type_name(EVENT_KICK))},
                {SLICE_LIT("ce_source"), SLICE_LIT("ternctl")},
                {SLICE_LIT("ce_time"), slice_str(at)},
                {SLICE_LIT("content-type"), SLICE_LIT("application/json")},
        };
        const struct bus_record r = {.topic = SLICE_LIT("control"),
                .partition = -1,
                .key = user,
                .value = value,
                .headers = headers,
                .header_count = ARRAY_LEN(headers)};
        int err = ctl_send(ctl, &r);
        return err ? ctl_fail("nobody was told: %s", kafka_error(err)) : EXIT_DONE;
}

int cmd_kick(struct ctl *ctl, const struct args *a)
{
        struct admin_cluster cluster;
        struct audit au;
        struct slice user = slice_str(args_text(a, "user"));
        struct buf value = BUF_EMPTY, what = BUF_EMPTY;
        if (!event_user_id_valid(user)) {
                ctl_fail("--user has to be 1 to 128 of [A-Za-z0-9._~@:|-]");
                return EXIT_USAGE;
        }
        json_text(&what, "userId", args_text(a, "user"));
        if (args_text(a, "reason")[0])
                json_text(&what, "reason", args_text(a, "reason"));
        buf_printf(&value, "{%s}", buf_cstr(&what));
        int code = judge(user, buf_slice(&value));
        if (!code)
                code = ctl_bus(ctl, CTL_KAFKA_MS, &cluster);
        if (!code)
                code = audit_begin(&au, ctl, "kick", buf_cstr(&what));
        if (!code)
                code = audit_end(&au, kick(ctl, user, buf_slice(&value)), buf_cstr(&what));
        if (!code && args_flag(a, "json"))
                print_line(&value);
        else if (!code)
                printf("every gateway was told to close the connections of %s\n",
                        args_text(a, "user"));
        buf_done(&value);
        buf_done(&what);
        return code;
}
