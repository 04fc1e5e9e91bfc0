#include "ctl/where.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum place_kind { PLACE_BEGINNING, PLACE_END, PLACE_OFFSET, PLACE_TIME };

struct place {
        enum place_kind kind;
        int64_t value; /* offset, or time in ms */
};

static bool parse_place(struct slice text, int64_t now_ms, struct place *ret)
{
        uint64_t offset = 0;
        int64_t at = 0;
        char copy[64];
        if (slice_is(text, "beginning") || slice_is(text, "end")) {
                *ret = (struct place){text.p[0] == 'b' ? PLACE_BEGINNING : PLACE_END, 0};
        } else if (slice_to_u64(text, INT64_MAX, &offset)) {
                *ret = (struct place){PLACE_OFFSET, (int64_t)offset};
        } else if (text.n > 1 && text.p[0] == '-' && slice_copy(text, copy, sizeof(copy)) &&
                   parse_duration(copy + 1, &at) == 0) {
                *ret = (struct place){PLACE_TIME, now_ms - at};
        } else if (clock_parse_iso(text.p, text.n, &at) == 0) {
                *ret = (struct place){PLACE_TIME, at};
        } else {
                return false;
        }
        return true;
}

/* "3:250": the partition, and what is left; -1: an item for all. */
static int64_t partition_of_item(struct slice *item)
{
        ptrdiff_t colon = slice_find(*item, ':');
        uint64_t p = 0;
        if (colon <= 0 || !slice_to_u64(slice_of(item->p, (size_t)colon), INT32_MAX, &p))
                return -1;
        *item = slice_from(*item, (size_t)colon + 1);
        return (int64_t)p;
}

/* The place of one partition; otherwise stands in *ret if the spec says nothing of it. False: not understood. */
static bool place_in(const char *spec, int32_t partition, int64_t now_ms, struct place *ret)
{
        struct slice rest = slice_str(spec);
        struct place found;
        bool own = false;
        while (rest.n > 0) {
                ptrdiff_t comma = slice_find(rest, ',');
                struct slice item = comma < 0 ? rest : slice_of(rest.p, (size_t)comma);
                rest = comma < 0 ? SLICE_NONE : slice_from(rest, (size_t)comma + 1);
                int64_t of = partition_of_item(&item);
                if (!parse_place(item, now_ms, &found))
                        return false;
                if (of == partition || (of < 0 && !own))
                        *ret = found;
                own = own || of == partition;
        }
        return true;
}

static int not_understood(const char *option, const char *spec)
{
        ctl_fail("%s is %s, it has to be an offset, beginning, end, a time (2026-01-31T12:00:00Z) "
                 "or "
                 "an age (-10m), or PARTITION:WHERE and so on, separated by commas",
                option, spec);
        return EXIT_USAGE;
}

static int offset_of(
        struct ctl *ctl, const char *topic, int32_t partition, int64_t time_ms, int64_t *ret)
{
        if (bus_is_embedded(ctl->bus))
                return ctl_fail("a time is not supported by the embedded broker");
        int err = bus_offset_for_time(ctl->bus, topic, partition, time_ms, CTL_KAFKA_MS, ret);
        return err ? ctl_fail("%s: %s", topic, kafka_error(err)) : EXIT_DONE;
}

int where_begin(
        struct ctl *ctl, const char *option, const char *spec, struct consumer_partition *part)
{
        struct place place = {PLACE_BEGINNING, 0};
        if (!place_in(spec, part->partition, clock_wall_ms(), &place))
                return not_understood(option, spec);
        if (place.kind == PLACE_TIME)
                return offset_of(ctl, part->topic, part->partition, place.value, &part->offset);
        part->offset = place.kind == PLACE_OFFSET ? place.value
                       : place.kind == PLACE_END  ? CONSUMER_END
                                                  : CONSUMER_BEGINNING;
        return EXIT_DONE;
}

/* An offset within the log. An exit code. */
static int resolve(
        struct ctl *ctl, const char *topic, const struct range *r, struct place place, int64_t *ret)
{
        int code = EXIT_DONE;
        *ret = place.kind == PLACE_BEGINNING ? r->low : place.kind == PLACE_END ? r->high : 0;
        if (place.kind == PLACE_OFFSET)
                *ret = place.value;
        else if (place.kind == PLACE_TIME)
                code = offset_of(ctl, topic, r->partition, place.value, ret);
        if (*ret < r->low)
                *ret = r->low;
        if (*ret > r->high)
                *ret = r->high;
        return code;
}

static int resolve_both(struct ctl *ctl, const char *topic, const char *from, const char *to,
        int64_t now_ms, struct range *r)
{
        struct place begin = {PLACE_BEGINNING, 0}, end = {PLACE_END, 0};
        if (!place_in(from, r->partition, now_ms, &begin))
                return not_understood("--from", from);
        if (!place_in(to, r->partition, now_ms, &end))
                return not_understood("--to", to);
        int code = resolve(ctl, topic, r, begin, &r->from);
        if (!code)
                code = resolve(ctl, topic, r, end, &r->to);
        if (r->to < r->from)
                r->to = r->from;
        return code;
}

int where_ranges(struct ctl *ctl, const char *topic, const char *from, const char *to,
        struct range **ret, uint32_t *ret_count)
{
        uint32_t n = 0;
        int64_t now = clock_wall_ms();
        int code = ctl_partitions(ctl, topic, &n);
        if (code)
                return code;
        struct range *all = xcalloc(n, sizeof(*all));
        int64_t *highs = xcalloc(n, sizeof(*highs));
        int err = bus_highs(ctl->bus, topic, n, CTL_KAFKA_MS, highs);
        for (uint32_t p = 0; !err && p < n; p++) {
                all[p] = (struct range){.partition = (int32_t)p, .high = highs[p]};
                err = bus_watermarks(ctl->bus, topic, (int32_t)p, CTL_KAFKA_MS, &all[p].low, NULL);
        }
        if (err)
                code = ctl_fail("%s: %s", topic, kafka_error(err));
        for (uint32_t p = 0; !code && p < n; p++)
                code = resolve_both(ctl, topic, from, to, now, &all[p]);
        free(highs);
        if (code) {
                free(all);
                return code;
        }
        *ret = all;
        *ret_count = n;
        return EXIT_DONE;
}
