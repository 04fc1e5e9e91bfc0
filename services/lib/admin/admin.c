#include "admin/internal.h"

#include "base/clock.h"
#include "bus/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define POLL_MS 250
#define FDS_MAX (1 + JOB_FDS * (JOBS_RUNNING_MAX + READS_RUNNING_MAX))

/* ---- what is said ---- */

void admin_say(struct admin *a, enum event_type type, const char *to_instance, const char *ask,
        const char *data_json)
{
        char at[CLOCK_ISO_TEXT], id[UUID_TEXT];
        struct buf key = BUF_EMPTY, source = BUF_EMPTY, value = BUF_EMPTY, texts = BUF_EMPTY;
        int64_t now = clock_wall_ms();
        clock_iso(now, at);
        uuid_v7(now, id);
        /* struct event holds mutable texts because its parser shares them; the encoder only reads. */
        buf_add(&texts, a->o.instance, strlen(a->o.instance) + 1);
        size_t ask_at = texts.n, data_at = ask_at + strlen(ask) + 1;
        buf_add(&texts, ask, strlen(ask) + 1);
        buf_add(&texts, data_json, strlen(data_json) + 1);
        const struct event e = {.type = type,
                .gateway = texts.p,
                .ack_token = ask[0] ? texts.p + ask_at : NULL,
                .data_json = texts.p + data_at};
        event_encode(&e, &value);
        buf_printf(&key, "instance:%s", to_instance);
        buf_printf(&source, "tern-%s/%s", a->o.service, a->o.instance);
        const struct bus_header headers[] = {
                {SLICE_LIT("ce_specversion"), SLICE_LIT("1.0")},
                {SLICE_LIT("ce_id"), slice_str(id)},
                {SLICE_LIT("ce_type"), slice_str(event_type_name(type))},
                {SLICE_LIT("ce_source"), buf_slice(&source)},
                {SLICE_LIT("ce_time"), slice_str(at)},
                {SLICE_LIT("content-type"), SLICE_LIT("application/json")},
        };
        const struct bus_record r = {.topic = SLICE_LIT("control"),
                .partition = -1,
                .key = buf_slice(&key),
                .value = buf_slice(&value),
                .headers = headers,
                .header_count = ARRAY_LEN(headers)};
        bus_produce_volatile(a->o.bus, &r);
        buf_done(&key);
        buf_done(&source);
        buf_done(&value);
        buf_done(&texts);
}

/* ---- what is heard ---- */

struct heard {
        struct mail mail;
        struct admin *admin;
        struct buf key, type, id, value;
};

static void heard_free(struct heard *h)
{
        atomic_fetch_sub(&h->admin->heard, 1);
        buf_done(&h->key);
        buf_done(&h->type);
        buf_done(&h->id);
        buf_done(&h->value);
        free(h);
}

static void hear(struct mail *m)
{
        struct heard *h = container_of(m, struct heard, mail);
        struct admin *a = h->admin;
        struct event e;
        struct event_error err;
        if (event_parse(SLICE_LIT("control"), buf_slice(&h->type), buf_slice(&h->id),
                    buf_slice(&h->key), buf_slice(&h->value), &e, &err) == 0) {
                if (e.type == EVENT_ASK)
                        survey_asked(a, &e);
                else if (e.type == EVENT_ANSWER)
                        survey_answered(a, &e);
                event_done(&e);
        }
        heard_free(h);
}

bool admin_is_for(struct slice type)
{
        return slice_is(type, event_type_name(EVENT_ASK)) ||
               slice_is(type, event_type_name(EVENT_ANSWER));
}

void admin_heard(
        struct admin *a, struct slice key, struct slice type, struct slice id, struct slice value)
{
        /* What others ask each other is none of this gateway's business. */
        if (!slice_starts(key, "instance:") ||
                !slice_is(slice_from(key, strlen("instance:")), a->o.instance) ||
                atomic_load(&a->heard) >= HEARD_MAX)
                return;
        struct heard *h = xcalloc(1, sizeof(*h));
        h->mail.run = hear;
        h->admin = a;
        buf_add_slice(&h->key, key);
        buf_add_slice(&h->type, type);
        buf_add_slice(&h->id, id);
        buf_add_slice(&h->value, value);
        atomic_fetch_add(&a->heard, 1);
        if (!mailbox_post(a->mailbox, &h->mail))
                heard_free(h);
}

/* ---- questions ---- */

void question_answer(struct question *q, int status, struct slice json)
{
        rest_answer(&q->rest, status, json);
}

void question_refuse(struct question *q, int status, const char *code, const char *message)
{
        struct buf json = BUF_EMPTY;
        buf_printf(&json, "{\"error\":{\"code\":\"%s\",\"message\":", code);
        buf_add_json_str(&json, slice_str(message));
        buf_add_str(&json, "}}");
        question_answer(q, status, buf_slice(&json));
        buf_done(&json);
}

/* ---- the thread ---- */

static void wake(void *arg)
{
        struct admin *a = arg;
        const uint64_t one = 1;
        if (write(a->wake_fd, &one, sizeof(one)) < 0)
                CHECK(errno == EAGAIN); /* it is awake already */
}

static void turn(struct admin *a)
{
        struct pollfd fds[FDS_MAX];
        uint64_t count;
        fds[0] = (struct pollfd){.fd = a->wake_fd, .events = POLLIN};
        size_t n = 1 + jobs_poll(a, fds + 1, FDS_MAX - 1);
        if (poll(fds, n, POLL_MS) > 0 && (fds[0].revents & POLLIN) &&
                read(a->wake_fd, &count, sizeof(count)) < 0)
                CHECK(errno == EAGAIN || errno == EINTR);
        mailbox_run(a->mailbox);
        int64_t now = clock_mono_ms();
        jobs_run(a, now);
        surveys_expire(a, now);
}

static void *run(void *arg)
{
        struct admin *a = arg;
        while (!atomic_load(&a->closing))
                turn(a);
        mailbox_close(a->mailbox);
        mailbox_run(a->mailbox);
        surveys_expire(a, INT64_MAX);
        jobs_end(a);
        return NULL;
}

int admin_new(const struct admin_options *o, struct admin **ret)
{
        struct admin *a = xcalloc(1, sizeof(*a));
        a->o = *o;
        list_init(&a->surveys);
        list_init(&a->jobs);
        a->shards = xcalloc(o->shard_count, sizeof(*a->shards));
        a->gateways = xcalloc(o->shard_count, sizeof(*a->gateways));
        for (unsigned i = 0; i < o->shard_count; i++) {
                a->shards[i] = o->mailbox(o->arg, i);
                a->gateways[i] = o->gateway(o->arg, i);
        }
        a->mailbox = mailbox_new(wake, a);
        a->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        int r = a->wake_fd < 0 ? errno : pthread_create(&a->thread, NULL, run, a);
        if (r == 0) {
                *ret = a;
                return 0;
        }
        mailbox_close(a->mailbox);
        a->over = true;
        admin_free(a);
        return -r;
}

void admin_stop(struct admin *a)
{
        const struct timespec nap = {0, 2000000};
        if (!a || a->over)
                return;
        atomic_store(&a->closing, true);
        wake(a);
        pthread_join(a->thread, NULL);
        a->over = true;
        /* Every question has its answer now; a worker writes it within the ops port's own deadline. */
        while (atomic_load(&a->serving) > 0)
                nanosleep(&nap, NULL);
}

struct admin *admin_free(struct admin *a)
{
        if (!a)
                return NULL;
        admin_stop(a);
        CHECK(list_empty(&a->surveys) && list_empty(&a->jobs));
        mailbox_free(a->mailbox);
        if (a->wake_fd >= 0)
                close(a->wake_fd);
        free(a->shards);
        free(a->gateways);
        free(a);
        return NULL;
}
