/*
 * What the bus thread must know before it reads: partitions, the log's epochs, and where to begin.
 */
#include "feed/internal.h"

#include "base/clock.h"
#include "feed_sql.h"
#include "proto/event.h"

#include <errno.h>
#include <stdlib.h>

#define ASK_MS 2000     /* one question to Kafka */
#define AGAIN_MS 500    /* between attempts */
#define ACCESS_MS 10000 /* reading the access topic for epochs */
#define EPOCH_FIRST 1

static bool stopping(const struct feed_intake *in)
{
        return atomic_load(&in->fd->stopping);
}

static void pause_between_attempts(struct feed_intake *in)
{
        for (int waited = 0; waited < AGAIN_MS && !stopping(in); waited += TICK_MS) {
                nanosleep(&(struct timespec){.tv_nsec = TICK_MS * 1000000}, NULL);
                feed_intake_tick(in);
        }
}

/* ---- partitions ---- */

static const char *why(int err)
{
        return err == -ENOENT      ? "the topic does not exist (ternctl topics create)"
               : err == -ETIMEDOUT ? "Kafka does not answer"
                                   : "Kafka refuses";
}

static int find_partitions(struct feed_intake *in)
{
        struct feed *fd = in->fd;
        fd->flat_count = 0;
        for (size_t i = 0; i < fd->topic_count; i++) {
                uint32_t n = 0;
                feed_intake_tick(in);
                int err = bus_partitions(fd->o.bus, fd->topics[i].name, ASK_MS, &n);
                if (err == 0 && n > UINT16_MAX)
                        err = -EINVAL;
                if (err < 0) {
                        feed_intake_complain(in, "topic_unknown", fd->topics[i].name, why(err));
                        return err;
                }
                fd->partitions[i] = (uint16_t)n;
                fd->flat[i] = fd->flat_count;
                fd->flat_count += n;
        }
        return 0;
}

/* ---- epochs ---- */

static int stored_epochs(struct feed_intake *in, uint32_t *epochs)
{
        struct feed *fd = in->fd;
        if (!fd->o.store)
                return -EIO;
        struct store_job j;
        store_job_init(&j, NULL, NULL);
        store_job_step(&j, &feed_sql[FEED_SQL_EPOCHS], NULL, 0);
        int err = store_run(fd->o.store, &j);
        for (size_t row = 0; err == 0 && row < j.step[0].result.rows; row++) {
                const char *const *v = &j.step[0].result.values[row * j.step[0].result.columns];
                for (size_t i = 0; i < fd->topic_count; i++)
                        if (v[0] && v[1] && strcmp(fd->topics[i].name, v[0]) == 0)
                                epochs[i] = (uint32_t)strtoul(v[1], NULL, 10);
        }
        store_job_done(&j);
        return err < 0 ? -EIO : 0;
}

int feed_intake_stored_epoch(struct feed_intake *in, uint16_t topic, uint32_t *ret)
{
        uint32_t *epochs = xcalloc(in->fd->topic_count, sizeof(*epochs));
        int err = stored_epochs(in, epochs);
        if (err == 0 && epochs[topic] > 0)
                *ret = epochs[topic];
        free(epochs);
        return err;
}

static void note_epoch(struct feed_intake *in, const struct bus_record *r, uint32_t *epochs)
{
        struct event e;
        struct event_error err;
        if (!r->value.p || event_parse(r->topic, bus_record_header(r, "ce_type"),
                                   bus_record_header(r, "ce_id"), r->key, r->value, &e, &err) < 0)
                return;
        for (size_t i = 0; e.type == EVENT_EPOCH && i < in->fd->topic_count; i++)
                if (e.topic && strcmp(in->fd->topics[i].name, e.topic) == 0 && e.epoch > epochs[i])
                        epochs[i] = (uint32_t)e.epoch;
        event_done(&e);
}

/* Postgres is away: what the compacted access topic says of epochs. */
static int announced_epochs(struct feed_intake *in, uint32_t *epochs)
{
        struct consumer *c = NULL;
        struct consumer_options o = {0};
        char fault[256];
        if (consumer_new(in->fd->o.bus, &o, &c, fault) < 0)
                return -EIO;
        const struct consumer_partition all = {"access", 0, CONSUMER_BEGINNING};
        int err = consumer_assign(c, &all, 1) < 0 ? -EIO : -ETIMEDOUT;
        int64_t until = clock_mono_ms() + ACCESS_MS;
        while (err == -ETIMEDOUT && !stopping(in) && clock_mono_ms() < until) {
                const struct consumer_event *ev;
                size_t n = consumer_poll(c, TICK_MS, 100, &ev);
                for (size_t i = 0; i < n; i++) {
                        if (ev[i].kind == CONSUMER_RECORD)
                                note_epoch(in, &ev[i].record, epochs);
                        else if (ev[i].kind == CONSUMER_EOF)
                                err = 0;
                }
                feed_intake_tick(in);
        }
        consumer_free(c);
        return err;
}

static int find_epochs(struct feed_intake *in, uint32_t *epochs)
{
        struct feed *fd = in->fd;
        memset(epochs, 0, fd->topic_count * sizeof(*epochs));
        int err = stored_epochs(in, epochs);
        if (err < 0) {
                feed_intake_complain(in, "postgres_away", "access",
                        "the log's epochs are taken from the access topic");
                err = announced_epochs(in, epochs);
        }
        for (size_t i = 0; i < fd->topic_count; i++) {
                epochs[i] = epochs[i] ? epochs[i] : EPOCH_FIRST;
                in->topics[i].epoch = epochs[i];
        }
        return err;
}

/* ---- where to begin ---- */

static int begin_partition(struct feed_intake *in, size_t topic, uint16_t p, int64_t high)
{
        struct feed *fd = in->fd;
        const struct feed_topic *t = &fd->topics[topic];
        struct partition_state *ps = &in->parts[fd->flat[topic] + p];
        const struct feed_settings *s = fd->o.settings;
        int64_t from = high, tail_from_ms = 0;
        int err = 0;
        if (t->from_start) {
                err = bus_watermarks(fd->o.bus, t->name, p, ASK_MS, &from, NULL);
        } else if (t->fill) {
                /* Whether the tail's first records are duplicates is told by the window before it. */
                tail_from_ms = clock_wall_ms() - s->tail_fill_ms - s->dedupe_window_ms;
                int64_t from_ms = tail_from_ms - (t->dedupe ? s->dedupe_window_ms : 0);
                err = bus_offset_for_time(fd->o.bus, t->name, p, from_ms, ASK_MS, &from);
        }
        if (err < 0)
                return err;
        /* The end moved on while it was asked for: what came meanwhile is read, that is all. */
        ps->position = ps->tail_start = from;
        ps->tail_from_ms = t->dedupe ? tail_from_ms : 0;
        ps->high_at_start = high;
        ps->reached = from >= high;
        return 0;
}

static int find_offsets(struct feed_intake *in)
{
        struct feed *fd = in->fd;
        for (size_t i = 0; i < fd->topic_count; i++) {
                int64_t *highs = xcalloc(fd->partitions[i], sizeof(*highs));
                int err =
                        bus_highs(fd->o.bus, fd->topics[i].name, fd->partitions[i], ASK_MS, highs);
                for (uint16_t p = 0; err == 0 && p < fd->partitions[i]; p++) {
                        feed_intake_tick(in);
                        err = stopping(in) ? -ECANCELED : begin_partition(in, i, p, highs[p]);
                }
                free(highs);
                if (err < 0) {
                        feed_intake_complain(in, "offsets_unknown", fd->topics[i].name, why(err));
                        return err;
                }
        }
        return 0;
}

static int assign_all(struct feed_intake *in)
{
        struct feed *fd = in->fd;
        struct consumer_options o = {0};
        char fault[256];
        int err = consumer_new(fd->o.bus, &o, &in->consumer, fault);
        if (err < 0) {
                feed_intake_complain(in, "consumer", "", fault);
                return err;
        }
        struct consumer_partition *parts = xcalloc(fd->flat_count, sizeof(*parts));
        for (size_t i = 0; i < fd->topic_count; i++)
                for (uint16_t p = 0; p < fd->partitions[i]; p++)
                        parts[fd->flat[i] + p] = (struct consumer_partition){
                                fd->topics[i].name, p, in->parts[fd->flat[i] + p].position};
        err = consumer_assign(in->consumer, parts, fd->flat_count);
        free(parts);
        return err;
}

static int attempt(struct feed_intake *in, uint32_t *epochs)
{
        int err = find_partitions(in);
        if (err == 0)
                err = find_epochs(in, epochs);
        if (err < 0)
                return err;
        free(in->parts);
        in->parts = xcalloc(in->fd->flat_count, sizeof(*in->parts));
        err = find_offsets(in);
        if (err == 0)
                err = assign_all(in);
        if (err < 0)
                in->consumer = consumer_free(in->consumer);
        return err;
}

int feed_intake_setup(struct feed_intake *in)
{
        struct feed *fd = in->fd;
        uint32_t *epochs = xcalloc(fd->topic_count, sizeof(*epochs));
        while (!stopping(in) && attempt(in, epochs) < 0)
                pause_between_attempts(in);
        if (stopping(in)) {
                free(epochs);
                return -ECANCELED;
        }
        struct feed_batch *layout = feed_batch_new(fd, BATCH_LAYOUT);
        layout->epochs = epochs;
        feed_batch_post(in, layout);
        return 0;
}
