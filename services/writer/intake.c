#include "writer/intake.h"

#include "writer/committer.h"
#include "writer/places.h"

#include "base/clock.h"
#include "bus/consumer.h"
#include "store/db.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define POLL_MS 100
#define FULL_WAIT_MS 200
#define REVOKE_WAIT_MS 3000
#define ABANDON_WAIT_MS 2000
#define GAUGES_MS 500
#define EPOCHS_MS 5000
#define RELOAD_MS 500
#define RESTART_MS 1000
#define FENCED_AGAIN_MS 20000 /* a name is another process's if it is taken twice within this time */
#define LOG_EVERY_MS 10000

struct intake {
        struct intake_options o;
        char *group; /* owned: a new member needs the name long after intake_new() */
        pthread_t thread;
        bool runs;
        atomic_bool stop, assigned, postgres_up;

        pthread_mutex_t lock;    /* guards the next */
        struct consumer *waking; /* borrowed: what the committer wakes; NULL while there is none */

        struct consumer *consumer;   /* owned */
        struct committer *committer; /* owned */
        struct places places;
        struct db *db;         /* owned: for places only; NULL while away */
        struct batch *filling; /* owned */
        struct batch *spare;   /* owned; NULL while the committer has it */
        int64_t oldest_ms;     /* of the batch that the committer has; 0 none */
        bool paused, restart, dead;
        bool outside; /* a place is: see places_skip_lost() */
        int64_t restarted_ms, fenced_ms, gauges_ms, epochs_ms, reload_ms, complained_ms;
        unsigned loop;
        int records_label[TOPIC_COUNT], lag_label[TOPIC_COUNT];
};

/* ---- the connection for questions about places ---- */

static void complain(struct intake *in, const char *event, const char *why)
{
        int64_t now = clock_mono_ms();
        if (in->complained_ms && now - in->complained_ms < LOG_EVERY_MS)
                return;
        in->complained_ms = now;
        log_warn(in->o.log, event, F_STR("error", why));
}

static struct db *connection(struct intake *in)
{
        if (!in->db || !db_alive(in->db)) {
                in->db = db_free(in->db);
                char fault[256];
                const struct db_options o = {.dsn = in->o.dsn,
                        .application = "tern-writer",
                        .connect_ms = in->o.timeout_ms,
                        .statement_ms = in->o.timeout_ms,
                        .stop_fd = -1};
                if (db_connect(&o, &in->db, fault) < 0) {
                        complain(in, "postgres_away", fault);
                        return NULL;
                }
        }
        db_deadline(in->db, clock_mono_ms() + in->o.timeout_ms);
        return in->db;
}

/* ---- batches ---- */

static void commit_to_kafka(struct intake *in, const struct batch *b)
{
        struct consumer_partition *parts = xcalloc(b->part_count + 1, sizeof(*parts));
        size_t n = 0;
        for (size_t i = 0; i < b->part_count; i++) {
                const struct part *p = &b->parts[i];
                struct place *place = places_get(&in->places, p->topic, p->partition);
                if (p->committed < 0 || !place || place->part.assignment != p->assignment)
                        continue;
                place->committed = p->committed;
                parts[n++] = (struct consumer_partition){
                        writer_topics[p->topic], p->partition, p->committed};
        }
        if (n && in->consumer)
                consumer_commit(in->consumer, parts, n);
        free(parts);
}

/* What was read of a partition and not written has to be read again, from where Postgres says. */
static void let_go(struct intake *in, const struct part *p)
{
        struct place *place = places_get(&in->places, p->topic, p->partition);
        if (!place || place->part.assignment != p->assignment || place->state != PLACE_READING)
                return;
        place->state = PLACE_LET_GO;
        in->reload_ms = 0;
        for (size_t i = 0; i < in->filling->part_count; i++) {
                struct part *f = &in->filling->parts[i];
                if (f->topic == p->topic && f->partition == p->partition)
                        f->fenced = true;
        }
        log_warn(in->o.log, "let_go", F_STR("topic", writer_topics[p->topic]),
                F_INT("partition", p->partition), F_INT("epoch", p->epoch),
                F_INT("next", p->after));
}

static void finish(struct intake *in, struct batch *b)
{
        commit_to_kafka(in, b);
        for (size_t i = 0; i < b->part_count; i++)
                if (b->parts[i].fenced ||
                        (b->abandoned && b->parts[i].committed != b->parts[i].after))
                        let_go(in, &b->parts[i]);
        batch_reset(b);
        in->spare = b;
        in->oldest_ms = 0;
}

static bool collect(struct intake *in, int timeout_ms)
{
        struct batch *b = committer_take(in->committer, timeout_ms);
        if (b)
                finish(in, b);
        return b != NULL;
}

static void submit(struct intake *in)
{
        struct batch *b = in->filling;
        for (size_t i = 0; i < b->count && !in->oldest_ms; i++)
                in->oldest_ms = b->items[i].created_ms;
        in->filling = in->spare;
        in->spare = NULL;
        committer_submit(in->committer, b);
}

static bool is_full(const struct intake *in)
{
        return in->filling->count >= in->o.batch_max ||
               batch_bytes(in->filling) >= in->o.batch_bytes_max;
}

static bool is_due(const struct intake *in)
{
        return in->filling->count > 0 &&
               (is_full(in) || clock_mono_ms() - in->filling->opened_ms >= in->o.linger_ms);
}

/* Everything that was read is written, or after wait_ms dropped. The committer is idle afterwards. */
static void settle(struct intake *in, int64_t wait_ms)
{
        int64_t until = clock_mono_ms() + wait_ms;
        while (in->spare == NULL && clock_mono_ms() < until)
                collect(in, (int)(until - clock_mono_ms()));
        if (in->spare && in->filling->count > 0) {
                submit(in);
                while (in->spare == NULL && clock_mono_ms() < until)
                        collect(in, (int)(until - clock_mono_ms()));
        }
        if (in->spare == NULL) {
                committer_abandon(in->committer);
                while (in->spare == NULL)
                        collect(in, ABANDON_WAIT_MS);
        }
        batch_reset(in->filling);
}

/* ---- the group ---- */

static int on_assigned(void *arg, struct consumer_partition *parts, size_t count)
{
        struct intake *in = arg;
        char why[256] = "";
        settle(in, 0);
        struct db *db = connection(in);
        if (!db)
                return -EIO;
        int r = places_assign(&in->places, db, parts, count, why);
        if (r < 0) {
                complain(in, "cannot_begin", why);
                return r;
        }
        in->complained_ms = 0;
        atomic_store(&in->assigned, true);
        log_info(in->o.log, "assigned", F_INT("partitions", count));
        return 0;
}

static void on_revoked(void *arg, const struct consumer_partition *parts, size_t count, bool lost)
{
        struct intake *in = arg;
        UNUSED(parts);
        atomic_store(&in->assigned, false);
        settle(in, lost ? 0 : REVOKE_WAIT_MS);
        places_clear(&in->places);
        log_info(in->o.log, "revoked", F_INT("partitions", count),
                F_STR("lost", lost ? "yes" : "no"));
}

static int join(struct intake *in, char fault[256])
{
        const struct consumer_options o = {
                .group = in->group,
                .instance_id = in->o.instance,
                .topics = writer_topics,
                .topic_count = TOPIC_COUNT,
                .session_timeout_ms = in->o.session_timeout_ms,
                .assigned = on_assigned,
                .revoked = on_revoked,
                .arg = in,
        };
        struct consumer *c = NULL;
        int r = consumer_new(in->o.bus, &o, &c, fault);
        if (r < 0)
                return r;
        in->consumer = c;
        pthread_mutex_lock(&in->lock);
        in->waking = c;
        pthread_mutex_unlock(&in->lock);
        return 0;
}

static void leave(struct intake *in)
{
        pthread_mutex_lock(&in->lock);
        in->waking = NULL;
        pthread_mutex_unlock(&in->lock);
        /* Calls on_revoked(), which commits to it. */
        consumer_free(in->consumer);
        in->consumer = NULL;
        in->paused = false;
        atomic_store(&in->assigned, false);
}

/* Before the partition may become another's, who would be as lost with it. */
static bool skip_lost(struct intake *in)
{
        char why[256] = "";
        settle(in, REVOKE_WAIT_MS);
        struct db *db = connection(in);
        if (db && places_skip_lost(&in->places, db, why) == 0)
                return true;
        if (db)
                complain(in, "cannot_skip", why);
        return false;
}

/* librdkafka seeks nowhere from outside the log: a new member does. */
static void rejoin(struct intake *in)
{
        char fault[256] = "";
        int64_t now = clock_mono_ms();
        if (now - in->restarted_ms < RESTART_MS)
                return;
        in->restarted_ms = now;
        if (in->outside && !skip_lost(in))
                return;
        in->restart = in->outside = false;
        leave(in);
        if (join(in, fault) < 0) {
                complain(in, "cannot_join", fault);
                in->restart = true;
        }
}

static void wake(void *arg)
{
        struct intake *in = arg;
        pthread_mutex_lock(&in->lock);
        if (in->waking)
                consumer_wake(in->waking);
        pthread_mutex_unlock(&in->lock);
}

/* ---- what comes ---- */

static void take_record(struct intake *in, const struct bus_record *r)
{
        enum writer_topic t = writer_topic_of(r->topic);
        struct place *place = places_get(&in->places, t, r->partition);
        /* A record before its place was read a second time after a pause. */
        if (!place || place->state != PLACE_READING || r->offset < place->next)
                return;
        struct batch *b = in->filling;
        if (b->count == 0)
                b->opened_ms = clock_mono_ms();
        batch_add(b, batch_part(b, &place->part), r, place->next, clock_wall_ms());
        place->next = r->offset + 1;
        if (in->records_label[t] >= 0)
                metrics_add(in->o.metrics, M_records_in, (unsigned)in->records_label[t], 1);
}

/* The end may lie beyond the last record: marks of transactions stand there. */
static void take_end(struct intake *in, const struct bus_record *r)
{
        struct place *place = places_get(&in->places, writer_topic_of(r->topic), r->partition);
        if (!place || place->state != PLACE_READING || r->offset <= place->next)
                return;
        struct batch *b = in->filling;
        if (b->count == 0)
                b->opened_ms = clock_mono_ms();
        batch_add_place(b, batch_part(b, &place->part), place->next, r->offset);
        place->next = r->offset;
}

static void take_range(struct intake *in, const struct bus_record *r)
{
        struct place *place = places_get(&in->places, writer_topic_of(r->topic), r->partition);
        if (!place || place->state != PLACE_READING)
                return;
        log_warn(in->o.log, "outside_the_log", F_SLICE("topic", r->topic),
                F_INT("partition", r->partition), F_INT("next", place->next));
        place->state = PLACE_LET_GO;
        place->outside = true;
        in->outside = in->restart = true;
}

/* A commit that waited for its coordinator while the membership was lost is sent without a member id, and Kafka takes
 * that for another process of our name: so the first fence is answered by joining anew. */
static void take_fence(struct intake *in, const char *error)
{
        int64_t now = clock_mono_ms();
        if (in->fenced_ms && now - in->fenced_ms < FENCED_AGAIN_MS) {
                log_error(in->o.log, "fenced_out", F_STR("error", error),
                        F_STR("message", "another process has this TERN_INSTANCE"));
                in->dead = true;
                return;
        }
        in->fenced_ms = now;
        in->restart = true;
        log_warn(in->o.log, "fenced", F_STR("error", error),
                F_STR("message", "joins the group anew"));
}

static void take_event(struct intake *in, const struct consumer_event *e)
{
        switch (e->kind) {
        case CONSUMER_RECORD:
                take_record(in, &e->record);
                break;
        case CONSUMER_EOF:
                take_end(in, &e->record);
                break;
        case CONSUMER_RANGE:
                take_range(in, &e->record);
                break;
        case CONSUMER_ERROR:
                complain(in, "kafka", e->error ? e->error : "");
                break;
        case CONSUMER_DEAD:
                take_fence(in, e->error ? e->error : "");
                break;
        }
}

/* ---- while it runs ---- */

static size_t owned_parts(struct intake *in, struct consumer_partition **ret)
{
        struct consumer_partition *parts = xcalloc(in->places.owned + 1, sizeof(*parts));
        size_t n = 0;
        for (int t = 0; t < TOPIC_COUNT; t++)
                for (size_t i = 0; i < in->places.count[t] && n < in->places.owned; i++)
                        if (in->places.of[t][i].state != PLACE_NOT_OURS)
                                parts[n++] = (struct consumer_partition){
                                        writer_topics[t], (int32_t)i, 0};
        *ret = parts;
        return n;
}

static void set_paused(struct intake *in, bool paused)
{
        if (in->paused == paused)
                return;
        struct consumer_partition *parts = NULL;
        size_t n = owned_parts(in, &parts);
        int r = 0;
        if (n)
                r = paused ? consumer_pause(in->consumer, parts, n)
                           : consumer_resume(in->consumer, parts, n);
        if (r < 0)
                complain(in, paused ? "cannot_pause" : "cannot_resume", strerror(-r));
        in->paused = paused;
        free(parts);
}

static void reload_one(struct intake *in, struct db *db, struct place *place)
{
        int r = places_reload(&in->places, db, place);
        if (r == -ESTALE)
                in->restart = true;
        if (r < 0)
                return;
        const struct consumer_partition to = {
                writer_topics[place->part.topic], place->part.partition, place->next};
        if (consumer_seek(in->consumer, &to) < 0) {
                place->state = PLACE_LET_GO;
                in->restart = true;
        }
}

/* Reads on where partitions were let go. */
static void reload(struct intake *in)
{
        int64_t now = clock_mono_ms();
        if (now - in->reload_ms < RELOAD_MS || in->restart)
                return;
        struct db *db = NULL;
        for (int t = 0; t < TOPIC_COUNT; t++)
                for (size_t i = 0; i < in->places.count[t]; i++) {
                        struct place *place = &in->places.of[t][i];
                        if (place->state != PLACE_LET_GO)
                                continue;
                        in->reload_ms = now;
                        db = db ? db : connection(in);
                        if (!db)
                                return;
                        reload_one(in, db, place);
                }
}

static void set_back(void *arg, struct place *place)
{
        let_go(arg, &place->part);
}

static void watch_epochs(struct intake *in)
{
        int64_t now = clock_mono_ms();
        if (now - in->epochs_ms < EPOCHS_MS || !atomic_load(&in->assigned) ||
                !atomic_load(&in->postgres_up))
                return;
        in->epochs_ms = now;
        struct db *db = connection(in);
        if (db && places_epochs_changed(&in->places, db) == 1) {
                log_info(in->o.log, "new_life", F_STR("message", "a topic has a new epoch"));
                in->restart = true;
        }
        /* While a batch is being committed the places in Postgres may be ahead of what is known here, never behind. */
        if (db && !in->restart && places_set_back(&in->places, db, set_back, in) < 0)
                complain(in, "postgres_away", db_error(db)->text);
}

static void gauges(struct intake *in)
{
        int64_t now = clock_mono_ms();
        if (now - in->gauges_ms < GAUGES_MS)
                return;
        in->gauges_ms = now;
        int64_t all = 0, owned = 0;
        for (int t = 0; t < TOPIC_COUNT; t++) {
                int64_t lag = 0;
                for (size_t i = 0; i < in->places.count[t]; i++) {
                        const struct place *place = &in->places.of[t][i];
                        if (place->state == PLACE_NOT_OURS)
                                continue;
                        int64_t high = consumer_high(in->consumer, writer_topics[t], (int32_t)i);
                        lag += high > place->committed ? high - place->committed : 0;
                        owned++;
                }
                if (in->lag_label[t] >= 0)
                        metrics_set(in->o.metrics, M_bus_lag, (unsigned)in->lag_label[t], lag);
                all += lag;
        }
        metrics_set(in->o.metrics, M_writer_lag, 0, all);
        metrics_set(in->o.metrics, M_writer_partitions, 0, owned);
        int64_t oldest = in->oldest_ms        ? in->oldest_ms
                         : in->filling->count ? in->filling->items[0].created_ms
                                              : 0;
        int64_t age = oldest ? clock_wall_ms() - oldest : 0;
        metrics_set(in->o.metrics, M_writer_lag_seconds, 0, age > 0 ? age : 0);
}

static void poll_once(struct intake *in)
{
        bool full = is_full(in);
        int timeout = POLL_MS;
        if (full && !collect(in, FULL_WAIT_MS))
                set_paused(in, true);
        full = is_full(in);
        if (in->filling->count > 0 && in->spare) {
                int64_t left = in->filling->opened_ms + in->o.linger_ms - clock_mono_ms();
                timeout = left < 0 || full ? 0 : left < POLL_MS ? (int)left : POLL_MS;
        }
        size_t room = full ? 1 : in->o.batch_max - in->filling->count;
        const struct consumer_event *events = NULL;
        if (full && !in->paused)
                return;
        size_t n = consumer_poll(in->consumer, timeout, room, &events);
        for (size_t i = 0; i < n; i++)
                take_event(in, &events[i]);
}

static void *intake_main(void *arg)
{
        struct intake *in = arg;
        while (!atomic_load(&in->stop) && !in->dead) {
                lifecycle_tick(in->o.lifecycle, in->loop, clock_mono_ms());
                if (in->restart || !in->consumer)
                        rejoin(in);
                if (!in->consumer) {
                        collect(in, 0);
                        usleep(POLL_MS * 1000);
                        continue;
                }
                collect(in, 0);
                if (in->spare && is_due(in))
                        submit(in);
                if (in->spare || !is_full(in))
                        set_paused(in, false);
                reload(in);
                watch_epochs(in);
                gauges(in);
                poll_once(in);
        }
        settle(in, in->dead ? 0 : in->o.stop_ms);
        leave(in);
        lifecycle_retire(in->o.lifecycle, in->loop);
        if (in->dead && in->o.died)
                in->o.died(in->o.arg);
        return NULL;
}

/* ---- life ---- */

static int start_committer(struct intake *in)
{
        const struct committer_options o = {
                .dsn = in->o.dsn,
                .connect_ms = in->o.timeout_ms,
                .commit_ms = in->o.commit_timeout_ms,
                .retry_max_ms = in->o.retry_max_ms,
                .batch_max = in->o.batch_max,
                .window_days = in->o.resume_window_days,
                .bus = in->o.bus,
                .metrics = in->o.metrics,
                .log = in->o.log,
                .postgres_up = &in->postgres_up,
                .wake = wake,
                .wake_arg = in,
        };
        return committer_new(&o, &in->committer);
}

int intake_new(const struct intake_options *o, struct intake **ret, char fault[256])
{
        struct intake *in = xcalloc(1, sizeof(*in));
        in->o = *o;
        in->group = xstrdup(o->group);
        in->o.group = NULL;
        in->places = (struct places){.bus = o->bus, .log = o->log};
        in->filling = batch_new();
        in->spare = batch_new();
        in->restarted_ms = -RESTART_MS;
        pthread_mutex_init(&in->lock, NULL);
        for (size_t t = 0; t < TOPIC_COUNT; t++) {
                in->records_label[t] = metrics_label(M_records_in, writer_topics[t]);
                in->lag_label[t] = metrics_label(M_bus_lag, writer_topics[t]);
        }
        int r = start_committer(in);
        if (r < 0)
                snprintf(fault, 256, "no thread");
        else
                r = join(in, fault);
        if (r == 0) {
                in->loop = lifecycle_loop(o->lifecycle, "intake");
                lifecycle_tick(o->lifecycle, in->loop, clock_mono_ms());
                in->runs = pthread_create(&in->thread, NULL, intake_main, in) == 0;
        }
        if (r < 0 || !in->runs) {
                intake_free(in);
                return r < 0 ? r : -EAGAIN;
        }
        *ret = in;
        return 0;
}

void intake_stop(struct intake *in)
{
        if (!in)
                return;
        atomic_store(&in->stop, true);
        wake(in);
        if (in->runs)
                pthread_join(in->thread, NULL);
        else if (in->consumer)
                leave(in);
        in->runs = false;
        in->committer = committer_free(in->committer);
}

struct intake *intake_free(struct intake *in)
{
        if (!in)
                return NULL;
        intake_stop(in);
        places_done(&in->places);
        batch_free(in->filling);
        batch_free(in->spare);
        db_free(in->db);
        pthread_mutex_destroy(&in->lock);
        free(in->group);
        free(in);
        return NULL;
}

const char *intake_not_ready(struct intake *in)
{
        if (!atomic_load(&in->postgres_up))
                return "Postgres is away";
        return atomic_load(&in->assigned) ? NULL : "no partitions are assigned";
}
