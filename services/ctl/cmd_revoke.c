/*
 * revoke - takes a user's tokens back: every gateway that runs closes the connections that came in with them, and refuses them from
 * then on, as does every gateway that starts later.
 */
#include "ctl/audit.h"
#include "ctl/ctl.h"

#include "base/clock.h"
#include "base/hash.h"
#include "proto/event.h"

/* Later than any token is issued, and exact in JavaScript. */
#define NEVER_MS INT64_C(9007199254740991)

static int write_record(struct ctl *ctl, const char *user, int64_t before_ms)
{
        char at[CLOCK_ISO_TEXT], id[UUID_TEXT];
        int64_t now = clock_wall_ms();
        struct event e = {
                .type = EVENT_REVOKED, .user_id = (char *)(uintptr_t)user, .before_ms = before_ms};
        struct buf key = BUF_EMPTY, data = BUF_EMPTY;
        event_key(&e, &key);
        event_encode(&e, &data);
        clock_iso(now, at);
        uuid_v7(now, id);
        const struct bus_header headers[] = {
                {SLICE_LIT("ce_specversion"), SLICE_LIT("1.0")},
                {SLICE_LIT("ce_id"), slice_str(id)},
                {SLICE_LIT("ce_type"), slice_str(event_type_name(EVENT_REVOKED))},
                {SLICE_LIT("ce_source"), SLICE_LIT("ternctl")},
                {SLICE_LIT("ce_time"), slice_str(at)},
                {SLICE_LIT("content-type"), SLICE_LIT("application/json")},
        };
        const struct bus_record r = {.topic = SLICE_LIT("access"),
                .partition = 0,
                .key = buf_slice(&key),
                .value = buf_slice(&data),
                .headers = headers,
                .header_count = ARRAY_LEN(headers)};
        int err = ctl_send(ctl, &r);
        buf_done(&key);
        buf_done(&data);
        return err ? ctl_fail("the topic access cannot be written (%s)", kafka_error(err))
                   : EXIT_DONE;
}

static void print_outcome(const char *user, int64_t before_ms, bool json)
{
        struct buf out = BUF_EMPTY;
        if (json) {
                buf_add_char(&out, '{');
                json_text(&out, "user", user);
                json_number(&out, "before", before_ms);
                buf_add_char(&out, '}');
        } else if (before_ms == 0) {
                buf_printf(&out, "%s's tokens are good again", user);
        } else if (before_ms == NEVER_MS) {
                buf_printf(&out, "no token of %s is good until revoke --lift", user);
        } else {
                char at[CLOCK_ISO_TEXT];
                clock_iso(before_ms, at);
                buf_printf(&out, "tokens of %s that were issued before %s are void", user, at);
        }
        print_line(&out);
        buf_done(&out);
}

int cmd_revoke(struct ctl *ctl, const struct args *a)
{
        const char *user = args_text(a, "user");
        bool ban = args_flag(a, "ban"), lift = args_flag(a, "lift");
        if (!event_user_id_valid(slice_str(user)) || (ban && lift)) {
                ctl_fail(ban && lift ? "--ban and --lift contradict each other"
                         : user[0]   ? "--user has to be 1 to 128 of A-Z a-z 0-9 . _ ~ @ : | -"
                                     : "--user is missing (try --help)");
                return EXIT_USAGE;
        }
        /* Tokens tell their second of issue: of this one all are void. */
        int64_t before_ms = ban ? NEVER_MS : lift ? 0 : (clock_wall_ms() / 1000 + 1) * 1000;
        struct admin_cluster cluster;
        struct audit au;
        int code = ctl_bus(ctl, CTL_KAFKA_MS, &cluster);
        if (code)
                return code;
        struct buf what = BUF_EMPTY;
        json_text(&what, "user", user);
        json_number(&what, "before", before_ms);
        code = audit_begin(&au, ctl, "revoke", buf_cstr(&what));
        if (!code)
                code = write_record(ctl, user, before_ms);
        if (!code)
                print_outcome(user, before_ms, args_flag(a, "json"));
        code = audit_end(&au, code, buf_cstr(&what));
        buf_done(&what);
        return code;
}
