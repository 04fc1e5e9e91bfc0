#include "fleet/fleet.h"

#include "fleet/shed.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/metrics.h"
#include "bus/bus.h"
#include "proto/event.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define SILENT_FACTOR 3
#define SILENT_MORE_MS 1000 /* a record's way through Kafka */

const struct config_row fleet_settings_rows[] = {
#define CONFIG(type, field, ...) CONFIG_ROW(struct fleet_settings, type, field, __VA_ARGS__)
#include "fleet/settings.def"
};
const size_t fleet_settings_count = ARRAY_LEN(fleet_settings_rows);

struct fleet {
        struct fleet_options o;
        char service[32], instance[65], host[201];
        char version[32];
        struct event self; /* ops is owned, the rest points here */
        atomic_bool joined, leaving, hushed;
        /* The owner's. */
        struct fleet_member *members; /* owned, sorted */
        size_t count, cap;
        bool changed;
        int64_t announced_ms;
        bool said_leaving;
        struct shed shed;
        /* The lock is held for a change of the pointer or of its count only. */
        pthread_mutex_t lock;
        struct fleet_list *list; /* one reference */
};

/* ---- what any thread may see ---- */

/* How many of each service there are. */
static void count_services(const struct fleet *f)
{
        static const char *const services[] = {"messaging", "notification"};
        for (unsigned i = 0; i < ARRAY_LEN(services); i++) {
                int64_t n = 0;
                for (size_t j = 0; j < f->count; j++)
                        n += strcmp(f->members[j].service, services[i]) == 0;
                metrics_set(f->o.metrics, M_fleet, i, n);
        }
}

static void publish(struct fleet *f)
{
        size_t bytes = f->count * sizeof(f->members[0]);
        struct fleet_list *list = xcalloc(1, sizeof(*list) + bytes);
        atomic_init(&list->refs, 1);
        list->count = f->count;
        if (bytes)
                memcpy(list->members, f->members, bytes);
        pthread_mutex_lock(&f->lock);
        struct fleet_list *old = f->list;
        f->list = list;
        pthread_mutex_unlock(&f->lock);
        fleet_list_unref(old);
        count_services(f);
        f->changed = false;
}

struct fleet_list *fleet_list(struct fleet *f)
{
        pthread_mutex_lock(&f->lock);
        struct fleet_list *list = f->list;
        atomic_fetch_add(&list->refs, 1);
        pthread_mutex_unlock(&f->lock);
        return list;
}

void fleet_list_unref(struct fleet_list *list)
{
        if (list && atomic_fetch_sub(&list->refs, 1) == 1)
                free(list);
}

/* ---- hearing ---- */

static int compare(const struct fleet_member *m, const char *service, const char *instance)
{
        int by_service = strcmp(m->service, service);
        return by_service ? by_service : strcmp(m->instance, instance);
}

/* Where it stands, or would stand. */
static size_t place_of(const struct fleet *f, const char *service, const char *instance)
{
        size_t low = 0, high = f->count;
        while (low < high) {
                size_t middle = (low + high) / 2;
                if (compare(&f->members[middle], service, instance) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static struct fleet_member *member_of(struct fleet *f, const struct fleet_member *m)
{
        size_t at = place_of(f, m->service, m->instance);
        if (at < f->count && compare(&f->members[at], m->service, m->instance) == 0)
                return &f->members[at];
        if (f->count >= FLEET_MEMBERS_MAX)
                return NULL;
        if (f->count == f->cap) {
                f->cap = f->cap ? 2 * f->cap : 8;
                f->members = xrealloc(f->members, f->cap * sizeof(f->members[0]));
        }
        memmove(&f->members[at + 1], &f->members[at], (f->count - at) * sizeof(f->members[0]));
        f->count++;
        return &f->members[at];
}

void fleet_hear(struct fleet *f, const struct event *e, int64_t now_ms)
{
        struct fleet_member m = {
                .connections = e->connections,
                .connections_max = e->connections_max,
                .started_ms = e->before_ms,
                .leaving = e->closed,
                .heard_ms = now_ms};
        if (!slice_copy(slice_str(e->kind), m.service, sizeof(m.service)) ||
                !slice_copy(slice_str(e->gateway), m.instance, sizeof(m.instance)) ||
                !slice_copy(slice_str(e->ops), m.ops, sizeof(m.ops)) ||
                !slice_copy(slice_str(e->version), m.version, sizeof(m.version)))
                return;
        struct fleet_member *known = member_of(f, &m);
        if (!known)
                return;
        *known = m;
        f->changed = true;
}

static void forget_silent(struct fleet *f, int64_t now_ms)
{
        int64_t since =
                now_ms - SILENT_FACTOR * (int64_t)f->o.settings->announce_ms - SILENT_MORE_MS;
        size_t kept = 0;
        for (size_t i = 0; i < f->count; i++)
                if (f->members[i].heard_ms >= since)
                        f->members[kept++] = f->members[i];
        f->changed |= kept != f->count;
        f->count = kept;
}

/* ---- speaking ---- */

static void announce(struct fleet *f, int64_t connections)
{
        char id[UUID_TEXT], iso[CLOCK_ISO_TEXT], source[128];
        struct buf key = BUF_EMPTY, data = BUF_EMPTY;
        int64_t now = clock_wall_ms();
        struct event e = f->self;
        e.connections = connections;
        e.closed = f->said_leaving;
        event_key(&e, &key);
        event_encode(&e, &data);
        uuid_v7(now, id);
        clock_iso(now, iso);
        snprintf(source, sizeof(source), "tern-%s/%s", f->service, f->instance);
        const struct bus_header headers[] = {
                {SLICE_LIT("ce_specversion"), SLICE_LIT("1.0")},
                {SLICE_LIT("ce_id"), slice_str(id)},
                {SLICE_LIT("ce_type"), slice_str(event_type_name(EVENT_GATEWAY))},
                {SLICE_LIT("ce_source"), slice_str(source)},
                {SLICE_LIT("ce_time"), slice_str(iso)},
                {SLICE_LIT("content-type"), SLICE_LIT("application/json")},
        };
        const struct bus_record r = {.topic = SLICE_LIT("control"),
                .partition = -1,
                .key = buf_slice(&key),
                .value = buf_slice(&data),
                .headers = headers,
                .header_count = ARRAY_LEN(headers)};
        bus_produce_volatile(f->o.bus, &r);
        buf_done(&key);
        buf_done(&data);
}

/* Against the others of this service that stay. */
static void look_around(struct fleet *f, int64_t connections)
{
        int64_t others = 0;
        size_t members = 0;
        for (size_t i = 0; i < f->count; i++) {
                const struct fleet_member *m = &f->members[i];
                if (m->leaving || strcmp(m->service, f->service) != 0 ||
                        strcmp(m->instance, f->instance) == 0)
                        continue;
                others += m->connections;
                members++;
        }
        shed_look(&f->shed, connections, others, members);
}

static void speak(struct fleet *f, int64_t connections, int64_t now_ms)
{
        bool leaving = atomic_load(&f->leaving);
        bool news = leaving && !f->said_leaving;
        if (!news && f->announced_ms && now_ms - f->announced_ms < f->o.settings->announce_ms)
                return;
        f->announced_ms = now_ms;
        f->said_leaving = leaving;
        announce(f, connections);
        look_around(f, connections);
}

unsigned fleet_tick(struct fleet *f, int64_t connections, int64_t now_ms)
{
        forget_silent(f, now_ms);
        if (f->changed)
                publish(f);
        if (!atomic_load(&f->joined) || atomic_load(&f->hushed))
                return 0;
        speak(f, connections, now_ms);
        return f->said_leaving ? 0 : shed_take(&f->shed, now_ms);
}

void fleet_leave(struct fleet *f)
{
        atomic_store(&f->leaving, true);
}

void fleet_hush(struct fleet *f)
{
        atomic_store(&f->hushed, true);
}

/* ---- life ---- */

static bool is_wildcard(const char *address)
{
        return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

void fleet_join(struct fleet *f, uint32_t ops_port)
{
        struct buf ops = BUF_EMPTY;
        if (strchr(f->host, ':'))
                buf_printf(&ops, "[%s]:%u", f->host, ops_port);
        else
                buf_printf(&ops, "%s:%u", f->host, ops_port);
        f->self.ops = buf_take(&ops, NULL);
        atomic_store(&f->joined, true);
}

struct fleet *fleet_new(const struct fleet_options *o)
{
        struct fleet *f = xcalloc(1, sizeof(*f));
        f->o = *o;
        snprintf(f->service, sizeof(f->service), "%s", o->service);
        snprintf(f->instance, sizeof(f->instance), "%s", o->instance);
        if (o->settings->ops_address[0])
                snprintf(f->host, sizeof(f->host), "%s", o->settings->ops_address);
        else if (!is_wildcard(o->ops_bind) || gethostname(f->host, sizeof(f->host) - 1) < 0)
                snprintf(f->host, sizeof(f->host), "%s", o->ops_bind);
        f->self = (struct event){
                .type = EVENT_GATEWAY,
                .kind = f->service,
                .gateway = f->instance,
                .version = f->version,
                .before_ms = clock_wall_ms(),
                .connections_max = o->connections_max};
        snprintf(f->version, sizeof(f->version), "%s", TERN_VERSION);
        shed_init(&f->shed, o->settings->shed_per_second);
        pthread_mutex_init(&f->lock, NULL);
        publish(f);
        return f;
}

struct fleet *fleet_free(struct fleet *f)
{
        if (!f)
                return NULL;
        fleet_list_unref(f->list);
        pthread_mutex_destroy(&f->lock);
        free(f->members);
        free(f->self.ops);
        free(f);
        return NULL;
}
