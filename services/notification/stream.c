#include "notification/stream.h"

#include "notification_sql.h"

#include "admin/admin.h"
#include "auth/revocations.h"
#include "base/address.h"
#include "base/clock.h"
#include "base/quota.h"
#include "wire/cursor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPIRY_WARNING_MS 60000

enum { RESUME_RECOVERED, RESUME_UNKNOWN_SESSION }; /* values of M_resumes' label */

struct stream *stream_new(struct gateway *gw, struct slice user, struct slice topics)
{
        struct stream *st = xcalloc(1, sizeof(*st));
        st->gw = gw;
        st->user = slice_dup(user);
        st->topics = slice_dup(topics);
        list_init(&st->in_gateway);
        return st;
}

static struct slice address_of(const struct stream *st)
{
        return slice_of((const char *)st->address, st->address_n);
}

static void uncount(struct stream *st)
{
        struct app *app = st->gw->app;
        (void)tally_add(app->users, slice_str(st->user), -1);
        (void)tally_add(app->addresses, address_of(st), -1);
        st->counted = false;
}

bool stream_count(struct stream *st, struct slice client_addr)
{
        enum { USER_CONNECTIONS = 0, ADDRESS_CONNECTIONS = 5 }; /* values of M_limited's label */
        struct app *app = st->gw->app;
        const struct notification_settings *s = &app->settings;
        st->address_n = (uint8_t)address_key(client_addr, st->address);
        uint32_t users = tally_add(app->users, slice_str(st->user), 1);
        uint32_t addresses = tally_add(app->addresses, address_of(st), 1);
        st->counted = true;
        bool user_full = s->user_connections_max && users > s->user_connections_max;
        if (!user_full && (!s->address_connections_max || addresses <= s->address_connections_max))
                return true;
        metrics_add(app->metrics, M_limited, user_full ? USER_CONNECTIONS : ADDRESS_CONNECTIONS, 1);
        uncount(st);
        return false;
}

struct stream *stream_free(struct stream *st)
{
        if (!st)
                return NULL;
        if (st->counted)
                uncount(st);
        free(st->user);
        free(st->topics);
        free(st);
        return NULL;
}

void stream_set_cursor(struct stream *st, struct slice text)
{
        if (cursor_sse_parse(text, st->epoch, st->offset) == 0)
                st->start = START_CURSOR;
        else
                st->unknown_cursor = true;
}

static void send_event(struct stream *st, struct slice event, struct slice id, struct slice data)
{
        struct msg *m = es_frame(event, id, data);
        if (es_push(st->es, m, false) == 0)
                es_flush(st->es);
        msg_unref(m);
}

void stream_gap(struct stream *st, const char *topic, int64_t from_seq, int64_t to_seq)
{
        char data[160];
        int n = snprintf(data, sizeof(data), "{\"topic\":\"%s\",\"fromSeq\":%lld,\"toSeq\":%lld}",
                topic, (long long)from_seq, (long long)to_seq);
        send_event(st, SLICE_LIT("gap"), SLICE_NONE, slice_of(data, (size_t)n));
}

void stream_send_id(struct stream *st)
{
        struct slice raw = subscriber_cursor(st->gw->fanout, &st->sub, gateway_now(st->gw));
        if (raw.n == 0)
                return;
        char id[SSE_ID_TEXT];
        size_t n = gateway_sse_id(st->gw, st->sub.variant, raw, id);
        struct msg *m = es_frame(SLICE_NONE, slice_of(id, n), SLICE_NONE);
        m->flags = MSG_VOLATILE;
        if (es_push(st->es, m, false) == 0)
                es_flush(st->es);
        msg_unref(m);
}

void stream_close(struct stream *st, int reason)
{
        if (st->es)
                es_close(st->es, reason);
}

/* ---- the token's end ---- */

static void expiring(struct shard *sh, struct shard_timer *t)
{
        struct stream *st = container_of(t, struct stream, expiry);
        int64_t left = st->expires_ms - clock_wall_ms();
        if (st->warned || left <= 0) {
                stream_close(st, ES_CLOSE_TOKEN);
                return;
        }
        st->warned = true;
        char data[64];
        int n = snprintf(data, sizeof(data), "{\"expiresInMs\":%lld}", (long long)left);
        send_event(st, SLICE_LIT("token_expiring"), SLICE_NONE, slice_of(data, (size_t)n));
        shard_timer_set(sh, t, left);
}

static void arm_expiry(struct stream *st)
{
        shard_timer_init(&st->expiry, expiring);
        if (st->expires_ms == 0)
                return;
        int64_t left = st->expires_ms - clock_wall_ms();
        int64_t warn_in = left - EXPIRY_WARNING_MS;
        shard_timer_set(st->gw->shard, &st->expiry, warn_in > 0 ? warn_in : 1);
}

/* ---- the attach ---- */

static void follow(struct stream *st)
{
        struct fanout *f = st->gw->fanout;
        subscriber_join(f, &st->sub, TOPIC_NOTIFICATIONS, slice_str(st->user), 0, false);
        subscriber_join(f, &st->sub, TOPIC_BROADCASTS, SLICE_LIT("all"), 0, false);
        struct slice rest = slice_str(st->topics), name;
        while (config_list_next(&rest, &name)) {
                char key[192];
                int n = snprintf(key, sizeof(key), "topic:%.*s", SLICE_ARG(name));
                subscriber_join(f, &st->sub, TOPIC_BROADCASTS, slice_of(key, (size_t)n), 0, false);
        }
}

/* The next seq of a partition. */
static int64_t here(const struct stream *st, uint16_t topic, uint16_t partition)
{
        const struct fanout *f = st->gw->fanout;
        return ((int64_t)fanout_epoch(f, topic) << SEQ_EPOCH_SHIFT) +
               fanout_position(f, topic, partition);
}

static void attach_now(struct stream *st)
{
        subscriber_attach_now(st->gw->fanout, &st->sub);
        stream_send_id(st);
}

/* seq: of the user's partition of notifications, and of broadcasts. */
static void attach_at(struct stream *st, const int64_t seq[2])
{
        struct fanout *f = st->gw->fanout;
        uint16_t count = feed_partitions(st->gw->app->feed, TOPIC_NOTIFICATIONS);
        int64_t seqs[FANOUT_SLOTS_MAX];
        /* Slots that the stream does not touch begin at the present end. */
        for (uint16_t p = 0; p < count; p++)
                seqs[fanout_slot(f, TOPIC_NOTIFICATIONS, p)] = here(st, TOPIC_NOTIFICATIONS, p);
        seqs[fanout_slot(f, TOPIC_NOTIFICATIONS, st->sub.variant)] = seq[0];
        seqs[fanout_slot(f, TOPIC_BROADCASTS, 0)] = seq[1];
        subscriber_attach_seqs(f, &st->sub, seqs, gateway_now(st->gw));
}

/* ---- ?since= ---- */

/* First seq of the tail's records of a room at or after the time; not above at_most. */
static int64_t since_in_tail(
        const struct stream *st, uint16_t topic, struct slice key, int64_t at_most)
{
        const struct fanout *f = st->gw->fanout;
        int64_t seq = at_most;
        const struct record *r = fanout_newest(f, topic, key);
        for (; r && r->timestamp_ms >= st->since_ms; r = fanout_prev(f, r))
                seq = record_seq(r) < seq ? record_seq(r) : seq;
        return seq;
}

static void since_in_tails(struct stream *st, int64_t seq[2])
{
        seq[0] = here(st, TOPIC_NOTIFICATIONS, st->sub.variant);
        seq[1] = here(st, TOPIC_BROADCASTS, 0);
        list_for_each(it, &st->sub.rooms)
        {
                const struct subscription *sn = list_entry(it, struct subscription, in_sub);
                uint16_t topic = subscription_topic(sn);
                int64_t *first = &seq[topic == TOPIC_BROADCASTS];
                *first = since_in_tail(st, topic, subscription_key(sn), *first);
        }
}

/* The archive knows the older ones; what it does not know yet has to be in the tail. */
static void since_found(void *arg, int err, const struct feed_rows *rows)
{
        struct stream *st = arg;
        st->query = NULL;
        int64_t seq[2];
        since_in_tails(st, seq);
        bool whole = err == 0 && rows->rows == 1 && rows->columns == 3;
        for (size_t i = 0; whole && i < 2; i++) {
                const char *text = rows->values[i];
                int64_t stored = text ? strtoll(text, NULL, 10) : seq[i];
                seq[i] = stored < seq[i] ? stored : seq[i];
        }
        int64_t ingested = whole && rows->values[2] ? strtoll(rows->values[2], NULL, 10) : 0;
        if (!whole)
                stream_gap(st, "notifications", 0, seq[0]);
        if (ingested < fanout_tail_start(st->gw->fanout, TOPIC_BROADCASTS, 0))
                stream_gap(st, "broadcasts", 0, seq[1]);
        attach_at(st, seq);
}

static void find_since(struct stream *st)
{
        char since[24], epoch[16];
        snprintf(since, sizeof(since), "%lld", (long long)st->since_ms);
        snprintf(epoch, sizeof(epoch), "%u", fanout_epoch(st->gw->fanout, TOPIC_BROADCASTS));
        const char *params[] = {st->user, since, epoch};
        st->query = feed_query(st->gw->feed, TOPIC_NOTIFICATIONS, slice_str(st->user),
                &notification_sql[NOTIFICATION_SQL_SINCE], params, ARRAY_LEN(params), since_found,
                st);
}

/* ---- es_ops ---- */

static void on_opened(void *app, struct es_stream *es, void *user)
{
        struct gateway *gw = app;
        struct stream *st = user;
        st->es = es;
        st->number = ++gw->opened;
        st->opened_ms = clock_wall_ms();
        list_push_back(&gw->streams, &st->in_gateway);
        subscriber_init(&st->sub, (uint8_t)gateway_partition_of(gw->app, slice_str(st->user)));
        arm_expiry(st);
        if (revocations_void(gw->app->revocations, slice_str(st->user), st->issued_ms)) {
                stream_close(st, ES_CLOSE_TOKEN);
                return;
        }
        follow(st);
        if (st->unknown_cursor) {
                metrics_add(gw->app->metrics, M_resumes, RESUME_UNKNOWN_SESSION, 1);
                stream_gap(st, "notifications", 0, 0);
        }
        if (st->start == START_CURSOR) {
                metrics_add(gw->app->metrics, M_resumes, RESUME_RECOVERED, 1);
                const int64_t seq[2] = {
                        ((int64_t)st->epoch[0] << SEQ_EPOCH_SHIFT) + st->offset[0],
                        ((int64_t)st->epoch[1] << SEQ_EPOCH_SHIFT) + st->offset[1],
                };
                attach_at(st, seq);
        } else if (st->start == START_SINCE) {
                find_since(st);
        } else {
                attach_now(st);
        }
}

static void on_closed(void *app, struct es_stream *es, void *user, int reason)
{
        UNUSED(es);
        UNUSED(reason);
        struct gateway *gw = app;
        struct stream *st = user;
        st->es = NULL;
        /* A stream that never opened has nothing to give back to the shard. */
        if (list_linked(&st->in_gateway)) {
                if (st->query)
                        feed_query_cancel(st->query);
                shard_timer_stop(gw->shard, &st->expiry);
                subscriber_done(gw->fanout, &st->sub);
                if (gw->sweep_at == &st->in_gateway)
                        gw->sweep_at = st->in_gateway.next;
                admin_scans_leave(&gw->scans, &st->in_gateway);
                list_remove(&st->in_gateway);
        }
        stream_free(st);
}

static void on_drained(void *app, struct es_stream *es, void *user)
{
        struct gateway *gw = app;
        struct stream *st = user;
        subscriber_drained(gw->fanout, &st->sub, gateway_now(gw));
        es_flush(es);
}

static void on_dropped(void *app, struct es_stream *es, void *user, const struct msg *first)
{
        UNUSED(es);
        struct gateway *gw = app;
        struct stream *st = user;
        metrics_add(gw->app->metrics, M_outbox_drops, 0, 1);
        if (first)
                subscriber_lagged(gw->fanout, &st->sub, first);
}

const struct es_ops stream_ops = {
        .opened = on_opened,
        .closed = on_closed,
        .drained = on_drained,
        .dropped = on_dropped,
};

void stream_refresh(struct stream *st, int64_t now_ms)
{
        if (subscriber_stale(
                    st->gw->fanout, &st->sub, st->gw->app->feed_settings.tail_fill_ms, now_ms))
                stream_send_id(st);
}
