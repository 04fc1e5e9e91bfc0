#include "feed/internal.h"

#include "base/clock.h"

#include <stdlib.h>

static void run_again(struct mail *m)
{
        struct feed_shard *fs = container_of(m, struct feed_shard, again);
        fs->again_posted = false;
        fanout_run(fs->fanout, clock_mono_ms());
}

/* In a later turn of the loop, so that sockets and timers get theirs in between. */
static void on_again(void *reader)
{
        struct feed_shard *fs = reader;
        if (!fs->again_posted)
                fs->again_posted = feed_post(fs->fd, fs->index, &fs->again);
}

static int make_fanout(struct feed_shard *fs, const struct fanout_ops *ops, void *app)
{
        struct feed *fd = fs->fd;
        struct fanout_topic *topics = xcalloc(fd->topic_count, sizeof(*topics));
        for (size_t i = 0; i < fd->topic_count; i++) {
                const struct feed_topic *t = &fd->topics[i];
                topics[i] = (struct fanout_topic){.name = t->name,
                        .cursor = t->cursor,
                        .rooms = t->rooms,
                        .all = t->all,
                        .by_key = t->by_key,
                        .room_class = t->room_class,
                        .room_until = t->room_until};
        }
        struct fanout_ops mine = *ops;
        mine.reader = fs;
        mine.read_old = tiers_read_old;
        mine.read_cancel = tiers_read_cancel;
        mine.again = on_again;
        int err = fanout_new(topics, fd->topic_count, &mine, app, &fs->fanout);
        free(topics);
        return err;
}

int feed_shard_new(struct feed *fd, unsigned index, struct mailbox *mailbox,
        const struct fanout_ops *ops, void *app, struct feed_shard **ret)
{
        CHECK(index < fd->shard_count && !fd->ports[index].fs);
        struct feed_shard *fs = xcalloc(1, sizeof(*fs));
        fs->fd = fd;
        fs->index = index;
        list_init(&fs->reads_waiting);
        list_init(&fs->reads_retry);
        list_init(&fs->barriers);
        list_init(&fs->queries);
        list_init(&fs->again.link);
        fs->again.run = run_again;
        int err = make_fanout(fs, ops, app);
        if (err < 0) {
                free(fs);
                return err;
        }
        struct feed_port *port = &fd->ports[index];
        port->fs = fs;
        pthread_mutex_lock(&port->lock);
        port->mailbox = mailbox;
        pthread_mutex_unlock(&port->lock);
        *ret = fs;
        return 0;
}

struct feed_shard *feed_shard_free(struct feed_shard *fs)
{
        if (!fs)
                return NULL;
        struct feed_port *port = &fs->fd->ports[fs->index];
        pthread_mutex_lock(&port->lock);
        port->mailbox = NULL;
        pthread_mutex_unlock(&port->lock);
        port->fs = NULL;
        CHECK(!fs->again_posted ||
                !list_linked(&fs->again.link)); /* the mailbox was run to its end */
        tiers_done(fs);
        barriers_done(fs);
        queries_done(fs);
        fanout_free(fs->fanout);
        free(fs);
        return NULL;
}

struct fanout *feed_fanout(struct feed_shard *fs)
{
        return fs->fanout;
}

static void count_subscribers(struct feed_shard *fs)
{
        static const enum subscriber_state states[] = {
                SUB_LIVE, SUB_CATCHUP, SUB_READING, SUB_LAGGED}; /* as the label's values */
        for (unsigned i = 0; i < ARRAY_LEN(states); i++) {
                int64_t now = fanout_subscribers(fs->fanout, states[i]);
                if (now != fs->shown[i])
                        metrics_add(fs->fd->o.metrics, M_subscribers, i, now - fs->shown[i]);
                fs->shown[i] = now;
        }
}

/* Everything has been written, so one look at the clock tells of the whole batch. */
static void observe_latency(struct feed_shard *fs)
{
        size_t n;
        const int64_t *timestamps = fanout_delivered(fs->fanout, &n);
        int64_t now = n > 0 ? clock_wall_ms() : 0;
        for (size_t i = 0; i < n; i++)
                metrics_observe(
                        fs->fd->o.metrics, M_publish_latency, 0, (now - timestamps[i]) * 1000000);
}

static void count(struct feed_shard *fs)
{
        struct metrics *m = fs->fd->o.metrics;
        struct fanout_stats *st = fanout_stats(fs->fanout);
        static const char *const kinds[] = {"live", "catchup", "volatile"};
        const uint64_t values[] = {st->live, st->catchup, st->volatiles};
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                if (values[i] > 0)
                        metrics_add(m, M_events_out,
                                (unsigned)metrics_label(M_events_out, kinds[i]),
                                (int64_t)values[i]);
        *st = (struct fanout_stats){0};
        count_subscribers(fs);
}

void feed_shard_count(struct feed_shard *fs)
{
        count(fs);
}

void shard_batch(struct feed_shard *fs, const struct feed_batch *b)
{
        struct feed *fd = fs->fd;
        int64_t now = clock_mono_ms();
        if (b->kind == BATCH_LAYOUT) {
                if (fanout_lay_out(fs->fanout, fd->partitions, b->epochs) < 0) {
                        log_error(fd->o.log, "too_many_partitions",
                                F_INT("slots_max", FANOUT_SLOTS_MAX));
                        atomic_store(&fd->failed, true);
                }
                return;
        }
        if (atomic_load(&fd->failed))
                return; /* there is nothing to lay the records on */
        if (b->kind == BATCH_RESTART) {
                fanout_restart(
                        fs->fanout, b->topic, b->epoch, b->positions + fd->flat[b->topic], now);
                return;
        }
        const struct fanout_batch fb = {
                b->records, b->count, b->positions, b->first_pos, b->tail_start};
        fanout_batch(fs->fanout, &fb, now);
        observe_latency(fs);
        count(fs);
        if (b->ready)
                atomic_fetch_add(&fd->shards_ready, 1);
}

void shard_tick(struct feed_shard *fs)
{
        int64_t now = clock_mono_ms();
        barriers_tick(fs, now);
        queries_tick(fs, now);
        tiers_tick(fs, now);
        count(fs);
}
