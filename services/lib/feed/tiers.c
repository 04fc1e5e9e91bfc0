/*
 * Older records for fanout: a page from Postgres if it can prove to be complete; what Postgres does not have from
 * Kafka; a gap only for what neither will ever have: Kafka has said that it is gone, and Postgres, asked after that, does not
 * have it. While somebody cannot say, the question is asked again, for read_give_up_ms; then the client has to come again.
 */
#include "feed/internal.h"

#include "base/clock.h"
#include "base/hash.h"
#include "feed_sql.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define AGAIN_MS 200

struct feed_read {
        struct feed_store_job stored;
        struct seek_job seek;
        struct mail mail; /* back from a seeker */
        struct list link; /* feed_shard.reads_retry */
        struct feed *fd;
        unsigned shard;
        struct attach_read *rd;
        int64_t again_ms, until_ms; /* until: give up */
        bool waiting;               /* in reads_retry */
        int64_t gone_seq; /* Kafka's log begins there, beyond the range's start; 0: not known to */
};

static struct feed_shard *shard_of(const struct feed_read *r)
{
        return r->fd->ports[r->shard].fs;
}

static uint32_t epoch_of(int64_t seq)
{
        return (uint32_t)(seq >> SEQ_EPOCH_SHIFT);
}

static int64_t seq_of(uint32_t epoch, int64_t offset)
{
        return ((int64_t)epoch << SEQ_EPOCH_SHIFT) + offset;
}

static void read_start(struct feed_shard *fs, struct attach_read *rd);
static void ask_postgres(struct feed_read *r);

static bool is_archived(const struct feed_read *r)
{
        return r->fd->o.store && r->fd->topics[r->rd->topic].event_table_topic;
}

/* ---- answers ---- */

static void set_waiting(struct feed_shard *fs, struct feed_read *r, bool waiting)
{
        atomic_uint *timed = &fs->fd->ports[fs->index].timed;
        if (waiting && !r->waiting) {
                list_push_back(&fs->reads_retry, &r->link);
                atomic_fetch_add(timed, 1);
        } else if (!waiting && r->waiting) {
                list_remove(&r->link);
                atomic_fetch_sub(timed, 1);
        }
        r->waiting = waiting;
}

/* The next in line takes its place. */
static void release(struct feed_shard *fs, struct feed_read *r)
{
        set_waiting(fs, r, false);
        free(r);
        fs->reads_out--;
}

static void start_waiting(struct feed_shard *fs)
{
        struct list *node;
        while (fs->reads_out < fs->fd->o.settings->catchup_reads_max &&
                (node = list_take(&fs->reads_waiting)))
                read_start(fs, list_entry(node, struct attach_read, link));
}

static void answer_page(
        struct feed_read *r, const struct loose *page, int64_t next_seq, enum fanout_tier tier)
{
        struct feed_shard *fs = shard_of(r);
        struct attach_read *rd = r->rd;
        release(fs, r);
        fanout_read_page(
                fs->fanout, rd, page->records, page->count, next_seq, tier, clock_mono_ms());
        start_waiting(fs);
}

static void answer_gap(struct feed_read *r, int64_t to_seq)
{
        struct feed_shard *fs = shard_of(r);
        struct attach_read *rd = r->rd;
        log_warn(r->fd->o.log, "gap", F_STR("topic", r->fd->topics[rd->topic].name),
                F_INT("partition", rd->partition), F_INT("from_seq", rd->from_seq),
                F_INT("to_seq", to_seq));
        release(fs, r);
        fanout_read_gap(fs->fanout, rd, to_seq, clock_mono_ms());
        start_waiting(fs);
}

static void answer_failed(struct feed_read *r)
{
        struct feed_shard *fs = shard_of(r);
        struct attach_read *rd = r->rd;
        log_warn(r->fd->o.log, "older_records_unreadable",
                F_STR("topic", r->fd->topics[rd->topic].name), F_INT("partition", rd->partition),
                F_INT("from_seq", rd->from_seq));
        release(fs, r);
        fanout_read_failed(fs->fanout, rd, clock_mono_ms());
        start_waiting(fs);
}

/* Neither side can say now. */
static void wait_or_give_up(struct feed_read *r)
{
        int64_t now = clock_mono_ms();
        if (now >= r->until_ms) {
                answer_failed(r);
                return;
        }
        r->again_ms = now + AGAIN_MS;
        set_waiting(shard_of(r), r, true);
}

/* ---- Kafka ---- */

static void read_free(struct feed_read *r)
{
        loose_done(&r->seek.page);
        attach_read_free(r->rd);
        free(r);
}

static void run_seek_result(struct mail *m)
{
        struct feed_read *r = container_of(m, struct feed_read, mail);
        struct loose page = r->seek.page;
        r->seek.page = (struct loose){0};
        uint32_t epoch = r->seek.epoch;
        if (!shard_of(r)) {
                read_free(r);
        } else if (!r->rd->sub) {
                answer_page(r, &page, r->rd->until_seq,
                        TIER_TAIL); /* nobody listens: fanout frees it */
        } else if (r->seek.outcome == SEEK_PAGE) {
                answer_page(r, &page, seq_of(epoch, r->seek.next_offset), TIER_KAFKA);
        } else if (r->seek.outcome == SEEK_GONE) {
                r->gone_seq = seq_of(epoch, r->seek.next_offset);
                if (is_archived(r))
                        ask_postgres(r); /* the writer may have come by before it was cut off */
                else
                        answer_gap(r, r->gone_seq);
        } else {
                wait_or_give_up(r);
        }
        loose_done(&page);
}

/* On a seeker's thread. */
static void on_sought(struct seek_job *j)
{
        struct feed_read *r = container_of(j, struct feed_read, seek);
        struct feed *fd = r->fd;
        list_init(&r->mail.link);
        r->mail.run = run_seek_result;
        if (!feed_post(fd, r->shard, &r->mail))
                read_free(r);
        atomic_fetch_sub(&fd->outstanding, 1);
}

static void ask_kafka(struct feed_read *r)
{
        const struct attach_read *rd = r->rd;
        uint32_t epoch = epoch_of(rd->from_seq);
        r->seek = (struct seek_job){.rd = rd,
                .done = on_sought,
                .epoch = epoch,
                .from = rd->from_seq - seq_of(epoch, 0),
                .until = rd->until_seq - seq_of(epoch, 0)};
        atomic_fetch_add(&r->fd->outstanding, 1);
        seekers_submit(r->fd->seekers, &r->seek);
}

/* ---- Postgres ---- */

/* Rows: key, seq, type, id, data, milliseconds. */
static void read_rows(
        const struct attach_read *rd, const struct store_result *res, struct loose *page)
{
        for (size_t i = 0; i < res->rows; i++) {
                const char *const *v = &res->values[i * res->columns];
                const size_t *n = &res->lengths[i * res->columns];
                if (!v[0] || !v[1] || !v[2] || !v[3] || !v[4] || !v[5])
                        continue; /* no column of the table is nullable */
                int64_t seq = strtoll(v[1], NULL, 10);
                struct record *r = loose_add(page, n[0] + n[2] + n[3] + n[4]);
                r->key_hash = hash_key(slice_of(v[0], n[0]));
                r->epoch = epoch_of(seq);
                r->offset = r->original_offset = seq - seq_of(r->epoch, 0);
                r->timestamp_ms = strtoll(v[5], NULL, 10);
                r->topic = rd->topic;
                r->partition = rd->partition;
                r->slot = rd->slot;
                r->key_n = (uint32_t)n[0];
                r->id_n = (uint32_t)n[3];
                r->type_n = (uint32_t)n[2];
                r->value_n = (uint32_t)n[4];
                char *at = r->bytes;
                memcpy(at, v[0], n[0]);
                memcpy(at += n[0], v[3], n[3]);
                memcpy(at += n[3], v[2], n[2]);
                memcpy(at + n[2], v[4], n[4]);
        }
        loose_seal(page);
}

/* Where the gap ends: the archive has records again from there on, or the log, or it is asked for from elsewhere. */
static int64_t first_of(const struct feed_read *r, uint32_t epoch, int64_t archived)
{
        int64_t to = r->rd->until_seq;
        if (archived < INT64_MAX && epoch == r->rd->epoch && seq_of(epoch, archived) < to)
                to = seq_of(epoch, archived);
        return r->gone_seq > r->rd->from_seq && r->gone_seq < to ? r->gone_seq : to;
}

/*
 * The archive has all of [complete_from, next_offset). An older epoch is over: it is complete if the archive came as far as
 * the client had come, for then nobody knows of anything that is missing.
 */
static void judge(struct feed_read *r, const struct store_job *j)
{
        const struct attach_read *rd = r->rd;
        const struct store_result *place = &j->step[1].result, *rows = &j->step[0].result;
        uint32_t epoch = epoch_of(rd->from_seq);
        bool over = epoch < rd->epoch;
        int64_t from = rd->from_seq - seq_of(epoch, 0), next = 0, complete_from = 0;
        if (place->rows > 0 && place->values[0] && place->values[1]) {
                next = strtoll(place->values[0], NULL, 10);
                complete_from = strtoll(place->values[1], NULL, 10);
        }
        if (over && (place->rows == 0 || from > next)) {
                answer_gap(r, rd->until_seq);
                return;
        }
        bool lacks = from < complete_from || next <= from;
        if (!over && lacks && r->gone_seq <= rd->from_seq) {
                ask_kafka(r);
                return;
        }
        if (lacks && (!over || from < complete_from)) {
                answer_gap(r, first_of(r, epoch, from < complete_from ? complete_from : INT64_MAX));
                return;
        }
        struct loose page = {0};
        read_rows(rd, rows, &page);
        int64_t until =
                over || seq_of(epoch, next) > rd->until_seq ? rd->until_seq : seq_of(epoch, next);
        bool full = rows->rows >= rd->records_max && page.count > 0;
        answer_page(r, &page, full ? record_seq(page.records[page.count - 1]) + 1 : until,
                TIER_POSTGRES);
        loose_done(&page);
}

static void on_stored(struct store_job *j)
{
        struct feed_read *r = container_of(j, struct feed_read, stored.job);
        const struct loose none = {0};
        if (!r->rd->sub) {
                answer_page(r, &none, r->rd->until_seq,
                        TIER_TAIL); /* nobody listens: fanout frees it */
                return;
        }
        if (j->err == 0) {
                judge(r, j);
                return;
        }
        if (j->err == -EINVAL)
                log_error(r->fd->o.log, "statement_failed", F_STR("statement", "feed_events"),
                        F_STR("reason", j->error));
        /* Kafka is the truth for what it still has. */
        if (epoch_of(r->rd->from_seq) == r->rd->epoch && !r->gone_seq)
                ask_kafka(r);
        else
                wait_or_give_up(r);
}

static void on_gone(struct feed_store_job *j)
{
        read_free(container_of(j, struct feed_read, stored));
}

/* {"a","b"}: an array of text, as Postgres reads it. */
static void add_keys(struct buf *out, const struct attach_read *rd)
{
        buf_add_char(out, '{');
        for (size_t i = 0; i < rd->key_count; i++) {
                if (memchr(rd->keys[i].p, '\0', rd->keys[i].n))
                        continue; /* Postgres has no such key */
                buf_add_str(out, out->n > 1 ? ",\"" : "\"");
                for (size_t k = 0; k < rd->keys[i].n; k++) {
                        char c = rd->keys[i].p[k];
                        if (c == '"' || c == '\\')
                                buf_add_char(out, '\\');
                        buf_add_char(out, c);
                }
                buf_add_char(out, '"');
        }
        buf_add_char(out, '}');
}

static void ask_postgres(struct feed_read *r)
{
        const struct attach_read *rd = r->rd;
        const char *table = r->fd->topics[rd->topic].event_table_topic;
        bool chat = strcmp(table, "chat.events") == 0;
        struct buf keys = BUF_EMPTY;
        char from[24], until[24], partition[16], limit[16], epoch[16];
        add_keys(&keys, rd);
        snprintf(from, sizeof(from), "%lld", (long long)rd->from_seq);
        snprintf(until, sizeof(until), "%lld", (long long)rd->until_seq);
        snprintf(partition, sizeof(partition), "%u", rd->partition);
        snprintf(limit, sizeof(limit), "%u", rd->records_max);
        snprintf(epoch, sizeof(epoch), "%u", epoch_of(rd->from_seq));
        const char *const params[] = {buf_cstr(&keys), from, until, partition, limit, table};
        const char *const place[] = {table, partition, epoch};
        struct store_job *j = &r->stored.job;
        store_job_init(j, NULL, on_stored);
        store_job_step(j, &feed_sql[chat ? FEED_SQL_CHAT_EVENTS : FEED_SQL_NOTIFICATION_EVENTS],
                params, chat ? 5 : 6);
        store_job_step(j, &feed_sql[FEED_SQL_INGESTED], place, ARRAY_LEN(place));
        buf_done(&keys);
        feed_store_submit(r->fd, r->shard, &r->stored, on_gone);
}

static void ask(struct feed_read *r)
{
        if (is_archived(r))
                ask_postgres(r);
        else if (epoch_of(r->rd->from_seq) == r->rd->epoch)
                ask_kafka(r);
        else
                answer_gap(r, r->rd->until_seq);
}

/* ---- fanout's side ---- */

static void read_start(struct feed_shard *fs, struct attach_read *rd)
{
        struct feed_read *r = xcalloc(1, sizeof(*r));
        r->fd = fs->fd;
        r->shard = fs->index;
        r->rd = rd;
        r->until_ms = clock_mono_ms() + (int64_t)fs->fd->o.settings->read_give_up_ms;
        list_init(&r->link);
        rd->reader = r;
        fs->reads_out++;
        ask(r);
}

void tiers_read_old(void *reader, struct attach_read *rd)
{
        struct feed_shard *fs = reader;
        list_push_back(&fs->reads_waiting, &rd->link);
        start_waiting(fs);
}

void tiers_read_cancel(void *reader, struct attach_read *rd)
{
        struct feed_shard *fs = reader;
        struct feed_read *r = rd->reader;
        if (!r) {
                list_remove(&rd->link);
                attach_read_free(rd);
        } else if (r->waiting) {
                release(fs, r);
                attach_read_free(rd);
                start_waiting(fs);
        }
        /* Otherwise it comes back, and finds that nobody listens. */
}

void tiers_tick(struct feed_shard *fs, int64_t now_ms)
{
        struct list due;
        list_init(&due);
        list_for_each_safe(it, &fs->reads_retry)
        {
                struct feed_read *r = list_entry(it, struct feed_read, link);
                if (now_ms < r->again_ms)
                        continue;
                set_waiting(fs, r, false);
                list_push_back(&due, &r->link);
        }
        struct list *node;
        while ((node = list_take(&due)))
                ask(list_entry(node, struct feed_read, link));
        start_waiting(fs);
}

void tiers_done(struct feed_shard *fs)
{
        /* Every subscriber has gone, and its read with it. */
        CHECK(list_empty(&fs->reads_waiting) && list_empty(&fs->reads_retry));
}
