#include "ctl/erased.h"

#include "ctl/reader.h"
#include "ctl/validate.h"

#include "base/map.h"

#include <stdlib.h>

#define ACCESS_TOPIC "access"
#define POLL_MS 100
#define BATCH 1000

struct erased_user {
        char *id; /* owned */
        int64_t before_ms;
        struct erased_user *next;
};

struct erased {
        struct map by_id;
        struct erased_user *all; /* owned list */
};

struct erased *erased_free(struct erased *e)
{
        if (!e)
                return NULL;
        map_done(&e->by_id);
        while (e->all) {
                struct erased_user *u = e->all;
                e->all = u->next;
                free(u->id);
                free(u);
        }
        free(e);
        return NULL;
}

static bool on_access(void *arg, uint32_t part, const struct bus_record *r)
{
        struct erased *all = arg;
        struct event e;
        struct event_error err;
        UNUSED(part);
        if (event_parse(SLICE_LIT(ACCESS_TOPIC), bus_record_header(r, "ce_type"),
                    bus_record_header(r, "ce_id"), r->key, r->value, &e, &err) != 0)
                return true;
        if (e.type == EVENT_ERASED) {
                struct erased_user *u = map_get(&all->by_id, slice_str(e.user_id));
                if (!u) {
                        u = xcalloc(1, sizeof(*u));
                        u->id = xstrdup(e.user_id);
                        u->next = all->all;
                        all->all = u;
                        map_put(&all->by_id, slice_str(u->id), u);
                }
                u->before_ms = e.before_ms;
        }
        event_done(&e);
        return true;
}

int erased_load(struct ctl *ctl, struct erased **ret)
{
        struct erased *e = xcalloc(1, sizeof(*e));
        struct range *ranges = NULL;
        struct reader reader;
        uint32_t n = 0;
        int code = EXIT_DONE;
        if (bus_partitions(ctl->bus, ACCESS_TOPIC, CTL_KAFKA_MS, &n) == 0)
                code = where_ranges(ctl, ACCESS_TOPIC, "", "", &ranges, &n);
        if (!code && ranges) {
                reader_init(&reader, ctl, ACCESS_TOPIC, ranges, n);
                code = reader_start(&reader);
                while (!code && reader.open > 0)
                        code = reader_poll(&reader, POLL_MS, BATCH, on_access, e);
                reader_done(&reader);
        }
        free(ranges);
        if (code) {
                erased_free(e);
                return code;
        }
        *ret = e;
        return EXIT_DONE;
}

bool erased_is_empty(const struct erased *e)
{
        return e->all == NULL;
}

/* Parsing a record costs more than copying it, so only one that bears the id somewhere is parsed. */
static bool mentions(const struct erased *all, const struct bus_record *r)
{
        for (const struct erased_user *u = all->all; u; u = u->next) {
                size_t n = strlen(u->id);
                if ((r->key.p && memmem(r->key.p, r->key.n, u->id, n)) ||
                        (r->value.p && memmem(r->value.p, r->value.n, u->id, n)))
                        return true;
        }
        return false;
}

/* A copy in a topic of another name is judged as what its type says that it is. */
static bool understand(const struct bus_record *r, struct event *ret)
{
        static const char *const topics[] = {
                "chat.events", "chat.receipts", "chat.sessions", "chat.signals", "notifications"};
        struct event_error err;
        struct bus_record as = *r;
        if (validate_record(r, ret, &err) == 0)
                return true;
        for (size_t i = 0; i < ARRAY_LEN(topics); i++) {
                as.topic = slice_str(topics[i]);
                if (validate_record(&as, ret, &err) == 0)
                        return true;
        }
        return false;
}

/* What is no valid event, a dead letter say, is refused if it names one of them at all. */
static bool names_one(const struct erased *all, const struct bus_record *r)
{
        char quoted[160];
        for (const struct erased_user *u = all->all; u; u = u->next) {
                int n = snprintf(quoted, sizeof(quoted), "\"%s\"", u->id);
                if (r->timestamp_ms <= u->before_ms &&
                        ((r->key.p && slice_is(r->key, u->id)) ||
                                (r->value.p && memmem(r->value.p, r->value.n, quoted, (size_t)n))))
                        return true;
        }
        return false;
}

bool erased_has(const struct erased *all, const struct bus_record *r)
{
        struct event e;
        if (!all->all || !mentions(all, r))
                return false;
        if (!understand(r, &e))
                return names_one(all, r);
        struct slice user = event_erasable(&e, r->key);
        const struct erased_user *u = user.n ? map_get(&all->by_id, user) : NULL;
        bool hit = u && r->timestamp_ms <= u->before_ms;
        event_done(&e);
        return hit;
}
