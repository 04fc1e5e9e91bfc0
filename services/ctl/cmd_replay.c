#include "ctl/again.h"
#include "ctl/audit.h"
#include "ctl/copy.h"
#include "ctl/erased.h"
#include "ctl/lives.h"
#include "ctl/stored.h"
#include "ctl/tally.h"

#include "proto/deadletter.h"
#include "proto/event.h"

#include "base/clock.h"
#include "base/hash.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define STORE_WAIT_MS 600000
#define APPEAR_MS 10000 /* a new topic is known to every broker by then */

enum target { TO_NOTHING, TO_TOPIC, TO_STORE, TO_CLIENTS };

struct replay {
        enum target target;
        struct again again;    /* of TO_STORE and TO_CLIENTS */
        struct erased *erased; /* owned */
        struct ctl *ctl;
        const struct args *args;
        const char *topic,
                *to_topic; /* to_topic: where the records are written, whatever the target */
        const char *to;    /* as people call it */
        uint32_t partitions, to_partitions;
        struct filter *filter; /* owned */
        struct checkpoint checkpoint;
        struct lifecycle lifecycle;
        struct buf what; /* members of a JSON object: what it is about */
};

/* ---- to a topic ---- */

/* Where the source has as many partitions, each record keeps its own; else the key says, as for every client. */
static enum copy_verdict to_topic(
        const struct replay *rp, const struct bus_record *in, struct bus_record *out)
{
        *out = *in;
        out->topic = slice_str(rp->to_topic);
        if (rp->to_partitions != rp->partitions)
                out->partition = in->key.p ? (int32_t)partition_of(in->key, rp->to_partitions)
                                           : in->partition % (int32_t)rp->to_partitions;
        return COPY_TAKE;
}

static enum copy_verdict make(void *arg, const struct bus_record *in, struct bus_record *out)
{
        struct replay *rp = arg;
        if (erased_has(rp->erased, in))
                return COPY_REFUSE;
        if (rp->target == TO_TOPIC)
                return to_topic(rp, in, out);
        return rp->target == TO_STORE ? again_to_store(&rp->again, in, out)
                                      : again_to_clients(&rp->again, in, out);
}

/* With what the source has: a copy of a week's records must not be deleted as too old at once. */
static int make_topic(struct replay *rp)
{
        struct admin_setting set[] = {{.name = "cleanup.policy"}, {.name = "retention.ms"},
                {.name = "retention.bytes"}, {.name = "message.timestamp.type"},
                {.name = "max.message.bytes"}};
        struct admin_config configs[ARRAY_LEN(set)];
        size_t n = 0;
        int err = admin_settings(rp->ctl->bus, rp->topic, set, ARRAY_LEN(set), CTL_KAFKA_MS);
        for (size_t i = 0; !err && i < ARRAY_LEN(set); i++)
                if (set[i].found)
                        configs[n++] = (struct admin_config){set[i].name, set[i].value};
        const struct admin_topic_spec spec = {rp->to_topic, rp->partitions, 0, configs, n};
        struct admin_result result = {.err = 0};
        if (!err)
                err = admin_create(rp->ctl->bus, &spec, 1, 3 * CTL_KAFKA_MS, &result);
        if (!err && result.err != -EEXIST)
                err = result.err;
        int64_t until = clock_mono_ms() + APPEAR_MS;
        const struct timespec nap = {0, 100000000};
        while (!err &&
                bus_partitions(rp->ctl->bus, rp->to_topic, CTL_KAFKA_MS, &rp->to_partitions) != 0) {
                if (clock_mono_ms() >= until)
                        err = -ETIMEDOUT;
                nanosleep(&nap, NULL);
        }
        if (err)
                return ctl_fail("the topic %s cannot be made: %s", rp->to_topic,
                        result.text[0] ? result.text : kafka_error(err));
        return EXIT_DONE;
}

/* The epoch of the source stands in each record's seq. */
static int find_epoch(struct replay *rp)
{
        struct life *lives = NULL;
        size_t n = 0;
        int code = lives_load(rp->ctl, &lives, &n);
        if (code)
                return code;
        rp->again.epoch = lives_epoch(lives, n, rp->topic);
        rp->again.partitions = rp->partitions;
        free(lives);
        return rp->again.epoch ? EXIT_DONE
                               : ctl_fail("%s has no epoch: run ternctl topics create", rp->topic);
}

static int find_target(struct replay *rp, bool resumed)
{
        if (rp->target != TO_TOPIC) {
                int code = ctl_partitions(rp->ctl, rp->to_topic, &rp->to_partitions);
                return code ? code : find_epoch(rp);
        }
        int err = bus_partitions(rp->ctl->bus, rp->to_topic, CTL_KAFKA_MS, &rp->to_partitions);
        if (!err)
                return EXIT_DONE;
        if (err != -ENOENT)
                return ctl_fail("%s: %s", rp->to_topic, kafka_error(err));
        if (resumed && rp->checkpoint.state != CHECKPOINT_NEW)
                return ctl_fail("the topic %s is gone, and %s says that a part of the copies "
                                "was in it: begin anew with another file",
                        rp->to_topic, rp->checkpoint.file);
        return make_topic(rp);
}

/* ---- what is said ---- */

static void describe(struct replay *rp)
{
        static const char *const names[] = {
                "from", "to", "key", "type", "header", "where", "to-topic", "to-clients"};
        json_text(&rp->what, "topic", rp->topic);
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                const char *v = args_text(rp->args, names[i]);
                if (v[0])
                        json_text(&rp->what, names[i], v);
        }
        if (rp->target == TO_STORE)
                json_flag(&rp->what, "to-store", true);
}

static void add_counts(struct buf *out, const struct copy_counts *n, uint64_t lost)
{
        json_number(out, "read", (int64_t)n->read);
        json_number(out, "copied", (int64_t)n->copied);
        json_number(out, "bytes", (int64_t)n->bytes);
        json_number(out, "skipped", (int64_t)n->skipped);
        json_number(out, "refused", (int64_t)n->refused);
        json_number(out, "lost", (int64_t)lost);
}

static void say_where_failures(struct replay *rp)
{
        const char *said = "";
        uint64_t n = filter_failures(rp->filter, &said);
        if (n)
                ctl_fail("--where failed on %" PRIu64 " records, which were left out: %s", n, said);
}

static void report(
        struct replay *rp, int code, const struct copy_counts *n, uint64_t lost, int64_t took_ms)
{
        if (args_flag(rp->args, "json")) {
                struct buf out = BUF_EMPTY;
                buf_add_char(&out, '{');
                buf_add_slice(&out, buf_slice(&rp->what));
                add_counts(&out, n, lost);
                json_text(&out, "state",
                        code == EXIT_DONE     ? "done"
                        : code == EXIT_PARTLY ? "partly"
                                              : "failed");
                json_number(&out, "tookMs", took_ms);
                buf_add_char(&out, '}');
                print_line(&out);
                buf_done(&out);
        } else if (code != EXIT_FAILED) {
                printf("copied %" PRIu64 " of %" PRIu64 " records of %s to %s: %" PRIu64
                       " bytes in %" PRId64 ".%03" PRId64 " s\n",
                        n->copied, n->read, rp->topic, rp->to, n->bytes, took_ms / 1000,
                        took_ms % 1000);
                if (n->skipped)
                        printf("skipped %" PRIu64 ": not valid, or nothing for this target\n",
                                n->skipped);
                if (n->refused)
                        printf("refused %" PRIu64 ": their users were erased\n", n->refused);
        }
        if (lost)
                ctl_fail("%" PRIu64 " offsets had left the log when they were to be read", lost);
        if (code == EXIT_PARTLY)
                ctl_fail(rp->checkpoint.file
                                 ? "stopped; the same command goes on from here"
                                 : "stopped; without --checkpoint it cannot go on from here");
}

/* ---- the command ---- */

static int copy(struct replay *rp)
{
        struct copy_counts n = {0};
        uint64_t lost = 0;
        uint32_t rate = 0;
        char fault[256] = "";
        struct audit au;
        if (args_text(rp->args, "rate")[0] &&
                args_u32(rp->args, "rate", UINT32_MAX, &rate, fault) != 0) {
                ctl_fail("%s", fault);
                return EXIT_USAGE;
        }
        int code = audit_begin(&au, rp->ctl, "replay", buf_cstr(&rp->what));
        if (code)
                return code;
        const struct copy_options o = {.ctl = rp->ctl,
                .lifecycle = &rp->lifecycle,
                .topic = rp->topic,
                .filter = rp->filter,
                .checkpoint = &rp->checkpoint,
                .target = {rp->to_topic, "copied", make, rp},
                .rate = rate,
                .as_json = args_flag(rp->args, "json")};
        int64_t start = clock_mono_ms();
        code = copy_run(&o, &n, &lost);
        if (code == EXIT_DONE && lost)
                code = EXIT_PARTLY;
        if (code == EXIT_DONE && rp->target == TO_STORE && n.copied && ctl_has_postgres(rp->ctl))
                code = stored_wait(rp->ctl, REDRIVE_TOPIC, STORE_WAIT_MS);
        report(rp, code, &n, lost, clock_mono_ms() - start);
        struct buf counts = BUF_EMPTY;
        buf_add_slice(&counts, buf_slice(&rp->what));
        add_counts(&counts, &n, lost);
        code = audit_end(&au, code, buf_cstr(&counts));
        buf_done(&counts);
        return code;
}

/* Confirmed, and the target is there. */
static int write_all(struct replay *rp, bool resumed)
{
        uint64_t most = 0;
        for (uint32_t i = 0; i < rp->checkpoint.count; i++)
                most += (uint64_t)(rp->checkpoint.ranges[i].to - rp->checkpoint.ranges[i].from);
        int code = ctl_confirm(args_flag(rp->args, "yes"), "%s %s%" PRIu64 " records of %s to %s?",
                resumed ? "Go on copying" : "Copy",
                filter_is_open(rp->filter) ? "" : "those that fit of ", most, rp->topic,
                rp->to_topic);
        if (!code)
                code = find_target(rp, resumed);
        if (!code)
                code = erased_load(rp->ctl, &rp->erased);
        return code ? code : copy(rp);
}

static int run(struct replay *rp)
{
        const char *file = args_text(rp->args, "checkpoint");
        bool dry = args_flag(rp->args, "dry-run");
        int code = filter_new(rp->args, &rp->filter);
        if (!code)
                code = ctl_partitions(rp->ctl, rp->topic, &rp->partitions);
        if (code)
                return code;
        describe(rp);
        int found = checkpoint_open(
                &rp->checkpoint, file[0] && !dry ? file : NULL, buf_cstr(&rp->what));
        if (found < 0)
                return EXIT_FAILED;
        if (found == 1 && rp->checkpoint.state == CHECKPOINT_DONE) {
                printf("nothing to do: %s says that this replay is done\n", file);
                return EXIT_DONE;
        }
        if (found == 0)
                code = where_ranges(rp->ctl, rp->topic, args_text(rp->args, "from"),
                        args_text(rp->args, "to"), &rp->checkpoint.ranges, &rp->checkpoint.count);
        if (!code && dry)
                code = tally_run(rp->ctl, &rp->lifecycle, rp->topic, rp->checkpoint.ranges,
                        rp->checkpoint.count, rp->filter, args_flag(rp->args, "json"));
        else if (!code)
                code = write_all(rp, found == 1);
        say_where_failures(rp);
        return code;
}

/* "user:U" or "conversation:C" */
static bool read_clients(struct replay *rp, const char *clients)
{
        if (strncmp(clients, "user:", 5) == 0)
                rp->again.user = clients + 5;
        else if (strncmp(clients, "conversation:", 13) == 0)
                rp->again.conversation = clients + 13;
        return (rp->again.user && event_user_id_valid(slice_str(rp->again.user))) ||
               (rp->again.conversation &&
                       event_conversation_id_valid(slice_str(rp->again.conversation)));
}

/* Which target; NULL, or what is wrong. */
static const char *choose_target(struct replay *rp)
{
        const char *topic = args_text(rp->args, "to-topic"),
                   *clients = args_text(rp->args, "to-clients");
        bool store = args_flag(rp->args, "to-store");
        if (!rp->topic[0])
                return "replay needs --topic";
        if ((topic[0] != 0) + (clients[0] != 0) + store > 1)
                return "one target at a time: --to-topic, --to-store or --to-clients";
        if (topic[0]) {
                rp->target = TO_TOPIC;
                rp->to_topic = rp->to = topic;
        } else if (store) {
                rp->target = TO_STORE;
                rp->to_topic = REDRIVE_TOPIC;
                rp->to = "Postgres";
        } else if (clients[0]) {
                rp->target = TO_CLIENTS;
                rp->to_topic = "control";
                rp->to = clients;
                if (!read_clients(rp, clients))
                        return "--to-clients has to be user:U or conversation:C";
        } else if (!args_flag(rp->args, "dry-run")) {
                return "replay needs a target: --to-topic, --to-store or --to-clients, or "
                       "--dry-run "
                       "to count";
        }
        if (strcmp(rp->topic, rp->to_topic) == 0)
                return "a replay into its own source would never end";
        return rp->target > TO_TOPIC ? again_refuses(&rp->again, rp->topic, store) : NULL;
}

int cmd_replay(struct ctl *ctl, const struct args *a)
{
        struct replay rp = {
                .ctl = ctl, .args = a, .topic = args_text(a, "topic"), .to_topic = "", .to = ""};
        struct admin_cluster cluster;
        const char *fault = choose_target(&rp);
        if (fault) {
                ctl_fail("%s (try --help)", fault);
                return EXIT_USAGE;
        }
        lifecycle_init(&rp.lifecycle);
        int code = ctl_bus(ctl, CTL_KAFKA_MS, &cluster);
        if (!code && bus_is_embedded(ctl->bus) && !args_flag(a, "dry-run"))
                code = ctl_fail("replay is not supported by the embedded broker");
        if (!code)
                code = run(&rp);
        filter_free(rp.filter);
        erased_free(rp.erased);
        again_done(&rp.again);
        checkpoint_done(&rp.checkpoint);
        buf_done(&rp.what);
        lifecycle_done(&rp.lifecycle);
        return code;
}
