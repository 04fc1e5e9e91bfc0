#include "kafka_internal.h"

#include <errno.h>
#include <stdlib.h>


int consumer_new(
        struct bus *b, const struct consumer_options *o, struct consumer **ret, char fault[256])
{
        UNUSED(fault);
        struct consumer *c = xcalloc(1, sizeof(*c));
        c->bus = b;
        c->options = *o;
        list_init(&c->in_group);
        list_push_back(&b->consumers, &c->in_bus);
        if (o->group)
                group_join(c);
        *ret = c;
        return 0;
}

struct consumer *consumer_free(struct consumer *c)
{
        if (!c)
                return NULL;
        group_leave(c);
        list_remove(&c->in_bus);
        free(c->parts);
        free(c->events);
        free(c->headers);
        free(c->own);
        free(c);
        return NULL;
}

static struct followed *follow_of(struct consumer *c, const struct topic *t, int32_t partition)
{
        for (size_t i = 0; i < c->count; i++)
                if (c->parts[i].topic == t && c->parts[i].partition == partition)
                        return &c->parts[i];
        return NULL;
}

int consumer_assign(struct consumer *c, const struct consumer_partition *parts, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                struct topic *t = log_topic(&c->bus->kafka->log, slice_str(parts[i].topic));
                CHECK(t);
                struct followed *f = follow_of(c, t, parts[i].partition);
                if (!f) {
                        if (c->count == c->cap) {
                                c->cap = c->cap ? c->cap * 2 : 8;
                                c->parts = xrealloc(c->parts, c->cap * sizeof(*c->parts));
                        }
                        f = &c->parts[c->count++];
                }
                int64_t offset = parts[i].offset;
                const struct partition *p = log_partition(t, parts[i].partition);
                if (p && offset == CONSUMER_BEGINNING)
                        offset = p->low;
                if (p && offset == CONSUMER_END)
                        offset = p->end;
                *f = (struct followed){
                        t, parts[i].partition, t->epoch, offset, 0, -1, false, false};
        }
        return 0;
}

void consumer_unassign(struct consumer *c, const struct consumer_partition *parts, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                const struct topic *t = log_topic(&c->bus->kafka->log, slice_str(parts[i].topic));
                struct followed *f = follow_of(c, t, parts[i].partition);
                if (f)
                        *f = c->parts[--c->count];
        }
}

int consumer_seek(struct consumer *c, const struct consumer_partition *part)
{
        return consumer_assign(c, part, 1);
}

static int set_paused(
        struct consumer *c, const struct consumer_partition *parts, size_t count, bool paused)
{
        for (size_t i = 0; i < count; i++) {
                const struct topic *t = log_topic(&c->bus->kafka->log, slice_str(parts[i].topic));
                struct followed *f = follow_of(c, t, parts[i].partition);
                if (f)
                        f->paused = paused;
        }
        return 0;
}

int consumer_pause(struct consumer *c, const struct consumer_partition *parts, size_t count)
{
        return set_paused(c, parts, count, true);
}

int consumer_resume(struct consumer *c, const struct consumer_partition *parts, size_t count)
{
        return set_paused(c, parts, count, false);
}

void consumer_wake(struct consumer *c)
{
        c->woken = true;
        fiber_wake(c);
}

void consumer_commit(struct consumer *c, const struct consumer_partition *parts, size_t count)
{
        UNUSED(c);
        UNUSED(parts);
        UNUSED(count);
}

int64_t consumer_high(struct consumer *c, const char *topic, int32_t partition)
{
        struct topic *t = log_topic(&c->bus->kafka->log, slice_str(topic));
        const struct partition *p = t ? log_partition(t, partition) : NULL;
        return p ? p->end : -1;
}

/* ---- poll ---- */

static void reserve(struct consumer *c, size_t max)
{
        if (max <= c->events_max)
                return;
        c->events_max = max;
        c->events = xrealloc(c->events, max * sizeof(*c->events));
        c->headers = xrealloc(c->headers, max * sizeof(*c->headers));
}

static void put_record(
        struct consumer *c, size_t at, const struct followed *f, const struct entry *e)
{
        struct bus_header *h = c->headers[at];
        size_t n = 0;
        h[n++] = (struct bus_header){SLICE_LIT("ce_id"), e->id};
        h[n++] = (struct bus_header){SLICE_LIT("ce_type"), e->type};
        for (size_t i = 0; i < e->header_count; i++)
                h[n++] = e->headers[i];
        c->events[at] = (struct consumer_event){.kind = CONSUMER_RECORD,
                .record = {.topic = slice_str(f->topic->name),
                        .partition = f->partition,
                        .offset = e->offset,
                        .timestamp_ms = e->timestamp_ms,
                        .key = e->key,
                        .value = e->value,
                        .headers = h,
                        .header_count = n}};
}

static void put_other(struct consumer *c, size_t at, const struct followed *f,
        enum consumer_event_kind kind, int64_t offset)
{
        c->events[at] = (struct consumer_event){.kind = kind,
                .record = {.topic = slice_str(f->topic->name),
                        .partition = f->partition,
                        .offset = offset,
                        .timestamp_ms = -1}};
}

/* What one partition has, up to max events. */
static size_t take(struct consumer *c, struct followed *f, size_t at, size_t max)
{
        const struct partition *p = log_partition(f->topic, f->partition);
        size_t n = 0;
        if (!p || f->paused || f->out_of_range || machine_now_ms() < f->stalled_until_ms)
                return 0;
        if (f->position < p->low || f->position > p->end) {
                f->out_of_range = true;
                put_other(c, at, f, CONSUMER_RANGE, f->position);
                return 1;
        }
        bool something = f->position < p->end || f->eof_at != p->end;
        if (something && chance(c->bus->kafka->faults.stall)) {
                f->stalled_until_ms =
                        machine_now_ms() + draw_between(1, c->bus->kafka->faults.stall_ms);
                return 0;
        }
        size_t some = max > 1 && chance(30) ? 1 + draw_below((uint32_t)max - 1) : max;
        while (n < some && f->position < p->end) {
                const struct entry *e = p->entries[log_find(p, f->position)];
                f->position = e->offset + 1;
                if (e->kind != ENTRY_HIDDEN)
                        put_record(c, at + n++, f, e);
        }
        if (n < some && f->position == p->end && f->eof_at != p->end) {
                f->eof_at = p->end;
                put_other(c, at + n++, f, CONSUMER_EOF, p->end);
        }
        return n;
}

static size_t take_all(struct consumer *c, size_t max)
{
        size_t n = 0;
        if (bus_unreachable(c->bus) || c->count == 0)
                return 0;
        size_t first = draw_below((uint32_t)c->count);
        for (size_t i = 0; i < c->count && n < max; i++)
                n += take(c, &c->parts[(first + i) % c->count], n, max - n);
        return n;
}

/* When the first of the partitions that are stalled goes on. */
static int64_t next_ms(const struct consumer *c)
{
        int64_t next = NEVER;
        for (size_t i = 0; i < c->count; i++)
                if (c->parts[i].stalled_until_ms > machine_now_ms() &&
                        c->parts[i].stalled_until_ms < next)
                        next = c->parts[i].stalled_until_ms;
        return next;
}

size_t consumer_poll(
        struct consumer *c, int timeout_ms, size_t max, const struct consumer_event **ret)
{
        int64_t until = machine_now_ms() + timeout_ms;
        reserve(c, max);
        *ret = c->events;
        if (chance(30))
                fiber_yield();
        for (;;) {
                group_poll(c);
                size_t n = take_all(c, max);
                if (n > 0 || c->woken || machine_now_ms() >= until) {
                        c->woken = false;
                        return n;
                }
                int64_t next = next_ms(c);
                if (c->group && next > machine_now_ms() + 20)
                        next = machine_now_ms() + 20; /* to look after the group */
                fiber_wait(c, next < until ? next : until);
        }
}
