/*
 * What becomes a Socket.IO packet has to be one that stock clients take: no reserved name, a namespace that can be written,
 * and attachments that are base64 and are all that the arguments name.
 */
#include "proto/event.h"

#include "proto/event_tables.h"

#include "base/hash.h"
#include "base/jsonscan.h"
#include "base/placeholder.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert((int)EVENT_ATTACHMENTS_MAX == (int)ATTACHMENT_COUNT_MAX, "one limit, two names");

static bool name_is_reserved(const char *name)
{
        static const char *const reserved[] = {"connect", "connect_error", "disconnect",
                "disconnecting", "newListener", "removeListener"};
        for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
                if (strcmp(name, reserved[i]) == 0)
                        return true;
        return false;
}

/* A comma ends a namespace in a packet, and a control character would end the packet on a long-poll. */
static bool nsp_valid(const char *nsp)
{
        if (nsp[0] != '/')
                return false;
        for (const char *p = nsp; *p; p++)
                if (*p == ',' || (unsigned char)*p < 0x20 || *p == 0x7f)
                        return false;
        return true;
}

/* Either alphabet, padding optional: encoders differ. */
static bool base64_valid(struct slice text)
{
        size_t n = text.n;
        while (n > 0 && text.n - n < 2 && text.p[n - 1] == '=')
                n--;
        for (size_t i = 0; i < n; i++) {
                char c = text.p[i];
                bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                            (c >= '0' && c <= '9') || (c && strchr("+/-_", c));
                if (!fits)
                        return false;
        }
        return n % 4 != 1 && (n == text.n || text.n % 4 == 0);
}

/* What the string says: some encoders escape the slash or the equals sign. Lends the item's text or scratch's. */
static struct slice string_text(struct slice item, struct buf *scratch)
{
        if (!memchr(item.p, '\\', item.n))
                return slice_of(item.p + 1, item.n - 2);
        buf_reset(scratch);
        json_decode_string(item, scratch);
        return buf_slice(scratch);
}

/* 0 or -EINVAL; how many there are. */
static int attachments_check(const struct event *e, uint32_t *ret_count, struct event_error *err)
{
        struct slice rest = slice_str(e->attachments_json), item;
        struct buf scratch = BUF_EMPTY;
        uint32_t count = 0;
        int r = 0;
        while (r == 0 && json_next(&rest, &item)) {
                if (!json_is_string(item) || !base64_valid(string_text(item, &scratch)))
                        r = event_refuse(err, EVENT_INVALID, "attachments",
                                "attachment %u is not base64", count);
                else if (++count > ATTACHMENT_COUNT_MAX)
                        r = event_refuse(err, EVENT_INVALID, "attachments",
                                "there are more than %d attachments", (int)ATTACHMENT_COUNT_MAX);
        }
        buf_done(&scratch);
        *ret_count = count;
        return r;
}

int event_packet_check(const struct event *e, struct slice value, struct event_error *err)
{
        uint32_t count = 0;
        if (e->event_name && name_is_reserved(e->event_name))
                return event_refuse(
                        err, EVENT_INVALID, "event", "%s is a reserved event name", e->event_name);
        if (e->nsp && !nsp_valid(e->nsp))
                return event_refuse(
                        err, EVENT_INVALID, "nsp", "nsp is no namespace, which begins with /");
        if (!e->attachments_json)
                return 0;
        int r = attachments_check(e, &count, err);
        if (r < 0 || count == 0)
                return r;
        struct slice args;
        if (json_member(value, "args", &args) && !placeholders_valid(args, count))
                return event_refuse(err, EVENT_INVALID, "args",
                        "a placeholder of args names none of the %u attachments", count);
        return 0;
}

size_t event_attachments(
        const struct event *e, struct buf *bytes, struct slice ret[EVENT_ATTACHMENTS_MAX])
{
        size_t count = 0;
        struct slice all = slice_str(e->attachments_json), rest = all, item;
        struct buf scratch = BUF_EMPTY;
        buf_reset(bytes);
        /* All of them are shorter than their text, so the bytes do not move while they come. */
        buf_reserve(bytes, all.n + 3 * EVENT_ATTACHMENTS_MAX);
        while (count < EVENT_ATTACHMENTS_MAX && json_next(&rest, &item)) {
                char *to = bytes->p + bytes->n;
                size_t n = base64_decode_lenient(string_text(item, &scratch), to);
                ret[count++] = slice_of(to, n);
                buf_commit(bytes, n);
        }
        buf_done(&scratch);
        return count;
}

void event_attachments_json(const struct slice *attachments, size_t count, struct buf *out)
{
        buf_add_char(out, '[');
        for (size_t i = 0; i < count; i++) {
                buf_add_str(out, i ? ",\"" : "\"");
                size_t n = base64_len(attachments[i].n);
                char *to = buf_reserve(out, n);
                buf_commit(out, base64_encode(attachments[i].p, attachments[i].n, to));
                buf_add_char(out, '"');
        }
        buf_add_char(out, ']');
}
