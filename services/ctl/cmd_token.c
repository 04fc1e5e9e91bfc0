#include "ctl/ctl.h"

#include "base/clock.h"
#include "proto/event.h"

#include <stdlib.h>

#define TTL_MAX_MS (INT64_C(3660) * 86400 * 1000)

static int wrong(const char *text)
{
        ctl_fail("%s", text);
        return EXIT_USAGE;
}

static void claim(struct buf *out, const char *name, const char *value)
{
        if (value && value[0])
                json_text(out, name, value);
}

int cmd_token(struct ctl *ctl, const struct args *a)
{
        const char *user = args_text(a, "user");
        int64_t ttl_ms = 0, now_s = clock_wall_ms() / 1000;
        if (!event_user_id_valid(slice_str(user)))
                return wrong(user[0] ? "--user has to be 1 to 128 of A-Z a-z 0-9 . _ ~ @ : | -"
                                     : "--user is missing (try --help)");
        if (parse_duration(args_text(a, "ttl"), &ttl_ms) != 0 || ttl_ms < 1000 ||
                ttl_ms > TTL_MAX_MS)
                return wrong("--ttl has to be a time such as 90s, 15m, 12h or 30d");
        if (!ctl->auth_settings.hs256_secret[0])
                return wrong("TERN_AUTH_HS256_SECRET_FILE has to name the file with the secret");
        struct buf json = BUF_EMPTY;
        buf_add_char(&json, '{');
        json_text(&json, "sub", user);
        json_number(&json, "iat", now_s);
        json_number(&json, "exp", now_s + ttl_ms / 1000);
        claim(&json, "iss", ctl->auth_settings.issuer);
        claim(&json, "aud", args_flag(a, "stream") ? "stream" : ctl->auth_settings.audience);
        claim(&json, "scope", args_text(a, "scope"));
        claim(&json, "topics", args_text(a, "topics"));
        claim(&json, "name", args_text(a, "name"));
        buf_add_char(&json, '}');
        char *token = auth_sign_hs256(ctl->auth_settings.hs256_secret, buf_cstr(&json));
        buf_done(&json);
        if (!token)
                return ctl_fail("the token cannot be signed");
        if (args_flag(a, "json")) {
                struct buf out = BUF_EMPTY;
                buf_add_char(&out, '{');
                json_text(&out, "token", token);
                json_number(&out, "expires", now_s + ttl_ms / 1000);
                buf_add_char(&out, '}');
                print_line(&out);
                buf_done(&out);
        } else {
                puts(token);
        }
        free(token);
        return EXIT_DONE;
}
