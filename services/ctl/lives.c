#include "ctl/lives.h"

#include "ctl/reader.h"

#include "proto/event.h"

#include <stdlib.h>

#define ACCESS_TOPIC "access"
#define LIVES_MAX 256

struct loading {
        struct life *all; /* array of LIVES_MAX */
        size_t count;
};

static struct life *life_of(struct loading *ld, const char *topic)
{
        for (size_t i = 0; i < ld->count; i++)
                if (strcmp(ld->all[i].topic, topic) == 0)
                        return &ld->all[i];
        if (ld->count == LIVES_MAX)
                return NULL;
        struct life *l = &ld->all[ld->count++];
        snprintf(l->topic, sizeof(l->topic), "%s", topic);
        return l;
}

static bool on_access(void *arg, uint32_t part, const struct bus_record *r)
{
        struct loading *ld = arg;
        struct event e;
        struct event_error err;
        UNUSED(part);
        if (event_parse(SLICE_LIT(ACCESS_TOPIC), bus_record_header(r, "ce_type"),
                    bus_record_header(r, "ce_id"), r->key, r->value, &e, &err) != 0)
                return true;
        struct life *l = e.type == EVENT_EPOCH ? life_of(ld, e.topic) : NULL;
        if (l && e.epoch >= l->epoch) {
                l->epoch = e.epoch;
                l->partitions = e.partitions;
                l->since_ms = r->timestamp_ms;
                snprintf(l->cluster, sizeof(l->cluster), "%s", e.cluster_id);
        }
        event_done(&e);
        return true;
}

int lives_load(struct ctl *ctl, struct life **ret, size_t *ret_count)
{
        struct loading ld = {xcalloc(LIVES_MAX, sizeof(*ld.all)), 0};
        struct range *ranges = NULL;
        struct reader reader;
        uint32_t n = 0;
        int code = where_ranges(ctl, ACCESS_TOPIC, "", "", &ranges, &n);
        if (!code) {
                reader_init(&reader, ctl, ACCESS_TOPIC, ranges, n);
                code = reader_start(&reader);
                while (!code && reader.open > 0)
                        code = reader_poll(&reader, 100, 1000, on_access, &ld);
                reader_done(&reader);
        }
        free(ranges);
        if (code) {
                free(ld.all);
                return code;
        }
        *ret = ld.all;
        *ret_count = ld.count;
        return EXIT_DONE;
}

int64_t lives_epoch(const struct life *lives, size_t count, const char *topic)
{
        for (size_t i = 0; i < count; i++)
                if (strcmp(lives[i].topic, topic) == 0)
                        return lives[i].epoch;
        return 0;
}
