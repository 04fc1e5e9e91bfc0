#include "ctl/ctl.h"

#include "base/lifecycle.h"
#include "bus/consumer.h"
#include "ctl/record_json.h"
#include "ctl/where.h"

#include <stdlib.h>

#define BATCH 500

struct tail {
        struct consumer *consumer;
        struct consumer_partition *parts; /* owned; offset -1 once its end was told */
        size_t count;
        size_t ended;
        const char *key, *type;
        uint64_t left; /* records still to print */
        bool follow, broken;
        struct buf line;
};

static void print_record(struct tail *t, const struct bus_record *r)
{
        record_json(r, &t->line);
        if (!print_line(&t->line))
                t->broken = true;
}

static bool is_wanted(const struct tail *t, const struct bus_record *r)
{
        if (t->key[0] && !(r->key.p && slice_is(r->key, t->key)))
                return false;
        if (!t->type[0])
                return true;
        struct slice type = bus_record_header(r, "ce_type");
        return slice_is(type, t->type) ||
               (slice_starts(type, "tern.") && slice_is(slice_from(type, 5), t->type));
}

/* ---- where to begin ---- */

static int add_topic(struct ctl *ctl, struct tail *t, const char *topic, const char *from)
{
        uint32_t n = 0;
        int code = ctl_partitions(ctl, topic, &n);
        if (code)
                return code;
        t->parts = xrealloc(t->parts, (t->count + n) * sizeof(*t->parts));
        for (uint32_t p = 0; p < n; p++) {
                struct consumer_partition *part = &t->parts[t->count + p];
                *part = (struct consumer_partition){topic, (int32_t)p, 0};
                code = where_begin(ctl, "--from", from, part);
                if (code)
                        return code;
        }
        t->count += n;
        return EXIT_DONE;
}

/* ---- the loop ---- */

static void end_reached(struct tail *t, const struct bus_record *r)
{
        for (size_t i = 0; i < t->count; i++) {
                struct consumer_partition *p = &t->parts[i];
                if (p->partition == r->partition && slice_is(r->topic, p->topic) &&
                        p->offset != INT64_MAX) {
                        p->offset = INT64_MAX;
                        t->ended++;
                }
        }
}

static bool is_over(const struct tail *t)
{
        return t->broken || t->left == 0 || (!t->follow && t->ended == t->count);
}

static void on_event(struct tail *t, const struct consumer_event *e)
{
        switch (e->kind) {
        case CONSUMER_RECORD:
                if (t->left > 0 && is_wanted(t, &e->record)) {
                        print_record(t, &e->record);
                        t->left--;
                }
                break;
        case CONSUMER_EOF:
                end_reached(t, &e->record);
                break;
        case CONSUMER_RANGE:
                /* Deleted between the question and the read: the oldest that is there. */
                if (consumer_seek(t->consumer, &(struct consumer_partition){e->record.topic.p,
                                                       e->record.partition, CONSUMER_BEGINNING}) !=
                        0)
                        end_reached(t, &e->record);
                break;
        case CONSUMER_ERROR:
        case CONSUMER_DEAD:
                ctl_fail("%s", e->error ? e->error : "Kafka is away");
                break;
        }
}

static int run(struct ctl *ctl, const struct args *a, struct tail *t)
{
        const char *from = args_text(a, "from");
        if (!from[0])
                from = t->follow ? "end" : "beginning";
        for (size_t i = 0; i < a->word_count; i++) {
                int code = add_topic(ctl, t, a->words[i], from);
                if (code)
                        return code;
        }
        char fault[256] = "";
        const struct consumer_options by_hand = {0};
        if (consumer_new(ctl->bus, &by_hand, &t->consumer, fault) != 0)
                return ctl_fail("%s", fault);
        if (consumer_assign(t->consumer, t->parts, t->count) != 0)
                return ctl_fail("the partitions cannot be read");
        struct lifecycle lc;
        lifecycle_init(&lc);
        while (!is_over(t) && lifecycle_wait(&lc, 0) == 0) {
                const struct consumer_event *e;
                size_t n = consumer_poll(t->consumer, 100, BATCH, &e);
                for (size_t i = 0; i < n; i++)
                        on_event(t, &e[i]);
        }
        lifecycle_done(&lc);
        return EXIT_DONE;
}

int cmd_tail(struct ctl *ctl, const struct args *a)
{
        struct admin_cluster cluster;
        char fault[256] = "";
        uint32_t count = UINT32_MAX;
        if (a->word_count == 0 || (args_text(a, "count")[0] &&
                                          args_u32(a, "count", UINT32_MAX, &count, fault) != 0)) {
                ctl_fail("%s", a->word_count == 0 ? "tail needs a topic (try --help)" : fault);
                return EXIT_USAGE;
        }
        int code = ctl_bus(ctl, CTL_KAFKA_MS, &cluster);
        if (code)
                return code;
        struct tail t = {.key = args_text(a, "key"),
                .type = args_text(a, "type"),
                .follow = args_flag(a, "follow"),
                .left = args_text(a, "count")[0] ? count : UINT64_MAX};
        code = run(ctl, a, &t);
        consumer_free(t.consumer);
        free(t.parts);
        buf_done(&t.line);
        return code;
}
