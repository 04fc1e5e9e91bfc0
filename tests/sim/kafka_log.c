#include "kafka_log.h"

#include "base/hash.h"

#include <stdlib.h>

struct bus_header *headers_own(const struct bus_record *r, size_t *ret_count)
{
        struct bus_header *h = xcalloc(r->header_count + 1, sizeof(*h));
        size_t n = 0;
        for (size_t i = 0; i < r->header_count; i++) {
                struct slice name = r->headers[i].name;
                if (slice_is(name, "ce_id") || slice_is(name, "ce_type"))
                        continue;
                CHECK(n < ENTRY_HEADERS_MAX);
                h[n].name = slice_of(slice_dup(name), name.n);
                h[n].value = slice_of(slice_dup(r->headers[i].value), r->headers[i].value.n);
                n++;
        }
        *ret_count = n;
        return h;
}

void headers_free(struct bus_header *h, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                free((char *)(uintptr_t)h[i].name.p);
                free((char *)(uintptr_t)h[i].value.p);
        }
        free(h);
}

static void partition_done(struct partition *p)
{
        for (size_t i = 0; i < p->count; i++) {
                struct entry *e = p->entries[i];
                free((char *)(uintptr_t)e->key.p);
                free((char *)(uintptr_t)e->id.p);
                free((char *)(uintptr_t)e->type.p);
                free((char *)(uintptr_t)e->value.p);
                headers_free(e->headers, e->header_count);
                free(e);
        }
        free(p->entries);
        size_t at = 0;
        void *seen;
        while ((seen = map_next(&p->ids, &at)))
                free(seen);
        map_done(&p->ids);
}

void log_model_done(struct log_model *lm)
{
        for (size_t i = 0; i < lm->count; i++)
                for (size_t k = 0; k < LIVES_MAX; k++) {
                        struct life *l = &lm->topics[i].lives[k];
                        for (uint32_t p = 0; p < l->partitions; p++)
                                partition_done(&l->of[p]);
                        free(l->of);
                }
        *lm = (struct log_model){.count = 0};
}

struct topic *log_topic(struct log_model *lm, struct slice name)
{
        for (size_t i = 0; i < lm->count; i++)
                if (slice_is(name, lm->topics[i].name))
                        return &lm->topics[i];
        return NULL;
}

static void begin_life(struct topic *t, uint32_t epoch, uint32_t partitions)
{
        CHECK(epoch < LIVES_MAX);
        t->epoch = epoch;
        t->lives[epoch].partitions = partitions;
        t->lives[epoch].of = xcalloc(partitions, sizeof(struct partition));
}

struct topic *log_make(struct log_model *lm, const char *name, uint32_t partitions, bool dedupe,
        bool foreign_check)
{
        CHECK(lm->count < LOG_TOPICS_MAX);
        struct topic *t = &lm->topics[lm->count++];
        *t = (struct topic){.name = name, .dedupe = dedupe, .foreign_check = foreign_check};
        begin_life(t, 1, partitions);
        return t;
}

void log_make_anew(struct topic *t, uint32_t partitions)
{
        t->lives[t->epoch].gone = true;
        begin_life(t, t->epoch + 1, partitions);
}

struct partition *log_partition(struct topic *t, int32_t partition)
{
        struct life *l = &t->lives[t->epoch];
        return partition >= 0 && (uint32_t)partition < l->partitions ? &l->of[partition] : NULL;
}

static struct slice own(struct slice s)
{
        return slice_of(slice_dup(s), s.n);
}

static enum entry_kind judge(struct log_model *lm, const struct topic *t, struct partition *p,
        struct entry *e, uint32_t partitions)
{
        if (t->foreign_check && partition_of(e->key, partitions) != (uint32_t)e->partition)
                return ENTRY_FOREIGN;
        if (!t->dedupe || e->id.n == 0)
                return ENTRY_FIRST;
        struct id_seen *seen = map_get(&p->ids, e->id);
        if (!seen) {
                seen = xcalloc(1, sizeof(*seen));
                *seen = (struct id_seen){e->offset, e->timestamp_ms};
                map_put(&p->ids, e->id, seen);
                return ENTRY_FIRST;
        }
        bool within = seen->timestamp_ms >= e->timestamp_ms - lm->dedupe_window_ms;
        seen->timestamp_ms = e->timestamp_ms;
        if (!within) {
                seen->first_offset = e->offset;
                return ENTRY_LATE;
        }
        e->first_offset = seen->first_offset;
        return ENTRY_DUPLICATE;
}

static struct entry *add(struct partition *p)
{
        if (p->count == p->cap) {
                p->cap = p->cap ? p->cap * 2 : 64;
                p->entries = xrealloc(p->entries, p->cap * sizeof(struct entry *));
        }
        struct entry *e = xcalloc(1, sizeof(*e));
        e->offset = e->first_offset = p->end++;
        e->timestamp_ms = machine_wall_ms();
        p->entries[p->count++] = e;
        return e;
}

struct entry *log_append_record(struct log_model *lm, struct topic *t, const struct bus_record *r)
{
        uint32_t partitions = t->lives[t->epoch].partitions;
        int32_t partition = r->partition >= 0 ? r->partition
                                              : (int32_t)partition_of(r->key, partitions);
        struct partition *p = log_partition(t, partition);
        CHECK(p);
        struct entry *e = add(p);
        e->epoch = t->epoch;
        e->partition = partition;
        e->key = own(r->key);
        e->id = own(bus_record_header(r, "ce_id"));
        e->type = own(bus_record_header(r, "ce_type"));
        e->value = own(r->value);
        e->headers = headers_own(r, &e->header_count);
        e->kind = judge(lm, t, p, e, partitions);
        if (lm->appended)
                lm->appended(lm->arg, t, e);
        return e;
}

struct entry *log_append(struct log_model *lm, struct topic *t, int32_t partition, struct slice key,
        struct slice id, struct slice type, struct slice value)
{
        const struct bus_header headers[] = {
                {SLICE_LIT("ce_id"), id},
                {SLICE_LIT("ce_type"), type},
                {SLICE_LIT("ce_source"), SLICE_LIT("sim")},
                {SLICE_LIT("ce_specversion"), SLICE_LIT("1.0")},
        };
        const struct bus_record r = {.partition = partition,
                .key = key,
                .value = value,
                .headers = headers,
                .header_count = ARRAY_LEN(headers)};
        return log_append_record(lm, t, &r);
}

void log_skip(struct topic *t, int32_t partition, int64_t n)
{
        struct partition *p = log_partition(t, partition);
        while (n-- > 0) {
                struct entry *e = add(p);
                e->kind = ENTRY_HIDDEN;
                e->epoch = t->epoch;
                e->partition = partition;
        }
}

void log_cut(struct topic *t, int32_t partition, int64_t low)
{
        struct partition *p = log_partition(t, partition);
        if (low > p->low)
                p->low = low < p->end ? low : p->end;
}

size_t log_find(const struct partition *p, int64_t offset)
{
        /* Every offset has an entry. */
        return offset < 0 ? 0 : offset > p->end ? p->count : (size_t)offset;
}
