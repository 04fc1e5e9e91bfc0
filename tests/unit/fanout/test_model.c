/*
 * fanout against a model: thousands of seeded worlds in which records, gateways and clients do what they may
 * do in any order. Clients join, leave, lag, drain, die in the middle of callbacks, and come back on other
 * gateways with the last cursor they saw. Every event that reaches a client must be the next of its room
 * that the log has for it, and every cursor must say exactly what the client has had.
 */
#include "model_client.h"

/* ---- connections ---- */

static void go_away(struct client *c)
{
        if (!c->shard)
                return;
        subscriber_done(c->shard->f, &c->conn->sub);
        free(c->conn);
        c->conn = NULL;
        c->dropped = msg_unref(c->dropped);
        outbox_done(&c->outbox);
        c->want_drain = false;
        c->shard = NULL;
        for (int class_ = 0; class_ < CLASSES; class_++)
                for (int key = 0; key < KEYS; key++) {
                        c->holding[class_][key] = NULL;
                        if (c->seats[class_][key].follow == JOINING)
                                c->seats[class_][key].follow =
                                        NOT; /* its session was never written */
                }
}

/* Somebody dies in the middle of a callback: this client (then true), or another one of the shard. */
static bool may_die(struct client *c)
{
        struct sim *sim = c->sim;
        if (!sim->faults)
                return false;
        struct client *other = &sim->clients[roll(sim->w, CLIENTS)];
        if (other != c && other->shard == c->shard && roll(sim->w, 30) == 0) {
                seen.deaths++;
                go_away(other);
        }
        if (roll(sim->w, 150) != 0)
                return false;
        seen.deaths++;
        go_away(c);
        return true;
}

static void come(struct client *c, struct shard *sh)
{
        c->shard = sh;
        c->conn = calloc(1, sizeof(*c->conn));
        c->conn->client = c;
        subscriber_init(&c->conn->sub, (uint8_t)(c->id % 3));
        for (int class_ = 0; class_ < CLASSES; class_++)
                for (int key = 0; key < KEYS; key++) {
                        struct seat *seat = &c->seats[class_][key];
                        if (seat->follow == NOT)
                                continue;
                        char text[32];
                        size_t n = key_text(EVENTS, key, text);
                        int64_t start = place_of(c->cursor[seat_slot(class_, key)]);
                        if (start < seat->from)
                                start = seat->from;
                        struct subscription *sn = subscriber_join(sh->f, &c->conn->sub,
                                class_topic(class_), slice_of(text, n), seat->from, false);
                        sn->muted = seat->loose ? false
                                                : world_muted(c->sim->w, class_topic(class_), key,
                                                          seat->from, start);
                        if (!seat->loose)
                                assert_int_equal(sn->muted, seat->muted);
                }
        if (c->has_cursor) {
                seen.resumes++;
                subscriber_attach_seqs(sh->f, &c->conn->sub, c->cursor, sh->gw->now_ms);
                return;
        }
        subscriber_attach_now(sh->f, &c->conn->sub);
        assert_true(subscriber_stale(sh->f, &c->conn->sub, 1000, sh->gw->now_ms));
        struct slice text = subscriber_cursor(sh->f, &c->conn->sub, sh->gw->now_ms);
        receive_cursor(c, (const int64_t *)(const void *)text.p);
}

static void join(struct client *c, int class_, int key)
{
        struct seat *seat = &c->seats[class_][key];
        if (seat->follow != NOT)
                return;
        char text[32];
        size_t n = key_text(EVENTS, key, text);
        struct subscription *sn = subscriber_join(
                c->shard->f, &c->conn->sub, class_topic(class_), slice_of(text, n), 0, true);
        *seat = (struct seat){.follow = JOINING, .from = sn->from_seq, .at = sn->from_seq};
        c->holding[class_][key] = sn;
}

static void release(struct client *c, int class_, int key)
{
        struct seat *seat = &c->seats[class_][key];
        if (seat->follow != JOINING)
                return;
        seat->follow = FOLLOWED;
        struct subscription *sn = c->holding[class_][key];
        c->holding[class_][key] = NULL;
        subscriber_release(c->shard->f, sn);
}

static void leave(struct client *c, int class_, int key)
{
        char text[32];
        size_t n = key_text(EVENTS, key, text);
        struct subscription *sn =
                subscriber_find(&c->conn->sub, class_topic(class_), slice_of(text, n));
        assert_int_equal(sn != NULL, c->seats[class_][key].follow != NOT);
        if (!sn)
                return;
        c->seats[class_][key].follow = NOT;
        c->holding[class_][key] = NULL;
        subscriber_leave(c->shard->f, sn);
}

static void drain_if_low(struct client *c)
{
        if (!c->shard || c->dropped || !c->want_drain || c->outbox.bytes > CATCHUP_MAX / 2)
                return;
        c->want_drain = false;
        subscriber_drained(c->shard->f, &c->conn->sub, c->shard->gw->now_ms);
}

/* The socket takes up to max messages, and the client reads them. */
static void read_some(struct client *c, unsigned max)
{
        struct msg *m;
        while (c->shard && max-- > 0 && (m = outbox_peek(&c->outbox, 0))) {
                const struct entry *e;
                int64_t cursor[SLOTS];
                memcpy(&e, m->bytes, sizeof(e));
                memcpy(cursor, m->bytes + sizeof(e), sizeof(cursor));
                outbox_wrote(&c->outbox, m->ws_n - c->outbox.front_off);
                receive(c, e, cursor);
        }
        m = outbox_peek(&c->outbox, 0);
        if (m && c->outbox.front_off == 0 && chance(c->sim->w, 20))
                outbox_wrote(&c->outbox, 5); /* half a frame is on its way: it may not be dropped */
        drain_if_low(c);
}

/* ---- callbacks ---- */

static struct msg *on_frame(
        void *app, const struct record *r, unsigned variant, struct slice cursor, bool own)
{
        UNUSED(app);
        UNUSED(variant);
        UNUSED(own);
        const struct entry *e = record_entry(r);
        if (e->kind == INVALID)
                return NULL;
        assert_int_equal(cursor.n, SLOTS * sizeof(int64_t));
        struct msg *m = msg_new(sizeof(e) + cursor.n);
        memcpy(m->bytes, &e, sizeof(e));
        memcpy(m->bytes + sizeof(e), cursor.p, cursor.n);
        m->ws_n = (uint32_t)(sizeof(e) + cursor.n);
        return m;
}

static size_t on_cursor(void *app, const struct subscriber *sub, const uint32_t *epochs,
        const int64_t *offsets, char *dst)
{
        UNUSED(app);
        UNUSED(sub);
        for (int i = 0; i < SLOTS; i++) {
                assert_true(i == 0 || i == PARTS || epochs[i] == epochs[i - 1]);
                int64_t seq = ((int64_t)epochs[i] << SEQ_EPOCH_SHIFT) + offsets[i];
                memcpy(dst + (size_t)i * sizeof(seq), &seq, sizeof(seq));
        }
        return SLOTS * sizeof(int64_t);
}

static enum fanout_verdict on_verdict(void *app, struct subscription *sn, const struct record *r)
{
        UNUSED(app);
        struct client *c = client_of(sn->sub);
        const struct entry *e = record_entry(r);
        if (may_die(c))
                return FANOUT_DELIVER;
        if (e->kind == SKIPPED && c->id % 2)
                return FANOUT_SKIP;
        return e->kind == MUTE     ? FANOUT_DELIVER_AND_MUTE
               : e->kind == UNMUTE ? FANOUT_DELIVER_AND_UNMUTE
                                   : FANOUT_DELIVER;
}

/* The events in the outbox are lost; fanout hears of it now or a little later. */
static void drop_outbox(struct client *c)
{
        struct msg *first = outbox_drop_events(&c->outbox);
        seen.lags += first != NULL;
        c->want_drain = true;
        if (first && chance(c->sim->w, 30) && !c->dropped) {
                c->dropped = first;
                return;
        }
        if (!c->dropped)
                subscriber_lagged(c->shard->f, &c->conn->sub, first);
        msg_unref(first);
}

static void tell_of_drop(struct client *c)
{
        if (!c->shard || !c->dropped)
                return;
        struct msg *first = c->dropped;
        c->dropped = NULL;
        subscriber_lagged(c->shard->f, &c->conn->sub, first);
        msg_unref(first);
}

static int on_push(void *app, struct subscriber *s, struct msg *m, bool catchup)
{
        UNUSED(app);
        struct client *c = client_of(s);
        const struct entry *e;
        memcpy(&e, m->bytes, sizeof(e));
        assert_int_not_equal(c->seats[e->topic == NOTES][e->key].follow, JOINING);
        if (may_die(c))
                return -ENOBUFS;
        assert_true(!c->dropped || s->state == SUB_LIVE || catchup);
        if (c->dropped || (catchup && chance(c->sim->w, 1))) {
                c->want_drain = true;
                return -ENOBUFS;
        }
        if (catchup && c->outbox.bytes > CATCHUP_MAX) {
                c->want_drain = true;
                return -EAGAIN;
        }
        if (c->outbox.bytes + m->ws_n > OUTBOX_MAX) {
                drop_outbox(c);
                return -ENOBUFS;
        }
        outbox_push(&c->outbox, m);
        return 0;
}

static void on_flush(void *app, struct subscriber *s)
{
        UNUSED(app);
        struct client *c = client_of(s);
        tell_of_drop(c);
        if (c->shard && chance(c->sim->w, 10))
                read_some(c, roll(c->sim->w, 20)); /* a socket that takes everything at once */
}

static void on_read_old(void *app, struct attach_read *rd)
{
        struct shard *sh = app;
        struct world *w = sh->gw->w;
        assert_true(rd->from_seq < rd->until_seq && rd->key_count > 0);
        seen.pages++;
        if (chance(w, 20)) {
                read_answer(sh, rd);
                return;
        }
        assert_true(sh->read_count < READS_MAX);
        sh->reads[sh->read_count++] = rd;
}

static void on_read_cancel(void *app, struct attach_read *rd)
{
        struct shard *sh = app;
        assert_null(rd->sub);
        if (chance(sh->gw->w, 50))
                return; /* it is answered all the same */
        for (size_t i = 0; i < sh->read_count; i++)
                if (sh->reads[i] == rd)
                        sh->reads[i] = sh->reads[--sh->read_count];
        attach_read_free(rd);
}

static void on_again(void *app)
{
        ((struct shard *)app)->again = true;
}

static void on_live(void *app, struct subscriber *s, enum fanout_tier tier, int64_t took_ms)
{
        UNUSED(app);
        UNUSED(tier);
        assert_true(took_ms >= 0);
        seen.lives++;
        seen.ahead += s->own != NULL;
        may_die(client_of(s));
}

static void on_gap(void *app, struct subscriber *s, int32_t slot, int64_t from_seq, int64_t to_seq)
{
        UNUSED(app);
        struct client *c = client_of(s);
        assert_true(from_seq < to_seq);
        seen.gaps++;
        for (int class_ = 0; class_ < CLASSES; class_++)
                for (int key = 0; key < KEYS; key++)
                        if (seat_slot(class_, key) == slot)
                                c->seats[class_][key].loose = true;
        may_die(c);
}

static void on_record(void *app, const struct record *r)
{
        UNUSED(app);
        assert_int_equal(r->topic, SIGNALS);
        assert_int_equal(r->flags, 0);
}

static const struct fanout_ops ops = {
        .frame = on_frame,
        .cursor = on_cursor,
        .verdict = on_verdict,
        .push = on_push,
        .flush = on_flush,
        .record = on_record,
        .read_old = on_read_old,
        .read_cancel = on_read_cancel,
        .again = on_again,
        .live = on_live,
        .gap = on_gap,
};

/* ---- waiters ---- */

struct waiter {
        struct fanout_wait wait;
        struct shard *shard;
        uint16_t topic, partition;
};

static void on_passed(struct fanout_wait *fw, int64_t original)
{
        struct waiter *wt = container_of(fw, struct waiter, wait);
        struct gateway *g = wt->shard->gw;
        if (original >= 0) {
                assert_true(fanout_position(wt->shard->f, wt->topic, wt->partition) > fw->offset);
                const struct part *p = &g->w->parts[wt->topic][fanout_epoch(
                        wt->shard->f, wt->topic)][wt->partition];
                for (size_t i = 0; i < p->count; i++)
                        if (p->items[i]->offset == fw->offset)
                                assert_int_equal(p->items[i]->original, original);
        }
        seen.waits++;
        free(wt);
}

static void wait_somewhere(struct sim *sim, struct shard *sh)
{
        struct world *w = sim->w;
        struct waiter *wt = calloc(1, sizeof(*wt));
        wt->shard = sh;
        wt->topic = (uint16_t)roll(w, TOPICS);
        wt->partition = (uint16_t)roll(w, model_topics[wt->topic].partitions);
        wt->wait.passed = on_passed;
        int64_t position = fanout_position(sh->f, wt->topic, wt->partition);
        fanout_wait_passed(sh->f, wt->topic, wt->partition,
                position > 5 ? position - 5 + roll(w, 15) : roll(w, 15), &wt->wait);
}

/* ---- one world ---- */

static struct shard *any_shard(struct sim *sim)
{
        return &sim->gateways[roll(sim->w, GATEWAYS)]->shards[roll(sim->w, SHARDS)];
}

static void answer_one(struct sim *sim, struct shard *sh, bool gaps)
{
        if (sh->read_count == 0)
                return;
        size_t i = roll(sim->w, (uint32_t)sh->read_count);
        struct attach_read *rd = sh->reads[i];
        sh->reads[i] = sh->reads[--sh->read_count];
        if (gaps && roll(sim->w, 12) == 0)
                fanout_read_gap(sh->f, rd, rd->from_seq + 1 + roll(sim->w, 30), sh->gw->now_ms);
        else
                read_answer(sh, rd);
}

static void restart_gateway(struct sim *sim, unsigned i)
{
        struct gateway *g = sim->gateways[i];
        for (int k = 0; k < CLIENTS; k++)
                if (sim->clients[k].shard && sim->clients[k].shard->gw == g)
                        go_away(&sim->clients[k]);
        for (int k = 0; k < SHARDS; k++) { /* the waiters are the test's own */
                struct fanout *f = g->shards[k].f;
                for (uint16_t t = 0; t < TOPICS; t++) {
                        int64_t starts[PARTS] = {0};
                        fanout_restart(f, t, fanout_epoch(f, t), starts, g->now_ms);
                }
        }
        gateway_stop(g);
        sim->gateways[i] = gateway_start(sim->w, &ops, NULL);
}

static void bump_epoch(struct sim *sim)
{
        uint16_t topic = chance(sim->w, 70) ? EVENTS : NOTES;
        if (sim->w->epoch[topic] + 1 < EPOCHS_MAX) {
                sim->w->epoch[topic]++;
                seen.epochs++;
        }
}

static void client_step(struct sim *sim, struct client *c)
{
        struct world *w = sim->w;
        int class_ = (int)roll(w, CLASSES), key = (int)roll(w, KEYS);
        uint32_t dice = roll(w, 100);
        if (!c->shard) {
                if (dice < 30)
                        come(c, any_shard(sim));
        } else if (dice < 30) {
                read_some(c, 1 + roll(w, 25));
        } else if (dice < 55) {
                join(c, class_, key);
        } else if (dice < 85) {
                for (key = 0; key < KEYS && c->shard; key++)
                        release(c, class_, key);
        } else if (dice < 87) {
                leave(c, class_, key);
        } else if (dice < 91) {
                go_away(c);
        } else if (dice < 92) {
                drop_outbox(c); /* its transport changed, say */
                tell_of_drop(c);
        } else if (dice < 94 && c->outbox.count == 0) {
                struct slice text =
                        subscriber_cursor(c->shard->f, &c->conn->sub, c->shard->gw->now_ms);
                if (text.n > 0)
                        receive_cursor(c, (const int64_t *)(const void *)text.p);
        }
}

static void step(struct sim *sim)
{
        struct world *w = sim->w;
        struct shard *sh = any_shard(sim);
        uint32_t dice = roll(w, 1000);
        sh->gw->now_ms += roll(w, 50);
        if (sh->again) {
                sh->again = false;
                fanout_run(sh->f, sh->gw->now_ms);
        }
        if (dice < 250)
                for (uint32_t n = 1 + roll(w, 6); n > 0; n--)
                        world_produce(w, (uint16_t)roll(w, TOPICS));
        else if (dice < 420)
                gateway_poll(sh->gw, roll(w, 12));
        else if (dice < 620)
                shard_process(sh);
        else if (dice < 900)
                client_step(sim, &sim->clients[roll(w, CLIENTS)]);
        else if (dice < 970)
                answer_one(sim, sh, true);
        else if (dice < 985)
                wait_somewhere(sim, sh);
        else if (dice < 987)
                bump_epoch(sim);
        else if (dice < 995)
                gateway_notice_epoch(sh->gw, (uint16_t)roll(w, TOPICS));
        else if (dice < 997)
                restart_gateway(sim, roll(w, GATEWAYS));
}

static void settle_shard(struct sim *sim, struct shard *sh)
{
        for (int n = 0; n < 4; n++)
                gateway_poll(sh->gw, 60);
        while (shard_process(&sh->gw->shards[0]) || shard_process(&sh->gw->shards[1]))
                continue;
        while (sh->read_count > 0)
                answer_one(sim, sh, false);
        fanout_run(sh->f, sh->gw->now_ms);
}

/* Everything comes to rest: nobody may be owed anything. */
static void settle(struct sim *sim)
{
        sim->faults = false;
        for (int round = 0; round < 60; round++) {
                for (int g = 0; g < GATEWAYS; g++) {
                        for (uint16_t t = 0; t < TOPICS; t++)
                                gateway_notice_epoch(sim->gateways[g], t);
                        for (int i = 0; i < SHARDS; i++)
                                settle_shard(sim, &sim->gateways[g]->shards[i]);
                }
                for (int i = 0; i < CLIENTS; i++) {
                        struct client *c = &sim->clients[i];
                        if (!c->shard)
                                come(c, any_shard(sim));
                        for (int k = 0; k < CLASSES * KEYS; k++)
                                release(c, k / KEYS, k % KEYS);
                        read_some(c, 100000);
                }
        }
        for (int i = 0; i < CLIENTS; i++) {
                struct client *c = &sim->clients[i];
                assert_int_equal(c->conn->sub.state, SUB_LIVE);
                for (int class_ = 0; class_ < CLASSES; class_++)
                        for (int key = 0; key < KEYS; key++)
                                if (c->seats[class_][key].follow == FOLLOWED &&
                                        !c->seats[class_][key].loose)
                                        assert_null(owed(c, class_, key));
        }
}

static void run_world(uint64_t seed)
{
        static struct sim sim;
        sim = (struct sim){.w = world_new(seed), .faults = seed % 2 == 0};
        for (int i = 0; i < 30; i++)
                world_produce(sim.w, (uint16_t)roll(sim.w, TOPICS));
        for (int i = 0; i < GATEWAYS; i++)
                sim.gateways[i] = gateway_start(sim.w, &ops, NULL);
        for (int i = 0; i < CLIENTS; i++) {
                sim.clients[i].sim = &sim;
                sim.clients[i].id = i;
                outbox_init(&sim.clients[i].outbox);
        }
        for (int i = 0; i < STEPS; i++)
                step(&sim);
        settle(&sim);
        for (unsigned i = 0; i < GATEWAYS; i++) {
                restart_gateway(&sim, i);
                gateway_stop(sim.gateways[i]);
        }
        world_free(sim.w);
}

static void every_event_reaches_every_follower_exactly_once_in_order(void **state)
{
        UNUSED(state);
        const char *one = getenv("SEED"), *many = getenv("SEEDS");
        uint64_t count = many ? strtoull(many, NULL, 10) : 400;
        uint64_t first = one ? strtoull(one, NULL, 10) : 1;
        for (uint64_t seed = first; seed < (one ? first + 1 : first + count); seed++) {
                if (one || getenv("VERBOSE"))
                        print_message("seed %llu\n", (unsigned long long)seed);
                run_world(seed);
        }
        print_message("events %llu volatile %llu lags %llu pages %llu gaps %llu lives %llu ahead "
                      "%llu resumes %llu deaths %llu waits %llu epochs %llu\n",
                (unsigned long long)seen.events, (unsigned long long)seen.volatiles,
                (unsigned long long)seen.lags, (unsigned long long)seen.pages,
                (unsigned long long)seen.gaps, (unsigned long long)seen.lives,
                (unsigned long long)seen.ahead, (unsigned long long)seen.resumes,
                (unsigned long long)seen.deaths, (unsigned long long)seen.waits,
                (unsigned long long)seen.epochs);
        if (one)
                return;
        /* The worlds are rich enough to mean something. */
        assert_true(seen.lags > count && seen.pages > count && seen.ahead > count &&
                    seen.resumes > count && seen.deaths > count / 2);
        assert_true(seen.volatiles > count && seen.waits > count && seen.epochs > count &&
                    seen.gaps > count / 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_event_reaches_every_follower_exactly_once_in_order),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
