/*
 * writer_fixture - records by hand, for the tests of the writer.
 */
#ifndef TERN_TESTS_WRITER_FIXTURE_H
#define TERN_TESTS_WRITER_FIXTURE_H

#include "tests/unit/store/pg_fixture.h"

#include "base/hash.h"
#include "writer/batch.h"
#include "writer/judge.h"

#include <inttypes.h>

#define TEST_PARTITIONS 4
#define TEST_TIME_MS 1767225600000LL /* 2026-01-01 */

struct test_record {
        const char *id, *type, *key, *value, *rekeyed, *content_type;
};

static inline struct part test_part(enum writer_topic topic, int32_t partition, uint32_t epoch)
{
        return (struct part){.topic = topic,
                .partition = partition,
                .epoch = epoch,
                .partitions = topic == TOPIC_BROADCASTS ? 1 : TEST_PARTITIONS,
                .assignment = 1};
}

/* The partition that the key belongs to. */
static inline int32_t home_of(const char *key)
{
        return (int32_t)partition_of(slice_str(key), TEST_PARTITIONS);
}

/* Adds a record at offset; the place before it is before. */
static inline struct item *add_record_at(
        struct batch *b, struct part p, int64_t before, int64_t offset, const struct test_record *t)
{
        struct bus_header h[4];
        size_t n = 0;
        if (t->id)
                h[n++] = (struct bus_header){SLICE_LIT("ce_id"), slice_str(t->id)};
        if (t->type)
                h[n++] = (struct bus_header){SLICE_LIT("ce_type"), slice_str(t->type)};
        if (t->rekeyed)
                h[n++] = (struct bus_header){SLICE_LIT(HEADER_REKEYED), slice_str(t->rekeyed)};
        if (t->content_type)
                h[n++] = (struct bus_header){SLICE_LIT("content-type"), slice_str(t->content_type)};
        const struct bus_record r = {
                .topic = slice_str(writer_topics[p.topic]),
                .partition = p.partition,
                .offset = offset,
                .timestamp_ms = TEST_TIME_MS + offset,
                .key = slice_str(t->key),
                .value = slice_str(t->value),
                .headers = h,
                .header_count = n,
        };
        batch_add(b, batch_part(b, &p), &r, before, TEST_TIME_MS);
        return &b->items[b->count - 1];
}

static inline struct item *add_record(
        struct batch *b, struct part p, int64_t offset, const struct test_record *t)
{
        return add_record_at(b, p, offset, offset, t);
}

#define MESSAGE(id_, key_)                                                                         \
        (&(struct test_record){.id = (id_),                                                        \
                .type = "tern.message.created",                                                    \
                .key = (key_),                                                                     \
                .value = "{\"senderId\":\"ann\",\"content\":\"hi\"}"})

#endif
