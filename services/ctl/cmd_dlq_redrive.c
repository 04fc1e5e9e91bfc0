#include "ctl/audit.h"
#include "ctl/erased.h"
#include "ctl/letters.h"
#include "ctl/mend.h"
#include "ctl/reader.h"
#include "ctl/stored.h"
#include "ctl/validate.h"

#include "bus/txn.h"
#include "proto/deadletter.h"

#include "base/clock.h"
#include "base/hash.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define CALL_MS 30000
#define TXN_LETTERS 500
#define HEADERS_MAX 256
#define PLACES_IN_AUDIT 100

struct settle {
        struct ctl *ctl;
        const struct args *args;
        bool drop;
        struct letters letters;
        struct erased *erased;    /* owned */
        struct jq_filter *filter; /* owned; NULL: none */
        bool by_hand;
        struct txn *txn; /* owned */
        bool open;
        unsigned in_txn;
        uint64_t done, refused;
        struct audit audit;
        struct buf value, original, places;
        char fault[256];
};

/* ---- which ---- */

static int want_named(struct settle *s)
{
        for (size_t i = 0; i < s->args->word_count; i++) {
                struct letter *l = letters_find(&s->letters, s->args->words[i]);
                if (!l)
                        return ctl_fail("there is no dead letter %s", s->args->words[i]);
                if (l->state == LETTER_DROPPED || (l->state != LETTER_OPEN && s->drop))
                        return ctl_fail("%s was %s already", l->name, letter_state_name(l->state));
                l->wanted = true;
        }
        return EXIT_DONE;
}

static void want_all(struct settle *s)
{
        const char *reason = args_text(s->args, "reason"), *key = args_text(s->args, "key");
        for (size_t i = 0; i < s->letters.count; i++) {
                struct letter *l = s->letters.all[i];
                l->wanted = l->state == LETTER_OPEN &&
                            (!reason[0] || strcmp(reason, l->reason) == 0) &&
                            (!key[0] || (l->key && strcmp(key, l->key) == 0));
        }
}

static uint64_t wanted(const struct settle *s)
{
        uint64_t n = 0;
        for (size_t i = 0; i < s->letters.count; i++)
                n += s->letters.all[i]->wanted;
        return n;
}

/* ---- transactions ---- */

static int begin(struct settle *s)
{
        if (s->open)
                return EXIT_DONE;
        if (txn_begin(s->txn, s->fault) != 0)
                return ctl_fail("no transaction: %s", s->fault);
        s->open = true;
        s->in_txn = 0;
        return EXIT_DONE;
}

static int commit(struct settle *s)
{
        if (!s->open)
                return EXIT_DONE;
        s->open = false;
        if (txn_commit(s->txn, NULL, NULL, NULL, 0, CALL_MS, s->fault) != 0)
                return ctl_fail("%u letters are still open, Kafka took none of them: %s", s->in_txn,
                        s->fault);
        s->done += s->in_txn;
        s->in_txn = 0;
        return EXIT_DONE;
}

static int produce(struct settle *s, const struct bus_record *r)
{
        int err = txn_produce(s->txn, r, s->fault);
        return err ? ctl_fail("%.*s: %s", SLICE_ARG(r->topic), s->fault) : EXIT_DONE;
}

static bool is_place(struct slice name)
{
        static const char *const names[] = {DEADLETTER_TOPIC, DEADLETTER_PARTITION,
                DEADLETTER_OFFSET, DEADLETTER_TIMESTAMP, DEADLETTER_EPOCH};
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (slice_is(name, names[i]))
                        return true;
        return false;
}

static bool is_ours(struct slice name)
{
        static const char *const names[] = {DEADLETTER_REASON, DEADLETTER_FIELD, DEADLETTER_MESSAGE,
                DEADLETTER_TRUNCATED, DEADLETTER_SETTLED, DEADLETTER_BY};
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (slice_is(name, names[i]))
                        return true;
        return is_place(name);
}

/* In the letter's own partition, so that it stands behind it. */
static int mark(struct settle *s, const struct letter *l, const struct bus_record *r)
{
        struct bus_header h[8];
        size_t n = 0;
        char dlq[80];
        snprintf(dlq, sizeof(dlq), "%s.dlq", l->topic);
        for (size_t i = 0; i < r->header_count && n < 5; i++)
                if (is_place(r->headers[i].name))
                        h[n++] = r->headers[i];
        h[n++] = (struct bus_header){slice_str(DEADLETTER_SETTLED),
                s->drop ? SLICE_LIT("dropped") : SLICE_LIT("redriven")};
        h[n++] = (struct bus_header){slice_str(DEADLETTER_BY), slice_str(s->audit.operator)};
        const struct bus_record out = {.topic = slice_str(dlq),
                .partition = l->dlq_partition,
                .key = r->key,
                .headers = h,
                .header_count = n};
        return produce(s, &out);
}

/* ---- one letter ---- */

static bool take_original(void *arg, uint32_t part, const struct bus_record *r)
{
        struct buf *out = arg;
        UNUSED(part);
        buf_add_slice(out, r->value);
        return true;
}

/* The value of a letter whose own was cut away, from where it stood. */
static int fetch_original(struct settle *s, const struct letter *l)
{
        const struct range range = {
                .partition = l->partition, .from = l->offset, .to = l->offset + 1};
        struct reader reader;
        buf_reset(&s->original);
        reader_init(&reader, s->ctl, l->topic, &range, 1);
        int code = reader_start(&reader);
        while (!code && reader.open > 0)
                code = reader_poll(&reader, 100, 1, take_original, &s->original);
        if (!code && s->original.n == 0) {
                snprintf(s->fault, sizeof(s->fault),
                        "its value was too long for the .dlq, and %s does not have it any more",
                        l->topic);
                code = EXIT_FAILED;
        }
        reader_done(&reader);
        return code;
}

/* Headers of the record without what the writer added, and with what is to be set. */
static size_t headers_of(struct settle *s, const struct bus_record *r, struct bus_header *h)
{
        size_t n = 0;
        struct slice set = slice_str(args_text(s->args, "set-header")), name = set;
        ptrdiff_t equals = slice_find(set, '=');
        name.n = equals > 0 ? (size_t)equals : 0;
        for (size_t i = 0; i < r->header_count && n < HEADERS_MAX - 8; i++)
                if (!is_ours(r->headers[i].name) && !(name.n && slice_eq(r->headers[i].name, name)))
                        h[n++] = r->headers[i];
        if (name.n)
                h[n++] = (struct bus_header){name, slice_from(set, name.n + 1)};
        return n;
}

static int refuse(struct settle *s, const struct letter *l, const char *why)
{
        s->refused++;
        ctl_fail("%s: %s", l->name, why);
        return EXIT_DONE;
}

/* The value as it is to be stored. False with fault. */
static bool mended(struct settle *s, const struct letter *l, struct slice *value)
{
        if (l->truncated) {
                if (fetch_original(s, l) != EXIT_DONE)
                        return false;
                *value = buf_slice(&s->original);
        }
        buf_reset(&s->value);
        if (s->filter) {
                if (mend_by_filter(s->filter, *value, &s->value, s->fault) != 0)
                        return false;
                *value = buf_slice(&s->value);
        }
        if (s->by_hand) {
                struct buf edited = BUF_EMPTY;
                int err = mend_by_hand(*value, &edited, s->fault);
                buf_done(&s->value);
                s->value = edited;
                *value = buf_slice(&s->value);
                return err == 0;
        }
        return true;
}

/* The one validator and the erasures speak first: what they refuse stays a letter. False with fault. */
static bool is_fit(struct settle *s, const struct bus_record *r)
{
        struct event e;
        struct event_error err;
        if (validate_record(r, &e, &err) != 0) {
                snprintf(s->fault, sizeof(s->fault), "it would die again: %s", err.message);
                return false;
        }
        struct buf key = BUF_EMPTY;
        event_key(&e, &key);
        bool placed = event_key_fits(&e, r->key) || key.n > 0;
        buf_done(&key);
        event_done(&e);
        if (!placed)
                snprintf(
                        s->fault, sizeof(s->fault), "it would die again: the key names no subject");
        else if (erased_has(s->erased, r))
                snprintf(s->fault, sizeof(s->fault), "its user was erased");
        else
                return true;
        return false;
}

static int send_redriven(
        struct settle *s, const struct bus_record *fixed, const struct bus_record *r)
{
        struct bus_header h[HEADERS_MAX];
        size_t n = fixed->header_count;
        memcpy(h, fixed->headers, n * sizeof(*h));
        for (size_t i = 0; i < r->header_count && n < HEADERS_MAX; i++)
                if (is_place(r->headers[i].name))
                        h[n++] = r->headers[i];
        const struct bus_record out = {.topic = SLICE_LIT(REDRIVE_TOPIC),
                .partition = 0,
                .key = fixed->key,
                .value = fixed->value,
                .headers = h,
                .header_count = n};
        return produce(s, &out);
}

static void note_place(struct settle *s, const struct letter *l)
{
        if (s->done + s->in_txn > PLACES_IN_AUDIT)
                return;
        if (s->places.n)
                buf_add_char(&s->places, ',');
        buf_add_json_str(&s->places, slice_str(l->name));
}

static int settle_one(void *arg, struct letter *l, const struct bus_record *r)
{
        struct settle *s = arg;
        struct bus_header h[HEADERS_MAX];
        int code = EXIT_DONE;
        if (!s->drop) {
                const char *key = args_text(s->args, "set-key");
                struct bus_record fixed = {.topic = slice_str(l->topic),
                        .partition = l->partition,
                        .offset = l->offset,
                        .timestamp_ms = l->timestamp_ms,
                        .key = key[0] ? slice_str(key) : r->key,
                        .value = r->value,
                        .headers = h,
                        .header_count = headers_of(s, r, h)};
                if (!mended(s, l, &fixed.value) || !is_fit(s, &fixed))
                        return refuse(s, l, s->fault);
                code = begin(s);
                if (!code)
                        code = send_redriven(s, &fixed, r);
        } else {
                code = begin(s);
        }
        if (!code)
                code = mark(s, l, r);
        if (code)
                return code;
        s->in_txn++;
        note_place(s, l);
        /* An editor may take longer than a transaction lives. */
        return s->by_hand || s->in_txn >= TXN_LETTERS ? commit(s) : EXIT_DONE;
}

/* ---- the command ---- */

static void add_result(const struct settle *s, struct buf *out)
{
        json_number(out, s->drop ? "dropped" : "redriven", (int64_t)s->done);
        json_number(out, "refused", (int64_t)s->refused);
        buf_add_str(out, ",\"places\":[");
        buf_add_slice(out, buf_slice(&s->places));
        buf_add_char(out, ']');
}

static int wait_until_stored(struct settle *s)
{
        uint32_t wait = 0;
        char fault[256] = "";
        if (s->drop || s->done == 0 || !ctl_has_postgres(s->ctl))
                return EXIT_DONE;
        if (args_u32(s->args, "wait", 86400, &wait, fault) != 0) {
                ctl_fail("%s", fault);
                return EXIT_USAGE;
        }
        return stored_wait(s->ctl, REDRIVE_TOPIC, (int64_t)wait * 1000);
}

static int settle_all(struct settle *s)
{
        struct buf what = BUF_EMPTY;
        char name[80], id[UUID_TEXT];
        json_number(&what, "letters", (int64_t)wanted(s));
        int code = audit_begin(
                &s->audit, s->ctl, s->drop ? "dlq drop" : "dlq redrive", buf_cstr(&what));
        uuid_v7(clock_wall_ms(), id);
        snprintf(name, sizeof(name), "ternctl-dlq-%s", id);
        if (!code && txn_new(s->ctl->bus, name, CALL_MS, &s->txn, s->fault) != 0)
                code = ctl_fail("%s", s->fault);
        if (!code) {
                txn_warm(s->txn, REDRIVE_TOPIC, CTL_KAFKA_MS);
                code = letters_read(&s->letters, settle_one, s);
        }
        if (!code)
                code = commit(s);
        if (!code)
                code = wait_until_stored(s);
        if (!code && s->refused)
                code = s->done ? EXIT_PARTLY : EXIT_FAILED;
        else if (code == EXIT_FAILED && s->done)
                code = EXIT_PARTLY;
        buf_reset(&what);
        add_result(s, &what);
        code = audit_end(&s->audit, code, buf_cstr(&what));
        if (args_flag(s->args, "json")) {
                struct buf out = BUF_EMPTY;
                buf_printf(&out, "{%s}", buf_cstr(&what));
                print_line(&out);
                buf_done(&out);
        } else {
                printf("%s %" PRIu64 " dead letter%s%s\n", s->drop ? "dropped" : "redrove", s->done,
                        s->done == 1 ? "" : "s",
                        s->drop || !s->done               ? ""
                        : !ctl_has_postgres(s->ctl)       ? "; the writer will store them"
                        : code == EXIT_DONE || s->refused ? "; they are stored"
                                                          : "");
        }
        buf_done(&what);
        return code;
}

static int choose(struct settle *s)
{
        const char *topic = args_text(s->args, "topic");
        int code = letters_load(&s->letters, s->ctl, topic[0] ? topic : NULL);
        if (code)
                return code;
        if (args_flag(s->args, "all"))
                want_all(s);
        else
                code = want_named(s);
        uint64_t n = wanted(s);
        if (!code && n == 0)
                printf("no dead letters\n");
        if (code || n == 0)
                return code ? code : EXIT_DONE;
        code = ctl_confirm(args_flag(s->args, "yes"), "%s %" PRIu64 " dead letter%s?",
                s->drop ? "Drop" : "Redrive", n, n == 1 ? "" : "s");
        if (!code && !s->drop)
                code = erased_load(s->ctl, &s->erased);
        return code ? code : settle_all(s);
}

static int settle(struct settle *s)
{
        const struct args *a = s->args;
        struct admin_cluster cluster;
        if ((a->word_count == 0) == !args_flag(a, "all")) {
                ctl_fail("name places, as `ternctl dlq list` prints them, or say --all");
                return EXIT_USAGE;
        }
        const char *jq = s->drop ? "" : args_text(a, "jq");
        if (jq[0] && jq_filter_new(jq, &s->filter, s->fault) != 0) {
                ctl_fail("--jq %s: %s", jq, s->fault);
                return EXIT_USAGE;
        }
        int code = ctl_bus(s->ctl, CTL_KAFKA_MS, &cluster);
        if (!code && bus_is_embedded(s->ctl->bus))
                code = ctl_fail("dlq redrive and drop are not supported by the embedded broker");
        return code ? code : choose(s);
}

static int run(struct ctl *ctl, const struct args *a, bool drop)
{
        struct settle s = {.ctl = ctl, .args = a, .drop = drop};
        s.by_hand = !drop && args_flag(a, "edit");
        int code = settle(&s);
        txn_free(s.txn);
        erased_free(s.erased);
        jq_filter_free(s.filter);
        letters_done(&s.letters);
        buf_done(&s.value);
        buf_done(&s.original);
        buf_done(&s.places);
        return code;
}

int cmd_dlq_redrive(struct ctl *ctl, const struct args *a)
{
        return run(ctl, a, false);
}

int cmd_dlq_drop(struct ctl *ctl, const struct args *a)
{
        return run(ctl, a, true);
}
