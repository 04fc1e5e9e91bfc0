#include "feed/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

#define FREE_WAIT_MS 10000 /* for jobs that Postgres still holds; they run two seconds at most */

const struct config_row feed_settings_rows[] = {
#define CONFIG(type, field, ...) CONFIG_ROW(struct feed_settings, type, field, __VA_ARGS__)
#include "feed/settings.def"
};
const size_t feed_settings_count = ARRAY_LEN(feed_settings_rows);

bool feed_topic_is_kept(const struct feed_topic *t)
{
        return t->cursor || t->by_key;
}

bool feed_topic_is_linked(const struct feed_topic *t)
{
        return t->by_key || (t->cursor && t->rooms);
}

/* ---- ports ---- */

static void run_tick(struct mail *m)
{
        struct feed_port *port = container_of(m, struct feed_port, tick);
        atomic_store(&port->tick_posted, false);
        if (port->fs)
                shard_tick(port->fs);
}

static void port_init(struct feed *fd, unsigned index)
{
        struct feed_port *port = &fd->ports[index];
        pthread_mutex_init(&port->lock, NULL);
        list_init(&port->tick.link);
        port->tick.run = run_tick;
        port->fd = fd;
        port->index = index;
}

bool feed_post(struct feed *fd, unsigned shard, struct mail *m)
{
        struct feed_port *port = &fd->ports[shard];
        pthread_mutex_lock(&port->lock);
        bool posted = port->mailbox && mailbox_post(port->mailbox, m);
        pthread_mutex_unlock(&port->lock);
        return posted;
}

/* ---- store jobs ---- */

/* On the store's thread, which thinks that nobody has a mailbox: its mail goes on to the shard. */
static void run_stored(struct mail *m)
{
        struct feed_store_job *j = container_of(m, struct feed_store_job, job.mail);
        struct feed *fd = j->fd;
        m->run = j->run;
        list_init(&m->link);
        if (!feed_post(fd, j->shard, m)) {
                store_job_done(&j->job);
                j->gone(j);
        }
        atomic_fetch_sub(&fd->outstanding, 1);
}

void feed_store_submit(struct feed *fd, unsigned shard, struct feed_store_job *j,
        void (*gone)(struct feed_store_job *j))
{
        j->fd = fd;
        j->shard = shard;
        j->gone = gone;
        j->run = j->job.mail.run;
        j->job.mail.run = run_stored;
        atomic_fetch_add(&fd->outstanding, 1);
        store_submit(fd->o.store, &j->job);
}

/* ---- life ---- */

/* Batches are shared by the shards, so this is what they would be if each had its own. */
static int64_t behind(void *arg)
{
        struct feed *fd = arg;
        int64_t bytes = 0;
        for (unsigned i = 0; i < fd->shard_count; i++)
                bytes += atomic_load_explicit(&fd->ports[i].behind, memory_order_relaxed);
        return bytes;
}

int feed_new(const struct feed_options *o, unsigned shard_count, struct feed **ret)
{
        if (o->topic_count == 0 || o->topic_count >= UINT16_MAX || shard_count == 0 ||
                shard_count > SHARDS_MAX)
                return -EINVAL;
        struct feed *fd = xcalloc(1, sizeof(*fd));
        fd->o = *o;
        fd->topic_count = o->topic_count;
        fd->topics = xcalloc(o->topic_count, sizeof(*fd->topics));
        memcpy(fd->topics, o->topics, o->topic_count * sizeof(*fd->topics));
        fd->shard_count = shard_count;
        fd->ports = xcalloc(shard_count, sizeof(*fd->ports));
        for (unsigned i = 0; i < shard_count; i++)
                port_init(fd, i);
        fd->partitions = xcalloc(o->topic_count, sizeof(*fd->partitions));
        fd->flat = xcalloc(o->topic_count, sizeof(*fd->flat));
        pthread_mutex_init(&fd->credit_lock, NULL);
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&fd->credit_given, &attr);
        pthread_condattr_destroy(&attr);
        metrics_memory_limit(o->metrics, MEMORY_TAIL, (int64_t)o->settings->tail_bytes_max);
        metrics_memory_limit(
                o->metrics, MEMORY_BATCHES, (int64_t)o->settings->shard_credit_bytes * shard_count);
        metrics_entries_limit(o->metrics, ENTRIES_DEDUPE_IDS, o->settings->dedupe_entries_max);
        metrics_gauge_fn(o->metrics, M_memory_used, MEMORY_BATCHES, behind, fd);
        *ret = fd;
        return 0;
}

int feed_start(struct feed *fd)
{
        CHECK(!fd->started);
        int err = asker_new(fd, &fd->asker);
        if (err == 0)
                err = seekers_new(fd, &fd->seekers);
        if (err < 0)
                return err;
        if (pthread_create(&fd->bus_thread, NULL, feed_intake_main, fd) != 0)
                return -EAGAIN;
        fd->started = true;
        return 0;
}

void feed_stop(struct feed *fd)
{
        atomic_store(&fd->stopping, true);
        pthread_cond_broadcast(&fd->credit_given);
        if (fd->started)
                pthread_join(fd->bus_thread, NULL);
        fd->started = false;
        asker_stop(fd->asker);
        seekers_stop(fd->seekers);
}

struct feed *feed_free(struct feed *fd)
{
        if (!fd)
                return NULL;
        feed_stop(fd);
        metrics_gauge_fn(fd->o.metrics, M_memory_used, MEMORY_BATCHES, NULL, NULL);
        int64_t until = clock_mono_ms() + FREE_WAIT_MS;
        while (atomic_load(&fd->outstanding) > 0) {
                if (clock_mono_ms() > until)
                        return NULL; /* Postgres holds a job for ever: better to leak than to touch what is freed */
                nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
        asker_free(fd->asker);
        seekers_free(fd->seekers);
        feed_intake_free(fd->intake);
        for (unsigned i = 0; i < fd->shard_count; i++) {
                CHECK(!fd->ports[i].fs);
                pthread_mutex_destroy(&fd->ports[i].lock);
        }
        pthread_cond_destroy(&fd->credit_given);
        pthread_mutex_destroy(&fd->credit_lock);
        free(fd->flat);
        free(fd->partitions);
        free(fd->ports);
        free(fd->topics);
        free(fd);
        return NULL;
}

/* ---- looking ---- */

bool feed_ready(const struct feed *fd)
{
        return atomic_load(&fd->shards_ready) == fd->shard_count && !atomic_load(&fd->failed);
}

uint16_t feed_topic_index(const struct feed *fd, const char *name)
{
        for (size_t i = 0; i < fd->topic_count; i++)
                if (strcmp(fd->topics[i].name, name) == 0)
                        return (uint16_t)i;
        CHECK(!"no such topic in the feed's table");
        return 0;
}

uint16_t feed_partitions(const struct feed *fd, uint16_t topic)
{
        CHECK(topic < fd->topic_count && fd->partitions[topic] > 0);
        return fd->partitions[topic];
}
