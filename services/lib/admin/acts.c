/*
 * acts - what may be done from the page, as command lines of ternctl.
 *
 * Only what stands here goes through. No program does: --where and --jq would let one see the environment, and with it the
 * password of the database. A mended value goes to --jq all the same, because a JSON text is a program that can do nothing but
 * yield itself: what jq adds to JSON's strings, \(…), is no JSON.
 */
#include "admin/internal.h"

#include "base/jsonscan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

#define VALUE_BYTES_MAX 512
#define PLACES_MAX 100
#define RATE_MAX 10000000

static int refuse(char fault[160], const char *fmt, ...) PRINTF_LIKE(2, 3);
static int refuse(char fault[160], const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(fault, 160, fmt, ap);
        va_end(ap);
        return -EINVAL;
}

/* ---- members of the body ---- */

/* 1: it is there and not empty; 0: it is not; -EINVAL. */
static int text(struct slice body, const char *name, struct buf *out, char fault[160])
{
        struct slice raw;
        buf_reset(out);
        if (!json_member(body, name, &raw) || slice_is(raw, "null"))
                return 0;
        if (!json_decode_string(raw, out) || out->n > VALUE_BYTES_MAX ||
                (out->n && memchr(out->p, '\0', out->n)))
                return refuse(
                        fault, "%s has to be a text of at most %d bytes", name, VALUE_BYTES_MAX);
        return out->n > 0;
}

static int flag(struct slice body, const char *name, bool *ret, char fault[160])
{
        struct slice raw;
        *ret = false;
        if (!json_member(body, name, &raw) || json_bool(raw, ret))
                return 0;
        return refuse(fault, "%s has to be true or false", name);
}

/* Remembers a member for the list of jobs. */
static void note(struct buf *what, const char *name, struct slice value)
{
        buf_add_str(what, what->n > 1 ? ",\"" : "\"");
        buf_add_str(what, name);
        buf_add_str(what, "\":");
        buf_add_json_str(what, value);
}

static void note_flag(struct buf *what, const char *name)
{
        buf_printf(what, "%s\"%s\":true", what->n > 1 ? "," : "", name);
}

/* An optional text becomes --option=value. */
static int option(struct slice body, const char *name, const char *option_name, struct job_order *o,
        struct buf *what, char fault[160])
{
        struct buf value = BUF_EMPTY;
        int r = text(body, name, &value, fault);
        if (r > 0) {
                job_order_add(o, "--%s=%.*s", option_name, SLICE_ARG(buf_slice(&value)));
                note(what, name, buf_slice(&value));
                r = 0;
        }
        buf_done(&value);
        return r;
}

static void finish(struct job_order *o, struct buf *what)
{
        buf_add_char(what, '}');
        o->what = buf_take(what, NULL);
        job_order_add(o, "--json");
}

/* ---- kick ---- */

int act_kick(struct slice body, struct job_order *o, char fault[160])
{
        struct buf user = BUF_EMPTY, what = BUF_EMPTY;
        buf_add_char(&what, '{');
        o->kind = "kick";
        job_order_add(o, "kick");
        int r = text(body, "userId", &user, fault);
        if (r >= 0 && !event_user_id_valid(buf_slice(&user)))
                r = refuse(fault, "userId has to be 1 to 128 of [A-Za-z0-9._~@:|-]");
        if (r > 0) {
                job_order_add(o, "--user=%.*s", SLICE_ARG(buf_slice(&user)));
                note(&what, "userId", buf_slice(&user));
                r = option(body, "reason", "reason", o, &what, fault);
        }
        finish(o, &what);
        buf_done(&user);
        return r;
}

/* ---- redrive ---- */

bool act_topic_valid(struct slice topic)
{
        for (size_t i = 0; i < topic.n; i++) {
                char c = topic.p[i];
                if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
                        c != '.' && c != '_' && c != '-')
                        return false;
        }
        return topic.n > 0 && topic.n <= 249 && topic.p[0] != '-';
}

bool act_place_valid(struct slice place)
{
        struct slice rest = place;
        for (unsigned part = 0; part < 4; part++) {
                ptrdiff_t slash = slice_find(rest, '/');
                struct slice one = slice_of(rest.p, slash < 0 ? rest.n : (size_t)slash);
                uint64_t number;
                if ((slash < 0) != (part == 3) ||
                        !(part == 0 ? act_topic_valid(one) : slice_to_u64(one, INT64_MAX, &number)))
                        return false;
                rest = slash < 0 ? SLICE_NONE : slice_from(rest, (size_t)slash + 1);
        }
        return place.n < 300;
}

static int places(struct slice list, struct job_order *o, struct buf *what, char fault[160])
{
        struct slice raw;
        struct buf place = BUF_EMPTY;
        unsigned n = 0;
        int r = 0;
        buf_add_str(what, "\"places\":[");
        while (r == 0 && json_next(&list, &raw)) {
                buf_reset(&place);
                if (++n > PLACES_MAX)
                        r = refuse(fault, "at most %d places at once", PLACES_MAX);
                else if (!json_decode_string(raw, &place) || !act_place_valid(buf_slice(&place)))
                        r = refuse(fault, "a place has to be TOPIC/PARTITION/OFFSET/EPOCH");
                else {
                        job_order_add(o, "%.*s", SLICE_ARG(buf_slice(&place)));
                        if (n > 1)
                                buf_add_char(what, ',');
                        buf_add_json_str(what, buf_slice(&place));
                }
        }
        buf_add_char(what, ']');
        buf_done(&place);
        return r || n ? r : refuse(fault, "no places were named");
}

/* One letter may be mended: its value, type and key. */
static int mend(struct slice body, struct job_order *o, struct buf *what, char fault[160])
{
        struct slice value;
        struct buf type = BUF_EMPTY;
        if (json_member(body, "value", &value) && !slice_is(value, "null")) {
                if (!json_is_object(value))
                        return refuse(fault, "value has to be a JSON object");
                job_order_add(o, "--jq=%.*s", SLICE_ARG(value));
                note_flag(what, "mended");
        }
        int r = text(body, "type", &type, fault);
        if (r > 0) {
                job_order_add(o, "--set-header=ce_type=%.*s", SLICE_ARG(buf_slice(&type)));
                note(what, "type", buf_slice(&type));
        }
        buf_done(&type);
        return r < 0 ? r : option(body, "setKey", "set-key", o, what, fault);
}

static int one_place(struct slice body, struct job_order *o, struct buf *what, char fault[160])
{
        struct buf place = BUF_EMPTY;
        int r = text(body, "place", &place, fault);
        if (r >= 0 && !act_place_valid(buf_slice(&place)))
                r = refuse(fault, "place has to be TOPIC/PARTITION/OFFSET/EPOCH");
        if (r > 0) {
                job_order_add(o, "%.*s", SLICE_ARG(buf_slice(&place)));
                note(what, "place", buf_slice(&place));
                r = mend(body, o, what, fault);
        }
        buf_done(&place);
        return r;
}

int act_redrive(struct slice body, struct job_order *o, char fault[160])
{
        static const char *const names[] = {"topic", "reason", "key"};
        struct buf what = BUF_EMPTY;
        struct slice list;
        bool all;
        buf_add_char(&what, '{');
        o->kind = "redrive";
        o->listed = true;
        job_order_add(o, "dlq");
        job_order_add(o, "redrive");
        job_order_add(o, "--yes");
        int r = flag(body, "all", &all, fault);
        if (r == 0 && !all) {
                if (json_member(body, "places", &list) && json_is_array(list))
                        r = places(list, o, &what, fault);
                else if (json_member(body, "place", &list))
                        r = one_place(body, o, &what, fault);
                else
                        r = refuse(fault, "name places, or say all");
        } else if (r == 0) {
                job_order_add(o, "--all");
                note_flag(&what, "all");
                for (size_t i = 0; i < ARRAY_LEN(names) && r == 0; i++)
                        r = option(body, names[i], names[i], o, &what, fault);
        }
        finish(o, &what);
        return r;
}

/* ---- replay ---- */

static int rate(struct slice body, struct job_order *o, struct buf *what, char fault[160])
{
        struct slice raw;
        int64_t v;
        if (!json_member(body, "rate", &raw) || slice_is(raw, "null"))
                return 0;
        if (!json_int(raw, 1, RATE_MAX, &v))
                return refuse(fault, "rate has to be 1 to %d records a second", RATE_MAX);
        job_order_add(o, "--rate=%" PRId64, v);
        buf_printf(what, ",\"rate\":%" PRId64, v);
        return 0;
}

static int target(
        struct slice body, bool dry, struct job_order *o, struct buf *what, char fault[160])
{
        struct buf topic = BUF_EMPTY;
        bool store;
        int r = flag(body, "toStore", &store, fault);
        if (r == 0 && store) {
                job_order_add(o, "--to-store");
                note_flag(what, "toStore");
        }
        if (r == 0)
                r = text(body, "toTopic", &topic, fault);
        if (r > 0 && !act_topic_valid(buf_slice(&topic)))
                r = refuse(fault, "toTopic has to be 1 to 249 of [A-Za-z0-9._-]");
        buf_done(&topic);
        if (r >= 0)
                r = option(body, "toTopic", "to-topic", o, what, fault);
        if (r == 0)
                r = option(body, "toClients", "to-clients", o, what, fault);
        if (r == 0 && dry) {
                job_order_add(o, "--dry-run");
                note_flag(what, "dryRun");
        } else if (r == 0) {
                job_order_add(o, "--yes");
        }
        return r;
}

int act_replay(struct slice body, struct job_order *o, char fault[160])
{
        static const char *const names[] = {"from", "to", "key", "type", "header"};
        struct buf what = BUF_EMPTY, topic = BUF_EMPTY;
        bool dry;
        buf_add_char(&what, '{');
        o->kind = "replay";
        o->listed = true;
        job_order_add(o, "replay");
        int r = text(body, "topic", &topic, fault);
        if (r >= 0 && !act_topic_valid(buf_slice(&topic)))
                r = refuse(fault, "topic has to be 1 to 249 of [A-Za-z0-9._-]");
        if (r > 0)
                r = option(body, "topic", "topic", o, &what, fault);
        for (size_t i = 0; i < ARRAY_LEN(names) && r == 0; i++)
                r = option(body, names[i], names[i], o, &what, fault);
        if (r == 0)
                r = rate(body, o, &what, fault);
        if (r == 0)
                r = flag(body, "dryRun", &dry, fault);
        if (r == 0)
                r = target(body, dry, o, &what, fault);
        finish(o, &what);
        buf_done(&topic);
        return r;
}
