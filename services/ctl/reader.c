#include "ctl/reader.h"

#include "base/clock.h"

#include <stdlib.h>

#define SILENCE_MS 60000

void reader_init(struct reader *r, struct ctl *ctl, const char *topic, const struct range *ranges,
        uint32_t count)
{
        *r = (struct reader){.ctl = ctl, .topic = topic, .count = count};
        r->parts = xcalloc(count, sizeof(*r->parts));
        for (uint32_t i = 0; i < count; i++)
                r->parts[i] = (struct reader_part){.range = ranges[i], .next = ranges[i].from};
}

void reader_done(struct reader *r)
{
        consumer_free(r->consumer);
        free(r->parts);
        r->consumer = NULL;
        r->parts = NULL;
}

static struct consumer_partition at(const struct reader *r, const struct reader_part *p)
{
        return (struct consumer_partition){r->topic, p->range.partition, p->next};
}

int reader_start(struct reader *r)
{
        char fault[256] = "";
        const struct consumer_options by_hand = {0};
        /* A fresh one: what the old one had read ahead is of other places. */
        r->consumer = consumer_free(r->consumer);
        if (consumer_new(r->ctl->bus, &by_hand, &r->consumer, fault) != 0)
                return ctl_fail("%s", fault);
        struct consumer_partition *list = xcalloc(r->count, sizeof(*list));
        size_t n = 0;
        r->open = 0;
        for (uint32_t i = 0; i < r->count; i++) {
                struct reader_part *p = &r->parts[i];
                p->over = p->next >= p->range.to;
                if (!p->over)
                        list[n++] = at(r, p);
        }
        r->open = (uint32_t)n;
        r->heard_ms = clock_mono_ms();
        int err = n ? consumer_assign(r->consumer, list, n) : 0;
        free(list);
        return err ? ctl_fail("%s cannot be read", r->topic) : EXIT_DONE;
}

static uint32_t part_of(const struct reader *r, const struct bus_record *rec)
{
        for (uint32_t i = 0; i < r->count; i++)
                if (r->parts[i].range.partition == rec->partition)
                        return i;
        return r->count;
}

static void finish(struct reader *r, struct reader_part *p)
{
        p->over = true;
        p->next = p->range.to;
        r->open--;
}

/* The log was cut while it was being read: the rest of the range begins where the log begins now. */
static void skip_lost(struct reader *r, struct reader_part *p)
{
        int64_t low = p->next;
        if (bus_watermarks(r->ctl->bus, r->topic, p->range.partition, CTL_KAFKA_MS, &low, NULL) !=
                        0 ||
                low <= p->next)
                return;
        int64_t to = low < p->range.to ? low : p->range.to;
        r->lost += (uint64_t)(to - p->next);
        p->next = to;
        const struct consumer_partition here = at(r, p);
        if (p->next >= p->range.to || consumer_seek(r->consumer, &here) != 0)
                finish(r, p);
}

/* False: stop here. */
static bool take(struct reader *r, const struct consumer_event *e,
        bool (*fn)(void *arg, uint32_t part, const struct bus_record *r), void *arg)
{
        uint32_t i = part_of(r, &e->record);
        if (i == r->count || r->parts[i].over)
                return true;
        struct reader_part *p = &r->parts[i];
        if (e->kind == CONSUMER_RANGE) {
                skip_lost(r, p);
        } else if (e->kind == CONSUMER_EOF) {
                finish(r, p);
        } else if (e->kind == CONSUMER_RECORD && e->record.offset >= p->range.to) {
                finish(r, p);
        } else if (e->kind == CONSUMER_RECORD && e->record.offset >= p->next) {
                if (!fn(arg, i, &e->record))
                        return false;
                p->next = e->record.offset + 1;
                if (p->next >= p->range.to)
                        finish(r, p);
        }
        return true;
}

/* What is over is not fetched any more. */
static void drop_over(struct reader *r, uint32_t open_before)
{
        if (r->open == open_before)
                return;
        for (uint32_t i = 0; i < r->count; i++)
                if (r->parts[i].over) {
                        const struct consumer_partition one = at(r, &r->parts[i]);
                        consumer_unassign(r->consumer, &one, 1);
                }
}

int reader_poll(struct reader *r, int timeout_ms, size_t max,
        bool (*fn)(void *arg, uint32_t part, const struct bus_record *r), void *arg)
{
        const struct consumer_event *events;
        uint32_t open_before = r->open;
        size_t n = consumer_poll(r->consumer, timeout_ms, max, &events);
        int64_t now = clock_mono_ms();
        const char *error = NULL;
        for (size_t i = 0; i < n; i++) {
                if (events[i].kind == CONSUMER_ERROR || events[i].kind == CONSUMER_DEAD) {
                        error = events[i].error;
                        continue;
                }
                r->heard_ms = now;
                if (!take(r, &events[i], fn, arg))
                        return EXIT_DONE;
        }
        drop_over(r, open_before);
        if (now - r->heard_ms < SILENCE_MS)
                return EXIT_DONE;
        return ctl_fail("%s: nothing came for %d s%s%s", r->topic, SILENCE_MS / 1000,
                error ? ": " : "", error ? error : "");
}

void reader_progress(const struct reader *r, uint64_t *ret_read, uint64_t *ret_total)
{
        *ret_read = *ret_total = 0;
        for (uint32_t i = 0; i < r->count; i++) {
                *ret_read += (uint64_t)(r->parts[i].next - r->parts[i].range.from);
                *ret_total += (uint64_t)(r->parts[i].range.to - r->parts[i].range.from);
        }
}
