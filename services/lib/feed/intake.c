/*
 * The bus thread: one consumer for all topics. Each turn takes what Kafka has, up to a bound, copies it into the
 * tail, and posts one batch to every shard.
 */
#include "feed/internal.h"

#include "base/clock.h"
#include "proto/event.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define POLL_RECORDS_MAX 1000
#define SLABS_BY_AGE 8 /* the tail leaves in at least so many pieces */
#define RETRY_MS 1000  /* looking where a topic's log went on */
#define ASK_MS 2000
#define COMPLAIN_MS 10000 /* the same complaint is not repeated sooner */
#define LAG_MS 1000
#define SWEEP_MS 1000

void feed_intake_complain(
        struct feed_intake *in, const char *what, const char *topic, const char *why)
{
        int64_t now = clock_mono_ms();
        size_t at = 0;
        for (size_t i = 0; i < COMPLAINTS_MAX; i++) {
                bool same = in->complaints[i].what && strcmp(in->complaints[i].what, what) == 0 &&
                            strcmp(in->complaints[i].topic, topic) == 0;
                if (same && now - in->complaints[i].ms < COMPLAIN_MS)
                        return;
                if (same || in->complaints[i].ms < in->complaints[at].ms)
                        at = i;
                if (same)
                        break;
        }
        in->complaints[at].what = what;
        in->complaints[at].topic = topic;
        in->complaints[at].ms = now;
        log_warn(in->fd->o.log, what, F_STR("topic", topic), F_STR("reason", why));
}

/* Those that wait for time to pass; now and then all, for their counters. */
static void tick_shards(struct feed *fd, bool all)
{
        for (unsigned i = 0; i < fd->shard_count; i++) {
                struct feed_port *port = &fd->ports[i];
                if ((!all && atomic_load(&port->timed) == 0) ||
                        atomic_exchange(&port->tick_posted, true))
                        continue;
                if (!feed_post(fd, i, &port->tick))
                        atomic_store(&port->tick_posted, false);
        }
}

/* SIGSTOP stops the thread but not the monotonic clock; a sleeping host stops both, and the wall clock tells. */
static void notice_pause(struct feed_intake *in, int64_t mono_ms, int64_t wall_ms)
{
        int64_t mono = mono_ms - in->loop_mono_ms, wall = wall_ms - in->loop_wall_ms;
        int64_t gone = mono > wall ? mono : wall;
        if (!in->ready_posted || gone <= (int64_t)in->fd->o.settings->pause_max_ms)
                return;
        log_warn(in->fd->o.log, "paused", F_INT("ms", gone));
        if (in->fd->o.on_pause)
                in->fd->o.on_pause(in->fd->o.pause_arg, gone);
}

void feed_intake_tick(struct feed_intake *in)
{
        int64_t now = clock_mono_ms(), wall = clock_wall_ms();
        notice_pause(in, now, wall);
        in->loop_mono_ms = now;
        in->loop_wall_ms = wall;
        if (now - in->ticked_ms < TICK_MS)
                return;
        in->ticked_ms = now;
        if (in->fd->o.lifecycle)
                lifecycle_tick(in->fd->o.lifecycle, in->loop_no, now);
        bool all = now - in->swept_ms >= SWEEP_MS;
        if (all)
                in->swept_ms = now;
        tick_shards(in->fd, all);
}

/* ---- a record ---- */

static struct feed_batch *batch_at_hand(struct feed_intake *in)
{
        if (!in->batch)
                in->batch = feed_batch_new(in->fd, BATCH_RECORDS);
        return in->batch;
}

static int find_topic(const struct feed_intake *in, struct slice name)
{
        for (size_t i = 0; i < in->fd->topic_count; i++)
                if (slice_is(name, in->fd->topics[i].name))
                        return (int)i;
        return -1;
}

static void skipped(struct feed_intake *in, int label)
{
        if (label >= 0)
                metrics_add(in->fd->o.metrics, M_records_skipped, (unsigned)label, 1);
}

/* Offset of the first record with this one's id; its own if it is the first. */
static int64_t first_offset(
        struct feed_intake *in, struct partition_state *ps, const struct bus_record *r)
{
        const struct feed_settings *s = in->fd->o.settings;
        struct slice id = in->envelope.id;
        if (id.n == 0)
                return r->offset;
        int64_t at = r->timestamp_ms >= 0 ? r->timestamp_ms : clock_wall_ms();
        in->dedupe_total -= dedupe_count(&ps->dedupe);
        int64_t first = dedupe_seen(&ps->dedupe, id, r->offset, at, s->dedupe_window_ms);
        while (in->dedupe_total + dedupe_count(&ps->dedupe) > s->dedupe_entries_max &&
                dedupe_count(&ps->dedupe) > 1)
                dedupe_forget_oldest(&ps->dedupe);
        in->dedupe_total += dedupe_count(&ps->dedupe);
        if (first >= 0 && envelope_replaces(r, first))
                first = -1;
        return first >= 0 ? first : r->offset;
}

static struct record *keep(struct feed_intake *in, uint16_t topic, const struct bus_record *r,
        bool passing, bool with_value)
{
        const struct feed_settings *s = in->fd->o.settings;
        size_t n = envelope_bytes(&in->envelope, with_value);
        struct feed_batch *b = batch_at_hand(in);
        int64_t age = (int64_t)s->tail_fill_ms + s->dedupe_window_ms;
        struct record *dst = passing ? slab_add(&b->passing, n)
                                     : tail_add(&in->tail, n, in->last_pos + 1, in->loop_mono_ms,
                                               age / SLABS_BY_AGE);
        envelope_write(&in->envelope, r, in->topics[topic].epoch, with_value, dst);
        dst->topic = topic;
        dst->pos = ++in->last_pos;
        feed_batch_add(b, dst, record_size(n));
        return dst;
}

static int32_t slot_of(const struct feed *fd, uint16_t topic, int32_t partition)
{
        int32_t slot = 0;
        for (uint16_t i = 0; i < topic; i++)
                slot += fd->topics[i].cursor ? fd->partitions[i] : 0;
        return fd->topics[topic].cursor ? slot + partition : -1;
}

/* The log's epochs are announced in access. */
static void look_for_epoch(struct feed_intake *in, const struct record *r)
{
        struct event e;
        struct event_error err;
        if (!slice_is(record_type(r), event_type_name(EVENT_EPOCH)) ||
                event_parse(SLICE_LIT("access"), record_type(r), record_id(r), record_key(r),
                        record_value(r), &e, &err) < 0)
                return;
        int topic = e.topic ? find_topic(in, slice_str(e.topic)) : -1;
        if (topic >= 0 && e.epoch > in->topics[topic].epoch) {
                in->topics[topic].announced = (uint32_t)e.epoch;
                in->topics[topic].troubled = true;
                in->topics[topic].try_ms = 0;
        }
        event_done(&e);
}

static void take_record(struct feed_intake *in, uint16_t topic, struct partition_state *ps,
        const struct bus_record *r)
{
        struct feed *fd = in->fd;
        const struct feed_topic *t = &fd->topics[topic];
        in->topics[topic].taken++;
        ps->position = r->offset + 1;
        if (envelope_read(&in->envelope, t, fd->partitions[topic], r) < 0) {
                skipped(in, in->skip_invalid);
                return;
        }
        int64_t first = t->dedupe && !in->envelope.foreign ? first_offset(in, ps, r) : r->offset;
        if (r->timestamp_ms >= 0 && r->timestamp_ms < ps->tail_from_ms) {
                ps->tail_start = ps->position;
                batch_at_hand(in);
                return;
        }
        bool hidden = in->envelope.foreign || first != r->offset;
        bool kept = !hidden && feed_topic_is_kept(t);
        struct record *dst = keep(in, topic, r, !kept, !hidden);
        dst->slot = slot_of(fd, topic, r->partition);
        if (!feed_topic_is_kept(t))
                ps->tail_start = ps->position;
        if (in->envelope.foreign) {
                dst->flags |= RECORD_FOREIGN;
                skipped(in, in->skip_partition);
        } else if (hidden) {
                dst->flags |= RECORD_DUPLICATE;
                dst->original_offset = first;
                skipped(in, in->skip_duplicate);
                metrics_add(fd->o.metrics, M_dedupe_hits, 0, 1);
        } else if (feed_topic_is_linked(t)) {
                dst->prev = tail_index_put(&in->index, dst, in->first_pos);
                dst->prev_pos = dst->prev ? dst->prev->pos : 0;
        }
        if (t->from_start && !hidden)
                look_for_epoch(in, dst);
}

static void take_event(struct feed_intake *in, const struct consumer_event *ev)
{
        struct feed *fd = in->fd;
        const struct bus_record *r = &ev->record;
        if (ev->kind == CONSUMER_ERROR || ev->kind == CONSUMER_DEAD) {
                feed_intake_complain(in, "consumer", "", ev->error ? ev->error : "");
                return;
        }
        int topic = find_topic(in, r->topic);
        if (topic < 0 || r->partition < 0 || r->partition >= fd->partitions[topic])
                return;
        struct partition_state *ps = &in->parts[fd->flat[topic] + (size_t)r->partition];
        if (ev->kind == CONSUMER_RANGE) {
                in->topics[topic].troubled = true;
        } else if (ev->kind == CONSUMER_EOF) {
                ps->reached = true;
                if (r->offset > ps->position) {
                        ps->position = r->offset;
                        batch_at_hand(in);
                }
        } else if (r->offset >= ps->position) {
                take_record(in, (uint16_t)topic, ps, r);
                ps->reached = ps->reached || ps->position >= ps->high_at_start;
        }
}

/* ---- the tail's old end ---- */

static void evict(struct feed_intake *in)
{
        struct feed *fd = in->fd;
        const struct feed_settings *s = fd->o.settings;
        int64_t oldest = in->loop_mono_ms - (int64_t)s->tail_fill_ms - s->dedupe_window_ms;
        struct slab *slab;
        while ((slab = tail_evict(&in->tail, s->tail_bytes_max, oldest))) {
                const struct record *r;
                for (size_t at = 0; (r = slab_next(slab, &at));) {
                        struct partition_state *ps = &in->parts[fd->flat[r->topic] + r->partition];
                        if (r->epoch == in->topics[r->topic].epoch && r->offset >= ps->tail_start)
                                ps->tail_start = r->offset + 1;
                }
                in->first_pos = slab->last_pos + 1;
                struct feed_batch *b = batch_at_hand(in);
                slab->next = b->evicted;
                b->evicted = slab;
        }
        atomic_store(&fd->tail_bytes, (int64_t)in->tail.bytes);
        metrics_set(fd->o.metrics, M_memory_used, MEMORY_TAIL, (int64_t)in->tail.bytes);
        metrics_set(fd->o.metrics, M_entries_used, ENTRIES_DEDUPE_IDS, (int64_t)in->dedupe_total);
}

/* ---- a topic's log goes on elsewhere ---- */

static void partition_restart(
        struct feed_intake *in, struct partition_state *ps, int64_t start, bool anew)
{
        ps->position = ps->tail_start = start;
        ps->tail_from_ms = 0;
        if (!anew)
                return; /* ids that were seen before the hole still count */
        in->dedupe_total -= dedupe_count(&ps->dedupe);
        dedupe_done(&ps->dedupe);
}

static void post_pending(struct feed_intake *in)
{
        struct feed_batch *b = in->batch;
        in->batch = NULL;
        if (b)
                feed_batch_post(in, b);
}

/* Reads each partition from starts on, where they differ from its position or the epoch is a new one. */
static int topic_restart(
        struct feed_intake *in, uint16_t topic, uint32_t epoch, const int64_t *starts)
{
        struct feed *fd = in->fd;
        uint16_t count = fd->partitions[topic], moved = 0;
        bool anew = epoch != in->topics[topic].epoch;
        struct partition_state *ps = &in->parts[fd->flat[topic]];
        struct consumer_partition *parts = xcalloc(count, sizeof(*parts));
        for (uint16_t p = 0; p < count; p++)
                if (anew || starts[p] != ps[p].position)
                        parts[moved++] =
                                (struct consumer_partition){fd->topics[topic].name, p, starts[p]};
        /* All at once: a record may not be taken for one of the wrong epoch. */
        int err = consumer_assign(in->consumer, parts, moved);
        for (uint16_t i = 0; err == 0 && i < moved; i++)
                partition_restart(in, &ps[parts[i].partition], parts[i].offset, anew);
        free(parts);
        if (err < 0)
                return err;
        in->topics[topic].epoch = epoch;
        struct feed_batch *b = feed_batch_new(fd, BATCH_RESTART);
        b->topic = topic;
        b->epoch = epoch;
        feed_batch_post(in, b);
        log_warn(fd->o.log, "log_restarted", F_STR("topic", fd->topics[topic].name),
                F_INT("epoch", epoch));
        return 0;
}

/* Where each partition goes on. 0, or -EAGAIN: nobody knows yet. */
static int find_starts(struct feed_intake *in, uint16_t topic, bool anew, int64_t *starts)
{
        struct feed *fd = in->fd;
        const char *name = fd->topics[topic].name;
        for (uint16_t p = 0; p < fd->partitions[topic]; p++) {
                int64_t low = 0, high = 0, position = in->parts[fd->flat[topic] + p].position;
                if (bus_watermarks(fd->o.bus, name, p, ASK_MS, &low, &high) < 0)
                        return -EAGAIN;
                feed_intake_tick(in);
                if (!anew && position > high) {
                        feed_intake_complain(in, "log_went_back", name,
                                "its end lies before what was read: if the topic was made anew, "
                                "ternctl topics create must register it");
                        return -EAGAIN;
                }
                starts[p] = anew || position < low ? low : position;
        }
        return 0;
}

static int try_restart(struct feed_intake *in, uint16_t topic)
{
        struct feed *fd = in->fd;
        struct topic_intake *ti = &in->topics[topic];
        uint32_t epoch = ti->epoch, partitions = 0;
        (void)!feed_intake_stored_epoch(in, topic, &epoch);
        if (epoch < ti->announced)
                epoch = ti->announced;
        if (epoch < ti->epoch)
                epoch = ti->epoch;
        if (bus_partitions(fd->o.bus, fd->topics[topic].name, ASK_MS, &partitions) < 0)
                return -EAGAIN;
        if (partitions != fd->partitions[topic]) {
                /* Slots, cursors and every shard's tables are laid out for the old number. */
                log_error(fd->o.log, "partition_count_changed",
                        F_STR("topic", fd->topics[topic].name), F_INT("partitions", partitions));
                atomic_store(&fd->failed, true);
                kill(getpid(), SIGTERM);
                return 0;
        }
        int64_t *starts = xcalloc(partitions, sizeof(*starts));
        int err = find_starts(in, topic, epoch != ti->epoch, starts);
        if (err == 0)
                err = topic_restart(in, topic, epoch, starts);
        free(starts);
        return err;
}

static void tend_troubled(struct feed_intake *in)
{
        for (size_t i = 0; i < in->fd->topic_count; i++) {
                struct topic_intake *ti = &in->topics[i];
                if (!ti->troubled || in->loop_mono_ms < ti->try_ms)
                        continue;
                if (try_restart(in, (uint16_t)i) == 0)
                        ti->troubled = false;
                else
                        ti->try_ms = in->loop_mono_ms + RETRY_MS;
        }
}

/* ---- the loop ---- */

static void count(struct feed_intake *in)
{
        struct feed *fd = in->fd;
        for (size_t i = 0; i < fd->topic_count; i++) {
                struct topic_intake *ti = &in->topics[i];
                if (ti->taken > 0 && ti->in_label >= 0)
                        metrics_add(fd->o.metrics, M_records_in, (unsigned)ti->in_label, ti->taken);
                ti->taken = 0;
        }
        if (in->loop_mono_ms - in->lag_ms < LAG_MS)
                return;
        in->lag_ms = in->loop_mono_ms;
        for (size_t i = 0; i < fd->topic_count; i++) {
                int64_t lag = 0;
                for (uint16_t p = 0; p < fd->partitions[i]; p++) {
                        int64_t high = consumer_high(in->consumer, fd->topics[i].name, p),
                                position = in->parts[fd->flat[i] + p].position;
                        lag += high > position ? high - position : 0;
                }
                if (in->topics[i].in_label >= 0)
                        metrics_set(
                                fd->o.metrics, M_bus_lag, (unsigned)in->topics[i].in_label, lag);
        }
}

static bool all_reached(const struct feed_intake *in)
{
        for (size_t i = 0; i < in->fd->flat_count; i++)
                if (!in->parts[i].reached)
                        return false;
        return true;
}

static void turn(struct feed_intake *in)
{
        const struct consumer_event *ev;
        feed_intake_tick(in);
        size_t n = consumer_poll(in->consumer, TICK_MS, POLL_RECORDS_MAX, &ev);
        feed_intake_tick(in); /* a pause is noticed before anything that was read is shown */
        for (size_t i = 0; i < n; i++)
                take_event(in, &ev[i]);
        evict(in);
        if (!in->ready_posted && all_reached(in)) {
                in->ready_posted = true;
                batch_at_hand(in)->ready = true;
        }
        post_pending(in);
        tend_troubled(in);
        count(in);
}

static void intake_init(struct feed_intake *in, struct feed *fd)
{
        in->fd = fd;
        in->topics = xcalloc(fd->topic_count, sizeof(*in->topics));
        for (size_t i = 0; i < fd->topic_count; i++)
                in->topics[i].in_label = metrics_label(M_records_in, fd->topics[i].name);
        in->envelope = ENVELOPE_EMPTY;
        in->first_pos = 1;
        in->loop_mono_ms = clock_mono_ms();
        in->loop_wall_ms = clock_wall_ms();
        in->skip_duplicate = metrics_label(M_records_skipped, "duplicate");
        in->skip_partition = metrics_label(M_records_skipped, "partition");
        in->skip_invalid = metrics_label(M_records_skipped, "invalid");
        if (fd->o.lifecycle)
                in->loop_no = lifecycle_loop(fd->o.lifecycle, "bus");
}

static void intake_done(struct feed_intake *in)
{
        struct feed *fd = in->fd;
        if (fd->o.lifecycle)
                lifecycle_retire(fd->o.lifecycle, in->loop_no);
        in->consumer = consumer_free(in->consumer);
        for (size_t i = 0; in->parts && i < fd->flat_count; i++)
                dedupe_done(&in->parts[i].dedupe);
        free(in->parts);
        free(in->topics);
        envelope_done(&in->envelope);
        tail_index_done(&in->index);
}

void feed_intake_free(struct feed_intake *in)
{
        if (!in)
                return;
        if (in->batch) {
                atomic_store(&in->batch->refs, 1);
                feed_batch_unref(in->batch);
        }
        tail_done(&in->tail);
        free(in);
}

void *feed_intake_main(void *arg)
{
        struct feed *fd = arg;
        struct feed_intake *in = xcalloc(1, sizeof(*in));
        pthread_setname_np(pthread_self(), "bus");
        intake_init(in, fd);
        if (feed_intake_setup(in) == 0) {
                batch_at_hand(in); /* the first positions */
                post_pending(in);
                while (!atomic_load(&fd->stopping))
                        turn(in);
        }
        intake_done(in);
        /* The shards read the tail itself until they have gone: feed_free() releases it. */
        fd->intake = in;
        return NULL;
}
