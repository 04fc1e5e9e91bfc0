#include "ctl/copy.h"

#include "ctl/progress.h"
#include "ctl/reader.h"

#include "base/clock.h"
#include "bus/txn.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define TXN_MS 1000
#define TXN_BYTES (256u << 20)
#define CALL_MS 30000
#define POLL_MS 100
#define BATCH 1000
#define ABORTS_MAX 20 /* in a row */

struct copy_part {
        struct copy_counts counts, committed;
        int64_t committed_next;
};

struct copy {
        const struct copy_options *o;
        struct reader reader;
        struct copy_part *parts; /* owned */
        struct txn *txn;         /* owned */
        struct progress progress;
        char group[80];
        int64_t started_ms;
        uint64_t this_run; /* copies */
        uint64_t txn_bytes;
        int produce_err;
        bool stop, lost_txn;
        char fault[256];
};

uint64_t copy_bytes_of(const struct bus_record *r)
{
        uint64_t n = r->key.n + r->value.n;
        for (size_t i = 0; i < r->header_count; i++)
                n += r->headers[i].name.n + r->headers[i].value.n;
        return n;
}

static struct copy_counts sum(const struct copy *c, bool committed)
{
        struct copy_counts all = {0};
        for (uint32_t i = 0; i < c->reader.count; i++) {
                const struct copy_counts *one =
                        committed ? &c->parts[i].committed : &c->parts[i].counts;
                all.read += one->read;
                all.copied += one->copied;
                all.bytes += one->bytes;
                all.skipped += one->skipped;
                all.refused += one->refused;
        }
        return all;
}

static bool stopping(struct copy *c)
{
        c->stop = c->stop || lifecycle_wait(c->o->lifecycle, 0) != 0;
        return c->stop;
}

/* ---- one record ---- */

/* False: told to stop while waiting. */
static bool keep_pace(struct copy *c)
{
        const struct timespec nap = {0, 10000000};
        while (c->o->rate) {
                uint64_t took = (uint64_t)(clock_mono_ms() - c->started_ms);
                if (c->this_run <= took * c->o->rate / 1000)
                        return true;
                if (stopping(c))
                        return false;
                nanosleep(&nap, NULL);
        }
        return true;
}

static bool on_record(void *arg, uint32_t part, const struct bus_record *r)
{
        struct copy *c = arg;
        struct copy_counts *n = &c->parts[part].counts;
        struct bus_record out = *r;
        if (!filter_wants(c->o->filter, r)) {
                n->read++;
                return true;
        }
        enum copy_verdict verdict = c->o->target.make(c->o->target.arg, r, &out);
        if (verdict == COPY_TAKE) {
                if (!keep_pace(c))
                        return false;
                c->produce_err = txn_produce(c->txn, &out, c->fault);
                if (c->produce_err) {
                        c->lost_txn = true;
                        return false;
                }
                uint64_t bytes = copy_bytes_of(&out);
                n->copied++;
                n->bytes += bytes;
                c->this_run++;
                c->txn_bytes += bytes;
        }
        n->read++;
        n->skipped += verdict == COPY_SKIP;
        n->refused += verdict == COPY_REFUSE;
        return true;
}

/* ---- where it stands ---- */

static void note_of(const struct copy_counts *n, char ret[96])
{
        snprintf(ret, 96, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, n->read,
                n->copied, n->bytes, n->skipped, n->refused);
}

static void read_note(const char *note, struct copy_counts *n)
{
        uint64_t *fields[] = {&n->read, &n->copied, &n->bytes, &n->skipped, &n->refused};
        struct slice rest = slice_str(note);
        for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
                ptrdiff_t space = slice_find(rest, ' ');
                if (!slice_to_u64(space < 0 ? rest : slice_of(rest.p, (size_t)space), UINT64_MAX,
                            fields[i]))
                        return;
                rest = space < 0 ? SLICE_NONE : slice_from(rest, (size_t)space + 1);
        }
}

/* Where an earlier run came to. */
static int resume(struct copy *c)
{
        uint32_t n = c->reader.count, known = 0;
        struct txn_offset *offsets = xcalloc(n, sizeof(*offsets));
        for (uint32_t i = 0; i < n; i++)
                offsets[i].partition = c->reader.parts[i].range.partition;
        int err = txn_offsets(c->o->ctl->bus, c->group, c->o->topic, offsets, n, CALL_MS, c->fault);
        for (uint32_t i = 0; !err && i < n; i++) {
                if (offsets[i].offset < 0)
                        continue;
                c->reader.parts[i].next = offsets[i].offset;
                read_note(offsets[i].note, &c->parts[i].counts);
                known++;
        }
        free(offsets);
        if (err)
                return ctl_fail("the checkpoint cannot be read: %s", c->fault);
        if (known == 0 && c->o->checkpoint->state != CHECKPOINT_NEW)
                return ctl_fail("Kafka has forgotten how far this replay came (group %s, "
                                "offsets.retention.minutes): going on could copy records twice. "
                                "Begin anew with another file and another --from",
                        c->group);
        return EXIT_DONE;
}

/* ---- transactions ---- */

static int commit(struct copy *c)
{
        struct txn_offset *offsets = xcalloc(c->reader.count, sizeof(*offsets));
        uint32_t n = 0;
        for (uint32_t i = 0; i < c->reader.count; i++) {
                const struct reader_part *p = &c->reader.parts[i];
                if (p->next == c->parts[i].committed_next)
                        continue;
                offsets[n].partition = p->range.partition;
                offsets[n].offset = p->next;
                note_of(&c->parts[i].counts, offsets[n++].note);
        }
        int err = txn_commit(c->txn, c->o->checkpoint->file ? c->group : NULL, c->o->topic, offsets,
                n, CALL_MS, c->fault);
        free(offsets);
        for (uint32_t i = 0; !err && i < c->reader.count; i++) {
                c->parts[i].committed = c->parts[i].counts;
                c->parts[i].committed_next = c->reader.parts[i].next;
        }
        return err;
}

/* Everything since the last commit has not happened: it is read again. */
static int take_back(struct copy *c)
{
        int err = txn_abort(c->txn, CALL_MS, c->fault);
        if (err)
                return ctl_fail("the transaction cannot be ended: %s", c->fault);
        for (uint32_t i = 0; i < c->reader.count; i++) {
                c->this_run -= c->parts[i].counts.copied - c->parts[i].committed.copied;
                c->parts[i].counts = c->parts[i].committed;
                c->reader.parts[i].next = c->parts[i].committed_next;
        }
        return reader_start(&c->reader);
}

static int fill(struct copy *c)
{
        int64_t until = clock_mono_ms() + TXN_MS;
        size_t max = c->o->rate && c->o->rate / 5 < BATCH ? c->o->rate / 5 + 1 : BATCH;
        c->txn_bytes = 0;
        while (c->reader.open > 0 && clock_mono_ms() < until && c->txn_bytes < TXN_BYTES &&
                !c->lost_txn && !stopping(c)) {
                int code = reader_poll(&c->reader, POLL_MS, max, on_record, c);
                if (code)
                        return code;
                uint64_t read, total;
                reader_progress(&c->reader, &read, &total);
                progress_show(&c->progress, read, sum(c, false).copied);
        }
        return EXIT_DONE;
}

/* One transaction: EXIT_DONE, also when it has to be done again. */
static int one_transaction(struct copy *c, unsigned *aborts)
{
        c->lost_txn = false;
        c->produce_err = 0;
        int err = txn_begin(c->txn, c->fault);
        if (err)
                return ctl_fail("no transaction: %s", c->fault);
        int code = fill(c);
        if (code)
                return code;
        if (c->produce_err && c->produce_err != -EAGAIN)
                return ctl_fail("%s: %s", c->o->target.topic, c->fault);
        err = c->lost_txn ? -EAGAIN : commit(c);
        if (err == 0) {
                *aborts = 0;
                return EXIT_DONE;
        }
        if (err != -EAGAIN || ++*aborts > ABORTS_MAX)
                return ctl_fail("%s cannot be written: %s", c->o->target.topic, c->fault);
        return take_back(c);
}

static int run(struct copy *c)
{
        unsigned aborts = 0;
        struct checkpoint *cp = c->o->checkpoint;
        while (c->reader.open > 0 && !stopping(c)) {
                int code = one_transaction(c, &aborts);
                if (code)
                        return code;
                if (cp->state == CHECKPOINT_NEW && checkpoint_write(cp, CHECKPOINT_COPYING) != 0)
                        return EXIT_FAILED;
        }
        if (c->reader.open > 0)
                return EXIT_PARTLY;
        return checkpoint_write(cp, CHECKPOINT_DONE) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int prepare(struct copy *c)
{
        struct checkpoint *cp = c->o->checkpoint;
        checkpoint_group(cp, c->group);
        if (cp->file && cp->state == CHECKPOINT_NEW && checkpoint_write(cp, CHECKPOINT_NEW) != 0)
                return EXIT_FAILED;
        /* First: it ends what a killed run left open, so that the offsets are settled. */
        int err = txn_new(c->o->ctl->bus, c->group, CALL_MS, &c->txn, c->fault);
        if (err)
                return ctl_fail("%s", c->fault[0] ? c->fault : kafka_error(err));
        txn_warm(c->txn, c->o->target.topic, CTL_KAFKA_MS);
        int code = cp->file ? resume(c) : EXIT_DONE;
        for (uint32_t i = 0; i < c->reader.count; i++) {
                c->parts[i].committed = c->parts[i].counts;
                c->parts[i].committed_next = c->reader.parts[i].next;
        }
        return code ? code : reader_start(&c->reader);
}

int copy_run(const struct copy_options *o, struct copy_counts *ret, uint64_t *ret_lost)
{
        struct copy c = {.o = o, .started_ms = clock_mono_ms()};
        uint64_t read, total;
        reader_init(&c.reader, o->ctl, o->topic, o->checkpoint->ranges, o->checkpoint->count);
        c.parts = xcalloc(o->checkpoint->count, sizeof(*c.parts));
        int code = prepare(&c);
        if (!code) {
                reader_progress(&c.reader, &read, &total);
                progress_start(&c.progress, o->target.verb, total, read, o->as_json);
                code = run(&c);
                progress_end(&c.progress);
        }
        *ret = sum(&c, true);
        *ret_lost = c.reader.lost;
        reader_done(&c.reader);
        txn_free(c.txn);
        if (code == EXIT_DONE && o->checkpoint->file)
                (void)!admin_group_delete(o->ctl->bus, c.group, CTL_KAFKA_MS);
        free(c.parts);
        return code;
}
