#include "ctl/letters.h"
#include "ctl/record_json.h"

#include "base/clock.h"
#include "base/utf8.h"

#include <inttypes.h>

#define SHOW_BYTES 256

static bool fits(const struct letter *l, const struct args *a)
{
        const char *reason = args_text(a, "reason"), *key = args_text(a, "key");
        if (!args_flag(a, "all") && l->state != LETTER_OPEN)
                return false;
        if (reason[0] && strcmp(reason, l->reason) != 0)
                return false;
        return !key[0] || (l->key && strcmp(key, l->key) == 0);
}

static void add_time(struct buf *out, const char *name, int64_t ms)
{
        char iso[CLOCK_ISO_TEXT] = "";
        if (ms > 0)
                clock_iso(ms, iso);
        json_text(out, name, iso);
}

static void add_members(struct buf *out, const struct letter *l)
{
        json_text(out, "place", l->name);
        json_text(out, "state", letter_state_name(l->state));
        json_text(out, "topic", l->topic);
        json_number(out, "partition", l->partition);
        json_number(out, "offset", l->offset);
        json_number(out, "epoch", l->epoch);
        add_time(out, "time", l->timestamp_ms);
        add_time(out, "died", l->died_ms);
        record_json_bytes(out, "reason", "reasonBase64", slice_str(l->reason));
        record_json_bytes(out, "field", "fieldBase64", slice_str(l->field));
        record_json_bytes(out, "message", "messageBase64", slice_str(l->message));
        record_json_bytes(out, "key", "keyBase64", slice_str(l->key));
        record_json_bytes(out, "type", "typeBase64", slice_str(l->type));
        record_json_bytes(out, "id", "idBase64", slice_str(l->id));
        json_number(out, "bytes", l->bytes);
        json_flag(out, "truncated", l->truncated);
        size_t n = l->bytes < LETTER_FIRST_BYTES ? l->bytes : LETTER_FIRST_BYTES;
        record_json_bytes(out, "first", "firstBase64", slice_of(l->first, n));
}

static void print_list(const struct letters *ls, const struct args *a, size_t from, uint32_t max)
{
        struct table t = TABLE_OF(6);
        struct buf json = BUF_EMPTY;
        bool as_json = args_flag(a, "json");
        static const char *const heads[] = {"PLACE", "REASON", "FIELD", "KEY", "DIED", "STATE"};
        uint32_t n = 0;
        for (size_t i = 0; i < ARRAY_LEN(heads) && !as_json; i++)
                table_cell(&t, "%s", heads[i]);
        buf_add_char(&json, '[');
        for (size_t i = from; i < ls->count && n < max; i++) {
                const struct letter *l = ls->all[i];
                char died[CLOCK_ISO_TEXT] = "";
                if (!fits(l, a))
                        continue;
                n++;
                if (as_json) {
                        buf_add_str(&json, json.p[json.n - 1] == '[' ? "{" : ",{");
                        add_members(&json, l);
                        buf_add_char(&json, '}');
                        continue;
                }
                if (l->died_ms > 0)
                        clock_iso(l->died_ms, died);
                table_cell(&t, "%s", l->name);
                table_cell(&t, "%s", l->reason);
                table_cell(&t, "%s", l->field);
                table_cell(&t, "%s", l->key && utf8_valid(slice_str(l->key)) ? l->key : "");
                table_cell(&t, "%s", died);
                table_cell(&t, "%s", letter_state_name(l->state));
        }
        buf_add_char(&json, ']');
        if (as_json)
                print_line(&json);
        else if (n == 0)
                printf("no dead letters\n");
        else
                table_print(&t);
        buf_done(&t.text);
        buf_done(&json);
}

/* Where the list goes on behind a letter that an earlier page ended with. */
static int place_after(const struct letters *ls, const char *name, size_t *ret)
{
        if (!name[0])
                return EXIT_DONE;
        const struct letter *l = letters_find(ls, name);
        if (!l)
                return ctl_fail("there is no dead letter %s", name);
        for (size_t i = 0; i < ls->count; i++)
                if (strcmp(ls->all[i]->name, name) == 0)
                        *ret = i + 1;
        return EXIT_DONE;
}

int cmd_dlq_list(struct ctl *ctl, const struct args *a)
{
        struct admin_cluster cluster;
        struct letters ls;
        uint32_t max = UINT32_MAX;
        char fault[256] = "";
        if (a->word_count > 1 ||
                (args_text(a, "count")[0] && args_u32(a, "count", UINT32_MAX, &max, fault) != 0)) {
                ctl_fail("%s", fault[0] ? fault : "dlq list takes one topic at most (try --help)");
                return EXIT_USAGE;
        }
        int code = ctl_bus(ctl, CTL_KAFKA_MS, &cluster);
        if (code)
                return code;
        code = letters_load(&ls, ctl, a->word_count ? a->words[0] : NULL);
        size_t from = 0;
        if (!code)
                code = place_after(&ls, args_text(a, "after"), &from);
        if (!code)
                print_list(&ls, a, from, max);
        letters_done(&ls);
        return code;
}

/* ---- show ---- */

/* Bytes as people can read them: what is no printable ASCII as \xNN; UTF-8 as it is. */
static void print_bytes(struct slice s)
{
        bool text = utf8_valid(s);
        for (size_t i = 0; i < s.n; i++) {
                unsigned char c = (unsigned char)s.p[i];
                if ((c >= 0x20 && c < 0x7f && c != '\\') || (text && c >= 0x80))
                        putchar(c);
                else
                        printf("\\x%02x", c);
        }
        putchar('\n');
}

static void print_one(const struct letter *l, const struct bus_record *r)
{
        char stood[CLOCK_ISO_TEXT] = "?", died[CLOCK_ISO_TEXT] = "?";
        if (l->timestamp_ms > 0)
                clock_iso(l->timestamp_ms, stood);
        if (l->died_ms > 0)
                clock_iso(l->died_ms, died);
        printf("place    %s\n", l->name);
        printf("state    %s\n", letter_state_name(l->state));
        printf("reason   %s\n", l->reason);
        if (l->field[0])
                printf("field    %s\n", l->field);
        printf("message  %s\n", l->message);
        printf("stood    topic %s, partition %d, offset %" PRId64 ", epoch %" PRId64 ", at %s\n",
                l->topic, l->partition, l->offset, l->epoch, stood);
        printf("died     at %s, in %s.dlq, partition %d, offset %" PRId64 "\n", died, l->topic,
                l->dlq_partition, l->dlq_offset);
        printf("key      ");
        if (r->key.p)
                print_bytes(r->key);
        else
                puts("(none)");
        for (size_t i = 0; i < r->header_count; i++)
                if (!slice_starts(r->headers[i].name, "tern-")) {
                        printf("header   %.*s = ", SLICE_ARG(r->headers[i].name));
                        print_bytes(r->headers[i].value);
                }
        printf("value    %zu bytes%s\n", r->value.n,
                l->truncated ? "; it was too long for the .dlq, the original has it" : "");
        if (r->value.n)
                print_bytes(
                        slice_of(r->value.p, r->value.n < SHOW_BYTES ? r->value.n : SHOW_BYTES));
}

struct showing {
        bool as_json;
        size_t shown;
};

static int show_one(void *arg, struct letter *l, const struct bus_record *r)
{
        struct showing *s = arg;
        if (s->as_json) {
                struct buf json = BUF_EMPTY;
                buf_add_char(&json, '{');
                add_members(&json, l);
                buf_add_str(&json, ",\"record\":");
                record_json(r, &json);
                buf_add_char(&json, '}');
                print_line(&json);
                buf_done(&json);
        } else {
                if (s->shown)
                        putchar('\n');
                print_one(l, r);
        }
        s->shown++;
        return EXIT_DONE;
}

int cmd_dlq_show(struct ctl *ctl, const struct args *a)
{
        struct admin_cluster cluster;
        struct letters ls;
        struct showing s = {.as_json = args_flag(a, "json")};
        if (a->word_count == 0) {
                ctl_fail("dlq show needs a PLACE, as `ternctl dlq list` prints it");
                return EXIT_USAGE;
        }
        int code = ctl_bus(ctl, CTL_KAFKA_MS, &cluster);
        if (code)
                return code;
        code = letters_load(&ls, ctl, NULL);
        for (size_t i = 0; i < a->word_count && !code; i++) {
                struct letter *l = letters_find(&ls, a->words[i]);
                if (l)
                        l->wanted = true;
                else
                        code = ctl_fail("there is no dead letter %s", a->words[i]);
        }
        if (!code)
                code = letters_read(&ls, show_one, &s);
        letters_done(&ls);
        return code;
}
