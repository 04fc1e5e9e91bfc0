#include "messaging/limits.h"

#include "messaging/session.h"

#include "base/quota.h"

#include <stdlib.h>

/* What one key has a second. */
struct limit_pace {
        struct rate *events, *joins, *bytes; /* owned */
};

struct limits {
        struct tally *users, *addresses; /* owned */
        uint32_t user_max, address_max;
        struct rate *connects; /* owned; of addresses */
        struct limit_pace user, address;
};

static struct limit_pace pace_new(uint32_t events, uint32_t joins, uint32_t bytes, uint32_t burst_ms)
{
        return (struct limit_pace){.events = rate_new(events, burst_ms),
                .joins = rate_new(joins, burst_ms),
                .bytes = rate_new(bytes, burst_ms)};
}

static void pace_done(struct limit_pace *p)
{
        rate_free(p->events);
        rate_free(p->joins);
        rate_free(p->bytes);
}

struct limits *limits_new(const struct messaging_settings *s)
{
        struct limits *l = xcalloc(1, sizeof(*l));
        l->users = tally_new();
        l->addresses = tally_new();
        l->user_max = s->user_connections_max;
        l->address_max = s->address_connections_max;
        l->connects = rate_new(s->address_connects_per_second, s->rate_burst_ms);
        l->user = pace_new(s->user_events_per_second, s->user_joins_per_second,
                s->user_bytes_per_second, s->rate_burst_ms);
        l->address = pace_new(s->address_events_per_second, s->address_joins_per_second,
                s->address_bytes_per_second, s->rate_burst_ms);
        return l;
}

struct limits *limits_free(struct limits *l)
{
        if (!l)
                return NULL;
        tally_free(l->users);
        tally_free(l->addresses);
        rate_free(l->connects);
        pace_done(&l->user);
        pace_done(&l->address);
        free(l);
        return NULL;
}

void limits_serve(struct limits *l, struct sio_options *o)
{
        o->addresses = l->addresses;
        o->address_max = l->address_max;
        o->address_connects = l->connects;
}

bool limits_enter(struct limits *l, struct slice user)
{
        uint32_t n = tally_add(l->users, user, 1);
        if (l->user_max == 0 || n <= l->user_max)
                return true;
        (void)tally_add(l->users, user, -1);
        return false;
}

void limits_leave(struct limits *l, struct slice user)
{
        (void)tally_add(l->users, user, -1);
}

static uint64_t size_of(const struct sio_event *ev)
{
        uint64_t n = ev->name.n + ev->args.n;
        for (size_t i = 0; i < ev->attachment_count; i++)
                n += ev->attachments[i].n;
        return n;
}

const char *limits_judge(struct limits *l, const struct session *s, const struct sio_event *ev,
        int64_t now_ms, unsigned *ret_limit)
{
        struct slice user = session_user(s);
        struct slice address = slice_of((const char *)s->address, s->address_n);
        bool join = slice_is(ev->name, "join_conversation");
        const struct {
                struct rate *rate;
                struct slice key;
                uint64_t n;
                unsigned limit;
                const char *text;
        } all[] = {
                {l->user.events, user, 1, LIMITED_USER_EVENTS,
                        "too many events of this user a second (TERN_USER_EVENTS_PER_SECOND)"},
                {l->user.joins, user, join, LIMITED_USER_JOINS,
                        "too many joins of this user a second (TERN_USER_JOINS_PER_SECOND)"},
                {l->user.bytes, user, size_of(ev), LIMITED_USER_BYTES,
                        "too many bytes of this user a second (TERN_USER_BYTES_PER_SECOND)"},
                {l->address.events, address, 1, LIMITED_ADDRESS_EVENTS,
                        "too many events of this address a second "
                        "(TERN_ADDRESS_EVENTS_PER_SECOND)"},
                {l->address.joins, address, join, LIMITED_ADDRESS_JOINS,
                        "too many joins of this address a second (TERN_ADDRESS_JOINS_PER_SECOND)"},
                {l->address.bytes, address, size_of(ev), LIMITED_ADDRESS_BYTES,
                        "too many bytes of this address a second (TERN_ADDRESS_BYTES_PER_SECOND)"},
        };
        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                if (all[i].n == 0 || rate_take(all[i].rate, all[i].key, all[i].n, now_ms))
                        continue;
                *ret_limit = all[i].limit;
                return all[i].text;
        }
        return NULL;
}
